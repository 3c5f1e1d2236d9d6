"""Forks, and a process to fork from: one that has read the ``.pxd`` files of some modules."""

from __future__ import annotations

import gc
import marshal
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from . import warm


def forked(function: Callable[..., None], *arguments: Any) -> int:
    """Run a function in a fork of this process; returns its pid, 0 if there is none to be had."""
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid:
        return pid
    status = 1
    try:
        _close_others([one.fileno() for one in arguments if isinstance(one, socket.socket)])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # compilers are waited for
        function(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _close_others(kept: list[int]) -> None:
    """Close the lines of others: who waits for their end would wait for ours."""
    first = 3
    for number in sorted(kept):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, _MOST_FILES)


_MOST_FILES = 1024


def _forked_with_line(function: Callable[..., None], argument: Any) -> socket.socket | None:
    """Fork a process that hears of jobs; gives our end of the line, None if there is none.

    Args:
        function: Takes the argument, its end of the line, and our end, which it closes.
        argument: What it is about.
    """
    mine, its = socket.socketpair()
    pid = forked(function, argument, its, mine)
    its.close()
    if not pid:
        mine.close()
        return None
    mine.settimeout(1.0)
    return mine


class Spare:
    """A fork that was made beforehand and waits for a job: the caller does not wait for a fork."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    @classmethod
    def start(cls, touch: Callable[[], None] = lambda: None) -> Spare | None:
        """Fork one; None if there is none to be had.

        Args:
            touch: Called in the fork while it waits; what it writes to is its own from then on.
        """
        line = _forked_with_line(_await_job, touch)
        return cls(line) if line else None

    def hand(self, job: tuple[Any, ...], *lines: socket.socket) -> bool:
        """Have it do a job, its only one; False if it is gone."""
        try:
            _send_job(self._line, job, *lines)
        except OSError:
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Let it end, if it waits still."""
        self._line.close()


def _await_job(touch: Callable[[], None], line: socket.socket, other: socket.socket) -> None:
    other.close()
    touch()
    if received := _receive_job(line):
        from .job import do

        line.close()
        do(*received)


def _send_job(line: socket.socket, job: tuple[Any, ...], *lines: socket.socket) -> None:
    data = marshal.dumps(job)
    numbers = [one.fileno() for one in lines]
    socket.send_fds(line, [len(data).to_bytes(4, "big")], numbers)
    line.sendall(data)


def _receive_job(line: socket.socket) -> tuple[Any, socket.socket, socket.socket] | None:
    """A job, its caller's line and the server's; None if the other end is gone."""
    head, descriptors, _flags, _address = socket.recv_fds(line, 4, 2)
    if len(head) < 4 or len(descriptors) < 2:
        return None
    size = int.from_bytes(head, "big")
    data = bytearray()
    while len(data) < size:
        more = line.recv(size - len(data))
        if not more:
            return None
        data += more
    caller, server = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    return marshal.loads(data), caller, server


class Nest:
    """The server's end of a process whose Context has cimported what `kind` says."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    @classmethod
    def start(cls, kind: warm.Kind) -> Nest | None:
        """Fork the process; None if there is none to be had."""
        line = _forked_with_line(_sit, kind)
        return cls(line) if line else None

    def hand(self, job: tuple[Any, ...], *lines: socket.socket) -> bool:
        """Have a fork of it do a job; False if it is gone."""
        try:
            _send_job(self._line, job, *lines)
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Let it end."""
        self._line.close()


def _sit(kind: warm.Kind, line: socket.socket, other: socket.socket) -> None:
    """The process: read, then hand each job to a fork, until the server closes the line."""
    other.close()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if not warm.read(kind):
        return
    gc.collect()
    gc.freeze()
    spare = Spare.start()
    while received := _receive_job(line):
        job, *lines = received
        if spare is None or not spare.hand(job, *lines):
            from .job import do

            forked(do, job, *lines)
        for one in lines:
            one.close()
        spare = Spare.start()
