"""What examples/threads is measured against: BLAS, numba, NumPy, and itself with the GIL held."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from examples.threads.article import ijk
from kernel_case import Case

from examples.threads import matmul, pi, triad

N = 1200  # the article's
TERMS = 100_000_000
LENGTH = 10_000_000


def cases() -> Iterator[Case]:
    """Yields the cases, one at a time: their arrays are large."""
    yield _tiled()
    yield _shared()
    yield _each("GIL released", release=True, scaling=1 / 1.15)
    yield _each("GIL held", release=False, scaling=None)
    yield _pi()
    yield _triad()


def _matrices() -> tuple[Any, Any]:
    random = np.random.default_rng(1200)
    return random.random((N, N)), random.random((N, N))


def _check(ours: object, expected: object) -> None:
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def _tiled() -> Case:
    a, b = _matrices()
    out = np.empty((N, N))
    return Case(
        family="threads",
        name="matmul, tiled",
        size=f"n = {N}",
        ours=lambda threads: matmul(a, b, out=out, threads=threads),
        peers={
            "NumPy (BLAS)": lambda: a @ b,
            "ijk": lambda: matmul(a, b, kernel="ijk", threads=1),
            "ikj": lambda: matmul(a, b, kernel="ikj", threads=1),
        },
        check=_check,
        bars={"NumPy (BLAS)": 0.35, "ijk": 10},
    )


def _shared() -> Case:
    a, b = _matrices()
    out = np.empty((N, N))
    return Case(
        family="threads",
        name="matmul, ijk, rows shared by prange",
        size=f"n = {N}",
        ours=lambda threads: matmul(a, b, out=out, threads=threads, kernel="ijk"),
        peers={"numba, ijk": _numba(a, b)},
        check=_check,
        scaling=1.8,
    )


def _numba(a: Any, b: Any) -> Callable[[], Any]:
    import numba

    @numba.njit(nogil=True)
    def product(a: Any, b: Any, out: Any) -> None:
        for i in range(a.shape[0]):
            for j in range(b.shape[1]):
                out[i, j] = 0.0
                for k in range(a.shape[1]):
                    out[i, j] += a[i, k] * b[k, j]

    result = np.empty((N, N))

    def computed() -> Any:
        product(a, b, result)
        return result

    return computed


def _each(what: str, *, release: bool, scaling: float | None) -> Case:
    """The article's experiment: each Python thread computes a product of its own.

    What a second thread "brings" is then at best nothing: twice the work in the same time. With the
    GIL held, the two take turns.
    """
    a, b = _matrices()
    outs = [np.empty((N, N)) for _ in range(2)]
    pool = ThreadPoolExecutor(2)

    def products(threads: int) -> object:
        return [*pool.map(lambda out: ijk(a, b, out, release=release), outs[:threads])]

    return Case(
        family="threads",
        name=f"ijk, {what}: as many products as threads",
        size=f"n = {N}",
        ours=products,
        peers={},
        scaling=scaling,
    )


def _pi() -> Case:
    def series() -> float:
        odd = np.arange(1.0, 2.0 * TERMS, 2.0)
        np.reciprocal(odd, out=odd)
        return 4 * float(odd[::2].sum() - odd[1::2].sum())

    def check(ours: object, expected: object) -> None:
        assert math.isclose(ours, expected, abs_tol=2 / TERMS), (ours, expected)  # type: ignore[arg-type]

    return Case(
        family="threads",
        name="Leibniz's series for pi",
        size=f"{TERMS:.0e} terms",
        ours=lambda threads: pi(TERMS, threads=threads),
        peers={"NumPy": series},
        check=check,
    )


def _triad() -> Case:
    random = np.random.default_rng(1200)
    b, c = random.random(LENGTH), random.random(LENGTH)
    out, theirs = np.empty(LENGTH), np.empty(LENGTH)

    def two_passes() -> Any:
        np.multiply(c, 3.0, out=theirs)
        return np.add(theirs, b, out=theirs)

    return Case(
        family="threads",
        name="triad",
        size=f"{LENGTH:.0e} doubles",
        ours=lambda threads: triad(b, c, 3.0, out=out, threads=threads),
        peers={"NumPy": two_passes},
        check=_check,
    )
