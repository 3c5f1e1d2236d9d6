"""Random numbers by key and index, of which each function of this package uses a range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from . import _arguments, _stream


@dataclass(frozen=True)
class Stream:
    """Random numbers of which the i-th depends on key and i alone.

    They come from Threefry-4x64-20 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
    easy as 1, 2, 3", SC11, 2011). A stream does not change when numbers are taken from it: the same
    stream gives the same numbers again, on any number of threads and on any processor. For others,
    take another seed, or a later part of the stream (skip).

    Attributes:
        key: Four integers below 2**64.
        start: Index of the first number that is used.
    """

    key: tuple[int, int, int, int]
    start: int = 0

    def __post_init__(self) -> None:
        if len(self.key) != 4 or not all(0 <= word < 2**64 for word in self.key):
            raise ValueError(f"key = {self.key}: expected four integers from 0 to 2**64 - 1")
        if not 0 <= self.start < 2**64:
            raise ValueError(f"start = {self.start}: expected an integer from 0 to 2**64 - 1")

    @property
    def words(self) -> npt.NDArray[np.uint64]:
        """The key as an array, shape (4,)."""
        return np.array(self.key, np.uint64)

    def skip(self, count: int) -> Stream:
        """The stream without its first numbers.

        A draw from m distributions of n categories takes m * n numbers: gumbel_max of a batch with
        stream.skip(i * n) gives what row i on of the whole batch gives with stream.
        """
        return replace(self, start=self.start + count)

    def uniform(
        self,
        size: _arguments.Size = None,
        *,
        dtype: npt.DTypeLike = np.float64,
        threads: int | None = None,
    ) -> npt.NDArray[np.floating]:
        """Uniforms on (0, 1): odd multiples of 2**-53, with 52 random bits, never 0 or 1.

        Args:
            size: Shape of the result; None is one number, shape ().
            dtype: float64, or float32: the same numbers rounded, which may then be 1.
            threads: How many threads to use, None for all.
        """
        return self._filled(size, dtype, threads, as_gumbel=False)

    def gumbel(
        self,
        size: _arguments.Size = None,
        *,
        dtype: npt.DTypeLike = np.float64,
        threads: int | None = None,
    ) -> npt.NDArray[np.floating]:
        """Standard Gumbel variates -log(-log(1 - v)) of the uniforms v, from -3.61 to 36.74.

        Args: as for uniform.
        """
        return self._filled(size, dtype, threads, as_gumbel=True)

    def _filled(
        self, size: _arguments.Size, dtype: npt.DTypeLike, threads: int | None, as_gumbel: bool
    ) -> npt.NDArray[np.floating]:
        shape = _arguments.result_shape(size, ())
        out = np.empty(prod(shape), _arguments.float_type(dtype))
        threads = _arguments.thread_count(threads)
        if out.size:
            _stream.fill(out, self.start, as_gumbel, self.words, threads)
        return out.reshape(shape)


Seed = Stream | np.random.Generator | np.random.BitGenerator | np.random.SeedSequence | int | None


def stream(seed: Seed = None) -> Stream:
    """Make a stream.

    Args:
        seed: A Stream is used as it is. From a numpy.random.Generator or BitGenerator the key is
            drawn, so that each call has other numbers and the generator's own seed determines
            them. A SeedSequence or an integer always gives the same stream. None takes the
            operating system's randomness.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(seed, Stream):
        return seed
    if isinstance(seed, np.random.BitGenerator):
        seed = np.random.Generator(seed)
    if isinstance(seed, np.random.Generator):
        words = seed.integers(0, 2**64, size=4, dtype=np.uint64)
    elif isinstance(seed, np.random.SeedSequence):
        words = seed.generate_state(4, np.uint64)
    elif seed is None or isinstance(seed, int | np.integer):
        words = np.random.SeedSequence(None if seed is None else int(seed)).generate_state(
            4, np.uint64
        )
    else:
        raise TypeError(
            f"rng is a {type(seed).__name__}: expected a Stream, a numpy.random.Generator, "
            "BitGenerator or SeedSequence, an integer or None"
        )
    first, second, third, fourth = map(int, words)
    return Stream((first, second, third, fourth))


def threefry4x64(counters: npt.ArrayLike, key: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Threefry-4x64-20 itself: random words of counters (Salmon et al. 2011, section 3.3).

    Args:
        counters: Integers, shape (n, 4).
        key: Integers, shape (4,).

    Returns:
        Random words, shape (n, 4).
    """
    blocks = np.ascontiguousarray(counters, np.uint64)
    words = np.ascontiguousarray(key, np.uint64)
    if blocks.ndim != 2 or blocks.shape[1] != 4 or words.shape != (4,):
        raise ValueError(
            f"counters have shape {blocks.shape} and key {words.shape}: expected (n, 4) and (4,)"
        )
    out = np.empty_like(blocks)
    _stream.threefry4x64(blocks, words, out)
    return out
