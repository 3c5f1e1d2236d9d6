"""Measures of joint distributions, given as tables of weights.

Mutual information is computed as the divergence of the joint distribution from the product of its
marginals, not as a difference of entropies: nothing cancels where the variables are almost
independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from examples.information.arguments import (
    Axis,
    Floats,
    as_weights,
    axes_of,
    delivered,
    fault,
    last,
    refuse,
    unit,
)
from examples.information.labels import Correction, information_of_labels
from examples.information.measures import dependence, entropy


def joint_entropy(
    joint: ArrayLike,
    *,
    axis: Axis = None,
    base: float | None = None,
    out: Floats | None = None,
    threads: int | None = None,
) -> Any:
    """H(X, Y, ...) of a table of joint weights.

    Args:
        joint: Weights or counts, one axis for each variable; they need not add up to 1.
        axis: The variables' axes; None for all. Other axes are a batch.
        base: The logarithm's base: None for nats, 2 for bits.
        out: Where the results go, shape of the batch.
        threads: How many threads to use; None for all that are worth it.

    Returns:
        Entropies, shape of the batch.

    Raises:
        ValueError: As for `entropy`.
        TypeError: The weights are no real numbers.
    """
    return entropy(joint, axis=axis, base=base, out=out, threads=threads)


def conditional_entropy(
    joint: ArrayLike,
    *,
    axis: tuple[int, int] = (-2, -1),
    base: float | None = None,
    out: Floats | None = None,
    threads: int | None = None,
) -> Any:
    """H(X | Y) = H(X, Y) - H(Y): what X still hides when Y is known.

    Args:
        joint: Weights of the pairs, shape (..., n_x, n_y); they need not add up to 1.
        axis: The axes of X and of Y. ``axis=(-1, -2)`` gives H(Y | X).
        base: The logarithm's base: None for nats, 2 for bits.
        out: Where the results go, shape (...).
        threads: How many threads to use; None for all that are worth it.

    Returns:
        Entropies, shape (...).

    Raises:
        ValueError: As for `entropy`.
        TypeError: The weights are no real numbers.
    """
    factor = unit(base)
    table, left = _table("joint", joint, axis, 2)
    given = _sums(table, (-2,))
    large = (given > np.finfo(np.float64).max).any(axis=(-2, -1), keepdims=True)
    if large.any():
        # The sums must be on their table's own scale. The other tables of the batch stay on theirs:
        # what is light there would lose digits, or become 0.
        if problem := fault("joint", table, left):
            raise ValueError(problem)
        table = table * np.where(large, 2.0**-64, 1.0)
        given = _sums(table, (-2,))
    nats, bad = dependence(
        table, (np.broadcast_to(given.astype(np.float64), table.shape),), left, mean=True,
        threads=threads,
    )  # fmt: skip
    if bad:
        refuse("joint", table, left)
    return delivered(np.maximum(-nats, 0.0), factor, table.dtype, out)


def mutual_information(
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    axis: tuple[int, int] = (-2, -1),
    bins: int | None = None,
    correction: Correction = None,
    base: float | None = None,
    out: Floats | None = None,
    threads: int | None = None,
) -> Any:
    """I(X; Y) = D(P(X, Y) || P(X) P(Y)): what one variable tells of the other.

    Args:
        x: Alone: weights of the pairs, shape (..., n_x, n_y); they need not add up to 1.
            With y: integer labels, shape (n,), or, with bins, real samples.
        y: Labels or samples of the same things, shape (n,).
        axis: The axes of X and of Y in a table.
        bins: How many bins of equal width to lay over the samples of each variable.
        correction: For labels and samples: None for the information of the observed frequencies,
            which is too large in the mean; "miller-madow" corrects each of the three entropies in
            H(X) + H(Y) - H(X, Y), see `entropy_of_labels`. It may come out negative.
        base: The logarithm's base: None for nats, 2 for bits.
        out: Where the results go, shape (...). Tables only.
        threads: How many threads to use; None for all that are worth it.

    Returns:
        Mutual information, shape (...). Never negative without a correction.

    Raises:
        ValueError: As for `entropy` and `contingency`; or an option that does not belong to what is
            given.
        TypeError: The weights are no real numbers; or labels are no integers, without bins.

    Reference:
        Kullback and Leibler (1951); T. M. Cover and J. A. Thomas, "Elements of Information
        Theory" (2006), section 2.3.
    """
    factor = unit(base)
    if y is not None:
        if out is not None:
            raise ValueError("out is for tables: labels and samples give one number")
        return np.float64(information_of_labels(x, y, bins, correction, threads) * factor)
    if bins is not None or correction is not None:
        raise ValueError("bins and correction are for labels and samples, and y is missing")
    table, left = _table("joint", x, axis, 2)
    nats = _information("joint", table, left, threads)
    return delivered(nats, factor, table.dtype, out)


def conditional_mutual_information(
    joint: ArrayLike,
    *,
    axis: tuple[int, int, int] = (-3, -2, -1),
    base: float | None = None,
    out: Floats | None = None,
    threads: int | None = None,
) -> Any:
    """I(X; Y | Z): what X and Y tell of each other when Z is known.

    Args:
        joint: Weights of the triples, shape (..., n_x, n_y, n_z); they need not add up to 1.
        axis: The axes of X, Y and Z.
        base: The logarithm's base: None for nats, 2 for bits.
        out: Where the results go, shape (...).
        threads: How many threads to use; None for all that are worth it.

    Returns:
        Conditional mutual information, shape (...). Never negative.

    Raises:
        ValueError: As for `entropy`.
        TypeError: The weights are no real numbers.

    Reference:
        Cover and Thomas (2006), section 2.5.
    """
    factor = unit(base)
    table, left = _table("joint", joint, axis, 3)
    nats = _conditional_information(table, left, threads)
    return delivered(nats, factor, table.dtype, out)


def interaction_information(
    joint: ArrayLike,
    *,
    axis: tuple[int, int, int] = (-3, -2, -1),
    base: float | None = None,
    out: Floats | None = None,
    threads: int | None = None,
) -> Any:
    """I(X; Y; Z) = I(X; Y) - I(X; Y | Z): what all three share.

    It is the same for any order of the variables. It is negative where they tell more together than
    apart: for two coins and whether they agree it is -1 bit. (Some authors give it the other sign.)

    Args, raises: see `conditional_mutual_information`.

    Returns:
        Interaction information, shape (...).

    Reference:
        W. J. McGill, "Multivariate Information Transmission", Psychometrika 19 (1954).
    """
    factor = unit(base)
    table, left = _table("joint", joint, axis, 3)
    conditional = _conditional_information(table, left, threads)
    pairs = _normalised(table, (-1,), _sums(table, (-3, -2, -1)))[..., 0]
    return delivered(
        _information("joint", pairs, left, threads) - conditional, factor, table.dtype, out
    )


def _table(name: str, given: ArrayLike, axis: Axis, variables: int) -> tuple[Floats, int]:
    """The table with the variables' axes last, and how many others there are.

    Raises:
        TypeError: An axis is no integer, or the weights are no real numbers.
        ValueError: There is no such axis, or not one for each variable; or nothing along them.
    """
    array = as_weights(name, given)
    axes = () if axis is None else axes_of(axis, array.ndim)
    if len(axes) != variables:
        raise ValueError(f"axis is {axis}, expected {variables} axes, one for each variable")
    if array.ndim < variables:
        raise ValueError(
            f"{name} has shape {array.shape}, expected {variables} dimensions or more, "
            "one for each variable"
        )
    return last(name, array, axes)


def _sums(table: Floats, axes: tuple[int, ...]) -> NDArray[np.longdouble]:
    """Sums that neither overflow nor lose anything where long double is longer than double."""
    with np.errstate(all="ignore"):  # of bad weights the kernel tells
        return table.sum(axes, dtype=np.longdouble, keepdims=True)


def _normalised(
    table: Floats, axes: tuple[int, ...], total: NDArray[np.longdouble]
) -> NDArray[np.float64]:
    """The distribution of the variables that are left, with axes of length 1 for the others."""
    with np.errstate(all="ignore"):
        return (_sums(table, axes) / total).astype(np.float64)


def _information(name: str, table: Floats, left: int, threads: int | None) -> NDArray[np.float64]:
    total = _sums(table, (-2, -1))
    factors = tuple(
        np.broadcast_to(_normalised(table, (others,), total), table.shape) for others in (-1, -2)
    )
    nats, bad = dependence(table, factors, left, threads=threads)
    if bad:
        refuse(name, table, left)
    return nats


def _conditional_information(table: Floats, left: int, threads: int | None) -> NDArray[np.float64]:
    total = _sums(table, (-3, -2, -1))
    factors = tuple(
        np.broadcast_to(_normalised(table, others, total), table.shape)
        for others in ((-2,), (-3,), (-3, -2))
    )
    nats, bad = dependence(table, factors, left, threads=threads)
    if bad:
        refuse("joint", table, left)
    return nats
