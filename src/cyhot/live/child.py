"""A program that runs in a process of its own, and reports."""

from __future__ import annotations

import marshal
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from .program import BOOT

_LAST_WORDS = 1.0
"""Seconds in which the pipe of a program that ended must end, unless somebody else has it."""


@dataclass(frozen=True)
class Program:
    """What is to be run.

    Attributes:
        target: A script, or a module's name.
        is_module: Which of them.
        args: Its arguments.
        settings: What `cyhot.install` is given in it.
    """

    target: str
    is_module: bool
    args: tuple[str, ...]
    settings: Mapping[str, object]

    def __str__(self) -> str:
        return f"-m {self.target}" if self.is_module else self.target


@dataclass(frozen=True)
class Read:
    """The program has read files: their kinds, and when it had not yet read them."""

    files: Mapping[str, tuple[str, int]]


@dataclass(frozen=True)
class Refused:
    """The program cannot take new code of some modules without a restart."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """The program has ended, with a status or by a signal (negative)."""

    status: int


Report = Read | Refused | Ended


class Child:
    """A run of a program.

    Args:
        program: What to run.
        blocked: The signals that are blocked here and must not be in it.
        post: Called, in other threads, with what it reports.
    """

    def __init__(
        self, program: Program, blocked: Collection[int], post: Callable[[Report], None]
    ) -> None:
        self._post = post
        reader, writer = os.pipe()
        try:
            self._process = _started(program, blocked, writer)
        finally:
            os.close(writer)
        self._reading = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._reading.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Ask it to end."""
        self._process.terminate()
        if sys.platform != "win32":
            self.send(signal.SIGCONT)  # one that is stopped would not hear of it

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def _read(self, reader: int) -> None:
        with open(reader, "rb") as pipe:
            while True:
                try:
                    kind, value = marshal.load(pipe)
                except (EOFError, ValueError, TypeError):  # it was killed in the middle of a word
                    return
                self._post(Read(value) if kind == "files" else Refused(value))

    def _wait(self) -> None:
        status = self._process.wait()
        self._reading.join(_LAST_WORDS)
        self._post(Ended(status))


def _started(program: Program, blocked: Collection[int], writer: int) -> subprocess.Popen[bytes]:
    # The same switches of the interpreter, as multiprocessing does it.
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    pipe = writer
    if sys.platform == "win32":
        import msvcrt

        pipe = msvcrt.get_osfhandle(writer)
        os.set_handle_inheritable(pipe, True)
    start = (pipe, list(blocked), dict(program.settings), program.is_module)
    command = [sys.executable, *options, "-c", BOOT, marshal.dumps(start).hex()]
    command += [program.target, *program.args]
    if sys.platform == "win32":
        return subprocess.Popen(command, close_fds=False)
    return subprocess.Popen(command, pass_fds=(writer,))
