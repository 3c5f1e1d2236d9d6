"""What holds of entropy and its family for every distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from examples.information import (
    conditional_entropy,
    conditional_mutual_information,
    cross_entropy,
    discrimination_information,
    entropy,
    interaction_information,
    j_divergence,
    joint_entropy,
    kl_divergence,
    mutual_information,
    posterior_log_odds,
    prefix_code,
)

Weights = NDArray[np.float64]

POSITIVE = st.floats(1e-6, 1e6)
CLOSE = {"rtol": 1e-12, "atol": 1e-13}
lean = settings(max_examples=40, deadline=None)


@st.composite
def distributions(
    draw: st.DrawFn, shape: tuple[int, ...] | None = None, zeros: bool = True
) -> Weights:
    """Probabilities; some may be zero."""
    size = shape or (draw(st.integers(1, 150)),)
    elements = st.just(0.0) | POSITIVE if zeros else POSITIVE
    weights = draw(arrays(np.float64, size, elements=elements, fill=elements))
    weights.flat[draw(st.integers(0, weights.size - 1))] = draw(POSITIVE)
    return weights / weights.sum()


@st.composite
def same_size(draw: st.DrawFn, count: int, zeros: bool = False) -> list[Weights]:
    shape = (draw(st.integers(1, 150)),)
    return [draw(distributions(shape, zeros)) for _ in range(count)]


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, **CLOSE)


tables = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(distributions)
cubes = st.tuples(*[st.integers(1, 5)] * 3).flatmap(distributions)


@lean
@given(distributions())
def test_entropy_lies_between_0_and_log_n(p: Weights) -> None:
    assert 0 <= entropy(p) <= np.log(p.size) * (1 + 1e-15)


@pytest.mark.parametrize("n", [1, 2, 3, 63, 64, 65, 1000, 1024, 1025, 40000])
def test_entropy_is_greatest_for_equal_weights(n: int) -> None:
    assert entropy(np.ones(n)) == pytest.approx(np.log(n), rel=5e-16)
    uneven = np.ones(n)
    uneven[0] = 1.01
    assert n == 1 or entropy(uneven) < entropy(np.ones(n))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 1000, 40000])
def test_certainty_has_no_entropy(n: int) -> None:
    p = np.zeros(n)
    p[n // 2] = 0.3
    assert entropy(p) == 0


@lean
@given(same_size(2, zeros=True), st.floats(0, 1))
def test_entropy_is_concave(pair: list[Weights], share: float) -> None:
    p, q = pair
    mixed = entropy(share * p + (1 - share) * q)
    assert mixed >= share * entropy(p) + (1 - share) * entropy(q) - 1e-12


@lean
@given(same_size(4), st.floats(0, 1))
def test_divergence_is_convex_in_each_argument(four: list[Weights], share: float) -> None:
    p1, p2, q1, q2 = four
    for ends, of in (((p1, p2), lambda p: kl_divergence(p, q1)),
                     ((q1, q2), lambda q: kl_divergence(p1, q))):  # fmt: skip
        between = of(share * ends[0] + (1 - share) * ends[1])
        assert between <= share * of(ends[0]) + (1 - share) * of(ends[1]) + 1e-12


@lean
@given(distributions(), st.data())
def test_grouping_symbols_splits_the_entropy(p: Weights, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, p.size))
    inside = p[:k].sum()
    grouped = entropy(np.concatenate([[inside], p[k:]]))
    close(entropy(p), grouped + (inside * entropy(p[:k]) if inside > 0 else 0))


@lean
@given(tables)
def test_chain_rule_and_bounds_of_joint_entropy(joint: Weights) -> None:
    both, x, y = joint_entropy(joint), entropy(joint.sum(1)), entropy(joint.sum(0))
    close(both, y + conditional_entropy(joint))
    close(both, x + conditional_entropy(joint, axis=(-1, -2)))
    assert max(x, y) - 1e-12 <= both <= x + y + 1e-12
    assert 0 <= conditional_entropy(joint) <= x + 1e-12


@lean
@given(tables)
def test_mutual_information_is_what_the_entropies_share(joint: Weights) -> None:
    shared = mutual_information(joint)
    x, y = joint.sum(1), joint.sum(0)
    close(shared, entropy(x) + entropy(y) - joint_entropy(joint))
    close(shared, kl_divergence(joint, np.outer(x, y), axis=None))
    close(shared, mutual_information(joint.T))
    assert 0 <= shared <= min(entropy(x), entropy(y)) + 1e-12


@lean
@given(cubes)
def test_conditional_and_interaction_information_are_inclusion_exclusion(joint: Weights) -> None:
    single = [entropy(joint.sum(axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    double = [joint_entropy(joint.sum(axis)) for axis in (2, 1, 0)]  # XY, XZ, YZ
    triple = joint_entropy(joint)
    conditional = conditional_mutual_information(joint)
    close(conditional, double[1] + double[2] - triple - single[2])
    assert conditional >= 0
    found = interaction_information(joint)
    close(found, sum(single) - sum(double) + triple)
    close(found, mutual_information(joint.sum(2)) - conditional)
    for order in ((1, 2, 0), (2, 0, 1), (1, 0, 2)):
        close(interaction_information(joint, axis=order), found)


def test_two_coins_and_whether_they_agree_have_negative_interaction() -> None:
    agree = np.array([[[0, 1], [1, 0]], [[1, 0], [0, 1]]])
    assert interaction_information(agree, base=2) == -1
    assert mutual_information(agree.sum(2)) == 0
    assert conditional_mutual_information(agree, base=2) == 1


@lean
@given(distributions())
def test_entropy_is_what_the_uniform_distribution_has_more(p: Weights) -> None:
    uniform = np.full(p.size, 1 / p.size)
    close(entropy(p), np.log(p.size) - kl_divergence(p, uniform))


@lean
@given(distributions(), distributions())
def test_independent_variables_add_up(p: Weights, q: Weights) -> None:
    joint = np.outer(p, q)
    close(joint_entropy(joint), entropy(p) + entropy(q))
    assert mutual_information(joint) <= 1e-13


@lean
@given(same_size(4))
def test_divergences_of_independent_variables_add_up(four: list[Weights]) -> None:
    p1, p2, q1, q2 = four
    whole = kl_divergence(np.outer(p1, p2), np.outer(q1, q2), axis=None)
    close(whole, kl_divergence(p1, q1) + kl_divergence(p2, q2))


@lean
@given(same_size(2))
def test_divergences_are_related_and_never_negative(pair: list[Weights]) -> None:
    p, q = pair
    forth, back, both = kl_divergence(p, q), kl_divergence(q, p), j_divergence(p, q)
    assert min(forth, back, both) >= 0
    close(both, forth + back)
    assert both == pytest.approx(j_divergence(q, p), rel=1e-13, abs=1e-15)
    close(cross_entropy(p, q), entropy(p) + forth)
    close(cross_entropy(p, p), entropy(p))


@lean
@given(distributions(), st.floats(1e-3, 1e3))
def test_proportional_weights_do_not_diverge(p: Weights, factor: float) -> None:
    assert kl_divergence(p, p) == 0
    assert j_divergence(p, p) == 0
    assert kl_divergence(factor * p, p) == pytest.approx(0, abs=1e-15)


@lean
@given(same_size(2))
def test_divergence_is_the_expected_discrimination_information(pair: list[Weights]) -> None:
    p2, p1 = pair
    tells = discrimination_information(p2, p1)
    close(np.sum(p2 * tells), kl_divergence(p2, p1))
    np.testing.assert_allclose(tells, np.log(p2 / p1), rtol=1e-12, atol=1e-14)


@lean
@given(same_size(2), st.floats(0.01, 0.99))
def test_discrimination_information_is_what_bayes_theorem_adds(
    pair: list[Weights], prior: float
) -> None:
    p2, p1 = pair
    posterior = prior * p2 / (prior * p2 + (1 - prior) * p1)
    odds = posterior_log_odds(p2, p1, prior)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), posterior, rtol=1e-10, atol=1e-14)


@lean
@given(distributions(), st.integers(2, 5))
def test_prefix_code_keeps_shannons_bounds_and_krafts(p: Weights, arity: int) -> None:
    code = prefix_code(p, arity)
    assert code.bound == pytest.approx(entropy(p, base=arity), rel=1e-14)
    assert code.bound - 1e-12 <= code.average < code.bound + 1
    words = code.lengths[p > 0]
    assert words.size == 1 or np.sum(float(arity) ** -words) <= 1 + 1e-12
    assert (code.lengths[p == 0] == 0).all()
    assert code.average == pytest.approx(np.sum(p * code.lengths), abs=1e-12)


@lean
@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_no_binary_code_is_shorter_than_the_prefix_code(weights: list[int]) -> None:
    import heapq

    heap, cost = list(weights), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        cost += merged
        heapq.heappush(heap, merged)
    code = prefix_code(weights)
    assert code.average == pytest.approx(cost / sum(weights), rel=1e-12)


def test_known_codes() -> None:
    assert prefix_code([8, 4, 2, 1, 1]).lengths.tolist() == [1, 2, 3, 4, 4]
    assert prefix_code([1] * 9, arity=3).lengths.tolist() == [2] * 9
    assert prefix_code([5.0, 0.0]) == (pytest.approx([0, 0]), 0, 0)


@pytest.mark.parametrize(
    ("weights", "lengths"),
    [
        ([1e308, 1e-20], [1, 1]),
        ([1e300, 1e-30, 1], [1, 2, 2]),
        ([1e300, 5e-324, 1e-30, 0, 1], [1, 3, 3, 0, 2]),
        ([1.7e308, 5e-324, 1.7e308, 1.7e308, 5e-324], [2, 3, 2, 2, 3]),
        ([5e-324, 0.0, 5e-324, 1e-323], [2, 0, 2, 1]),
    ],
)
def test_the_lightest_symbol_beside_the_heaviest_still_has_a_word(
    weights: list[float], lengths: list[int]
) -> None:
    code = prefix_code(weights)
    assert code.lengths.tolist() == lengths
    assert sum(2.0**-length for length in lengths if length) == 1
    assert code.bound <= code.average + 1e-15
