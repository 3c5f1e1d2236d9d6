"""The relaxed draw, its limits and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from examples.gumbel import (
    gumbel_max,
    gumbel_softmax,
    gumbel_softmax_vjp,
    straight_through,
    stream,
)

DTYPES = (np.float64, np.float32)


def logits_of(*shape: int, dtype: type = np.float64) -> NDArray[np.floating]:
    return np.random.default_rng(1).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("n", [1, 3, 8, 100, 5000])
@pytest.mark.parametrize("temperature", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_is_the_softmax_of_the_perturbed_logits(n: int, temperature: float, dtype: type) -> None:
    logits = logits_of(4, n, dtype=dtype)
    y = gumbel_softmax(logits, temperature, rng=2)
    expected = softmax((logits.astype(float) + stream(2).gumbel((4, n))) / temperature, axis=1)
    assert y.dtype == dtype
    info = np.finfo(dtype)
    rtol = 40 * info.eps * (1 + 1 / temperature)
    np.testing.assert_allclose(y, expected, rtol=rtol, atol=max(float(info.tiny), 1e-300))
    np.testing.assert_allclose(y.sum(1), 1, rtol=n**0.5 * np.finfo(dtype).eps)


def test_the_largest_component_is_the_winners() -> None:
    logits = logits_of(3, 50)
    y = gumbel_softmax(logits, 0.7, size=(20, 5), rng=3)
    assert y.shape == (20, 5, 3, 50)
    assert (y.argmax(-1) == gumbel_max(logits, size=(20, 5), rng=3)).all()


def test_a_low_temperature_gives_the_corner_and_a_high_one_the_middle() -> None:
    logits = logits_of(200, 9)
    winner = gumbel_max(logits, rng=4)
    for temperature in (1e-4, 1e-300):
        cold = gumbel_softmax(logits, temperature, rng=4)
        assert (cold.argmax(1) == winner).all()
    assert (cold.max(1) == 1).all()
    assert (cold.sum(1) == 1).all()
    np.testing.assert_allclose(gumbel_softmax(logits, 1e12, rng=4), 1 / 9, rtol=1e-10)
    np.testing.assert_allclose(gumbel_softmax(logits, 1.7e308, rng=4), 1 / 9, rtol=1e-15)


def test_impossible_categories_are_exactly_zero_at_any_temperature() -> None:
    logits = np.array([0.0, -np.inf, 1.0, -np.inf])
    for temperature in (1e-300, 1.0, 1e300):
        y = gumbel_softmax(logits, temperature, size=10, rng=5)
        assert (y[:, [1, 3]] == 0).all()
        np.testing.assert_allclose(y.sum(1), 1)
    huge = gumbel_softmax([1e300, 1e300, -1e300], 1.0, size=100, rng=5)
    assert (huge[:, 2] == 0).all()
    assert 0.2 < huge[:, 0].mean() < 0.8
    assert len(np.unique(huge[:, 0])) == 100


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5000, 7), (30, 900), (2, 20_000)])
def test_threads_do_not_change_a_bit(dtype: type, shape: tuple[int, int]) -> None:
    logits = logits_of(*shape, dtype=dtype)
    one = gumbel_softmax(logits, 0.5, rng=6, threads=1)
    two = gumbel_softmax(logits, 0.5, rng=6, threads=2)
    assert (one == two).all()
    pulled = [gumbel_softmax_vjp(one, logits, 0.5, threads=t) for t in (1, 2)]
    assert (pulled[0] == pulled[1]).all()


# Gradients


@pytest.mark.parametrize("n", [2, 11])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_gradient_is_that_of_finite_differences(n: int, temperature: float) -> None:
    logits = logits_of(3, n)
    direction = np.random.default_rng(2).normal(size=(3, n))
    y = gumbel_softmax(logits, temperature, rng=7)
    gradient = gumbel_softmax_vjp(y, direction, temperature)
    step = 1e-5
    for at in np.ndindex(3, n):
        moved = np.zeros_like(logits)
        moved[at] = step
        up, down = (
            (gumbel_softmax(logits + sign * moved, temperature, rng=7) * direction).sum()
            for sign in (1, -1)
        )
        assert gradient[at] == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-8)


def test_gradient_leaves_the_sum_of_logits_alone() -> None:
    y = gumbel_softmax(logits_of(40, 100), 0.5, rng=8)
    gradient = gumbel_softmax_vjp(y, logits_of(40, 100), 0.5)
    np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-14)
    np.testing.assert_allclose(gumbel_softmax_vjp(y, np.ones_like(y), 0.5), 0, atol=1e-14)


def test_straight_through_is_a_corner_with_the_soft_draws_gradient() -> None:
    logits = logits_of(50, 6, dtype=np.float32)
    hard, soft = straight_through(logits, 2.0, size=10, rng=9)
    assert hard.shape == soft.shape == (10, 50, 6)
    assert hard.dtype == soft.dtype == np.float32
    assert (np.sort(hard, axis=-1) == [0, 0, 0, 0, 0, 1]).all()
    assert (hard.argmax(-1) == gumbel_max(logits, size=10, rng=9)).all()
    assert (soft == gumbel_softmax(logits, 2.0, size=10, rng=9)).all()


def test_straight_through_gradients_learn_the_better_category() -> None:
    reward = np.array([0.1, 1.0, 0.2, 0.4])
    logits = np.zeros(4)
    for step in range(200):
        draw = straight_through(logits, 1.0, size=50, rng=step)
        logits += 0.2 * gumbel_softmax_vjp(draw.soft, np.tile(reward, (50, 1)), 1.0).mean(0)
    assert softmax(logits)[1] > 0.8


# Bad input


def test_bad_input_is_named() -> None:
    for temperature in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(
            ValueError, match=r"temperature = .*: expected a positive, finite number"
        ):
            gumbel_softmax([0.0, 1.0], temperature)
    with pytest.raises(ValueError, match=r"logits\[1, 2\] is nan"):
        gumbel_softmax([[0, 0, 0], [0, 0, np.nan]])
    with pytest.raises(ValueError, match="no category is possible"):
        gumbel_softmax([-np.inf, -np.inf])
    with pytest.raises(ValueError, match=r"y has shape \(2,\) and cotangent \(3,\)"):
        gumbel_softmax_vjp([0.5, 0.5], [1, 2, 3])
    assert gumbel_softmax(np.zeros((0, 3))).shape == (0, 3)
    assert gumbel_softmax_vjp(np.zeros((0, 3)), np.zeros((0, 3))).shape == (0, 3)
