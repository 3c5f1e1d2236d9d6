"""The kernels as functions of arrays: arguments looked at here, arithmetic done in the `.pyx`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..team import available_threads, most_threads
from . import article, shapes, tiled

Matrix = NDArray[np.float64]
PRODUCTS: dict[str, Callable[..., None]] = {
    "ijk": article.ijk,
    "ikj": tiled.ikj,
    "tiled": tiled.tiled,
}


def _team(threads: int | None) -> int:
    """The number of OpenMP threads, 0 for none: one thread needs no team.

    Raises:
        TypeError: threads is no integer.
        ValueError: threads is below 1 or above `most_threads()`.
    """
    if threads is None:
        threads = available_threads()
    try:
        threads = operator.index(threads)
    except TypeError:
        raise TypeError(f"threads must be an integer or None, not {threads!r}") from None
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if threads > most_threads():
        raise ValueError(f"threads must be at most {most_threads()} on this machine, not {threads}")
    return 0 if threads == 1 else threads


def _real(name: str, values: ArrayLike, dimensions: int) -> Matrix:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name} must have real numbers that fit into float64, not dtype {array.dtype}"
        )
    if array.ndim != dimensions:
        raise ValueError(
            f"{name} must have {dimensions} dimension{'s' * (dimensions > 1)}, "
            f"not shape {array.shape}"
        )
    return np.require(array, np.float64, "A")


def _result(out: Matrix | None, shape: tuple[int, ...], *inputs: Matrix) -> Matrix:
    if out is None:
        return np.empty(shape)
    if not isinstance(out, np.ndarray) or out.dtype != np.float64 or out.shape != shape:
        told = getattr(out, "dtype", type(out).__name__), getattr(out, "shape", None)
        raise ValueError(f"out must be a float64 array of shape {shape}, not {told[0]}, {told[1]}")
    if not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
        raise ValueError("out must be writeable, aligned and C-contiguous")
    if any(np.may_share_memory(out, one) for one in inputs):
        raise ValueError("out must not share memory with an input")
    return out


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    *,
    out: Matrix | None = None,
    threads: int | None = None,
    kernel: str = "tiled",
) -> Matrix:
    """Returns the matrix product ``a @ b``; the GIL is released meanwhile.

    Args:
        a: Real numbers of shape (m, k), in any strides; computed with as float64.
        b: Real numbers of shape (k, n).
        out: Where the product goes: float64, shape (m, n), C-contiguous; by default a new array.
        threads: How many threads share the work; by default `available_threads()`. The result is
            the same, bit for bit, for any number.
        kernel: "ijk" is the article's loop, "ikj" the order of consecutive memory, "tiled" the
            blocked one (Goto and van de Geijn, ACM TOMS 34(3), 2008).

    Raises:
        TypeError: a matrix has other numbers than real ones.
        ValueError: shapes do not fit, or an argument is not one of those above; or there are more
            threads than 4 for each processor, and than 16.
    """
    if kernel not in PRODUCTS:
        raise ValueError(f"kernel must be one of {', '.join(PRODUCTS)}, not {kernel!r}")
    team = _team(threads)
    left, right = _real("a", a, 2), _real("b", b, 2)
    if left.shape[1] != right.shape[0]:
        raise ValueError(
            f"a has {left.shape[1]} columns and b {right.shape[0]} rows: "
            f"shapes {left.shape} and {right.shape} do not fit"
        )
    if kernel == "ikj":
        right = np.ascontiguousarray(right)
    product = _result(out, (left.shape[0], right.shape[1]), left, right)
    PRODUCTS[kernel](left, right, product, team=team)
    return product


def triad(
    b: ArrayLike,
    c: ArrayLike,
    factor: float,
    *,
    out: Matrix | None = None,
    threads: int | None = None,
) -> Matrix:
    """Returns ``b + factor * c`` (McCalpin's STREAM triad); the GIL is released meanwhile.

    Args:
        b, c: Real numbers of one shape (n,).
        factor: A real number.
        out: Where the result goes: float64, shape (n,), contiguous; by default a new array.
        threads: How many threads share the work; by default `available_threads()`.

    Raises:
        TypeError: an array has other numbers than real ones.
        ValueError: shapes differ, or `out` or `threads` is not as of `matmul`.
    """
    team = _team(threads)
    left, right = _real("b", b, 1), _real("c", c, 1)
    if left.shape != right.shape:
        raise ValueError(f"b and c must have one shape, not {left.shape} and {right.shape}")
    result = _result(out, left.shape, left, right)
    shapes.triad(
        np.ascontiguousarray(left), np.ascontiguousarray(right), float(factor), result, team=team
    )
    return result


def pi(terms: int = 100_000_000, *, threads: int | None = None) -> float:
    """Returns 4 (1 - 1/3 + 1/5 - ...), Leibniz's series, of at least so many terms.

    Args:
        terms: How many terms; rounded up to whole blocks of 8192. What is left out of the series
            is about 1 / `terms`.
        threads: How many threads share the work; by default `available_threads()`. The result is
            the same, bit for bit, for any number.

    Raises:
        ValueError: `terms` is below 1, or `threads` is not as of `matmul`.
    """
    if terms < 1:
        raise ValueError(f"terms must be at least 1, not {terms}")
    sums = np.empty(-(-operator.index(terms) // (2 * shapes.PAIRS_PER_BLOCK)))
    shapes.pi_blocks(sums, team=_team(threads))
    return 4 * math.fsum(sums)
