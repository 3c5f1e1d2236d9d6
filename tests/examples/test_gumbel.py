"""Categories are drawn with the right probabilities, one or several, from whatever weights."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from examples.gumbel import (
    gumbel_max,
    gumbel_maximum,
    gumbel_top_k,
    perturb_and_trace,
    stream,
)

DTYPES = (np.float64, np.float32)


def agrees(winners: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """The p-value of a chi-square test that the winners have these probabilities."""
    counts = np.bincount(winners.ravel(), minlength=len(probabilities))
    assert counts[probabilities == 0].sum() == 0
    possible = probabilities > 0
    return float(stats.chisquare(counts[possible], winners.size * probabilities[possible]).pvalue)


# The article's statement: P(Z = k) = a_k


@pytest.mark.parametrize(
    "weights", [[0.5, 0.5], [0.7, 0.2, 0.1], [1e-3, 0.999], [0.1] * 10, [0.0, 0.4, 0.0, 0.6]]
)
def test_each_category_wins_with_its_probability(weights: list[float]) -> None:
    a = np.array(weights)
    with np.errstate(divide="ignore"):
        logits = np.log(a)
    for winners in (
        gumbel_max(probabilities=a, size=200_000, rng=1),
        gumbel_max(weights=a * 1e200, size=200_000, rng=2),
        gumbel_max(logits - 1000, size=200_000, rng=3),
    ):
        assert agrees(winners, a) > 1e-3


@pytest.mark.parametrize("n", [47, 49, 200, 3000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_many_categories_win_with_their_probabilities(n: int, dtype: type) -> None:
    weights = np.random.default_rng(n).gamma(0.7, size=n).astype(dtype)
    probabilities = weights.astype(float) / weights.sum(dtype=float)
    by_weight = gumbel_max(weights=weights, size=60_000, rng=n)
    by_logit = gumbel_max(np.log(weights), size=60_000, rng=n + 1)
    for winners in (by_weight, by_logit):
        # Grouped: chi-square wants some expected draws in each cell.
        group = np.argsort(np.argsort(-probabilities)) % 30
        assert agrees(group[winners], np.bincount(group, probabilities)) > 1e-3


def test_each_distribution_of_a_batch_has_its_own_probabilities() -> None:
    weights = np.random.default_rng(4).random((2, 3, 5))
    winners = gumbel_max(weights=weights, size=(100, 200), rng=5)
    assert winners.shape == (100, 200, 2, 3)
    for at in np.ndindex(2, 3):
        assert agrees(winners[(..., *at)], weights[at] / weights[at].sum()) > 1e-3


# It is the race that it says


def scores_of(logits: NDArray[np.floating], seed: int, size: tuple[int, ...] = ()) -> NDArray:
    return logits.astype(float) + stream(seed).gumbel((*size, *logits.shape))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**40), st.tuples(st.integers(1, 5), st.integers(1, 400)),
    st.sampled_from([0.0, 1.0, 30.0, 1e4]), st.sampled_from(DTYPES), st.booleans(),
)  # fmt: skip
def test_winner_is_the_argmax_of_logits_plus_noise(
    seed: int, shape: tuple[int, int], spread: float, dtype: type, impossible: bool
) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=shape) * spread).astype(dtype)
    if impossible:
        logits[rng.random(shape) < 0.5] = -np.inf
        logits[:, shape[1] // 2] = 0
    expected = scores_of(logits, seed)
    winner, score = gumbel_max(logits, rng=seed, with_scores=True)
    assert (winner == expected.argmax(1)).all()
    assert (score == expected.max(1)).all()
    k = min(7, int((logits > -np.inf).sum(1).min()))
    order = np.argsort(-expected, axis=1, kind="stable")
    assert (gumbel_top_k(logits, k=k, rng=seed) == order[:, :k]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_and_logits_run_the_same_race(dtype: type) -> None:
    weights = np.random.default_rng(1).gamma(0.3, size=(500, 333)).astype(dtype)
    logits = np.log(weights.astype(float))
    assert (gumbel_max(weights=weights, rng=2) == gumbel_max(logits, rng=2)).all()
    assert (gumbel_max(weights=weights * 2.0**-90, rng=2) == gumbel_max(logits, rng=2)).all()


def test_who_leads_to_the_left_wins_in_the_end_of_a_rising_race() -> None:
    logits = np.broadcast_to(np.arange(300.0), (50, 300))  # nearly everyone takes the lead
    assert (gumbel_max(logits, rng=3) == scores_of(logits, 3).argmax(1)).all()


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_do_not_change_a_bit(threads: int) -> None:
    rng = np.random.default_rng(2)
    for shape in [(1000, 17), (301, 300), (3, 140_000)]:
        logits = rng.normal(size=shape)
        for k in (1, 4):
            one = gumbel_top_k(logits, k=k, rng=9, threads=1, with_scores=True)
            many = gumbel_top_k(logits, k=k, rng=9, threads=threads, with_scores=True)
            assert (one[0] == many[0]).all()
            assert (one[1] == many[1]).all()


@pytest.mark.parametrize("n", [5, 700])
def test_a_batch_can_be_drawn_in_parts(n: int) -> None:
    logits = np.random.default_rng(3).normal(size=(30, n))
    whole = gumbel_max(logits, rng=4)
    rest = gumbel_max(logits[11:], rng=stream(4).skip(11 * n))
    assert (rest == whole[11:]).all()


def test_any_layout_gives_the_same_draws() -> None:
    logits = np.random.default_rng(5).normal(size=(40, 70))
    expected = gumbel_max(logits, rng=6)
    layouts = [
        np.asfortranarray(logits),
        np.repeat(np.repeat(logits, 2, 0), 3, 1)[::2, ::3],
        logits[::-1].copy()[::-1],
        logits.astype(">f8"),
    ]
    for layout in layouts:
        assert (gumbel_max(layout, rng=6) == expected).all()
    readonly = logits.copy()
    readonly.flags.writeable = False
    assert (gumbel_max(readonly, rng=6) == expected).all()


# Several without replacement


def plackett_luce(order: tuple[int, ...], a: NDArray[np.float64]) -> float:
    """P(these are drawn, in this order)."""
    probability, left = 1.0, float(a.sum())
    for k in order:
        probability *= a[k] / left
        left -= a[k]
    return probability


def test_orders_have_plackett_luce_probabilities() -> None:
    a = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    drawn = gumbel_top_k(weights=a, k=3, size=200_000, rng=7)
    orders = list(permutations(range(5), 3))
    exact = np.array([plackett_luce(order, a) for order in orders])
    counts = [(drawn == order).all(1).sum() for order in orders]
    assert exact.sum() == pytest.approx(1)
    assert stats.chisquare(counts, exact * len(drawn)).pvalue > 1e-3


@pytest.mark.parametrize("n", [6, 60])
def test_inclusion_has_plackett_luce_probabilities(n: int) -> None:
    a = np.random.default_rng(n).gamma(1.0, size=n)
    draws = 100_000
    drawn = gumbel_top_k(weights=a, k=2, size=draws, rng=8)
    p = a / a.sum()
    exact = np.array([p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(n) if j != i)
                      for i in range(n)])  # fmt: skip
    assert exact.sum() == pytest.approx(2)
    included = np.bincount(drawn.ravel(), minlength=n)
    z = (included - draws * exact) / np.sqrt(draws * exact * (1 - exact))
    assert abs(z).max() < 4.5


def test_all_categories_in_order_are_a_permutation() -> None:
    order = gumbel_top_k(np.zeros((20, 1000)), k=1000, rng=1)
    assert (np.sort(order, axis=1) == np.arange(1000)).all()
    assert abs(stats.spearmanr(order[0], np.arange(1000)).statistic) < 0.15


def test_long_rows_keep_their_best() -> None:
    logits = np.random.default_rng(6).normal(size=300_000)
    expected = np.argsort(-scores_of(logits, 11), kind="stable")
    assert (gumbel_top_k(logits, k=100, rng=11, threads=2) == expected[:100]).all()
    assert (gumbel_top_k(logits, k=2000, rng=11, threads=2) == expected[:2000]).all()


# The maximum


@pytest.mark.parametrize("n", [4, 90])
def test_the_winning_score_is_gumbel_at_logsumexp(n: int) -> None:
    logits = np.random.default_rng(n).normal(size=n)
    winner, score = gumbel_max(logits, size=20_000, rng=13, with_scores=True)
    maximum = gumbel_maximum(logits)
    assert maximum.loc == pytest.approx(np.log(np.exp(logits).sum()))
    assert stats.kstest(score, maximum.cdf).pvalue > 1e-3
    # ... and says nothing about who has won.
    first = score[winner == winner[0]]
    assert stats.ks_2samp(first, score[winner != winner[0]]).pvalue > 1e-3


def test_the_maximum_takes_weights_and_batches() -> None:
    weights = np.random.default_rng(1).random((2, 3, 4)) * 1e300
    maximum = gumbel_maximum(weights=weights)
    assert np.shape(maximum.loc) == (2, 3)
    np.testing.assert_allclose(maximum.loc, gumbel_maximum(np.log(weights)).loc, rtol=1e-14)
    assert gumbel_maximum([-1e300, 1e300]).loc == 1e300


# Edges


@pytest.mark.parametrize("value", [0.0, -1e300, 1e300, 5.0])
def test_one_category_always_wins(value: float) -> None:
    assert (gumbel_max([value], size=50, rng=1) == 0).all()
    assert (gumbel_max(weights=[abs(value) or 5e-324], size=50, rng=1) == 0).all()


@pytest.mark.parametrize("n", [3, 300])
def test_what_has_weight_zero_never_wins(n: int) -> None:
    weights = np.zeros(n)
    weights[n // 2] = 5e-324
    assert (gumbel_max(weights=weights, size=200, rng=1) == n // 2).all()
    weights[0] = -0.0
    assert (gumbel_max(weights=weights, size=200, rng=1) == n // 2).all()
    with np.errstate(divide="ignore"):
        assert (gumbel_max(np.log(weights), size=200, rng=1) == n // 2).all()


def test_a_million_categories_are_drawn_evenly() -> None:
    winners = gumbel_max(np.zeros(1_000_000), size=400, rng=1)
    assert stats.kstest(winners / 1e6, "uniform").pvalue > 1e-3
    assert len(np.unique(winners)) > 390
    weights = np.full(1_000_000, 1e-6, np.float32)
    assert stats.kstest(gumbel_max(weights=weights, size=400, rng=2) / 1e6, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("n", [4, 400])
def test_huge_equal_logits_share_the_wins(n: int) -> None:
    for value in (1e300, -1e300):
        logits = np.full(n, -1.5e308)
        logits[[1, 3]] = value
        assert agrees(gumbel_max(logits, size=4000, rng=1) // 2, np.array([0.5, 0.5])) > 1e-3
        order = gumbel_top_k(logits, k=4, size=2000, rng=2)
        assert (np.sort(order[:, :2], axis=1) == [1, 3]).all()
        assert 0.45 < (order[:, 2] < order[:, 3]).mean() < 0.55


@pytest.mark.parametrize("n", [2, 100])
def test_extreme_weights_share_the_wins(n: int) -> None:
    for value in (1e-320, 1e-300, 1e300, 1.7e308):
        weights = np.zeros(n)
        weights[:2] = value, value / 2
        winners = gumbel_max(weights=weights, size=4000, rng=3)
        assert agrees(winners, np.array([2 / 3, 1 / 3])) > 1e-3
    order = gumbel_top_k(weights=[1e300, 1e-300, 1e-300], k=3, size=2000, rng=3)
    assert (order[:, 0] == 0).all()
    assert 0.45 < (order[:, 1] == 1).mean() < 0.55


def test_no_distributions_and_no_draws_are_empty() -> None:
    assert gumbel_max(np.zeros((0, 3))).shape == (0,)
    assert gumbel_max(np.zeros((2, 3)), size=0).shape == (0, 2)
    assert gumbel_top_k(np.zeros((0, 3)), k=2).shape == (0, 2)


# Bad input


def test_logits_farther_apart_than_any_number_are_raced_without_a_warning() -> None:
    """pytest turns a warning into an error."""
    logits = [1e308, -1e308, 1e308]
    assert gumbel_maximum(logits).loc == 1e308
    trace = perturb_and_trace(logits, rng=5)
    assert trace.winner == gumbel_max(logits, rng=5) == trace.leader[-1]
    assert trace.scores.tolist() == logits


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": [[0, 1], [np.nan, 0]]}, r"logits\[1, 0\] is nan"),
        ({"logits": [0, np.inf]}, r"logits\[1\] is inf: logits must be finite or -inf"),
        ({"logits": [[[0.0]], [[-np.inf]]]}, r"logits\[1, 0\] is -inf everywhere"),
        ({"weights": [1, -1]}, r"weights\[1\] is -1.0: .* finite and not negative"),
        ({"weights": [1, np.inf]}, r"weights\[1\] is inf"),
        ({"weights": [np.nan]}, r"weights\[0\] is nan"),
        ({"weights": [0, 0]}, "no category is possible: weights is 0.0 everywhere"),
        ({"probabilities": [0.5, 0.6]}, "add up to 1.1, not 1"),
        ({"logits": []}, r"shape \(0,\): expected \(..., n\) with n >= 1"),
        ({"logits": 1.0}, r"shape \(\)"),
        ({"logits": [0.0], "threads": 0}, "threads = 0"),
        ({"logits": [0.0], "size": -1}, "size = -1"),
    ],
)
def test_bad_values_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gumbel_max(**arguments)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_bad_weight_among_many_is_found(bad: float, dtype: type) -> None:
    weights = np.ones((3, 5000), dtype)
    weights[2, 4321] = bad
    with pytest.raises(ValueError, match=r"weights\[2, 4321\]"):
        gumbel_max(weights=weights, rng=1)
    if not bad < 0:
        with pytest.raises(ValueError, match=r"logits\[2, 4321\]"):
            gumbel_max(weights, rng=1)


def test_exactly_one_kind_of_input_is_taken() -> None:
    with pytest.raises(TypeError, match=r"expected one of .* not logits and weights"):
        gumbel_max([0.0], weights=[1.0])
    with pytest.raises(TypeError, match="not none"):
        gumbel_max()
    with pytest.raises(TypeError, match="dtype complex128"):
        gumbel_max(np.zeros(3, complex))


def test_too_large_a_k_is_refused() -> None:
    with pytest.raises(ValueError, match="k = 4: expected 1 to 3"):
        gumbel_top_k([0, 0, 0], k=4)
    with pytest.raises(ValueError, match=r"weights\[1\], in which only 2 categories are possible"):
        gumbel_top_k(weights=[[1, 1, 1], [1, 1, 0]], k=3)


# The trace


def test_a_trace_tells_the_race_that_gumbel_max_runs() -> None:
    weights = np.random.default_rng(1).gamma(0.5, size=30)
    weights[0] = 0
    for seed in range(20):
        trace = perturb_and_trace(weights=weights, rng=seed)
        assert trace.winner == gumbel_max(weights=weights, rng=seed)
        assert trace.winner == trace.scores.argmax() == trace.arrivals.argmin()
        assert (trace.noise == stream(seed).gumbel(30)).all()
        assert trace.leader.tolist() == [-1] + [
            int(trace.scores[: k + 1].argmax()) for k in range(1, 30)
        ]


def test_a_trace_prints_a_line_for_each_category() -> None:
    lines = str(perturb_and_trace(weights=[1, 2, 3], rng=1)).splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("category ")
    with pytest.raises(ValueError, match=r"expected one distribution"):
        perturb_and_trace(np.zeros((2, 3)))


def test_arrivals_are_exponential_with_their_weights() -> None:
    a = np.array([0.5, 2.0, 7.0])
    arrivals = np.array(
        [perturb_and_trace(weights=a, rng=stream(1).skip(3 * i)).arrivals for i in range(1500)]
    )
    for k, rate in enumerate(a):
        assert stats.kstest(arrivals[:, k], "expon", (0, 1 / rate)).pvalue > 1e-3
