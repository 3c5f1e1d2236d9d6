"""Three small studies: a coin, three outcomes, and two correlated normal variables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from examples.information import (
    discrimination_information,
    entropy,
    kl_divergence,
    mutual_information,
    posterior_log_odds,
    prefix_code,
)

Numbers = NDArray[np.float64]


class Coin(NamedTuple):
    """What a coin's bias does, in bits.

    Attributes:
        heads: The probability of heads.
        entropy: Of one toss.
        divergence: Of the coin from a fair one.
        digits: The mean length of a prefix code's words for each toss, coded three at a time.
    """

    heads: Numbers
    entropy: Numbers
    divergence: Numbers
    digits: Numbers


def coin(heads: Numbers) -> Coin:
    """Look at coins.

    Args:
        heads: Probabilities of heads, shape (n,).
    """
    sides = np.stack([heads, 1 - heads], -1)
    threes = np.einsum("ni,nj,nk->nijk", sides, sides, sides).reshape(-1, 8)
    digits = np.array([prefix_code(words).average / 3 for words in threes])
    fair = kl_divergence(sides, np.full(2, 0.5), base=2)
    return Coin(heads, entropy(sides, base=2), fair, digits)


class Simplex(NamedTuple):
    """Distributions on three outcomes, as points of a triangle.

    Attributes:
        x, y: Where they lie, shape (n,); the corners are (0, 0), (1, 0) and (1/2, sqrt(3)/2).
        entropy: In bits.
    """

    x: Numbers
    y: Numbers
    entropy: Numbers


def simplex(steps: int = 120) -> Simplex:
    """Look at all distributions on three outcomes whose probabilities are multiples of 1/steps."""
    first, second = np.mgrid[: steps + 1, : steps + 1].reshape(2, -1)
    inside = first + second <= steps
    counts = np.stack([first, second, steps - first - second], -1)[inside]
    b, c = counts[:, 1] / steps, counts[:, 2] / steps
    return Simplex(b + c / 2, c * np.sqrt(3) / 2, entropy(counts, base=2))


class Correlation(NamedTuple):
    """Mutual information of two normal variables, in nats.

    Attributes:
        correlation: Of the two, shape (n,).
        exact: -log(1 - correlation**2) / 2.
        plain: Estimated from samples in bins.
        corrected: With Miller's and Madow's correction.
        samples, bins: How many.
    """

    correlation: Numbers
    exact: Numbers
    plain: Numbers
    corrected: Numbers
    samples: int
    bins: int


def correlation(values: Numbers, samples: int, bins: int, seed: int) -> Correlation:
    """Compare estimates with the truth.

    Args:
        values: Correlations, strictly between -1 and 1, shape (n,).
        samples: How many pairs to draw for each.
        bins: How many bins to lay over each variable.
        seed: What the random numbers start from.
    """
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, samples))
    plain, corrected = [], []
    for value in values:
        y = value * x + np.sqrt(1 - value**2) * noise
        plain.append(mutual_information(x, y, bins=bins))
        corrected.append(mutual_information(x, y, bins=bins, correction="miller-madow"))
    exact = -0.5 * np.log1p(-(values**2))
    return Correlation(values, exact, np.array(plain), np.array(corrected), samples, bins)


class Tests(NamedTuple):
    """What tosses tell about two hypotheses: the coin is biased, the coin is fair.

    Attributes:
        tells: The discrimination information of heads and of tails for the first, in bits.
        log_odds: Of the first, in bits, before and after each toss.
    """

    tells: Numbers
    log_odds: Numbers


def bayes(heads: float, prior: float, tosses: NDArray[np.int64]) -> Tests:
    """Toss a coin, and follow the odds that it is biased.

    Args:
        heads: The probability of heads of a biased coin.
        prior: The probability that it is one.
        tosses: 0 for heads, 1 for tails.
    """
    biased, fair = np.array([heads, 1 - heads]), np.full(2, 0.5)
    tells = discrimination_information(biased, fair, base=2)
    first = posterior_log_odds(biased, fair, prior, base=2)[0] - tells[0]
    return Tests(tells, first + np.concatenate([[0], np.cumsum(tells[tosses])]))
