"""Sources whose C is generated twice: by `python -m cython`, and by cyhot.

Run as a script it is one side of the comparison, in a process of its own:

    python corpus.py command|forked|elsewhere|cyhot|worker JOBS.json

- *command* is the truth: `python -m cython`, a new process for each source. It takes seconds each.
- *forked* is what makes hundreds of sources affordable: a process that has imported Cython's
  compiler and compiled nothing forks a child for each source, which calls what the command calls.
- *elsewhere* is that with other addresses: some of what Cython writes is in their order.
- *cyhot* compiles all sources one after another in one process. That is the hard case: what one
  compile leaves behind must not show in the next.
- *worker* compiles each source as the background compiler does: in a fork of a warm process, with
  a Context that has cimported what the source cimports first.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".c", ".cpp", ".h")
"""What is compared; cyhot may put other files beside them."""

# Everything that a compile imports, so that children find it imported. Importing compiles nothing.
COMPILER_MODULES = (
    "Cython.Compiler.Main",
    "Cython.Compiler.CmdLine",
    "Cython.Compiler.Pipeline",
    "Cython.Compiler.ParseTreeTransforms",
    "Cython.Compiler.AnalysedTreeTransforms",
    "Cython.Compiler.AutoDocTransforms",
    "Cython.Compiler.Buffer",
    "Cython.Compiler.CodeGeneration",
    "Cython.Compiler.CythonScope",
    "Cython.Compiler.FlowControl",
    "Cython.Compiler.FusedNode",
    "Cython.Compiler.MemoryView",
    "Cython.Compiler.Optimize",
    "Cython.Compiler.TypeInference",
    "Cython.Compiler.UtilityCode",
    "Cython.CodeWriter",
)


@dataclass(frozen=True)
class Job:
    """One source, the options that both sides get, and the folder that a side writes to."""

    source: str
    module: str
    cplus: bool
    language_level: str
    directives: dict[str, bool]
    shared: str = ""  # the shared utility module to use
    folder: str = ""

    @property
    def output(self) -> str:
        """The C file's path. Its folder is the job's own: headers are written beside it."""
        stem = Path(self.source).stem
        return os.path.join(self.folder, self.name, stem + (".cpp" if self.cplus else ".c"))

    @property
    def name(self) -> str:
        """The source's file name: foo.py and foo.pyx are two jobs."""
        return Path(self.source).name

    def arguments(self) -> list[str]:
        """The command line's arguments that say the same."""
        directives = [f"--directive={name}={value}" for name, value in self.directives.items()]
        cplus = ["--cplus"] if self.cplus else []
        shared = [f"--shared={self.shared}"] if self.shared else []
        options = [f"-{self.language_level}", *cplus, *directives, *shared]
        return [*options, "-o", self.output, self.source]

    def generated(self) -> dict[str, bytes]:
        """What a side has written for this job, by file name."""
        files = sorted(Path(self.output).parent.iterdir())
        return {path.name: path.read_bytes() for path in files if path.suffix in SUFFIXES}


def job(source: Path, directives: dict[str, bool]) -> Job:
    """Return the job for a source, with the language that its header asks for."""
    text = source.read_text(encoding="utf-8", errors="replace")
    cplus = re.search(r"^# *(tag:.*\bcpp|distutils: *language *= *c\+\+)", text, re.MULTILINE)
    # The print statement's last refuge; cyhot's default is 3.
    level = "2" if re.search(r"^\s*print +[\w'\"]", text, re.MULTILINE) else "3"
    return Job(str(source), module_name(source), bool(cplus), level, directives)


def module_name(source: Path) -> str:
    """Return the dotted name of a source by the packages it lies in."""
    names = [source.stem]
    for folder in source.parents:
        if not any((folder / f"__init__{suffix}").exists() for suffix in (".py", ".pyx", ".pxd")):
            break
        names.append(folder.name)
    return ".".join(reversed(names))


def run_side(side: str, jobs: Sequence[Job], cwd: Path, folder: Path) -> dict[str, str]:
    """Generate C for jobs in a new process; return an empty string or an error for each source."""
    placed = [asdict(job) | {"folder": str(folder)} for job in jobs]
    for each in jobs:
        (folder / each.name).mkdir(parents=True)
    request = folder / "jobs.json"
    request.write_text(json.dumps(placed))
    with (folder / "log").open("w+") as log:
        command = [sys.executable, __file__, side, str(request)]
        done = subprocess.run(command, cwd=cwd, stdout=log, stderr=log)
        log.seek(0)
        assert done.returncode == 0, f"{side}: {log.read()[-5000:]}"
    result: dict[str, str] = json.loads((folder / "result.json").read_text())
    return result


def main(side: str, request: str) -> None:
    """Be one side."""
    # As for `python -m cython`: pxd files are looked for on sys.path, which begins where it runs.
    sys.path[0] = os.getcwd()
    jobs = [Job(**fields) for fields in json.loads(Path(request).read_text())]
    result = SIDES[side](jobs)
    Path(request).with_name("result.json").write_text(json.dumps(result))


def compile_by_command(jobs: Iterable[Job]) -> dict[str, str]:
    """Run `python -m cython` for each job."""
    result = {}
    for each in jobs:
        command = [sys.executable, "-m", "cython", *each.arguments()]
        done = subprocess.run(command, capture_output=True, text=True)
        result[each.source] = done.stderr or "failed" if done.returncode else ""
    return result


def compile_elsewhere(jobs: Iterable[Job]) -> dict[str, str]:
    """Do the same in a process whose objects have other addresses, in any order.

    Where a process begins to allocate is left to chance by the system, but only by whole pages, so
    what Cython keeps in sets may come in the same order in many of them.
    """
    chance = random.SystemRandom()
    sizes = range(0, 480, 16)
    ballast = [bytes(size) for size in sizes for _ in range(chance.randrange(300))]
    result = compile_forked(jobs)
    del ballast
    return result


def compile_forked(jobs: Iterable[Job]) -> dict[str, str]:
    """Compile each job in a child of a process that is ready to, one child for each CPU."""
    for name in COMPILER_MODULES:
        importlib.import_module(name)
    return _in_children(jobs, _be_the_command)


def _in_children(jobs: Iterable[Job], run: Callable[[Job], None]) -> dict[str, str]:
    """Run a job in each of many children, which do not return from `run`."""
    children: dict[int, Job] = {}
    result: dict[str, str] = {}
    for each in jobs:
        if len(children) == (os.cpu_count() or 1):
            _reap(children, result)
        if (child := os.fork()) == 0:
            run(each)
        children[child] = each
    while children:
        _reap(children, result)
    return result


def _reap(children: dict[int, Job], result: dict[str, str]) -> None:
    child, status = os.wait()
    each = children.pop(child)
    log = Path(each.output).with_name("log").read_text(errors="replace")
    result[each.source] = log or "failed" if status else ""


def _be_the_command(each: Job) -> None:
    """Do what `python -m cython` does once it has imported the compiler; does not return."""
    status = 70
    try:
        log = os.open(Path(each.output).with_name("log"), os.O_CREAT | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["cython", *each.arguments()]
        importlib.import_module("Cython.Compiler.Main").main(command_line=1)
        status = 0
    except SystemExit as exit:
        status = int(exit.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def compile_by_cyhot(jobs: Iterable[Job]) -> dict[str, str]:
    """Let cyhot compile all jobs in this process."""
    return {each.source: _transpile(each) for each in jobs}


def compile_by_worker(jobs: Iterable[Job]) -> dict[str, str]:
    """Compile each job in a fork of a process that is as the background compiler is."""
    from cyhot.worker import warm

    warm.up()
    return _in_children(jobs, _be_the_worker)


def _be_the_worker(each: Job) -> None:
    from cyhot.building.cimports import leading_cimports
    from cyhot.building.transpile import prepare
    from cyhot.worker import warm

    status, error = 70, "crashed"
    try:
        text = Path(each.source).read_text(encoding="utf-8", errors="replace")
        if names := leading_cimports(text):
            prepare(_request(each), names)
        else:
            warm.touch()
        error = _transpile(each)
        status = 1 if error else 0
    finally:
        Path(each.output).with_name("log").write_text(error)
        os._exit(status)


def _request(each: Job) -> Any:
    from cyhot.building.transpile import TranspileRequest

    return TranspileRequest(
        source=each.source,
        module_name=each.module,
        output=each.output,
        cplus=each.cplus,
        language_level=int(each.language_level),
        directives=dict(each.directives),
        shared=each.shared,
    )


def _transpile(each: Job) -> str:
    from cyhot.building.transpile import NeedsCPlusPlus, transpile

    try:
        transpile(_request(each))
    except (Exception, NeedsCPlusPlus) as error:
        return f"{type(error).__name__}: {error}"
    return ""


SIDES = {
    "command": compile_by_command,
    "forked": compile_forked,
    "elsewhere": compile_elsewhere,
    "cyhot": compile_by_cyhot,
    "worker": compile_by_worker,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
