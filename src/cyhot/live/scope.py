"""Which of the changes in watched folders can matter to a build."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..hook.commands import is_skipped

_SUFFIXES = (
    *(".pyx", ".pxd", ".pxi", ".pyxbld", ".pyxdep"),
    *(".h", ".hh", ".hpp", ".hxx", ".h++", ".inc", ".inl", ".ipp", ".tpp"),
    *(".c", ".cc", ".cpp", ".cxx", ".c++", ".C"),
)
_NAMES = frozenset({"__init__.py", "pyproject.toml"})
"""What names packages, and what has settings."""


class Scope:
    """What is wanted to be known.

    Args:
        trees: Folders, with all below them but what is hidden or never holds sources.
        files: Files, wherever they are and whatever they are called.
    """

    def __init__(self, trees: Iterable[str], files: Iterable[str]) -> None:
        self._trees = [os.path.join(tree, "") for tree in trees]
        self._files = frozenset(files)

    def matters(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether a change of a path can change what would be built.

        Editors' backup and swap files (``x.pyx~``, ``.x.pyx.swp``, ``4913``, ``.#x.pyx``,
        ``#x.pyx#``) are hidden or have no suffix of a source.
        """
        if path in self._files:
            return True
        folder, name = os.path.split(path)
        if self._is_skipped(path if is_folder else folder):
            return False
        if is_folder:
            return self._in_tree(path)
        return name in _NAMES or (name.endswith(_SUFFIXES) and not name.startswith((".", "#")))

    def _in_tree(self, path: str) -> bool:
        return any(path.startswith(tree) for tree in self._trees)

    def _is_skipped(self, folder: str) -> bool:
        folder = os.path.join(folder, "")
        trees = [tree for tree in self._trees if folder.startswith(tree)]
        return bool(trees) and all(_is_skipped_below(tree, folder) for tree in trees)


def _is_skipped_below(tree: str, folder: str) -> bool:
    place = tree
    for part in folder[len(tree) : -1].split(os.sep):
        if is_skipped(place, part):
            return True
        place = os.path.join(place, part)
    return False
