"""Which modules a batch of changed paths can have made stale. Pure.

It may name too many: the store decides what is stale, by contents. It must not name too few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ..building.observe import fits
from ..building.record import Record, split_names
from .scope import Scope

_SOURCES = Scope((), ())


class Inputs:
    """What one image was made from, so that changed paths can be compared with it.

    Args:
        record: The image's record.
        real: Gives the path without symbolic links.

    Attributes:
        files: The files.
        missing: Paths at which there must go on being nothing. Those of files that are seen to be
            sources by their names stand for one another: one of each folder is here.
    """

    def __init__(self, record: Record, real: Callable[[str], str]) -> None:
        self.files = frozenset(row[0] for row in record.files)
        self._known = self.files | {real(path) for path in self.files}
        self._known |= {
            os.path.join(real(os.path.dirname(p)), os.path.basename(p)) for p in self.files
        }
        # Where the file system does not distinguish upper and lower case, neither do we.
        self._names: dict[str, set[str]] = {}
        self._patterns: dict[str, set[str]] = {}
        missing: set[str] = set()
        for folder, _, absent, present in record.dirs:
            both = [name.rstrip("/") for name in split_names(absent) + split_names(present)]
            known = self._names.setdefault(real(folder), set())
            known.update(name.casefold() for name in both if "*" not in name)
            patterns = self._patterns.setdefault(real(folder), set())
            patterns.update(name for name in both if "*" in name)
            gone = [name.rstrip("/") for name in split_names(absent) if "*" not in name]
            paths = [os.path.join(folder, name) for name in gone]
            missing.update(path for path in paths if not _SOURCES.matters(path))
            missing.update(paths[:1])
        self.missing = frozenset(missing)
        self._listed = {real(folder) for row in record.globs for folder, _ in row[2]}

    def fit(self, path: str) -> bool:
        """Whether a change of a path can matter.

        Args:
            path: The path, without symbolic links in its folder.
        """
        folder, name = os.path.split(path)
        if path in self._known or folder in self._listed:
            return True
        if name.casefold() in self._names.get(folder, ()):
            return True
        return any(fits(pattern, name) for pattern in self._patterns.get(folder, ()))

    def lie_in(self, folder: str) -> bool:
        """Whether something that was looked at, or looked for, is in a folder or below it."""
        start = os.path.join(folder, "")
        looked_at = (*self._known, *(os.path.join(f, "") for f in (*self._names, *self._listed)))
        return any(path.startswith(start) for path in looked_at)


def affected(batch: Iterable[str], inputs: Inputs) -> bool:
    """Whether one of the changed paths can have made a module stale.

    Args:
        batch: The paths; some may be folders, which stand for all in them.
        inputs: What the module's image was made from.
    """
    return any(inputs.fit(path) or inputs.lie_in(path) for path in batch)
