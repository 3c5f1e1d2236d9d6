"""Entropy and its family against scipy, scikit-learn, infomeasure and what one writes with NumPy.

infomeasure takes no weights, only observations: it is compared where labels and samples are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from kernel_case import Case
from numpy.typing import NDArray

SEED = 1948


def cases() -> Iterator[Case]:
    """Yields the cases; each one's arrays are made when it is asked for."""
    yield from _weights()
    yield from _rows()
    yield from _labels()
    yield from _samples()


def _close(answer: object, expected: object) -> None:
    np.testing.assert_allclose(answer, expected, rtol=1e-10)  # type: ignore[arg-type]


def _weights() -> Iterator[Case]:
    import scipy.stats

    from examples.information import entropy, kl_divergence

    rng = np.random.default_rng(SEED)
    for n, size, entropy_bar, kl_bar in (
        (10**3, "n = 1e3", 50, 50), (10**6, "n = 1e6", 9, 16), (10**7, "n = 1e7", 7, 16),
    ):  # fmt: skip
        p, q = rng.random(n), rng.random(n)
        # What is scheduled on two threads only where it is worth it has no second time to show.
        scaling = 1.8 if n >= 10**6 else None
        yield Case(
            "information", "entropy", size,
            lambda threads, p=p: entropy(p, threads=threads),
            {"scipy.stats.entropy": lambda p=p: scipy.stats.entropy(p)},
            _close, {"scipy.stats.entropy": entropy_bar}, scaling,
        )  # fmt: skip
        if n == 10**7:
            yield Case(
                "information", "entropy, always on two threads", size,
                lambda threads, p=p: entropy(p, threads=2),
                {"numpy.sum, which only reads": lambda p=p: p.sum()},
                None, {"numpy.sum, which only reads": 1 / 1.5},
            )  # fmt: skip
        yield Case(
            "information", "kl_divergence", size,
            lambda threads, p=p, q=q: kl_divergence(p, q, threads=threads),
            {"scipy.stats.entropy": lambda p=p, q=q: scipy.stats.entropy(p, q)},
            _close, {"scipy.stats.entropy": kl_bar},
        )  # fmt: skip


def _rows() -> Iterator[Case]:
    import scipy.stats

    from examples.information import entropy

    rng = np.random.default_rng(SEED)
    for shape in ((10**6, 3), (10**4, 100)):
        rows = rng.random(shape)
        yield Case(
            "information", "entropy of rows", f"{shape[0]:,} x {shape[1]}",
            lambda threads, rows=rows: entropy(rows, threads=threads),
            {"scipy.stats.entropy": lambda rows=rows: scipy.stats.entropy(rows, axis=1)},
            _close,
        )  # fmt: skip
    single = rng.random(10**6, np.float32)
    yield Case(
        "information", "entropy", "n = 1e6, float32",
        lambda threads: entropy(single, threads=threads),
        {"scipy.stats.entropy": lambda: scipy.stats.entropy(single)},
        lambda answer, expected: np.testing.assert_allclose(answer, expected, rtol=1e-5),  # type: ignore[arg-type, call-overload]
    )  # fmt: skip


def _labels() -> Iterator[Case]:
    import infomeasure
    from sklearn.metrics import mutual_info_score

    from examples.information import entropy_of_labels, mutual_information

    rng = np.random.default_rng(SEED)
    for n, size in ((10**5, "1e5 labels, 256 x 256"), (10**7, "1e7 labels, 256 x 256")):
        x = rng.integers(0, 256, n)
        y = (x + rng.integers(0, 200, n)) % 256
        peers = {
            "sklearn.metrics.mutual_info_score": lambda x=x, y=y: mutual_info_score(x, y),
            "numpy.bincount(x * 256 + y)": lambda x=x, y=y: _by_bincount(x, y),
        }
        if n == 10**5:  # it keeps its counts in a dict, in Python
            peers["infomeasure.mutual_information"] = lambda x=x, y=y: (
                infomeasure.mutual_information(x, y, approach="discrete")
            )
        yield Case(
            "information", "mutual_information", size,
            lambda threads, x=x, y=y: mutual_information(x, y, threads=threads),
            peers, _close,
            {"sklearn.metrics.mutual_info_score": 5, "numpy.bincount(x * 256 + y)": 2}
            if n == 10**7 else {},
        )  # fmt: skip
    x = rng.integers(0, 1000, 10**6)
    yield Case(
        "information", "entropy_of_labels", "1e6 labels of 1000",
        lambda threads: entropy_of_labels(x, threads=threads),
        {"infomeasure.entropy": lambda: infomeasure.entropy(x, approach="discrete")},
        _close,
    )  # fmt: skip


def _by_bincount(x: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    joint = np.bincount(x * 256 + y, minlength=65536).reshape(256, 256) / x.size
    independent = np.outer(joint.sum(1), joint.sum(0))
    seen = joint > 0
    return float(np.sum(joint[seen] * np.log(joint[seen] / independent[seen])))


def _samples() -> Iterator[Case]:
    import infomeasure

    from examples.information import differential_entropy

    samples = np.random.default_rng(SEED).normal(size=10**5)

    def ours(threads: int) -> Any:
        return differential_entropy(samples, k=3, threads=threads)

    yield Case(
        "information", "differential_entropy", "1e5 samples, third neighbour", ours,
        {"infomeasure.entropy": lambda: infomeasure.entropy(samples, approach="kl", k=3)},
        lambda answer, expected: np.testing.assert_allclose(answer, expected, rtol=1e-6),  # type: ignore[arg-type, call-overload]
    )  # fmt: skip
