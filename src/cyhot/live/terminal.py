"""Standing between a terminal and a program: signals, the terminal's modes, the end.

The program is in our process group: what the terminal sends (Ctrl-C, Ctrl-\\, Ctrl-Z, a new size)
reaches both, and the shell's job control sees one job. What somebody else sends to us alone is
handed on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

ENDING = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
)  # fmt: skip
"""Signals that ask for an end."""
_HANDED_ON = ENDING | {
    getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)
}


class Signalled(NamedTuple):
    """A signal that came.

    Attributes:
        number: Which.
        is_ours: Whether it reached nobody but us.
    """

    number: int
    is_ours: bool


@contextmanager
def signals(post: Callable[[Signalled], None]) -> Iterator[frozenset[int]]:
    """Have signals told instead of obeyed, from any thread.

    Args:
        post: Called with each.

    Yields:
        The signals that are blocked now; a process that is started has to unblock them.
    """
    # What our parent had us ignore (nohup) stays so, here and in the program.
    wanted = {number for number in _HANDED_ON if signal.getsignal(number) != signal.SIG_IGN}
    if sys.platform == "win32" or not hasattr(signal, "sigwaitinfo"):
        for number in wanted:
            signal.signal(number, lambda n, _: post(Signalled(n, not _is_typed(n))))
        yield frozenset()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    threading.Thread(target=_tell, args=(wanted, post), daemon=True).start()
    yield frozenset(map(int, wanted - before))


def _tell(wanted: set[int], post: Callable[[Signalled], None]) -> None:
    while True:
        # A handler of Python's would not learn who sent it.
        info = signal.sigwaitinfo(wanted)
        post(Signalled(info.si_signo, info.si_code <= 0))


def _is_typed(number: int) -> bool:
    """Whether a signal is probably the terminal's, which the program has got from there."""
    return number in (signal.SIGINT, getattr(signal, "SIGQUIT", None)) and _is_foreground()


def _is_foreground() -> bool:
    """Whether what is typed on the terminal is ours."""
    if sys.platform == "win32":
        return True
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


class Modes:
    """The terminal's modes as they were at first."""

    def __init__(self) -> None:
        self._modes: list[Any] | None = None
        if sys.platform != "win32" and _is_terminal():
            import termios

            self._modes = termios.tcgetattr(0)

    def restore(self) -> None:
        """Undo what a program that was killed has left (no echo, no lines)."""
        if sys.platform != "win32" and self._modes and _is_foreground():
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._modes)


def _is_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


def end_like(status: int) -> NoReturn:
    """End as another process did.

    Args:
        status: Its exit status, or a signal's negative number.
    """
    if status >= 0 or sys.platform == "win32":
        sys.exit(status)
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program's own is the one to keep
    if -status not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-status, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-status})
    sys.stdout.flush()
    signal.pthread_kill(threading.get_ident(), -status)
    sys.exit(128 - status)
