"""Heads: what spares reading records never brings a stale image, whatever became of it."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Project, Run

from cyhot.building import looks
from cyhot.building.heads import Heads
from cyhot.building.prepare import prepare

CHEAP = {"CFLAGS": "-O0"}
OTHERS = [f"other{i}" for i in range(8)]
TEXTS = {
    "m.pyx": """\
        from core cimport N
        cdef extern from "n.h":
            int H
        cdef int x = 7, y = -2
        value = (1, N, H, x // y)
        """,
    "core.pxd": "cdef enum: N = 1",
    "n.h": "#define H 1",
    "pyproject.toml": "[tool.cyhot]\n",
    **{f"{name}.pyx": f"value = {name[5:]}" for name in OTHERS},
}
VALUE = "(1, 1, 1, -4)"
EDITS = {
    "the source": ("m.pyx", TEXTS["m.pyx"].replace("(1,", "(2,"), "(2, 1, 1, -4)"),
    "a shared pxd": ("core.pxd", "cdef enum: N = 2", "(1, 2, 1, -4)"),
    "a header": ("n.h", "#define H 2", "(1, 1, 2, -4)"),
    "settings": (
        "pyproject.toml",
        "[[tool.cyhot.module]]\nmatch = 'm'\ndirectives = {cdivision = true}\n",
        "(1, 1, 1, -3)",
    ),
    "a pxd that appears": ("m.pxd", "cdef enum: OWN = 3", VALUE),
}
COUNTED = """
import os, sys
opened = []
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and "/records/" in arguments[0]:
        opened.append(arguments[0])
sys.addaudithook(note)
import cyhot; cyhot.install()
from cyhot.building import looks
looks.MANY = 2
"""
ALL = COUNTED + f"import m, {', '.join(OTHERS)}\nprint(m.value, len({{*opened}}))"


class Known:
    """A project whose modules all have heads.

    Args:
        project: It.
        in_c: Whether its programs look at files with what was compiled for that.
    """

    def __init__(self, project: Project, in_c: bool) -> None:
        self.project = project
        self.in_c = in_c

    def reset(self) -> None:
        """Undo edits, and run until everything is known (and old enough to be)."""
        for path in self.project.root.iterdir():
            if path.name not in TEXTS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, text in TEXTS.items():
            if not (self.project / name).exists() or EDITED.intersection((name,)):
                self.project.write(name, text)
        wanted = looks.want(str(self.project.store))
        assert wanted is not None
        for _ in range(200):
            if self.run(ALL).stdout.split()[-1] == "0":
                break
            assert not self.in_c or prepare(wanted)
        else:
            raise AssertionError("there are no heads")
        told = self.run(ALL + "\nprint(looks.is_compiled())").stdout.split()[-1]
        assert told == str(self.in_c)

    def run(self, code: str) -> Run:
        return self.project.run(code, env=CHEAP)

    def files(self) -> list[Path]:
        return list((self.project.store / "heads").iterdir())

    def image(self) -> Path:
        return Path(self.run(ALL + "\nprint(m.__cached__)").stdout.split()[-1])


EDITED = {name for name, _, _ in EDITS.values()}


IN_C = {
    "test_unchanged_modules_are_found_without_their_records",
    "test_an_edit_between_two_imports_is_noticed",
    "test_an_edit_between_a_spec_and_its_module_is_noticed",
    "test_an_image_that_was_lost_is_built_again",
    "test_a_known_source_that_is_removed_is_not_imported",
}
"""Tests that are for looking at files in C as well; for the others that makes no difference."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "built" in metafunc.fixturenames:
        ways = ["in Python", *(["in C"] if metafunc.function.__name__ in IN_C else [])]
        metafunc.parametrize("built", ways, indirect=True, scope="module")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Known:
    return Known(Project(tmp_path_factory.mktemp("heads")), request.param == "in C")


@pytest.fixture
def known(built: Known) -> Iterator[Known]:
    built.reset()
    yield built


def test_unchanged_modules_are_found_without_their_records(known: Known) -> None:
    run = known.run(ALL + "\nprint([m.__file__, other1.__spec__.origin, other2.value])")

    assert run.stdout.splitlines()[0] == f"{VALUE} 0"
    assert run.stdout.splitlines()[1] == str(
        [str(known.project / "m.pyx"), str(known.project / "other1.pyx"), 2]
    )
    assert run.compiles == []


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_noticed_by_the_next_process(known: Known, edit: str) -> None:
    name, text, value = EDITS[edit]
    known.project.write(name, text)

    run = known.run(ALL)

    assert run.stdout.rpartition(" ")[0] == value
    assert run.compiles == ["m"]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_between_two_imports_is_noticed(known: Known, edit: str) -> None:
    name, text, value = EDITS[edit]
    run = known.run(
        COUNTED
        + f"import {', '.join(OTHERS)}\n"
        + "before = len(opened)\n"
        + f"with open({name!r}, 'w') as file: file.write({textwrap.dedent(text) + chr(10)!r})\n"
        + "import m\nprint(before, m.value)"
    )

    assert run.stdout == f"0 {value}\n"
    assert run.compiles == ["m"] or edit == "settings"  # those were built for before


def test_an_edit_between_a_spec_and_its_module_is_noticed(known: Known) -> None:
    text = textwrap.dedent(EDITS["the source"][1])
    run = known.run(
        COUNTED
        + "import other0, importlib.util\n"
        + "spec = importlib.util.find_spec('m')\n"
        + f"with open('m.pyx', 'w') as file: file.write({text!r})\n"
        + "module = importlib.util.module_from_spec(spec)\n"
        + "spec.loader.exec_module(module)\nprint(module.value)"
    )

    assert run.stdout == "(2, 1, 1, -4)\n"


MOVED = {"to where no import looks": "elsewhere/other7.pyx", "to a package": "other7/__init__.pyx"}


@pytest.mark.parametrize("how", MOVED)
def test_a_known_module_that_was_moved_is_not_looked_for_in_the_working_folder(
    known: Known, tmp_path: Path, how: str
) -> None:
    root = known.project.root
    target = root / MOVED[how]
    (tmp_path / "other7.pyx").write_text("value = 'of no path entry'\n")
    target.parent.mkdir()
    (root / "other7.pyx").rename(target)

    run = known.run(
        COUNTED
        + f"sys.path[0] = {str(root)!r}\n"
        + f"import other0\nos.chdir({str(tmp_path)!r})\n"
        + "try:\n    import other7 as found\nexcept ModuleNotFoundError:\n    found = None\n"
        + "print(getattr(found, 'value', None))"
    )

    target.rename(root / "other7.pyx")
    assert run.stdout == ("7\n" if how == "to a package" else "None\n")


def test_what_a_body_raises_is_shown_without_the_import_systems_frames(known: Known) -> None:
    known.project.write("other7.pyx", "value = 7\nimport os\nif os.environ.get('RAISE'): 1 / 0\n")
    for _ in range(200):
        if known.run(ALL).stdout.split()[-1] == "0":
            break
    run = known.project.run(
        "import cyhot; cyhot.install(); import other7", env={**CHEAP, "RAISE": "1"}, check=False
    )
    known.project.write("other7.pyx", TEXTS["other7.pyx"])

    frames = [line for line in run.stderr.splitlines() if line.startswith("  File ")]
    assert run.compiles == [] and "ZeroDivisionError" in run.stderr
    assert len(frames) == 2 and "<string>" in frames[0] and "other7.pyx" in frames[1], run.stderr


def test_flags_in_another_environment_that_took_the_first_ones_place_are_noticed(
    known: Known,
) -> None:
    run = known.run(
        COUNTED
        + "import other0\n"
        + "os.environ = {**os.environ, 'CFLAGS': '-O0 -DH=6'}\nimport m\nprint(m.__cached__)"
    )

    assert run.compiles == ["m"]
    assert run.stdout.strip() != str(known.image())


def test_other_flags_in_the_environment_are_noticed_between_two_imports(known: Known) -> None:
    run = known.run(
        COUNTED + "import other0\nos.environ['CFLAGS'] = '-O0 -DH=5'\nimport m\nprint(m.__cached__)"
    )

    assert run.compiles == ["m"]
    assert run.stdout.strip() != str(known.image())


@pytest.mark.parametrize("how", ["truncated", "flipped", "removed", "another folder's"])
def test_damaged_heads_cost_time_and_nothing_else(known: Known, tmp_path: Path, how: str) -> None:
    elsewhere = tmp_path / "heads"
    elsewhere.write_bytes(Heads("", "0" * 32).dump())
    for path in known.files():
        data = path.read_bytes()
        if how == "removed":
            path.unlink()
        elif how == "another folder's":
            path.write_bytes(elsewhere.read_bytes())
        else:
            half = len(data) // 2
            rest = b"" if how == "truncated" else bytes([data[half] ^ 1]) + data[half + 1 :]
            path.write_bytes(data[:half] + rest)

    run = known.run(ALL)
    again = known.run(ALL)

    assert run.stdout == f"{VALUE} {len(OTHERS) + 1}\n"
    assert again.stdout == f"{VALUE} 0\n"
    assert run.compiles == again.compiles == []


@pytest.mark.parametrize("how", ["evicted", "truncated"])
def test_an_image_that_was_lost_is_built_again(known: Known, how: str) -> None:
    image = known.image()
    if how == "evicted":
        shutil.rmtree(image.parent)
    else:
        image.write_bytes(image.read_bytes()[:1000])

    run = known.run(ALL)

    assert run.stdout.startswith(VALUE)
    assert run.compiles == ["m"]


def test_what_appears_beside_a_known_source_is_said_to_be_passed_over(known: Known) -> None:
    known.project.write("m.py", "value = 'plain'")

    run = known.run(ALL)

    assert run.stdout.startswith(VALUE)
    assert f"passed over: {known.project / 'm.py'}" in run.stderr


def test_a_known_source_that_is_removed_is_not_imported(known: Known) -> None:
    (known.project / "m.pyx").unlink()
    known.project.write("m.py", "value = 'plain'")

    assert known.run(ALL).stdout.startswith("plain ")


def test_processes_that_write_heads_at_the_same_time_leave_whole_ones(known: Known) -> None:
    for path in known.files():
        path.unlink()

    started = [known.project.start(ALL, env=CHEAP) for _ in range(3)]
    told = [process.communicate()[0] for process in started]

    assert all(text.startswith(VALUE) for text in told)
    assert known.run(ALL).stdout == f"{VALUE} 0\n"


def test_cleaning_the_store_takes_heads_with_it(known: Known) -> None:
    assert known.files()

    known.project.run(
        "import sys; sys.argv[1:] = ['cache', 'clean']; from cyhot.cli import main; main()",
        env=CHEAP,
    )

    assert known.files() == []
