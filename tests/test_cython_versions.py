"""cyhot with the older Cythons that it supports: the quickstart, edited, run again, explained.

Each has a virtual environment, which is made once: in the folder that ``CYTHON_VENVS`` names, or
in pytest's cache.
"""

from __future__ import annotations

import hashlib
import json
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


@pytest.fixture
def venvs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the environments."""
    if given := os.environ.get("CYTHON_VENVS"):
        return Path(given)
    cache = getattr(request.config, "cache", None)  # -p no:cacheprovider
    return cache.mkdir("venvs") if cache else tmp_path_factory.mktemp("venvs")


@pytest.fixture(params=["3.1", "3.2"])
def python(request: pytest.FixtureRequest, venvs: Path) -> str:
    """The interpreter of an environment with an older Cython and this checkout."""
    return environment(request.param, venvs)


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
import base, plain
from plain import f as plain_f
kept = []
data = VERSION
__cyhot_keep__ = ("kept",)
def f(x, y=VERSION):
    return x, y
def linked(int x):
    return VERSION, twice(x)
def make(n):
    def inner():
        return VERSION, n
    return inner
class P:
    label = VERSION
    def m(self):
        return VERSION
cdef class Sub(Base):
    cdef public int n
    cdef int value(self):
        return VERSION * 10 + self.n
    def __len__(self):
        return VERSION
DEFAULT = Sub()
SEEN = plain.f(0)[0], plain_f(0)[0], twice(1)
"""
PLAIN = """
# cython: binding=False
def f(x, k=VERSION):
    return VERSION, x, k
class P:
    def m(self):
        return VERSION
    @staticmethod
    def s(k=VERSION):
        return VERSION, k
cdef class C:
    def m(self, k=VERSION):
        return VERSION, k
def make(n):
    def inner():
        return VERSION, n
    return inner
"""
SWAPS = """
import functools
import cyhot
cyhot.install(watch=False, verbose=0)
import base, plain, swapped
from swapped import f, linked, make, P, Sub
inner, p, sub, exported = make(7), P(), Sub(), base.Base()
sub.n = 3
swapped.kept.append(1)
plain_f, plain_p, plain_c, plain_inner = plain.f, plain.P(), plain.C(), plain.make(7)
held = [plain_f, functools.partial(plain_f), plain_p.m, plain.P.s, plain_c.m, plain_inner]
def save(version, *names, change=("", "")):
    for name in names:
        text = open(name + ".txt").read().replace("VERSION", str(version)).replace(*change)
        open(name + ".pyx", "w").write(text)
    return cyhot.refresh()
def functions(v, w):
    return (f(2), inner(), swapped.data, swapped.kept) == ((2, v), (v, 7), v, [1])
def classes(v, w):
    return (p.m(), P.label, type(p) is swapped.P is P) == (v, v, True)
def compiled(v, w):
    told = sub.get(), len(sub), exported.get(), type(swapped.DEFAULT) is swapped.Sub is Sub
    return told == (v * 10 + 3, v, w, True)
def pointers(v, w):
    return linked(2) == (v, 2 * w)
def unbound(v, w):
    return [one(0) if at < 2 else one() for at, one in enumerate(held)] == [
        (w, 0, w), (w, 0, w), w, (w, w), (w, w), (w, 7)]
def imports(v, w):
    return swapped.SEEN == (w, w, w)
rows = {
    "functions, closures, module data": functions, "functions without binding": unbound,
    "Python classes": classes, "cdef classes with the same fields": compiled,
    "pointers of cimporting modules redirected": pointers,
    "modules that are saved together see one another": imports,
}
def all_of(v, w):
    return {row: ask(v, w) for row, ask in rows.items()}
steps = [all_of(1, 1)]
assert save(2, "swapped").ok
steps.append(all_of(2, 1))
assert save(3, "base", "plain").ok
del rows["modules that are saved together see one another"]
steps.append(all_of(2, 3))
rows["modules that are saved together see one another"] = imports
assert save(4, "base", "plain", "swapped").ok
steps.append(all_of(4, 4))
told = {row: all(step.get(row, True) for step in steps) for row in rows}
report = save(5, "base", "plain", "swapped", change=("public int n", "public long n"))
told["cdef classes with other fields"] = "refused" if not report.ok and all(
    all_of(4, 4).values()) and "its fields changed" in str(report) else str(report)
assert not save("nowhere", "swapped").ok
told["a body that raises changes nothing"] = all(all_of(4, 4).values())
cyhot.rollback()
told["rollback"] = all(all_of(2, 3)[row] for row in rows if rows[row] is not imports)
words = {True: "yes", False: "no"}
import json
print(json.dumps({row: words.get(what, what) for row, what in told.items()}))
"""


def tiers() -> dict[str, dict[str, str]]:
    """The table in docs/live.md: for each Cython what becomes of each kind of thing."""
    lines = (ROOT / "docs" / "live.md").read_text().partition("## Tiers")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    head, _, *body = rows[: next((at for at, row in enumerate(rows) if not row), len(rows))]
    return {
        version.removeprefix("Cython "): {row[0]: row[at] for row in body}
        for at, version in enumerate(head)
        if at
    }


@pytest.mark.parametrize("version", tiers())
def test_the_table_of_what_can_be_swapped(project: Project, version: str, venvs: Path) -> None:
    project.write("base.pxd", BASE_PXD)
    for name, text in (("base", BASE), ("swapped", SWAPPED), ("plain", PLAIN)):
        project.write(f"{name}.txt", text)
        project.write(f"{name}.pyx", text.replace("VERSION", "1"))
    run = project.run(SWAPS, python=environment(version, venvs), env={"CFLAGS": "-O0"})
    assert json.loads(run.stdout) == tiers()[version], run
