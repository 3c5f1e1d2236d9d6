"""The program's side of ``cyhot run``: runs it as ``python`` would, and says what it is made of.

Invariant: the program finds what plain ``python`` gives it: ``__main__``, ``sys.argv``,
``sys.path``, tracebacks, signals and exit status. So nothing of the standard library is imported
here that starting Python and `cyhot.install` have not imported (a user's module may have its
name), and the thread that looks at ``sys.modules`` is none of the `threading` module's.
"""

from __future__ import annotations

import marshal
import os
import sys
from _thread import RLock, allocate_lock, start_new_thread
from importlib.machinery import PathFinder, SourceFileLoader
from time import time_ns

from ..hook import install
from ..hook.loader import Loader
from ..hook.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType, TracebackType
    from typing import Any

    from ..events import Event

    Settings = dict[str, object]

BOOT = (
    "import sys; sys.flags.safe_path or sys.path.pop(0); "
    "from cyhot.live.program import main; main()"
)
"""What the program's interpreter is started with, by ``-c``."""
PYTHON, BUILT = "py", "built"
"""Kinds of files: what Python reads, and what images are built from."""
_LOOK_EVERY = 0.5
_PATIENCE = 5.0
_OURS = (__file__, "<string>", "<frozen runpy>", "<frozen importlib")
_SPAWNING = frozenset(
    f"multiprocessing.popen_{way}" for way in ("spawn_posix", "spawn_win32", "forkserver")
)
_EVENTS = "cyhot.events"
_LIBRARY = os.path.dirname(os.__file__)
_CYHOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main() -> None:
    """Run the program that the command line names; see `cyhot.live.child`."""
    _, encoded, *args = sys.argv
    pipe, blocked, settings, is_module = marshal.loads(bytes.fromhex(encoded))
    _unblock(blocked)
    swaps = bool(settings.get("watch", True))
    if not swaps:
        import threading  # noqa: F401  # looking imports it, and the first to do so is "main" to it
    reporter = _Reporter(_opened(pipe), swaps)
    sys.meta_path.insert(0, _Imports(reporter, settings))
    install(**settings)
    reporter.begin()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=reporter.pause, after_in_parent=reporter.begin)
    try:
        _run(args[0], args[1:], is_module)
    except BaseException as error:
        reporter.failed(error)
        _hide_our_frames()
        raise


def _unblock(numbers: list[int]) -> None:
    """Let signals through: cyhot waits for them blocked, and a new process inherits that."""
    if numbers:
        import _signal  # type: ignore[import-not-found]

        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, numbers)


def _opened(pipe: int) -> int:
    """The pipe's end, which the program's own children do not get."""
    if sys.platform == "win32":
        import msvcrt

        os.set_handle_inheritable(pipe, False)
        return msvcrt.open_osfhandle(pipe, os.O_WRONLY)
    os.set_inheritable(pipe, False)
    return pipe


# Running it as Python does --------------------------------------------------------------------


def _run(target: str, args: list[str], is_module: bool) -> None:
    main = vars(sys.modules["__main__"])
    for name in ("sys", "main"):  # what BOOT left
        main.pop(name, None)
    sys.argv = ["-m" if is_module else target, *args]
    if is_module or _is_container(target):
        import runpy

        if not is_module:
            sys.path.insert(0, os.path.join(os.getcwd(), target))
        elif not sys.flags.safe_path:
            sys.path.insert(0, os.getcwd())
        # What `python -m` itself calls.
        runpy._run_module_as_main(target if is_module else "__main__", is_module)  # type: ignore[attr-defined]
        return
    _run_script(target, main)


def _is_container(path: str) -> bool:
    """Whether it is a folder or an archive, with a ``__main__.py``."""
    if path.endswith(".py"):
        return os.path.isdir(path)
    from pkgutil import get_importer

    return get_importer(path) is not None


def _run_script(script: str, main: dict[str, object]) -> None:
    path = os.path.join(os.getcwd(), script)  # as Python spells it
    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(script)))
    loader = SourceFileLoader("__main__", path)
    main |= {"__file__": path, "__cached__": None, "__loader__": loader}
    try:
        text = loader.get_data(path)
    except OSError as error:
        print(
            f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    exec(compile(text, path, "exec", dont_inherit=True), main)


def _hide_our_frames() -> None:
    """Have the exception that ends the program shown as if Python had run it."""
    shown_by = sys.excepthook

    def show(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        while traceback and traceback.tb_frame.f_code.co_filename.startswith(_OURS):
            traceback = traceback.tb_next
        shown_by(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = show


# Saying what it is made of --------------------------------------------------------------------


class _Reporter:
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


class _Imports:
    """First on ``sys.meta_path``: notes when each import began.

    A file that was changed after that may not be what the program has.
    """

    def __init__(self, reporter: _Reporter, settings: Settings) -> None:
        self._reporter = reporter
        self._settings = settings

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Note the time; find nothing but cyhot's events."""
        self._reporter.last = self._reporter.began[name] = time_ns()
        if name in _SPAWNING:
            _have_it_installed_in_spawned(self._settings)
        if name != _EVENTS:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin:
            spec.loader = _Heard(name, spec.origin)
            spec.loader.reporter = self._reporter
        return spec


class _Heard(SourceFileLoader):
    """Loads cyhot's events when somebody wants them, and listens from then on."""

    reporter: _Reporter

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


# Processes that it spawns -----------------------------------------------------------------------


class _Installed:
    """Unpickled, it installs the hook."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __reduce__(self) -> tuple[object, tuple[Settings]]:
        return install_in_spawned, (self._settings,)


def install_in_spawned(settings: Settings) -> None:
    """Install the hook in a process that `multiprocessing` has started.

    Args:
        settings: What `cyhot.install` is given.
    """
    install(**settings)


def _have_it_installed_in_spawned(settings: Settings) -> None:
    """Have the hook in spawned processes before they run ``__main__`` again."""
    from multiprocessing import spawn

    prepared = spawn.get_preparation_data
    if getattr(prepared, "__module__", "") == __name__:
        return

    def get_preparation_data(name: str) -> dict[str, object]:
        return {"cyhot": _Installed(settings), **prepared(name)}

    spawn.get_preparation_data = get_preparation_data
