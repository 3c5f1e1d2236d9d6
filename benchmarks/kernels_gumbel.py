"""What examples/gumbel is measured against: NumPy, and numba's loop of the same race.

The answers are random, so that the tests, not these cases, compare distributions. Each of our calls
takes the same stream, each peer's goes on with its generator: neither makes a difference in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from kernel_case import Case
from numpy.typing import NDArray

from examples.gumbel import (
    gumbel,
    gumbel_max,
    gumbel_softmax,
    gumbel_softmax_vjp,
    gumbel_top_k,
    stream,
)

Floats = NDArray[np.floating]
SHAPE = (2000, 1000)
GUMBEL = "numpy, gumbel + argmax"
RACE = "numpy, exponential race"


def cases() -> Iterator[Case]:
    """Yields the cases, one at a time: their arrays are large."""
    yield _from_logits("logits", SHAPE, np.float64, bars={GUMBEL: 12}, scaling=1.8, numba=True)
    yield _from_weights()
    yield _from_logits("float32 logits", SHAPE, np.float32)
    yield _from_logits("logits", (200_000, 10), np.float64)
    yield _from_logits("logits", (1, 1_000_000), np.float64)
    yield _one_distribution()
    yield _top_k()
    yield _samples()
    yield _softmax()
    yield _pull_back()


def _logits(shape: tuple[int, int], dtype: type = np.float64) -> Floats:
    return np.random.default_rng(5).normal(size=shape).astype(dtype)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{length:,}" for length in shape)


def _from_logits(
    name: str, shape: tuple[int, int], dtype: type, *, bars: dict[str, float] | None = None,
    scaling: float | None = None, numba: bool = False,
) -> Case:  # fmt: skip
    logits = _logits(shape, dtype)
    rng = np.random.default_rng(6)
    source = stream(7)
    peers: dict[str, Callable[[], object]] = {
        GUMBEL: lambda: np.argmax(logits + rng.gumbel(size=shape), axis=1)
    }
    if numba:
        peers["numba, gumbel + argmax"] = _numba_gumbel(logits)
    return Case(
        family="gumbel",
        name=f"gumbel_max, {name}",
        size=_size(shape),
        ours=lambda threads: gumbel_max(logits, rng=source, threads=threads),
        peers=peers,
        bars=bars or {},
        scaling=scaling,
    )


def _from_weights() -> Case:
    weights = np.exp(_logits(SHAPE))
    rng = np.random.default_rng(6)
    source = stream(7)
    return Case(
        family="gumbel",
        name="gumbel_max, weights",
        size=_size(SHAPE),
        ours=lambda threads: gumbel_max(weights=weights, rng=source, threads=threads),
        peers={
            RACE: lambda: np.argmin(rng.standard_exponential(SHAPE) / weights, axis=1),
            "numba, exponential race": _numba_race(weights),
        },
        bars={RACE: 5},
        scaling=1.8,
    )


def _numba_gumbel(logits: Floats) -> Callable[[], object]:
    import numba

    @numba.njit
    def winners(logits: Any, out: Any) -> None:
        for i in range(logits.shape[0]):
            best = -np.inf
            for k in range(logits.shape[1]):
                score = logits[i, k] + np.random.gumbel(0.0, 1.0)
                if score > best:
                    best = score
                    out[i] = k

    out = np.empty(len(logits), np.int64)
    return lambda: winners(logits, out)


def _numba_race(weights: Floats) -> Callable[[], object]:
    import numba

    @numba.njit
    def winners(weights: Any, out: Any) -> None:
        for i in range(weights.shape[0]):
            best = np.inf
            for k in range(weights.shape[1]):
                arrival = -np.log(1.0 - np.random.random()) / weights[i, k]
                if arrival < best:
                    best = arrival
                    out[i] = k

    out = np.empty(len(weights), np.int64)
    return lambda: winners(weights, out)


def _one_distribution() -> Case:
    """Where the trick is not the best way: many draws of one distribution."""
    draws, n = SHAPE
    logits = _logits((1, n))[0]
    probabilities = np.exp(logits) / np.exp(logits).sum()
    rng = np.random.default_rng(6)
    source = stream(7)
    return Case(
        family="gumbel",
        name="gumbel_max, one distribution",
        size=f"{n:,}, {draws:,} draws",
        ours=lambda threads: gumbel_max(logits, size=draws, rng=source, threads=threads),
        peers={
            GUMBEL: lambda: np.argmax(logits + rng.gumbel(size=SHAPE), axis=1),
            "numpy, choice": lambda: rng.choice(n, draws, p=probabilities),
        },
    )


def _top_k() -> Case:
    logits = _logits(SHAPE)
    rng = np.random.default_rng(6)
    source = stream(7)
    k = 10

    def by_partition() -> object:
        scores = logits + rng.gumbel(size=SHAPE)
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        return np.take_along_axis(best, order, axis=1)

    return Case(
        family="gumbel",
        name=f"gumbel_top_k, k = {k}",
        size=_size(SHAPE),
        ours=lambda threads: gumbel_top_k(logits, k=k, rng=source, threads=threads),
        peers={"numpy, gumbel + argpartition": by_partition},
    )


def _samples() -> Case:
    rng = np.random.default_rng(6)
    source = stream(7)
    n = 2_000_000
    return Case(
        family="gumbel",
        name="gumbel.samples",
        size=f"{n:,}",
        ours=lambda threads: gumbel.samples(n, rng=source, threads=threads),
        peers={"numpy, gumbel": lambda: rng.gumbel(size=n)},
    )


def _softmax() -> Case:
    logits = _logits(SHAPE)
    rng = np.random.default_rng(6)
    source = stream(7)

    def by_numpy() -> object:
        z = logits + rng.gumbel(size=SHAPE)
        z /= 0.5
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        return z

    return Case(
        family="gumbel",
        name="gumbel_softmax",
        size=_size(SHAPE),
        ours=lambda threads: gumbel_softmax(logits, 0.5, rng=source, threads=threads),
        peers={"numpy": by_numpy},
    )


def _pull_back() -> Case:
    logits = _logits(SHAPE)
    y = gumbel_softmax(logits, 0.5, rng=7)

    def check(found: object, expected: object) -> None:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)

    return Case(
        family="gumbel",
        name="gumbel_softmax_vjp",
        size=_size(SHAPE),
        ours=lambda threads: gumbel_softmax_vjp(y, logits, 0.5, threads=threads),
        peers={"numpy": lambda: y * (logits - (y * logits).sum(axis=1, keepdims=True)) / 0.5},
        check=check,
    )
