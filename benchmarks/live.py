"""From a save to the new code running in a process that goes on, and how long nothing else can run.

python benchmarks/live.py [--rounds N] [--modules NAME ...] [--json FILE] [--table FILE]

Each module is edited in turn with the others, in a process of its own that has it imported. Beside
the whole time stands what the same build took by itself, so that the difference is what swapping
costs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import BenchmarkError, fill, machine, markdown_table
from subjects import FOO, MATMUL
from worker import stop, wait_until_ready

REST = 0.5
"""Seconds between two edits: what one leaves to do, such as new forks, is not the next one's."""

_CHILD = """
import json, sys, threading, time
import cyhot
from cyhot.events import BuildFinished

folder, name, stages = sys.argv[1:]
sys.path.insert(0, folder)
cyhot.install(**({"stages": stages} if stages else {}), verbose=0)
module = __import__(name)
swaps, builds = [], []
ready = threading.Semaphore(0)

def on_swap(report):
    swaps.append((time.perf_counter(), report))
    ready.release()

cyhot.on_swap(on_swap)
cyhot.subscribe(lambda e: isinstance(e, BuildFinished) and builds.append(e.seconds))
while not cyhot.status().watching:
    time.sleep(0.01)
print("ready", flush=True)
path = f"{folder}/{name}.pyx"
text = open(path).read()
for line in sys.stdin:
    version = int(line)
    swaps.clear(), builds.clear()
    with open(path, "w") as file:
        file.write(f"{text}\\ndef version():\\n    return {version}\\n")
    began = time.perf_counter()
    told = {}
    for stage in ("first", "optimized") if stages else ("only",):
        ready.acquire()
        at, report = swaps[-1]
        assert report.ok and module.version() == version, str(report)
        told[stage] = {
            "live": at - began, "build": builds[-1], "critical": report.critical,
        }
    print(json.dumps(told), flush=True)
"""


def large() -> str:
    """A module of 100 functions and 20 classes, half of them cdef classes."""
    functions = (f"def f{n}(x, y={n}):\n    return x + y + {n}\n" for n in range(100))
    python = (f"class P{n}:\n    def m(self):\n        return {n}\n" for n in range(10))
    compiled = (
        f"cdef class C{n}:\n    cdef public int x\n    cdef int c(self):\n        return {n}\n"
        f"    def m(self):\n        return self.c()\n"
        for n in range(10)
    )
    return "\n".join([*functions, *python, *compiled])


class Program:
    """A process that has a module imported, and is told to edit it."""

    def __init__(self, folder: str, name: str, stages: str, environ: dict[str, str]) -> None:
        self.title = f"{name}, fast-first" if stages else name
        self.samples: list[dict[str, dict[str, float]]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, folder, name, stages],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            text=True,
        )
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{self.title}: the program ended")
        return line

    def edit(self, version: int) -> dict[str, dict[str, float]]:
        """Save a new version, and wait until it runs."""
        assert self._process.stdin is not None
        time.sleep(REST)
        self._process.stdin.write(f"{version}\n")
        self._process.stdin.flush()
        told: dict[str, dict[str, float]] = json.loads(self._answer())
        return told

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


PROGRAMS = [
    ("foo", ""), ("matmul", ""), ("large", ""), ("foo", "fast-first"), ("matmul", "fast-first"),
]  # fmt: skip


def measure(rounds: int, modules: list[str]) -> list[Program]:
    """Edit all modules in turn, so many times."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base:  # the worker ends
        environ = {
            **os.environ,
            "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}",
            "CYHOT_BUILD_DIR": os.path.join(base, "store"),
            "XDG_RUNTIME_DIR": base,
            "CYHOT_WORKER": "1",
        }
        programs: list[Program] = []
        texts = {
            "foo": FOO.replace("{edit}", ""),
            "matmul": MATMUL.replace("{edit}", ""),
            "large": large(),
        }
        try:
            wanted = [program for program in PROGRAMS if program[0] in modules]
            for number, (name, stages) in enumerate(wanted):
                folder = Path(base, str(number))
                folder.mkdir()
                (folder / f"{name}.pyx").write_text(texts[name])
                programs.append(Program(str(folder), name, stages, environ))
            for warm in range(3):  # the worker prepares what such modules need
                for program in programs:
                    program.edit(warm)
                wait_until_ready(environ)
            for version in range(rounds):
                for program in programs:
                    program.samples.append(program.edit(1000 + version))
        finally:
            for program in programs:
                program.end()
            stop(environ)
        return programs


def table(programs: list[Program]) -> str:
    """Medians, a row for each module and stage."""
    rows = []
    for program in programs:
        for stage in program.samples[0]:
            some = [sample[stage] for sample in program.samples]
            live, build, critical = (
                statistics.median(one[what] for one in some)
                for what in ("live", "build", "critical")
            )
            more = statistics.median(one["live"] - one["build"] for one in some)
            title = program.title if stage == "only" else f"{program.title}: {stage}"
            rows.append([
                title, f"{live:.2f} s", f"{build:.2f} s", f"{more * 1000:.0f} ms",
                f"{live / build:.2f}", f"{critical * 1000:.2f} ms",
            ])  # fmt: skip
    header = ["module", "save to live", "its build", "difference", "ratio", "nothing else runs"]
    return markdown_table(header, rows)


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--modules", nargs="+", default=["foo", "matmul", "large"])
    parser.add_argument("--json", help="write all samples there")
    parser.add_argument("--table", help="fill the table in there, between its markers")
    given = parser.parse_args()
    programs = measure(given.rounds, given.modules)
    told = table(programs)
    print(told)
    if given.json:
        samples = {program.title: program.samples for program in programs}
        Path(given.json).write_text(
            json.dumps({"machine": machine(["cython", "numpy"]), "samples": samples})
        )
    if given.table:
        fill(Path(given.table), "live", told)


if __name__ == "__main__":
    main()
