"""Any number of threads may be asked for: the process lives on, and the result is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import examples
from examples.gumbel import gumbel_max
from examples.information import entropy
from examples.team import available_processors, available_threads, bounded, most_threads
from examples.threads import matmul, pi, triad

ROOT = Path(examples.__file__).parents[1]
FAR_TOO_MANY = (40_000, 10**6, 2**40)

DATA = """
import numpy as np
from examples.gumbel import (
    gumbel_max, gumbel_softmax, gumbel_softmax_vjp, gumbel_top_k, straight_through, stream,
)
from examples.information import (
    contingency, differential_entropy, discrimination_information, entropy, entropy_of_labels,
    entropy_of_samples, kl_divergence, mutual_information,
)
rng = np.random.default_rng(1)
p, q = rng.random((2, 100_000))
labels, others = rng.integers(0, 50, (2, 5000))
logits = rng.normal(size=(300, 40))
y = gumbel_softmax(logits, rng=1, threads=1)
"""


@pytest.mark.parametrize(
    "call",
    [
        "entropy(p, threads=T)",
        "entropy(p.reshape(-1, 10), threads=T)",
        "kl_divergence(p, q, threads=T)",
        "discrimination_information(p, q, threads=T)",
        "mutual_information(labels, others, threads=T)",
        "mutual_information(p, q, bins=9, threads=T)",
        "contingency(labels, others, threads=T).counts",
        "entropy_of_labels(labels, threads=T)",
        "entropy_of_samples(p, 9, threads=T)",
        "differential_entropy(p, threads=T)",
        "gumbel_max(logits, rng=1, threads=T)",
        "gumbel_top_k(logits, k=3, rng=1, threads=T)",
        "gumbel_softmax(logits, rng=1, threads=T)",
        "straight_through(logits, rng=1, threads=T).hard",
        "gumbel_softmax_vjp(y, logits, threads=T)",
        "stream(1).gumbel(100_000, threads=T)",
    ],
)
def test_a_great_number_of_threads_does_not_end_the_interpreter(call: str) -> None:
    """In a process of its own: where OpenMP is refused a thread, it ends the process."""
    program = f"{DATA}\none = {call.replace('T)', '1)')}\n" + "".join(
        f"assert np.array_equal({call.replace('T)', f'{threads})')}, one)\n"
        for threads in FAR_TOO_MANY
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_great_number_of_threads_in_the_environment_is_bounded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert available_threads() == most_threads()


def test_some_more_threads_than_processors_are_allowed() -> None:
    assert most_threads() >= max(16, 4 * available_processors())
    for threads in (1, 2, 16, most_threads()):
        assert bounded(threads) == threads


@pytest.mark.parametrize("threads", FAR_TOO_MANY)
def test_kernels_whose_scaling_is_measured_refuse_more_threads_than_they_would_get(
    threads: int,
) -> None:
    ones = np.ones((2, 2))
    told = f"threads must be at most {most_threads()} on this machine, not {threads}"
    for call in (
        lambda: matmul(ones, ones, threads=threads),
        lambda: triad(ones[0], ones[0], 1.0, threads=threads),
        lambda: pi(threads=threads),
    ):
        with pytest.raises(ValueError, match=told):
            call()


def test_half_a_thread_is_refused_and_numpys_integers_are_taken() -> None:
    weights = np.arange(1.0, 100.0)
    with pytest.raises(TypeError, match=r"threads is 1\.5, expected an integer"):
        entropy(weights, threads=1.5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"threads = 1\.5: expected an integer or None"):
        gumbel_max(weights, threads=1.5)  # type: ignore[call-overload]
    assert entropy(weights, threads=np.int64(2)) == entropy(weights)
    assert gumbel_max(weights, rng=1, threads=np.int32(2)) == gumbel_max(weights, rng=1)  # type: ignore[call-overload]
