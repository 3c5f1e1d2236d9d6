"""What the worker has ready: Cython imported and used once, and Contexts that have read ``.pxd``s.

Invariant 5 holds whatever is ready: the C is byte for byte what a new process would generate.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from ..building import transpile
from ..building.cimports import leading_cimports
from ..building.observe import FileSig, file_sig

if TYPE_CHECKING:
    from ..building.steps import Attempt

_WORTH = 0.1
"""Seconds of transpiling from which on a process of its own is kept for the kind of module."""

# Uses what most modules use, so that all of that is loaded, parsed and compiled once.
_THROW_AWAY = """\
cimport cython
from libc.math cimport sqrt

ctypedef fused number:
    int
    double

cdef class Point:
    cdef public double x
    cdef list seen

    def __init__(self, double x, *, seen=()):
        self.x = x
        self.seen = [item for item in seen if item]

    cpdef double norm(self, int times=1) except? -1:
        with nogil:
            return sqrt(self.x * self.x) * times

    def __getitem__(self, key):
        try:
            return self.seen[key]
        except IndexError as error:
            raise KeyError(f"{key!r}: {error}") from None

def total(number[:] values, str name="total"):
    cdef number result = 0
    for i in range(values.shape[0]):
        result += values[i]
    return {name: result}

def later(function, *rest, **named):
    def inner(value):
        return function(value, *rest, **named)
    yield from map(inner, rest)

class Plain(Point):
    limit = 3

    async def wait(self, other):
        return await other
"""


# What a small module makes Cython write to: see `touch`.
_SMALL = "cpdef int square(int x):\n    return x * x\n"


def _throw_away(text: str, *, annotate: bool) -> None:
    """Compile something whose result nobody wants."""
    with tempfile.TemporaryDirectory(prefix="cyhot-") as folder:
        source = os.path.join(folder, "throw_away.pyx")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        output = os.path.join(folder, "throw_away.c")
        transpile.transpile(
            transpile.TranspileRequest(source, "throw_away", output, annotate=annotate)
        )
    transpile.restore()


def touch() -> None:
    """Write to the memory that a compile writes to, so that a fork has pages of its own there."""
    _throw_away(_SMALL, annotate=True)


def up() -> None:
    """Import all that a build needs and run a compile whose result nobody wants."""
    import filelock  # noqa: F401
    from Cython.Build import Dependencies  # noqa: F401

    from ..building import explain, msvc, pch, plan, prepare, pyxbld, run, shared, steps  # noqa: F401
    from ..building.toolchain import find_compiler
    from . import job  # noqa: F401

    for cplus in (False, True):
        find_compiler(cplus, os.environ)  # asks it who it is, once

    is_built = _build_scanner()
    for annotate in (True, False):
        _throw_away(_THROW_AWAY, annotate=annotate)
    if not is_built:
        _share_keys()


def _build_scanner() -> bool:
    """Have Cython build its scanner's tables before it keeps anything else.

    Else what is thrown away of them lies between what is kept, and is never given back.

    Returns:
        Whether that was to be had from this Cython.
    """
    from Cython.Compiler import Scanning

    try:
        Scanning.PyrexScanner(io.StringIO(), ("", ""), scope=None, context=None)
    except Exception:
        pass  # it wants a scope; its tables come first
    return _share_keys()


def _share_keys() -> bool:
    """Have Cython's scanner keep each letter of Unicode once.

    Its tables are dicts with an entry for every letter, eight of them, each with 149,000 strings of
    its own: two thirds of all memory that Cython takes, and of what a fork has to map.

    Returns:
        Whether there are such tables by now.
    """
    tables = [found for found in gc.get_objects() if type(found) is dict and len(found) > _MANY]
    known: dict[object, object] = {}
    for table in tables:
        if all(type(key) is str for key in table):
            items = [(known.setdefault(key, key), value) for key, value in table.items()]
            table.clear()
            table.update(items)
    return bool(known)


_MANY = 50_000


class Sources:
    """The files of Cython and cyhot as they were when this process imported them."""

    def __init__(self) -> None:
        from Cython import __version__

        self.cython: str = __version__
        self._files = dict(_loaded())

    def changed(self) -> bool:
        """Whether one of them is another by now: then what this process does is out of date."""
        return any(file_sig(path) != sig for path, sig in self._files.items())


def _loaded() -> Iterable[tuple[str, FileSig | None]]:
    for name, module in tuple(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and name.partition(".")[0] in ("Cython", "cyhot"):
            yield path, file_sig(path)


# Contexts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """Modules that cimport the same ``.pxd`` files under the same options.

    Attributes:
        names: What they cimport, in their order.
        beside: One of them.
        options: The options that Cython reads a ``.pxd`` with, as `transpile.Shape` has them.
    """

    names: tuple[str, ...]
    beside: str
    options: tuple[Any, ...]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def like(path: str) -> Kind | None:
    """The kind of a source as far as its text tells, compiled with the default options."""
    text = _text(path)
    names = leading_cimports(text) if transpile.may_be_prepared(path, text) else ()
    shape = transpile.TranspileRequest(path, "", "").shape()
    return Kind(names, path, shape) if names else None


def kind_of(attempt: Attempt) -> Kind | None:
    """The kind of a module that was compiled just now; None if a Context of its own won't pay."""
    if attempt.phases.get("transpile", 0.0) < _WORTH or attempt.result.was_prepared:
        return None
    path, result = attempt.source.path, attempt.result
    text = _text(path)
    if not transpile.may_be_prepared(path, text):
        return None
    installed = {
        lookup.name
        for lookup in result.lookups
        if lookup.suffix == ".pxd" and transpile.is_installed(lookup.result, result.standard)
    }
    names = tuple(takewhile(installed.__contains__, leading_cimports(text)))
    kind = Kind(names, path, attempt.asked.shape())
    try:
        hash(kind)
    except TypeError:
        return None  # a directive whose value is a list: rare, and not worth a process
    return kind if names else None


def find(kinds: Iterable[Kind], job: tuple[Any, ...]) -> Kind | None:
    """The kind that fits a job best, by what its source cimports; None if none does."""
    found = tuple(kinds)
    if not found:
        return None
    path = job[0][0]
    text = _text(path)
    names = leading_cimports(text) if transpile.may_be_prepared(path, text) else ()
    fitting = [kind for kind in found if names[: len(kind.names)] == kind.names]
    return max(fitting, key=lambda kind: len(kind.names), default=None)


def read(kind: Kind) -> bool:
    """Prepare a Context of this kind in this process; False if that failed."""
    request = transpile.TranspileRequest.of_shape(kind.beside, kind.options)
    return transpile.prepare(request, kind.names)
