"""The ``# distutils:`` comments at the top of a source; Cython itself reads ``# cython:``."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any


@dataclass(frozen=True)
class Header:
    """What a source says of its own build.

    Attributes:
        distutils: The ``# distutils:`` values, by name; lists are lists.
    """

    distutils: dict[str, Any] = field(default_factory=dict)


def read_header(path: str, aliases: dict[str, Any] | None = None) -> Header:
    """Read the header of a source or ``.pxd``.

    Args:
        path: The file; one that cannot be read has no header.
        aliases: Names that stand for values, as ``cythonize(aliases=...)`` takes them.
    """
    comments = _comments(path)
    # Importing it costs more than all the rest, and most sources have no such comment.
    if not any("distutils" in line or "cython" in line for line in comments):
        return Header()
    from Cython.Build.Dependencies import DistutilsInfo

    return Header(dict(DistutilsInfo("".join(comments)).subs(aliases).values))


def _comments(path: str) -> list[str]:
    """The lines at the top that are comments or empty."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            return list(takewhile(lambda line: line.lstrip()[:1] in ("", "#"), lines))
    except OSError:
        return []
