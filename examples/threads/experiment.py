"""Runs kernels in Python threads and OpenMP teams, and takes their time.

All setups of a kernel take turns, round after round, so that a slow moment of the machine falls on
all of them; what is told of one are medians, and of two the median of the rounds' own ratios.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .kernels import Kernel, Problem

FILL_SECONDS = 0.12  # a thread may wait for a core of its own for some hundredths of a second
MOST_RUNS = 9
CROWD = 1024  # threads at a time: many more, and a system may refuse one, which ends the process


@dataclass(frozen=True)
class Setup:
    """One way to run a kernel.

    Attributes:
        threads: How many Python threads share the units.
        team: How many OpenMP threads share the units of each (`prange`); 0 for no `prange`.
        release: Whether the GIL is released; with a team it always is.
        times: How many times the work of one thread is done in all.
    """

    threads: int
    team: int
    release: bool
    times: int

    @property
    def workers(self) -> int:
        """How many threads compute at a time, if nothing holds them up."""
        return self.threads * max(1, self.team)


@dataclass(frozen=True)
class Sample:
    """What one run took, or the median of several quick ones."""

    kernel: str
    setup: Setup
    round: int
    seconds: float


MODES = {
    "threads, held": lambda workers, times: Setup(workers, 0, False, times),
    "threads, released": lambda workers, times: Setup(workers, 0, True, times),
    "prange": lambda workers, times: Setup(1, workers, True, times),
}
"""The ways to put workers to work: Python threads, the GIL held or released; a `prange`'s team."""


def strong(workers: Sequence[int], modes: Iterable[str] = MODES) -> list[Setup]:
    """Returns the setups of strong scaling: one thread's work, shared by more and more."""
    return [MODES[mode](count, 1) for mode in modes for count in workers]


def weak(workers: Sequence[int], modes: Iterable[str] = MODES) -> list[Setup]:
    """Returns the setups of weak scaling: each worker has one thread's work of its own."""
    return [MODES[mode](count, count) for mode in modes for count in workers]


def article(threads: Sequence[int], cores: int) -> list[Setup]:
    """Returns the article's setups: each Python thread computes a product of its own.

    Without `prange`, threads that hold the GIL take turns. With a team of all cores in each, there
    are more threads than cores, as in the article; but setups of more than `CROWD` are left out.
    """
    setups = [
        Setup(count, team, release, count)
        for count in threads
        for release in (True, False)
        for team in (0, cores)
    ]
    return [setup for setup in setups if setup.workers <= CROWD]


def run(problem: Problem, setup: Setup) -> float:
    """Computes a problem in one way; returns the seconds that took.

    Raises:
        Exception: what the kernel raises, in whatever thread.
    """
    units = setup.times * problem.units
    bounds = [units * number // setup.threads for number in range(setup.threads + 1)]

    def part(number: int) -> None:
        problem.run(bounds[number], bounds[number + 1], release=setup.release, team=setup.team)

    if setup.threads == 1:
        start = time.perf_counter()
        part(0)
        return time.perf_counter() - start
    with ThreadPoolExecutor(setup.threads) as pool:
        # The threads are there before the clock runs, as an OpenMP team's are.
        met = threading.Barrier(setup.threads)
        for _ in pool.map(lambda _: met.wait(), range(setup.threads)):
            pass
        start = time.perf_counter()
        for _ in pool.map(part, range(setup.threads)):
            pass
        return time.perf_counter() - start


def several(problem: Problem, setup: Setup) -> float:
    """Runs a problem once, or if that is quick several times; returns the median of the seconds."""
    spent = [run(problem, setup)]
    while sum(spent) < FILL_SECONDS and len(spent) < MOST_RUNS:
        spent.append(run(problem, setup))
    return statistics.median(spent)


def sweep(
    kernel: Kernel,
    n: int,
    setups: Iterable[Setup],
    rounds: int,
    timed: Callable[[Problem, Setup], float] = several,
) -> Iterator[Sample]:
    """Runs a kernel in all setups that it can be run in, in turn; its answers are checked first.

    Raises:
        AssertionError: an answer is wrong.
    """
    chosen = list(dict.fromkeys(setups))
    problem = kernel.problem(n, max(setup.times for setup in chosen))
    timed(problem, chosen[0])
    problem.check(chosen[0].times * problem.units)
    for number in range(rounds):
        for setup in chosen:
            yield Sample(kernel.name, setup, number, timed(problem, setup))
            if not number:
                problem.check(setup.times * problem.units)


class Times:
    """The times of one kernel's setups."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._rounds: dict[Setup, dict[int, float]] = {}
        for sample in samples:
            self._rounds.setdefault(sample.setup, {})[sample.round] = sample.seconds

    def __contains__(self, setup: Setup) -> bool:
        return setup in self._rounds

    def __bool__(self) -> bool:
        return bool(self._rounds)

    def median(self, setup: Setup) -> float:
        """Returns the median of a setup's seconds."""
        return statistics.median(self._rounds[setup].values())

    def ratio(self, of: Setup, to: Setup) -> float | None:
        """Returns the median of the rounds' own ratios, None if no round has both."""
        first, second = self._rounds.get(of, {}), self._rounds.get(to, {})
        ratios = [first[number] / second[number] for number in first.keys() & second.keys()]
        return statistics.median(ratios) if ratios else None

    def relative(self, setups: Mapping[int, Setup]) -> dict[int, float]:
        """Returns, for each number of workers, its setup's time as a multiple of one worker's."""
        if 1 not in setups:
            return {}
        ratios = {count: self.ratio(setup, setups[1]) for count, setup in setups.items()}
        return {count: ratio for count, ratio in ratios.items() if ratio is not None}
