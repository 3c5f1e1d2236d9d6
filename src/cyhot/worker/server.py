"""The worker: a process that has Cython imported and warm, and forks for every build.

One thread, one loop. It reads who wants what and forks; the build itself, and all that could go
wrong with it, happens in the fork (see `job`). So nothing leaks from one build to the next.

Modules that cimport the same heavy ``.pxd`` files are built by forks of a process that has read
them already (a `Nest`).
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..building.processors import processors
from . import memory, warm
from .nest import Nest, Spare, forked
from .protocol import BEAT, VERSION, BrokenLine, pack, unpack

if TYPE_CHECKING:
    from .protocol import Frame

IDLE = 900.0
"""Seconds without a build after which the worker ends."""
_LOOK = 30.0
"""Seconds between looks for a reason to end."""
_HELLO = 10.0
"""Seconds that a caller has for saying what it wants."""
_MOST_NESTS = 2
_NICE = 10


@dataclass
class _Call:
    """A connection that has not said yet what it wants."""

    connection: socket.socket
    since: float
    buffer: bytearray = field(default_factory=bytearray)


@dataclass
class _Wish:
    """A build that waits for a processor."""

    connection: socket.socket
    job: tuple[Any, ...]


class Server:
    """The worker's loop.

    Args:
        path: The socket to listen on.
        idle: Seconds without a build after which to end.
    """

    def __init__(self, path: str, idle: float = IDLE) -> None:
        self.path = path
        self.idle = idle
        self.began = self.last = self.comforted = time.monotonic()
        self.builds = 0
        self.stopping = False
        self.selector = selectors.DefaultSelector()
        self.calls: dict[int, _Call] = {}
        self.waiting: list[_Wish] = []
        self.running: dict[int, socket.socket] = {}
        self.preparing: socket.socket | None = None
        self.wants: list[tuple[Any, ...]] = []
        self.nests: dict[warm.Kind, Nest] = {}
        self.spare: Spare | None = None
        self.known = warm.Sources()
        self.most = processors()

    def listen(self) -> bool:
        """Take the socket; False if another worker has it."""
        if _answers(self.path):
            return False
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o600)
        self.inode = os.stat(self.path).st_ino
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        return True

    def run(self) -> None:
        """Serve until there is nothing to serve any more."""
        self._keep_spare()
        while not self.stopping or self.running:
            wait = 0.5 if self.calls or self.waiting else min(_LOOK, self.idle)
            for key, _ in self.selector.select(wait):
                key.data(key.fileobj)
            self._drop_silent()
            self._comfort()
            if not self.stopping and self._is_over():
                self.stop()

    def stop(self) -> None:
        """Take no more builds; end when those that run are done."""
        self.stopping = True
        self.selector.unregister(self.listener)
        self.listener.close()
        if _inode(self.path) == self.inode:
            os.unlink(self.path)
        for wish in self.waiting:
            _say(wish.connection, ("declined", "the worker stops"))
        self.waiting.clear()
        for nest in self.nests.values():
            nest.close()
        self.nests.clear()
        if self.spare is not None:
            self.spare.close()
            self.spare = None

    def _is_over(self) -> bool:
        busy = self.running or self.waiting or self.preparing
        idle = not busy and time.monotonic() - self.last > self.idle
        # Another worker took the place, or somebody removed the socket: nobody can call any more.
        lost = _inode(self.path) != self.inode
        return idle or lost or self.known.changed()

    # Calls -----------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if not _is_mine(connection):
            connection.close()
            return
        connection.setblocking(False)
        self.calls[connection.fileno()] = _Call(connection, time.monotonic())
        self.selector.register(connection, selectors.EVENT_READ, self._hear)

    def _hear(self, connection: socket.socket) -> None:
        call = self.calls[connection.fileno()]
        try:
            data = connection.recv(1 << 20)
            call.buffer += data
            frame = unpack(call.buffer)
        except BlockingIOError:
            return
        except (OSError, BrokenLine):
            data, frame = b"", None
        if frame is None:
            if not data:
                self._forget(call)
                connection.close()
            return
        self._forget(call)
        connection.setblocking(True)
        connection.settimeout(_HELLO)
        self._serve(connection, frame)

    def _forget(self, call: _Call) -> None:
        self.selector.unregister(call.connection)
        del self.calls[call.connection.fileno()]

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for call in [c for c in self.calls.values() if now - c.since > _HELLO]:
            self._forget(call)
            call.connection.close()

    def _serve(self, connection: socket.socket, frame: Frame) -> None:
        match frame:
            case ("build", int(version), tuple(job)) if version == VERSION:
                self._wish(_Wish(connection, job))
                return
            case ("prepare", int(version), tuple(want)) if version == VERSION:
                self._note(("wants", (want,)))
                self._prepare_next()
            case ("status",):
                _say(connection, ("status", self.status()))
            case ("stop",):
                _say(connection, ("stopping",))
                self.stop()
            case _:
                _say(connection, ("declined", "another protocol"))
        connection.close()

    def status(self) -> dict[str, Any]:
        """What ``cyhot worker status`` shows."""
        return {
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "cython": self.known.cython,
            "socket": self.path,
            "uptime": time.monotonic() - self.began,
            "idle": time.monotonic() - self.last,
            "builds": self.builds,
            "building": len(self.running),
            "waiting": len(self.waiting),
            "contexts": [", ".join(kind.names) for kind in self.nests],
            "ready": not self.wants and self.preparing is None,
            "memory": memory.of_session(),
        }

    # Builds ----------------------------------------------------------------------------------

    def _wish(self, wish: _Wish) -> None:
        self.last = time.monotonic()
        if self.known.changed():
            _say(wish.connection, ("declined", "Cython or cyhot was changed"))
            wish.connection.close()
            if not self.stopping:
                self.stop()
            return
        if len(self.running) < self.most:
            self._begin(wish)
            return
        _say(wish.connection, ("waiting",))
        is_ahead = wish.job[-1]
        # Those that somebody waits for come before those that somebody will perhaps want.
        place = len(self.waiting)
        if not is_ahead:
            place = next((i for i, w in enumerate(self.waiting) if w.job[-1]), place)
        self.waiting.insert(place, wish)

    def _begin(self, wish: _Wish) -> None:
        """Hand a build to a fork, of a nest that fits or of this process."""
        mine, its = socket.socketpair()
        if not self._hand(wish.job, wish.connection, its):
            _say(wish.connection, ("declined", "no process to be had"))
        wish.connection.close()
        its.close()
        self.builds += 1
        self.running[mine.fileno()] = mine
        self.selector.register(mine, selectors.EVENT_READ, self._report)

    def _comfort(self) -> None:
        """Tell those that wait for a processor that they are not forgotten; drop who hung up."""
        if time.monotonic() - self.comforted > BEAT:
            self.comforted = time.monotonic()
            self.waiting = [w for w in self.waiting if _say(w.connection, ("waiting",))]

    def _hand(self, job: tuple[Any, ...], *lines: socket.socket) -> bool:
        kind = warm.find(self.nests, job)
        if kind is not None:
            if self.nests[kind].hand(job, *lines):
                return True
            del self.nests[kind]
        spare, self.spare = self.spare, None
        if spare is not None and spare.hand(job, *lines):
            return True
        from .job import do

        return bool(forked(do, job, *lines))

    def _keep_spare(self) -> None:
        """Have a fork ready for the next build, while there is nothing better to do."""
        if self.spare is None and not (self.running or self.waiting or self.stopping):
            self.spare = Spare.start(warm.touch)

    def _report(self, line: socket.socket) -> None:
        """What a fork says to us at its end, and its end."""
        buffer = bytearray()
        line.settimeout(_HELLO)
        try:
            while data := line.recv(65536):
                buffer += data
            while frame := unpack(buffer):
                self._note(frame)
        except (OSError, BrokenLine):
            pass  # it was killed: there is nothing to learn from it
        self.selector.unregister(line)
        line.close()
        self.running = {n: s for n, s in self.running.items() if s is not line}
        self.last = time.monotonic()
        while self.waiting and len(self.running) < self.most and not self.stopping:
            self._begin(self.waiting.pop(0))
        self._prepare_next()
        self._keep_spare()

    def _note(self, frame: Frame) -> None:
        match frame:
            case ("wants", tuple(wants)):
                self.wants += [want for want in wants if want not in self.wants]
            case ("kind", tuple(names), str(beside), tuple(options)):
                self._make_nest(warm.Kind(names, beside, options))

    def _make_nest(self, kind: warm.Kind) -> None:
        """Have a process read what modules like this one cimport, for the next of them."""
        if self.stopping:
            return
        if kind in self.nests:
            self.nests.pop(kind).close()  # what it read is not what is there now
        while len(self.nests) >= _MOST_NESTS:
            self.nests.pop(next(iter(self.nests))).close()
        nest = Nest.start(kind)
        if nest is not None:
            self.nests[kind] = nest

    # What makes later builds faster -----------------------------------------------------------

    def _prepare_next(self) -> None:
        """Do what builds could have used, one at a time, while nobody waits for a build."""
        if self.preparing or not self.wants or self.stopping:
            return
        from ..building.prepare import prepare

        mine, its = socket.socketpair()
        want = self.wants[0]

        def work() -> None:
            os.nice(_NICE)
            prepare(want)

        if forked(work):
            self.preparing = mine
            self.selector.register(mine, selectors.EVENT_READ, self._prepared)
        its.close()

    def _prepared(self, line: socket.socket) -> None:
        self.selector.unregister(line)
        line.close()
        self.preparing = None
        del self.wants[0]
        self.last = time.monotonic()
        self._prepare_next()


def _say(connection: socket.socket, frame: Frame) -> bool:
    """Send a frame; False if the other end hung up."""
    try:
        connection.sendall(pack(frame))
    except OSError:
        return False
    return True


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _answers(path: str) -> bool:
    """Whether somebody listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _is_mine(connection: socket.socket) -> bool:
    """Whether the other end is the same user's; its folder says so as well."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    told = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", told)
    return bool(uid == os.geteuid())


def main(arguments: list[str] | None = None, ready: Callable[[], None] = lambda: None) -> None:
    """Run a worker.

    Args:
        arguments: The socket's path, a source like those to come (or ""), and seconds of idling.
        ready: Called when it listens.
    """
    path, like, *rest = sys.argv[1:] if arguments is None else arguments
    _detach()
    warm.up()
    server = Server(path, float(rest[0]) if rest else IDLE)
    if not server.listen():
        return
    try:
        os.unlink(f"{path}.starting")
    except OSError:
        pass
    kind = warm.like(like) if like else None
    gc.collect()
    memory.give_back()
    gc.freeze()  # the collector would touch, and so copy, every page of it in every fork
    if kind is not None:
        server._make_nest(kind)
    ready()
    server.run()


def _detach() -> None:
    """Leave the terminal, the folder and the files of whoever started this."""
    try:
        os.setsid()
    except OSError:
        pass  # it leads its session already
    os.chdir("/")
    os.closerange(3, 256)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are not waited for
