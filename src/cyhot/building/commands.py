"""Running compilers: side by side, their output kept, none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command line and where it runs."""

    args: tuple[str, ...]
    folder: str

    def __str__(self) -> str:
        import shlex

        return shlex.join(self.args)


@dataclass(frozen=True)
class Finished:
    """What a command gave: standard output and error together."""

    command: Command
    status: int
    output: str
    seconds: float


def environment(temporary: str) -> dict[str, str]:
    """The environment for compilers: messages in English, temporary files in our folder."""
    return {**os.environ, "LC_ALL": "C", "TMPDIR": temporary}


def run_all(commands: Sequence[Command], jobs: int) -> list[Finished]:
    """Run commands, up to `jobs` at once.

    Whatever interrupts it (Ctrl-C included) ends the commands that still run, with all that
    they started.

    Raises:
        OSError: If a command cannot be started.
    """
    waiting = list(enumerate(commands))
    running: dict[int, _Running] = {}
    finished: dict[int, Finished] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                index, command = waiting.pop(0)
                running[index] = _Running(command, index)
            first = next(iter(running))
            finished[first] = running[first].wait()
            del running[first]
    finally:
        for process in running.values():
            process.kill()
    return [finished[index] for index in sorted(finished)]


def run(args: Sequence[str], folder: str) -> Finished:
    """Run one command."""
    return run_all([Command(tuple(args), folder)], 1)[0]


class _Running:
    """A started command; its output goes into a file, so that no pipe can fill up."""

    def __init__(self, command: Command, index: int) -> None:
        self.command = command
        self.output = os.path.join(command.folder, f"output-{os.getpid()}-{index}.txt")
        self.began = time.perf_counter()
        with open(self.output, "wb") as file:
            self.process = subprocess.Popen(
                command.args,
                cwd=command.folder,
                env=environment(command.folder),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches us first, and we end all of it.
                process_group=None if sys.platform == "win32" else 0,
            )

    def wait(self) -> Finished:
        try:
            status = self.process.wait()
        except BaseException:
            self.kill()
            raise
        with open(self.output, encoding="utf-8", errors="replace") as file:
            output = file.read()
        os.unlink(self.output)
        return Finished(self.command, status, output, time.perf_counter() - self.began)

    def kill(self) -> None:
        if self.process.poll() is None:
            if sys.platform == "win32":
                self.process.kill()
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
