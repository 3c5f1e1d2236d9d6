"""What observations do to the odds of two hypotheses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from examples.information.arguments import unit
from examples.information.measures import discrimination_information


def posterior_log_odds(
    p2: ArrayLike, p1: ArrayLike, prior: float, *, base: float | None = None
) -> Any:
    """The log-odds of hypothesis 2 against hypothesis 1 after seeing each symbol.

    By Bayes' theorem, log P(H2 | x) / P(H1 | x) = log P(H2) / P(H1) + log p2(x) / p1(x): the
    discrimination information is just what the observation adds.

    Args:
        p2: Weights of the symbols under hypothesis 2, shape (..., n); they need not add up to 1.
        p1: The same under hypothesis 1.
        prior: The probability of hypothesis 2 before, strictly between 0 and 1; hypothesis 1 has
            the rest.
        base: The logarithm's base: None for nats, 2 for bits.

    Returns:
        Log-odds, shape (..., n). For nats, P(H2 | x) = 1 / (1 + exp(-log_odds)).

    Raises:
        ValueError: As for `discrimination_information`; or the prior is not between 0 and 1.
        TypeError: The weights are no real numbers.

    Reference:
        Kullback and Leibler (1951), section 2.
    """
    if not 0 < prior < 1:
        raise ValueError(f"prior is {prior}, expected a probability strictly between 0 and 1")
    before = np.log(prior / (1 - prior)) * unit(base)
    return before + discrimination_information(p2, p1, base=base)
