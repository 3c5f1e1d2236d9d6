"""Running compilers: side by side, their output kept, none left behind.

Whatever ends the thread that runs commands (Ctrl-C, an error, SIGTERM) ends the commands, with
all that they started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar, cast

from .options import placed_lists

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")
_Handler = Callable[[int, FrameType | None], object]

# Ctrl-C last: its handler raises, and must not do so while another one's is being put back.
_ENDING = tuple(
    int(getattr(signal, name)) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)
)

_LOOK_UP = 0.1
"""Seconds after which a thread that waits for others looks whether there was a signal."""


@dataclass(frozen=True)
class Command:
    """A command line and where it runs.

    Attributes:
        args: The command line.
        folder: Where it runs.
        own_temporary: Whether its temporary files go there as well. What a command leaves running
            (sccache its server) outlives the folder, and has to have another.
        without: Environment variables that it is not to have.
    """

    args: tuple[str, ...]
    folder: str
    own_temporary: bool = True
    without: tuple[str, ...] = ()

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


def environment(command: Command) -> dict[str, str]:
    """The environment for a command: messages in English, temporary files in our folder.

    Folders are relative to the working folder, which is not theirs.
    """
    own = {"LC_ALL": "C", **({"TMPDIR": command.folder} if command.own_temporary else {})}
    whole = {**os.environ, **placed_lists(os.environ), **own}
    return {name: value for name, value in whole.items() if name not in command.without}


class Stopped(KeyboardInterrupt):
    """Ends a thread of `in_threads` because the thread that called it was interrupted."""


class _Endable(Protocol):
    """What a crew's end ends."""

    def kill(self) -> None:
        """Have it end, without waiting for that."""


class _Crew:
    """The commands that end together: those of one thread, or of all of one `in_threads`."""

    def __init__(self) -> None:
        self.running: set[_Endable] = set()
        self.stopped = False

    def stop(self) -> None:
        """End all that runs, and whatever would still be started."""
        self.stopped = True
        for process in tuple(self.running):
            process.kill()

    def check(self) -> None:
        if self.stopped:
            raise Stopped


class _Thread(threading.local):
    crew: _Crew | None = None


_this_thread = _Thread()


def run_all(
    commands: Sequence[Command], jobs: int, meanwhile: Callable[[], None] = lambda: None
) -> list[Finished]:
    """Run commands, up to `jobs` at once.

    Args:
        commands: The commands.
        jobs: How many may run at once.
        meanwhile: Called when the first of them run, before they are waited for.

    Raises:
        OSError: If a command cannot be started.
    """
    crew = _this_thread.crew
    if crew is not None:
        return _run_all(crew, commands, jobs, meanwhile)
    crew = _Crew()
    with _ended_with_us(crew):
        return _run_all(crew, commands, jobs, meanwhile)


def _run_all(
    crew: _Crew, commands: Sequence[Command], jobs: int, meanwhile: Callable[[], None]
) -> list[Finished]:
    waiting = list(enumerate(commands))
    running: dict[int, _Running] = {}
    finished: dict[int, Finished] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                index, command = waiting.pop(0)
                running[index] = _Running(command)
                running[index].start(crew)
            if not finished:
                meanwhile()
            first = next(iter(running))
            finished[first] = running[first].wait()
            del running[first]
            crew.check()  # what was killed has a status as well, which says nothing
    finally:
        for process in running.values():
            process.end()
    return [finished[index] for index in sorted(finished)]


def run(args: Sequence[str], folder: str, without: tuple[str, ...] = ()) -> Finished:
    """Run one command.

    Args:
        args: The command line.
        folder: Where it runs.
        without: Environment variables that it is not to have.
    """
    return run_all([Command(tuple(args), folder, without=without)], 1)[0]


def in_threads(function: Callable[[T], R], items: Sequence[T], jobs: int) -> list[R]:
    """Call a function with each item, up to `jobs` at once.

    Whatever it raises for one item cancels those that were not begun yet. What interrupts the
    caller also ends the commands that still run, so that nobody waits for them.

    Returns:
        The results, in the order of the items.
    """
    from concurrent.futures import ThreadPoolExecutor

    crew = _Crew()

    def call(item: T) -> R:
        _this_thread.crew = crew
        crew.check()
        return function(item)

    with (
        waiting(crew.stop),
        ThreadPoolExecutor(jobs, "cyhot-build") as pool,
        _ended_with_us(crew),
    ):
        futures: list[Future[R]] = []
        try:
            # In here as well: the first item's thread runs while the others are handed in, and a
            # signal that came then would wait for it.
            futures.extend(pool.submit(call, item) for item in items)
            return [_result(future) for future in futures]
        except BaseException as error:
            for future in futures:
                future.cancel()
            if not isinstance(error, Exception):
                crew.stop()
            raise


def _result(future: Future[R]) -> R:
    """Wait for a result, and notice signals meanwhile.

    A thread that starts a command changes its signal mask; a signal that is pending at that moment
    may be delivered to it instead of the main thread, which would sleep on: Ctrl-C would do
    nothing until a compiler is done.
    """
    from concurrent.futures import wait

    while not future.done():
        wait([future], _LOOK_UP)
    return future.result()


class _Waiting:
    """Something else than a command that a thread waits for."""

    def __init__(self, kill: Callable[[], None]) -> None:
        self.kill = kill


@contextmanager
def waiting(end: Callable[[], None]) -> Iterator[None]:
    """Wait for something in a thread of `in_threads`, which may be ended from outside.

    Args:
        end: Ends the waiting; called in another thread, or by a signal handler.

    Raises:
        Stopped: If that happened.
    """
    crew = _this_thread.crew
    if crew is None:
        yield
        return
    one = _Waiting(end)
    crew.running.add(one)
    try:
        crew.check()
        yield
    finally:
        crew.running.discard(one)
        crew.check()


@contextmanager
def endable() -> Iterator[Callable[[], None]]:
    """Have all that this thread builds be ended from outside.

    Gives the function that ends it, to be called in another thread: what is waited for raises
    `Stopped` then.
    """
    before, crew = _this_thread.crew, _Crew()
    _this_thread.crew = crew
    try:
        yield crew.stop
    finally:
        _this_thread.crew = before


_taken: list[int] = []
"""Signals that `_ended_with_us` handles at the moment; only the main thread can set handlers."""


def _give_back() -> None:
    while _taken:
        signal.signal(_taken.pop(), signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    # A child of another thread would keep our handlers for ever: it has not the thread that runs
    # commands and gives them back.
    os.register_at_fork(after_in_child=_give_back)


@contextmanager
def _ended_with_us(crew: _Crew) -> Iterator[None]:
    """End a crew's commands where a SIGTERM or SIGHUP that nobody handles ends this process.

    They are in process groups of their own, so no signal reaches them by itself.
    """

    def end(number: int, frame: FrameType | None) -> None:
        crew.stop()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    main = threading.current_thread() is threading.main_thread()
    mine = main and sys.platform != "win32" and not _taken
    if mine:
        try:
            for number in _ENDING:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, end)
                    _taken.append(number)
        except ValueError:
            pass  # a subinterpreter: its main thread gets no signals
    try:
        yield
    finally:
        if mine:
            _give_back()


@contextmanager
def _put_off() -> Iterator[None]:
    """Put signals off: between its start and our knowing of it, nobody would end a process."""
    seen: list[tuple[int, FrameType | None]] = []
    handlers: dict[int, _Handler] = {}

    def note(number: int, frame: FrameType | None) -> None:
        seen.append((number, frame))

    if threading.current_thread() is threading.main_thread():
        try:
            for number in _ENDING:
                handler = signal.getsignal(number)
                if callable(handler):
                    signal.signal(number, note)
                    handlers[number] = handler
        except ValueError:
            pass  # a subinterpreter, as above
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in seen:
            handlers[number](number, frame)


def _nameless_file() -> BinaryIO:
    """A file for a command's output, so that no pipe can fill up.

    It is not in the command's folder: on a full disk it would lose the message that says so.
    """
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("output"), "w+b")
    return cast(BinaryIO, tempfile.TemporaryFile())


class _Running:
    """A command that runs."""

    process: subprocess.Popen[bytes]

    def __init__(self, command: Command) -> None:
        self.command = command
        self.owner = os.getpid()
        self.output = _nameless_file()
        self.began = time.perf_counter()

    def start(self, crew: _Crew) -> None:
        with _put_off():
            crew.check()
            self.process = subprocess.Popen(
                self.command.args,
                cwd=self.command.folder,
                env=environment(self.command),
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches us first, and we end all of it.
                process_group=None if sys.platform == "win32" else 0,
            )
            self.crew = crew
            crew.running.add(self)
        if crew.stopped:
            self.kill()  # stopped while it was being started

    def wait(self) -> Finished:
        status = self.process.wait()
        self.crew.running.discard(self)
        self.output.seek(0)
        output = self.output.read().decode("utf-8", "replace")
        self.output.close()
        return Finished(self.command, status, output, time.perf_counter() - self.began)

    def kill(self) -> None:
        """Have it end, with all that it started.

        Signal handlers may call this: it waits for nothing, and so for no lock that the
        interrupted code holds. A forked child inherits them: the command is its parent's.
        """
        if self.process.returncode is None and os.getpid() == self.owner:
            try:
                if sys.platform == "win32":
                    self.process.kill()
                else:
                    os.killpg(self.process.pid, signal.SIGKILL)
            except OSError:
                pass  # it is done

    def end(self) -> None:
        """End it; it may not have begun, or be done."""
        if hasattr(self, "crew"):
            self.kill()
            self.process.wait()
            self.crew.running.discard(self)
        self.output.close()
