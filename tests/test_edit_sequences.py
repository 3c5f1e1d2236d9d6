"""Done when 7: whatever is edited, a new process's answer is what a build from scratch gives.

Hypothesis edits a small tree of .pyx, .pxd, .pxi and .h files. What the module has to answer is
computed from a model of the tree (`expected`: the search rules of Cython and of C compilers, in a
few lines of their own), and the model is checked now and then against ``python -m cython`` and a
compiler called by hand.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forkserver import ForkServer
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from support import Project, clean_environment

ENVIRONMENT = {"CFLAGS": "-O0"}

CONTENT = {
    "main.pyx": """\
from core cimport core_value; from pkg.deep cimport deep_value
include "part.pxi"
cdef extern from "n.h":
    int N, M
def answer():
    return [{}, core_value(), deep_value(), PART, N, M]
""",
    "core.pxd": "from helper cimport helper_value\n"
    "cdef inline int core_value() noexcept: return {} * 10000 + helper_value()\n",
    "helper.pxd": 'include "bits.pxi"\n'
    "cdef inline int helper_value() noexcept: return {} * 100 + BITS\n",
    "bits.pxi": "cdef enum: BITS = {}\n",
    "deep.pxd": "cdef inline int deep_value() noexcept: return {}\n",
    "__init__.py": "# {}\n",
    "part.pxi": "PART = {}\n",
    "n.h": '#include "m.h"\n#define N {}\n',
    "m.h": "#define M {}\n",
}
PLACES = {
    "core.pxd": ["src", "lib1", "lib2"],
    "helper.pxd": ["src", "lib1", "lib2"],
    "bits.pxi": ["lib1", "lib2", "inc0"],
    "deep.pxd": ["lib1/pkg", "lib2/pkg"],
    "__init__.py": ["lib1/pkg", "lib2/pkg"],
    "part.pxi": ["src", "inc0"],
    "n.h": ["src", "inc1", "inc2"],
    "m.h": ["src", "inc1", "inc2"],
}
PATHS = ["src/main.pyx", *(f"{place}/{name}" for name in PLACES for place in PLACES[name])]
AT_FIRST = [
    "src/main.pyx", "lib2/core.pxd", "lib2/helper.pxd", "lib2/bits.pxi", "lib2/pkg/deep.pxd",
    "src/part.pxi", "inc2/n.h", "inc2/m.h",
]  # fmt: skip
SYS_PATH = ["src", "lib1", "lib2"]
BROKEN = 0
Files = dict[str, int]
"""The values of the files that exist, by path; `BROKEN` where one does not compile."""

ASK = """
import json, os, sys
root = os.path.dirname(os.getcwd())
sys.path[1:1] = [os.path.join(root, "lib1"), os.path.join(root, "lib2")]
import cyhot
cyhot.install(include_path=[f"{root}/inc0"], include_dirs=[f"{root}/inc1", f"{root}/inc2"])
try:
    import main
except cyhot.CompileError:
    print("null")
else:
    print(json.dumps(main.answer()))
"""


# What has to come out -------------------------------------------------------------------------


class Missing(Exception):
    """A file that is needed is not there, or broken."""


def expected(files: Files) -> list[int] | None:
    """What a build from scratch answers, None if it fails."""
    try:
        core, core_place = found(files, ["src", *SYS_PATH], "core.pxd")
        helper, helper_place = found(files, [core_place, *SYS_PATH], "helper.pxd")
        bits, _ = found(files, [helper_place, "inc0"], "bits.pxi")
        regular = [place for place in SYS_PATH if f"{place}/pkg/__init__.py" in files]
        namespaces = [place for place in SYS_PATH if place not in regular]
        deep, _ = found(files, [f"{place}/pkg" for place in regular + namespaces], "deep.pxd")
        part, _ = found(files, ["src", "inc0"], "part.pxi")
        n, n_place = found(files, ["src", "inc1", "inc2"], "n.h")
        m, _ = found(files, [n_place, "src", "inc1", "inc2"], "m.h")
        main, _ = found(files, ["src"], "main.pyx")
    except Missing:
        return None
    return [main, core * 10000 + helper * 100 + bits, deep, part, n, m]


def found(files: Files, places: list[str], name: str) -> tuple[int, str]:
    """The value of the first file of that name, and where it is."""
    for place in places:
        if f"{place}/{name}" in files:
            if files[f"{place}/{name}"] == BROKEN:
                break
            return files[f"{place}/{name}"], place
    raise Missing(name)


def from_scratch(root: Path, scratch: Path) -> list[int] | None:
    """What comes out of `python -m cython` and a C compiler."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    env = {
        **clean_environment(),
        "PYTHONPATH": os.pathsep.join(str(root / place) for place in SYS_PATH),
    }
    image = scratch / f"main{sysconfig.get_config_var('EXT_SUFFIX')}"
    paths = sysconfig.get_paths()
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))
    folders = [root / place for place in ("inc1", "inc2")]
    cython = ["-3", "-I", root / "inc0", root / "src/main.pyx", "-o", scratch / "main.c"]
    options = ["-O0", "-shared", "-fPIC", "-iquote", root / "src", f"-I{paths['include']}"]
    options += [f"-I{folder}" for folder in folders]
    commands = [
        [sys.executable, "-m", "cython", *cython],
        [*compiler, *options, scratch / "main.c", "-o", image],
        [sys.executable, "-c", "import json, main; print(json.dumps(main.answer()))"],
    ]
    output = ""
    for command in commands:
        done = subprocess.run(
            list(map(str, command)), cwd=scratch, env=env, capture_output=True, text=True
        )
        if done.returncode:
            return None
        output = done.stdout
    return json.loads(output)  # type: ignore[no-any-return]


# The tree -------------------------------------------------------------------------------------


def text(path: str, value: int) -> str:
    """What a file holds: all that are not broken are of one size."""
    if value == BROKEN:
        return "#error broken\n" if path.endswith(".h") else ")(\n"
    return CONTENT[os.path.basename(path)].format(value)


paths = st.sampled_from(PATHS)
values = st.integers(10, 99)


class Edits(RuleBasedStateMachine):
    """Edits, and after each the question what the module answers now."""

    server: ForkServer
    new_project: Callable[[], Project]
    steps = 0

    @initialize()
    def start(self) -> None:
        self.project = type(self).new_project()
        self.root = self.project.root
        for folder in ("lib1/pkg", "lib2/pkg", "src", "inc0", "inc1", "inc2"):
            (self.root / folder).mkdir(parents=True)
        self.files: Files = {}
        self.history: list[Files] = []
        self.told: dict[str, int] = {}
        self.builds = 0
        for number, path in enumerate(AT_FIRST):
            self.put(path, 10 + number)
        self.ask()

    # What is edited

    @rule(path=paths, value=values)
    def write(self, path: str, value: int) -> None:
        """In place, as `echo >` does; creates what is not there."""
        self.put(path, value)
        self.ask()

    @rule(path=paths, value=values)
    def replace(self, path: str, value: int) -> None:
        """Under another name, then renamed, as editors do."""
        temporary = self.root / "temporary"
        temporary.write_text(text(path, value), encoding="utf-8")
        os.replace(temporary, self.root / path)
        self.files[path] = value
        self.ask()

    @rule(path=paths, value=values)
    def write_with_the_same_size_and_mtime(self, path: str, value: int) -> None:
        before = (self.root / path).stat() if path in self.files else None
        self.put(path, value)
        if before is not None:
            os.utime(self.root / path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.ask()

    @rule(path=paths, value=values)
    def write_with_an_older_mtime(self, path: str, value: int) -> None:
        self.put(path, value)
        os.utime(self.root / path, (1_000_000_000, 1_000_000_000))
        self.ask()

    @rule(path=paths)
    def touch(self, path: str) -> None:
        if path in self.files:
            os.utime(self.root / path)
        self.ask()

    @rule(path=st.sampled_from(PATHS[1:]))
    def delete(self, path: str) -> None:
        if self.files.pop(path, None) is not None:
            (self.root / path).unlink()
        self.ask()

    @rule(path=paths)
    def break_it(self, path: str) -> None:
        self.put(path, BROKEN)
        self.ask()

    @rule(name=st.sampled_from(sorted(PLACES)), value=values)
    def swap_two_files(self, name: str, value: int) -> None:
        one, other = (f"{place}/{name}" for place in PLACES[name][-2:])
        for path in (one, other):
            if path not in self.files:
                self.put(path, value)
        self.rename(one, "aside")
        self.rename(other, one)
        self.rename("aside", other)
        self.files[one], self.files[other] = self.files[other], self.files[one]
        self.ask()

    @rule(pair=st.sampled_from([("lib1", "lib2"), ("inc1", "inc2")]))
    def swap_two_folders(self, pair: tuple[str, str]) -> None:
        one, other = pair
        self.rename(one, "aside")
        self.rename(other, one)
        self.rename("aside", other)
        names = {one: other, other: one}
        moved = {}
        for path, value in self.files.items():
            top, _, rest = path.partition("/")
            moved[f"{names.get(top, top)}/{rest}"] = value
        self.files = {path: value for path, value in moved.items() if path in PATHS}
        self.ask()

    @rule(back=st.integers(1, 8))
    def revert(self, back: int) -> None:
        """Go back to an earlier state, as `git checkout` does."""
        target = self.history[-back % len(self.history)]
        for path in PATHS:
            if path in target and self.files.get(path) != target[path]:
                self.put(path, target[path])
            elif path not in target and path in self.files:
                del self.files[path]
                (self.root / path).unlink()
        self.ask()

    def put(self, path: str, value: int) -> None:
        (self.root / path).write_text(text(path, value), encoding="utf-8")
        self.files[path] = value

    def rename(self, old: str, new: str) -> None:
        os.rename(self.root / old, self.root / new)

    # What it answers

    def ask(self) -> None:
        Edits.steps += 1
        wanted = expected(self.files)
        if Edits.steps % 25 == 7:
            assert from_scratch(self.root, self.root / "scratch") == wanted, self.files
        if Edits.steps % 25 == 19:  # a process that has nothing from anybody
            run = self.project.run(f"import os; os.chdir('src')\n{ASK}", env=ENVIRONMENT)
        else:
            run = self.server.run(self.project, ASK, env=ENVIRONMENT, cwd=self.root / "src")
        assert json.loads(run.stdout) == wanted, f"{self.files}\n{run}"
        self.check_compiles(wanted is not None, run.compiles)
        self.history.append(dict(self.files))

    def check_compiles(self, builds: bool, compiled: list[str]) -> None:
        """A state that was built before is found again, as long as it is not too long ago."""
        state = repr(sorted(self.files.items()))
        if builds and self.builds - self.told.get(state, -99) < 12:
            assert compiled == [], self.files
        self.builds += len(compiled)
        if builds:
            self.told[state] = self.builds


@pytest.fixture
def edits(tmp_path: Path) -> Iterator[type[Edits]]:
    """The machine, with a warm server and a place for projects."""
    server = ForkServer(tmp_path)
    count = iter(range(10_000))
    Edits.server = server
    Edits.new_project = lambda: Project(tmp_path / str(next(count)))
    Edits.steps = 0
    yield Edits
    server.close()


def run_edits(machine: type[Edits], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            # What fails is told with all its steps; trying shorter ones would take an hour.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_after_each_edit_the_answer_is_that_of_a_build_from_scratch(edits: type[Edits]) -> None:
    run_edits(edits, examples=4, steps=22)

    assert edits.steps >= 60


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_hundreds_of_edits_too(edits: type[Edits]) -> None:
    run_edits(edits, examples=12, steps=30)

    assert edits.steps >= 300
