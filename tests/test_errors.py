"""Exceptions and diagnostics: what they carry, how they read, and that they survive a journey."""

from __future__ import annotations

import copy
import io
import json
import pickle
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyhot.console import notice, show_diagnostics, show_error
from cyhot.errors import (
    CompileError,
    CyhotError,
    CyhotWarning,
    Diagnostic,
    SettingsError,
    StoreError,
    SwapError,
    excerpt,
    read_source,
)

SOURCE = "def f(x):\n    cdef int z = 1\n    return y * x\n"
ERROR = Diagnostic(
    "/abs/foo.pyx",
    3,
    12,
    "error",
    "undeclared name not builtin: y",
    "cython",
    excerpt("/abs/foo.pyx", 3, 12, SOURCE, context=0),
)
WARNING = Diagnostic("/abs/foo.pyx", 2, None, "warning", "unused entry 'z'", "cython")
NOTE = Diagnostic("/abs/foo.pyx", None, None, "note", "seen from here", "compiler", hint="look")

MESSAGE = """\
foo.pyx: build failed, 1 error
/abs/foo.pyx:3:12: error: undeclared name not builtin: y
    3 |     return y * x
      |            ^"""


def test_a_diagnostic_renders_what_it_knows() -> None:
    assert ERROR.render() == MESSAGE.partition("\n")[2]
    assert WARNING.render() == "/abs/foo.pyx:2: warning: unused entry 'z'"
    assert NOTE.render() == "/abs/foo.pyx: note: seen from here\n  hint: look"


def test_a_diagnostic_is_ready_for_json() -> None:
    assert Diagnostic(**json.loads(json.dumps(ERROR.to_dict()))) == ERROR


def test_a_compile_error_is_an_import_error_that_reads_well() -> None:
    error = CompileError([WARNING, ERROR], name="pkg.foo", path="/abs/foo.pyx")
    assert isinstance(error, ImportError) and isinstance(error, CyhotError)
    assert str(error) == MESSAGE
    assert error.title == "foo.pyx: build failed, 1 error"
    assert (error.diagnostics, error.name, error.path) == (
        (WARNING, ERROR),
        "pkg.foo",
        "/abs/foo.pyx",
    )


def test_a_compile_error_counts_errors_and_names_what_it_can() -> None:
    assert str(CompileError([ERROR, ERROR, NOTE], "pkg.foo")).startswith(
        "pkg.foo: build failed, 2 errors\n"
    )
    assert str(CompileError([])) == "module: build failed"


def test_warnings_and_their_notes_do_not_drown_an_error() -> None:
    text = str(CompileError([ERROR, NOTE, WARNING, NOTE]))
    assert "unused entry" not in text
    assert text.count("seen from here") == 1
    assert "unused entry" in str(CompileError([WARNING]))


def test_a_settings_error_tells_all_problems_at_once() -> None:
    assert str(SettingsError("unknown setting 'profil'")) == "unknown setting 'profil'"
    error = SettingsError("unknown setting 'profil'", NOTE)
    assert isinstance(error, ValueError)
    assert error.problems == ("unknown setting 'profil'", NOTE)
    assert str(error) == f"2 problems in the settings:\nunknown setting 'profil'\n{NOTE.render()}"


@pytest.mark.parametrize(
    "travel", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
@pytest.mark.parametrize(
    "error",
    [
        CompileError([ERROR, NOTE], "foo", "/abs/foo.pyx"),
        SettingsError("one", NOTE),
        StoreError("no space"),
        SwapError("busy"),
        CyhotWarning("odd"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_survive_copying_and_pickling(error: Exception, travel) -> None:
    error.add_note("while importing bar")
    other = travel(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    for name in ("diagnostics", "problems", "name", "path", "__notes__"):
        assert getattr(other, name, None) == getattr(error, name, None)


# -- excerpt ---------------------------------------------------------------------------------


def test_an_excerpt_shows_the_neighbours() -> None:
    assert excerpt("x", 2, 5, SOURCE) == (
        "    1 | def f(x):\n    2 |     cdef int z = 1\n      |     ^\n    3 |     return y * x"
    )


@pytest.mark.parametrize(
    ("line", "column", "drawn"),
    [
        (1, 1, "    1 | ab\n      | ^"),
        (1, 99, "    1 | ab\n      |   ^"),
        (1, 0, "    1 | ab\n      | ^"),
        (1, None, "    1 | ab"),
        (0, 1, ""),
        (3, 1, ""),
        (None, None, ""),
    ],
)
def test_an_excerpt_tolerates_any_position(line, column, drawn) -> None:
    assert excerpt("x", line, column, "ab\n", context=0) == drawn


def test_lines_are_counted_as_compilers_do() -> None:
    text = "a\x0cb\x1c\u2028c\r\nd\re"
    assert excerpt("x", 2, 1, text, context=0) == "    2 | d\n      | ^"
    assert excerpt("x", 3, None, text, context=0) == "    3 | e"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in excerpt("x", 1, 7, "a = '\x1b[31m'")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
        (b"# coding: latin-1\nx = '\xe9'\n", "# coding: latin-1\nx = '\xe9'\n"),
        (b"x = '\xff'\n", "x = '\ufffd'\n"),
        (b"# coding: klingon\nx = 1\n", "# coding: klingon\nx = 1\n"),
        (b"# coding: hex\nx = 1\n", "# coding: hex\nx = 1\n"),
        (b"", ""),
    ],
)
def test_a_source_is_read_as_python_would(tmp_path: Path, raw: bytes, text: str) -> None:
    path = tmp_path / "x.pyx"
    path.write_bytes(raw)
    assert read_source(str(path)) == text


def test_a_missing_source_gives_no_excerpt(tmp_path: Path) -> None:
    for path in (str(tmp_path / "none.pyx"), str(tmp_path), "a\0b", ""):
        assert read_source(path) is None
        assert excerpt(path, 1, 1) == ""


def _cells(text: str) -> int:
    """A terminal's own idea of the width: tab stops of 8, wide characters two, marks none."""
    width = 0
    for char in text:
        if char == "\t":
            width += 8 - width % 8
        elif not unicodedata.category(char).startswith("M"):
            width += 1 + (unicodedata.east_asian_width(char) in ("W", "F"))
    return width


@given(
    lines=st.lists(st.text("\tab =(é漢日Ａ\u0301", max_size=12), min_size=1, max_size=5),
    data=st.data(),
)
def test_the_caret_is_under_its_character(lines: list[str], data: st.DataObject) -> None:
    number = data.draw(st.integers(1, len(lines)))
    source = lines[number - 1]
    column = data.draw(st.integers(1, len(source) + 1))
    drawn = excerpt("x", number, column, "\n".join(lines)).split("\n")
    caret = next(i for i, line in enumerate(drawn) if line.startswith("      | "))
    assert drawn[caret].endswith("^") and drawn[caret - 1] == f"{number:5} | {source}".rstrip()
    assert _cells(drawn[caret][:-1]) == _cells(f"{number:5} | {source[: column - 1]}")


# -- console ---------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal()


def test_elsewhere_diagnostics_are_plain() -> None:
    out = io.StringIO()
    show_diagnostics([ERROR, NOTE], file=out)
    assert out.getvalue() == f"{ERROR.render()}\n{NOTE.render()}\n"


def test_a_terminal_gets_the_same_text_in_colour(terminal: Terminal) -> None:
    bracketed = Diagnostic("/a/[red]/b.pyx", 1, 1, "error", "[bold]no markup[/]" * 20, "cython")
    show_diagnostics([bracketed, NOTE], file=terminal)
    from rich.text import Text

    assert "\x1b[" in terminal.getvalue()
    assert Text.from_ansi(terminal.getvalue()).plain.rstrip() == (
        f"{bracketed.render()}\n{NOTE.render()}"
    )


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_refused(terminal: Terminal, monkeypatch, name, value) -> None:
    monkeypatch.setenv(name, value)
    show_diagnostics([ERROR], file=terminal)
    assert terminal.getvalue() == ERROR.render() + "\n"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CompileError([WARNING, ERROR], "foo", "/abs/foo.pyx"), MESSAGE),
        (SettingsError("a is odd", "b too"), "cyhot: 2 problems in the settings\na is odd\nb too"),
        (StoreError("no space"), "cyhot: error: no space"),
        (SwapError(), "cyhot: error: SwapError"),
    ],
)
def test_errors_are_shown_without_a_traceback(capsys, error: Exception, text: str) -> None:
    show_error(error)
    assert capsys.readouterr().err == text + "\n"


def test_a_narrow_encoding_costs_characters_only() -> None:
    raw = io.BytesIO()
    odd = Diagnostic("/日/\udcff.pyx", 1, 1, "error", "é", "cython")
    stream = io.TextIOWrapper(raw, encoding="ascii")
    show_diagnostics([odd], file=stream)
    assert raw.getvalue() == b"/\\u65e5/\\udcff.pyx:1:1: error: \\xe9\n"


def test_nothing_is_said_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed, Broken(), object()):
        monkeypatch.setattr(sys, "stderr", stream)
        notice("hello")
        show_error(StoreError("no space"))


def test_a_notice_is_one_line(capsys) -> None:
    notice("compiling foo.pyx")
    assert capsys.readouterr().err == "cyhot: compiling foo.pyx\n"
