"""The Gumbel distribution itself, and that of the race's winning score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import _arguments
from .streams import Seed, stream

Floats = np.float64 | npt.NDArray[np.float64]
Real = float | npt.NDArray[np.floating]


@dataclass(frozen=True)
class Gumbel:
    """The Gumbel distribution, the limit law of maxima (Gumbel, "Statistics of Extremes", 1958).

    Attributes:
        loc: Mode, a number or an array; a list becomes one.
        scale: Positive, a number or an array that broadcasts with loc; a list becomes one.
    """

    loc: Real = 0.0
    scale: Real = 1.0

    def __post_init__(self) -> None:
        for name in ("loc", "scale"):
            if np.ndim(getattr(self, name)):
                object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if not np.all(np.asarray(self.scale) > 0) or not np.all(np.isfinite(self.scale)):
            raise ValueError(f"scale = {self.scale}: expected positive, finite numbers")

    def pdf(self, x: npt.ArrayLike) -> Floats:
        """Density exp(-(z + exp(-z))) / scale with z = (x - loc) / scale."""
        # Below -1000 the density is 0 in float64, and -inf + exp(inf) is not computed.
        z = np.maximum(self._standard(x), -1000.0)
        with np.errstate(over="ignore"):
            return np.exp(-(z + np.exp(-z))) / self.scale

    def cdf(self, x: npt.ArrayLike) -> Floats:
        """P(G <= x) = exp(-exp(-z))."""
        with np.errstate(over="ignore"):
            return np.exp(-np.exp(-self._standard(x)))

    def quantile(self, q: npt.ArrayLike) -> Floats:
        """The x with cdf(x) = q: loc - scale log(-log q); -inf for 0, inf for 1.

        Raises:
            ValueError: A q is not in [0, 1].
        """
        q = np.asarray(q, np.float64)
        if not np.all((q >= 0.0) & (q <= 1.0)):
            raise ValueError(f"q = {q}: expected numbers from 0 to 1")
        with np.errstate(divide="ignore"):
            return self.loc - self.scale * np.log(-np.log(q))

    def mean(self) -> Floats:
        """loc + scale * Euler's constant, of the shape of loc and scale together."""
        return np.asarray(self.loc) + np.asarray(self.scale) * np.euler_gamma

    def std(self) -> Floats:
        """scale * pi / sqrt(6), of the shape of loc and scale together."""
        return np.asarray(self.scale) * np.full(self._shape, np.pi / np.sqrt(6.0))

    def samples(
        self,
        size: _arguments.Size = None,
        *,
        rng: Seed = None,
        dtype: npt.DTypeLike = np.float64,
        threads: int | None = None,
    ) -> npt.NDArray[np.floating]:
        """Draw.

        Args:
            size: Shape of the result; None is that of loc and scale.
            rng: What to draw from: see stream().
            dtype: float64 or float32 (the same numbers, rounded).
            threads: How many threads to use, None for all. The numbers do not depend on it.
        """
        wanted = _arguments.float_type(dtype)
        if size is None:
            size = self._shape
        noise = stream(rng).gumbel(size, dtype=np.float64, threads=threads)
        if not (np.ndim(self.scale) == 0 and self.scale == 1.0):
            noise *= np.asarray(self.scale)
        if not (np.ndim(self.loc) == 0 and self.loc == 0.0):
            noise += np.asarray(self.loc)
        return noise.astype(wanted, copy=False)

    @property
    def _shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(np.shape(self.loc), np.shape(self.scale))

    def _standard(self, x: npt.ArrayLike) -> Floats:
        with np.errstate(over="ignore"):  # 1e308 from -1e308 is as far as inf
            return (np.asarray(x, np.float64) - self.loc) / self.scale


gumbel = Gumbel()


def gumbel_maximum(
    logits: npt.ArrayLike | None = None, *, weights: npt.ArrayLike | None = None
) -> Gumbel:
    """The distribution of max(log a + G), the winner's score: Gumbel at logsumexp of the logits.

    It is independent of who wins (docs/gumbel.md).

    Args:
        logits: log a, shape (..., n); -inf is allowed.
        weights: a itself, instead of logits.

    Returns:
        Gumbel with loc of shape (...) and scale 1.

    Raises:
        ValueError: A logit is nan or inf, a weight negative, nan or inf, or none is possible.
    """
    given = _arguments.distributions(logits, weights)
    values = given.values.astype(np.float64, copy=False)
    top = values.max(axis=1, keepdims=True)
    lowest_top = 0.0 if given.weighted else -np.inf
    invalid = ~((values >= 0) & (values < np.inf)) if given.weighted else ~(values < np.inf)
    wrong = invalid.any(axis=1) | ~(top[:, 0] > lowest_top)
    if wrong.any():
        raise given.explain(int(wrong.argmax()), 1)
    if given.weighted:
        loc = np.log(top[:, 0]) + np.log((values / top).sum(axis=1))
    else:
        with np.errstate(
            over="ignore"
        ):  # 1e308 above another: that one is nothing, as it should be
            below = values - top
        loc = top[:, 0] + np.log(np.exp(below).sum(axis=1))
    return Gumbel(loc.reshape(given.batch)[()])
