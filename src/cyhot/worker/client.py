"""Handing a build to the worker. On the path of an import that waits for a build.

Whatever the worker does, an import is right: what it answers is believed only if the store then
has an image whose record matches the sources, and where it is silent, dead or wrong, this process
builds by itself and says so once.
"""

from __future__ import annotations

import os
import sys
import time

from .. import settings as _settings
from ..building.observe import Observer, path_entries
from .place import is_trusted, socket_path
from .protocol import VERSION, BrokenLine, pack, receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Iterable

    from ..building.request import Request
    from ..building.store import Hit, Want
    from .protocol import Frame

    Ahead = Callable[[], Iterable[Request]]

ANSWER = 5.0
"""Seconds in which a worker that is well has begun with a build."""
SILENCE = 12.0
"""Seconds in which it has said something: it says every two that it is alive."""
_ROUNDS = 3
"""How often a build is asked for whose sources changed while it was built."""
_FAILURES = 3
"""After so many failures this process asks no worker any more."""
_failures = 0
_ahead: dict[str, Line] = {}
"""Builds that were begun ahead of the import that will want them, by key."""


class _Declined(Exception):
    """The worker can't do this build, which is no fault."""


def ensure(request: Request, hit: Hit, ahead: Ahead | None = None) -> str:
    """The path of an image that matches the source now; builds it if there is none.

    Args:
        request: The module that is wanted.
        hit: What its store had.
        ahead: Gives further modules that will probably be wanted next; asked while this one is
            being built.

    Raises:
        CompileError: If it does not compile.
        StoreError: If the image cannot be kept.
    """
    global _failures
    if is_on(request.settings):
        try:
            return _by_worker(request, ahead)
        except _Declined:
            pass
        except BrokenLine as fault:
            _failures += 1
            _say_broken(request, fault)
        hit = request.find()
    return _here(request, hit)


def _here(request: Request, hit: Hit) -> str:
    from ..building.run import ensure as build

    return build(request, hit)


def is_on(settings: _settings.Settings) -> bool:
    """Whether builds are handed to a worker: by default, but on a CI machine, which ends soon."""
    if not settings.flag("worker") or _failures >= _FAILURES:
        return False
    if settings.origin("worker") != "default":
        return True
    return os.environ.get("CI", "").lower() not in ("1", "true")


if hasattr(os, "register_at_fork"):
    # Two processes that read from one line would each get a part of the answer.
    os.register_at_fork(after_in_child=_ahead.clear)


# One build -----------------------------------------------------------------------------------


def _by_worker(request: Request, ahead: Ahead | None) -> str:
    for _ in range(_ROUNDS):
        line = _begun_ahead(request) or _call(request)
        try:
            if ahead is not None:
                begin_ahead(ahead())
                ahead = None
            answer = _answer(line, request)
        except BrokenLine:
            line.kill()
            raise
        finally:
            line.close()
        if answer[0] == "failed" and line.is_ahead:
            continue  # it may have been mended since
        if answer[0] == "failed":
            raise _unpickled(answer[1])
        hit = request.find()
        if request.is_served(hit):
            return hit.image
        if not os.path.exists(answer[1]):
            raise BrokenLine(f"it named an image that is not there ({answer[1]})")
    raise BrokenLine("what it built did not match the sources")


def has_begun_ahead() -> bool:
    """Whether there are builds that `settle` has to be called for."""
    return bool(_ahead)


def _begun_ahead(request: Request) -> Line | None:
    """The line of a build that was begun ahead; one that still waits is asked for anew, first."""
    line = _ahead.pop(request.key, None)
    if line is not None and not line.has_begun():
        line.close()
        return None
    return line


def begin(request: Request) -> bool:
    """Have the worker begin with a build; `ensure` waits for its end.

    Who begins it ends it (`forget`) when a source changes before that.

    Returns:
        Whether it is begun.
    """
    if not is_on(request.settings):
        return False
    forget([request.key])
    try:
        _ahead[request.key] = _call(request)
    except (BrokenLine, _Declined):
        return False  # `ensure` will say so
    return True


def forget(keys: Iterable[str]) -> None:
    """End builds that were begun and are not wanted any more."""
    for key in keys:
        line = _ahead.pop(key, None)
        if line is not None:
            line.close()


def settle(request: Request) -> None:
    """Hear the end of a build that was begun ahead, and is done: it may have warnings to tell."""
    line = _ahead.pop(request.key, None)
    if line is None:
        return
    try:
        line.answer(request)
    except (BrokenLine, _Declined):
        pass  # the image is there, and right, whatever became of its builder
    finally:
        line.close()


def _answer(line: Line, request: Request) -> Frame:
    # Whoever builds in threads has loaded it; Ctrl-C reaches only the thread that began them.
    # (While another thread imports it, none was begun, and it may lack the function.)
    waiting = getattr(sys.modules.get("cyhot.building.commands"), "waiting", None)
    if waiting is None:
        return line.answer(request)
    with waiting(line.hang_up):
        return line.answer(request)


def _call(request: Request, *, is_ahead: bool = False) -> Line:
    """A line to the worker on which the build was asked for."""
    line = _connect()
    if line is None:
        _start(request)
        raise _Declined
    line.is_ahead = is_ahead
    try:
        line.send(("build", VERSION, _job(request, is_ahead)))
    except ValueError:
        line.close()
        raise _Declined from None  # a setting that is no plain value: only this process has it
    return line


def _connect() -> Line | None:
    path = socket_path(Observer())
    if not path or not is_trusted(path):
        return None
    from _socket import AF_UNIX, SOCK_STREAM, socket

    connection = socket(AF_UNIX, SOCK_STREAM)
    connection.settimeout(ANSWER)
    try:
        connection.connect(os.fsencode(path))
    except OSError as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise BrokenLine("it takes no calls") from None
        return None
    return Line(connection)


def _job(request: Request, is_ahead: bool) -> tuple[object, ...]:
    """All that a build depends on, for a process that shares nothing else with this one."""
    source = request.source
    try:
        folder = os.getcwd()
    except OSError:
        folder = os.sep
    return (
        (source.path, source.name, source.is_package),
        request.settings.values,
        request.settings.origins,
        request.around.groups,
        request.store.root,
        dict(os.environ),
        [entry for entry in path_entries() if isinstance(entry, str)],
        folder,
        is_ahead,
    )


class Line:
    """A connection to the worker on which one build was asked for."""

    is_ahead = False

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._builder = 0
        self._untold: list[bytes] = []

    def send(self, frame: Frame) -> None:
        """Send one frame.

        Raises:
            BrokenLine: If the other end is gone.
            ValueError: If the frame cannot be marshalled.
        """
        data = pack(frame)
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise BrokenLine(str(error)) from None

    def ask(self, frame: Frame) -> Frame:
        """Send one frame and wait for the answer.

        Raises:
            BrokenLine: If there is none.
        """
        self.send(frame)
        return self._receive()

    def _receive(self) -> Frame:
        return receive(self._buffer, self._connection.recv)

    def answer(self, request: Request) -> Frame:
        """Wait for the end of a build; tell meanwhile what it has to tell.

        Raises:
            BrokenLine: If there is no end.
            _Declined: If the worker can't do it.
        """
        try:
            return self._until_answer(request)
        except Exception:
            raise
        except BaseException:
            # Ctrl-C is an end as well: whoever shows what runs has to know.
            _tell_interrupted(request)
            raise

    def _until_answer(self, request: Request) -> Frame:
        self._connection.settimeout(ANSWER)
        while True:
            frame = self._receive()
            match frame:
                case ("started", int(pid)):
                    self._builder = pid
                    self._connection.settimeout(SILENCE)
                case ("alive" | "waiting",):
                    self._connection.settimeout(SILENCE)
                case ("event", bool(loud), bytes(event)):
                    self._untold.append(event)
                    if loud or "cyhot.events" in sys.modules:
                        _tell(request, self._untold)
                case ("built", str()) | ("failed", bytes()):
                    return frame
                case ("declined", str()):
                    raise _Declined
                case _:
                    raise BrokenLine(f"it answered {str(frame)[:60]}")

    def kill(self) -> None:
        """End the process that does the build, and a worker that takes no builds.

        It may be stopped, and would hold the build's lock for ever.
        """
        from signal import SIGKILL

        for pid in (self._builder, 0 if self._builder else self._listener()):
            if pid > 1:
                try:
                    os.kill(pid, SIGKILL)
                except OSError:
                    pass

    def _listener(self) -> int:
        """The process that listens on the socket, 0 where the system does not tell."""
        import _socket

        option = getattr(_socket, "SO_PEERCRED", None)
        if option is None:
            return 0
        try:
            told = self._connection.getsockopt(_socket.SOL_SOCKET, option, 12)
        except OSError:
            return 0
        return int.from_bytes(told[:4], sys.byteorder)

    def has_begun(self) -> bool:
        """Whether somebody works at the build, as far as is known without waiting."""
        self._connection.settimeout(0)
        try:
            self._buffer += self._connection.recv(65536)
        except OSError:
            pass  # there is nothing to be heard
        return b"started" in self._buffer

    def hang_up(self) -> None:
        """End a wait that another thread is in."""
        import _socket

        try:
            self._connection.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended

    def close(self) -> None:
        """Hang up; a build that is not done ends."""
        self._connection.close()


def begin_ahead(requests: Iterable[Request]) -> None:
    """Ask for builds that nobody waits for yet; whatever goes wrong, they are asked for again."""
    for request in requests:
        jobs = request.settings["jobs"]
        if isinstance(jobs, int) and len(_ahead) >= jobs - 1:
            return  # one is what is waited for
        if request.key in _ahead or not is_on(request.settings):
            continue
        try:
            _ahead[request.key] = _call(request, is_ahead=True)
        except (BrokenLine, _Declined):
            return


def _tell(request: Request, untold: list[bytes]) -> None:
    """Pass events on, with those before that nobody would have heard."""
    from .. import console, events

    console.voice(int(str(request.settings["verbose"])))
    while untold:
        events.deliver(_unpickled(untold.pop(0)))


def _tell_interrupted(request: Request) -> None:
    if "cyhot.events" in sys.modules:
        from .. import events

        events.deliver(events.BuildFailed(request.source.name, request.source.path, ()))


def _unpickled(data: bytes) -> _Any:
    import pickle

    try:
        return pickle.loads(data)
    except Exception as error:
        raise BrokenLine(f"what it sent cannot be read: {error}") from None


if TYPE_CHECKING:
    from typing import Any as _Any


def _say_broken(request: Request, fault: BrokenLine) -> None:
    from .. import console
    from ..events import Noticed, emit

    console.voice(int(str(request.settings["verbose"])))
    emit(Noticed(
        f"the background compiler failed ({fault}); {request.source.name} is compiled in this "
        "process. `cyhot worker status` shows it, worker=False does without it."
    ))  # fmt: skip


def suggest(want: Want) -> None:
    """Have the worker prepare something when it has time; nothing happens if there is no worker."""
    try:
        line = _connect()
    except BrokenLine:
        return
    if line is not None:
        try:
            line.send(("prepare", VERSION, want))
        except BrokenLine:
            pass  # it is about to end
        finally:
            line.close()


# Starting one --------------------------------------------------------------------------------

_STARTING = 20.0
"""Seconds that a worker has for getting ready, before another one is started."""


def _start(request: Request) -> None:
    """Start a worker, and don't wait for it."""
    path = socket_path(Observer())
    if not path:
        return
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if is_trusted(path) and _is_first(f"{path}.starting"):
            from .launch import launch

            launch(path, request.source.path)
    except OSError:
        pass  # no folder, no process to be had: then without


def _is_first(marker: str) -> bool:
    """Whether nobody else is starting a worker just now."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return True
    except FileExistsError:
        pass
    try:
        if time.time() - os.stat(marker).st_mtime < _STARTING:
            return False
        os.utime(marker)
    except OSError:
        return False  # it was removed just now: a worker is there
    return True


# Talking to it -------------------------------------------------------------------------------


def ask(word: str) -> Frame | None:
    """Ask the worker of this process's Python and Cython ``"status"``, or to ``"stop"``.

    Returns:
        Its answer; None if there is no worker.

    Raises:
        BrokenLine: If it does not answer.
    """
    for attempt in range(2):
        line = _connect()
        if line is None:
            return None
        try:
            return line.ask((word,))
        except BrokenLine:
            if attempt:
                raise  # the first time, it may have been about to end
        finally:
            line.close()
    return None
