"""The files that a program is made of, with their contents as it read them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping

from .reporting import PYTHON

_MISSING, _OTHER = b"missing", b"other"


class Parts:
    """What a program is made of, as far as it has said so."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._contents: dict[str, bytes] = {}
        self._ever: dict[str, str] = {}

    @property
    def files(self) -> list[str]:
        """All of them."""
        return list(self._kinds)

    def begin(self, files: Iterable[str]) -> None:
        """Begin with what a program that is about to start will surely read.

        What it was made of before counts no more: files that it writes and then imports, in each
        run anew, must not restart it for ever.

        Args:
            files: Paths.
        """
        self._kinds = dict.fromkeys(files, PYTHON)
        self._contents = {path: _contents(path) for path in self._kinds}

    def add(self, found: Mapping[str, tuple[str, int]]) -> None:
        """Add files that a program has read.

        Args:
            found: Their kinds, and when (`time.time_ns`) the program had not yet read them.
        """
        for path, (kind, began) in found.items():
            if path in self._kinds:
                continue
            self._kinds[path] = self._ever[path] = kind
            contents = _contents(path)
            changed = began and _changed_at(path) > began
            self._contents[path] = _OTHER if changed else contents

    def widen(self) -> None:
        """Add all that may mend a program that failed: what it ever read, and what lies beside."""
        for path, kind in self._ever.items():
            self._kinds.setdefault(path, kind)
        for folder in {os.path.dirname(path) for path in self._kinds}:
            for path in _python_files(folder):
                self._kinds.setdefault(path, PYTHON)
        for path in self._kinds.keys() - self._contents.keys():
            self._contents[path] = _contents(path)

    def changed(self, batch: Iterable[str] | None = None) -> dict[str, str]:
        """The files whose contents are others than they were, with their kinds; each only once.

        Args:
            batch: The paths that were saved, as `Watcher.next` gives them; None to look at all.
        """
        saved = None if batch is None else frozenset(batch)
        found = {}
        for path, kind in self._kinds.items():
            if saved is not None and not _is_in(path, saved):
                continue
            contents = _contents(path)
            if contents != self._contents[path]:
                self._contents[path] = contents
                found[path] = kind
        return found

    def unknown(self, batch: Iterable[str]) -> list[str]:
        """The files of a batch that are none of the program's."""
        names = {name for path in self._kinds for name in _names(path)}
        return sorted(path for path in batch if path not in names and os.path.isfile(path))


def _contents(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha1").digest()
    except OSError:
        return _MISSING


def _changed_at(path: str) -> int:
    try:
        st = os.stat(path)
    except OSError:
        return 0
    # A file that was renamed over it may be older than it.
    return st.st_mtime_ns if os.name == "nt" else max(st.st_mtime_ns, st.st_ctime_ns)


def _names(path: str) -> tuple[str, str]:
    """What a watcher calls a file: a link is one itself, and so is what it leads to."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name), os.path.realpath(path)


def _is_in(path: str, batch: frozenset[str]) -> bool:
    """Whether a file is in a batch, where a folder stands for all in it."""
    return any(name in batch or not batch.isdisjoint(_above(name)) for name in _names(path))


def _above(path: str) -> Iterator[str]:
    """The folders that a file is in, the nearest first."""
    folder = os.path.dirname(path)
    while folder != path:
        yield folder
        path, folder = folder, os.path.dirname(folder)


def _python_files(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".py")]
    except OSError:
        return []
