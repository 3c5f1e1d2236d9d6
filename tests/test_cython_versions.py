"""cyhot with the older Cythons that it supports: the quickstart, edited, run again, explained.

Each has a virtual environment, which is made once: in the folder that ``CYTHON_VENVS`` names, or
in pytest's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from subjects import SUBJECTS
from support import Project, clean_environment

ROOT = Path(__file__).parent.parent
QUICKSTART = ROOT / "examples" / "quickstart"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(params=["3.1", "3.2"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with an older Cython and this checkout."""
    given = os.environ.get("CYTHON_VENVS")
    cache = getattr(request.config, "cache", None)  # -p no:cacheprovider
    if given:
        folder = Path(given)
    else:
        folder = cache.mkdir("venvs") if cache else tmp_path_factory.mktemp("venvs")
    return environment(request.param, folder)


def environment(version: str, folder: Path) -> str:
    """Return the interpreter of an environment with a Cython of this series; make it if need be.

    cyhot is installed in editable mode, so what is cached is everything but the code under test.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = f"{sys.version}\n{ROOT}\n{(ROOT / 'pyproject.toml').read_text()}"
    name = f"cython-{version}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = folder / name / ("Scripts" if os.name == "nt" else "bin") / "python"
    ready = folder / name / "ready"
    with filelock.FileLock(folder / f"{name}.lock"):
        if not ready.exists():
            _call(sys.executable, "-m", "venv", "--clear", str(folder / name))
            pip = (str(python), "-m", "pip", "install", "--quiet")
            _call(*pip, f"cython=={version}.*", "--editable", str(ROOT))
            ready.touch()
    return str(python)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_quickstart(project: Project, python: str) -> None:
    for path in QUICKSTART.iterdir():
        if path.suffix in {".py", ".pyx"}:
            shutil.copy(path, project / path.name)
    original = (project / "foo.pyx").read_text()

    first = project.run("main.py", python=python)
    assert (first.stdout, first.compiles) == ("49\n", ["foo"])
    again = project.run("main.py", python=python)
    assert (again.stdout, again.compiles) == ("49\n", [])

    project.write("foo.pyx", original.replace("x * x", "x * x * x"))
    assert "foo.pyx changed" in why(project, python)
    edited = project.run("main.py", python=python)
    assert (edited.stdout, edited.compiles) == ("343\n", ["foo"])

    project.write("foo.pyx", original)
    reverted = project.run("main.py", python=python)
    assert (reverted.stdout, reverted.compiles) == ("49\n", [])


def test_an_error_has_its_line(project: Project, python: str) -> None:
    project.write("bad.pyx", "def f(x):\n    return x * y\n")
    run = project.run("import cyhot; cyhot.install(); import bad", python=python, check=False)
    assert run.returncode == 1
    assert "bad.pyx:2:16: error: undeclared name not builtin: y" in run.stderr


def test_the_benchmarks_modules_give_no_warning(tmp_path: Path, python: str) -> None:
    for name, *options in (("large",), ("words", "--cplus")):
        for file, text in SUBJECTS[name].files(1).items():
            (tmp_path / file).write_text(text)
        done = subprocess.run(
            [python, "-m", "cython", "-3", *options, f"{name}.pyx"],
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), name


def why(project: Project, python: str) -> str:
    """Return what `cyhot why foo` prints."""
    done = subprocess.run(
        [python, "-m", "cyhot", "why", "foo"],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


BASE_PXD = """
cdef int twice(int x)
cdef class Base:
    cdef int value(self)
"""
BASE = """
cdef int twice(int x):
    return VERSION * x
cdef class Base:
    cdef int value(self):
        return VERSION
    def get(self):
        return self.value()
"""
SWAPPED = """
from base cimport Base, twice
kept = []
data = VERSION
__cyhot_keep__ = ("kept",)
def f(x, y=VERSION):
    return x, y, twice(x)
def make(n):
    def inner():
        return VERSION, n
    return inner
class P:
    def m(self):
        return VERSION
cdef class Sub(Base):
    cdef public int n
    cdef int value(self):
        return VERSION * 10 + self.n
    def __len__(self):
        return VERSION
DEFAULT = Sub()
"""
SWAPS = """
import cyhot
cyhot.install(watch=False, verbose=0)
import base, swapped
from swapped import f, make, P, Sub
inner, p, sub, plain = make(7), P(), Sub(), base.Base()
sub.n = 3
swapped.kept.append(1)
def save(name, version):
    text = open(name + ".txt").read().replace("VERSION", str(version))
    open(name + ".pyx", "w").write(text)
def answers():
    return f(2), inner(), p.m(), sub.get(), len(sub), plain.get(), swapped.data, swapped.kept
print(answers())
save("swapped", 2); print(cyhot.refresh().ok, answers())
save("base", 3); print(cyhot.refresh().ok, answers(), type(swapped.DEFAULT) is Sub)
save("swapped", "nowhere"); print(cyhot.refresh().ok, answers())
print(cyhot.rollback().ok, answers())
"""


def test_swapping_functions_classes_cdef_classes_and_pointers(
    project: Project, python: str
) -> None:
    project.write("base.pxd", BASE_PXD)
    for name, text in (("base", BASE), ("swapped", SWAPPED)):
        project.write(f"{name}.txt", text)
        project.write(f"{name}.pyx", text.replace("VERSION", "1"))
    told = project.run(SWAPS, python=python).stdout.splitlines()
    first = "((2, 1, 2), (1, 7), 1, 13, 1, 1, 1, [1])"
    second = "((2, 2, 2), (2, 7), 2, 23, 2, 1, 2, [1])"
    third = "((2, 2, 6), (2, 7), 2, 23, 2, 3, 2, [1])"
    wanted = [first, f"True {second}", f"True {third} True", f"False {third}", f"True {second}"]
    assert told == wanted
