"""What times say of scaling, and what limits speed: pure, numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


def speedup(relative: Mapping[int, float]) -> dict[int, float]:
    """Returns how many times faster p workers do the same work.

    Args:
        relative: For each number of workers p, their time divided by one worker's: T(p) / T(1).
    """
    return {p: 1 / time for p, time in relative.items()}


def strong_efficiency(relative: Mapping[int, float]) -> dict[int, float]:
    """Returns what part of p workers' time is of use where they share one worker's work.

    Args:
        relative: T(p) / T(1) by p, for the same work.
    """
    return {p: 1 / (p * time) for p, time in relative.items()}


def weak_efficiency(relative: Mapping[int, float]) -> dict[int, float]:
    """Returns what part of p workers' time is of use where each has one worker's work.

    Args:
        relative: T(p) / T(1) by p, for p times the work.
    """
    return {p: 1 / time for p, time in relative.items()}


def serial_fraction(relative: Mapping[int, float]) -> float | None:
    """Fits Amdahl's law, T(p) = T(1) (s + (1 - s) / p), by least squares.

    Amdahl, "Validity of the single processor approach to achieving large scale computing
    capabilities" (AFIPS, 1967). With one p besides 1, the fit is Karp and Flatt's metric
    ("Measuring parallel processor performance", CACM 33(5), 1990).

    Args:
        relative: T(p) / T(1) by p, for the same work; p no more than there are processors, since
            others have none to run on.

    Returns:
        s, the part of the work that is done by one worker at a time, from 0 to 1; None if there is
        no p but 1.
    """
    points = [(1 - 1 / p, time - 1 / p) for p, time in relative.items() if p > 1]
    if not points:
        return None
    slope = sum(x * y for x, y in points) / sum(x * x for x, _ in points)
    return min(1.0, max(0.0, slope))


def amdahl(s: float, p: float) -> float:
    """Returns the speed-up of p workers where a part s of the work is serial."""
    return 1 / (s + (1 - s) / p)


@dataclass(frozen=True)
class Roof:
    """What a number of threads can do at most: Williams, Waterman and Patterson's roofline.

    "Roofline: an insightful visual performance model for multicore architectures", CACM 52(4),
    2009.

    Attributes:
        threads: How many.
        flops: Floating-point operations in a second, from registers.
        bandwidth: Bytes to and from memory in a second.
    """

    threads: int
    flops: float
    bandwidth: float

    def at(self, intensity: float) -> float:
        """Returns the most flops in a second at so many flops for each byte."""
        return min(self.flops, self.bandwidth * intensity)

    @property
    def ridge(self) -> float:
        """The intensity, in flops for each byte, from which memory is no longer the limit."""
        return self.flops / self.bandwidth if self.bandwidth else math.inf
