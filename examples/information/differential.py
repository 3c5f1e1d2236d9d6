"""Differential entropy, h = -integral of f log f: closed forms, and an estimate from samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from examples.information.arguments import thread_count, unit, whole
from examples.information.labels import as_samples
from examples.information.neighbours import sum_log_distances


def uniform_entropy(low: ArrayLike, high: ArrayLike, *, base: float | None = None) -> Any:
    """h of the uniform distribution on an interval: log(high - low).

    Args:
        low: The interval's start; arrays are broadcast.
        high: Its end.
        base: The logarithm's base: None for nats, 2 for bits.

    Raises:
        ValueError: An interval is empty or infinite.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        width = np.subtract(high, low, dtype=np.float64)
    _positive("the interval's length", width)
    return np.log(width) * unit(base)


def normal_entropy(deviation: ArrayLike, *, base: float | None = None) -> Any:
    """h of the normal distribution: log(deviation sqrt(2 pi e)).

    No density with this variance has more.

    Args:
        deviation: The standard deviation.
        base: The logarithm's base: None for nats, 2 for bits.

    Raises:
        ValueError: A deviation is not positive and finite.
    """
    deviation = np.asarray(deviation, np.float64)
    _positive("deviation", deviation)
    return (np.log(deviation) + 0.5 * math.log(2 * math.pi * math.e)) * unit(base)


def exponential_entropy(rate: ArrayLike, *, base: float | None = None) -> Any:
    """h of the exponential distribution: 1 - log(rate).

    No density on the positive numbers with this mean, 1 / rate, has more.

    Args:
        rate: The rate.
        base: The logarithm's base: None for nats, 2 for bits.

    Raises:
        ValueError: A rate is not positive and finite.
    """
    rate = np.asarray(rate, np.float64)
    _positive("rate", rate)
    return (1 - np.log(rate)) * unit(base)


def differential_entropy(
    samples: ArrayLike, *, k: int = 3, base: float | None = None, threads: int | None = None
) -> float:
    """Estimate the differential entropy of the density that samples were drawn from.

    The Kozachenko-Leonenko estimator: psi(n) - psi(k) + log 2 + the mean of log r, with r the
    distance from a sample to its k-th nearest neighbour and psi the digamma function. The samples
    are sorted; there is no other cost to speak of.

    Args:
        samples: Finite numbers, shape (n,), n greater than k.
        k: Which neighbour: more of them, less variance and more bias.
        base: The logarithm's base: None for nats, 2 for bits.
        threads: How many threads to use; None for all that are worth it. The result is the same to
            the bit for any number.

    Returns:
        The estimate; -inf if more than k samples are equal: then they come from no density.

    Raises:
        TypeError: The samples are no real numbers, or k is no integer.
        ValueError: One is infinite or nan, or their range is; or k is not 1 to n - 1.

    Reference:
        L. F. Kozachenko and N. N. Leonenko, "Sample Estimate of the Entropy of a Random Vector",
        Problems of Information Transmission 23 (1987); A. Kraskov, H. Stoegbauer, P. Grassberger,
        "Estimating Mutual Information", Physical Review E 69 (2004), section II.
    """
    factor = unit(base)
    array = as_samples("samples", samples)
    n, k = array.size, whole("k", k)
    if not 1 <= k < n:
        raise ValueError(f"k is {k}, expected 1 to n - 1 = {n - 1}")
    ordered = np.empty(n + 2 * k)
    ordered[:k], ordered[n + k :] = -np.inf, np.inf
    ordered[k : n + k] = array
    ordered[k : n + k].sort()
    low, high = float(ordered[k]), float(ordered[n + k - 1])
    if not math.isfinite(high - low):
        raise ValueError(f"samples reach from {low} to {high}, expected a range that is finite")
    logs = sum_log_distances(ordered, k, thread_count(threads, n))
    return (_digamma(n) - _digamma(k) + math.log(2) + logs / n) * factor


def _digamma(x: float) -> float:
    """The logarithmic derivative of the gamma function, for x of 1 or more.

    The recurrence up to 12, then Stirling's series (Abramowitz and Stegun, 6.3.5 and 6.3.18).
    """
    below = 0.0
    while x < 12:
        below += 1 / x
        x += 1
    z = 1 / (x * x)
    series = z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z / 132))))
    return math.log(x) - 0.5 / x - series - below


def _positive(what: str, values: Any) -> None:
    wrong = ~((values > 0) & (values < np.inf))
    if np.any(wrong):
        raise ValueError(
            f"{what} is {np.atleast_1d(values)[np.atleast_1d(wrong)][0]}, "
            "expected a positive, finite number"
        )
