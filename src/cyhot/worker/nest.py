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
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # compilers are waited for
        function(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class Nest:
    """The server's end of a process whose Context has cimported what `kind` says."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    @classmethod
    def start(cls, kind: warm.Kind) -> Nest | None:
        """Fork the process; None if there is none to be had."""
        mine, its = socket.socketpair()
        pid = forked(_sit, kind, its, mine)
        its.close()
        if not pid:
            mine.close()
            return None
        mine.settimeout(1.0)
        return cls(mine)

    def hand(self, job: tuple[Any, ...], *lines: socket.socket) -> bool:
        """Have a fork of it do a job; False if it is gone."""
        data = marshal.dumps(job)
        try:
            socket.send_fds(
                self._line, [len(data).to_bytes(4, "big")], [line.fileno() for line in lines]
            )
            self._line.sendall(data)
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Let it end."""
        self._line.close()


def _sit(kind: warm.Kind, line: socket.socket, other: socket.socket) -> None:
    """The process: read, then fork for each job until the server closes the line."""
    other.close()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if not warm.read(kind):
        return
    gc.collect()
    gc.freeze()
    from .job import do

    while True:
        head, descriptors, _flags, _address = socket.recv_fds(line, 4, 2)
        if len(head) < 4:
            return
        size = int.from_bytes(head, "big")
        data = bytearray()
        while len(data) < size:
            data += line.recv(size - len(data)) or sys.exit()
        lines = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        forked(do, marshal.loads(data), *lines)
        for one in lines:
            one.close()
