"""From measurements to tables and to what a program can read: pure, values in, text out."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from harness import (
    Cell,
    Sample,
    cells,
    markdown_table,
    paired_ratio,
    show_ratio,
    show_seconds,
)

ALLOWED = 1.25
"""What the floor is multiplied with before it is taken off: the goal is stated that way."""


@dataclass(frozen=True)
class Build:
    """What one run of cyhot's took; and of a like build right after, where the time went.

    Attributes:
        seconds: The whole process, less the bare interpreter's time.
        modules: How many were built.
        phases: Seconds of each phase; where modules were built side by side, their sum.
        commands: Seconds of all commands (compilers, linker) as cyhot saw them.
        floor: Seconds of those commands with nothing around them.
    """

    module: str
    flow: str
    round: int
    seconds: float
    modules: int
    phases: Mapping[str, float]
    commands: float
    floor: float

    @property
    def other(self) -> float:
        """What no phase accounts for: detecting, loading, the program itself."""
        return self.seconds - sum(self.phases.values())

    @property
    def own(self) -> float:
        """Everything except the compiler's and the linker's time."""
        return self.seconds - self.commands


@dataclass
class Measured:
    """All that was measured so far."""

    samples: list[Sample] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)


def _keys(samples: Iterable[Sample]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((sample.module, sample.flow) for sample in samples))


def flows_table(samples: Sequence[Sample], tools: Sequence[str]) -> str:
    """Returns medians, and behind each how many times the first tool's that is."""
    found = cells(samples)
    first = tools[0]
    rows = []
    for module, flow in _keys(s for s in samples if s.tool in tools):
        row = [module, flow]
        for tool in tools:
            cell = found.get((module, flow, tool))
            ratio = None if tool == first else paired_ratio(samples, module, flow, tool, first)
            row.append(_with_ratio(cell, ratio))
        rows.append(row)
    return markdown_table(["module", "flow", *tools], rows)


def _with_ratio(cell: Cell | None, ratio: float | None) -> str:
    if cell is None:
        return "-"
    time = show_seconds(cell.median)
    return time if ratio is None else f"{time} ({show_ratio(ratio)})"


def phases_table(measured: Measured) -> str:
    """Returns, for each flow that builds, the phases and what is above the floor."""
    names = list(dict.fromkeys(name for build in measured.builds for name in build.phases))
    head = ["module", "flow", "total", *names, "other", "own", "floor", "total / floor"]
    head += [f"total - {ALLOWED} floor", "less plain"]
    plain = plain_medians(measured.samples)
    rows = []
    for (module, flow), builds in grouped(measured.builds).items():
        one = builds[0].modules == 1
        above = over_floor(builds)
        rows.append([
            module,
            flow,
            _median(build.seconds for build in builds),
            *(_median(build.phases.get(name, 0.0) for build in builds) for name in names),
            # Phases of modules that were built side by side say nothing about the whole.
            _median(build.other for build in builds) if one else "-",
            _median(build.own for build in builds) if one else "-",
            _median(build.floor for build in builds),
            show_ratio(floor_ratio(builds)),
            show_seconds(above),
            show_seconds(above - plain[module]) if module in plain else "-",
        ])  # fmt: skip
    return markdown_table(head, rows)


def _median(values: Iterable[float]) -> str:
    return show_seconds(statistics.median(values))


def grouped(builds: Iterable[Build]) -> dict[tuple[str, str], list[Build]]:
    """Returns builds by module and flow."""
    groups: dict[tuple[str, str], list[Build]] = {}
    for build in builds:
        groups.setdefault((build.module, build.flow), []).append(build)
    return groups


def floor_ratio(builds: Iterable[Build]) -> float:
    """Returns the median of each build's time divided by the floor measured after it."""
    return statistics.median(build.seconds / build.floor for build in builds)


def over_floor(builds: Iterable[Build]) -> float:
    """Returns the median of what each build took beyond `ALLOWED` floors."""
    return statistics.median(build.seconds - ALLOWED * build.floor for build in builds)


def plain_medians(samples: Iterable[Sample]) -> dict[str, float]:
    """Returns what each program takes once everything is built, with no tool."""
    return {
        module: cell.median
        for (module, flow, tool), cell in cells(samples).items()
        if (flow, tool) == ("unchanged", "plain")
    }


@dataclass(frozen=True)
class Comparison:
    """cyhot in one flow and state, to be divided by cyhot in another."""

    what: str
    of: tuple[str, str]  # flow, tool
    to: tuple[str, str]


COMPARISONS = (
    Comparison(
        "first import, nothing warm: default / worker off",
        ("first", "cyhot (default)"),
        ("first", "cyhot (worker off)"),
    ),
    Comparison(
        "first import, nothing warm: default / before",
        ("first", "cyhot (default)"),
        ("first", "cyhot (before)"),
    ),
    Comparison(
        "cold: on one core / on all cores", ("one core", "cyhot (one core)"), ("cold", "cyhot")
    ),
)


def comparisons_table(samples: Sequence[Sample]) -> str:
    """Returns cyhot's times in one state divided by those in another, in the same rounds."""
    found = cells(samples)
    rows = []
    for comparison in COMPARISONS:
        for module in dict.fromkeys(sample.module for sample in samples):
            of, to = ((module, *side) for side in (comparison.of, comparison.to))
            if of in found and to in found:
                times = [show_seconds(found[key].median) for key in (of, to)]
                ratio = self_ratio(samples, module, comparison)
                rows.append([module, comparison.what, *times, show_ratio(ratio)])
    return markdown_table(["module", "what", "one", "other", "one / other"], rows) if rows else ""


def self_ratio(samples: Iterable[Sample], module: str, comparison: Comparison) -> float | None:
    """Returns the median over rounds of a comparison's ratio."""
    alike = [
        Sample(tool, module, "-", s.round, s.seconds, s.cpu, s.bare)
        for s in samples
        for tool, side in (("of", comparison.of), ("to", comparison.to))
        if s.module == module and (s.flow, s.tool) == side
    ]
    return paired_ratio(alike, module, "-", "of", "to")


def spread_table(samples: Iterable[Sample]) -> str:
    """Returns every median with its extremes, processor time (no worker's) and sample count."""
    rows = [
        [
            module, flow, tool, *map(show_seconds, (cell.low, cell.median, cell.high, cell.cpu)),
            str(cell.count),
        ]
        for (module, flow, tool), cell in cells(samples).items()
    ]  # fmt: skip
    return markdown_table(["module", "flow", "tool", "min", "median", "max", "cpu", "n"], rows)


def report(measured: Measured, tools: Sequence[str], facts: Mapping[str, object]) -> str:
    """Returns the tables with what they were measured on, in markdown."""
    shown = [*tools, "plain"] if any(s.tool == "plain" for s in measured.samples) else tools
    parts = [flows_table(measured.samples, shown)]
    if measured.builds:
        parts.append("Where cyhot's time goes:\n\n" + phases_table(measured))
    if compared := comparisons_table(measured.samples):
        parts.append("cyhot and itself:\n\n" + compared)
    parts.append(facts_list(facts))
    spread = spread_table(measured.samples)
    parts.append(f"<details><summary>Extremes</summary>\n\n{spread}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def facts_list(facts: Mapping[str, object]) -> str:
    """Returns what numbers were measured on as a markdown list."""
    return "\n".join(f"- {name}: {_show(value)}" for name, value in facts.items())


def _show(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_show(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"`{value}`" if isinstance(value, str) and " --" in value else str(value)


def results(
    measured: Measured, tools: Sequence[str], facts: Mapping[str, object]
) -> dict[str, object]:
    """Returns everything, for a program to read; times in seconds."""
    samples, first = measured.samples, tools[0]
    ratios = [
        {"module": module, "flow": flow, "of": other, "to": first, "median": ratio}
        for module, flow in _keys(samples)
        for other in tools[1:]
        if (ratio := paired_ratio(samples, module, flow, other, first)) is not None
    ]
    plain = plain_medians(samples)
    floors = [
        {
            "module": module,
            "flow": flow,
            "total": statistics.median(build.seconds for build in builds),
            "own": statistics.median(build.own for build in builds),
            "floor": statistics.median(build.floor for build in builds),
            "ratio": floor_ratio(builds),
            "over": over_floor(builds),
            "plain": plain.get(module),
        }
        for (module, flow), builds in grouped(measured.builds).items()
    ]
    compared = [
        {"module": module, "what": comparison.what, "median": ratio}
        for comparison in COMPARISONS
        for module in dict.fromkeys(sample.module for sample in samples)
        if (ratio := self_ratio(samples, module, comparison)) is not None
    ]
    return {
        "facts": dict(facts),
        "medians": [
            {"module": module, "flow": flow, "tool": tool} | asdict(cell)
            for (module, flow, tool), cell in cells(samples).items()
        ],
        "ratios": ratios,
        "floors": floors,
        "comparisons": compared,
        "builds": [asdict(build) | {"phases": dict(build.phases)} for build in measured.builds],
        "samples": [*map(asdict, samples)],
    }
