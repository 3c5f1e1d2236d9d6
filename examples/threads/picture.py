"""The picture: scaling curves with the ideal line, and the roofline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .laws import amdahl, speedup, weak_efficiency
from .results import Results, Scaling

GIGA = 1e9
COLOURS = ("#1f6fb4", "#d1495b", "#3a7d44", "#b07d12", "#7b4ea3", "#0f8b8d", "#5c5c5c")
MARKS = "os^Dv<P"
INK = "#3c3c3c"
NO_MEMORY = 3e3
"""Where kernels without memory traffic stand, in flops for each byte: right of all others."""


def draw(results: Results, path: Path) -> None:
    """Draws strong scaling, weak scaling and the roofline, side by side, into a file.

    Args:
        path: Its ending says which format: .png, .svg, .pdf.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 5), layout="constrained")
        first, second, third = figure.subplots(1, 3)
        _strong(first, results)
        _weak(second, results)
        _roofline(third, results)
        figure.suptitle(
            f"{results.facts.get('processor', '')} · {results.facts.get('python', '')} · "
            f"n = {results.n}",
            fontsize=9, color=INK,
        )  # fmt: skip
        figure.legend(
            handles=_legend(results), loc="outside lower center", ncols=7, frameon=False, fontsize=9
        )
        figure.savefig(path, dpi=110)


def _legend(results: Results) -> list[Any]:
    """The kernels' colours and marks, with Amdahl's serial part of a team's strong scaling."""
    from matplotlib.lines import Line2D

    handles = []
    for number, kernel in enumerate(results.kernels()):
        curve = _best(results, kernel)
        part = results.serial_fraction(curve) if curve else None
        label = kernel if part is None else f"{kernel} (serial: {part:.0%})"
        handles.append(Line2D([], [], label=label, **_style(number)))
    return handles


def _best(results: Results, kernel: str, *, weak: bool = False) -> Scaling | None:
    """The curve of a team where there is one, else of Python threads without the GIL."""
    curves = {curve.mode: curve for curve in results.curves(kernel, weak=weak)}
    return curves.get("prange") or curves.get("threads, released")


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKS[number % len(MARKS)],
        "markersize": 5,
        "linewidth": 1.4,
    }


def _strong(axes: Any, results: Results) -> None:
    ends = [1, max(results.counts)]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--", label="ideal")
    for number, kernel in enumerate(results.kernels()):
        curve = _best(results, kernel)
        if curve and curve.relative:
            faster = speedup(curve.relative)
            part = results.serial_fraction(curve)
            axes.plot(list(faster), list(faster.values()), **_style(number))
            if part is not None and len(faster) > 2:
                fine = [1 + (ends[1] - 1) * step / 40 for step in range(41)]
                law = [amdahl(part, p) for p in fine]
                axes.plot(fine, law, color=_style(number)["color"], linewidth=0.6, alpha=0.7)
        held = [c for c in results.curves(kernel) if c.mode == "threads, held"]
        for line in held:
            faster = speedup(line.relative)
            axes.plot(
                list(faster), list(faster.values()),
                **(_style(number) | {"linestyle": ":", "linewidth": 1, "markersize": 3}),
            )  # fmt: skip
    _workers_axis(axes, results)
    axes.set_ylabel("speed-up over one")
    axes.set_title(
        "Strong scaling: the same work, shared\n(dotted: the GIL is held; thin: Amdahl's law)",
        fontsize=10,
    )
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_ylim(bottom=0)


def _weak(axes: Any, results: Results) -> None:
    axes.axhline(1, color=INK, linewidth=1, linestyle="--", label="ideal")
    for number, kernel in enumerate(results.kernels()):
        curve = _best(results, kernel, weak=True)
        if curve and curve.relative:
            useful = weak_efficiency(curve.relative)
            axes.plot(list(useful), list(useful.values()), **_style(number))
        held = [c for c in results.curves(kernel, weak=True) if c.mode == "threads, held"]
        for line in held:
            useful = weak_efficiency(line.relative)
            axes.plot(
                list(useful), list(useful.values()),
                **(_style(number) | {"linestyle": ":", "linewidth": 1, "markersize": 3}),
            )  # fmt: skip
    _workers_axis(axes, results)
    axes.set_ylabel("efficiency")
    axes.set_title(
        "Weak scaling: each with work of its own\n(dotted: the GIL is held)",
        fontsize=10,
    )
    axes.set_ylim(0, 1.2)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def _workers_axis(axes: Any, results: Results) -> None:
    axes.set_xlabel("workers: OpenMP threads of a prange (dotted: Python threads)")
    axes.set_xticks(sorted(set(results.counts)))
    axes.margins(x=0.08)
    if max(results.counts) > results.cores:
        axes.axvspan(
            results.cores, max(results.counts), color="#999999", alpha=0.15, linewidth=0,
            label="more than cores",
        )  # fmt: skip


def _roofline(axes: Any, results: Results) -> None:
    low, high = 1 / 32, NO_MEMORY * 2
    for number, roof in enumerate(results.roofs):
        line = [low, roof.ridge, high]
        axes.plot(
            line, [roof.at(x) / GIGA for x in line], color=INK, linewidth=1.2,
            linestyle=("-", "--", "-.", ":")[number % 4],
            label=f"{roof.threads} thread{'s' * (roof.threads > 1)}: "
            f"{roof.flops / GIGA:.0f} GFLOP/s, {roof.bandwidth / GIGA:.0f} GB/s",
        )  # fmt: skip
    kernels = results.kernels()
    for dot in results.dots():
        number = kernels.index(dot.kernel)
        style = _style(number) | {"linestyle": "none"}
        if dot.threads == 1:
            style["markerfacecolor"] = "white"
        where = NO_MEMORY if math.isinf(dot.intensity) else dot.intensity
        axes.plot([where], [dot.flops / GIGA], **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_xlabel("flops for each byte of memory traffic (far right: no traffic)")
    axes.set_ylim(top=max((roof.flops for roof in results.roofs), default=GIGA) / GIGA * 6)
    axes.set_ylabel("GFLOP/s")
    axes.set_title("Roofline\n(hollow: one thread)", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
