"""Folders that are watched, through watchdog.

watchdog's threads only put what they see into a queue: a handler that raises would end its
dispatcher, and a slow one would hold up everybody. Whoever calls `Watcher.next` does the rest:
settles what came, starts dead watches again, and follows folders that appear.

Folders are watched, never files: most editors save by renaming another file over the old one.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import NamedTuple

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from ..events import Noticed, emit
from .mounts import remote_kind
from .scope import Scope
from .settle import SETTLE, Settler

POLL_EVERY = 0.5
"""Seconds between two looks at a folder that has to be polled."""
_MEND_EVERY = 1.0
"""Seconds between two looks at whether all watches are alive."""
_FLOOD = 4096
"""So many events at once may be more than the kernel's queue holds: some were lost."""

# Not that a file was opened or read: builds do that all the time.
_WANTED: list[type[FileSystemEvent]] = [
    FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileAttribEvent, FileMovedEvent,
    FileDeletedEvent, DirCreatedEvent, DirMovedEvent, DirDeletedEvent,
]  # fmt: skip


class _Seen(NamedTuple):
    """Something that happened to a path."""

    path: str
    at: float
    gone: bool
    new: bool
    is_folder: bool


class _Enqueue(FileSystemEventHandler):
    """Puts what happens into a queue, and does nothing else."""

    def __init__(self, queue: SimpleQueue[_Seen | None]) -> None:
        self._queue = queue

    def dispatch(self, event: FileSystemEvent) -> None:
        at, folder = time.monotonic(), event.is_directory
        path, moved_to = os.fsdecode(event.src_path), os.fsdecode(event.dest_path or "")
        gone = isinstance(event, (FileDeletedEvent, DirDeletedEvent, FileMovedEvent, DirMovedEvent))
        new = isinstance(event, (FileCreatedEvent, DirCreatedEvent))
        if path:
            self._queue.put(_Seen(path, at, gone, new, folder))
        if moved_to:
            self._queue.put(_Seen(moved_to, at, False, True, folder))


class _Watched(NamedTuple):
    """A watch: with all below the folder or not, and which folder of that name it is."""

    below: bool
    identity: tuple[int, int]


class Watcher:
    """Watches folders and gives settled batches of the paths that changed.

    Not thread-safe, but for `stop` and `wake`: one thread calls `watch` and `next`.

    Args:
        settle: Seconds without a change after which a batch is settled.
        polling: Whether to look again and again instead of asking the system for word.
    """

    def __init__(self, *, settle: float = SETTLE, polling: bool = False) -> None:
        self.polling = polling
        self._settler = Settler(settle)
        self._queue: SimpleQueue[_Seen | None] = SimpleQueue()
        self._handler = _Enqueue(self._queue)
        self._observer: BaseObserver | None = None
        self._wanted: dict[str, bool] = {}
        self._watched: dict[str, _Watched] = {}
        self._scope = Scope((), ())
        self._mended_at = 0.0
        self._events = 0
        self._unheard: set[str] = set()
        self._begun = False
        self._stopped = False

    @property
    def folders(self) -> frozenset[str]:
        """The folders that are watched now."""
        return frozenset(self._watched)

    def watch(self, trees: Iterable[str], files: Iterable[str]) -> None:
        """Say what is to be watched from now on, instead of what was before.

        From the second call on, a folder that was not watched until now is news as a whole:
        nobody knows what happened in it since somebody looked.

        Args:
            trees: Folders, to be watched with all below them.
            files: Files elsewhere; their folders are watched.
        """
        names = [os.path.abspath(file) for file in files]
        # A link is news if it changes, and so is what it leads to.
        known = {_real_folder(name) for name in names} | {os.path.realpath(n) for n in names}
        tops = _outermost(map(os.path.realpath, trees))
        self._scope = Scope(tops, known)
        self._wanted = dict.fromkeys(tops, True)
        for folder in {os.path.dirname(name) for name in known}:
            if not any(_is_below(folder, tree) for tree in tops):
                self._wanted[folder] = False
        self._mend()
        self._begun = True

    def next(
        self, timeout: float | None = None, ahead: Callable[[frozenset[str]], object] | None = None
    ) -> frozenset[str]:
        """Wait for a settled batch.

        Args:
            timeout: Seconds after which to give up; None for never.
            ahead: Called with what the batch will probably be, before that is settled; again if
                more has come.

        Returns:
            The paths that changed, where links of folders lead; a folder stands for all that is in
            it. Nothing if the time is up or `wake` or `stop` was called.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        while True:
            now = time.monotonic()
            if now - self._mended_at >= _MEND_EVERY:
                self._mend()
            if batch := self._settler.batch(now):
                return self._with_lost(batch)
            if ends is not None and now >= ends:
                return frozenset()
            if ahead is not None and (paths := self._settler.early(now)):
                ahead(paths)
                continue
            if not self._receive(self._pause(now, ends, is_foretold=ahead is not None)):
                return frozenset()

    def wake(self) -> None:
        """End a `next` that another thread is in; from any thread, and from a signal's handler."""
        self._queue.put(None)

    def stop(self) -> None:
        """End watching, and a `next` that another thread is in."""
        self._stopped = True
        self._queue.put(None)
        if self._observer is not None:
            self._observer.stop()

    def join(self, timeout: float) -> None:
        """Wait until nothing of a stopped watcher runs any more.

        Args:
            timeout: Seconds after which to give up.
        """
        if self._observer is not None:
            self._observer.join(timeout)

    def _pause(self, now: float, ends: float | None, *, is_foretold: bool) -> float:
        early = self._settler.due_early() if is_foretold else None
        times = (self._settler.due(), early, ends, self._mended_at + _MEND_EVERY)
        return max(0.0, min(at for at in times if at is not None) - now)

    def _receive(self, pause: float) -> bool:
        """Take what comes within a pause, and all that is there then; False for the end."""
        try:
            seen = self._queue.get(timeout=pause)
            while seen is not None:
                self._take(seen)
                seen = self._queue.get_nowait()
        except Empty:
            return True
        return False

    def _take(self, seen: _Seen) -> None:
        self._events += 1
        if not self._scope.matters(seen.path, is_folder=seen.is_folder):
            return
        if seen.gone:
            self._settler.vanished(seen.path, seen.at)
        elif not seen.new and _is_emptied(seen.path):
            self._settler.emptied(seen.path, seen.at)
        else:
            self._settler.saved(seen.path, seen.at, new=seen.new)
        if seen.is_folder and seen.new and not self.polling and _is_out_of_watches():
            self._poll(f"{seen.path}: {_LIMIT}")  # as above, watchdog says nothing

    def _with_lost(self, batch: frozenset[str]) -> frozenset[str]:
        """The batch; where events were lost, all that is watched is in it."""
        events, self._events = self._events, 0
        return batch if events < _FLOOD else batch | self._watched.keys()

    # Keeping the watches alive ------------------------------------------------------------------

    def _mend(self) -> None:
        """Have everything watched that is wanted and is there.

        A watch ends with its folder, and a thread of watchdog's by a fault; neither says so.
        What happened meanwhile is unknown, so a folder that is watched again is news as a whole.
        """
        self._mended_at = time.monotonic()
        if self._stopped:
            return
        if self._observer is not None and not _is_alive(self._observer):
            emit(Noticed("watching for changes had ended by itself; it is started again"))
            self._end_observer()
        self._drop_unwanted()
        for folder, below in tuple(self._wanted.items()):
            if folder not in self._watched:
                self._start(folder, below)

    def _drop_unwanted(self) -> None:
        """End the watches that nobody wants, and forget those that ended by themselves."""
        if self._observer is None:
            return
        alive = {e.watch.path for e in self._observer.emitters if e.is_alive()}
        for folder, watched in tuple(self._watched.items()):
            there = folder in alive and _identity(folder) == watched.identity
            if there and self._wanted.get(folder) == watched.below:
                continue
            for watch in [e.watch for e in self._observer.emitters if e.watch.path == folder]:
                self._observer.unschedule(watch)
            del self._watched[folder]
            if not there:
                self._unheard.add(folder)
                self._settler.vanished(folder, self._mended_at)

    def _start(self, folder: str, below: bool) -> None:
        """Watch a folder; where the system will not, poll everything from now on."""
        try:
            if not self.polling and (why := _unheard_of(folder)):
                self._poll(f"{folder}: {why}")
            self._schedule(folder, below)
            # watchdog passes over folders below the first that it gets no watch for.
            if below and not self.polling and _is_out_of_watches():
                self._poll(f"{folder}: {_LIMIT}")
        except OSError as error:
            if not os.path.isdir(folder):
                self._unheard.add(folder)  # it may come yet
            elif self.polling:
                emit(Noticed(f"{folder} cannot be watched ({error.strerror})"))
                self._wanted.pop(folder, None)
            else:
                self._poll(f"{folder}: {_LIMIT if error.errno in _FULL else error.strerror}")
                self._start(folder, below)

    def _schedule(self, folder: str, below: bool) -> None:
        if folder in self._watched:
            return
        identity = _identity(folder)
        self._running().schedule(self._handler, folder, recursive=below, event_filter=_WANTED)
        self._watched[folder] = _Watched(below, identity)
        if self._begun or folder in self._unheard:
            self._unheard.discard(folder)
            self._settler.saved(folder, time.monotonic())

    def _running(self) -> BaseObserver:
        if self._observer is None:
            observer = PollingObserver(timeout=POLL_EVERY) if self.polling else Observer()
            observer.start()
            self._observer = observer
        return self._observer

    def _poll(self, why: str) -> None:
        """Poll from now on all that is watched."""
        emit(Noticed(f"{why}; cyhot looks for changes every {POLL_EVERY} s instead"))
        self.polling = True
        watched = dict(self._watched)
        self._end_observer()
        for folder, one in watched.items():
            self._start(folder, one.below)

    def _end_observer(self) -> None:
        observer, self._observer = self._observer, None
        self._unheard.update(self._watched)
        self._watched.clear()
        if observer is not None:
            observer.stop()


_FULL = (errno.ENOSPC, errno.EMFILE)
_LIMIT = (
    "the system's limit for watching folders is reached "
    "(Linux: raise it with sysctl fs.inotify.max_user_watches=524288)"
)


def _is_alive(observer: BaseObserver) -> bool:
    """Whether all threads that an observer needs run.

    On Linux one of its own reads for all emitters, which wait for it, alive, for ever.
    """
    threads = [observer, *vars(observer).values()]
    return all(thread.is_alive() for thread in threads if isinstance(thread, threading.Thread))


def _is_out_of_watches() -> bool:
    """Whether the system has no watch left for us."""
    if sys.platform != "linux":
        return False
    observer: BaseObserver | None = None
    try:
        observer = Observer()
        observer.start()
        observer.schedule(FileSystemEventHandler(), os.sep)
    except OSError as error:
        return error.errno == errno.ENOSPC
    finally:
        if observer is not None:
            observer.stop()
    return False


def _identity(folder: str) -> tuple[int, int]:
    """Which folder it is, whatever its name; another folder of that name is another one."""
    try:
        st = os.stat(folder)
    except OSError:
        return (0, 0)
    return (st.st_dev, st.st_ino)


def _unheard_of(folder: str) -> str:
    """Why changes in a folder would not be heard of, ``""`` if they are."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            kind = remote_kind(folder, file.read())
    except OSError:
        return ""
    return f"on a file system ({kind}) that says nothing of others' changes" if kind else ""


def _outermost(folders: Iterable[str]) -> list[str]:
    """The folders without those that are below another."""
    kept: list[str] = []
    for folder in sorted(folders):
        if not any(_is_below(folder, top) for top in kept):
            kept.append(folder)
    return kept


def _is_emptied(path: str) -> bool:
    """Whether a source has nothing in it, which is right for an ``__init__`` alone."""
    name = os.path.basename(path)
    if not name.endswith((".pyx", ".pxd", ".pxi")) or name.startswith("__init__."):
        return False
    try:
        return os.stat(path).st_size == 0
    except OSError:
        return False


def _real_folder(path: str) -> str:
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _is_below(folder: str, tree: str) -> bool:
    return os.path.join(folder, "").startswith(os.path.join(tree, ""))
