"""What the public functions accept, checked and brought into the kernels' form."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from examples.team import available_threads, bounded

Size = int | tuple[int, ...] | None


@dataclass(frozen=True)
class Distributions:
    """A batch of categorical distributions.

    Attributes:
        name: What the caller gave: "logits", "weights" or "probabilities".
        values: They, shape (m, n), float32 or float64, each row contiguous.
        batch: The caller's shape without the categories; m is its product.
    """

    name: str
    values: npt.NDArray[np.floating]
    batch: tuple[int, ...]

    @property
    def weighted(self) -> bool:
        return self.name != "logits"

    def explain(self, row: int, k: int) -> ValueError:
        """Say why no k categories can be drawn from a row of values."""
        values = self.values[row]
        at = ", ".join(map(str, np.unravel_index(row, self.batch))) if self.batch else ""
        if self.weighted:
            invalid = ~((values >= 0) & (values < np.inf))
            expected = "finite and not negative"
        else:
            invalid = ~(values < np.inf)
            expected = "finite or -inf"
        if invalid.any():
            column = int(invalid.argmax())
            place = f"{at}, {column}" if at else str(column)
            return ValueError(
                f"{self.name}[{place}] is {values[column]}: {self.name} must be {expected}"
            )
        possible = int((values > (0 if self.weighted else -np.inf)).sum())
        where = f"{self.name}[{at}]" if at else self.name
        if possible == 0:
            return ValueError(f"no category is possible: {where} is {values.max()} everywhere")
        return ValueError(f"k = {k} of {where}, in which only {possible} categories are possible")


def distributions(
    logits: npt.ArrayLike | None,
    weights: npt.ArrayLike | None = None,
    probabilities: npt.ArrayLike | None = None,
) -> Distributions:
    """Take the one of three that was given.

    Raises:
        TypeError: None or several were given, or not real numbers.
        ValueError: There are no categories, or probabilities do not add up to 1.
    """
    named = {"logits": logits, "weights": weights, "probabilities": probabilities}
    given = {name: value for name, value in named.items() if value is not None}
    if len(given) != 1:
        raise TypeError(
            "expected one of logits, weights and probabilities, not "
            + (" and ".join(given) or "none")
        )
    [(name, value)] = given.items()
    array = real_array(name, value)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"{name} has shape {array.shape}: expected (..., n) with n >= 1")
    if name == "probabilities":
        sums = array.sum(axis=-1, dtype=np.float64)
        wrong = ~(np.abs(sums - 1.0) <= 1e-5)
        if wrong.any():
            raise ValueError(
                f"probabilities add up to {sums[wrong].flat[0]:.9g}, not 1: for what is not "
                "normalized, there is weights="
            )
    return Distributions(name, as_rows(array), array.shape[:-1])


def real_array(name: str, value: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """The value as an array of float32, if it is one, otherwise of float64."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} has dtype {array.dtype}: expected real numbers up to float64")
    dtype = np.float32 if array.dtype.type is np.float32 else np.float64
    return np.require(array, dtype, "A")


def float_type(dtype: npt.DTypeLike) -> np.dtype[np.floating]:
    """The dtype, if it is float32 or float64."""
    wanted = np.dtype(dtype)
    if wanted not in (np.float32, np.float64):
        raise TypeError(f"dtype = {wanted}: expected float32 or float64")
    return wanted


def as_rows(array: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The array as (m, n) with contiguous rows; copied only where there is no such view."""
    rows = array.reshape(-1, array.shape[-1])
    if rows.strides[1] != rows.itemsize or rows.strides[0] % rows.itemsize:
        rows = np.ascontiguousarray(rows)
    return rows


def result_shape(size: Size, batch: tuple[int, ...]) -> tuple[int, ...]:
    """How many draws of each distribution, as a shape, before the distributions' own."""
    if size is None:
        return batch
    shape = (size,) if isinstance(size, int | np.integer) else tuple(size)
    if any(length < 0 for length in shape):
        raise ValueError(f"size = {size}: expected no negative number")
    return shape + batch


def draws_of(size: Size) -> int:
    return prod(result_shape(size, ()))


def positive(name: str, value: float) -> float:
    """A number that is positive and finite."""
    number = float(value)
    if not 0.0 < number < np.inf:
        raise ValueError(f"{name} = {value}: expected a positive, finite number")
    return number


def thread_count(threads: int | None) -> int:
    """As many threads as asked for, up to `most_threads`; by default as many as are available.

    Raises:
        TypeError: No integer was given.
        ValueError: Fewer than one were asked for.
    """
    if threads is not None:
        try:
            number = operator.index(threads)
        except TypeError:
            raise TypeError(f"threads = {threads!r}: expected an integer or None") from None
        if number < 1:
            raise ValueError(f"threads = {number}: expected at least 1")
        return bounded(number)
    return available_threads()
