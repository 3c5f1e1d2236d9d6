"""``cyhot watch`` as its user sees it: a save, and the image is there."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from held import CHEAP, PATIENCE, HeldCompiler, ended
from support import FOO, Project
from warm import running

WATCH = "import sys; from cyhot.cli import main; sys.argv[0] = 'cyhot'; main()"
USES_FOO = "import cyhot; cyhot.install(); import foo; print(foo.sqr(3))"


class Watch:
    """A ``cyhot watch`` that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """The next line that it prints."""
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.process.stderr.read()}"
        return line.rstrip("\n")

    def lines_until(self, end: str) -> list[str]:
        """The lines up to one that starts so."""
        lines = [self.line()]
        while not lines[-1].startswith(end):
            lines.append(self.line())
        return lines

    def event(self, kind: str, accept: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
        """The next event of a kind (``--json``)."""
        while True:
            event = json.loads(self.line())
            if event["event"] == kind and accept(event):
                return event

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send it a signal; gives its exit status and its standard error without progress."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE)
        lines = (line for line in err.splitlines(True) if "compiling" not in line)
        return self.process.returncode, "".join(lines)


@contextmanager
def watching(project: Project, *args: str, env: dict[str, str] = CHEAP) -> Iterator[Watch]:
    with ended(project.start(WATCH, "watch", *args, env=env)) as process:
        yield Watch(process)
        process.kill()  # unless the test ended it


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldCompiler]:
    compiler = HeldCompiler(tmp_path / "compiler")
    yield compiler
    compiler.close()


def test_what_is_saved_is_built_before_the_program_is_run(project: Project) -> None:
    project.write("foo.pyx", FOO)
    with watching(project) as watch:
        lines = watch.lines_until("cyhot: watching")
        assert lines[0].startswith("cyhot: foo built in ")
        assert lines[-1] == f"cyhot: watching {project.root}: 1 module"
        assert project.run(USES_FOO, env=CHEAP).compiles == []
        project.write("foo.pyx", FOO.replace("x * x", "x * x * x"))
        built = watch.line()
        assert built.startswith("cyhot: foo built in ")
        assert built.endswith(" s (foo.pyx changed)")
        run = project.run(USES_FOO, env=CHEAP)
        assert (run.stdout, run.compiles) == ("27\n", [])
        assert watch.end() == (0, "")


def test_what_is_saved_in_src_is_found_by_the_program(project: Project) -> None:
    project.write("src/wp/__init__.py", "")
    project.write("src/wp/k.pyx", "V = 1\n")
    uses = "import sys; sys.path.insert(0, 'src'); import cyhot; cyhot.install(); "
    uses += "from wp import k; print(k.V)"
    with watching(project, "src") as watch:
        assert watch.lines_until("cyhot: watching")[-1] == "cyhot: watching src: 1 module"
        project.write("src/wp/k.pyx", "V = 2\n")
        assert watch.line().endswith(" s (k.pyx changed)")
        run = project.run(uses, env=CHEAP)
        assert (run.stdout, run.compiles) == ("2\n", [])
        assert watch.end() == (0, "")


def test_a_part_of_a_package_that_is_called_build_is_watched(project: Project) -> None:
    for folder in ("pk", "pk/build"):
        project.write(f"{folder}/__init__.py", "")
    with watching(project) as watch:
        watch.lines_until("cyhot: watching")
        project.write("pk/build/k.pyx", "V = 1\n")
        assert watch.line().startswith("cyhot: pk.build.k built in ")


def test_errors_stay_shown_until_they_are_mended(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write("bar.pyx", "def one(): return 1\n")
    with watching(project) as watch:
        watch.lines_until("cyhot: watching")
        project.write("foo.pyx", FOO.replace("x * x", "x * y"))
        shown = watch.lines_until("cyhot: 1 module to be mended")
        assert shown[0] == f"{project / 'foo.pyx'}:2:16: error: undeclared name not builtin: y"
        project.write("bar.pyx", "def one(): return 2\n")
        assert watch.line().startswith("cyhot: bar built in ")
        assert watch.lines_until("cyhot: 1 module to be mended") == shown
        project.write("foo.pyx", FOO)  # as it was: its image is still there
        assert watch.line() == "cyhot: no modules to be mended"
        assert watch.end() == (0, "")


def test_a_save_builds_its_dependents_and_nothing_else(project: Project, tmp_path: Path) -> None:
    """Wherever the file is: a .pxi of another folder is one that the record names."""
    included = tmp_path / "elsewhere" / "k.pxi"
    included.parent.mkdir()
    included.write_text("K = 1\n")
    project.write("a.pyx", f'include "{included}"\n')
    project.write("b.pyx", "cimport c\nX = c.f()\n")
    project.write("c.pxd", "cdef inline int f(): return 1\n")
    with watching(project, "--json") as watch:
        watch.event("Settled", lambda event: str(included.parent) in event["paths"])
        seen = len(project.compiles())
        included.write_text("K = 2\n")
        assert watch.event("Settled")["built"] == 1
        project.write("c.pxd", "cdef inline int f(): return 2\n")
        assert watch.event("Settled")["built"] == 1
        assert project.compiles()[seen:] == ["a", "b"]


def test_a_touch_and_a_comment_elsewhere_build_nothing(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write("other.pxd", "# nobody reads this\n")
    with watching(project, "--json") as watch:
        watch.event("WatchStarted")
        (project / "foo.pyx").touch()
        # (With it, perhaps, a folder of sys.path in which nothing that it cimports may appear.)
        touched = str(project / "foo.pyx")
        settled = watch.event("Settled", lambda event: touched in event["paths"])
        assert [path for path in settled["paths"] if not Path(path).is_dir()] == [touched]
        project.write("other.pxd", "# nor this\n")
        assert watch.event("Settled")["paths"] == [str(project / "other.pxd")]
    assert project.compiles() == ["foo"]


def test_a_new_module_and_new_settings_are_built(project: Project) -> None:
    with watching(project, "--json") as watch:
        assert watch.event("WatchStarted")["modules"] == 0
        project.write("pk/__init__.py", "")
        project.write("pk/foo.pyx", FOO)
        watch.event("BuildFinished", lambda event: event["name"] == "pk.foo")
        watch.event("Settled")
        project.write("pyproject.toml", "[tool.cyhot]\ndirectives = {cdivision = true}\n")
        watch.event("BuildFinished", lambda event: event["name"] == "pk.foo")
        project.write("pyproject.toml", "[tool.cyhot\n")
        watch.event("Settled", lambda event: event["built"] == 0)
        project.write("pyproject.toml", "[tool.cyhot]\ndirectives = {boundscheck = false}\n")
        watch.event("BuildFinished", lambda event: event["name"] == "pk.foo")
        status, err = watch.end()
    assert status == 0
    assert err.startswith(f"cyhot: 1 problem in the settings\n{project / 'pyproject.toml'}")


def test_a_program_that_is_started_meanwhile_waits_for_the_build_in_flight(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    project.write("main.py", "import cyhot; cyhot.install(); import held; print(held.sqr(9))")
    with watching(project, env=held.env) as watch:
        held.wait_until_it_runs()
        with ended(project.start("main.py", env=held.env)) as program:
            assert program.stderr.readline() == (
                "cyhot: waiting for another process that builds held\n"
            )
            held.release()
            assert program.communicate(timeout=PATIENCE) == ("81\n", "")
        watch.lines_until("cyhot: watching")
        assert watch.end() == (0, "")
    assert project.compiles() == ["held"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_the_compiler_that_runs(
    project: Project, held: HeldCompiler, number: signal.Signals
) -> None:
    project.write("held.pyx", FOO)
    with watching(project, env=held.env) as watch:
        compiler = held.wait_until_it_runs()
        assert watch.end(number) == (0, "")
    assert compiler.are_gone()
    compiler.close()
    assert list((project.store / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_while_it_waits(project: Project, number: signal.Signals) -> None:
    with watching(project) as watch:
        watch.lines_until("cyhot: watching")
        assert watch.end(number) == (0, "")


def test_a_target_that_is_not_there_is_a_usage_error(project: Project) -> None:
    with watching(project, "nothing/here") as watch:
        _, err = watch.process.communicate(timeout=PATIENCE)
    assert watch.process.returncode == 2
    assert "nothing/here" in err


def test_a_signal_ends_it_at_once_while_the_background_compiler_builds(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    with running() as worker, watching(project, env={**worker.env, **held.env}) as watch:
        compiler = held.wait_until_it_runs()
        assert watch.end() == (0, "")
        assert compiler.are_gone()
    compiler.close()


def test_a_header_that_appears_in_an_earlier_include_folder_is_noticed(
    project: Project, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    (second / "hh.h").write_text("#define HH 1\n")
    project.write(
        "foo.pyx",
        f'# distutils: include_dirs = {first} {second}\ncdef extern from "hh.h":\n    int HH\n'
        "X = HH\n",
    )
    with watching(project, "--json") as watch:
        watch.event("Settled", lambda event: str(first) in event["paths"])
        (first / "hh.h").write_text("#define HH 2\n")
        assert watch.event("Settled")["built"] == 1
