"""What the benchmarks share: timed processes, medians, paired ratios, a record of the machine.

Every time is taken from outside, around a whole new process, and a bare interpreter's time
(`python -c pass`), measured just before it, is taken off: what is left is what the tool costs.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# A user's interpreter writes .pyc files and has a home, and no user types CI=true: these would
# make ours differ from theirs, or have users with different homes meet in one folder.
UNWANTED_VARIABLES = (
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONPATH", "CI"),
    *("XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "IPYTHONDIR"),
)
TIMEOUT = 900.0


class BenchmarkError(Exception):
    """The numbers would not mean what they say: a missing peer, a wrong answer."""


@dataclass(frozen=True)
class Run:
    """One process, or several that a user starts one after another.

    `cpu` is what they and the compilers that they ran used: on a busy machine it varies less. What
    a background process does for them is not in it.
    """

    seconds: float
    cpu: float
    output: str


@dataclass(frozen=True)
class Sample:
    """One measurement, less what the bare interpreter before it took, which is `bare`."""

    tool: str
    module: str
    flow: str
    round: int
    seconds: float
    cpu: float
    bare: float


@dataclass(frozen=True)
class Cell:
    """What the samples of one tool, module and flow come to."""

    median: float
    low: float
    high: float
    cpu: float
    count: int


def child_environment(
    home: Path, base: Mapping[str, str] | None = None, scripts: Iterable[Path] = ()
) -> dict[str, str]:
    """Returns the environment of a user whose home, and so whose every cache, is `home`.

    Args:
        home: An empty folder, but for what the user's tools put there.
        base: Variables to start from; by default this process's.
        scripts: Folders of programs that come first, as activating an environment has it.
    """
    environ = dict(os.environ if base is None else base)
    for name in list(environ):
        if name in UNWANTED_VARIABLES or name.startswith("CYHOT_"):
            del environ[name]
    environ["HOME"] = environ["USERPROFILE"] = str(home)
    # A user's worker is found there: each home gets one of its own.
    environ["XDG_RUNTIME_DIR"] = str(home / "run")
    environ["PATH"] = os.pathsep.join([*map(str, scripts), environ.get("PATH", "")])
    return environ


def run(
    commands: Sequence[Sequence[str]],
    folder: Path,
    environ: Mapping[str, str],
    one_core: bool = False,
) -> Run:
    """Runs commands one after another, timed together; all that they start on one core, if so said.

    Raises:
        BenchmarkError: one of them failed; the message holds what it printed.
    """
    if one_core and not hasattr(os, "sched_setaffinity"):
        raise BenchmarkError("this system cannot keep a process on one core: see --flows")
    output = ""
    used = _children_cpu()
    start = time.perf_counter()
    for command in commands:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            preexec_fn=_stay_on_one_core if one_core else None,
        )
        if done.returncode:
            raise BenchmarkError(
                f"{shlex.join(command)} in {folder} exited with {done.returncode}:\n"
                f"{done.stdout}{done.stderr}"
            )
        output = done.stdout
    return Run(time.perf_counter() - start, _children_cpu() - used, output)


def _stay_on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_less_bare(
    commands: Sequence[Sequence[str]],
    folder: Path,
    environ: Mapping[str, str],
    python: str = sys.executable,
    one_core: bool = False,
) -> tuple[Run, float]:
    """Runs commands; returns them less what a bare interpreter takes just before, and that."""
    idle = run([[python, "-c", "pass"]], folder, environ, one_core)
    done = run(commands, folder, environ, one_core)
    return Run(done.seconds - idle.seconds, done.cpu - idle.cpu, done.output), idle.seconds


def wait_for_next_second() -> None:
    """Waits until a file written now differs, in whole seconds, from all that was written before.

    Tools that go by mtime miss an edit within the clock tick of their last build. Hashing ones
    don't need this; all get it, outside the timed part, since no person edits that fast.
    """
    now = time.time()
    time.sleep(int(now) + 1.001 - now)


def cells(samples: Iterable[Sample]) -> dict[tuple[str, str, str], Cell]:
    """Returns a Cell for each (module, flow, tool), in the order of first appearance."""
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.module, sample.flow, sample.tool), []).append(sample)
    return {key: _cell(group) for key, group in groups.items()}


def _cell(samples: Sequence[Sample]) -> Cell:
    seconds = [sample.seconds for sample in samples]
    cpu = statistics.median(sample.cpu for sample in samples)
    return Cell(statistics.median(seconds), min(seconds), max(seconds), cpu, len(seconds))


def paired_ratio(
    samples: Sequence[Sample], module: str, flow: str, of: str, to: str
) -> float | None:
    """Returns the median over rounds of one tool's time divided by another's in the same round."""
    ratios = []
    for number in sorted({sample.round for sample in samples}):
        medians = [_round_median(samples, (module, flow, tool), number) for tool in (of, to)]
        if medians[0] is not None and medians[1]:
            ratios.append(medians[0] / medians[1])
    return statistics.median(ratios) if ratios else None


def _round_median(
    samples: Iterable[Sample], key: tuple[str, str, str], number: int
) -> float | None:
    seconds = [
        s.seconds for s in samples if (s.module, s.flow, s.tool) == key and s.round == number
    ]
    return statistics.median(seconds) if seconds else None


def show_seconds(seconds: float) -> str:
    """Returns a time as a person would say it: `2.4 us`, `9.3 ms`, `1.15 s`."""
    if abs(seconds) < 1e-4:
        return f"{seconds * 1e6:.1f} us"
    if abs(seconds) < 0.1:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds * 1e3:.0f} ms" if abs(seconds) < 1 else f"{seconds:.2f} s"


def show_ratio(ratio: float | None) -> str:
    """Returns a ratio with two or three digits, or a dash for none."""
    if ratio is None:
        return "-"
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a markdown table whose source is aligned too."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def fill(path: Path, name: str, text: str) -> None:
    """Puts a text between the lines ``<!-- name -->`` and ``<!-- end of name -->`` of a file.

    Raises:
        BenchmarkError: they are not there.
    """
    whole = path.read_text(encoding="utf-8")
    first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = whole.partition(first)
    _old, ended, after = rest.partition(last)
    if not (found and ended):
        raise BenchmarkError(f"{path} has no lines {first.strip()!r} and {last!r} to fill")
    path.write_text(f"{before}{first}{text.rstrip()}\n{last}{after}", encoding="utf-8")


def machine(distributions: Iterable[str]) -> dict[str, object]:
    """Returns what the numbers depend on: date, versions, compiler, processors, command."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "python": f"{platform.python_version()} ({platform.python_compiler()})",
        "versions": {name: version(name) for name in distributions},
        "compiler": compiler_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def version(distribution: str) -> str | None:
    """Returns an installed distribution's version, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def compiler_version() -> str | None:
    """Returns the first line that the C compiler of CC or sysconfig says of itself."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.partition("\n")[0] or None


def cpu_model(read: Callable[[], str] = lambda: Path("/proc/cpuinfo").read_text()) -> str:
    """Returns the processor's name where Linux tells it, what Python knows elsewhere."""
    try:
        lines = read().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def progress(message: str) -> None:
    """Says how far we are, on stderr: stdout is for the table."""
    print(message, file=sys.stderr, flush=True)
