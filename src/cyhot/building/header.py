"""The ``# distutils:`` comments at the top of a source; Cython itself reads ``# cython:``."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ..errors import CompileError, Diagnostic, excerpt


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

    Raises:
        CompileError: If it cannot be understood.
    """
    comments = _comments(path)
    # Importing it costs more than all the rest, and most sources have no such comment.
    if not any("distutils" in line or "cython" in line for line in comments):
        return Header()
    from Cython.Build.Dependencies import DistutilsInfo

    try:
        return Header(dict(DistutilsInfo("".join(comments)).subs(aliases).values))
    except Exception as error:  # it is not made for what is wrong: a KeyError, a ValueError
        raise _not_understood(path, comments, error) from None


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
    return CompileError(
        [Diagnostic(
            path=path, line=line, column=1 if line else None, severity="error", message=message,
            stage="cython", excerpt=excerpt(path, line, 1),
            hint="values are separated by spaces or commas; is there a quotation mark without "
            "its other one?",
        )],
        path=path,
    )  # fmt: skip


def _comments(path: str) -> list[str]:
    """The lines at the top that are comments or empty."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            return list(takewhile(lambda line: line.lstrip()[:1] in ("", "#"), lines))
    except OSError:
        return []
