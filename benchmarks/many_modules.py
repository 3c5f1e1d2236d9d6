"""Import a package of 200 unchanged modules: what does the import hook cost per module?

    python benchmarks/many_modules.py --rounds 15 --json results.json --table results.md

The package has 200 small ``.pyx`` modules in five subpackages; 50 of them cimport a ``.pxd`` of the
package. It is built once. Then `cyhot` is a new process that imports all of them through the hook;
`prebuilt` one that imports what ``setup.py build_ext --inplace`` made of the same sources, with no
tool at all; and `copies` one that so imports the very images that cyhot loads. (What these share,
Cython's helpers, lies on sys.path there.) Three times are taken:

program         the whole process from outside, less a bare interpreter's time
whole process   the same with the interpreter's time
imports         the 200 import statements, as the program itself measures them

All take turns, and a ratio is the median of the rounds' own ratios. Each prints an answer to which
every module contributes; a wrong one fails the benchmark.

Building takes minutes. ``--corpus FOLDER`` keeps what was built there, and uses it again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from harness import (
    BenchmarkError,
    Cell,
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
DISTRIBUTIONS = ("cyhot", "cython", "setuptools")
SUBPACKAGES = ("geometry", "signals", "text", "graphs", "tables")
PER_SUBPACKAGE = 40
CIMPORTING = 4
"""Of this many modules one cimports the common .pxd."""
COUNT = len(SUBPACKAGES) * PER_SUBPACKAGE
MODULE, FLOWS = f"{COUNT} modules", ("program", "whole process", "imports")
TOOLS = ("cyhot", "prebuilt", "copies")

COMMON = """\
ctypedef int number

cdef inline number twice(number x) noexcept:
    return 2 * x
"""
CIMPORTER = """\
from many.common cimport number, twice


cpdef number value(number x):
    return twice(x) + {index} - x
"""
PLAIN = """\
cpdef int value(int x):
    return x + {index}
"""
MAIN = """\
{install}import time
began = time.perf_counter()
import everything
print("seconds", time.perf_counter() - began)
print("answer", everything.answer)
"""
INSTALL = "import cyhot\ncyhot.install()\n"
IMAGES = """\
import os, sys
sys.path[0] = os.getcwd()  # as `python main.py` has it
import cyhot
cyhot.install()
import everything
for name in sys.argv[1:]:
    print(sys.modules[name].__cached__)
"""
SETUP = """\
from Cython.Build import cythonize
from setuptools import setup
setup(ext_modules=cythonize("many/**/*.pyx", language_level=3))
"""
ANSWER = f"answer {sum(range(COUNT)) + COUNT}"


def names() -> list[str]:
    """Returns the modules' full names."""
    return [f"many.{folder}.m{i:02}" for folder in SUBPACKAGES for i in range(PER_SUBPACKAGE)]


class Corpus:
    """The package as sources with a store, built by setup.py, and as copies of the images."""

    def __init__(self, folder: Path) -> None:
        self.folders = {tool: folder / tool for tool in TOOLS}
        self.hooked, self.prebuilt, self.plain = self.folders.values()
        self.environ = child_environment(folder / "home")

    def create(self) -> None:
        """Writes and builds what is not there yet."""
        texts = {self.prebuilt / "setup.py": SETUP}
        for root in (self.hooked, self.prebuilt):
            package = root / "many"
            texts |= {package / "__init__.py": "", package / "common.pxd": COMMON}
            texts |= {package / folder / "__init__.py": "" for folder in SUBPACKAGES}
            for index, name in enumerate(names()):
                text = PLAIN if index % CIMPORTING else CIMPORTER
                path = root.joinpath(*name.split(".")).with_suffix(".pyx")
                texts[path] = text.format(index=index)
        for tool, folder in self.folders.items():
            install = INSTALL if tool == "cyhot" else ""
            lines = [f"import {name}\n" for name in names()]
            total = " + ".join(f"{name}.value(1)" for name in names())
            texts[folder / "everything.py"] = "".join(lines) + f"answer = {total}\n"
            texts[folder / "main.py"] = MAIN.format(install=install)
        for path, text in texts.items():
            _write(path, text)
        self._build()

    def _build(self) -> None:
        Path(self.environ["HOME"]).mkdir(exist_ok=True)
        progress(f"building {COUNT} modules, unless they are there")
        run([[PYTHON, "-m", "cyhot", "build", "many"]], self.hooked, self.environ)
        jobs = ["-j", str(os.cpu_count() or 1)]
        build = [PYTHON, "setup.py", "build_ext", "--inplace", *jobs]
        run([build], self.prebuilt, self.environ)
        done = run([[PYTHON, "-c", IMAGES, *names()]], self.hooked, self.environ)
        for name, image in zip(names(), done.output.splitlines(), strict=True):
            self._copy(Path(image), self.plain.joinpath(*name.split(".")[:-1]))

    def _copy(self, image: Path, folder: Path) -> None:
        """Copies an image into the plain package, and what has to be importable for it."""
        for package in (self.plain / "many", folder):
            _write(package / "__init__.py", "")
        for file in image.parent.glob("*.so"):
            target = (folder if file.name == image.name else self.plain) / file.name
            if not target.exists() or target.read_bytes() != file.read_bytes():
                target.unlink(missing_ok=True)
                shutil.copyfile(file, target)

    def warm_up(self) -> None:
        """Runs each until nothing is young any more, and .pyc files are written."""
        for _ in range(4):
            wait_for_next_second()
            for tool in TOOLS:
                self.measure(tool, 0)

    def measure(self, tool: str, number: int) -> list[Sample]:
        """Runs one tool's program, and checks its answer; returns a sample for each of `FLOWS`."""
        done, idle = run_less_bare([[PYTHON, "main.py"]], self.folders[tool], self.environ)
        timed, answer = done.output.splitlines()
        if answer != ANSWER:
            raise BenchmarkError(f"{tool}: {answer!r}, not {ANSWER!r}")
        whole, imports = done.seconds + idle, float(timed.split()[1])
        return [
            Sample(tool, MODULE, flow, number, seconds, done.cpu, idle)
            for flow, seconds in zip(FLOWS, (done.seconds, whole, imports), strict=True)
        ]


def _write(path: Path, text: str) -> None:
    """Writes a file, unless it is there with that text: an unchanged source has to stay so."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def measure(corpus: Corpus, rounds: int) -> Iterator[Sample]:
    """Yields samples; the tools take turns, in an order that rotates."""
    corpus.create()
    corpus.warm_up()
    for number in range(rounds):
        first = number % len(TOOLS)
        for tool in TOOLS[first:] + TOOLS[:first]:
            samples = corpus.measure(tool, number)
            progress(f"round {number + 1}/{rounds}: {tool}: {show_seconds(samples[0].seconds)}")
            yield from samples


def report(samples: Sequence[Sample], facts: Mapping[str, object]) -> str:
    """Returns the table with what it was measured on."""
    found, rows = cells(samples), []
    for flow in FLOWS:
        shown = [_show(found[MODULE, flow, tool]) for tool in TOOLS]
        rows.append([flow, *shown, *(show_ratio(one) for one in _ratios(samples, flow).values())])
    head = [MODULE, *TOOLS, *(f"cyhot / {tool}" for tool in TOOLS[1:])]
    table = markdown_table(head, rows)
    return f"{table}\n\n" + "".join(f"- {name}: {value}\n" for name, value in facts.items())


def _ratios(samples: Sequence[Sample], flow: str) -> dict[str, float | None]:
    return {tool: paired_ratio(samples, MODULE, flow, "cyhot", tool) for tool in TOOLS[1:]}


def _show(cell: Cell) -> str:
    return f"{show_seconds(cell.median)} ({show_seconds(cell.low)} at best)"


def results(samples: Sequence[Sample], facts: Mapping[str, object]) -> dict[str, object]:
    """Returns everything, for a program to read; times in seconds."""
    return {
        "facts": facts,
        "medians": [
            {"flow": key[1], "tool": key[2]} | asdict(cell) for key, cell in cells(samples).items()
        ],
        "ratios": {flow: _ratios(samples, flow) for flow in FLOWS},
        "samples": [*map(asdict, samples)],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 1 for a failure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", help="build there, and keep it")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample there")
    parser.add_argument("--table", type=Path, metavar="PATH", help="write the table there too")
    options = parser.parse_args(arguments)
    try:
        with _folder(options.corpus) as folder:
            samples = list(measure(Corpus(folder), options.rounds))
    except BenchmarkError as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 1
    facts = machine(DISTRIBUTIONS)
    text = report(samples, facts)
    print(text)
    if options.table:
        options.table.write_text(text)
    if options.json:
        options.json.write_text(json.dumps(results(samples, facts), indent=1) + "\n")
    return 0


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="cyhot-many-modules-") as name:
            yield Path(name).resolve()


if __name__ == "__main__":
    sys.exit(main())
