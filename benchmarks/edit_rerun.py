"""Edit a .pyx, run the program again: what does it cost with cyhot, pyximport and setup.py?

    python benchmarks/edit_rerun.py --rounds 5 --json results.json --table results.md

Each flow is a whole new process, `python main.py` (for setup.py: `python setup.py build_ext
--inplace`, then `python main.py`), timed from outside, less one bare interpreter's time:

cold       nothing built, the tool's store or build folder empty
unchanged  the same again
edited     an expression of the module changed, to a new one in each round
reverted   its first contents again

The program prints an answer that depends on the edit; a tool that gives another one, such as the
answer of the code before, fails the benchmark. Tools take turns within each round, and ratios are
medians of the rounds' own ratios. Everything happens in temporary folders, each tool with a home
of its own. Edits wait for the next second of the clock, outside the timed part: by mtime,
pyximport and setuptools would miss one that is closer to their last build.

`plain` is a process that imports the module that setup.py built, with no tool at all: the floor.
`install` is `import cyhot; cyhot.install()`, or pyximport's, alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import (
    BenchmarkError,
    Sample,
    cells,
    child_environment,
    machine,
    markdown_table,
    paired_ratio,
    progress,
    run,
    run_less_bare,
    show_ratio,
    show_seconds,
    wait_for_next_second,
)

PYTHON = sys.executable
DISTRIBUTIONS = ("cyhot", "cython", "numpy", "setuptools")
FLOWS = ("cold", "unchanged", "edited", "reverted")
# Cheap flows are measured several times a round: a few milliseconds need more samples.
REPEATS = {"unchanged": 5, "install": 5}

FOO = """\
cpdef int sqr(int x):
    return x * x{edit}
"""

MATMUL = """\
# cython: boundscheck=False, wraparound=False
import numpy as np

cimport numpy as np


def matmul(
    np.ndarray[dtype=np.float64_t, ndim=2] left,
    np.ndarray[dtype=np.float64_t, ndim=2] right,
):
    cdef Py_ssize_t rows = left.shape[0]
    cdef Py_ssize_t inner = left.shape[1]
    cdef Py_ssize_t columns = right.shape[1]
    cdef np.ndarray[dtype=np.float64_t, ndim=2] result = np.zeros((rows, columns))
    cdef np.float64_t[:, :] a = left
    cdef np.float64_t[:, :] b = right
    cdef np.float64_t[:, :] c = result
    cdef Py_ssize_t i, j, k
    with nogil:
        for i in range(rows):
            for k in range(inner):
                for j in range(columns):
                    c[i, j] += a[i, k] * b[k, j]{edit}
    return result
"""

SETUP = """\
from Cython.Build import cythonize
from setuptools import Extension, setup

{prepare}
setup(
    name="{module}",
    ext_modules=cythonize([Extension("{module}", ["{module}.pyx"]{arguments})], language_level=3),
)
"""


@dataclass(frozen=True)
class Module:
    """A module to edit: its text with a hole, and a program whose answer tells which text ran."""

    name: str
    text: str
    program: str
    answer: int  # of the text without an edit
    weight: int  # how often an edit's number is added to the answer
    numpy: bool = False

    def source(self, edit: int) -> str:
        """Returns the text with the `edit`th change; 0 is none."""
        return self.text.format(edit=f" + {edit}" if edit else "")

    def expected(self, edit: int) -> str:
        """Returns what the program has to print."""
        return f"answer {self.answer + self.weight * edit}"


MODULES = {
    "foo": Module("foo", FOO, "import foo\nprint('answer', foo.sqr(7))\n", answer=49, weight=1),
    "matmul": Module(
        "matmul",
        MATMUL,
        "import numpy as np\nimport matmul\n"
        "print('answer', int(matmul.matmul(np.ones((2, 3)), np.ones((3, 2)))[1, 1]))\n",
        answer=3,
        weight=3,
        numpy=True,
    ),
}


@dataclass(frozen=True)
class Tool:
    """How a user of this tool runs a program."""

    name: str
    requires: tuple[str, ...]
    advice: str
    install: str = ""  # the lines that main.py begins with
    numpy_install: str = ""  # the same for a module that cimports numpy, where it differs
    setup: bool = False

    def main(self, module: Module) -> str:
        """Returns main.py."""
        return (self.numpy_install if module.numpy else self.install) + module.program

    def commands(self) -> list[list[str]]:
        """Returns what a user types to run the program as the source now is."""
        build = [[PYTHON, "setup.py", "build_ext", "--inplace"]] if self.setup else []
        return [*build, [PYTHON, "main.py"]]


CYHOT = "import cyhot\ncyhot.install()\n"
PYXIMPORT = "import pyximport\npyximport.install(language_level=3)\n"
PYXIMPORT_NUMPY = (
    "import numpy\nimport pyximport\n"
    "pyximport.install(setup_args={'include_dirs': numpy.get_include()}, language_level=3)\n"
)
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("cyhot", ("cyhot",), "pip install -e .", CYHOT, CYHOT),
        Tool(
            "pyximport",
            ("setuptools", "Cython", "pyximport"),
            "pip install cython setuptools",
            PYXIMPORT,
            PYXIMPORT_NUMPY,
        ),
        Tool("setup.py", ("setuptools", "Cython"), "pip install cython setuptools", setup=True),
    )
}


@dataclass
class Project:
    """One tool's folder for one module, and the home of the user who works in it."""

    tool: Tool
    module: Module
    folder: Path
    edit: int = 0

    @property
    def home(self) -> Path:
        """The tool's caches are in here."""
        return self.folder.with_name(self.folder.name + "-home")

    def create(self) -> None:
        """Writes the project as it is before anything was ever built."""
        self.folder.mkdir(parents=True)
        self.home.mkdir()
        (self.folder / "main.py").write_text(self.tool.main(self.module))
        if self.tool.setup:
            (self.folder / "setup.py").write_text(_setup_text(self.module))
        self.write(0)

    def write(self, edit: int) -> None:
        """Saves the module with the `edit`th change."""
        (self.folder / f"{self.module.name}.pyx").write_text(self.module.source(edit))
        self.edit = edit

    def measure(self, flow: str, number: int) -> Sample:
        """Runs the program as this tool's user would, and checks its answer."""
        return self._measure(self.tool.name, self.tool.commands(), flow, number)

    def measure_plain(self, number: int) -> Sample:
        """Runs the program with the module that is already built beside it."""
        return self._measure("plain", [[PYTHON, "main.py"]], "unchanged", number)

    def _measure(self, name: str, commands: list[list[str]], flow: str, number: int) -> Sample:
        environ = child_environment(self.home)
        done, idle = run_less_bare(commands, self.folder, environ)
        answer = done.output.rstrip().rpartition("\n")[2]
        if answer != self.module.expected(self.edit):
            raise BenchmarkError(
                f"{name} gave a wrong answer: {self.module.name}, {flow}, round {number}: "
                f"{answer!r}, not {self.module.expected(self.edit)!r}"
            )
        return Sample(name, self.module.name, flow, number, done.seconds, done.cpu, idle)


def _setup_text(module: Module) -> str:
    return SETUP.format(
        module=module.name,
        prepare="import numpy\n" if module.numpy else "",
        arguments=", include_dirs=[numpy.get_include()]" if module.numpy else "",
    )


def check_peers(tools: Iterable[Tool], modules: Iterable[Module]) -> None:
    """Refuses to run when a tool is missing: a table with a column left out misleads.

    Raises:
        BenchmarkError: with what to install.
    """
    wanted = [(name, tool.name, tool.advice) for tool in tools for name in tool.requires]
    wanted += [("numpy", m.name, "pip install numpy") for m in modules if m.numpy]
    for name, user, advice in wanted:
        try:
            run([[PYTHON, "-c", f"import {name}"]], Path.cwd(), child_environment(Path.home()))
        except BenchmarkError as error:
            last = str(error).rstrip().rpartition("\n")[2]
            raise BenchmarkError(
                f"{user} needs {name}, which {PYTHON} cannot import ({last}). Try: {advice}; "
                f"or leave it out by name: --tools, --modules"
            ) from None


def warm_up(tools: Iterable[Tool], modules: Iterable[Module], root: Path) -> None:
    """Runs each tool once, so that .pyc files and the disk's cache are as a user has them."""
    for tool in tools:
        for module in modules:
            progress(f"warming up: {tool.name}, {module.name}")
            project = Project(tool, module, root / "warm" / tool.name / module.name)
            project.create()
            project.measure("cold", 0)
            project.measure("unchanged", 0)
    shutil.rmtree(root / "warm")


def measure_round(
    tools: Sequence[Tool], modules: Iterable[Module], root: Path, number: int
) -> Iterator[Sample]:
    """Yields one round's samples as they come; the tools take turns, in an order that rotates."""
    turn = [*tools[number % len(tools) :], *tools[: number % len(tools)]]
    yield from _measure_installs(turn, root, number)
    for module in modules:
        folder = root / f"round{number}" / module.name
        projects = [Project(tool, module, folder / tool.name) for tool in turn]
        for project in projects:
            project.create()
        for flow in FLOWS:
            yield from _measure_flow(projects, flow, number)
        shutil.rmtree(folder)


def _measure_flow(projects: Sequence[Project], flow: str, number: int) -> Iterator[Sample]:
    edits = {"edited": 100 + number, "reverted": 0}
    if flow in edits:
        wait_for_next_second()
        for project in projects:
            project.write(edits[flow])
    for _ in range(REPEATS.get(flow, 1)):
        for project in projects:
            yield project.measure(flow, number)
            if flow == "unchanged" and project.tool.setup:
                yield project.measure_plain(number)


def _measure_installs(tools: Iterable[Tool], root: Path, number: int) -> Iterator[Sample]:
    environ = child_environment(root)
    for _ in range(REPEATS["install"]):
        for tool in tools:
            if tool.install:
                done, idle = run_less_bare([[PYTHON, "-c", tool.install]], root, environ)
                yield Sample(tool.name, "-", "install", number, done.seconds, done.cpu, idle)


def table(samples: Sequence[Sample], tools: Sequence[Tool]) -> str:
    """Returns medians, and each other tool's time divided by the first one's."""
    found = cells(samples)
    names = [tool.name for tool in tools] + (["plain"] if any(t.setup for t in tools) else [])
    first, *others = [tool.name for tool in tools]
    head = ["module", "flow", *names, *(f"{other} / {first}" for other in others)]
    rows = []
    for module, flow in dict.fromkeys((module, flow) for module, flow, _ in found):
        cell = [found.get((module, flow, name)) for name in names]
        ratios = [paired_ratio(samples, module, flow, other, first) for other in others]
        times = [show_seconds(c.median) if c else "-" for c in cell]
        rows.append([module, flow, *times, *map(show_ratio, ratios)])
    return markdown_table(head, rows)


def report(samples: Sequence[Sample], tools: Sequence[Tool], facts: dict[str, object]) -> str:
    """Returns the table with what it was measured on."""
    lines = [f"- {name}: {_show(value)}" for name, value in facts.items()]
    return f"{table(samples, tools)}\n\n" + "\n".join(lines) + "\n"


def _show(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_show(item)}" for name, item in value.items())
    return str(value)


def results(
    samples: Sequence[Sample], tools: Sequence[Tool], facts: dict[str, object]
) -> dict[str, object]:
    """Returns everything, for a program to read; times in seconds."""
    first, *others = [tool.name for tool in tools]
    found = cells(samples)
    ratios = [
        {"module": module, "flow": flow, "of": other, "to": first, "median": ratio}
        for module, flow in dict.fromkeys((module, flow) for module, flow, _ in found)
        for other in others
        if (ratio := paired_ratio(samples, module, flow, other, first)) is not None
    ]
    medians = [
        {"module": module, "flow": flow, "tool": tool} | asdict(cell)
        for (module, flow, tool), cell in found.items()
    ]
    return {
        "facts": facts,
        "medians": medians,
        "ratios": ratios,
        "samples": [*map(asdict, samples)],
    }


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's values; `tools` and `modules` as lists of names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--modules", type=_names(MODULES), default=list(MODULES), metavar="foo,...")
    parser.add_argument("--tools", type=_names(TOOLS), default=list(TOOLS), metavar="cyhot,...")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample there")
    parser.add_argument("--table", type=Path, metavar="PATH", help="write the table there too")
    return parser.parse_args(arguments)


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return text.split(",")

    return parse


def measure(
    tools: Sequence[Tool], modules: Sequence[Module], rounds: int, samples: list[Sample]
) -> None:
    """Adds samples as they are measured, so that the caller has them if this is interrupted."""
    with tempfile.TemporaryDirectory(prefix="cyhot-edit-rerun-") as name:
        root = Path(name).resolve()
        warm_up(tools, modules, root)
        for number in range(rounds):
            for sample in measure_round(tools, modules, root, number):
                samples.append(sample)
                progress(
                    f"round {number + 1}/{rounds}: {sample.module} {sample.flow} {sample.tool}: "
                    f"{show_seconds(sample.seconds)}"
                )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, 1 for a failure, 130 for one that was interrupted."""
    options = parse_arguments(arguments)
    tools = [TOOLS[name] for name in options.tools]
    modules = [MODULES[name] for name in options.modules]
    samples: list[Sample] = []
    status = 0
    try:
        check_peers(tools, modules)
        measure(tools, modules, options.rounds, samples)
    except BenchmarkError as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        status = 130
    publish(samples, tools, machine(DISTRIBUTIONS) | {"interrupted": bool(status)}, options)
    return status


def publish(
    samples: Sequence[Sample],
    tools: Sequence[Tool],
    facts: dict[str, object],
    options: argparse.Namespace,
) -> None:
    """Prints the table, and writes it and the numbers where they were asked for."""
    text = report(samples, tools, facts)
    print(text)
    if options.table:
        options.table.write_text(text)
    if options.json:
        options.json.write_text(json.dumps(results(samples, tools, facts), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
