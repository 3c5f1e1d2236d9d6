"""Other ways to use several cores for a matrix product, each with as many threads as it is given.

A way is a function of the number of threads that computes one product, and is warm: processes
run, code is compiled. What a way needs that is not installed makes it raise `Absent`.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import shared_memory
from typing import Any

import numpy as np
import threadpoolctl

from . import article

Way = Callable[[], object]
PURE = 120
"""Of what order pure Python's matrices are: 1200 would take minutes."""


class Absent(Exception):
    """What a way needs is not installed."""


@dataclass(frozen=True)
class Peer:
    """Another way to the product.

    Attributes:
        name: As it is shown.
        start: Makes it ready for matrices of an order and a number of threads.
        most: The order of the largest matrices that it is measured with.
    """

    name: str
    start: Callable[[int, int], AbstractContextManager[Way]]
    most: int = sys.maxsize


def _matrices(n: int) -> tuple[Any, Any]:
    random = np.random.default_rng(1200)
    return random.random((n, n)), random.random((n, n))


def _shares(n: int, threads: int) -> list[tuple[int, int]]:
    return [(n * k // threads, n * (k + 1) // threads) for k in range(threads)]


@contextmanager
def _numpy(n: int, threads: int) -> Iterator[Way]:
    a, b = _matrices(n)
    controller = threadpoolctl.ThreadpoolController()

    def product() -> Any:
        with controller.limit(limits=threads, user_api="blas"):
            return a @ b

    yield product


@contextmanager
def _pure_python(n: int, threads: int) -> Iterator[Way]:
    a, b = (matrix.tolist() for matrix in _matrices(n))

    def rows(first: int, last: int) -> list[list[float]]:
        columns = list(zip(*b, strict=True))
        return [
            [sum(x * y for x, y in zip(row, column, strict=True)) for column in columns]
            for row in a[first:last]
        ]

    with ThreadPoolExecutor(threads) as pool:

        def product() -> list[list[float]]:
            shares = [pool.submit(rows, *share) for share in _shares(n, threads)]
            return [row for share in shares for row in share.result()]

        yield product


def _rows_in_process(names: tuple[str, str, str], n: int, first: int, last: int) -> None:
    with ExitStack() as opened:
        blocks = [shared_memory.SharedMemory(name) for name in names]
        for block in blocks:
            opened.callback(block.close)
        a, b, out = (np.ndarray((n, n), buffer=block.buf) for block in blocks)
        article.ijk(a[first:last], b, out[first:last])
        del a, b, out  # they use the blocks, which could not be closed


@contextmanager
def _processes(n: int, threads: int) -> Iterator[Way]:
    """The article's loop in processes that share the matrices' memory."""
    with ExitStack() as opened:
        blocks = [shared_memory.SharedMemory(create=True, size=8 * n * n) for _ in "abc"]
        for block in blocks:
            opened.callback(block.unlink)
            opened.callback(block.close)
        for matrix, block in zip(_matrices(n), blocks, strict=False):
            np.ndarray((n, n), buffer=block.buf)[:] = matrix
        names = tuple(block.name for block in blocks)
        # Not forked: a child of a process with OpenMP threads lacks them, and waits for them.
        context = multiprocessing.get_context("spawn")
        pool = opened.enter_context(ProcessPoolExecutor(threads, context))

        def product() -> Any:
            shares = _shares(n, threads)
            done = [pool.submit(_rows_in_process, names, n, *share) for share in shares]
            for share in done:
                share.result()
            return np.ndarray((n, n), buffer=blocks[2].buf).copy()

        yield product


@contextmanager
def _numba(n: int, threads: int) -> Iterator[Way]:
    """The article's loop, compiled by numba, its rows shared by numba's own `prange`."""
    try:
        import numba
    except ImportError as error:
        raise Absent("numba is not installed: pip install numba") from error

    @numba.njit(parallel=True, nogil=True)
    def ijk(a: Any, b: Any, out: Any) -> None:
        for i in numba.prange(a.shape[0]):
            for j in range(b.shape[1]):
                out[i, j] = 0.0
                for k in range(a.shape[1]):
                    out[i, j] += a[i, k] * b[k, j]

    if threads > numba.config.NUMBA_NUM_THREADS:
        raise Absent(f"numba was started for {numba.config.NUMBA_NUM_THREADS} threads")
    a, b = _matrices(n)
    out = np.empty((n, n))

    def product() -> Any:
        numba.set_num_threads(threads)
        ijk(a, b, out)
        return out

    yield product


PEERS = (
    Peer("NumPy's matmul (BLAS)", _numpy),
    Peer("numba, ijk", _numba),
    Peer("multiprocessing, ijk", _processes),
    Peer("pure Python in threads", _pure_python, most=PURE),
)


@dataclass(frozen=True)
class Timed:
    """What one product of a peer took."""

    peer: str
    n: int
    threads: int
    round: int
    seconds: float


def compare(n: int, counts: Sequence[int], rounds: int) -> Iterator[Timed | str]:
    """Times all peers with all numbers of threads, in turn; their answers are checked first.

    Yields:
        What each run took, and before that, a sentence for each peer that is absent.

    Raises:
        AssertionError: an answer is wrong.
    """
    with ExitStack() as opened:
        ways: list[tuple[Peer, int, int, Way]] = []
        for peer in PEERS:
            order = min(n, peer.most)
            try:
                for threads in counts:
                    way = opened.enter_context(peer.start(order, threads))
                    ways.append((peer, order, threads, way))
            except Absent as error:
                yield f"{peer.name}: not measured: {error}"
        for _peer, order, _threads, way in ways:
            a, b = _matrices(order)
            np.testing.assert_allclose(np.asarray(way()), a @ b, rtol=1e-12)
        for number in range(rounds):
            for peer, order, threads, way in ways:
                start = time.perf_counter()
                way()
                yield Timed(peer.name, order, threads, number, time.perf_counter() - start)
