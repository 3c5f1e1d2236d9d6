"""What compilers and linkers print becomes diagnostics about the user's sources.

The outputs in tests/compilers are captured from real compilers (see the README there); the last
test runs the compiler of this machine on what the installed Cython generates.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cyhot.building.diagnose import compiler_diagnostics
from cyhot.errors import Diagnostic, read_source

HERE = Path(__file__).parent / "compilers"
ALL = ("gcc", "clang", "zig")


def diagnose(
    output: str, c_file: str = "body.c", *, failed: bool = True, folder: Path = HERE
) -> list[Diagnostic]:
    return compiler_diagnostics(
        output,
        c_path=str(folder / c_file),
        c_text=(folder / c_file).read_text(),
        resolve=lambda name: os.path.normpath(folder / name),
        read=read_source,
        failed=failed,
    )


def captured(compiler: str, case: str, c_file: str | None = None) -> list[Diagnostic]:
    output = (HERE / f"{compiler}-{case}.txt").read_text()
    return diagnose(output, c_file or f"{case}.c")


def brief(found: Diagnostic) -> tuple[str, int | None, int | None, str]:
    return os.path.basename(found.path), found.line, found.column, found.severity


def errors(found: list[Diagnostic]) -> list[Diagnostic]:
    return [diagnostic for diagnostic in found if diagnostic.severity == "error"]


@pytest.mark.parametrize("compiler", ALL)
class TestTheBody:
    """One C file with faults of every kind."""

    def test_c_in_a_docstring_is_found_by_its_text(self, compiler: str) -> None:
        found = captured(compiler, "body")[0]
        assert brief(found) == ("body.pyx", 3, 43, "error")
        assert "undeclared_thing" in found.message
        assert found.path == str(HERE / "body.pyx")
        assert found.stage == "compiler"
        assert found.excerpt.split("\n")[1:3] == [
            "    3 |     static int helper(int a) { return a + undeclared_thing; }",
            "      |                                           ^",
        ]

    def test_a_local_variable_leads_to_its_def(self, compiler: str) -> None:
        found = captured(compiler, "body")[1]
        assert brief(found) == ("body.pyx", 10, 1, "error")
        assert "def f(int x):" in found.excerpt

    def test_a_statement_leads_to_its_line_and_word(self, compiler: str) -> None:
        found = next(f for f in captured(compiler, "body") if "too many arguments" in f.message)
        assert brief(found)[:2] == ("body.pyx", 16)
        if compiler == "gcc":  # quotes the name; clang points at the superfluous argument
            assert found.column == 12
            assert "\n      |            ^" in found.excerpt

    def test_utility_code_stays_where_it_is_in_full(self, compiler: str) -> None:
        found = captured(compiler, "body")[-1]
        assert brief(found) == ("body.c", 65, 10, "error")
        assert found.path == str(HERE / "body.c")
        assert "  return not_of_the_source;" in found.excerpt
        assert found.excerpt.count("^") == 1

    def test_notes_follow_what_they_explain(self, compiler: str) -> None:
        found = captured(compiler, "body")
        at = next(i for i, f in enumerate(found) if "too many arguments" in f.message)
        assert found[at + 1].severity == "note" and "declared here" in found[at + 1].message

    def test_chatter_is_left_out(self, compiler: str) -> None:
        everything = "\n".join(found.render() for found in captured(compiler, "body"))
        assert "generated." not in everything
        assert "In function" not in everything
        assert "reported only once" not in everything
        assert "the C compiler failed" not in everything


@pytest.mark.parametrize("compiler", ALL)
def test_an_error_in_a_header_keeps_its_place_and_tells_who_included_it(compiler: str) -> None:
    error, note = captured(compiler, "chain")
    assert brief(error) == ("bad.h", 3, 19 if compiler == "gcc" else 12, "error")
    assert error.path == str(HERE / "bad.h")
    assert "return x +;" in error.excerpt
    assert brief(note) == ("chain.pyx", 1, 19, "note")
    assert note.message == "included from here"


@pytest.mark.parametrize("compiler", ALL)
def test_a_missing_header_leads_to_its_extern(compiler: str) -> None:
    (found,) = captured(compiler, "header")
    assert brief(found) == ("header.pyx", 2, 19, "error")
    assert "include_dirs" in found.hint


@pytest.mark.parametrize("compiler", ALL)
@pytest.mark.parametrize(
    ("case", "hint"), [("numpy", "numpy.get_include()"), ("python", "python3-dev")]
)
def test_well_known_headers_have_their_own_hints(compiler: str, case: str, hint: str) -> None:
    (found,) = captured(compiler, case)
    assert brief(found) == (f"{case}.c", 2, 10, "error")
    assert "#include" in found.excerpt
    assert hint in found.hint


@pytest.mark.parametrize(
    ("compiler", "case"),
    [("gcc", "link"), ("clang", "link"), ("zig", "link"), ("gcc", "link-g"), ("clang", "link-g")],
)
def test_an_undefined_symbol_leads_to_its_first_use(compiler: str, case: str) -> None:
    missing, pythons = captured(compiler, case, "link.c")
    assert brief(missing) == ("link.pyx", 5, 12, "error")
    assert (missing.stage, missing.message) == ("linker", "undefined reference to 'elsewhere'")
    assert "libraries" in missing.hint and "sources" in missing.hint
    assert brief(pythons) == ("link.pyx", None, None, "error")
    assert pythons.message.endswith("'PyModuleDef_Init' and 1 more of Python's own symbols")
    assert "--no-undefined" in pythons.hint


@pytest.mark.parametrize(
    "output",
    [
        # Apple's linker and loaders, as their documentation and users quote them.
        'Undefined symbols for architecture arm64:\n  "_elsewhere", referenced from:\n'
        "      ___pyx_pf_4link_f in link.o\n"
        "ld: symbol(s) not found for architecture arm64\n"
        "clang: error: linker command failed with exit code 1 (use -v to see invocation)\n",
        "ld64.lld: error: undefined symbol: _elsewhere\n>>> referenced by link.o\n",
        "/store/link.so: undefined symbol: elsewhere",
        "dlopen(/store/link.so, 0x0002): symbol not found in flat namespace '_elsewhere'",
    ],
)
def test_other_linkers_and_loaders_are_understood(output: str) -> None:
    (found,) = diagnose(output, "link.c")
    assert brief(found) == ("link.pyx", 5, 12, "error")
    assert found.stage == "linker"


@pytest.mark.parametrize("compiler", ALL)
def test_a_missing_library(compiler: str) -> None:
    (found,) = captured(compiler, "library", "link.c")
    assert brief(found) == ("link.pyx", None, None, "error")
    assert "nosuchlib" in found.message
    assert "library_dirs" in found.hint
    if compiler == "zig":
        assert "/usr/lib/libnosuchlib.so" in found.excerpt


@pytest.mark.parametrize("compiler", ALL)
def test_an_unknown_option(compiler: str) -> None:
    (found,) = captured(compiler, "option", "link.c")
    assert "-fnosuchflag" in found.message
    assert "extra_compile_args" in found.hint


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_template_error_tells_who_instantiated_it(compiler: str) -> None:
    found = captured(compiler, "template", "template.cpp")
    assert found[0].path.endswith("/bits/new_allocator.h")
    assert found[0].excerpt.count("\n") == 1  # none of the chain before it
    notes = {brief(f)[:3] for f in found if f.severity == "note"}
    assert ("template.pyx", 13, 5 if compiler == "gcc" else 7) in notes  # v.push_back
    assert ("template.pyx", 5, 33) in notes  # the deleted constructor


@pytest.mark.parametrize(
    ("output", "severity", "message"),
    [
        ("body.c:52:3: internal compiler error: Segmentation fault", "error", "Segmentation fault"),
        ("gcc: fatal error: Killed signal terminated program cc1", "error",
         "Killed signal terminated program cc1"),
        ("/tmp/cc1.s:12: Error: no such instruction: `foo'", "error",
         "no such instruction: `foo'"),
        ("/usr/bin/ld: x.o: relocation R_X86_64_32 against `.rodata' can not be used", "error",
         "x.o: relocation R_X86_64_32 against `.rodata' can not be used"),
        ("/usr/bin/ld: warning: x.o: missing .note.GNU-stack section", "warning",
         "x.o: missing .note.GNU-stack section"),
        ("/usr/bin/ld: x.c:12: warning: the use of `tmpnam' is dangerous", "warning",
         "x.c:12: warning: the use of `tmpnam' is dangerous"),
        ('<command-line>: warning: "FOO" redefined', "warning", '"FOO" redefined'),
        ("cc1: all warnings being treated as errors", "error", None),
    ],
)  # fmt: skip
def test_other_lines(output: str, severity: str, message: str | None) -> None:
    found = diagnose(output)[0]
    assert found.severity == severity
    assert found.message == (message or "the C compiler failed")


def test_windows_paths() -> None:
    (found,) = diagnose(r"C:\src\x.h:3:4: error: no")
    assert (found.line, found.column, found.message) == (3, 4, "no")
    assert found.path.endswith(r"C:\src\x.h")


def test_a_failure_is_never_silent() -> None:
    (found,) = diagnose("the dog ate it\nall of it\n")
    assert brief(found) == ("body.pyx", None, None, "error")
    assert found.excerpt == "the dog ate it\nall of it"
    (found,) = diagnose("")
    assert found.message == "the C compiler failed and printed nothing"


def test_a_failure_with_nothing_but_warnings_has_an_error_too() -> None:
    output = "body.c:60:5: warning: odd [-Wodd]\nthe dog ate it"
    warning, error = diagnose(output)
    assert brief(warning) == ("body.pyx", 16, 5, "warning")
    assert error.excerpt == output


def test_a_success_needs_no_error() -> None:
    assert diagnose("chatter of a launcher", failed=False) == []
    assert diagnose("", failed=False) == []
    assert [f.severity for f in diagnose("body.c:60:5: warning: odd", failed=False)] == ["warning"]


def test_each_finding_is_told_once() -> None:
    line = "body.c:60:5: error: odd\n"
    assert len(diagnose(line * 3)) == 1
    assert len(diagnose(line + "body.c:60:9: error: even\n")) == 2


def test_a_note_on_the_same_spot_draws_nothing_again() -> None:
    error, note = diagnose("body.c:60:5: error: odd\nbody.c:60:5: note: very\n")
    assert error.excerpt and not note.excerpt


def test_a_source_that_can_not_be_read_still_has_its_line() -> None:
    (found,) = compiler_diagnostics(
        "body.c:60:5: error: odd",
        c_path="/tmp/1234/body.c",
        c_text=(HERE / "body.c").read_text(),
        resolve=lambda name: f"/gone/{name}",
        read=lambda path: None,
    )
    assert (found.path, found.line, found.column, found.excerpt) == ("/gone/body.pyx", 16, None, "")


def test_a_c_file_without_markers_is_shown_as_it_is() -> None:
    (found,) = compiler_diagnostics(
        "x.c:1:5: error: odd\n    1 | int\n      |    ^",
        c_path="/src/x.c",
        c_text="int",
        resolve=lambda name: name,
        read=lambda path: None,
    )
    assert brief(found) == ("x.c", 1, 5, "error")
    assert found.excerpt == "    1 | int\n      |    ^"


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_installed_cython_and_compiler(tmp_path: Path) -> None:
    """Cython's markers are no interface: this tells when they change."""
    for name in ("body.pyx", "header.pyx"):
        shutil.copy(HERE / name, tmp_path)
    run = {"cwd": tmp_path, "capture_output": True, "text": True}
    command = [sys.executable, "-m", "cython", "-3", "body.pyx", "header.pyx"]
    subprocess.run(command, check=True, **run)
    compile_ = ["cc", "-fsyntax-only", "-I", sysconfig.get_path("include")]
    env = {**os.environ, "LC_ALL": "C"}

    output = subprocess.run([*compile_, "body.c"], env=env, **run).stderr
    places = {brief(f)[:2] for f in errors(diagnose(output, "body.c", folder=tmp_path))}
    assert {("body.pyx", 3), ("body.pyx", 10)} <= places
    assert all(name == "body.pyx" for name, _ in places)

    output = subprocess.run([*compile_, "header.c"], env=env, **run).stderr
    (found,) = diagnose(output, "header.c", folder=tmp_path)
    assert brief(found)[:2] == ("header.pyx", 2)
