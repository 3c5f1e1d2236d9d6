"""Edit a .pyx, run the program again: what does it cost, with cyhot and with others?

    pip install -e '.[bench]'
    python benchmarks/speed.py --rounds 5 --json speed.json --table docs/performance.md

Each flow is a whole new process, `python main.py` (for setup.py: `python setup.py build_ext
--inplace`, then `python main.py`), timed from outside, less one bare interpreter's time:

first      nothing was ever built, cached or started: cyhot with its defaults and with its worker
           off (--baseline: and another cyhot), compared with each other
cold       this project was never built (editable installs: `pip install --editable .` and the run)
one core   cyhot, cold, with one core for it and its worker
unchanged  the same again
edited     the source changed, to a state that never was before; for `package`, the .pxd that six
           of its twenty modules cimport
reverted   the state before that again
install    `import cyhot; cyhot.install()`, or pyximport's, alone

Except in `first`, cyhot's worker is ready: a user edits many times a day. The program prints an
answer that depends on the state; a tool that gives another one, such as the answer of the code
before, fails the benchmark, and so does cyhot if it builds more or less than what is stale.

Tools take turns within each round, cyhot one between each two of the others' edits, and ratios
are medians of the rounds' own ratios. Everything happens in temporary folders, each project with
a home of its own (cyhot's worker keeps one for all). Edits wait for the next second of the clock,
outside the timed part: by mtime, most tools would miss one that is closer to their last build.

`plain` is the same program with modules that were built before, and no tool. `floor` is cyhot's
compiler and linker commands alone, on its C. They and the phases are those of a second build of the
same kind right after the timed one, by a program that listens to cyhot's events.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import floor
import worker
from environment import Environment, make_environment
from harness import (
    BenchmarkError,
    Sample,
    child_environment,
    fill,
    machine,
    progress,
    run,
    run_less_bare,
    show_seconds,
)
from project import Built, Project
from subjects import SUBJECTS, Subject
from tables import Build, Measured, report, results
from tools import PEERS, PYTHON, Cyhot, SetupPy, Tool, cyhot_variants

DISTRIBUTIONS = (
    *("cyhot", "cython", "numpy", "setuptools", "meson-python", "meson", "ninja"),
    *("scikit-build-core", "cmake", "ipython"),
)
TOOLS = ("cyhot", *PEERS)
FLOWS = ("install", "first", "cold", "one core", "unchanged", "edited", "reverted")
# Cheap flows are measured several times a round: a few milliseconds need more samples.
UNCHANGED_REPEATS = 3
INSTALL_REPEATS = 5
ALONE_REPEATS = 3  # of an edit, where there is no other tool to take turns with
INSTALLS = {
    "cyhot": "import cyhot; cyhot.install()",
    "pyximport": "import pyximport; pyximport.install(language_level=3)",
}


@dataclass(frozen=True)
class Bench:
    """What is to be measured, and where."""

    root: Path
    environment: Environment
    subjects: Sequence[Subject]
    tools: Sequence[Tool]
    flows: Sequence[str]
    # Short names: a worker's socket, at most 100 bytes long, is below.
    homes: Iterator[int] = field(default_factory=itertools.count)

    def wanted(self, subject: Subject, flow: str) -> bool:
        """Whether a flow is to be measured with a subject."""
        return flow in self.flows and flow in subject.flows

    def with_flow(self, subject: Subject, flow: str) -> list[Tool]:
        """Returns the tools that are measured in a flow."""
        return [tool for tool in self.tools if flow in tool.flows and tool.covers(subject)]

    def project(self, tool: Tool, subject: Subject, name: str) -> Project:
        """Makes a project that nobody has built anything of yet."""
        folder = self.root / name / subject.name / _plain_name(tool.name)
        warm = self.warm_home(tool)
        home = self.root / f"home{next(self.homes)}" if warm is None else warm
        project = Project(tool, subject, folder, home, self.environment)
        project.create()
        return project

    def warm_home(self, tool: Tool) -> Path | None:
        """Where cyhot's worker, headers and shared module are from one round to the next.

        None for a tool that has nothing of the kind, or is to have nothing.
        """
        if not isinstance(tool, Cyhot) or "first" in tool.flows:
            return None
        return self.root / ("home-one-core" if tool.one_core else "home")


def _plain_name(name: str) -> str:
    return "".join(letter for letter in name if letter.isalnum())


# Before the first round ----------------------------------------------------------------------


def check_peers(tools: Iterable[Tool], subjects: Iterable[Subject]) -> None:
    """Refuses to run when a tool is missing: a table with a column left out misleads.

    Raises:
        BenchmarkError: with what to install.
    """
    wanted = [(name, tool.name) for tool in tools for name in tool.requires]
    wanted += [("numpy", subject.name) for subject in subjects if subject.numpy]
    for name, user in wanted:
        try:
            environ = child_environment(Path.home())
            run([[sys.executable, "-c", f"import {name}"]], Path.cwd(), environ)
        except BenchmarkError as error:
            last = str(error).rstrip().rpartition("\n")[2]
            raise BenchmarkError(
                f"{user} needs {name}, which {sys.executable} cannot import ({last}). "
                "Try: pip install -e '.[bench]'; or leave it out by name: --tools, --modules"
            ) from None


def warm_up(bench: Bench) -> None:
    """Runs each peer once, so that .pyc files and the disk's cache are as a user has them."""
    subject = next((s for s in bench.subjects if len(s.extensions) == 1), None)
    for tool in bench.tools:
        if subject and not isinstance(tool, Cyhot):
            progress(f"warming up: {tool.name}, {subject.name}")
            project = bench.project(tool, subject, "warm")
            project.measure("cold", 0)
            project.measure("unchanged", 0)


def make_ready(bench: Bench, tool: Tool) -> str:
    """Builds throw-away projects of each kind, and waits for what cyhot prepares then.

    Returns:
        What state cyhot is in from now on.
    """
    state = ""
    # The first builds start what prepares; what the second ones use is there, or asked for.
    for name in ("ready", "readier"):
        for subject in (one for one in bench.subjects if _is_measured(bench, tool, one)):
            progress(f"making ready: {tool.name}, {subject.name}")
            project = bench.project(tool, subject, name)
            project.measure("cold", 0)
        state = worker.wait_until_ready(project.environ)
        progress(f"worker: {state}")
    return state


def build_plain(bench: Bench) -> dict[str, Project]:
    """Builds each subject once, by setup.py, for running it without any tool."""
    projects = {}
    for subject in bench.subjects:
        if bench.wanted(subject, "unchanged"):
            progress(f"building for plain: {subject.name}")
            project = bench.project(SetupPy(), subject, "plain")
            jobs = ["-j", str(os.cpu_count() or 1)]
            build = [PYTHON, "setup.py", "build_ext", "--inplace", *jobs]
            # What is compared with it is importing, not computing.
            run([build], project.folder, project.environ | {"CFLAGS": "-O0 -g0"})
            projects[subject.name] = project
    return projects


# Rounds --------------------------------------------------------------------------------------


def measure_round(bench: Bench, plain: dict[str, Project], number: int) -> Iterator[Sample | Build]:
    """Yields one round's measurements as they come; the tools' order rotates with the rounds."""
    if "install" in bench.flows:
        yield from _measure_installs(bench, number)
    for subject in bench.subjects:
        if bench.wanted(subject, "first"):
            yield from _measure_first(bench, subject, number)
        yield from _measure_flows(bench, subject, plain.get(subject.name), number)
        shutil.rmtree(bench.root / f"round{number}", ignore_errors=True)


def _measure_installs(bench: Bench, number: int) -> Iterator[Sample]:
    for _ in range(INSTALL_REPEATS):
        for tool in (tool for tool in bench.tools if tool.name in INSTALLS):
            command = [PYTHON, "-c", INSTALLS[tool.name]]
            environ = tool.variables(bench.root / "home", bench.environment)
            done, idle = run_less_bare([command], bench.root, environ, PYTHON)
            yield Sample(tool.name, "-", "install", number, done.seconds, done.cpu, idle)


def _measure_first(bench: Bench, subject: Subject, number: int) -> Iterator[Sample]:
    for tool in _rotated(bench.with_flow(subject, "first"), number):
        project = bench.project(tool, subject, f"round{number}")
        yield project.measure("first", number)
        worker.stop(project.environ)


def _rotated(items: Sequence[Tool], number: int) -> list[Tool]:
    start = number % len(items) if items else 0
    return [*items[start:], *items[:start]]


def _measure_flows(
    bench: Bench, subject: Subject, plain: Project | None, number: int
) -> Iterator[Sample | Build]:
    tools = _rotated(bench.with_flow(subject, "cold"), number)
    projects = [bench.project(tool, subject, f"round{number}") for tool in tools]
    quick = [project for project in projects if project.tool.quick]
    slow = [project for project in projects if not project.tool.quick]
    for project in projects:
        wanted = bench.wanted(subject, "cold")
        yield from _kept(wanted, _measure_build(bench, project, "cold", number))
    if bench.wanted(subject, "one core"):
        for tool in bench.with_flow(subject, "one core"):
            yield bench.project(tool, subject, f"round{number}").measure("one core", number)
    if bench.wanted(subject, "unchanged"):
        yield from _measure_unchanged(projects, plain, number)
    # Without an edit there is nothing to go back from.
    if bench.wanted(subject, "edited") or bench.wanted(subject, "reverted"):
        wanted = bench.wanted(subject, "edited")
        for project in turns(quick, slow):
            project.edit()
            yield from _kept(wanted, _measure_build(bench, project, "edited", number))
    if bench.wanted(subject, "reverted"):
        for project in turns(quick, slow):
            project.revert()
            yield project.measure("reverted", number)


def _kept(wanted: bool, measured: Iterable[Sample | Build]) -> Iterator[Sample | Build]:
    for one in measured:
        if wanted:
            yield one


def turns(quick: Sequence[Project], slow: Sequence[Project]) -> Iterator[Project]:
    """Yields whose turn it is: the quick ones before each slow one, and once more at the end."""
    if not slow:
        yield from [*quick] * (ALONE_REPEATS - 1)
    for project in slow:
        yield from quick
        yield project
    yield from quick


def _measure_unchanged(
    projects: Iterable[Project], plain: Project | None, number: int
) -> Iterator[Sample]:
    for _ in range(UNCHANGED_REPEATS):
        if plain:
            yield plain.measure_plain("unchanged", number)
        for project in projects:
            yield project.measure("unchanged", number)


def _measure_build(
    bench: Bench, project: Project, flow: str, number: int
) -> Iterator[Sample | Build]:
    sample = project.measure(flow, number)
    yield sample
    if project.reports:
        told = _built_again(bench, project, flow, number)
        yield Build(
            module=project.subject.name,
            flow=flow,
            round=number,
            seconds=sample.seconds,
            modules=len(told),
            phases=_summed(built.phases for built in told),
            commands=sum(command.seconds for built in told for command in built.commands),
            floor=floor.seconds(told, bench.root / "floor", project.environ),
        )


def _built_again(bench: Bench, project: Project, flow: str, number: int) -> list[Built]:
    """Returns what a like build tells: listening would make the timed one slower."""
    if flow == "edited":
        project.edit()
        again = project
    else:
        again = bench.project(project.tool, project.subject, f"round{number}/again")
    again.report(flow, number)
    return again.built


def _summed(phases: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in phases:
        for name, spent in one.items():
            total[name] = total.get(name, 0.0) + spent
    return total


# The command line ----------------------------------------------------------------------------


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's values; `tools`, `modules` and `flows` as lists of names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    for option, known in (("--modules", SUBJECTS), ("--tools", TOOLS), ("--flows", FLOWS)):
        every = list(known)
        help_ = f"of {','.join(every)}; default: all"
        parser.add_argument(option, type=_names(every), default=every, metavar="A,B", help=help_)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample there")
    parser.add_argument(
        "--table", type=Path, metavar="PATH", help="fill the part of this file that is marked speed"
    )
    parser.add_argument(
        "--baseline", type=Path, metavar="SRC", help="the src folder of a cyhot to compare with"
    )
    return parser.parse_args(arguments)


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return text.split(",")

    return parse


def chosen_tools(names: Sequence[str], baseline: Path | None) -> list[Tool]:
    """Returns the tools of these names; all of cyhot's variants for cyhot."""
    tools: list[Tool] = []
    for name in names:
        if name == "cyhot":
            tools += cyhot_variants(baseline)
        else:
            tools.append(PEERS[name])
    return tools


def measure(bench: Bench, rounds: int, measured: Measured, facts: dict[str, object]) -> None:
    """Adds to `measured` as it goes, so that the caller has it if this is interrupted."""
    plain = build_plain(bench)
    warm_up(bench)
    for tool in _with_worker(bench):
        facts["worker"] = make_ready(bench, tool)
    for number in range(rounds):
        for one in measure_round(bench, plain, number):
            where = f"round {number + 1}/{rounds}: {one.module} {one.flow}"
            if isinstance(one, Sample):
                measured.samples.append(one)
                progress(f"{where} {one.tool}: {show_seconds(one.seconds)}")
            else:
                measured.builds.append(one)
                progress(f"{where} floor: {show_seconds(one.floor)}")


def _with_worker(bench: Bench) -> list[Tool]:
    """Returns the tools that are measured with a worker of theirs."""
    return [
        tool
        for tool in bench.tools
        if bench.warm_home(tool) is not None
        and any(_is_measured(bench, tool, subject) for subject in bench.subjects)
    ]


def _is_measured(bench: Bench, tool: Tool, subject: Subject) -> bool:
    return any(bench.wanted(subject, flow) for flow in tool.flows)


def run_bench(options: argparse.Namespace, measured: Measured, facts: dict[str, object]) -> None:
    """Measures what the command line asks for.

    Raises:
        BenchmarkError: a tool is missing, fails or gives a wrong answer.
    """
    subjects = [SUBJECTS[name] for name in options.modules]
    baseline = options.baseline.resolve() if options.baseline else None
    tools = chosen_tools(options.tools, baseline)
    check_peers(tools, subjects)
    with tempfile.TemporaryDirectory(prefix="cyhot-speed-") as name:
        root = Path(name).resolve()
        bench = Bench(root, make_environment(root), subjects, tools, options.flows)
        try:
            measure(bench, options.rounds, measured, facts)
        finally:
            for tool in _with_worker(bench):
                home = bench.warm_home(tool)
                if home is not None:
                    worker.stop(tool.variables(home, bench.environment))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, 1 for a failure, 130 for one that was interrupted."""
    options = parse_arguments(arguments)
    facts = machine(DISTRIBUTIONS) | {"rounds": options.rounds}
    measured = Measured()
    status = 0
    try:
        run_bench(options, measured, facts)
    except BenchmarkError as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        status = 1
        facts["failed"] = str(error)
        options.table = None  # the numbers so far are shown and kept, but are nothing to publish
    except KeyboardInterrupt:
        status = 130
        facts["interrupted"] = True
    publish(measured, options, facts)
    return status


def publish(measured: Measured, options: argparse.Namespace, facts: dict[str, object]) -> None:
    """Prints the tables, and writes them and the numbers where they were asked for."""
    if not measured.samples:
        return
    text = report(measured, options.tools, facts)
    print(text)
    if options.json:
        numbers = json.dumps(results(measured, options.tools, facts), indent=1)
        options.json.write_text(numbers + "\n")
    if options.table:
        fill(options.table, "speed", text)


if __name__ == "__main__":
    sys.exit(main())
