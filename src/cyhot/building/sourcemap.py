"""From a line of the C file that Cython generated back to the ``.pyx``.

Cython writes a comment before the code of each statement::

    /* "pkg/mod.pyx":12
     * def f(x):
     *     return thing(x)             # <<<<<<<<<<<<<<
    */

A C line belongs to the last such marker above it in the same C function. Two kinds of lines have
none: the declarations at a function's head, which belong to its ``def`` (the marker before
``/* function exit code */``), and the C that the user wrote (``cdef extern from "x.h"`` and its
docstring), which is found by its text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import NamedTuple

from ..errors import excerpt

_MARKER = re.compile(r'\s*/\* "(?P<name>.+)":(?P<line>\d+)$')
_INCLUDE = re.compile(r'\s*#\s*include\s*(?P<header>"[^"]+"|<[^>]+>)')
_QUOTED = re.compile(r"['\"`‘](?P<token>[^'\"`‘’]+)['\"’]")
_WORD = re.compile(r"[^\W\d]\w*")
_EXIT = "/* function exit code */"

# __pyx_v_x is x, __pyx_f_3pkg_3mod_f is f: the last part after the numbered ones.
_MANGLED = re.compile(r"__pyx_[a-z]+_(?:\d+[^\W\d]\w*?_)*(?P<name>[^\W\d]\w*)$")


class Place(NamedTuple):
    """A line of a source, as a marker names it."""

    name: str
    line: int


class Spot(NamedTuple):
    """Where something is to be shown, and the drawing of it."""

    path: str
    line: int | None
    column: int | None
    excerpt: str


class SourceMap:
    """Finds the source line for a line of one generated C file."""

    def __init__(
        self,
        c_path: str,
        c_text: str,
        resolve: Callable[[str], str],
        read: Callable[[str], str | None],
    ) -> None:
        """Keep what is needed; nothing is computed before it is asked for.

        Args:
            c_path: The generated C file, as it was given to the compiler.
            c_text: Its text.
            resolve: Makes a marker's file name absolute.
            read: Returns a source's text by absolute path, or None where there is none.
        """
        self.c_path = c_path
        self._lines = c_text.split("\n")
        self._resolve = resolve
        self._read = cache(read)
        self._use_of = cache(self._find_use)  # linkers name a symbol once for each use

    @cached_property
    def main_source(self) -> str:
        """The absolute path of the source that the C file is made of; else the C file's."""
        names = [place.name for place in self._marked if place.name.endswith((".pyx", ".py"))]
        return self._resolve(names[-1]) if names else self.c_path  # the last is in module init

    def is_c_file(self, path: str) -> bool:
        """Tell whether a compiler's file name means the generated C file.

        Args:
            path: The name, which linkers shorten to its last part.
        """
        if os.path.dirname(path):
            return os.path.normpath(path) == os.path.normpath(self.c_path)
        return path == os.path.basename(self.c_path)

    def spot(self, line: int, column: int | None, message: str) -> Spot | None:
        """Find the source line for a C line.

        Args:
            line: The C line, counted from 1.
            column: The C column, counted from 1.
            message: What is said about it: a name that it quotes gives the column.

        Returns:
            The spot, or None where the C line leads to no source.
        """
        if not 1 <= line <= len(self._lines):
            return None
        c_line, place = self._lines[line - 1], self._place_of[line - 1]
        if place is not None:
            return self._spot_at(place, [*_quoted(message), *_word_at(c_line, column)])
        if include := _INCLUDE.match(c_line):
            return self._spot_of_include(include["header"])
        return self._spot_of_text(c_line, column)

    def first_use(self, symbol: str) -> Spot | None:
        """Find the first source line whose C code uses a symbol.

        Args:
            symbol: A C or (demangled) C++ symbol.

        Returns:
            The spot, or None where no marked code uses it.
        """
        names = _WORD.findall(symbol.partition("(")[0])[-1:]
        spots = (self._use_of(name) for name in names)
        without_prefix = (self._use_of(name[1:]) for name in names if name[0] == "_")  # macOS
        return next((spot for spot in (*spots, *without_prefix) if spot is not None), None)

    def _find_use(self, name: str) -> Spot | None:
        use = re.compile(rf"\b{re.escape(name)}\b")
        for line, place in zip(self._lines, self._place_of, strict=True):
            if name in line and place and not line.startswith(" *") and use.search(line):
                return self._spot_at(place, [name])
        return None

    @cached_property
    def _marked(self) -> list[Place]:
        return [place for line in self._lines if (place := _marker(line)) is not None]

    @cached_property
    def _place_of(self) -> list[Place | None]:
        """Each C line's place: from the marker above, else from its function's ``def``."""
        below = reversed(list(_places_from_below(reversed(self._lines))))
        return [
            real if (real := above or head) and _is_file(real.name) else None
            for above, head in zip(_places_from_above(self._lines), below, strict=True)
        ]

    def _spot_at(self, place: Place, words: list[str]) -> Spot:
        """Draw a place, with the caret at the first of the words that its line has."""
        return self._drawn(place, _column(self._line(place), words))

    def _drawn(self, place: Place, column: int | None) -> Spot:
        path = self._resolve(place.name)
        text = self._read(path)
        if text is None:
            return Spot(path, place.line, None, "")
        return Spot(path, place.line, column, excerpt(path, place.line, column, text))

    def _line(self, place: Place) -> str:
        lines = (self._read(self._resolve(place.name)) or "").split("\n")
        return lines[place.line - 1] if place.line <= len(lines) else ""

    def _spot_of_include(self, header: str) -> Spot | None:
        """Find the line that put an ``#include`` into the C file."""
        name = header.strip('"')
        include = rf"#\s*include\s*{re.escape(header)}"
        extern = rf"cdef\s+extern\s+from\s+['\"]{re.escape(name)}['\"]"
        places = self._places_like(rf"(?:{include}|{extern}).*")
        return self._spot_at(places[0], [name]) if places else None

    def _spot_of_text(self, c_line: str, column: int | None) -> Spot | None:
        """Find C that the user wrote in the ``.pyx``, if just one line of it reads like this."""
        code = c_line.strip()
        places = self._places_like(re.escape(code)) if code else []
        if len(places) != 1:
            return None
        if column is None or not code.isascii() or "\t" in c_line:
            return self._spot_at(places[0], [])  # compilers differ in how they count these
        shift = _indentation(self._line(places[0])) - _indentation(c_line)
        return self._drawn(places[0], max(1, column + shift))

    def _places_like(self, pattern: str) -> list[Place]:
        like = re.compile(rf"\s*{pattern}\s*")
        return [
            Place(name, number)
            for name in dict.fromkeys(place.name for place in self._marked)
            if _is_file(name) and not name.endswith(".pxd")  # nobody mends numpy's pxd
            for number, line in enumerate((self._read(self._resolve(name)) or "").split("\n"), 1)
            if like.fullmatch(line)
        ]


def _marker(line: str) -> Place | None:
    match = _MARKER.match(line)
    return Place(match["name"], int(match["line"])) if match else None


def _is_file(name: str) -> bool:
    """Leave out what Cython makes up, like "(tree fragment)" and "<stringsource>"."""
    return not name.startswith(("(", "<"))


def _places_from_above(lines: list[str]) -> Iterator[Place | None]:
    current = None
    for line in lines:
        current = _marker(line) or current
        yield current
        if _ends_function(line) or line.startswith("/* #### Code section"):
            current = None


def _places_from_below(reversed_lines: Iterator[str]) -> Iterator[Place | None]:
    """Yield, from the last line to the first, the marker that stands for the function's head."""
    head, at_exit = None, False
    for line in reversed_lines:
        if _ends_function(line):
            head, at_exit = None, False
        elif line.strip() == _EXIT:
            head, at_exit = None, True
        elif at_exit and (place := _marker(line)) is not None:
            head, at_exit = place, False
        yield head
        if line[:1].strip() and line.endswith("{"):
            head, at_exit = None, False


def _ends_function(line: str) -> bool:
    return line.startswith("}")


def _column(line: str, words: list[str]) -> int:
    """Choose a column: that of the first word which the line has, else of its first character."""
    for word in words:
        if match := re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line):
            return match.start() + 1
    return _indentation(line) + 1


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _quoted(message: str) -> Iterator[str]:
    """Yield what a message quotes, as the source may write it: 'struct pt', __pyx_v_x's x."""
    for match in _QUOTED.finditer(message):
        yield match["token"]
        yield from (_plain(word) for word in reversed(_WORD.findall(match["token"])))


def _word_at(line: str, column: int | None) -> Iterator[str]:
    """Yield the name at a column of a C line, as the source writes it."""
    for match in _WORD.finditer(line):
        if column is not None and match.start() < column <= match.end():
            yield _plain(match.group())


def _plain(name: str) -> str:
    match = _MANGLED.match(name)
    return match["name"] if match else name
