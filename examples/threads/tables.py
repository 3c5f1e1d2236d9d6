"""Tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich import box
from rich.table import Table

from .laws import speedup, strong_efficiency, weak_efficiency
from .results import Results

GIGA = 1e9


def new(title: str, *columns: str, caption: str | None = None) -> Table:
    """Returns an empty table, the first column to the left and numbers to the right."""
    lines = [title, *(caption or "").splitlines()]
    table = Table(
        min_width=max(map(len, lines)),
        title=title, caption=caption, title_justify="left", caption_justify="left",
        box=box.SIMPLE_HEAD, padding=0, pad_edge=False, title_style="bold", caption_style="dim",
    )  # fmt: skip
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def seconds(value: float) -> str:
    """Returns a time with three digits."""
    if value < 1e-3:
        return f"{value * 1e6:.3g} us"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def workers(mode: str, p: int, cores: int) -> str:
    """Returns who works: "2 threads, held", "prange of 2"; with a star if cores are too few."""
    star = " *" if p > cores else ""
    if mode == "prange":
        return f"prange of {p}{star}"
    return f"{p} thread{'s' * (p > 1)}, {mode.partition(', ')[2]}{star}"


def every(results: Results) -> Iterator[Table]:
    """Yields the tables that there are results for."""
    if list(results.article()):
        yield article(results)
    if results.samples:
        yield strong(results)
        yield weak(results)
    if results.roofs:
        yield roofline(results)
    if results.timed or results.absent:
        yield peers(results)


def article(results: Results) -> Table:
    """Returns the article's experiment, its times beside ours."""
    table = new(
        f"ijk, n = {results.n}: each Python thread multiplies matrices of its own",
        "threads", "GIL", "prange", "ours", "x 1 thread", "article's",
        caption=f"prange: a team of {results.cores} in each thread; it gives up even a held GIL.\n"
        "The article's machine: 4 cores, of 2021; n = 1200.",
    )  # fmt: skip
    for threads, release, team, spent, relative, theirs in results.article():
        table.add_row(
            str(threads), "released" if release else "held", "with" if team else "without",
            seconds(spent), _number(relative), "-" if theirs is None else f"{theirs:.2f} s",
        )  # fmt: skip
    return table


def strong(results: Results) -> Table:
    """Returns one thread's work, shared by more and more workers."""
    table = new(
        "Strong scaling: the same work, shared",
        "kernel", "workers", "time", "GFLOP/s", "speed-up", "efficient", "serial",
        caption="Ideal: speed-up = workers, 100% efficient, 0% serial (Amdahl's law, fitted).\n"
        f"held, released: the GIL. * more than the {results.cores} cores.",
    )  # fmt: skip
    for kernel in results.kernels():
        table.add_section()
        for curve in results.curves(kernel):
            part = results.serial_fraction(curve)
            faster, useful = speedup(curve.relative), strong_efficiency(curve.relative)
            for p in curve.seconds:
                table.add_row(
                    kernel, workers(curve.mode, p, results.cores), seconds(curve.seconds[p]),
                    _giga(curve.flops[p]), _number(faster.get(p)), _percent(useful.get(p)),
                    _percent(part) if p == max(curve.seconds) else "",
                )  # fmt: skip
    return table


def weak(results: Results) -> Table:
    """Returns one thread's work for each worker."""
    table = new(
        "Weak scaling: each worker has as much work as one had",
        "kernel", "workers", "time", "GFLOP/s", "efficient",
        caption="Ideal: the time of one worker, 100% efficient.",
    )  # fmt: skip
    for kernel in results.kernels():
        table.add_section()
        for curve in results.curves(kernel, weak=True):
            useful = weak_efficiency(curve.relative)
            for p in curve.seconds:
                table.add_row(
                    kernel, workers(curve.mode, p, results.cores), seconds(curve.seconds[p]),
                    _giga(curve.flops[p]), _percent(useful.get(p)),
                )  # fmt: skip
    return table


def roofline(results: Results) -> Table:
    """Returns each kernel's speed beside what the machine can do at most."""
    limits = "\n".join(
        f"{roof.threads} thread{'s' * (roof.threads > 1)}: {roof.flops / GIGA:.0f} GFLOP/s from "
        f"registers, {roof.bandwidth / GIGA:.1f} GB/s to and from memory."
        for roof in results.roofs
    )
    table = new(
        "Roofline: how near the machine's measured limits",
        "kernel", "threads", "flops/byte", "GFLOP/s", "at most", "reached",
        caption=f"{limits}\nArrays that fit into caches can be faster than memory.",
    )  # fmt: skip
    roofs = {roof.threads: roof for roof in results.roofs}
    for dot in results.dots():
        most = roofs[dot.threads].at(dot.intensity)
        table.add_row(
            dot.kernel, str(dot.threads),
            "no memory" if math.isinf(dot.intensity) else f"{dot.intensity:.3g}",
            _giga(dot.flops), _giga(most), _percent(dot.flops / most),
        )  # fmt: skip
    return table


def peers(results: Results) -> Table:
    """Returns other ways to a matrix product beside ours."""
    table = new(
        "Matrix product: ours, shared by prange, and others'",
        "way", "n", "threads", "time", "GFLOP/s", "speed-up",
        caption="\n".join(results.absent) or None,
    )  # fmt: skip
    for kernel in (name for name in ("tiled", "ikj", "ijk") if name in results.kernels()):
        for curve in results.curves(kernel):
            for p, spent in curve.seconds.items() if curve.mode == "prange" else ():
                table.add_row(
                    f"ours, {kernel}", str(results.n), str(p), seconds(spent),
                    _giga(curve.flops[p]), _number(speedup(curve.relative).get(p)),
                )  # fmt: skip
    for name, n, threads, spent, faster in results.peers():
        table.add_row(
            name, str(n), str(threads), seconds(spent), _giga(2.0 * n**3 / spent),
            _number(faster),
        )  # fmt: skip
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _giga(flops: float) -> str:
    return f"{flops / GIGA:.3g}" if flops else "-"
