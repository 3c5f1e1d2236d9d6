"""Parsing pyproject.toml and saying what is wrong with settings: the parts off the warm path."""

from __future__ import annotations

import difflib
import os
import tomllib
from typing import NoReturn

from .errors import SettingsError
from .settings import FIELDS, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from .settings import Tables

_TYPES = {
    "bool": "true or false",
    "string": "a string",
    "path": "a path",
    "strings": "a string or a list of strings",
    "arguments": "a string or a list of strings",
    "paths": "a path or a list of paths",
    "macros": 'a table of names and values, or a list of "NAME" or "NAME=value"',
    "table": "a table",
    "seconds": "a number of seconds, 0 or more",
    "count": "a whole number, 1 or more",
    "size": 'a number of bytes, or a string such as "500 MB" or "2 GB"',
    "bool or path": "true, false or a path",
}


def describe(kind: object) -> str:
    """What a setting of this type takes, in words."""
    if isinstance(kind, tuple):
        return "one of " + ", ".join(map(repr, kind))
    return _TYPES[str(kind)]


def problem(origin: str, name: str, value: object) -> str:
    """One wrong setting: what was expected, or the nearest name that there is."""
    if name in FIELDS:
        expected = describe(FIELDS[name][0])
        return f"{origin}: {name} takes {expected}, not {value!r}"
    return _unknown(origin, name, FIELDS)


def _unknown(origin: str, name: str, there: Collection[str]) -> str:
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(there))}"
    return f"{origin}: there is no setting {name!r}; {hint}"


def report(origin: str, wrong: list[tuple[str, object]]) -> NoReturn:
    """Raise one `SettingsError` for all wrong settings of a layer."""
    raise SettingsError(*(problem(origin, name, value) for name, value in wrong))


def parse_pyproject(path: str, data: bytes) -> Tables:
    """The ``[tool.cyhot]`` tables in a pyproject.toml's bytes, checked.

    Raises:
        SettingsError: With all problems of all tables.
    """
    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    table = document.get("tool", {}).get("cyhot", {})
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: tool.cyhot takes a table, not {table!r}")
    return _Parser(path).tables(table)


class _Parser:
    """Collects the problems of all tables of one file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []

    def tables(self, table: dict[str, object]) -> Tables:
        common = {name: value for name, value in table.items() if name != "module"}
        values = self._values("[tool.cyhot]", common)
        items = self._modules(table.get("module", []))
        modules = tuple(self._module(item, number) for number, item in enumerate(items, 1))
        if self.problems:
            raise SettingsError(*self.problems)
        return values, modules

    def _modules(self, modules: object) -> list[dict[str, object]]:
        if isinstance(modules, list) and all(isinstance(item, dict) for item in modules):
            return modules
        self.problems.append(f"{self.path}: write module tables as [[tool.cyhot.module]]")
        return []

    def _module(
        self, item: dict[str, object], number: int
    ) -> tuple[tuple[str, ...], dict[str, object]]:
        match = item.get("match")
        patterns = (match,) if isinstance(match, str) else match
        where = f"[[tool.cyhot.module]] {repr(match) if match else f'number {number}'}"
        if not isinstance(patterns, (list, tuple)) or not all(
            isinstance(pattern, str) for pattern in patterns
        ):
            self.problems.append(
                f"{self.path}: {where}: match takes a module name pattern or a list of them"
            )
            patterns = ()
        names = {"match", *FIELDS}
        self.problems += (
            _unknown(f"{self.path} {where}", n, names) for n in item if n not in names
        )
        rest = {name: value for name, value in item.items() if name in FIELDS}
        return tuple(patterns), self._values(where, rest)

    def _values(self, where: str, raw: dict[str, object]) -> dict[str, object]:
        try:
            return check(f"{self.path} {where}", raw, os.path.dirname(self.path))
        except SettingsError as error:
            self.problems.extend(map(str, error.problems))
            return {}
