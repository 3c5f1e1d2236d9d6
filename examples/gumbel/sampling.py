"""Drawing categories by perturbing their logits."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from . import _arguments, _race
from .streams import Seed, stream

Indices = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


@overload
def gumbel_max(
    logits: npt.ArrayLike | None = ...,
    *,
    weights: npt.ArrayLike | None = ...,
    probabilities: npt.ArrayLike | None = ...,
    size: _arguments.Size = ...,
    rng: Seed = ...,
    threads: int | None = ...,
    with_scores: Literal[False] = ...,
) -> Indices: ...
@overload
def gumbel_max(
    logits: npt.ArrayLike | None = ...,
    *,
    weights: npt.ArrayLike | None = ...,
    probabilities: npt.ArrayLike | None = ...,
    size: _arguments.Size = ...,
    rng: Seed = ...,
    threads: int | None = ...,
    with_scores: Literal[True],
) -> tuple[Indices, Scores]: ...
def gumbel_max(
    logits: npt.ArrayLike | None = None,
    *,
    weights: npt.ArrayLike | None = None,
    probabilities: npt.ArrayLike | None = None,
    size: _arguments.Size = None,
    rng: Seed = None,
    threads: int | None = None,
    with_scores: bool = False,
) -> Indices | tuple[Indices, Scores]:
    """Draw categories: Z = argmax_k(log a_k + G_k) is k with probability a_k / sum(a).

    Maddison, Tarlow and Minka, "A* Sampling", NeurIPS 2014, section 2; proved in docs/gumbel.md.
    G is stream(rng).gumbel of the result's shape with the categories behind it, and the result is
    np.argmax(logits + G, axis=-1), with sums that are not rounded.

    Args:
        logits: log a up to a constant, shape (..., n), float32 or float64; -inf is impossible.
        weights: Instead of logits: a up to a factor, not negative.
        probabilities: Instead of logits: a, adding up to 1 to within 1e-5.
        size: How many draws of each distribution, None for one: a number or a shape.
        rng: What to draw from: see stream().
        threads: How many threads to use, None for all. The result does not depend on it.
        with_scores: Whether to return the winners' scores too, max_k(log a_k + G_k).

    Returns:
        Indices of the winners, shape size + (...). With scores: those in float64, the same shape.

    Raises:
        TypeError: Not exactly one of logits, weights and probabilities, or not real numbers.
        ValueError: A value is not allowed, or all categories of a distribution are impossible.
    """
    given = _arguments.distributions(logits, weights, probabilities)
    index, score = _race_of(given, 1, size, rng, threads)
    shape = _arguments.result_shape(size, given.batch)
    if with_scores:
        return index.reshape(shape)[()], score.reshape(shape)[()]
    return index.reshape(shape)[()]


@overload
def gumbel_top_k(
    logits: npt.ArrayLike | None = ...,
    *,
    k: int,
    weights: npt.ArrayLike | None = ...,
    probabilities: npt.ArrayLike | None = ...,
    size: _arguments.Size = ...,
    rng: Seed = ...,
    threads: int | None = ...,
    with_scores: Literal[False] = ...,
) -> Indices: ...
@overload
def gumbel_top_k(
    logits: npt.ArrayLike | None = ...,
    *,
    k: int,
    weights: npt.ArrayLike | None = ...,
    probabilities: npt.ArrayLike | None = ...,
    size: _arguments.Size = ...,
    rng: Seed = ...,
    threads: int | None = ...,
    with_scores: Literal[True],
) -> tuple[Indices, Scores]: ...
def gumbel_top_k(
    logits: npt.ArrayLike | None = None,
    *,
    k: int,
    weights: npt.ArrayLike | None = None,
    probabilities: npt.ArrayLike | None = None,
    size: _arguments.Size = None,
    rng: Seed = None,
    threads: int | None = None,
    with_scores: bool = False,
) -> Indices | tuple[Indices, Scores]:
    """Draw k different categories, in order: those of the k largest log a + G.

    The order has the distribution of drawing one after the other without replacement
    (Plackett-Luce): Kool, van Hoof and Welling, "Stochastic Beams and Where to Find Them", ICML
    2019, section 2; Yellott, Journal of Mathematical Psychology 15 (1977).

    Args:
        k: How many, 1 to n.
        logits, weights, probabilities, size, rng, threads, with_scores: As for gumbel_max.

    Returns:
        Indices, the first drawn first, shape size + (..., k). With scores: those, too.

    Raises:
        TypeError: As for gumbel_max.
        ValueError: As for gumbel_max, or fewer than k categories of a distribution are possible.
    """
    given = _arguments.distributions(logits, weights, probabilities)
    n = given.values.shape[1]
    if not 1 <= k <= n:
        raise ValueError(f"k = {k}: expected 1 to {n}, the number of categories")
    index, score = _race_of(given, k, size, rng, threads)
    shape = (*_arguments.result_shape(size, given.batch), k)
    if with_scores:
        return index.reshape(shape), score.reshape(shape)
    return index.reshape(shape)


def _race_of(
    given: _arguments.Distributions, k: int, size: _arguments.Size, rng: Seed, threads: int | None
) -> tuple[Indices, Scores]:
    source = stream(rng)
    draws = _arguments.draws_of(size)
    threads = _arguments.thread_count(threads)
    rows = draws * len(given.values)
    index = np.empty((rows, k), np.int64)
    score = np.empty((rows, k), np.float64)
    if rows:
        problem = _race.race(
            given.values,
            given.weighted,
            draws,
            k,
            source.start,
            source.words,
            index,
            score,
            threads,
        )
        if problem >= 0:
            raise given.explain(problem % len(given.values), k)
    return index, score
