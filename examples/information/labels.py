"""Measures straight from labels and samples: they are counted, and the counts are the weights."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from examples.information.arguments import thread_count, unit, whole
from examples.information.measures import dependence, entropy
from examples.information.tally import tally

Correction = Literal["miller-madow"] | None
Counts = NDArray[np.int64]

MOST_CELLS = 1 << 22
"""A larger table than this (and than four cells for each label) is not laid out in full."""


class Contingency(NamedTuple):
    """How often pairs of labels occur.

    Attributes:
        counts: Shape (number of x labels, number of y labels), int64.
        x_labels: The labels of the rows that occur, ascending.
        y_labels: The labels of the columns that occur, ascending.
    """

    counts: Counts
    x_labels: NDArray[Any]
    y_labels: NDArray[Any]


def contingency(x: ArrayLike, y: ArrayLike, *, threads: int | None = None) -> Contingency:
    """Count pairs of labels.

    Args:
        x: Integer labels, shape (n,).
        y: Integer labels of the same things, shape (n,).
        threads: How many threads count; None for all that are worth it.

    Returns:
        The counts of those labels that occur; any measure of a joint table takes them.

    Raises:
        TypeError: The labels are no integers.
        ValueError: There are none; or the shapes differ, or are not (n,); or a label does not fit
            in int64; or the table would not fit in memory.
    """
    first, second = _same_length(as_labels("x", x), as_labels("y", y))
    table, x_low, y_low = _joint(first, second, threads)
    if table is None:
        x_labels, i = np.unique(first, return_inverse=True)
        y_labels, j = np.unique(second, return_inverse=True)
        if x_labels.size * y_labels.size > np.iinfo(np.intp).max // 16:
            raise ValueError(
                f"x has {x_labels.size} labels and y {y_labels.size}: too many for one table"
            )
        counts = np.zeros((x_labels.size, y_labels.size), np.int64)
        np.add.at(counts, (i, j), 1)
        return Contingency(counts, x_labels, y_labels)
    rows, columns = table.any(1).nonzero()[0], table.any(0).nonzero()[0]
    return Contingency(
        table[np.ix_(rows, columns)],
        (rows + x_low).astype(first.dtype),
        (columns + y_low).astype(second.dtype),
    )


def entropy_of_labels(
    labels: ArrayLike,
    *,
    correction: Correction = None,
    base: float | None = None,
    threads: int | None = None,
) -> float:
    """Estimate the entropy of a source from labels that it gave.

    Args:
        labels: Integers, shape (n,).
        correction: None for the entropy of the observed frequencies, which is too small in the
            mean; "miller-madow" adds (K - 1) / 2n nats, with K the number of labels that occur.
        base: The logarithm's base: None for nats, 2 for bits.
        threads: How many threads count; None for all that are worth it.

    Raises:
        TypeError: The labels are no integers.
        ValueError: There are none, or the shape is not (n,); or a label does not fit in int64; or
            there is no such correction.

    Reference:
        G. A. Miller, "Note on the Bias of Information Estimates", Information Theory in Psychology
        (1955).
    """
    factor = unit(base)
    _known(correction)
    array = as_labels("labels", labels)
    return _corrected_entropy(_single(array, threads), array.size, correction) * factor


def entropy_of_samples(
    samples: ArrayLike,
    bins: int,
    *,
    differential: bool = False,
    correction: Correction = None,
    base: float | None = None,
    threads: int | None = None,
) -> float:
    """Estimate an entropy from a histogram of real samples.

    Args:
        samples: Finite numbers, shape (n,).
        bins: How many bins of equal width to lay from the least to the greatest sample; they are
            `numpy.histogram`'s.
        differential: Add the logarithm of the bins' width: an estimate of the differential entropy
            of the samples' density, not of the entropy of the bins. See also
            `differential_entropy`, which needs no bins.
        correction: As for `entropy_of_labels`.
        base: The logarithm's base: None for nats, 2 for bits.
        threads: How many threads count; None for all that are worth it.

    Returns:
        The estimate; for samples that are all equal 0, or -inf where it is differential.

    Raises:
        TypeError: The samples are no real numbers, or bins is no integer.
        ValueError: There are none, or the shape is not (n,); or one is infinite or nan; or bins is
            less than 1; or there is no such correction.
    """
    factor = unit(base)
    _known(correction)
    array = as_samples("samples", samples)
    bins = whole("bins", bins)
    edges = _edges("samples", array, bins)
    if edges is None:
        return -np.inf if differential else 0.0
    counts = tally(
        [array], [0], [(bins - 1).bit_length()], [edges], thread_count(threads, array.size)
    )
    nats = _corrected_entropy(counts, array.size, correction)
    if differential:
        nats += float(np.log((edges[-1] - edges[0]) / bins))
    return nats * factor


def information_of_labels(
    x: ArrayLike, y: ArrayLike, bins: int | None, correction: Correction, threads: int | None
) -> float:
    """Mutual information, in nats, of labels, or of samples in bins."""
    _known(correction)
    if bins is None:
        first, second = _same_length(as_labels("x", x), as_labels("y", y))
        table, _, _ = _joint(first, second, threads)
    else:
        first, second = _same_length(as_samples("x", x), as_samples("y", y))
        bins = whole("bins", bins)
        edges = [_edges("x", first, bins), _edges("y", second, bins)]
        if edges[0] is None or edges[1] is None:
            return 0.0  # one of them is constant
        bits = (bins - 1).bit_length()
        _fits(2 * bits, first.size, f"{bins} x {bins} bins")
        table = tally(
            [first, second], [0, 0], [bits, bits], edges, thread_count(threads, first.size)
        )
    nats = _sparse_information(first, second) if table is None else _information(table)
    if correction:
        cells = _occurring(first, second) if table is None else _occupied(table)
        nats += (cells[0] + cells[1] - cells[2] - 1) / (2 * first.size)
    return nats


def _information(table: Counts) -> float:
    rows, columns = table.sum(1), table.sum(0)
    nats, _ = dependence(
        table.astype(np.float64),
        tuple(
            np.broadcast_to(side, table.shape)
            for side in (rows[:, np.newaxis].astype(np.float64), columns.astype(np.float64))
        ),
        0,
        threads=1,
    )
    return float(nats)


def _sparse_information(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Of pairs that are too many for a table: only those that occur are looked at."""
    i, j, counts = _pairs(x, y)
    rows, columns = (np.bincount(side, counts) for side in (i, j))
    total = np.broadcast_to(np.float64(x.size), counts.shape)
    nats, _ = dependence(
        counts.astype(np.float64), (rows[i], columns[j], total), 0, mean=True, threads=1
    )
    return max(float(nats), 0.0)


def _pairs(x: NDArray[Any], y: NDArray[Any]) -> tuple[Counts, Counts, Counts]:
    """Numbers of the x and the y label of each pair that occurs, and how often it does."""
    _, i = np.unique(x, return_inverse=True)
    labels, j = np.unique(y, return_inverse=True)
    keys, counts = np.unique(i * labels.size + j, return_counts=True)
    return keys // labels.size, keys % labels.size, counts


def _occurring(x: NDArray[Any], y: NDArray[Any]) -> tuple[int, int, int]:
    i, j, counts = _pairs(x, y)
    return int(i.max()) + 1, int(j.max()) + 1, counts.size


def _occupied(table: Counts) -> tuple[int, int, int]:
    """How many rows, columns and cells are not empty."""
    return (
        np.count_nonzero(table.any(1)),
        np.count_nonzero(table.any(0)),
        int(np.count_nonzero(table)),
    )


def _corrected_entropy(counts: Counts, n: int, correction: Correction) -> float:
    nats = float(entropy(counts, threads=1))
    return nats + (np.count_nonzero(counts) - 1) / (2 * n) if correction else nats


# Counting -------------------------------------------------------------------------------------


def _single(labels: NDArray[Any], threads: int | None) -> Counts:
    for sample in (_few(labels), labels):
        low, bits = _range(sample)
        if bits > _most_bits(labels.size):
            return np.unique(labels, return_counts=True)[1]
        counts: Counts | None = tally(
            [labels], [low], [bits], [None], thread_count(threads, labels.size)
        )
        if counts is not None:
            return counts
    raise RuntimeError("the labels were changed while they were counted")


def _joint(x: NDArray[Any], y: NDArray[Any], threads: int | None) -> tuple[Counts | None, int, int]:
    """A table with places for all pairs (None if it would be too large), and its first labels."""
    for x_sample, y_sample in ((_few(x), _few(y)), (x, y)):
        (x_low, x_bits), (y_low, y_bits) = _range(x_sample), _range(y_sample)
        if x_bits + y_bits > _most_bits(x.size):
            return None, 0, 0
        table = tally(
            [x, y], [x_low, y_low], [x_bits, y_bits], [None, None], thread_count(threads, x.size)
        )
        if table is not None:
            return table, x_low, y_low
    raise RuntimeError("the labels were changed while they were counted")


def _most_bits(n: int) -> int:
    return min(max(MOST_CELLS, 4 * n).bit_length() - 1, 30)


def _fits(bits: int, n: int, what: str) -> None:
    if bits > _most_bits(n):
        raise ValueError(f"{what} are too many for {n} samples, expected fewer")


def _few(labels: NDArray[Any]) -> NDArray[Any]:
    """Some of the labels. Mostly they tell the range of all, and nothing is read twice."""
    return np.concatenate([labels[:4096], labels[:: max(1, labels.size // 1024)]])


def _range(labels: NDArray[Any]) -> tuple[int, int]:
    """The first label, 0 if that costs little, and the logarithm of how many there may be."""
    low, high = int(labels.min()), int(labels.max())
    if 0 <= low <= high - low:
        low = 0
    return low, (high - low).bit_length()


# Arguments ------------------------------------------------------------------------------------


def as_labels(name: str, given: ArrayLike) -> NDArray[Any]:
    """Integer labels as the kernel reads them.

    Raises:
        TypeError: They are no integers.
        ValueError: There are none, the shape is not (n,), or one does not fit in int64.
    """
    array = _line(name, given)
    if array.dtype.kind not in "biu":
        raise TypeError(
            f"{name} has dtype {array.dtype}, expected integer labels"
            + ("; samples need bins" if array.dtype.kind == "f" else "")
        )
    if array.dtype.kind == "u" and array.dtype.itemsize == 8:
        largest = int(array.max())
        if largest > np.iinfo(np.int64).max:
            raise ValueError(f"{name} has the label {largest}, expected labels that fit in int64")
    kind = "u" if array.dtype.kind == "b" else array.dtype.kind
    canonical = np.dtype(f"{kind}{array.dtype.itemsize}")
    if array.dtype.kind == "b":
        return array.view(canonical)
    return np.require(array, canonical, ["ALIGNED"])


def as_samples(name: str, given: ArrayLike) -> NDArray[Any]:
    """Real samples as the kernel reads them.

    Raises:
        TypeError: They are no real numbers.
        ValueError: There are none, the shape is not (n,), or one is infinite or nan.
    """
    array = _line(name, given)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    small = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    array = np.require(array, np.float32 if small else np.float64, ["ALIGNED"])
    if not np.isfinite(array).all():
        place = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"{name} has {array[place]} at [{place}], expected finite numbers")
    return array


def _line(name: str, given: ArrayLike) -> NDArray[Any]:
    array = np.asarray(given)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, expected (n,) with n of 1 or more")
    return array


def _same_length(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}, expected the same")
    return x, y


def _edges(name: str, samples: NDArray[Any], bins: int) -> NDArray[np.float64] | None:
    """The edges of bins of equal width, None if all samples are equal."""
    if bins < 1 or bins > 1 << 22:
        raise ValueError(f"bins is {bins}, expected 1 to {1 << 22}")
    low, high = float(samples.min()), float(samples.max())
    if low == high:
        return None
    if not np.isfinite(high - low):
        raise ValueError(f"{name} reaches from {low} to {high}, expected a range that is finite")
    return np.linspace(low, high, bins + 1)


def _known(correction: Correction) -> None:
    if correction not in (None, "miller-madow"):
        raise ValueError(f'correction is {correction!r}, expected "miller-madow" or None')
