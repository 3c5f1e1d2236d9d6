"""The logarithm that the kernels vectorize: close to the true one, everywhere."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from examples.logarithm import log
from numpy.typing import NDArray

DTYPES = (np.float64, np.float32)


def logarithms(x: NDArray[np.floating], *, normal: bool) -> NDArray[np.floating]:
    out = np.full_like(x, 7)
    log(x, out, normal=normal)
    return out


def worst_ulp(x: NDArray[np.floating], found: NDArray[np.floating]) -> float:
    """The largest error in units in the last place of the true logarithm."""
    worst = 0.0
    with mpmath.workprec(120):
        for number, ours in zip(x.tolist(), found.tolist(), strict=True):
            true = mpmath.log(number)
            ulp = np.spacing(np.abs(x.dtype.type(float(true))))
            worst = max(worst, float(abs(true - ours) / float(ulp)))
    return worst


@pytest.mark.parametrize("normal", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_is_within_one_ulp_for_normal_numbers(dtype: type, normal: bool) -> None:
    rng = np.random.default_rng(5)
    info = np.finfo(dtype)
    spread = np.log2(float(info.max))
    x = np.concatenate([
        rng.uniform(0, 1, 800),
        rng.uniform(0.5, 2, 800),
        1 + rng.normal(0, 1e-3, 400),
        np.sqrt(0.5) * (1 + rng.normal(0, 1e-4, 400)),
        2.0 ** rng.uniform(-spread + 4, spread - 1, 800),
        1 + np.arange(-20, 21) * float(info.eps),
        [info.tiny, info.max, 1, 2, 0.5],
    ]).astype(dtype)  # fmt: skip
    assert worst_ulp(x, logarithms(x, normal=normal)) <= 1
    assert logarithms(np.ones(3, dtype), normal=normal).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_is_within_one_ulp_for_subnormal_numbers(dtype: type) -> None:
    info = np.finfo(dtype)
    steps = np.unique(np.geomspace(1, 2.0**info.nmant, 500).astype(np.int64))
    x = (steps * float(info.smallest_subnormal)).astype(dtype)
    assert worst_ulp(x, logarithms(x, normal=False)) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_negative_nan_and_inf_are_as_in_c(dtype: type) -> None:
    x = np.array([0, -0.0, -1, -1e-40, np.nan, np.inf, -np.inf] * 9, dtype)
    expected = np.array([-np.inf, -np.inf, np.nan, np.nan, np.nan, np.inf, np.nan] * 9, dtype)
    np.testing.assert_array_equal(logarithms(x, normal=False), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_normal_stays_finite_where_normal_is_promised(dtype: type) -> None:
    x = np.array([0, -0.0, -1, 1e-40, 1e-310] * 9, dtype)
    assert np.isfinite(logarithms(x, normal=True)).all()


@pytest.mark.parametrize("size", [0, 1, 7, 33])
def test_every_length_is_written_whole_and_no_further(size: int) -> None:
    x, out = np.full(size + 3, 2.0), np.full(size + 3, 7.0)
    log(x[:size], out[:size])
    assert (out[:size] == np.log(2.0)).all()
    assert (out[size:] == 7).all()


def test_shapes_that_differ_are_told() -> None:
    with pytest.raises(ValueError, match="out has 2 elements, expected 3"):
        log(np.ones(3), np.ones(2))
