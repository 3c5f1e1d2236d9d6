"""What is measured: each kernel with its data, cut into units that threads can share.

A problem is made for several times the work of one thread: strong scaling shares one time's units
among threads, weak scaling gives each thread a time of its own.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from . import article, shapes, tiled


@dataclass(frozen=True)
class Cost:
    """What one thread's work is.

    Attributes:
        units: How many units.
        flops: Floating-point operations of all of them, 0 where those are not what a kernel does.
        traffic: Bytes to and from memory that they need at least.
    """

    units: int
    flops: float = 0.0
    traffic: float = 0.0

    @property
    def intensity(self) -> float:
        """Flops for each byte to or from memory; inf where there is none."""
        return self.flops / self.traffic if self.traffic else math.inf


class Problem(ABC):
    """A kernel's data, for several times one thread's work."""

    def __init__(self, units: int) -> None:
        self.units = units
        """Of one thread's work."""

    @abstractmethod
    def run(self, first: int, last: int, *, release: bool, team: int) -> None:
        """Computes units `first` to `last`, as the kernels' `release` and `team` say."""

    @abstractmethod
    def check(self, units: int) -> None:
        """Raises AssertionError if the first units, which were computed, are wrong."""


class Product(Problem):
    """``out = a @ b`` of n x n matrices; a unit is a row of `a` and `out`."""

    def __init__(self, multiply: Callable[..., None], n: int, times: int) -> None:
        random = np.random.default_rng(1200)
        self._multiply = multiply
        self._a = random.random((times * n, n))
        self._b = random.random((n, n))
        self._out = np.zeros((times * n, n))
        super().__init__(self.cost(n).units)

    @staticmethod
    def cost(n: int) -> Cost:
        return Cost(n, 2.0 * n**3, 24.0 * n * n)

    def run(self, first: int, last: int, *, release: bool, team: int) -> None:
        rows = slice(first, last)
        self._multiply(self._a[rows], self._b, self._out[rows], release=release, team=team)

    def check(self, units: int) -> None:
        expected = self._a[:units] @ self._b
        np.testing.assert_allclose(self._out[:units], expected, rtol=1e-12)


class Triad(Problem):
    """``out = b + 3 c``, several times over; a unit is an element."""

    PASSES = 8  # of one alone, most would be the time that a sleeping thread takes to begin

    def __init__(self, n: int, times: int) -> None:
        random = np.random.default_rng(1200)
        super().__init__(self.cost(n).units)
        self._b, self._c = (random.random(times * self.units) for _ in "bc")
        self._out = np.zeros(times * self.units)

    @staticmethod
    def cost(n: int) -> Cost:
        units = 4 * n * n
        return Cost(units, 2.0 * Triad.PASSES * units, 24.0 * Triad.PASSES * units)

    def run(self, first: int, last: int, *, release: bool, team: int) -> None:
        b, c, out = (array[first:last] for array in (self._b, self._c, self._out))
        for _ in range(self.PASSES):
            shapes.triad(b, c, 3.0, out, release=release, team=team)

    def check(self, units: int) -> None:
        some = slice(0, units, 101)
        np.testing.assert_allclose(self._out[some], self._b[some] + 3 * self._c[some], rtol=1e-15)


class Pi(Problem):
    """Leibniz's series; a unit is a block of terms, each a division and an addition."""

    def __init__(self, n: int, times: int) -> None:
        super().__init__(self.cost(n).units)
        self._sums = np.zeros(times * self.units)

    @staticmethod
    def cost(n: int) -> Cost:
        units = max(1, n * n // 20)
        return Cost(units, 4.0 * units * shapes.PAIRS_PER_BLOCK)

    def run(self, first: int, last: int, *, release: bool, team: int) -> None:
        shapes.pi_blocks(self._sums[first:last], first, release=release, team=team)

    def check(self, units: int) -> None:
        terms = 2.0 * units * shapes.PAIRS_PER_BLOCK
        total = 4 * math.fsum(self._sums[:units])
        assert 0.99 / terms < math.pi - total < 1.01 / terms, total


class Allocations(Problem):
    """malloc and free; a unit is a round of blocks."""

    def __init__(self, n: int, times: int) -> None:
        super().__init__(self.cost(n).units)
        self._sums = np.zeros(times * self.units, np.int64)

    @staticmethod
    def cost(n: int) -> Cost:
        return Cost(max(1, n * n // 720))

    def run(self, first: int, last: int, *, release: bool, team: int) -> None:
        shapes.allocate(self._sums[first:last], first, release=release, team=team)

    def check(self, units: int) -> None:
        # Sizes are spread evenly from 16 to 4096: a round's mean is 2056 within six deviations.
        means = self._sums[:units] / shapes.BLOCKS_PER_ROUND
        assert (abs(means - 2056) < 6 * 1178 / shapes.BLOCKS_PER_ROUND**0.5).all(), means


class Callbacks(Problem):
    """Steps without the GIL, and a Python call after each `EVERY` of them: a unit."""

    EVERY = 1000

    def __init__(self, n: int, times: int) -> None:
        super().__init__(self.cost(n).units)
        self._sums = np.zeros(times * self.units)

    @staticmethod
    def cost(n: int) -> Cost:
        units = max(1, n * n // 48)
        return Cost(units, 3.0 * units * Callbacks.EVERY)

    def run(self, first: int, last: int, *, release: bool, team: int) -> None:
        told: list[int] = []
        shapes.call_back(
            told.append, self._sums[first:last], self.EVERY, release=release, team=team
        )
        assert len(told) == last - first, told

    def check(self, units: int) -> None:
        np.testing.assert_allclose(self._sums[:units], math.sqrt(2), rtol=1e-15)


@dataclass(frozen=True)
class Kernel:
    """Something to measure.

    Attributes:
        name: As the command line has it.
        limit: What it runs out of.
        module: The `.pyx` that it is in.
        problem: Makes the data: of matrices' order n, which sets all kernels' sizes, and so many
            times one thread's work.
        cost: What one thread's work is, by n.
    """

    name: str
    limit: str
    module: str
    problem: Callable[[int, int], Problem]
    cost: Callable[[int], Cost]


def _product(name: str, limit: str, multiply: Callable[..., None], module: str) -> Kernel:
    return Kernel(name, limit, module, partial(Product, multiply), Product.cost)


_SHAPES = shapes.__name__
_EVERY = (
    _product("ijk", "waiting for memory, column by column", article.ijk, article.__name__),
    _product("ikj", "reading caches", tiled.ikj, tiled.__name__),
    _product("tiled", "arithmetic", tiled.tiled, tiled.__name__),
    Kernel("triad", "the memory's bandwidth", _SHAPES, Triad, Triad.cost),
    Kernel("pi", "arithmetic: divisions", _SHAPES, Pi, Pi.cost),
    Kernel("allocate", "the allocator", _SHAPES, Allocations, Allocations.cost),
    Kernel("callback", "the GIL, taken back", _SHAPES, Callbacks, Callbacks.cost),
)
KERNELS = {kernel.name: kernel for kernel in _EVERY}
