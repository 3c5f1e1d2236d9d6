"""The ``# distutils:`` comments at the top of a source; ``# cython:`` ones are Cython's own to read."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    from Cython.Build.Dependencies import DistutilsInfo

    try:
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            return Header(dict(DistutilsInfo(lines).subs(aliases).values))
    except OSError:
        return Header()
