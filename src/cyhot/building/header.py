"""The comments at the top of a source: ``# distutils:`` and ``# cython:``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Header:
    """What a source says of its own build.

    Attributes:
        distutils: The ``# distutils:`` values, by name; lists are lists.
        directives: Names of the directives that ``# cython:`` sets.
    """

    distutils: dict[str, Any] = field(default_factory=dict)
    directives: frozenset[str] = frozenset()


def read_header(path: str, aliases: dict[str, Any] | None = None) -> Header:
    """Read the header of a source or ``.pxd``.

    Args:
        path: The file; one that cannot be read has no header.
        aliases: Names that stand for values, as ``cythonize(aliases=...)`` takes them.
    """
    from Cython.Build.Dependencies import DistutilsInfo

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = _comments(file.read())
    except OSError:
        return Header()
    info = DistutilsInfo("\n".join(lines)).subs(aliases)
    return Header(dict(info.values), frozenset(_directive_names(lines)))


def _comments(text: str) -> list[str]:
    lines = []
    for line in text.removeprefix("\ufeff").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        lines.append(line.strip())
    return lines


def _directive_names(lines: list[str]) -> set[str]:
    names: set[str] = set()
    for line in lines:
        if found := re.match(r"#\s*cython\s*:\s*(.*)", line):
            names.update(item.partition("=")[0].strip() for item in found[1].split(","))
    return names
