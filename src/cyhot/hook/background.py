"""Starting the live session once the process has lived for a while. On the warm path.

A raw thread waits and then imports `cyhot.live.session`. A short script pays for a thread's start
and nothing else; whatever ends the waiting (the process's end, `uninstall`) ends it at once.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock, get_ident, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DELAY = 0.5
"""Seconds that a process has to live for."""
_AFTER_FORK = 0.05
"""Seconds without a fork after which a session that a fork ended starts again."""


class Start:
    """A live session's start: one that is waited for, or that has happened.

    Attributes:
        cancelled: Whether it is not to happen any more.

    Args:
        delay: Seconds that it is waited for.
        main: The main thread.
    """

    __slots__ = ("_delay", "_done", "_main", "_wake", "cancelled")

    def __init__(self, delay: float, main: int) -> None:
        self._delay = delay
        self._main = main
        self._wake, self._done = allocate_lock(), allocate_lock()
        self._wake.acquire()
        self._done.acquire()
        self.cancelled = False
        start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            if not self._wake.acquire(timeout=self._delay) and not self.cancelled:
                self._begin()
        except RuntimeError:
            pass  # the process has begun to end, so no thread can be started any more
        finally:
            self._done.release()

    def _begin(self) -> None:
        from importlib import import_module

        from .mainthread import load_threading

        load_threading(self._main)
        import_module("cyhot.live.session").begin(self)

    def cancel(self) -> None:
        """Have it not happen; if it is happening, wait until it has, for the next to end it.

        An interpreter that ended in the middle would leave a module's import lock held for ever.
        """
        if self.cancelled:
            return
        self.cancelled = True
        self._wake.release()
        if self._done.acquire(timeout=5.0):
            self._done.release()

    @property
    def is_waiting(self) -> bool:
        """Whether it has not happened yet."""
        return self._done.locked()


_start: Start | None = None
_prepared = False
_main = 0
_paused = 0.0
"""Seconds after which what a fork interrupted starts again; 0 where there is nothing."""


def begin() -> None:
    """Start the live session in a while, unless that was done in this process."""
    global _main, _prepared
    if _start is not None:
        return
    if not _prepared:
        _prepared = True
        _main = get_ident()
        import atexit

        atexit.register(end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_pause, after_in_parent=_go_on, after_in_child=_forget)
    _begin_after(DELAY)


def _begin_after(delay: float) -> None:
    global _start
    try:
        _start = Start(delay, _main)
    except RuntimeError:
        pass  # no thread to be had (a limit, a subinterpreter, the end): there is no live session


def end() -> None:
    """End the live session, or its start."""
    global _start
    start, _start = _start, None
    if start is not None:
        start.cancel()
    session: Any = sys.modules.get("cyhot.live.session")
    if session is not None:
        session.end()


def _pause() -> None:
    """Before a fork: who forks with threads is warned from Python 3.12 on, and ours only wait.

    What they do just now is waited for.
    """
    global _paused, _start
    if _start is None:
        return
    _paused = DELAY if _start.is_waiting else _AFTER_FORK
    if _start.is_waiting:
        _start.cancel()
    session: Any = sys.modules.get("cyhot.live.session")
    if session is not None and not session.pause():
        _paused = 0.0
        return
    _start = None


def _go_on() -> None:
    global _paused
    delay, _paused = _paused, 0.0
    if delay and _start is None:
        _begin_after(delay)


def _forget() -> None:
    """In a forked child: it has no thread, and gets one only if it asks for it."""
    global _paused, _start
    _start, _paused = None, 0.0
