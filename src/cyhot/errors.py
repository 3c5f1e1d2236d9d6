"""What can go wrong, as values: the exceptions of cyhot and the diagnostics that they carry.

Every exception survives pickling and copying, so that a build in another process can be reported
in this one, and its ``str()`` is plain text that reads well in a log. Nothing here prints.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
Stage = Literal["cython", "compiler", "linker", "pyxbld", "settings"]

_LINE_END = re.compile(r"\r\n|\r|\n")  # not str.splitlines: compilers count no form feeds


@dataclass(frozen=True)
class Diagnostic:
    """One finding about a source, from Cython, the C compiler, the linker or the settings.

    Attributes:
        path: The file it is about, absolute.
        line: Its line, counted from 1, or None where it has none.
        column: Its column in characters, counted from 1, or None.
        severity: "error", "warning" or "note" (a note belongs to what precedes it).
        message: What is wrong, as the tool that found it said it.
        stage: Which step of the build found it.
        excerpt: Source lines with a caret, may be empty.
        hint: What to do next, may be empty.
    """

    path: str
    line: int | None
    column: int | None
    severity: Severity
    message: str
    stage: Stage
    excerpt: str = ""
    hint: str = ""

    @property
    def location(self) -> str:
        """``path``, ``path:line`` or ``path:line:column``, as far as they are known."""
        known = [self.path]
        if self.line is not None:
            known.append(str(self.line))
            if self.column is not None:
                known.append(str(self.column))
        return ":".join(known)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict of plain values, ready for JSON."""
        return asdict(self)

    def render(self) -> str:
        """Return it as plain text: a line that editors can parse, the excerpt, the hint."""
        parts = [f"{self.location}: {self.severity}: {self.message}"]
        if self.excerpt:
            parts.append(self.excerpt)
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(parts)


class CyhotError(Exception):
    """The base of all exceptions that cyhot raises on purpose."""


class CompileError(CyhotError, ImportError):
    """A source could not be built, so it can't be imported.

    Attributes:
        diagnostics: All findings of the build, warnings included.
        name: The module's dotted name, or None.
        path: The source's absolute path, or None.
    """

    def __init__(
        self,
        diagnostics: Iterable[Diagnostic],
        name: str | None = None,
        path: str | None = None,
    ) -> None:
        """Keep the findings and word the message.

        Args:
            diagnostics: All findings of the build, in the order they are to be told.
            name: The module's dotted name.
            path: The source's absolute path.
        """
        self.diagnostics = tuple(diagnostics)
        title = f"{_subject(name, path)}: {_outcome(self.diagnostics)}"
        told = [diagnostic.render() for diagnostic in worth_telling(self.diagnostics)]
        ImportError.__init__(self, "\n".join([title, *told]), name=name, path=path)

    @property
    def title(self) -> str:
        """The first line of the message: what failed, and with how many errors."""
        return str(self).partition("\n")[0]

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the findings; ImportError's own way would pass the text instead."""
        return type(self), (self.diagnostics, self.name, self.path), self.__dict__.copy()


class SettingsError(CyhotError, ValueError):
    """Settings are wrong; all that is wrong with them is told at once.

    Attributes:
        problems: Each problem, a str or a Diagnostic.
    """

    def __init__(self, *problems: str | Diagnostic) -> None:
        """Keep the problems, which are also the exception's ``args``.

        Args:
            *problems: What is wrong, one by one.
        """
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        texts = [_problem_text(problem) for problem in self.problems]
        if len(texts) == 1:
            return texts[0]
        return "\n".join([f"{len(texts)} problems in the settings:", *texts])


class StoreError(CyhotError):
    """The store of images can't be used: foreign owner, no space, not a folder, ..."""


class SwapError(CyhotError):
    """Running code could not be replaced; what ran before still runs."""


class CyhotWarning(UserWarning):
    """Something works, though perhaps not as its author thinks."""


def worth_telling(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Pick what a person wants to see first: errors with their notes, without the warnings.

    Args:
        diagnostics: The findings of one build.

    Returns:
        The errors and the notes that follow them; everything if there is no error.
    """
    findings = list(diagnostics)
    if not any(finding.severity == "error" for finding in findings):
        return findings
    told, of_an_error = [], True
    for finding in findings:
        if finding.severity != "note":
            of_an_error = finding.severity == "error"
        if of_an_error:
            told.append(finding)
    return told


def excerpt(
    path: str,
    line: int | None,
    column: int | None,
    text: str | None = None,
    context: int = 1,
) -> str:
    """Draw a line of a source with its neighbours and a caret under one character.

    Tabs stay tabs, in the caret's line too, so that the caret is right whatever a tab's width;
    a wide character counts two cells, a combining one none. Control characters are drawn as one
    replacement character each: they would move the cursor.

    Args:
        path: The source, read where `text` is None.
        line: The line, counted from 1.
        column: The column in characters, counted from 1; None draws no caret, and one past the
            end of the line is taken for the end.
        text: The source's text, where the caller has it.
        context: How many lines to show on either side.

    Returns:
        The drawn lines joined by newlines; "" where the source or the line does not exist.
    """
    known = read_source(path) if text is None else text
    lines = [] if known is None else _LINE_END.split(known)
    if line is None or not 1 <= line <= len(lines):
        return ""
    drawn = []
    last = max(line, len(lines) - (lines[-1] == ""))  # what follows the last end is no line
    for number in range(max(1, line - context), min(last, line + context) + 1):
        source = _printable(lines[number - 1])
        drawn.append(f"{number:5} | {source}".rstrip())
        if number == line and column is not None:
            drawn.append(f"{'':5} | {_indent(source[: max(column, 1) - 1])}^")
    return "\n".join(drawn)


def read_source(path: str) -> str | None:
    """Read a source the way Python would, without ever failing.

    Args:
        path: The file.

    Returns:
        Its text, with a replacement character for what can't be decoded; None if it can't be
        read.
    """
    from tokenize import detect_encoding  # only an error needs it

    try:
        with open(path, "rb") as file:
            raw = file.read()
    except (OSError, ValueError):
        return None
    try:
        encoding, _ = detect_encoding(iter(raw.splitlines(keepends=True)).__next__)
        return raw.decode(encoding, errors="replace")
    except (SyntaxError, LookupError, UnicodeError):  # no such encoding, or none for text
        return raw.decode("utf-8", errors="replace")


def _printable(line: str) -> str:
    return "".join(
        "\ufffd" if unicodedata.category(char) in ("Cc", "Cs") and char != "\t" else char
        for char in line
    )


def _indent(text: str) -> str:
    return "".join(_blank(char) for char in text)


def _blank(char: str) -> str:
    if char == "\t":
        return char
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return ""
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "


def _subject(name: str | None, path: str | None) -> str:
    return os.path.basename(path) if path else name or "module"


def _outcome(diagnostics: Iterable[Diagnostic]) -> str:
    errors = sum(diagnostic.severity == "error" for diagnostic in diagnostics)
    if not errors:
        return "build failed"
    return f"build failed, {errors} error{'s' * (errors > 1)}"


def _problem_text(problem: str | Diagnostic) -> str:
    return problem.render() if isinstance(problem, Diagnostic) else problem
