"""What a kernel is measured against: one value a comparison, made by kernels_*.py.

benchmarks/kernels.py runs them: interleaved, on one thread and on two, with checked answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """One computation: ours, and others' ways to the same answer.

    Attributes:
        family: "information", "gumbel" or "threads".
        name: What is computed, e.g. "entropy".
        size: What it is computed of, e.g. "n = 1e6".
        ours: Computes it on so many threads as it is given.
        peers: Others' ways, by name, on one thread.
        check: Raises AssertionError if an answer of ours is not what a peer's is. None where the
            answers are random; then the tests compare distributions.
        bars: At least so many times faster than the peer, on one thread.
        scaling: At least so many times faster on two threads than on one, None if not promised.
    """

    family: str
    name: str
    size: str
    ours: Callable[[int], object]
    peers: Mapping[str, Callable[[], object]]
    check: Callable[[object, object], None] | None = None
    bars: Mapping[str, float] = field(default_factory=dict)
    scaling: float | None = None
