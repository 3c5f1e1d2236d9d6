"""One build, in a fork of the worker: in the caller's environment, and only for it."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from ..building import publish, run
from ..building.recipe import Surroundings
from ..building.request import Request, Source
from ..building.steps import Attempt
from ..building.store import Hit, Store
from ..errors import CyhotError, StoreError
from ..events import Event, Noticed, subscribe
from ..settings import Settings
from . import warm
from .protocol import BEAT, pack

if TYPE_CHECKING:
    from .protocol import Frame


def _build(job: tuple[Any, ...], note: run.Listener) -> Frame:
    """Do a build; returns the last frame for the caller."""
    request = _request(job)
    try:
        publish.require(request.store)
    except StoreError as error:
        return "declined", str(error)  # the caller has a store of its own, or the same to say
    try:
        return "built", run.ensure(request, Hit("", None, None), note)
    except CyhotError as error:
        return "failed", pickle.dumps(error)


def _request(job: tuple[Any, ...]) -> Request:
    """Become as the caller is, as far as builds depend on it."""
    source, values, origins, groups, root, environ, search, folder, _ahead = job
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:] = search
    tempfile.tempdir = None
    try:
        os.chdir(folder)
    except OSError:
        pass  # it was removed: the caller is no better off
    # The caller shows what there is to be shown, at its own volume.
    settings = Settings({**values, "verbose": 0}, origins)
    around = Surroundings.of_groups(groups)
    return Request(Source(*source), settings, around, Store(root))


class _Line:
    """The connection to the caller, which several threads write to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()  # keeps frames whole
        self._is_done = False

    def send(self, frame: Frame) -> None:
        """Send a frame; a caller that is gone ends this process."""
        try:
            with self._lock:
                self._connection.sendall(pack(frame))
        except OSError:
            if not self._is_done:
                os.kill(os.getpid(), signal.SIGTERM)

    def finish(self, frame: Frame) -> None:
        """Send the last frame: from now on the caller may hang up."""
        self._is_done = True
        self.send(frame)

    def watch(self) -> None:
        """Give signs of life, and end with the caller: SIGTERM ends the compilers as well."""
        while True:
            readable, _, _ = select.select([self._connection], [], [], BEAT)
            if self._is_done:
                return
            if readable and self._has_hung_up():
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self.send(("alive",))

    def _has_hung_up(self) -> bool:
        try:
            return not self._connection.recv(1)
        except OSError:
            return True  # with something unread


def do(job: tuple[Any, ...], connection: socket.socket, report: socket.socket) -> None:
    """Do a build, tell the caller, and tell the server what it could prepare for later ones."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    connection.settimeout(None)
    line = _Line(connection)
    line.send(("started", os.getpid()))
    verbose = int(job[1].get("verbose", 1))
    learnt: list[Frame] = []

    def tell(event: Event) -> None:
        loud = verbose > 1 or isinstance(event, Noticed) or bool(getattr(event, "diagnostics", ()))
        line.send(("event", loud, pickle.dumps(event)))

    def note(attempt: Attempt) -> None:
        learnt.append(("wants", tuple(attempt.wants)))
        if kind := warm.kind_of(attempt):
            learnt.append(("kind", kind.names, kind.beside, kind.options))

    subscribe(tell)
    threading.Thread(target=line.watch, daemon=True).start()
    line.finish(_build(job, note))
    for frame in learnt:
        report.sendall(pack(frame))
