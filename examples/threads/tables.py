"""Tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.table import Table

from .laws import speedup, strong_efficiency, weak_efficiency
from .results import Results

GIGA = 1e9


def _table(title: str, *columns: str, caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def seconds(value: float) -> str:
    """Returns a time with three digits."""
    if value < 1e-3:
        return f"{value * 1e6:.3g} us"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def every(results: Results) -> Iterator[Table]:
    """Yields the tables that there are results for."""
    if rows := list(results.article()):
        yield article(results, rows)
    if results.samples:
        yield strong(results)
        yield weak(results)
    if results.roofs:
        yield roofline(results)
    if results.timed or results.absent:
        yield peers(results)


def article(results: Results, rows: list[tuple]) -> Table:  # type: ignore[type-arg]
    """Returns the article's experiment, its times beside ours."""
    table = _table(
        f"ijk, n = {results.n}: each thread multiplies matrices of its own",
        "threads", "GIL", "prange", "ours", "x 1 thread", "article, n = 1200",
        caption=f"prange: a team of {results.cores}. The article's machine: 4 cores, of 2021.",
    )  # fmt: skip
    for threads, release, team, spent, relative, theirs in rows:
        table.add_row(
            str(threads), "released" if release else "held", "with" if team else "without",
            seconds(spent), "-" if relative is None else f"{relative:.2f}",
            "-" if theirs is None else f"{theirs:.2f} s",
        )  # fmt: skip
    return table


def strong(results: Results) -> Table:
    """Returns one thread's work, shared by more and more workers."""
    table = _table(
        "Strong scaling: the same work, shared",
        "kernel", "workers are", "workers", "time", "GFLOP/s", "speed-up", "efficiency",
        "serial part",
        caption="Workers are Python threads, with the GIL held or released, or a prange's team.\n"
        "Ideal: speed-up = workers, efficiency 100 %. Serial part: Amdahl's law, fitted to as\n"
        "many workers as there are cores.",
    )  # fmt: skip
    for kernel in results.kernels():
        table.add_section()
        for curve in results.curves(kernel):
            part = results.serial_fraction(curve)
            faster, useful = speedup(curve.relative), strong_efficiency(curve.relative)
            for p in curve.seconds:
                table.add_row(
                    kernel, curve.mode, _workers(results, p), seconds(curve.seconds[p]),
                    _giga(curve.flops[p]), _number(faster.get(p)), _percent(useful.get(p)),
                    "-" if part is None or p != max(curve.seconds) else f"{part:.1%}",
                )  # fmt: skip
    return table


def weak(results: Results) -> Table:
    """Returns one thread's work for each worker."""
    table = _table(
        "Weak scaling: each worker has as much work as one had",
        "kernel", "workers are", "workers", "time", "GFLOP/s", "efficiency",
        caption="Ideal: the time of one worker, efficiency 100 %.",
    )  # fmt: skip
    for kernel in results.kernels():
        table.add_section()
        for curve in results.curves(kernel, weak=True):
            useful = weak_efficiency(curve.relative)
            for p in curve.seconds:
                table.add_row(
                    kernel, curve.mode, _workers(results, p), seconds(curve.seconds[p]),
                    _giga(curve.flops[p]), _percent(useful.get(p)),
                )  # fmt: skip
    return table


def roofline(results: Results) -> Table:
    """Returns each kernel's speed beside what the machine can do at most."""
    limits = ", ".join(
        f"{roof.threads}: {roof.flops / GIGA:.0f} GFLOP/s, {roof.bandwidth / GIGA:.1f} GB/s"
        for roof in results.roofs
    )
    table = _table(
        "Roofline: how near the machine's limits",
        "kernel", "threads", "flops / byte", "GFLOP/s", "at most", "reached",
        caption=f"Measured limits by number of threads: {limits}.\n"
        "Arrays that fit into caches can be faster than memory.",
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
    table = _table(
        "Matrix product: ours and others'",
        "way", "n", "threads", "time", "GFLOP/s", "speed-up",
        caption="\n".join(results.absent) or None,
    )  # fmt: skip
    for kernel in ("tiled", "ikj", "ijk"):
        for curve in results.curves(kernel) if kernel in results.kernels() else ():
            if curve.mode == "prange":
                for p, spent in curve.seconds.items():
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


def _workers(results: Results, p: int) -> str:
    return f"{p} (of {results.cores} cores)" if p > results.cores else str(p)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _giga(flops: float) -> str:
    return f"{flops / GIGA:.3g}" if flops else "-"
