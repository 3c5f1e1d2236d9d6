"""All that was measured so far, and what it comes to for tables, pictures and programs: pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from . import laws
from .experiment import MODES, Sample, Setup, Times
from .kernels import KERNELS
from .laws import Roof
from .peers import Timed

ARTICLE = {
    (1, True, False): 3.47, (1, True, True): 0.82,
    (1, False, False): 3.51, (1, False, True): 0.89,
    (2, True, False): 3.78, (2, True, True): 1.79,
    (2, False, False): 6.96, (2, False, True): 1.81,
}  # fmt: skip
"""The article's seconds, by threads, GIL released, `prange`: order 1200, 4 cores, of 2021."""


@dataclass(frozen=True)
class Scaling:
    """One curve: one kernel, one way to put workers to work.

    Attributes:
        seconds: Medians by number of workers.
        relative: T(p) / T(1), the medians of the rounds' own ratios, by number of workers.
        flops: Floating-point operations in a second by number of workers; 0 where a kernel has
            none.
    """

    kernel: str
    mode: str
    seconds: dict[int, float]
    relative: dict[int, float]
    flops: dict[int, float]


@dataclass(frozen=True)
class Dot:
    """A kernel in the roofline: its best speed with a number of threads."""

    kernel: str
    threads: int
    intensity: float
    flops: float


@dataclass
class Results:
    """All that was measured so far.

    Attributes:
        n: The matrices' order.
        cores: How many processors there are to use.
        counts: The numbers of workers that were asked for.
    """

    n: int
    cores: int
    counts: Sequence[int]
    facts: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    roofs: list[Roof] = field(default_factory=list)
    timed: list[Timed] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def kernels(self) -> list[str]:
        """Returns the names of the kernels that there are samples of."""
        return list(dict.fromkeys(sample.kernel for sample in self.samples))

    def times(self, kernel: str) -> Times:
        """Returns one kernel's times."""
        return Times(sample for sample in self.samples if sample.kernel == kernel)

    def article(self) -> Iterator[tuple[int, bool, bool, float, float | None, float | None]]:
        """Yields rows of the article's table.

        Yields:
            Threads, GIL released, `prange`, our seconds, those as a multiple of one thread's, the
            article's seconds.
        """
        times = self.times("ijk")
        for threads in self.counts:
            for release in (True, False):
                for team in (0, self.cores):
                    setup = Setup(threads, team, release, threads)
                    if setup in times:
                        one = Setup(1, team, release, 1)
                        yield (
                            threads, release, bool(team), times.median(setup),
                            times.ratio(setup, one),
                            ARTICLE.get((threads, release, bool(team))),
                        )  # fmt: skip

    def curves(self, kernel: str, *, weak: bool = False) -> Iterator[Scaling]:
        """Yields a kernel's curve for each mode: strong scaling, or weak."""
        times = self.times(kernel)
        flops = KERNELS[kernel].cost(self.n).flops
        for mode, setup_of in MODES.items():
            setups = {count: setup_of(count, count if weak else 1) for count in self.counts}
            setups = {count: setup for count, setup in setups.items() if setup in times}
            if setups:
                seconds = {count: times.median(setup) for count, setup in setups.items()}
                yield Scaling(
                    kernel, mode, seconds, times.relative(setups),
                    {p: flops * setups[p].times / spent for p, spent in seconds.items()},
                )  # fmt: skip

    def serial_fraction(self, curve: Scaling) -> float | None:
        """Returns Amdahl's serial fraction, from as many workers as there are cores for."""
        return laws.serial_fraction({p: t for p, t in curve.relative.items() if p <= self.cores})

    def dots(self) -> Iterator[Dot]:
        """Yields the roofline's points."""
        for kernel in self.kernels():
            cost = KERNELS[kernel].cost(self.n)
            for roof in self.roofs:
                speeds = [
                    curve.flops[roof.threads]
                    for curve in self.curves(kernel)
                    if roof.threads in curve.flops
                ]
                if cost.flops and speeds:
                    yield Dot(kernel, roof.threads, cost.intensity, max(speeds))

    def peers(self) -> Iterator[tuple[str, int, int, float, float | None]]:
        """Yields a row for each peer and number of threads.

        Yields:
            Name, the matrices' order, threads, median seconds, speed-up over one thread.
        """
        spent = {(t.peer, t.threads, t.round): t.seconds for t in self.timed}
        for name, n, threads in dict.fromkeys((t.peer, t.n, t.threads) for t in self.timed):
            rounds = [key[2] for key in spent if key[:2] == (name, threads)]
            median = statistics.median(spent[name, threads, number] for number in rounds)
            faster = [
                spent[name, 1, number] / spent[name, threads, number]
                for number in rounds
                if (name, 1, number) in spent
            ]
            yield name, n, threads, median, statistics.median(faster) if faster else None

    def as_json(self) -> dict[str, object]:
        """Returns everything, for a program to read; times in seconds."""

        def told(curve: Scaling) -> dict[str, object]:
            return asdict(curve) | {"serial_fraction": self.serial_fraction(curve)}

        return {
            "facts": self.facts,
            "n": self.n,
            "cores": self.cores,
            "threads": list(self.counts),
            "article": [
                {"threads": p, "released": release, "prange": team, "seconds": seconds,
                 "relative": relative, "article_seconds": theirs}
                for p, release, team, seconds, relative, theirs in self.article()
            ],
            "strong": [told(curve) for kernel in self.kernels() for curve in self.curves(kernel)],
            "weak": [
                asdict(curve)
                for kernel in self.kernels()
                for curve in self.curves(kernel, weak=True)
            ],
            "roofs": [*map(asdict, self.roofs)],
            "roofline": [*map(asdict, self.dots())],
            "peers": [*map(asdict, self.timed)],
            "absent": self.absent,
            "samples": [*map(asdict, self.samples)],
        }  # fmt: skip
