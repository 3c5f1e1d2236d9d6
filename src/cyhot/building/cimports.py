"""What a source cimports before anything else, read from its text.

Pure: text in, names out.
"""

from __future__ import annotations

import re

_DOCSTRING = re.compile(r"\s*[rRuU]?(\"\"\"|''')[\s\S]*?\1[ \t]*(?=\n|$)")
_FROM = re.compile(r"from\s+([A-Za-z_][\w.]*)\s+cimport\s")
_CIMPORT = re.compile(r"cimport\s+(.+)")
_HARMLESS = re.compile(r"(#.*)?$|import\s|from\s+[\w.]+\s+import\s")
_NAME = re.compile(r"[A-Za-z_][\w.]*")


def leading_cimports(text: str) -> tuple[str, ...]:
    """The absolute names of the modules that a source cimports at its top, in order.

    It ends where anything else begins: a ``cdef extern`` block before a cimport changes in which
    order the C includes headers.
    """
    names: dict[str, None] = {}
    pending = _without_docstring(text).replace("\\\n", " ")
    for line in pending.split("\n"):
        for statement in _statements(line):
            if found := _FROM.match(statement):
                names[found[1]] = None
            elif found := _CIMPORT.match(statement):
                parts = [_NAME.match(part.strip()) for part in found[1].split(",")]
                names.update((part[0], None) for part in parts if part)
            elif not _HARMLESS.match(statement):
                return _wanted(names)
    return _wanted(names)


def _without_docstring(text: str) -> str:
    lines = text.lstrip("\ufeff").split("\n")
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first].startswith("#")):
        first += 1
    rest = "\n".join(lines[first:])
    return _DOCSTRING.sub("", rest, count=1) if _DOCSTRING.match(rest) else rest


def _statements(line: str) -> list[str]:
    if "(" in line or line[:1] in " \t":
        return ["(" if line.strip() else ""]
    return [part.strip() for part in line.partition("#")[0].split(";")]


def _wanted(names: dict[str, None]) -> tuple[str, ...]:
    return tuple(name for name in names if name.partition(".")[0] != "cython")
