"""From what the compilers opened and looked for to the rows of a record."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from .observe import Observer, dir_sig
from .record import DirRow, GlobRow, fits


class ObserverLook:
    """An `Observer` as `graph.search` wants it."""

    def __init__(self, look: Observer) -> None:
        self._look = look

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path`."""
        return self._look.sig(path) is not None or self._look.dir(path) is not None

    def versioned(self, folder: str, prefix: str, suffix: str) -> list[str]:
        """Names in `folder` that start with `prefix` and end with `suffix`."""
        return sorted(n for n in self._look.names(folder) if fits(f"{prefix}*{suffix}", n))


@dataclass
class Prober:
    """Looks at the file system and writes down what it looked at.

    Attributes:
        seen: Paths, and whether there was anything.
        patterns: (folder, pattern) and the names that fitted.
    """

    seen: dict[str, bool] = field(default_factory=dict)
    patterns: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    _names: dict[str, list[str]] = field(default_factory=dict)

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path`."""
        path = os.path.abspath(path)
        if path not in self.seen:
            self.seen[path] = os.path.exists(path)
        return self.seen[path]

    def versioned(self, folder: str, prefix: str, suffix: str) -> list[str]:
        """Names in `folder` that start with `prefix` and end with `suffix`."""
        folder = os.path.abspath(folder)
        if folder not in self._names:
            try:
                self._names[folder] = os.listdir(folder)
            except OSError:
                self._names[folder] = []
        pattern = f"{prefix}*{suffix}"
        names = tuple(sorted(name for name in self._names[folder] if fits(pattern, name)))
        self.patterns[folder, pattern] = names
        return list(names)

    def first(self, candidates: Iterable[str]) -> str:
        """The first path at which there is anything, else the first of all."""
        paths = list(candidates)
        return next((path for path in paths if self.exists(path)), paths[0])

    def dir_rows(self) -> list[DirRow]:
        """What must stay absent and present for the same answers, folder by folder."""
        absent: dict[str, set[str]] = {}
        present: dict[str, set[str]] = {}
        for path, existed in self.seen.items():
            _note(path, present if existed else absent, absent)
        for (folder, pattern), names in self.patterns.items():
            if not names:
                _note(os.path.join(folder, pattern), absent, absent)
        rows = []
        for folder in sorted(absent.keys() | present.keys()):
            sig = dir_sig(folder)
            if sig is not None:
                gone, there = absent.get(folder, set()), present.get(folder, set())
                rows.append((folder, sig, tuple(sorted(gone)), tuple(sorted(there))))
        return rows

    def glob_rows(self) -> list[GlobRow]:
        """The patterns that named files."""
        return [
            glob_row(os.path.join(glob.escape(folder), pattern))
            for (folder, pattern), names in self.patterns.items()
            if names
        ]


def _note(path: str, where: dict[str, set[str]], absent: dict[str, set[str]]) -> None:
    """Note a name under its folder; where that is missing, the missing part of the path."""
    folder, name = os.path.split(path)
    if os.path.isdir(folder):
        where.setdefault(folder, set()).add(name)
        return
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder, name = os.path.split(folder)
    absent.setdefault(folder, set()).add(name)


def expand(pattern: str) -> tuple[str, ...]:
    """The files that a pattern names, sorted."""
    return tuple(sorted(glob.glob(pattern, recursive=True)))


def glob_row(pattern: str) -> GlobRow:
    """A pattern, what it names now, and the folders whose change may change that."""
    folders = [os.path.dirname(pattern)]
    while glob.has_magic(folders[-1]):
        folders.append(os.path.dirname(folders[-1]))
    walked = {path for part in folders for path in expand(part) if os.path.isdir(path)}
    root = folders[-1]
    if "**" in pattern:
        walked.update(path for path, _dirs, _files in os.walk(root))
    plain = [folder.replace("[", "") for folder in [root] if not os.path.isdir(folder)]
    rows = tuple((path, dir_sig(path)) for path in sorted({*walked, *plain}))
    return pattern, expand(pattern), rows
