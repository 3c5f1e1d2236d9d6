"""The ``# distutils:`` comments at the top of a source; Cython itself reads ``# cython:``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ..errors import CompileError, Diagnostic, Severity, excerpt

_LANGUAGES = ("c", "c++")
_PASSED_ON = ("objc",)
"""What setuptools knows besides: for sources that are no Cython."""


@dataclass(frozen=True)
class Header:
    """What a source says of its own build.

    Attributes:
        distutils: The ``# distutils:`` values, by name; lists are lists.
        warnings: What is probably not meant.
    """

    distutils: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()


def read_header(path: str, aliases: dict[str, Any] | None = None) -> Header:
    """Read the header of a source or ``.pxd``.

    Args:
        path: The file; one that cannot be read has no header.
        aliases: Names that stand for values, as ``cythonize(aliases=...)`` takes them.

    Raises:
        CompileError: If it cannot be understood.
    """
    comments = _comments(path)
    # Importing it costs more than all the rest, and most sources have no such comment.
    if not any("distutils" in line or "cython" in line for line in comments):
        return Header()
    from Cython.Build.Dependencies import DistutilsInfo, distutils_settings

    try:
        info = DistutilsInfo("".join(comments))
        unknown = [key for key in info.values if key not in distutils_settings]
        for key in unknown:
            del info.values[key]
        values = dict(info.subs(aliases).values)
    except Exception as error:  # it is not made for what is wrong: a KeyError, a ValueError
        raise _not_understood(path, comments, error) from None
    return Header(values, tuple(_ignored(path, comments, key) for key in unknown if key))


def _ignored(path: str, comments: list[str], key: str) -> Diagnostic:
    """A key that nobody takes any notice of, told with the nearest that there is."""
    from difflib import get_close_matches

    from Cython.Build.Dependencies import distutils_settings

    near = get_close_matches(key, distutils_settings, n=1)
    known = f"there are: {', '.join(sorted(distutils_settings))}"
    return _diagnostic(
        path, _line_of(comments, key), "warning",
        f"`# distutils:` has no key {key!r}; it is ignored",
        f"did you mean {near[0]!r}?" if near else known,
    )  # fmt: skip


def require_language(header: Header, path: str) -> None:
    """Refuse a language that there is not: Cython takes it for C, whatever was meant.

    Args:
        header: The header of a source that is to be compiled, aliases replaced.
        path: The source.

    Raises:
        CompileError: If it names one.
    """
    language = header.distutils.get("language") or "c"
    if language in _LANGUAGES + _PASSED_ON:
        return
    told = f"a source's language is {' or '.join(_LANGUAGES)}, not {language!r}"
    hint = "write `# distutils: language = c++`, or leave the comment out for C"
    line = _line_of(_comments(path), "language")
    raise CompileError([_diagnostic(path, line, "error", told, hint)], path=path)


def _line_of(comments: list[str], key: str) -> int | None:
    """The number of the last comment that sets a key, as it is the last that counts."""
    found = [
        number
        for number, comment in enumerate(comments, start=1)
        if re.match(rf"#\s*(?:distutils|cython):\s*{re.escape(key)}\s*(=|$)", comment.strip())
    ]
    return found[-1] if found else None


def _diagnostic(
    path: str, line: int | None, severity: Severity, message: str, hint: str
) -> Diagnostic:
    column = 1 if line else None
    return Diagnostic(
        path=path, line=line, column=column, severity=severity, message=message, stage="cython",
        excerpt=excerpt(path, line, column), hint=hint,
    )  # fmt: skip


def _not_understood(path: str, comments: list[str], error: Exception) -> CompileError:
    from Cython.Build.Dependencies import DistutilsInfo

    line = None
    for number, comment in enumerate(comments, start=1):
        try:
            DistutilsInfo(comment)
        except Exception:
            line = number
            break
    message = f"this `# distutils:` comment cannot be read ({type(error).__name__}: {error})"
    hint = (
        "values are separated by spaces or commas; is there a quotation mark without its other one?"
    )
    return CompileError([_diagnostic(path, line, "error", message, hint)], path=path)


def _comments(path: str) -> list[str]:
    """The lines at the top that are comments or empty."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            return list(takewhile(lambda line: line.lstrip()[:1] in ("", "#"), lines))
    except OSError:
        return []
