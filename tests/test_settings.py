"""Settings: which value holds, where it comes from, and what is said of a wrong one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Project

from cyhot import SettingsError
from cyhot.settings import (
    FIELDS,
    check,
    from_environment,
    matches,
    module_layers,
    read_pyproject,
    resolve,
)
from cyhot.settings_errors import describe, parse_pyproject

VALUE = '''\
cdef extern from *:
    """
    #ifndef VALUE
    #define VALUE 0
    #endif
    """
    int VALUE
x = VALUE
'''


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        parse_pyproject("/p/pyproject.toml", text.encode())
    return tuple(map(str, caught.value.problems))


def test_a_wrong_key_names_the_nearest_right_one() -> None:
    (told,) = problems("[tool.cyhot]\nincldue_dirs = ['x']\n")
    assert "'incldue_dirs'" in told and "'include_dirs'" in told and "/p/pyproject.toml" in told


def test_every_wrong_setting_is_told_at_once() -> None:
    told = problems(
        """
        [tool.cyhot]
        profile = "fast"
        inplace = "yes"
        [[tool.cyhot.module]]
        match = "a.*"
        libraries = 3
        language_level = 4
        [[tool.cyhot.module]]
        match = 7
        """
    )
    assert len(told) == 5
    assert "one of 'dev', 'release', 'debug', 'trace'" in told[0]
    assert "true or false, not 'yes'" in told[1]
    assert "a.*" in told[2] and "a string or a list of strings" in told[2]


def test_a_pyproject_that_is_not_toml_says_where() -> None:
    (told,) = problems("[tool.cyhot\n")
    assert "not valid TOML" in told and "line 1" in told


def test_install_tells_wrong_keywords_like_wrong_settings(project: Project) -> None:
    program = """
        import cyhot
        try:
            cyhot.install(profil="dev", settle=-1)
        except cyhot.SettingsError as error:
            print(*error.problems, sep="\\n")
    """
    first, second = project.run(program).stdout.splitlines()
    assert "did you mean 'profile'?" in first
    assert "settle takes a number of seconds" in second


def test_a_wrong_variable_is_told() -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({"CYHOT_PROFLE": "dev", "CYHOT_INPLACE": "perhaps", "PATH": "x"}, "/")
    first, second = caught.value.problems
    assert "did you mean 'profile'?" in str(first) and "CYHOT_" in str(first)
    assert "inplace takes true or false" in str(second)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PROFILE", "debug", "debug"),
        ("LANGUAGE_LEVEL", "2", 2),
        ("LANGUAGE_LEVEL", "3str", "3str"),
        ("INPLACE", "on", True),
        ("INPLACE", "0", False),
        ("KEEP_C", "yes", True),
        ("KEEP_C", "/x/y", "/x/y"),
        ("INCLUDE_DIRS", os.pathsep.join(["/a", "/b"]), ("/a", "/b")),
        ("EXTRA_COMPILE_ARGS", "-O1 '-DX=a b'", ("-O1", "-DX=a b")),
        ("DEFINE_MACROS", "A B=2", (("A", None), ("B", "2"))),
        ("DIRECTIVES", "nonecheck=True,cpow=no", {"nonecheck": "True", "cpow": "no"}),
        ("CACHE_SIZE", "500 MB", 500 * 2**20),
        ("CACHE_SIZE", "1000", 1000),
        ("SETTLE", "0.5", 0.5),
        ("JOBS", "3", 3),
        ("VERBOSE", "2", 2),
    ],
)  # fmt: skip
def test_variables_are_text_for_values(name: str, text: str, value: object) -> None:
    assert from_environment({f"CYHOT_{name}": text}, "/") == {name.lower(): value}


def test_a_language_level_may_be_text_as_cython_takes_it() -> None:
    """``pyximport.install(language_level="3")`` is what many programs say."""
    assert check("here", {"language_level": "3"}, "/") == {"language_level": 3}
    with pytest.raises(SettingsError, match="language_level takes one of 2, 3, '3str', not '4'"):
        check("here", {"language_level": "4"}, "/")


def test_macros_may_be_written_in_three_ways() -> None:
    ways = ({"A": "1", "B": None}, ["A=1", "B"], [("A", "1"), ("B", None)])
    values = [check("here", {"define_macros": way}, "/")["define_macros"] for way in ways]
    assert values == [(("A", "1"), ("B", None))] * 3


def test_relative_paths_are_relative_to_where_they_are_written() -> None:
    values = check("here", {"include_dirs": ["inc", "/abs", "~/x"], "build_dir": "b"}, "/base")
    assert values["include_dirs"] == ("/base/inc", "/abs", os.path.expanduser("~/x"))
    assert values["build_dir"] == "/base/b"


def test_folders_among_arguments_are_relative_to_where_they_are_written() -> None:
    """The compiler runs somewhere else; there `-Iinc` would be nothing."""
    words = ["-Iinc", "-I", "inc", "-isystem", "/abs", "-I=usr", "-O2", "-Linc", "inc"]
    placed = ("-I/base/inc", "-I", "/base/inc", "-isystem", "/abs", "-I=usr", "-O2", "-L/base/inc")
    for name in ("extra_compile_args", "extra_link_args"):
        assert check("here", {name: words}, "/base")[name] == (*placed, "inc")


def test_module_tables_hold_for_the_modules_that_match() -> None:
    text = b"""
        [tool.cyhot]
        profile = "release"
        [[tool.cyhot.module]]
        match = ["pkg.fast", "pkg.hot.*"]
        profile = "debug"
        [[tool.cyhot.module]]
        match = "pkg.hot.x"
        libraries = "m"
    """
    tables = parse_pyproject("/p/pyproject.toml", text)

    def profile(name: str) -> object:
        return resolve(module_layers("/p/pyproject.toml", tables, name))["profile"]

    assert [profile(n) for n in ("pkg", "pkg.fast", "pkg.hot.x")] == ["release", "debug", "debug"]
    layers = resolve(module_layers("/p/pyproject.toml", tables, "pkg.hot.x"))
    assert layers["libraries"] == ("m",) and "pkg.hot.x" in layers.origin("libraries")


def test_a_pyproject_that_does_not_name_cyhot_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("this is not TOML at all")

    def fail(data: bytes) -> None:
        raise AssertionError("it was parsed")

    assert read_pyproject(str(path), fail) == ({}, ())


@given(st.lists(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.integers()), max_size=5))
def test_the_last_layer_that_has_a_value_wins(layers: list[dict[str, object]]) -> None:
    settings = resolve([(str(i), layer) for i, layer in enumerate(layers)])
    for name, field in FIELDS.items():
        having = [(i, layer[name]) for i, layer in enumerate(layers) if name in layer]
        expected = having[-1] if having else ("default", field[1])
        assert settings[name] == expected[1]
        assert settings.origin(name) == str(expected[0])


def test_every_type_of_setting_can_be_described() -> None:
    assert all(describe(field[0]) for field in FIELDS.values())


@pytest.mark.parametrize(
    ("patterns", "name", "fits"),
    [
        ((), "a", False),
        (("*",), "a.b", True),
        (("a.*",), "a.b.c", True),
        (("a.*",), "a", False),
        (("a.b",), "a.b", True),
        (("a.?",), "a.bc", False),
        (("x", "*.core"), "pkg.core", True),
    ],
)
def test_patterns_are_over_dotted_names(patterns: tuple[str, ...], name: str, fits: bool) -> None:
    assert matches(patterns, name) is fits


def test_one_documented_order_of_settings(project: Project) -> None:
    """defaults < pyproject < its module tables < CYHOT_* < install() < the source's header."""
    project.write(
        "pyproject.toml",
        """
        [tool.cyhot.directives]
        embedsignature = true
        [[tool.cyhot.module]]
        match = "b"
        define_macros = ["VALUE=2"]
        [[tool.cyhot.module]]
        match = "e"
        define_macros = ["VALUE=2"]
        """,
    )
    source = VALUE
    project.write("a.pyx", source)
    project.write("b.pyx", source)
    project.write("c.pyx", source)
    project.write("d.pyx", source)
    project.write("e.pyx", "# distutils: undef_macros=VALUE\n" + source)
    program = "import cyhot, json, sys; cyhot.install({}); import {n}; print({n}.x)"
    fast = {"CFLAGS": "-O0"}
    macro = {**fast, "CYHOT_DEFINE_MACROS": "VALUE=3"}
    given_ = "define_macros=['VALUE=4']"
    answers = [
        project.run(program.format("", n="a"), env=fast).stdout,
        project.run(program.format("", n="b"), env=fast).stdout,
        project.run(program.format("", n="c"), env=macro).stdout,
        project.run(program.format(given_, n="d"), env=macro).stdout,
        project.run(program.format("", n="e"), env=fast).stdout,
    ]
    assert [answer.strip() for answer in answers] == ["0", "2", "3", "4", "0"]


def test_why_settings_shows_each_value_with_its_origin(project: Project) -> None:
    path = project.write("pyproject.toml", "[tool.cyhot]\nprofile = 'release'\n")
    project.write("foo.pyx", "x = 1\n")
    program = "from cyhot.cli import cli; cli(['why', 'foo', '--settings', '--json'])"
    rows = json.loads(project.run(program, env={"CYHOT_VERBOSE": "0"}).stdout)
    origins = {row["setting"]: (row["value"], row["origin"]) for row in rows}
    assert origins["profile"] == ("release", f"{path} [tool.cyhot]")
    assert origins["verbose"] == (0, "the environment")
    assert origins["language_level"] == (3, "default")


def test_every_setting_is_documented() -> None:
    text = (Path(__file__).parents[1] / "docs" / "settings.md").read_text()
    assert [name for name in FIELDS if f"`{name}`" not in text] == []
