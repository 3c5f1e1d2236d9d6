"""What callers may pass: weights, axes, bases, threads, out; and how it is refused."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from examples.team import FEW, available_threads, bounded

Axis = int | Sequence[int] | None
Floats = NDArray[np.floating[Any]]

WORTH_A_THREAD = 32768
"""So many elements for a thread, or it costs more than it brings."""


def as_weights(name: str, given: ArrayLike) -> Floats:
    """An array that the kernels can read: float32 or float64, aligned, native byte order.

    Raises:
        TypeError: The values are no real numbers.
    """
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    small = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.require(array, np.float32 if small else np.float64, ["ALIGNED"])


def axes_of(axis: Axis, dimensions: int) -> tuple[int, ...]:
    """The axes as Python's integers, all for None.

    Raises:
        TypeError: It is neither an integer nor a sequence of integers.
    """
    if axis is None:
        return tuple(range(dimensions))
    try:
        return (operator.index(axis),)  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        return tuple(operator.index(one) for one in axis)  # type: ignore[union-attr]
    except TypeError:
        raise TypeError(
            f"axis is {axis!r}, expected an integer, a tuple of integers, or None"
        ) from None


def last(name: str, array: NDArray[Any], axis: Axis) -> tuple[NDArray[Any], int]:
    """Move the axes to be summed over to the end.

    Returns:
        A view, and the number of its leading axes: those that are left.

    Raises:
        TypeError: An axis is no integer.
        ValueError: There is no such axis, or nothing along the axes.
    """
    axes = axes_of(axis, array.ndim)
    if array.ndim == 0 or not axes:
        raise ValueError(f"{name} has no axis to sum over, expected one or more dimensions")
    left = array.ndim - len(axes)
    moved = np.moveaxis(array, axes, range(left, array.ndim))
    if 0 in moved.shape[left:]:
        raise ValueError(
            f"{name} is empty along axis {axis}: its shape is {array.shape}, "
            "expected one weight or more"
        )
    return moved, left


def refuse(name: str, array: NDArray[Any], left: int) -> NoReturn:
    """Tell what is wrong with weights that a kernel has turned down.

    Args:
        name: The argument's name.
        array: The weights, axes that are summed over last.
        left: The number of leading axes.

    Raises:
        ValueError: Always.
    """
    if problem := fault(name, array, left):
        raise ValueError(problem)
    raise ValueError(f"{name} cannot be normalised: it was changed while it was read")


def fault(name: str, array: NDArray[Any], left: int) -> str:
    """What is wrong with weights, `""` if nothing is."""
    wrong = ~((array >= 0) & (array < np.inf))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = ", ".join(map(str, place))
        return (
            f"{name} has {array[place]} at [{where}]"
            + (" (the axis summed over is last)" if array.ndim > 1 else "")
            + ", expected finite numbers that are not negative"
        )
    empty = ~(array != 0).any(axis=tuple(range(left, array.ndim)))
    if np.any(empty):
        place = tuple(int(i) for i in np.argwhere(empty)[0])
        where = f" at [{', '.join(map(str, place))}]" if place else ""
        return f"{name} is all zeros{where}, expected a positive weight in each distribution"
    return ""


def unit(base: float | None) -> float:
    """What nats are multiplied by to have the unit that the logarithm's base stands for.

    Raises:
        ValueError: The base is not positive, or 1, or not finite.
    """
    if base is None:
        return 1.0
    if not (0 < base < math.inf) or base == 1:
        raise ValueError(f"base is {base}, expected a positive number other than 1, or None for e")
    return 1 / math.log(base)


def whole(name: str, given: Any) -> int:
    """An integer, Python's or NumPy's.

    Raises:
        TypeError: It is none.
    """
    try:
        return operator.index(given)
    except TypeError:
        raise TypeError(f"{name} is {given!r}, expected an integer") from None


def thread_count(threads: int | None, work: int) -> int:
    """How many threads to use for so many elements.

    Args:
        threads: What the caller asked for; more than `FEW` only where there are as many elements,
            and never more than `most_threads`. None for as many as are worth it, at most
            ``OMP_NUM_THREADS`` or, without that, the processors that this process may use.
        work: How many elements there are.

    Raises:
        TypeError: No integer was given.
        ValueError: Fewer than one were asked for.
    """
    if threads is not None:
        if type(threads) is not int:
            threads = whole("threads", threads)
        if threads < 1:
            raise ValueError(f"threads is {threads}, expected 1 or more, or None for all")
        return threads if threads <= FEW else bounded(min(threads, max(work, FEW)))
    worth = work // WORTH_A_THREAD
    return 1 if worth < 2 else min(worth, available_threads())


def delivered(nats: NDArray[np.float64], factor: float, dtype: Any, out: Floats | None) -> Any:
    """The results in their unit and dtype, a scalar if there is one; in out, if there is one.

    Raises:
        TypeError: out is no array of floating-point numbers.
        ValueError: out has another shape.
    """
    if factor != 1.0:
        nats *= factor
    if out is None:
        return nats.astype(dtype, copy=False)[()]
    if not isinstance(out, np.ndarray) or out.dtype.kind != "f":
        what = getattr(out, "dtype", type(out).__name__)
        raise TypeError(f"out is {what}, expected an array of floating-point numbers")
    if out.shape != nats.shape:
        raise ValueError(f"out has shape {out.shape}, expected {nats.shape}")
    out[...] = nats
    return out
