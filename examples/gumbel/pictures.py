"""The two pictures of the study: one race, and how fast frequencies become probabilities."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from . import Gumbel, Stream, gumbel_max, perturb_and_trace

WINNER, OTHERS, EXACT = "#c23b22", "#4a6fa5", "#222222"
Floats = npt.NDArray[np.float64]


def race(weights: Floats, source: Stream, wins: npt.NDArray[np.int64], path: Path) -> None:
    """Draw one race, and what many of them come to.

    Args:
        weights: Positive, shape (n,).
        source: The race's stream.
        wins: How often each category won, shape (n,).
        path: Where to write.
    """
    trace = perturb_and_trace(weights=weights, rng=source)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 4.2), width_ratios=(2, 1), sharey=True, layout="constrained"
    )
    lead = trace.scores.max()
    x = np.linspace(min(trace.scores.min(), trace.logits.min()) - 1.5, lead + 1.5, 400)
    for k, (start, score) in enumerate(zip(trace.logits, trace.scores, strict=True)):
        colour = WINNER if k == trace.winner else OTHERS
        left.fill_between(
            x, k, k + 0.8 * Gumbel(start).pdf(x) / 0.37, color=colour, alpha=0.18, lw=0
        )
        left.annotate(
            "", (score, k), (start, k),
            arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.6, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        left.plot(start, k, "|", color=colour, markersize=11, markeredgewidth=2)
    left.axvline(lead, color=WINNER, lw=0.9, ls="--")
    left.plot([], [], "|", color=EXACT, markersize=9, markeredgewidth=2, label="log a")
    left.plot([], [], color=EXACT, marker=r"$\rightarrow$", ls="", markersize=12, label="+ G")
    left.fill_between([], [], color=EXACT, alpha=0.18, label="density of log a + G")
    left.set(
        xlabel="score log a + G",
        ylabel="category k",
        yticks=range(len(weights)),
        xlim=(x[0], x[-1]),
        ylim=(-0.4, len(weights) + 0.35),
        title=f"One race: category {trace.winner} wins",
    )
    left.legend(loc="upper left", frameon=False, ncols=3, fontsize=8)
    exact = weights / weights.sum()
    right.barh(range(len(weights)), wins / wins.sum(), color=OTHERS, height=0.5, label="frequency")
    right.plot(exact, range(len(weights)), "D", color=EXACT, markersize=5, label="probability a")
    right.set(
        xlabel="share of the wins", title=f"{wins.sum():,} races", xlim=(0, 1.25 * exact.max())
    )
    right.legend(loc="upper right", frameon=False, fontsize=8)
    _finish(figure, path)


def sampling_error(source: Stream, path: Path, *, repeats: int = 100) -> None:
    """Draw the distance between frequencies and probabilities against the number of draws.

    Args:
        source: Where the draws come from.
        path: Where to write.
        repeats: How many times each experiment is done.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    counts = np.unique(np.logspace(1, 4.5, 15).astype(int))
    used = 0
    for n, colour in [(2, "#2a9d8f"), (10, OTHERS), (100, "#8a5a9e")]:
        a = np.random.default_rng(n).dirichlet(np.ones(n))
        distances = np.empty((len(counts), repeats))
        for i, count in enumerate(counts.tolist()):
            winners = gumbel_max(probabilities=a, size=(repeats, count), rng=source.skip(used))
            used += repeats * count * n
            cells = winners + n * np.arange(repeats)[:, None]
            frequency = (
                np.bincount(cells.ravel(), minlength=repeats * n).reshape(repeats, n) / count
            )
            distances[i] = 0.5 * np.abs(frequency - a).sum(1)
        low, high = np.quantile(distances, [0.1, 0.9], axis=1)
        axes.fill_between(counts, low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(
            counts, distances.mean(1), "o", color=colour, markersize=4, label=f"{n} categories"
        )
        expected = np.sqrt(a * (1 - a)).sum() / np.sqrt(2 * np.pi * counts)
        axes.plot(counts, expected, color=colour, lw=1)
    axes.plot([], [], color=EXACT, lw=1, label=r"expected: $\sum\sqrt{a(1-a)}\ /\ \sqrt{2\pi N}$")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="draws N",
        ylabel="total variation distance to a",
        title=f"Sampling error (mean and 10 to 90 % of {repeats} experiments)",
    )
    axes.legend(frameon=False)
    axes.grid(alpha=0.25, which="major")
    _finish(figure, path)


def _finish(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)
