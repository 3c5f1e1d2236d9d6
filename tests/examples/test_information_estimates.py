"""Entropies from labels and samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

from examples.information import (
    contingency,
    differential_entropy,
    entropy,
    entropy_of_labels,
    entropy_of_samples,
    exponential_entropy,
    mutual_information,
    normal_entropy,
    uniform_entropy,
)


def numbers(n: int = 20_000) -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 100, n)
    return x, (x + rng.integers(0, 30, n)) % 100


X, Y = numbers()


def by_hand(x: Any, y: Any) -> Any:
    return np.histogram2d(x, y, bins=100, range=[[0, 100]] * 2)[0]


INTEGERS = ["b", "h", "i", "l", "q", "B", "H", "I", "L", "Q"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_every_integer_type_are_counted(dtype: str) -> None:
    x, y = X.astype(dtype), Y.astype(dtype)
    assert entropy_of_labels(x) == pytest.approx(entropy(np.bincount(X)), rel=1e-14)
    table = by_hand(X, Y)
    assert mutual_information(x, y) == pytest.approx(mutual_information(table), rel=1e-14)
    found = contingency(x, Y)
    np.testing.assert_array_equal(found.counts, table)
    np.testing.assert_array_equal(found.x_labels, np.arange(100))
    assert found.x_labels.dtype == x.dtype


def test_labels_may_lie_anywhere() -> None:
    expected = mutual_information(X[::3].copy(), Y[::-3].copy())
    assert mutual_information(X[::3], Y[::-3]) == expected
    assert mutual_information(np.stack([X, Y], 1)[::3, 0], Y[::-3].astype(">i4")) == expected
    assert mutual_information(X > 50, Y > 50) == mutual_information(
        (X > 50).astype(int), (Y > 50).astype(int)
    )


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(lambda v: v - 50, id="negative"),
        pytest.param(lambda v: v - 10**18, id="far from 0"),
        pytest.param(lambda v: v * 10**9, id="far apart"),
        pytest.param(lambda v: v * 10**16 - 5 * 10**17, id="all over int64"),
        pytest.param(lambda v: (v * (9 * 10**16)).astype(np.uint64), id="all over uint64"),
        pytest.param(lambda v: np.where(np.arange(v.size) == 5000, 10**6, v), id="one far away"),
        pytest.param(lambda v: np.where(np.arange(v.size) == 5001, -3, v), id="one below"),
    ],
)  # fmt: skip
def test_what_labels_are_called_does_not_matter(names: Any) -> None:
    x, y = names(X), names(Y)
    i, j = np.unique(x, return_inverse=True)[1], np.unique(y, return_inverse=True)[1]
    assert entropy_of_labels(x) == pytest.approx(entropy_of_labels(i), rel=1e-14)
    for correction in (None, "miller-madow"):
        assert mutual_information(x, y, correction=correction) == pytest.approx(
            mutual_information(i, j, correction=correction), rel=1e-13
        )
    found = contingency(x, y)
    np.testing.assert_array_equal(found.counts, contingency(i, j).counts)
    np.testing.assert_array_equal(found.x_labels, np.unique(x))
    np.testing.assert_array_equal(found.y_labels, np.unique(y))


def test_the_information_of_labels_in_themselves_is_their_entropy() -> None:
    assert mutual_information(X, X) == pytest.approx(entropy_of_labels(X), rel=1e-14)
    assert mutual_information(X, X * 0) == 0
    assert mutual_information(X, X, base=2) == pytest.approx(entropy_of_labels(X, base=2))


def test_millers_and_madows_correction_is_added_once_for_each_label() -> None:
    plain, corrected = (entropy_of_labels(X, correction=c) for c in (None, "miller-madow"))
    assert corrected - plain == pytest.approx(99 / (2 * X.size), rel=1e-9)
    few = np.random.default_rng(1).integers(0, 50, (400, 100))
    means = [
        np.mean([entropy_of_labels(row, correction=c) for row in few])
        for c in (None, "miller-madow")
    ]
    assert abs(means[1] - math.log(50)) < 0.3 * abs(means[0] - math.log(50))
    filled = np.count_nonzero(by_hand(X, Y))
    plain, corrected = (mutual_information(X, Y, correction=c) for c in (None, "miller-madow"))
    assert corrected - plain == pytest.approx((99 + 99 - filled + 1) / (2 * X.size), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_samples_fall_into_numpys_bins(dtype: type) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=20_000).round(2).astype(dtype)  # many on edges
    y = (x + rng.normal(size=x.size)).astype(dtype)
    for bins in (1, 7, 50, 64):
        counts, edges = np.histogram(x.astype(float), bins)
        assert entropy_of_samples(x, bins) == pytest.approx(entropy(counts), rel=1e-14)
        assert entropy_of_samples(x, bins, differential=True) == pytest.approx(
            entropy(counts) + math.log(edges[1] - edges[0])
        )
        table = np.histogram2d(x.astype(float), y.astype(float), bins)[0]
        assert mutual_information(x, y, bins=bins) == pytest.approx(
            mutual_information(table), rel=1e-13, abs=1e-15
        )


def test_samples_that_are_all_equal_tell_nothing() -> None:
    same, other = np.full(10, 3.5), np.arange(10.0)
    assert entropy_of_samples(same, 5) == 0
    assert entropy_of_samples(same, 5, differential=True) == -math.inf
    assert mutual_information(same, other, bins=4) == 0
    assert differential_entropy(same) == -math.inf


def test_bad_labels_and_samples_are_told() -> None:
    with pytest.raises(TypeError, match="x has dtype float64, expected integer labels; samples"):
        mutual_information(X + 0.5, Y)
    with pytest.raises(TypeError, match="labels has dtype"):
        entropy_of_labels(["a", "b"])
    with pytest.raises(ValueError, match="labels has the label 18446744073709551615, expected"):
        entropy_of_labels(np.array([1, 2**64 - 1], np.uint64))
    with pytest.raises(ValueError, match=r"x has shape \(20000,\) and y \(19999,\)"):
        mutual_information(X, Y[1:])
    for shape in ((0,), (2, 3), ()):
        with pytest.raises(ValueError, match="expected \\(n,\\) with n of 1 or more"):
            entropy_of_labels(np.zeros(shape, int))
    with pytest.raises(ValueError, match="correction is 'james"):
        entropy_of_labels(X, correction="james-stein")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bins is 0, expected 1 to"):
        entropy_of_samples([1.0, 2.0], 0)
    with pytest.raises(ValueError, match=r"samples has nan at \[1\], expected finite"):
        entropy_of_samples([1.0, math.nan], 3)
    with pytest.raises(ValueError, match="expected a range that is finite"):
        entropy_of_samples([-1.7e308, 1.7e308], 3)
    with pytest.raises(ValueError, match="too many for 2 samples"):
        mutual_information([0.0, 1.0], [0.0, 1.0], bins=4000)
    with pytest.raises(ValueError, match="out is for tables"):
        mutual_information(X, Y, out=np.empty(()))


# Differential entropy -------------------------------------------------------------------------


def test_closed_forms_are_scipys() -> None:
    assert uniform_entropy(-1, 3) == pytest.approx(scipy.stats.uniform(-1, 4).entropy())
    assert normal_entropy(2.5) == pytest.approx(scipy.stats.norm(scale=2.5).entropy())
    assert exponential_entropy(4, base=2) == pytest.approx(
        scipy.stats.expon(scale=1 / 4).entropy() / math.log(2)
    )
    assert normal_entropy([1, 2, 3]).shape == (3,)
    for refused in (lambda: uniform_entropy(2, 2), lambda: uniform_entropy(0, math.inf),
                    lambda: normal_entropy(0), lambda: normal_entropy([1, math.nan]),
                    lambda: exponential_entropy(-1)):  # fmt: skip
        with pytest.raises(ValueError, match="expected a positive, finite number"):
            refused()


def test_an_interval_longer_than_any_number_is_refused_without_a_warning() -> None:
    """pytest turns a warning into an error."""
    with pytest.raises(ValueError, match="the interval's length is inf, expected a positive, fin"):
        uniform_entropy(-1.7e308, 1.7e308)


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("n", [11, 64, 1000, 2500])
def test_neighbours_are_found_as_by_looking_at_all(n: int, k: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    apart = np.sort(np.abs(x[:, np.newaxis] - x), axis=1)[:, k]
    expected = (
        scipy.special.digamma(n) - scipy.special.digamma(k) + math.log(2) + np.log(apart).mean()
    )
    assert differential_entropy(x, k=k) == pytest.approx(expected, rel=1e-13, abs=1e-13)


def test_estimate_comes_close_to_the_closed_form() -> None:
    rng = np.random.default_rng(9)
    n = 40_000
    for samples, true in (
        (rng.normal(0, 3, n), normal_entropy(3)),
        (rng.uniform(2, 7, n), uniform_entropy(2, 7)),
        (rng.exponential(1 / 2, n), exponential_entropy(2)),
    ):
        assert differential_entropy(samples) == pytest.approx(true, abs=0.02)
        assert differential_entropy(samples.astype(np.float32)) == pytest.approx(true, abs=0.02)


def test_scaling_samples_adds_the_logarithm_of_the_scale() -> None:
    x = np.random.default_rng(5).normal(size=3000)
    there = differential_entropy(x)
    for scale in (1e-300, 1e-9, 1e300):
        assert differential_entropy(x * scale) == pytest.approx(there + math.log(scale), rel=1e-12)


def test_ties_are_no_density() -> None:
    x = np.random.default_rng(5).normal(size=100)
    x[:4] = 0.5
    assert differential_entropy(x, k=3) == -math.inf
    assert math.isfinite(differential_entropy(x, k=4))


def test_bad_neighbours_are_told() -> None:
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"k is {k}, expected 1 to n - 1 = 4"):
            differential_entropy([1.0, 2.0, 3.0, 4.0, 5.0], k=k)
    with pytest.raises(ValueError, match="expected a range that is finite"):
        differential_entropy([-1.7e308, 0, 1, 2, 1.7e308])
