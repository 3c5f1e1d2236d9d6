"""What the example kernels answer, to the last bit: for comparing two ways of building them.

``python answers.py`` prints a digest of each answer; ``--compare AHEAD CHECKOUT`` runs that twice,
with the modules that were built ahead of time below one folder and with those that cyhot compiles
from the sources below the other, and fails where they differ.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np


def _information() -> Iterator[tuple[str, Callable[[], object]]]:
    from examples import information as it

    rng = np.random.default_rng(5)
    p, q = rng.random((2, 100_003))
    rows = rng.random((50, 37)).astype(np.float32)
    joint = rng.integers(0, 9, (6, 5, 4)).astype(float)
    x, y = rng.integers(0, 40, (2, 50_000))
    for name in ("cross_entropy", "kl_divergence", "j_divergence", "discrimination_information"):
        yield name, lambda name=name: getattr(it, name)(p, q)
    yield "entropy", lambda: it.entropy(p)
    yield "entropy of rows", lambda: it.entropy(rows, base=2)
    yield "entropy of columns", lambda: it.entropy(rows, axis=0)
    yield "joint_entropy", lambda: it.joint_entropy(joint[0])
    yield "conditional_entropy", lambda: it.conditional_entropy(joint[0])
    yield "mutual_information", lambda: it.mutual_information(joint[0])
    yield "mutual_information of labels", lambda: it.mutual_information(x, y)
    yield "conditional_mutual_information", lambda: it.conditional_mutual_information(joint)
    yield "interaction_information", lambda: it.interaction_information(joint)
    yield "entropy_of_labels", lambda: it.entropy_of_labels(x, correction="miller-madow")
    yield "entropy_of_samples", lambda: it.entropy_of_samples(p, 64)
    yield "contingency", lambda: it.contingency(x, y).counts
    yield "differential_entropy", lambda: it.differential_entropy(p[:5000])
    yield "prefix_code", lambda: it.prefix_code(q[:500], 3).lengths


def _gumbel() -> Iterator[tuple[str, Callable[[], object]]]:
    from examples import gumbel as it

    logits = np.random.default_rng(6).normal(0, 3, (40, 333))
    soft = it.gumbel_softmax(logits, 0.5, rng=7)
    yield "gumbel", lambda: it.gumbel.samples(10_000, rng=7)
    for dtype in (np.float64, np.float32):
        given = logits.astype(dtype)
        kind = np.dtype(dtype).name
        yield (
            f"gumbel_max, {kind}",
            lambda given=given: it.gumbel_max(given, rng=7, with_scores=True),
        )
        yield f"gumbel_top_k, {kind}", lambda given=given: it.gumbel_top_k(given, k=5, rng=7)
        yield f"gumbel_softmax, {kind}", lambda given=given: it.gumbel_softmax(given, rng=7)
    yield "gumbel_max of weights", lambda: it.gumbel_max(weights=np.exp(logits), rng=7)
    yield "straight_through", lambda: it.straight_through(logits, rng=7).hard
    yield "gumbel_softmax_vjp", lambda: it.gumbel_softmax_vjp(soft, logits, 0.5)
    yield "threefry4x64", lambda: it.threefry4x64([[1, 2, 3, 4]], [5, 6, 7, 8])


def _threads() -> Iterator[tuple[str, Callable[[], object]]]:
    from examples import threads as it

    a, b = np.random.default_rng(8).random((2, 150, 150))
    for kernel in ("ijk", "ikj", "tiled"):
        yield f"matmul, {kernel}", lambda kernel=kernel: it.matmul(a, b, kernel=kernel)
    yield "triad", lambda: it.triad(a.ravel(), b.ravel(), 1.5)
    yield "pi", lambda: it.pi(1_000_000)


def digests() -> dict[str, str]:
    """A digest of each answer's bytes, by what was asked."""
    told = {}
    for family in (_information, _gumbel, _threads):
        for name, answer in family():
            parts = answer()
            parts = parts if isinstance(parts, tuple) else (parts,)
            found = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
            told[f"{family.__name__.strip('_')}: {name}"] = hashlib.sha256(found).hexdigest()
    return told


def _run(folder: str, **variables: str) -> dict[str, dict[str, str]]:
    """What this script prints where `examples` is the one in a folder."""
    done = subprocess.run(
        [sys.executable, "-P", __file__],
        env={**os.environ, "PYTHONPATH": folder, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told: dict[str, dict[str, str]] = json.loads(done.stdout)
    return told


def compare(ahead: str, checkout: str) -> int:
    """Returns 0 if both folders' kernels give the same answers, 1 after telling which do not."""
    one = _run(ahead, CYHOT_DISABLE="1")
    other = _run(checkout, CYHOT_DISABLE="0", CYHOT_WATCH="0")
    for place, told, folder in (("ahead", one, ahead), ("hot", other, checkout)):
        strays = [at for at in told["modules"].values() if not at.startswith(folder + os.sep)]
        if strays or not told["modules"]:
            print(f"{place}: not the modules of {folder}: {strays}")
            return 1
    differing = [name for name in one["digests"] if one["digests"][name] != other["digests"][name]]
    for name in differing:
        print(f"{name}: hot and ahead of time differ")
    print(f"{len(one['digests']) - len(differing)} of {len(one['digests'])} answers are equal")
    return 1 if differing else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compare"]:
        sys.exit(compare(*map(os.path.abspath, sys.argv[2:])))
    answers = digests()
    modules = {
        name: str(module.__file__)
        for name, module in sys.modules.items()
        if name.startswith("examples.") and module.__file__
    }
    print(json.dumps({"digests": answers, "modules": modules}))
