"""Cython's module-level objects as they were before the first compile in this process.

Cython's compiler is written for one compile per process. Its builtin scope and its simple C types
are made once, at import, and a compile leaves notes on them: ``divmod`` stays the overload of the
types that it was called with, ``c_int_type.entry`` stays the template argument of a C++ class. The
next compile's C then has other names in it than `python -m cython` would give. So what is
reachable from those modules is remembered, shallowly, before the first compile, and put back
before each further one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MODULES = ("PyrexTypes", "Builtin", "MemoryView")


class Pristine:
    """A shallow copy of every mutable object that Cython made when it was imported."""

    def __init__(self) -> None:
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._lists: list[tuple[list[Any], list[Any]]] = []
        self._sets: list[tuple[set[Any], set[Any]]] = []
        self._remember()

    def _remember(self) -> None:
        seen: set[int] = set()
        todo = list(_roots())
        while todo:
            found = todo.pop()
            if id(found) in seen:
                continue
            seen.add(id(found))
            if isinstance(found, dict):
                self._dicts.append((found, found.copy()))
                todo += found.values()
            elif isinstance(found, list):
                self._lists.append((found, found.copy()))
                todo += found
            elif isinstance(found, set):
                self._sets.append((found, found.copy()))
                todo += found
            elif isinstance(found, tuple):
                todo += found
            elif type(found).__module__.startswith("Cython.Compiler."):
                # Its attributes: a dict as any other.
                todo.append(getattr(found, "__dict__", None))

    def restore(self) -> None:
        """Put everything back."""
        for table, entries in self._dicts:
            if table.keys() != entries.keys() or any(table[k] is not entries[k] for k in entries):
                table.clear()
                table.update(entries)
        for sequence, items in self._lists:
            sequence[:] = items
        for group, members in self._sets:
            group.clear()
            group.update(members)


def _roots() -> Iterator[Any]:
    from importlib import import_module

    for name in MODULES:
        module = vars(import_module(f"Cython.Compiler.{name}"))
        yield from (v for k, v in module.items() if not k.startswith("__"))
