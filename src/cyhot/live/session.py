"""The live session: what is saved while a program runs is built, and swapped into it.

One thread does it all: waits for a settled batch, builds what it made stale, swaps that in or
keeps it for the moment that the user wants. `cyhot.refresh` and a notebook's cells do the same in
their own thread.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, cast

from .. import console
from ..building.commands import endable
from ..building.observe import file_sig
from ..errors import CyhotError, SettingsError, SwapError, worth_telling
from ..events import SwapFailed, SwapFinished, emit
from ..hook import current_session, loader
from .pending import Pending, Updating
from .report import SwapReport
from .status import Module, Status

if TYPE_CHECKING:
    from types import ModuleType

    from ..hook.background import Start
    from ..hook.loader import Loader
    from ..settings import Settings
    from .watch import Watcher

LOOK_EVERY = 0.5
"""Seconds between two looks at whether something new was imported, or a setting changed."""
_NOT_STARTED = "it has not started"
_PAUSE = 1.0
"""Seconds before another try after something went wrong."""
_PATIENCE = 2.0
"""Seconds that the process's end waits for the thread, which has nothing long to do by then."""
_FORK_PATIENCE = 5.0
"""Seconds that a fork waits for the thread, which may build. A fork of threads is no fault."""

Callback = Callable[[SwapReport], object]


class _Watches(Protocol):
    def __call__(self, *, settle: float) -> Watcher:
        """Make a watcher."""


class LiveSession:
    """Keeps the modules that this process has loaded as new as their sources.

    Args:
        updater: Does the work.
        settings: Gives the settings of the process, as they are now.
        watcher: Makes the watcher; by default that of `cyhot.live.watch`.
    """

    def __init__(
        self,
        updater: Updating,
        settings: Callable[[], Settings],
        watcher: _Watches | None = None,
    ) -> None:
        self._updater = updater
        self._settings = settings
        self._make_watcher = watcher or _watcher
        self._callbacks: list[Callback] = []
        self._pending = Pending(updater)
        self._last: SwapReport | None = None
        self._mode = "auto"
        self._begin_anew(_NOT_STARTED)

    def _begin_anew(self, reason: str) -> None:
        # Who stages and then swaps in, does both before another does either: or what was built
        # first might be swapped in last. Protects `_pending.saves`' changes and `_seen`. A build
        # may hold it for long; what asks for code that is true now has to wait for that anyway.
        self._turn = threading.Lock()
        # The swap lock: planning and commit, that is, the modules that run. Never held in a build.
        self._swap = threading.Lock()
        self._owner: int | None = None
        self._ended = threading.Event()
        self._ended.set()
        self._end_builds: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self._watcher: Watcher | None = None
        self._since: float | None = None
        self._reason = reason
        self._seen: dict[str, object] | None = None
        self._trouble = ""
        self._follow: deque[str] = deque()

    # The thread ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self.is_live:
            return
        self._ended = threading.Event()
        self._reason = "it is just starting"
        self._thread = threading.Thread(
            target=self._run, args=(self._ended,), name="cyhot-live", daemon=True
        )
        self._thread.start()

    def stop(self, reason: str = "it was ended") -> None:
        """End the thread, with the builds that it waits for.

        Args:
            reason: Why, for the status.
        """
        self._ended.set()  # first: a thread that is just being started looks at it as well
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._reason = reason
        watcher, end_builds = self._watcher, self._end_builds
        if watcher is not None:
            watcher.stop()
        if end_builds is not None:
            end_builds()
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    def pause(self) -> bool:
        """End the thread before a fork, but neither a build nor a swap: those are waited for.

        Returns:
            Whether it has ended.
        """
        thread, watcher = self._thread, self._watcher
        if thread is None or not thread.is_alive():
            return True
        if get_ident() in (self._owner, thread.ident):
            return False  # a body that forks: whoever waits for the swap would wait for us
        self._ended.set()
        self._reason = "the program is forking"
        if watcher is not None:
            watcher.stop()
        thread.join(_FORK_PATIENCE)
        if watcher is not None:
            watcher.join(_FORK_PATIENCE)
        return not thread.is_alive()

    def forked(self) -> None:
        """Forget, in a forked child, what only its parent has: the thread and who held locks."""
        # Not stopped: inotify's file descriptor and what it watches are the parent's as well.
        _parents.append((self._watcher, self._thread))
        self._begin_anew("this is a forked process; cyhot.install() starts it here as well")

    @property
    def is_live(self) -> bool:
        """Whether the thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive() and not self._ended.is_set()

    def _run(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                if not self._settings().flag("watch"):
                    self._reason = "watch=False"
                    return
                self._watch(ended)
            except BaseException as error:  # of a build that was ended, too: it is no Exception
                if ended.is_set():
                    return
                text = "".join(traceback.format_exception_only(error)).strip()
                if text != self._trouble:
                    self._trouble = text
                    _report(error)
                ended.wait(_PAUSE)

    def _watch(self, ended: threading.Event) -> None:
        settings = self._settings()
        console.voice(int(str(settings["verbose"])))  # the watcher may have something to say
        settle = float(str(settings["settle"]))
        self._watcher = watcher = self._make_watcher(settle=settle)
        try:
            self._since = time.time()
            known = loader.count()
            watcher.watch((), self._updater.files())
            batch: frozenset[str] | None = None  # what was saved before: look at everything
            while not ended.is_set():
                if batch is None or batch:
                    self._handle(batch, ended)
                _meet_shell()
                if batch or loader.count() != known:
                    known = loader.count()
                    watcher.watch((), self._updater.files())
                self._updater.prepare()
                if settle != float(str(self._settings()["settle"])):
                    return
                batch = self._take_follow() or watcher.next(LOOK_EVERY, self._begin)
        finally:
            if self._watcher is watcher:
                self._since = self._watcher = None
            watcher.stop()

    def _begin(self, batch: frozenset[str]) -> None:
        """Have builds begin while a batch settles."""
        if self._turn.acquire(blocking=False):  # else somebody builds
            try:
                self._updater.begin(batch)
            except Exception:
                pass  # half-written settings, perhaps; what is settled tells of it
            finally:
                self._turn.release()

    def _take_follow(self) -> frozenset[str]:
        """The sources of which an optimized image is to follow."""
        paths = set()
        while self._follow:
            paths.add(self._follow.popleft())
        return frozenset(paths)

    def _handle(self, batch: frozenset[str] | None, ended: threading.Event) -> None:
        mode = self.mode
        with self._in_turn(), endable() as self._end_builds:
            if ended.is_set():
                return
            before = self._pending.names, self._pending.errors
            self._stage(batch)
            self._trouble = ""
            # Before a cell there is a place to show things; now somebody may be typing.
            reports = [] if mode == "cell" else self._settle(commit=mode == "auto")
            waiting, errors = self._pending.names, self._pending.errors
        self._end_builds = None
        self._tell(reports)
        if mode == "manual" and waiting and waiting != before[0]:
            self._say(f"{', '.join(waiting)}: built; cyhot.refresh() swaps it in")
        if mode != "cell" and before[1] and not errors and not waiting and not reports:
            names = ", ".join(one.name for one in before[1])
            self._say(f"{names}: mended; the code that runs is up to date")

    # What the thread and its users share --------------------------------------------------------

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        self._refuse_nesting()
        with self._turn:
            self._owner = get_ident()
            try:
                yield
            finally:
                self._owner = None

    def _refuse_nesting(self) -> None:
        if self._owner == get_ident():
            raise SwapError("code that is being swapped in cannot ask for a swap itself")

    def _stage(self, batch: frozenset[str] | None) -> None:
        seen = self._signatures()  # before the build: what is saved during it is news
        self._pending.stage(batch)
        self._seen = seen

    def _signatures(self) -> dict[str, object]:
        return {path: file_sig(path) for path in self._updater.files()}

    def _settle(self, *, commit: bool) -> list[SwapReport]:
        """Swap in what can be, and report what stands in the way and was not told yet."""
        reports = []
        for save in self._pending.saves:
            if (save.errors and not save.told) or (not save.errors and commit):
                save.told = True
                with self._swap:
                    reports.append(self._pending.commit(save))
        return reports

    def _tell(self, reports: list[SwapReport]) -> None:
        """Tell everybody; no lock is held, so whoever is told may ask for the next swap."""
        for report in reports:
            if report.swapped or report.unswapped:
                self._last = report
            self._follow.extend(one.path for one in report.swapped if one.stage == "first")
            if report.swapped:
                names = tuple(one.name for one in report.swapped)
                emit(SwapFinished(names, report.seconds, str(report)))
            if report.unswapped:
                emit(_failed(report))
            if self._is_heard():
                _show(report)
            if report.swapped:
                self._call_back(report)

    def _call_back(self, report: SwapReport) -> None:
        for callback in tuple(self._callbacks):
            try:
                callback(report)
            except Exception:
                sys.excepthook(*sys.exc_info())

    def _is_heard(self) -> bool:
        return self._settings()["verbose"] != 0

    def _say(self, text: str) -> None:
        if self._is_heard():
            console.notice(text)

    # What users ask for -------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """When new code goes in: ``"auto"``, ``"manual"`` or ``"cell"``."""
        settings = self._settings()
        if settings.origin("swap") == "default" and shell() is not None:
            return "cell"
        return str(settings["swap"])

    def refresh(self) -> SwapReport:
        """Swap in all that is stale, as one transaction; see `cyhot.refresh`."""
        with self._in_turn():
            self._stage(None)
            reports = []
            for save in self._pending.saves:
                save.told = True
                with self._swap:
                    reports.append(self._pending.commit(save))
        self._tell(reports)
        return reports[-1] if reports else SwapReport()

    def rollback(self) -> SwapReport:
        """Go back one swap; see `cyhot.rollback`."""
        self._refuse_nesting()
        with self._swap:
            report = self._updater.rollback()
        self._tell([report])
        return report

    def reload(self, module: ModuleType, loader: Loader, image: str) -> bool:
        """Swap an image in, for `importlib.reload`; see `reload`."""
        self._refuse_nesting()
        with self._swap:
            return self._updater.reload(module, loader, image)

    def before_cell(self) -> None:
        """Swap in what waits for the next cell, and say again what stands in the way."""
        if self.mode != "cell" or not self._settings().flag("watch"):
            return
        with self._in_turn():  # waits for a build in flight
            if self._seen is None:
                self._stage(None)
            else:
                news = self._signatures().items() - self._seen.items()
                if changed := frozenset(path for path, _ in news):
                    self._stage(changed)  # the watcher has not told of it yet
            known = [save for save in self._pending.saves if save.told and save.errors]
            reports = self._settle(commit=True)
        self._tell(reports)
        for save in known:
            for one in save.errors:
                console.tell(_line(SwapReport(unswapped=(one,))), file=sys.stderr)

    def status(self) -> Status:
        """How things stand."""
        watcher = self._watcher if self.is_live else None
        trouble, reason = self._trouble, self._reason
        try:
            self._mode = self.mode
            if reason == _NOT_STARTED and not self._settings().flag("watch"):
                reason = "watch=False"
        except SettingsError as error:  # they are just being edited
            trouble = str(error)
        return Status(
            watching=watcher is not None,
            reason="" if watcher is not None else reason,
            since=self._since if watcher is not None else None,
            folders=tuple(sorted(watcher.folders)) if watcher is not None else (),
            polling=watcher is not None and watcher.polling,
            swap=self._mode,
            modules=tuple(
                Module(one.name, one.path, one.image, one.stage)
                for one in self._updater.running()
            ),
            pending=self._pending.names,
            errors=self._pending.errors,
            trouble=trouble,
            last=self._last,
        )  # fmt: skip

    def on_swap(self, callback: Callback) -> Callable[[], None]:
        """Have a function called after each swap; see `cyhot.on_swap`."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe


_parents: list[object] = []
"""What a forked child has of its parent's; kept, since letting go of it might end it for both."""


def _watcher(*, settle: float) -> Watcher:
    from .watch import Watcher

    return Watcher(settle=settle)


def _failed(report: SwapReport) -> SwapFailed:
    return SwapFailed(
        tuple(one.name for one in report.unswapped),
        tuple(one.name for one in report.restart),
        str(report),
        tuple(found for one in report.unswapped for found in one.diagnostics),
    )


def _show(report: SwapReport) -> None:
    for one in report.unswapped:
        if one.diagnostics:
            console.show_diagnostics(worth_telling(one.diagnostics))
    if str(report):
        console.tell(str(report), file=sys.stderr)


def _line(report: SwapReport) -> str:
    """One line of what was told before in full."""
    text = str(report).partition("\n")[0]
    found = [d for one in report.unswapped for d in worth_telling(one.diagnostics)]
    return f"{text} ({found[0].location}: {found[0].message})" if found else text


def _report(error: BaseException) -> None:
    if isinstance(error, CyhotError):  # half-written settings, a full disk: the next try may do
        console.show_error(error)
    else:
        text = "".join(traceback.format_exception(error))
        console.notice(f"swapping in what is saved went wrong, and is tried again:\n{text}")


def shell() -> object | None:
    """The IPython shell that this process runs, None if there is none."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get() if get is not None else None


def _meet_shell() -> None:
    """Have IPython call us before each cell, if it is there."""
    found = shell()
    if found is not None:
        import_module("cyhot.ipython").follow(found)


# The session of this process --------------------------------------------------------------------

_session: LiveSession | None = None
_prepared = False
# Protects the making of `_session`: the background thread asks for it when the program may, too.
_making = threading.RLock()


def _make_updater() -> Updating:
    update: Any = import_module("cyhot.live.update")
    return cast(Updating, update.Updater(current_session))


make_updater: Callable[[], Updating] = _make_updater
"""Makes the updater of this process's session."""


def live_session() -> LiveSession:
    """This process's session; it may not run."""
    global _session
    with _making:
        if _session is None:
            _session = LiveSession(make_updater(), lambda: current_session().process_settings())
        return _session


def begin(start: Start) -> None:
    """Start the live session, unless that was cancelled meanwhile.

    Args:
        start: What waited for this moment.
    """
    global _prepared
    session = live_session()
    if not _prepared:
        _prepared = True
        # The threads that builds run in are joined when the main thread ends, so that is when
        # builds have to end: by a function that is called before concurrent.futures' own, which
        # is registered by its import. (atexit's are called later.)
        import_module("concurrent.futures.thread")
        vars(threading)["_register_atexit"](_at_exit)
    if not start.cancelled:
        session.start()


def _at_exit() -> None:
    if _session is not None:
        _session.stop("the main thread has ended")


def end() -> None:
    """End the live session, if it runs."""
    if _session is not None:
        _session.stop("cyhot.uninstall(), or watch=False")


def pause() -> bool:
    """End the live session before a fork; gives whether it has ended, or never ran."""
    return _session is None or _session.pause()


def _after_fork() -> None:
    global _making
    _making = threading.RLock()  # its owner may be a thread that only the parent has
    if _session is not None:
        _session.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def refresh() -> SwapReport:
    """Swap in now what was saved, whether or not it was noticed yet.

    Returns:
        What was done; it is all of it, or nothing.

    Raises:
        SwapError: If a module asks for it while it is swapped in itself.
        CyhotError: For wrong settings, or a store that cannot be used.
    """
    return live_session().refresh()


def rollback() -> SwapReport:
    """Go back to the code before the last swap.

    Raises:
        SwapError: If there was none.
    """
    return live_session().rollback()


def reload(module: ModuleType, loader: Loader, image: str) -> bool:
    """Swap an image into a module that is being reloaded.

    Args:
        module: The module.
        loader: Its loader.
        image: The image that matches its source now.

    Returns:
        Whether that can be done: by this interpreter, with what the module was built like.

    Raises:
        SwapError: If the new code cannot take the place of the old.
        Exception: Whatever the new body raises.
    """
    return live_session().reload(module, loader, image)


def status() -> Status:
    """How things stand: what is watched, what runs, what waits, what is wrong."""
    return live_session().status()


def on_swap(callback: Callback) -> Callable[[], None]:
    """Have a function called after each swap, in the thread that swapped.

    Args:
        callback: Takes the `SwapReport`. What it raises is reported and goes no further.

    Returns:
        A function that ends that.
    """
    return live_session().on_swap(callback)
