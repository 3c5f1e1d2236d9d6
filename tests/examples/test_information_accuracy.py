"""How close the measures come to the truth, and that threads do not change them."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from examples.information import (
    conditional_entropy,
    conditional_mutual_information,
    cross_entropy,
    differential_entropy,
    discrimination_information,
    entropy,
    entropy_of_labels,
    j_divergence,
    kl_divergence,
    mutual_information,
)

Weights = NDArray[np.float64]
Real = mpmath.mpf

KINDS: dict[str, Callable[[np.random.Generator, int], Weights]] = {
    "random": lambda rng, n: rng.random(n),
    "probabilities": lambda rng, n: rng.dirichlet(np.ones(n)),
    "sparse": lambda rng, n: rng.dirichlet(np.full(n, 0.05)) + 1e-30,
    "counts": lambda rng, n: rng.integers(1, 10**9, n).astype(float),
    "equal": lambda rng, n: np.full(n, 0.1),
    "tiny": lambda rng, n: rng.random(n) * 1e-300,
    "huge": lambda rng, n: (rng.random(n) + 0.01) * 1e300,
    "at the end": lambda rng, n: np.full(n, np.finfo(float).max),
    "all scales": lambda rng, n: 10.0 ** rng.uniform(-300, 300, n),
}
EXACT = 2200
"""Bits that hold the sum of 1e-300 and 1e300, and more."""
SIZES = (1, 2, 3, 17, 63, 64, 1100)


def terms(p: Weights, q: Weights) -> dict[str, list[Real]]:
    """Each measure's terms, of normalised weights."""
    a, b = ([Real(v) for v in w.tolist()] for w in (p, q))
    a, b = ([v / mpmath.fsum(w) for v in w] for w in (a, b))
    logs = [(mpmath.log(u), mpmath.log(v)) for u, v in zip(a, b, strict=True)]
    pairs = list(zip(a, b, logs, strict=True))
    return {
        "entropy": [-u * lu for u, _, (lu, _) in pairs],
        "kl": [u * (lu - lv) for u, _, (lu, lv) in pairs],
        "j": [(u - v) * (lu - lv) for u, v, (lu, lv) in pairs],
        "cross": [-u * lv for u, _, (_, lv) in pairs],
    }


def assert_within_4_ulp(found: float, true: list[Real], least_scale: float) -> None:
    scale = max(float(mpmath.fsum(abs(term) for term in true)), least_scale)
    error = float(abs(mpmath.fsum(true) - Real(float(found))))
    assert error <= 4 * np.spacing(scale)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_is_within_4_ulp_of_the_sums_scale(kind: str, n: int) -> None:
    rng = np.random.default_rng(n)
    p, q = KINDS[kind](rng, n), KINDS[kind](rng, n)
    with mpmath.workprec(EXACT if n < 20 else 140):
        true = terms(p, q)
        # Entropy has its small values right; the others have them to what 1 nat has.
        assert_within_4_ulp(entropy(p), true["entropy"], 0 if n < 20 or kind != "all scales" else 1)
        assert_within_4_ulp(kl_divergence(p, q), true["kl"], 1)
        assert_within_4_ulp(j_divergence(p, q), true["j"], 1)
        assert_within_4_ulp(cross_entropy(p, q), true["cross"], 1)


@pytest.mark.parametrize(
    "weights",
    [[1, 1e-300], [1e300, 1], [1e10, 1], [1, 1e-10, 1e-20], [3, 1e-17], [1.0] + [1e-12] * 200,
     [1e20] + [1e10] * 70 + [1] * 1100],
)  # fmt: skip
def test_almost_certain_distributions_keep_their_small_entropy(weights: list[float]) -> None:
    p = np.array(weights, float)
    with mpmath.workprec(EXACT if len(weights) < 20 else 140):
        assert_within_4_ulp(entropy(p), terms(p, p)["entropy"], 0)


def test_subnormal_weights_are_weights() -> None:
    rng = np.random.default_rng(1)
    p, q = (np.round(rng.random(500) * 1000 + 1) * 2.0**-1060 for _ in range(2))
    for measure in (entropy, kl_divergence, j_divergence, cross_entropy):
        small, large = ([np.ldexp(w, k) for w in (p, q)] for k in (0, 1060))
        arguments = slice(1 if measure is entropy else 2)
        found, expected = measure(*small[arguments]), measure(*large[arguments])
        np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("n", [2, 10, 63, 64, 1000, 1025, 100_000])
def test_agrees_with_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    p, q = rng.random(n), rng.random(n)
    p[rng.random(n) < 0.1] = 0
    p[0] = 1
    np.testing.assert_allclose(entropy(p), scipy.stats.entropy(p), rtol=1e-13)
    np.testing.assert_allclose(entropy(p, base=2), scipy.stats.entropy(p, base=2), rtol=1e-13)
    p, q = p / p.sum(), q / q.sum()
    expected = scipy.special.rel_entr(p, q)
    scale = np.abs(expected).sum()
    assert abs(kl_divergence(p, q) - expected.sum()) <= 8 * np.spacing(scale)
    np.testing.assert_allclose(
        kl_divergence(p, q, base=10), scipy.stats.entropy(p, q, base=10), rtol=1e-12
    )


def test_quotients_of_all_scales_are_told_apart() -> None:
    p2, p1 = np.array([1e300, 1e-300, 1.0, 5e-324]), np.array([1e-300, 1e300, 1.0, 1e-320])
    found = discrimination_information(p2, p1)
    with mpmath.workprec(140):
        a, b = ([Real(v) for v in w.tolist()] for w in (p2, p1))
        for ours, u, v in zip(found.tolist(), a, b, strict=True):
            true = mpmath.log(u / mpmath.fsum(a)) - mpmath.log(v / mpmath.fsum(b))
            assert abs(ours - true) <= 4 * np.spacing(abs(float(true)))


@pytest.mark.parametrize("shape", [(2, 2), (7, 5), (40, 30)])
def test_information_of_almost_independent_variables_does_not_cancel(
    shape: tuple[int, int],
) -> None:
    rng = np.random.default_rng(3)
    joint = np.outer(rng.random(shape[0]), rng.random(shape[1]))
    joint[0, 0] *= 1 + 1e-5
    with mpmath.workprec(140):
        cells = [[Real(v) for v in row] for row in joint.tolist()]
        total = mpmath.fsum(map(mpmath.fsum, cells))
        rows = [mpmath.fsum(row) / total for row in cells]
        columns = [mpmath.fsum(column) / total for column in zip(*cells, strict=True)]
        true = [
            v / total * mpmath.log(v / total / (r * c))
            for row, r in zip(cells, rows, strict=True)
            for v, c in zip(row, columns, strict=True)
        ]
        error = abs(mpmath.fsum(true) - Real(float(mutual_information(joint))))
        assert error <= 3e-16  # a difference of entropies would lose more


@pytest.mark.parametrize("scale", [1e-300, 1, 1e300, 1.5e308])
def test_tables_of_any_scale_have_the_same_information(scale: float) -> None:
    joint = np.random.default_rng(4).random((4, 5, 6))
    joint /= joint.max()
    for measure in (mutual_information, conditional_entropy, conditional_mutual_information):
        np.testing.assert_allclose(measure(joint * scale), measure(joint), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("scale", [1e-300, 1e-307, 1e-323, 1.0, 1e300])
def test_a_table_is_not_changed_by_a_heavy_one_beside_it(scale: float) -> None:
    heavy = np.full((2, 2), 1.7e308)
    light = scale * np.array([[1.0, 1.0], [1.0, 3.0]])
    expected = conditional_entropy(light)
    for axis in ((-2, -1), (-1, -2)):
        found = conditional_entropy([heavy, light], axis=axis)
        np.testing.assert_allclose(found, [np.log(2), expected], rtol=1e-15)
    if scale > 1e-310:
        assert expected == pytest.approx(2 / 6 * np.log(2) + 4 / 6 * _entropy(0.25), rel=1e-13)
    with pytest.raises(ValueError, match=r"joint has -1e-310 at \[1, 0, 1\]"):
        conditional_entropy([heavy, [[1.0, -1e-310], [1.0, 1.0]]])
    with pytest.raises(ValueError, match=r"joint is all zeros at \[1\]"):
        conditional_entropy([heavy, np.zeros((2, 2))])


def _entropy(p: float) -> float:
    return float(-p * np.log(p) - (1 - p) * np.log(1 - p))


@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(lambda p, q, t: entropy(p, threads=t), id="entropy"),
        pytest.param(lambda p, q, t: kl_divergence(p, q, threads=t), id="kl_divergence"),
        pytest.param(lambda p, q, t: j_divergence(p, q, threads=t), id="j_divergence"),
        pytest.param(lambda p, q, t: cross_entropy(p, q, threads=t), id="cross_entropy"),
        pytest.param(
            lambda p, q, t: discrimination_information(p, q, threads=t), id="discrimination"
        ),
        pytest.param(
            lambda p, q, t: mutual_information(p[:90_000].reshape(300, 300), threads=t),
            id="mutual_information",
        ),
        pytest.param(
            lambda p, q, t: entropy(p[:99_000].reshape(-1, 9), threads=t), id="short rows"
        ),
        pytest.param(
            lambda p, q, t: kl_divergence(
                p[:99_000].reshape(-1, 99), q[:99_000].reshape(-1, 99), threads=t
            ),
            id="rows",
        ),
        pytest.param(lambda p, q, t: differential_entropy(p, threads=t), id="differential"),
        pytest.param(
            lambda p, q, t: mutual_information(p, q, bins=40, threads=t), id="samples"
        ),
        pytest.param(
            lambda p, q, t: entropy_of_labels((p * 50).astype(int), threads=t), id="labels"
        ),
    ],
)  # fmt: skip
def test_any_number_of_threads_gives_the_same_to_the_bit(
    measure: Callable[[Weights, Weights, int | None], object],
) -> None:
    rng = np.random.default_rng(6)
    p, q = 10.0 ** rng.uniform(-30, 30, 100_001), rng.random(100_001)
    p[::3] = rng.random(p[::3].size)
    p /= p.max()
    one = np.asarray(measure(p, q, 1))
    for threads in (2, 3, 7, None):
        assert np.asarray(measure(p, q, threads)).tobytes() == one.tobytes()
