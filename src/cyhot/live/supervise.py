"""Running a program again and again: when what it is made of is saved, or it needs a restart.

One thread decides; the others (signals, the program's pipe and its end, watchdog's) leave word in
a queue and wake it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator
from queue import Empty, SimpleQueue
from typing import Literal

from .. import console
from .child import Child, Ended, Program, Read, Refused, Report
from .parts import Parts
from .reporting import BUILT, PYTHON
from .terminal import ENDING, Modes, Signalled, signals
from .watch import Watcher

Restart = Literal["py", "never", "all"]

GRACE = 5.0
"""Seconds that a program has to end when it is asked to."""
_RESTARTS_ON: dict[Restart, frozenset[str]] = {
    "never": frozenset(),
    "py": frozenset({PYTHON}),
    "all": frozenset({PYTHON, BUILT}),
}


class Supervisor:
    """Runs a program.

    Args:
        program: What to run.
        restart: Which saves restart it: of no file, of ``.py`` files, of all files.
    """

    def __init__(self, program: Program, restart: Restart) -> None:
        self._program = program
        self._restart = restart
        self._inbox: SimpleQueue[Report | Signalled] = SimpleQueue()
        self._watcher = Watcher()
        self._parts = Parts()
        self._modes = Modes()
        self._is_ending = False

    def run(self) -> int:
        """Run it until it ends well, or for good.

        Returns:
            The status of its last run, or a signal's negative number.
        """
        with signals(self._post) as blocked:
            while not (number := self._asked_to_end()):
                status = self._run_once(blocked)
                if status is None:
                    continue
                if status == 0 or self._is_ending or self._restart == "never":
                    return status
                if not self._is_mended(status):
                    return status
            return -number  # between two runs

    def _post(self, message: Report | Signalled) -> None:
        self._inbox.put(message)
        self._watcher.wake()

    def _messages(self) -> Iterator[Report | Signalled]:
        while True:
            try:
                yield self._inbox.get_nowait()
            except Empty:
                return

    def _asked_to_end(self) -> int:
        """The signal that came while no program ran and asks for an end, 0 if none did."""
        for message in self._messages():
            if isinstance(message, Signalled) and message.number in ENDING:
                return message.number
        return 0

    def _watch(self) -> None:
        if self._restart != "never":
            self._watcher.watch((), self._parts.files)

    def _run_once(self, blocked: Collection[int]) -> int | None:
        """Run it to its end; None if that was a restart's."""
        self._parts.begin(_known_before(self._program))
        self._watch()
        run = _Run(Child(self._program, blocked, self._post))
        try:
            status = self._until_it_ends(run)
        except BaseException:
            run.child.end()
            raise
        if status < 0:
            self._modes.restore()
        return None if run.is_restart and not self._is_ending else status

    def _until_it_ends(self, run: _Run) -> int:
        while run.status is None:
            batch = self._watcher.next(run.patience())
            why = self._news(batch)
            for message in self._messages():
                why = self._take(message, run) or why
            if run.status is None and why:
                run.end(why)
            run.kill_if_overdue()
        return run.status

    def _take(self, message: Report | Signalled, run: _Run) -> str:
        """Take what came; gives why the program has to be restarted, if it has."""
        match message:
            case Signalled(number, is_ours):
                self._is_ending = self._is_ending or number in ENDING
                if is_ours:
                    run.child.send(number)
            case Ended(status):
                run.status = status
            case Refused(names) if self._restart != "never":
                return f"{', '.join(names)} cannot be swapped in"
            case Read(files):
                self._parts.add(files)
                self._watch()
                return self._news(files)
        return ""

    def _news(self, batch: Collection[str]) -> str:
        """Why a batch of saves restarts the program, if it does."""
        changed = self._parts.changed(batch) if batch else {}
        kinds = _RESTARTS_ON[self._restart]
        return _changed([path for path, kind in changed.items() if kind in kinds])

    def _is_mended(self, status: int) -> bool:
        """Wait for a save after a program failed; False if it is not to be started again."""
        self._parts.widen()
        self._watch()
        changed: Collection[str] = self._parts.changed()
        if not changed:
            console.notice(f"{self._program} {_ended(status)}; it starts again after the next save")
        while not changed:
            batch = self._watcher.next()
            changed = (*self._parts.changed(batch), *self._parts.unknown(batch))
            if self._asked_to_end():
                return False
        console.notice(f"restarting: {_changed(changed)}")
        return True


class _Run:
    """A run of the program, and its end."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.status: int | None = None
        self._ends_by = 0.0

    @property
    def is_restart(self) -> bool:
        """Whether it was asked to end, to be started again."""
        return self._ends_by > 0

    def patience(self) -> float | None:
        """How many seconds to wait for news; None for any time."""
        return max(0.0, self._ends_by - time.monotonic()) if self.is_restart else None

    def end(self, why: str) -> None:
        """Ask the program to end, once."""
        if not self.is_restart:
            console.notice(f"restarting: {why}")
            self._ends_by = time.monotonic() + GRACE
            self.child.end()

    def kill_if_overdue(self) -> None:
        """End a program that does not do so when it is asked to."""
        if self.is_restart and self.status is None and time.monotonic() >= self._ends_by:
            self._ends_by = time.monotonic() + GRACE
            self.child.kill()


def _known_before(program: Program) -> list[str]:
    """The files that a program will read first, those that are not there included."""
    if program.is_module:
        path = os.path.abspath(program.target.replace(".", os.sep))
        return [f"{path}.py", os.path.join(path, "__main__.py")]
    path = os.path.abspath(program.target)
    return [os.path.join(path, "__main__.py") if os.path.isdir(path) else path]


def _changed(paths: Collection[str]) -> str:
    names = sorted({os.path.basename(path) for path in paths})
    return f"{', '.join(names)} changed" if names else ""


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
