"""Tools for tests that act at an exact moment of somebody else's build, without clocks."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE = 60.0
"""Seconds after which a test that waits for something gives up."""

CHEAP = {"CFLAGS": "-O0"}
"""For tests that only want something built."""

_COMPILER = """\
#!/bin/sh
case " $* " in
*" -c "*/held.c*)
    dd bs=1 count=1 < "{release}" > "{folder}/byte" 2>&1 &
    echo "$$ $!" > "{began}"
    wait ;;
esac
exec {compiler} "$@"
"""


class HeldCompiler:
    """A C compiler that, when it gets to ``held.c``, says so and waits for a word.

    Args:
        folder: Where its files may go.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._ends = {}
        for name in ("began", "release"):
            os.mkfifo(folder / name)
            # For reading and writing, so that neither opening nor the other side's end blocks.
            self._ends[name] = os.open(folder / name, os.O_RDWR)
        self._read = b""
        script = folder / "cc"
        script.write_text(_COMPILER.format(
            folder=folder, began=folder / "began", release=folder / "release",
            compiler=shutil.which("gcc") or shutil.which("cc"),
        ))  # fmt: skip
        script.chmod(0o755)
        self.env = {**CHEAP, "CC": str(script)}

    def wait_until_it_runs(self) -> Processes:
        """Wait until a compiler is held; gives its processes."""
        # Two compilers that began at once have written two lines: one read may give both.
        while b"\n" not in self._read:
            ready, _, _ = select.select([self._ends["began"]], [], [], PATIENCE)
            assert ready, "the compiler was never started"
            self._read += os.read(self._ends["began"], 100)
        line, _, self._read = self._read.partition(b"\n")
        return Processes([int(pid) for pid in line.split()])

    def release(self) -> None:
        """Let one held compiler go on."""
        os.write(self._ends["release"], b".")

    def close(self) -> None:
        """Let go of the pipes."""
        for end in self._ends.values():
            os.close(end)


class Processes:
    """Processes of which a test wants to know whether they are gone."""

    def __init__(self, pids: list[int]) -> None:
        self._ends = [os.pidfd_open(pid) for pid in pids]

    def are_gone(self) -> bool:
        """Wait until all of them have ended; whether they did."""
        waiting = list(self._ends)
        while waiting:
            ended, _, _ = select.select(waiting, [], [], PATIENCE)
            if not ended:
                return False
            waiting = [end for end in waiting if end not in ended]
        return True

    def run(self) -> bool:
        """Whether one of them still runs."""
        ended, _, _ = select.select(self._ends, [], [], 0)
        return len(ended) < len(self._ends)

    def close(self) -> None:
        """Let go of them."""
        for end in self._ends:
            os.close(end)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End a process with the test, whatever comes between."""
    try:
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
    finally:
        process.kill()


def python_with_mounts(folder: Path, mount: str) -> str:
    """An interpreter that runs in a mount namespace of its own, after a shell command.

    Full and read-only disks are had that way without a trace on the machine, and for root, too,
    whom no file mode stops.
    """
    words = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    probe = [*words, "mount", "-t", "tmpfs", "none", str(folder)]
    try:
        done = subprocess.run(probe, capture_output=True, text=True)
        problem = done.stderr if done.returncode else ""
    except FileNotFoundError as error:
        problem = str(error)
    if problem:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"{' '.join(probe)}: {problem}")
    path = folder / "python-with-mounts"
    command = f'{mount} && exec {sys.executable} "$@"'
    path.write_text(f"#!/bin/sh\nexec {' '.join(words)} /bin/sh -c '{command}' sh \"$@\"\n")
    path.chmod(0o755)
    return str(path)


# Counts audit events (files opened, renamed and removed, imports, processes started ...) from
# the start of a build on: as many instants at which a signal can arrive, the same in every run
# (so nothing is watched, which happens in a thread).
# Prints how many there are, and at which one the image is published.
INSTANTS = """\
import os, signal, sys
import cyhot
cyhot.install(watch=False)
instant, number = int(sys.argv[1]), int(sys.argv[2])
seen, building, published = 0, False, 0
def count(event, arguments):
    global seen, published
    if building:
        seen += 1
        if seen == instant:
            os.kill(os.getpid(), number)
        if event == "os.rename" and f"{os.sep}images{os.sep}" in str(arguments[1]):
            published = seen
def listen(event):
    global building
    building = building or type(event).__name__ == "BuildStarted"
cyhot.subscribe(listen)
sys.addaudithook(count)
import foo
building = False
print(seen, published)
"""
