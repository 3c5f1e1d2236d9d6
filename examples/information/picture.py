"""The studies as one picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from examples.information.study import Coin, Correlation, Simplex


def draw(path: Path, coins: Coin, triangle: Simplex, correlations: Correlation) -> None:
    """Draw the studies side by side.

    Args:
        path: The file to write; its suffix says the format.
        coins: Of many biases.
        triangle: The distributions on three outcomes.
        correlations: Estimates for some correlations.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    _draw_coins(left, coins)
    _draw_triangle(middle, triangle)
    _draw_correlations(right, correlations)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw_coins(axes: Axes, coins: Coin) -> None:
    axes.plot(
        coins.heads, coins.digits, color="tab:orange", lw=1.2, label="Huffman, 3 tosses a word"
    )
    axes.plot(coins.heads, coins.entropy, color="tab:blue", lw=2, label="entropy H(p)")
    axes.plot(
        coins.heads, coins.divergence, color="tab:green", lw=1.5, ls="--",
        label="divergence from a fair coin, 1 - H(p)",
    )  # fmt: skip
    axes.set(
        title="A coin", xlabel="probability of heads p", ylabel="bits a toss",
        xlim=(0, 1), ylim=(0, 1.32),
    )  # fmt: skip
    axes.legend(loc="upper center", fontsize=8, framealpha=1)
    axes.grid(alpha=0.3)


def _draw_triangle(axes: Axes, triangle: Simplex) -> None:
    levels = np.linspace(0, np.log2(3), 13)
    filled = axes.tricontourf(triangle.x, triangle.y, triangle.entropy, levels, cmap="viridis")
    axes.tricontour(
        triangle.x,
        triangle.y,
        triangle.entropy,
        [0.5, 1, 1.25, 1.5],
        colors="white",
        linewidths=0.8,
    )
    axes.plot(0.5, np.sqrt(3) / 6, "o", color="tab:red", ms=5)
    axes.annotate(
        "log 3 = 1.585", (0.5, np.sqrt(3) / 6), (0, -14), textcoords="offset points",
        ha="center", fontsize=8,
    )  # fmt: skip
    for x, y, name, up in ((0, 0, "(1, 0, 0)", -0.06), (1, 0, "(0, 1, 0)", -0.06),
                           (0.5, np.sqrt(3) / 2, "(0, 0, 1)", 0.03)):  # fmt: skip
        axes.text(x, y + up, name, ha="center", fontsize=8)
    axes.set(title="Three outcomes", aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.1, 0.95))
    axes.axis("off")
    bar = axes.figure.colorbar(filled, ax=axes, shrink=0.8, ticks=[0, 0.5, 1, 1.5])
    bar.set_label("entropy, bits")


def _draw_correlations(axes: Axes, found: Correlation) -> None:
    smooth = np.linspace(-0.995, 0.995, 399)
    axes.plot(smooth, -0.5 * np.log1p(-(smooth**2)), color="tab:blue", lw=2,
              label="exact, $-\\frac{1}{2}\\log(1-\\rho^2)$")  # fmt: skip
    axes.plot(found.correlation, found.plain, "o", color="tab:orange", ms=4,
              label=f"{found.samples:,} samples, {found.bins} bins each")  # fmt: skip
    axes.plot(found.correlation, found.corrected, "x", color="tab:red", ms=5,
              label="with Miller-Madow correction")  # fmt: skip
    axes.set(
        title="Two normal variables", xlabel="correlation ρ",
        ylabel="mutual information, nats", xlim=(-1, 1), ylim=(-0.05, 2.4),
        xticks=[-1, -0.5, 0, 0.5, 1],
    )  # fmt: skip
    axes.legend(loc="upper center", fontsize=8)
    axes.grid(alpha=0.3)
