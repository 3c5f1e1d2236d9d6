"""What a build looked at, as rows of a record: folders with what is and isn't in them, patterns.

On the warm path, though seldom: only where a folder that a pattern looks into has changed.
"""

from __future__ import annotations

import os

from .observe import dir_sig, fits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .record import DirRow, GlobRow


class Prober:
    """Looks at the file system and writes down what it looked at.

    Attributes:
        seen: Paths, and whether there was anything.
        patterns: (folder, pattern) and the names that fitted.
    """

    def __init__(self) -> None:
        self.seen: dict[str, bool] = {}
        self.patterns: dict[tuple[str, str], tuple[str, ...]] = {}
        self._names: dict[str, list[str]] = {}
        self._listings: dict[str, frozenset[str]] = {}

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path`."""
        path = os.path.abspath(path)
        if path not in self.seen:
            self.seen[path] = os.path.exists(path)
        return self.seen[path]

    def exists_in(self, folder: str, name: str) -> bool:
        """Whether there is anything at `name` below a folder, whose path is absolute and normal.

        Cheap for many names that are not there: the folder is read once.
        """
        path = f"{folder.rstrip(os.sep)}{os.sep}{name}"
        if path not in self.seen:
            there = name.partition(os.sep)[0].casefold() in self._listing(folder)
            self.seen[path] = there and os.path.exists(path)
        return self.seen[path]

    def _listing(self, folder: str) -> frozenset[str]:
        if folder not in self._listings:
            self._listings[folder] = _listing(folder)
        return self._listings[folder]

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
        notes = _Notes()
        for path, existed in self.seen.items():
            notes.path(path, existed)
        for (folder, pattern), names in self.patterns.items():
            if not names:
                notes.path(os.path.join(folder, pattern), False)
        return notes.rows()

    def glob_rows(self) -> list[GlobRow]:
        """The patterns that named files."""
        return [
            glob_row(os.path.join(_escaped(folder), pattern))
            for (folder, pattern), names in self.patterns.items()
            if names
        ]


class _Notes:
    """Names by folder: those that are there, those that aren't."""

    def __init__(self) -> None:
        self.absent: dict[str, set[str]] = {}
        self.present: dict[str, set[str]] = {}
        self._followed: set[str] = set()
        self._folders: dict[str, bool] = {}
        self._listings: dict[str, frozenset[str]] = {}

    def _is_folder(self, path: str) -> bool:
        if path not in self._folders:
            self._folders[path] = os.path.isdir(path)
        return self._folders[path]

    def path(self, path: str, there: bool) -> None:
        """Note a path; if its folder is missing, that; if it is a link, where it leads as well.

        What a link leads to comes and goes without a trace in the link's own folder.
        """
        folder, name = os.path.split(path)
        if not there and not self._is_folder(folder):
            self._no_folder(folder)
            return
        (self.present if there else self.absent).setdefault(folder, set()).add(name)
        if target := self._link(path):
            self.path(target, there)

    def _no_folder(self, folder: str) -> None:
        """Note the first part of a folder's path that is no folder (but may be a .zip, say)."""
        parent, name = os.path.split(folder)
        if parent != folder and not self._is_folder(parent):
            self._no_folder(parent)
            return
        self.absent.setdefault(parent, set()).add(f"{name}/")
        if target := self._link(folder):
            self._no_folder(target)

    def _link(self, path: str) -> str:
        """Where a link leads, `""` if it's none, or was followed already."""
        folder, name = os.path.split(path)
        if folder not in self._listings:
            self._listings[folder] = _listing(folder)
        if name.casefold() not in self._listings[folder]:
            return ""  # not even a link that leads nowhere
        try:
            target = os.path.join(os.path.dirname(path), os.readlink(path))
        except (OSError, ValueError):
            return ""
        if path in self._followed:
            return ""
        self._followed.add(path)
        return target

    def rows(self) -> list[DirRow]:
        """A row for each folder. One that is gone by now is noted so that it'll always differ."""
        return [
            (
                folder,
                dir_sig(folder) or (0, 0, 0),
                "\0".join(sorted(self.absent.get(folder, ()))),
                "\0".join(sorted(self.present.get(folder, ()))),
            )
            for folder in sorted(self.absent.keys() | self.present.keys())
        ]


def _listing(folder: str) -> frozenset[str]:
    """The names in a folder, as a file system sees them that does not distinguish case."""
    try:
        return frozenset(name.casefold() for name in os.listdir(folder))
    except OSError:
        return frozenset()


def merged_rows(rows: Iterable[DirRow]) -> list[DirRow]:
    """One row for each folder, with the names that any of its rows has."""
    from .record import split_names

    groups: dict[str, list[DirRow]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)

    def joined(group: list[DirRow], column: int) -> str:
        names = {name for row in group for name in split_names(str(row[column]))}
        return "\0".join(sorted(names))

    return [
        (folder, group[0][1], joined(group, 2), joined(group, 3))
        for folder, group in sorted(groups.items())
    ]


def _has_magic(pattern: str) -> bool:
    return any(char in pattern for char in "*?[")


def _escaped(path: str) -> str:
    if not _has_magic(path):
        return path
    import glob

    return glob.escape(path)


def expand(pattern: str) -> tuple[str, ...]:
    """The files that a pattern names, sorted."""
    if not _has_magic(pattern):
        return (pattern,) if os.path.lexists(pattern) else ()
    import glob

    return tuple(sorted(glob.glob(pattern, recursive=True)))


def glob_row(pattern: str) -> GlobRow:
    """A pattern, what it names now, and the folders whose change may change that."""
    parts = [os.path.dirname(pattern)]
    while _has_magic(parts[-1]):
        parts.append(os.path.dirname(parts[-1]))
    walked = {parts[-1]}  # even if it is not there yet
    if "**" in pattern:
        parts.append(os.path.join(parts[-1], "**", ""))  # links to folders are followed, as there
    walked.update(path.rstrip(os.sep) for part in parts for path in expand(part))
    # A folder's signature is noted before the names in it, so that it can only be too old.
    rows = tuple((path, dir_sig(path)) for path in sorted(walked))
    return pattern, expand(pattern), rows
