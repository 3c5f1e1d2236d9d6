"""How things are shown to a person: in colour on a terminal, elsewhere as editors parse it.

Invariant: showing never fails. A stream that is missing, closed or of a narrow encoding costs
the text or some of its characters, never an exception in the user's program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from .errors import CompileError, Diagnostic, SettingsError, worth_telling
from .events import BuildFinished, BuildStarted, Event, Noticed, subscribe
from .progress import Progress, above, can_draw, is_terminal

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def show_diagnostics(diagnostics: Iterable[Diagnostic], *, file: TextIO | None = None) -> None:
    """Show findings: position, message, excerpt and hint of each.

    Args:
        diagnostics: What to show, in this order.
        file: The stream; standard error where it is None.
    """
    _show(["", *diagnostics], file)


def show_error(error: BaseException, *, file: TextIO | None = None) -> None:
    """Show an exception of cyhot without its traceback.

    Args:
        error: The exception; one that carries diagnostics or problems shows each of them.
        file: The stream; standard error where it is None.
    """
    match error:
        case CompileError():
            _show([error.title, *worth_telling(error.diagnostics)], file)
        case SettingsError():
            _show([f"cyhot: {_count(error)}", *error.problems], file)
        case _:
            _show([f"cyhot: error: {str(error) or type(error).__name__}"], file)


def notice(text: str) -> None:
    """Write one line ``cyhot: ...`` to standard error.

    Args:
        text: The line, without its end.
    """
    tell(f"cyhot: {text}", file=sys.stderr)


def tell(text: str, *, file: TextIO | None) -> None:
    """Write a line, above the progress that may be shown.

    Args:
        text: The line, without its end.
        file: The stream.
    """
    _write(file, f"{text}\n")


def _count(error: SettingsError) -> str:
    many = len(error.problems)
    return f"{many} problem{'s' * (many != 1)} in the settings"


def _show(parts: list[str | Diagnostic], file: TextIO | None) -> None:
    """Write the parts; the first is a title, which may be empty."""
    stream = sys.stderr if file is None else file
    told = [part for part in parts if part]
    text = _coloured(told, stream) if _wants_colour(stream) else None
    _write(stream, _plain(told) if text is None else text)


def _plain(parts: list[str | Diagnostic]) -> str:
    return "".join(f"{_text_of(part)}\n" for part in parts)


def _text_of(part: str | Diagnostic) -> str:
    return part.render() if isinstance(part, Diagnostic) else part


def _wants_colour(stream: TextIO | None) -> bool:
    return not os.environ.get("NO_COLOR") and is_terminal(stream)


def _coloured(parts: list[str | Diagnostic], stream: TextIO | None) -> str | None:
    """Render through rich; None where rich is not to be had."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console(file=stream, highlight=False, soft_wrap=True)
    with console.capture() as capture:
        for part in parts:
            console.print(_rich_text(part))
    return capture.get()


def _rich_text(part: str | Diagnostic) -> Text:
    from rich.text import Text

    if isinstance(part, str):
        return Text(part, style="bold")
    head, *drawing = part.render().split("\n")
    style = _STYLES[part.severity]
    text = Text(head)
    text.stylize("bold", 0, len(part.location))
    text.stylize(style, len(part.location) + 2, len(part.location) + 2 + len(part.severity))
    for line in drawing:
        text.append("\n").append(line, style=_line_style(line, style))
    return text


def _line_style(line: str, caret_style: str) -> str:
    if line.strip(" \t|^~") == "" and "^" in line:
        return caret_style
    return "green" if line.startswith("  hint: ") else ""


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # pythonw, or closed by a daemon's start
        return
    try:
        if is_terminal(stream) and above(text):
            return
        stream.write(_encodable(text, stream))
        stream.flush()
    except (OSError, ValueError, AttributeError):
        pass  # closed, broken or no stream at all: there is nobody left to tell


def _encodable(text: str, stream: TextIO) -> str:
    """Escape what the stream's encoding does not have."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except (LookupError, UnicodeError):
        return text.encode("ascii", "backslashreplace").decode("ascii")


# Speaking for the builds of a program that has no front end of its own ------------------------

_volume = 1
_speaking = False


def voice(volume: int) -> None:
    """Have builds told on standard error from now on.

    Args:
        volume: 0 for silence, 1 for warnings and what takes long, 2 for everything.
    """
    global _speaking, _volume
    _volume = volume
    if volume and not _speaking:
        _speaking = True
        subscribe(_speak)
        subscribe(_show_progress)


def show_progress(*, alone: bool) -> Progress:
    """A listener that shows on standard error how far builds are that take longer than a second.

    Args:
        alone: Whether nobody but cyhot writes to the terminal.
    """
    return Progress(notice, alone=alone)


_progress = show_progress(alone=False)


def _show_progress(event: Event) -> None:
    if _volume:
        _progress(event)


def _speak(event: Event) -> None:
    match event:
        case Noticed(text, level) if level <= _volume:
            if not (is_compiling(event) and can_draw()):
                notice(text)
        case BuildStarted(name, _, reasons) if _volume > 1:
            notice(f"{name}: rebuilt because {'; '.join(reasons)}")
        case BuildFinished() if _volume:
            _speak_finished(event)


def is_compiling(event: Noticed) -> bool:
    """Whether it says what is compiled, which the progress does as well."""
    return event.text.startswith("compiling ")


def _speak_finished(event: BuildFinished) -> None:
    wanted = ("warning",) if _volume == 1 else ("warning", "note")
    found = [d for d in event.diagnostics if d.severity in wanted]
    if found:
        show_diagnostics(found)
    if _volume > 1:
        notice(f"{event.name} built in {event.seconds:.2f} s: {event.image}")
