"""One race, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import _arguments
from .sampling import gumbel_max
from .streams import Seed, stream


@dataclass(frozen=True)
class Trace:
    """How a race went. All arrays have shape (n,).

    Attributes:
        logits: log a.
        noise: G.
        scores: log a + G.
        leader: Who leads when categories 0 to k have started; -1 while none is possible.
        winner: Who leads in the end: gumbel_max with the same rng.
    """

    logits: npt.NDArray[np.float64]
    noise: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    leader: npt.NDArray[np.int64]
    winner: int

    @property
    def arrivals(self) -> npt.NDArray[np.float64]:
        """The same race against time: exp(-score), exponential with rate a. The first one wins."""
        with np.errstate(over="ignore"):
            return np.exp(-self.scores)

    def __str__(self) -> str:
        lines = [f"{'k':>4} {'log a':>10} {'G':>10} {'log a + G':>10}  leads"]
        before = -1
        for k, leader in enumerate(self.leader.tolist()):
            row = f"{k:4} {self.logits[k]:10.4f} {self.noise[k]:10.4f} {self.scores[k]:10.4f}"
            lines.append(f"{row}  {leader}{' <-' if leader != before else ''}")
            before = leader
        return "\n".join([*lines, f"category {self.winner} wins"])


def perturb_and_trace(
    logits: npt.ArrayLike | None = None,
    *,
    weights: npt.ArrayLike | None = None,
    probabilities: npt.ArrayLike | None = None,
    rng: Seed = None,
) -> Trace:
    """Run gumbel_max's race of one distribution and keep everything that happens in it.

    Args:
        logits, weights, probabilities: As for gumbel_max, shape (n,).
        rng: What to draw from: see stream().

    Raises:
        TypeError: As for gumbel_max.
        ValueError: As for gumbel_max, or there are several distributions.
    """
    given = _arguments.distributions(logits, weights, probabilities)
    if given.batch:
        shape = (*given.batch, given.values.shape[1])
        raise ValueError(f"{given.name} has shape {shape}: expected one distribution, (n,)")
    source = stream(rng)
    values = given.values[0].astype(np.float64)
    chosen = {given.name: given.values[0]}
    winner = int(gumbel_max(**chosen, rng=source, threads=1))  # also checks the values
    noise = source.gumbel(len(values), threads=1)
    with np.errstate(divide="ignore"):
        logs = np.log(values) if given.weighted else values
    with np.errstate(over="ignore"):  # 1e308 behind is as good as out of the race
        lead = logs - logs.max() + noise  # G decides between equal logits of 1e300, too
    before = np.concatenate([[-np.inf], np.maximum.accumulate(lead)[:-1]])
    leader = np.maximum.accumulate(np.where(lead > before, np.arange(len(lead)), -1))
    return Trace(logs, noise, logs + noise, leader, winner)
