"""What a program under ``cyhot run`` is made of, told through a pipe.

Invariant: the program notices nothing. What of the standard library is imported here was imported
by starting Python and by `cyhot.install` (a user's module may have its name), and the thread is
none of the `threading` module's.
"""

from __future__ import annotations

import marshal
import os
import sys
from _thread import RLock, allocate_lock, start_new_thread
from importlib.machinery import PathFinder, SourceFileLoader
from time import time_ns

from ..hook.loader import Loader
from ..hook.session import Session
from . import spawned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from ..events import Event

    Settings = dict[str, object]

PYTHON, BUILT = "py", "built"
"""Kinds of files: what Python reads, and what images are built from."""
_LOOK_EVERY = 0.5
_PATIENCE = 5.0
_EVENTS = "cyhot.events"
_LIBRARY = os.path.dirname(os.__file__)
_CYHOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Reporter:
    """Tells cyhot, through a pipe, which files the program has been made of so far.

    Args:
        pipe: The end to write to.
        swaps: Whether what images are built from is somebody else's to watch.
    """

    def __init__(self, pipe: int, swaps: bool) -> None:
        self.last = time_ns()
        self.began = {"__main__": self.last}
        self._pipe = pipe
        self._swaps = swaps
        self._pid = os.getpid()
        self._start = self.last
        self._seen = 0
        self._told: set[str] = set()
        self._looking = RLock()  # protects what was seen and told, and the pipe

    def begin(self) -> None:
        """Tell from now on what was imported."""
        if os.getpid() != self._pid:
            return
        self._pause, self._paused = allocate_lock(), allocate_lock()
        self._pause.acquire()
        self._paused.acquire()
        try:
            start_new_thread(self._look_again_and_again, ())
        except RuntimeError:
            self._paused.release()  # the program ends; or there is a limit, and we do without

    def pause(self) -> None:
        """Tell no more, before a fork: Python warns of forks with threads."""
        if os.getpid() == self._pid and self._pause.locked():
            self._pause.release()
            self._paused.acquire(timeout=_PATIENCE)

    def _look_again_and_again(self) -> None:
        while not self._pause.acquire(timeout=_LOOK_EVERY):
            with self._looking:
                self._look()
        self._paused.release()

    def hear(self, event: Event) -> None:
        """Tell of what does not compile, and of what cannot be swapped in."""
        from ..events import BuildFailed, BuildStarted, SwapFailed

        if os.getpid() != self._pid:
            return
        match event:
            case SwapFailed(restart=names) if names:
                with self._looking:
                    self._send(("restart", tuple(names)))
            case BuildStarted(path=path):
                self._tell_built([path])
            case BuildFailed(path=path, diagnostics=found):
                self._tell_built([path, *(one.path for one in found)])

    def failed(self, error: BaseException) -> None:
        """Tell of all that an exception may have come from, as the program ends with it."""
        if os.getpid() != self._pid or (isinstance(error, SystemExit) and not error.code):
            return
        with self._looking:
            self._seen = 0
            self._look()
            # What was built from them is as new as they are: it has been swapped in.
            found = {path: (BUILT, time_ns()) for path in _all_inputs()} if self._swaps else {}
            for one in _chain(error):
                for path, module in _places(one):
                    found[path] = (PYTHON, self.began.get(module, self.last))
                for path in _missing(one):
                    found[path] = (PYTHON, 0)
            self._tell(found)

    def _look(self) -> None:
        """Tell of what was imported since."""
        if len(sys.modules) == self._seen:
            return
        self._seen = len(sys.modules)
        found = {}
        for name, path, loader in _users_modules():
            began = self.began.get(name, self._start)
            if not isinstance(loader, Loader):
                found[path] = (PYTHON, began)
            elif not self._swaps:
                found.update(dict.fromkeys(_inputs(loader), (BUILT, began)))
        self._tell({path: what for path, what in found.items() if path not in self._told})

    def _tell_built(self, paths: list[str]) -> None:
        with self._looking:
            self._tell(dict.fromkeys(paths, (BUILT, self.last)))

    def _tell(self, found: dict[str, tuple[str, int]]) -> None:
        found = {os.path.abspath(path): what for path, what in found.items() if _is_users(path)}
        self._told |= found.keys()
        if found:
            self._send(("files", found))

    def _send(self, message: tuple[str, Any]) -> None:
        data = memoryview(marshal.dumps(message))
        try:
            while data:
                data = data[os.write(self._pipe, data) :]
        except OSError:
            pass  # cyhot was killed: the program goes on without it


class Imports:
    """First on ``sys.meta_path``: notes when each import began.

    A file that was changed after that may not be what the program has.
    """

    def __init__(self, reporter: Reporter, settings: Settings) -> None:
        self._reporter = reporter
        self._settings = settings

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Note the time; find nothing but cyhot's events."""
        self._reporter.last = self._reporter.began[name] = time_ns()
        if name in spawned.STARTERS:
            spawned.prepare(self._settings)
        if name != _EVENTS:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin:
            spec.loader = _Heard(name, spec.origin)
            spec.loader.reporter = self._reporter
        return spec


class _Heard(SourceFileLoader):
    """Loads cyhot's events when somebody wants them, and listens from then on."""

    reporter: Reporter

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module)["subscribe"](self.reporter.hear)


def _users_modules() -> Iterator[tuple[str, str, object]]:
    """The modules that Python or cyhot has loaded from the user's files: name, file, loader."""
    for name, module in tuple(sys.modules.items()):
        try:
            # Not by attribute: that is what loads a lazy module.
            names = object.__getattribute__(module, "__dict__")
        except AttributeError:
            continue  # anything can be put into sys.modules
        path = names.get("__file__")
        loader = getattr(names.get("__spec__"), "loader", None)
        is_source = isinstance(loader, Loader) or str(path).endswith((".py", ".pyw"))
        if isinstance(path, str) and is_source and _is_users(path):
            yield name, path, loader


def _all_inputs() -> Iterator[str]:
    """The files that the modules which cyhot has loaded were built from."""
    for _, _, loader in _users_modules():
        if isinstance(loader, Loader):
            yield from _inputs(loader)


def _inputs(loader: Loader) -> tuple[str, ...]:
    """The files that a module was built from."""
    # A session of its own: the program's is not made for two threads.
    session = Session(loader.session.installed, loader.session.origin)
    request = session.request(loader.source)
    records = request.store.records(request.key) if request.store else []
    found = [row[0] for row in records[0].files] if records else []
    return (loader.source.path, *found)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _places(error: BaseException) -> Iterator[tuple[str, str]]:
    """The files that an exception came through, each with its module's name."""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        yield frame.f_code.co_filename, str(frame.f_globals.get("__name__"))
        traceback = traceback.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename, ""


def _missing(error: BaseException) -> Iterator[str]:
    """Where a module that was not found could appear."""
    if not isinstance(error, ImportError) or not error.name:
        return
    if isinstance(error, ModuleNotFoundError):
        parent, _, name = error.name.rpartition(".")
    else:  # from parent import name
        parent, name = error.name, str(error).partition("'")[2].partition("'")[0]
    for folder in getattr(sys.modules.get(parent), "__path__", ()) if parent else sys.path:
        for path in (f"{name}.py", f"{name}.pyx", os.path.join(name, "__init__.py")):
            yield os.path.join(folder, path)


def _is_users(path: str) -> bool:
    """Whether a file is neither installed, nor Python's, nor cyhot's own."""
    if path.startswith(("<", _LIBRARY + os.sep, _CYHOT + os.sep)):
        return False
    return not {"site-packages", "dist-packages"}.intersection(path.split(os.sep))
