"""What may be passed, however it lies in memory, and how the rest is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from examples.information import (
    conditional_entropy,
    conditional_mutual_information,
    cross_entropy,
    differential_entropy,
    discrimination_information,
    entropy,
    entropy_of_samples,
    interaction_information,
    j_divergence,
    joint_entropy,
    kl_divergence,
    mutual_information,
    posterior_log_odds,
    prefix_code,
)

RNG = np.random.default_rng(8)
CUBE = RNG.random((7, 70, 90))
PAIRS = (kl_divergence, j_divergence, cross_entropy)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_any_axis_gives_what_its_vectors_give(axis: int) -> None:
    vectors = np.moveaxis(CUBE, axis, -1)
    found, other = entropy(CUBE, axis=axis), np.roll(vectors, 1, -1)
    assert found.shape == vectors.shape[:-1]
    pairs = kl_divergence(CUBE, np.moveaxis(other, -1, axis), axis=axis)
    for place in [(0, 0), (3, 5), (6, 69) if axis == 2 else (6, 6)]:
        assert found[place] == entropy(vectors[place])
        assert pairs[place] == kl_divergence(vectors[place], other[place])
    np.testing.assert_allclose(found, scipy.stats.entropy(CUBE, axis=axis), rtol=1e-13)


@pytest.mark.parametrize("integer", [int, np.int64, np.int8, np.uint8, np.array])
def test_numpys_integers_are_axes_bins_and_neighbours(integer: Callable[[int], Any]) -> None:
    one, other = CUBE[0], CUBE[1]
    axis = integer(0)
    np.testing.assert_array_equal(entropy(one, axis=axis), entropy(one, axis=0))
    for measure in (*PAIRS, discrimination_information):
        for q in (other, other[:, :1]):
            np.testing.assert_array_equal(measure(one, q, axis=axis), measure(one, q, axis=0))
    both = (integer(0), integer(1))
    assert mutual_information(one, axis=both) == mutual_information(one)
    assert entropy(one, axis=np.array(both)) == entropy(one, axis=(0, 1))
    x, y = one.ravel(), other.ravel()
    assert entropy_of_samples(x, integer(3)) == entropy_of_samples(x, 3)
    assert mutual_information(x, y, bins=integer(3)) == mutual_information(x, y, bins=3)
    assert differential_entropy(x, k=integer(2)) == differential_entropy(x, k=2)
    assert prefix_code(x, integer(3)).average == prefix_code(x, 3).average


@pytest.mark.parametrize("axis", [1.0, "0", (0, 1.5), np.array([0.5]), 1j])
def test_what_is_no_axis_is_told(axis: Any) -> None:
    for call in (
        lambda: entropy(CUBE, axis=axis),
        lambda: kl_divergence(CUBE, CUBE[:1], axis=axis),
        lambda: discrimination_information(CUBE, CUBE, axis=axis),
        lambda: mutual_information(CUBE, axis=axis),
    ):
        with pytest.raises(TypeError, match=r"axis is .*, expected an integer, a tuple of"):
            call()


@pytest.mark.parametrize("axis", [1, None, (0, 1, 2), np.int64(1)])
def test_a_table_wants_an_axis_for_each_variable(axis: Any) -> None:
    for measure in (mutual_information, conditional_entropy):
        with pytest.raises(ValueError, match=r"axis is .*, expected 2 axes, one for each variable"):
            measure(CUBE, axis=axis)


def test_parts_of_bins_neighbours_and_digits_are_told() -> None:
    x, y = CUBE[:2].reshape(2, -1)
    for call in (lambda: entropy_of_samples(x, 2.5), lambda: mutual_information(x, y, bins=2.5)):
        with pytest.raises(TypeError, match=r"bins is 2\.5, expected an integer"):
            call()
    with pytest.raises(TypeError, match=r"k is 1\.5, expected an integer"):
        differential_entropy(x, k=1.5)
    with pytest.raises(TypeError, match=r"arity is 2\.5, expected an integer"):
        prefix_code(x, 2.5)


@pytest.mark.parametrize("arity", [4, 10, 2**63, pytest.param(10**400, id="10**400")])
def test_more_digits_than_symbols_make_words_of_one_digit(arity: int) -> None:
    code = prefix_code([1, 2, 0, 3, 4], arity)
    assert code.lengths.tolist() == [1, 1, 0, 1, 1]
    assert code.average == 1
    assert 0 < code.bound <= 1
    assert prefix_code([7], arity).lengths.tolist() == [0]


def test_several_axes_and_all_axes_are_summed_over_together() -> None:
    flat = entropy(CUBE.ravel())
    assert entropy(CUBE, axis=None) == flat
    assert joint_entropy(CUBE) == flat
    assert entropy(CUBE, axis=(0, 2))[4] == entropy(np.ascontiguousarray(CUBE[:, 4]).ravel())
    assert joint_entropy(CUBE, axis=(0, 1))[3] == entropy(CUBE[:, :, 3].ravel())


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda a: a[::2, ::3, ::-1], id="steps"),
        pytest.param(lambda a: a.transpose(2, 0, 1), id="transposed"),
        pytest.param(np.asfortranarray, id="Fortran"),
        pytest.param(lambda a: np.broadcast_to(a[:, :1], a.shape), id="broadcast"),
        pytest.param(lambda a: np.broadcast_to(a[:, :, :1], a.shape), id="constant"),
        pytest.param(lambda a: a.astype(a.dtype.newbyteorder()), id="byte order"),
        pytest.param(lambda a: np.frombuffer(b"x" + a.data, a.dtype, offset=1), id="unaligned"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_strides_give_what_a_copy_gives(view: Callable[[Any], Any], dtype: type) -> None:
    array = view(CUBE.astype(dtype))
    copy = np.array(array, dtype, order="C")
    for axis in range(array.ndim):
        np.testing.assert_array_equal(entropy(array, axis=axis), entropy(copy, axis=axis))
        for measure in PAIRS:
            np.testing.assert_array_equal(
                measure(array, copy, axis=axis), measure(copy, copy, axis=axis)
            )


def test_shapes_are_broadcast_but_not_along_the_axis() -> None:
    p, q = RNG.random((3, 1, 9)), RNG.random((4, 9))
    found = kl_divergence(p, q)
    assert found.shape == (3, 4)
    assert found[2, 3] == kl_divergence(p[2, 0], q[3])
    assert discrimination_information(p, q).shape == (3, 4, 9)
    for measure in (*PAIRS, discrimination_information):
        with pytest.raises(ValueError, match=r"p2? has shape \(3, 1, 9\) and [pq]1? \(4, 1\)"):
            measure(p, q[:, :1])
        with pytest.raises(ValueError, match=r"has shape \(3, 1, 9\) and [pq]1? \(\)"):
            measure(p, 1.0)


def test_discrimination_information_lies_as_its_arguments_do() -> None:
    p2, p1 = RNG.random((3, 80, 5)), RNG.random((3, 80, 5))
    for axis in (0, 1, 2, None, (0, 2)):
        expected = np.log(p2 / p2.sum(axis, keepdims=True)) - np.log(
            p1 / p1.sum(axis, keepdims=True)
        )
        found = discrimination_information(p2, p1, axis=axis)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_tables_take_batches_and_axes() -> None:
    for measure, axes in ((mutual_information, (0, 2)), (conditional_entropy, (2, 0))):
        found = measure(CUBE, axis=axes)
        assert found.shape == (70,)
        assert found[9] == pytest.approx(
            measure(CUBE[:, 9] if axes == (0, 2) else CUBE[:, 9].T), rel=1e-13
        )
    four = CUBE[:, :12, :12].reshape(7, 12, 3, 4)
    for triple in (conditional_mutual_information, interaction_information):
        assert triple(four)[6] == pytest.approx(triple(four[6]), rel=1e-12)


def test_float32_is_summed_in_double_and_rounded_once() -> None:
    p, q = CUBE[0, 0].astype(np.float32), CUBE[0, 1].astype(np.float32)
    for found, exact in (
        (entropy(p), entropy(p.astype(float))),
        (kl_divergence(p, q), kl_divergence(p.astype(float), q.astype(float))),
        (mutual_information(p.reshape(9, 10)), mutual_information(p.reshape(9, 10).astype(float))),
    ):
        assert found.dtype == np.float32
        assert found == np.float32(exact)
    assert kl_divergence(p, q.astype(float)).dtype == np.float64
    assert entropy(p.astype(np.float16)).dtype == np.float32


@pytest.mark.parametrize("weights", [[1, 2, 3], [True, False, True], np.array([5, 6], np.uint8)])
def test_whole_numbers_are_weights_too(weights: Any) -> None:
    assert entropy(weights) == entropy(np.asarray(weights, float))
    assert isinstance(entropy(weights), np.float64)


def test_weights_need_not_add_up_to_1() -> None:
    p, q = RNG.random(500), RNG.random(500)
    assert entropy(p * 8) == entropy(p)
    assert kl_divergence(p * 8, q * 0.25) == kl_divergence(p, q)
    np.testing.assert_allclose(entropy(p * 1e6), entropy(p), rtol=1e-15)


def test_bases_are_units() -> None:
    assert entropy([1, 1], base=2) == 1
    assert entropy([1] * 100, base=10) == pytest.approx(2, rel=1e-15)
    assert mutual_information([[1, 0], [0, 1]], base=2) == 1
    assert discrimination_information([4, 4], [1, 1], base=3).tolist() == [0, 0]
    for base in (0, 1, -2, math.inf, math.nan):
        for measure in (
            lambda b: entropy([1, 2], base=b),
            lambda b: kl_divergence([1], [1], base=b),
            lambda b: mutual_information([[1]], base=b),
        ):
            with pytest.raises(ValueError, match="expected a positive number other than 1"):
                measure(base)


def test_results_go_into_out() -> None:
    out = np.empty((7, 70))
    assert entropy(CUBE, out=out) is out
    np.testing.assert_array_equal(out, entropy(CUBE))
    half = np.empty((7, 140), np.float32)[:, ::2]
    assert kl_divergence(CUBE, CUBE[::-1], base=2, out=half) is half
    np.testing.assert_array_equal(half, kl_divergence(CUBE, CUBE[::-1], base=2).astype(np.float32))
    scalar = np.empty(())
    assert entropy([1, 1], base=2, out=scalar) is scalar
    assert scalar == 1
    with pytest.raises(ValueError, match=r"out has shape \(7, 70\), expected \(7, 90\)"):
        entropy(CUBE, axis=1, out=out)
    with pytest.raises(TypeError, match="out is int64, expected an array of floating-point"):
        entropy([1, 2], out=np.empty((), np.int64))


def test_out_is_left_alone_where_weights_are_bad() -> None:
    out, weights = np.full(3, 7.0), np.ones((3, 9))
    weights[2, 2] = -1
    with pytest.raises(ValueError, match="-1"):
        entropy(weights, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("n", [5, 300, 40_000])
@pytest.mark.parametrize(("value", "shown"), [(-0.5, "-0.5"), (np.nan, "nan"), (np.inf, "inf"),
                                              (-np.inf, "-inf"), (-5e-324, "-5e-324")])  # fmt: skip
def test_negative_and_infinite_weights_are_told_with_their_place(
    n: int, value: float, shown: str
) -> None:
    good, bad = np.ones(n), np.ones(n)
    bad[n - 2] = value
    place = rf"has {shown} at \[{n - 2}\].*expected finite numbers that are not negative"
    with pytest.raises(ValueError, match=f"weights {place}"):
        entropy(bad)
    for measure in PAIRS:
        with pytest.raises(ValueError, match=f"p {place}"):
            measure(bad, good)
        with pytest.raises(ValueError, match=f"q {place}"):
            measure(good, bad)
    with pytest.raises(ValueError, match=f"p1 {place}"):
        discrimination_information(good, bad)
    with pytest.raises(ValueError, match=rf"has {shown} at \[1, {n - 2}\] \(the axis summed"):
        entropy(np.stack([good, bad]))
    with pytest.raises(ValueError, match=f"joint has {shown}"):
        mutual_information(bad.reshape(5, -1))
    with pytest.raises(ValueError, match=f"joint has {shown}"):
        conditional_entropy(bad.reshape(5, -1))
    with pytest.raises(ValueError, match=f"joint has {shown}"):
        interaction_information(bad.reshape(5, 1, -1))
    with pytest.raises(ValueError, match=f"weights {place}"):
        prefix_code(bad)


@pytest.mark.parametrize("n", [5, 300, 40_000])
def test_weights_that_are_all_zero_are_told(n: int) -> None:
    zeros, ones = np.zeros(n), np.ones(n)
    with pytest.raises(ValueError, match="weights is all zeros, expected a positive weight"):
        entropy(zeros)
    with pytest.raises(ValueError, match=r"weights is all zeros at \[1\]"):
        entropy(np.stack([ones, zeros]))
    for measure in PAIRS:
        with pytest.raises(ValueError, match="p is all zeros"):
            measure(zeros, ones)
        with pytest.raises(ValueError, match="q is all zeros"):
            measure(ones, zeros)
    for measure in (mutual_information, conditional_entropy):
        with pytest.raises(ValueError, match="joint is all zeros"):
            measure(zeros.reshape(5, -1))
    with pytest.raises(ValueError, match="weights is all zeros"):
        prefix_code(zeros)
    assert entropy(-zeros + ones) > 0


@pytest.mark.parametrize("n", [3, 300, 40_000])
def test_zeros_make_divergences_infinite_as_scipys_do(n: int) -> None:
    p, q = np.ones(n), np.ones(n)
    q[1] = 0
    assert kl_divergence(p, q) == np.inf == scipy.stats.entropy(p, q)
    assert kl_divergence(q, p) == pytest.approx(scipy.stats.entropy(q, p))
    assert j_divergence(p, q) == j_divergence(q, p) == np.inf
    assert cross_entropy(p, q) == np.inf
    assert kl_divergence(q, q) == 0 == j_divergence(q, q)
    tells = discrimination_information(p, q)
    assert tells[1] == np.inf == -discrimination_information(q, p)[1]
    assert np.isnan(discrimination_information(q, q)[1])
    p[1] = 1e-300
    assert kl_divergence(p, q) == np.inf


def test_nothing_to_sum_over_is_told() -> None:
    with pytest.raises(ValueError, match=r"weights is empty along axis -1: its shape is \(0,\)"):
        entropy([])
    with pytest.raises(ValueError, match="is empty along axis 0"):
        entropy(np.ones((0, 3)), axis=0)
    with pytest.raises(ValueError, match="has no axis to sum over"):
        entropy(3.0)
    with pytest.raises(ValueError, match="p is empty"):
        kl_divergence([], [])
    assert entropy(np.ones((0, 3))).shape == (0,)
    with pytest.raises(np.exceptions.AxisError):
        entropy([1, 2], axis=4)


def test_other_bad_arguments_are_told() -> None:
    for given in (["a"], [1j], [None], np.array(["2020"], "M8")):
        with pytest.raises(TypeError, match=r"weights has dtype .*, expected real numbers"):
            entropy(given)
    with pytest.raises(ValueError, match="threads is 0, expected 1 or more"):
        entropy([1, 2], threads=0)
    with pytest.raises(ValueError, match=r"joint has shape \(2,\), expected 2 dimensions"):
        mutual_information([1, 2])
    with pytest.raises(ValueError, match="expected 3 axes"):
        interaction_information(CUBE, axis=(0, 1))
    for bins in ({"bins": 3}, {"correction": "miller-madow"}):
        with pytest.raises(ValueError, match="y is missing"):
            mutual_information(CUBE, **bins)
    with pytest.raises(ValueError, match="prior is 1"):
        posterior_log_odds([1, 2], [2, 1], 1)
    with pytest.raises(ValueError, match="arity is 1"):
        prefix_code([1, 2], 1)
    with pytest.raises(TypeError, match=r"arity is 2\.5"):
        prefix_code([1, 2], 2.5)
    with pytest.raises(ValueError, match=r"weights has shape \(2, 2\)"):
        prefix_code([[1, 2], [3, 4]])
