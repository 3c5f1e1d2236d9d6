"""Cython's helpers, compiled once for all modules: who uses them, and that nobody depends on it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import EXT_SUFFIX, FOO, Project, clean_environment

from cyhot.building import seldom
from cyhot.building.instrument import instrument
from cyhot.building.shared import refusal_by_settings, refusal_by_text, refusal_by_words

TESTS = {"PYTHONPATH": str(Path(__file__).parent)}
IMPORT = "import cyhot; cyhot.install(); import {}"
DEV = {
    "profile": "dev",
    "standalone": False,
    "directives": {},
    "cython": 33,
    "implementation": "cpython",
    "free_threaded": False,
}


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a shared module; copy it before changing anything in it."""
    project = Project(tmp_path_factory.mktemp("ready"))
    project.write("foo.pyx", FOO)
    run = project.run("import ready; ready.build('foo')", env=TESTS)
    made = [line.split() for line in run.stdout.splitlines()]
    if not any(line[0] == "shared" for line in made):
        pytest.skip("this Cython or compiler shares nothing")
    assert all(line[2] == "True" for line in made), run
    return project.store


@pytest.fixture
def project(tmp_path: Path, ready: Path) -> Project:
    """An empty project whose store has a shared module."""
    shutil.copytree(ready, tmp_path / "store", symlinks=True)
    return Project(tmp_path)


def shared_of(image: str) -> list[Path]:
    return sorted(Path(image).parent.glob("_cyhot_shared_*"))


def image_of(project: Project, name: str) -> str:
    code = f"import cyhot; cyhot.install(); import {name}; print({name}.__spec__.cached)"
    return project.run(code).stdout.split()[-1]


# That it is right ---------------------------------------------------------------------------

LANGUAGE = """\
cimport cython
import asyncio

ctypedef fused number:
    int
    double

cdef class Box:
    cdef double[:] view
    cdef public object name
    def __init__(self, double[:] view, name="box"):
        self.view = view
        self.name = name
    cpdef double[:] doubled(self):
        cdef Py_ssize_t i
        out = self.view.copy()
        for i in range(out.shape[0]):
            out[i] = 2 * self.view[i]
        return out

class Plain(Exception):
    def __init_subclass__(cls, **kw):
        cls.kw = kw

class Derived(Plain, flag=3):
    pass

def fused(number x):
    return cython.typeof(x), x + 1

def adder(a):
    def add(b, *, c=1):
        return a + b + c
    return add

def count(n):
    for i in range(n):
        got = yield i
        if got:
            return got

async def later(x):
    await asyncio.sleep(0)
    return x

async def agen():
    for i in range(3):
        yield await later(i)

async def collect():
    return [x async for x in agen()]

def contiguous(int n):
    cdef double[:, ::1] grid = cython.view.array((n, n), sizeof(double), "d")
    grid[...] = 1.5
    return grid.T[1:, :]

def refused(int x):
    return x

def text(*parts):
    return f"{parts[0]}-{parts[1]!r:>5}"
"""
USE = """
import array, asyncio, pickle, cyhot
cyhot.install()
import language, other
def use(m, peer):
    box = m.Box(array.array("d", [1, 2]))
    print(list(peer.Box(box.doubled()).doubled()))
    print(m.fused(1), m.fused["double"](1), m.adder(1)(2, c=5), m.adder.__name__)
    print(m.Derived.kw, asyncio.run(m.collect()), m.text("a", "b"))
    gen = m.count(3); print(next(gen), gen.send(0))
    try: gen.send("done")
    except StopIteration as stop: print(stop.value)
    print(memoryview(m.contiguous(3)).shape, memoryview(m.contiguous(3)).tolist())
    wrong = m.refused
    for bad in (lambda: wrong("x"), lambda: wrong(), lambda: wrong(y=1), lambda: pickle.dumps(box),
                lambda: m.Box(b"12345678"), lambda: m.contiguous(2)[5, 5]):
        try: bad()
        except Exception as error: print(type(error).__name__, error)
use(language, other)
print("---")
use(other, language)
"""


def test_a_module_that_shares_does_what_one_that_does_not_share_does(project: Project) -> None:
    project.write("language.pyx", LANGUAGE)
    project.write("other.pyx", LANGUAGE)
    alone = 'match = "other"\nstandalone = true\nextra_compile_args = ["-O0"]\n'
    project.write("pyproject.toml", f"[[tool.cyhot.module]]\n{alone}")
    one, other = project.run(USE).stdout.split("---\n")
    assert one == other
    assert one.startswith("[4.0, 8.0]\n")
    assert one.count("Error") == 6
    assert shared_of(image_of(project, "language"))
    assert not shared_of(image_of(project, "other"))


def test_the_c_is_what_cython_writes_for_that_shared_module(project: Project) -> None:
    project.write("language.pyx", LANGUAGE)
    image = Path(image_of(project, "language"))
    (shared,) = shared_of(str(image))
    name = shared.name.removesuffix(EXT_SUFFIX)
    command = [sys.executable, "-m", "cython", "-3", f"--shared={name}", "language.pyx"]
    subprocess.run([*command, "-o", "x.c"], cwd=project.root, env=clean_environment(), check=True)
    written = instrument((project / "x.c").read_text(), "language", [LANGUAGE])
    assert seldom.mark(written) == (image.parent / "language.c").read_text()


def test_the_shared_module_brings_no_package_that_the_program_has_no_use_for(
    project: Project,
) -> None:
    project.write("foo.pyx", "cpdef int sqr(int x): return x * x\n")
    assert shared_of(image_of(project, "foo"))
    program = """
        import cyhot, sys
        cyhot.install(watch=False)
        before = set(sys.modules)
        import foo
        print(foo.sqr(3), "collections" in set(sys.modules) - before)
    """
    assert project.run(program).stdout == "9 False\n"


def test_cxx_modules_share_what_was_made_for_them(project: Project) -> None:
    source = (
        "from libcpp.vector cimport vector\ndef f(vector[int] v, int[:] w): return v, list(w)\n"
    )
    project.write("plus.pyx", source)
    project.run("import ready; ready.build('plus')", env=TESTS)
    project.write("plus.pyx", source + "# edited\n")
    run = project.run(
        "import array, cyhot; cyhot.install(); import plus; "
        "print(plus.f([1, 2], array.array('i', [3])), plus.__spec__.cached)"
    )
    answer, _, image = run.stdout.strip().rpartition(" ")
    assert answer == "([1, 2], [3])"
    assert shared_of(image)


# Ways of loading ------------------------------------------------------------------------------


def test_every_way_of_loading_finds_the_shared_module(project: Project) -> None:
    project.write("m.pyx", "def f(double[:] x=None, *, n=1): return n\nprint(__name__)\n")
    build = project.run(IMPORT.format("m"))
    assert shared_of(image_of(project, "m"))
    code = """
        import importlib, runpy, sys, threading
        import cyhot
        m = cyhot.load("m.pyx")
        print(m.f(n=2))
        for name in [name for name in sys.modules if name.startswith("_cyhot_shared_")]:
            del sys.modules[name]
        del sys.modules["m"]
        cyhot.install()
        import m
        print(m.f(n=3))
        open("m.pyx", "a").write("A = 5\\n")
        print(importlib.reload(m).A)
        print(runpy.run_module("m")["A"])
    """
    run = project.run(code)
    assert build.stdout == "m\n"
    assert run.stdout.split() == ["m", "2", "m", "3", "m", "5", "m", "5"]


def test_modules_that_several_threads_import_at_once_share_one(project: Project) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        project.write(f"{name}.pyx", "def f(n=1): return n\n")
    project.run(IMPORT.format(", ".join(names)))
    code = """
        import importlib, sys, threading
        import cyhot
        cyhot.install()
        gate = threading.Barrier(4)
        def load(name):
            gate.wait()
            importlib.import_module(name).f()
        threads = [threading.Thread(target=load, args=(n,)) for n in "abcd"]
        [t.start() for t in threads]; [t.join() for t in threads]
        print(sum(name.startswith("_cyhot_shared_") for name in sys.modules))
        print([sys.modules[n].f(7) for n in "abcd"])
    """
    assert project.run(code).stdout == "1\n[7, 7, 7, 7]\n"


# What leaves the store ------------------------------------------------------------------------


def test_an_image_that_is_put_beside_its_source_needs_no_store(project: Project) -> None:
    project.write("foo.pyx", FOO)
    assert shared_of(image_of(project, "foo"))
    project.run("import cyhot; cyhot.install(inplace=True); import foo")
    shutil.rmtree(project.store)
    assert project.run("import foo; print(foo.__file__, foo.sqr(3))").stdout.endswith(".so 9\n")


def test_exported_images_and_those_of_pyx_to_dll_need_no_store(project: Project) -> None:
    project.write("foo.pyx", FOO)
    assert shared_of(image_of(project, "foo"))
    code = """
        import subprocess, sys
        from cyhot.pyxbuild import pyx_to_dll
        build = ["build", "foo.pyx", "--profile", "dev", "--out", "out", "-q"]
        subprocess.run([sys.executable, "-m", "cyhot", *build], check=True)
        print(pyx_to_dll("foo.pyx"))
    """
    image = project.run(code).stdout.strip()
    assert not shared_of(image)
    run = "import sys; sys.path.insert(0, 'out'); import foo; print(foo.__file__, foo.sqr(3))"
    shutil.rmtree(project.store)
    assert project.run(run).stdout.endswith(".so 9\n")


def test_other_profiles_share_nothing(project: Project) -> None:
    project.write("foo.pyx", FOO)
    code = "import cyhot; cyhot.install(profile='release'); import foo; print(foo.__spec__.cached)"
    assert not shared_of(project.run(code).stdout.strip())


# The store ------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"\0")])
def test_a_damaged_shared_module_is_made_good_by_a_new_build(
    project: Project, harm: Callable[[Path], object]
) -> None:
    project.write("foo.pyx", FOO)
    (shared,) = shared_of(image_of(project, "foo"))
    data = shared.read_bytes()
    shared.unlink()
    shared.write_bytes(data)  # no other link to it
    harm(shared)
    why = project.run("import cyhot; print(*cyhot.why('foo'))").stdout
    assert why.endswith(f" because {shared.name} was lost from the store\n")
    assert project.run(IMPORT.format("foo") + "; print(foo.sqr(2))").stdout == "4\n"
    assert shared_of(image_of(project, "foo"))


def test_a_damaged_shared_module_is_used_by_nobody_and_made_again(project: Project) -> None:
    project.write("foo.pyx", FOO)
    (shared,) = shared_of(image_of(project, "foo"))
    with shared.open("r+b") as file:
        file.truncate(100)  # of all its links
    run = project.run(IMPORT.format("foo") + "; print(foo.sqr(2))")
    assert run.stdout == "4\n"
    assert not shared_of(image_of(project, "foo"))
    assert not list((project.store / "prepared").rglob("_cyhot_shared_*"))


def test_an_image_works_when_the_shared_module_is_evicted_and_is_counted_once(
    project: Project,
) -> None:
    def info() -> str:
        return project.run(
            "import subprocess, sys; "
            "subprocess.run([sys.executable, '-m', 'cyhot', 'cache', 'info', '--json'])"
        ).stdout

    import json

    before = json.loads(info())
    project.write("foo.pyx", FOO)
    (shared,) = shared_of(image_of(project, "foo"))
    after = json.loads(info())
    assert after["images"] == before["images"] + 1
    own = sum(p.stat().st_size for p in shared.parent.iterdir() if p != shared)
    assert after["bytes"] - before["bytes"] < own + shared.stat().st_size // 2 + 20_000
    shutil.rmtree(project.store / "prepared")
    run = project.run(IMPORT.format("foo") + "; print(foo.sqr(2))")
    assert (run.stdout, run.compiles) == ("4\n", [])


def test_cleaning_the_store_removes_what_was_prepared(project: Project) -> None:
    project.run(
        "import subprocess, sys; "
        "subprocess.run([sys.executable, '-m', 'cyhot', 'cache', 'clean'], check=True)"
    )
    assert not list(project.store.rglob("*.so"))


# Preparing ------------------------------------------------------------------------------------


def test_a_first_build_waits_for_nothing_and_says_what_it_could_use(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("foo.pyx", FOO)
    run = project.run(
        "import ready, cyhot; ready.watch(); cyhot.install(); import foo; "
        "print(*(want[0] for want in ready.wants))",
        env=TESTS,
    )
    assert "shared" in run.stdout.split()
    assert not list((project.store / "prepared").iterdir())


def test_what_cannot_be_made_is_tried_once(tmp_path: Path, ready: Path) -> None:
    project = Project(tmp_path)
    project.write("foo.pyx", FOO)
    code = """
        import marshal, ready, cyhot
        from cyhot.building.prepare import prepare
        from cyhot.building.store import make_want
        ready.watch(); cyhot.install(); import foo
        kind, root, name, rows = next(want for want in ready.wants if want[0] == "shared")
        rows = dict(rows)
        rows["compile"] = ("sh", "-c", "echo >> calls; exit 1")
        want = marshal.loads(marshal.dumps(make_want(kind, root, rows)))
        print(prepare(want), prepare(want), len(open("calls").readlines()))
    """.replace("echo >> calls", f"echo >> {project / 'calls'}")
    assert project.run(code, env=TESTS).stdout == "False False 1\n"


def test_it_is_made_once_however_many_ask_and_whoever_is_killed(
    project: Project, tmp_path: Path
) -> None:
    shutil.rmtree(project.store / "prepared")
    project.write("foo.pyx", FOO)
    log = tmp_path / "log"
    code = f"""
        import os, ready, cyhot, signal
        from cyhot.building.prepare import prepare
        from cyhot.building.store import make_want
        ready.watch(); cyhot.install(standalone=False); import foo
        kind, root, name, rows = next(want for want in ready.wants if want[0] == "shared")
        rows = dict(rows)
        script = 'echo >> {log}; exec "$@"'
        rows["compile"] = ("sh", "-c", script, "sh", *rows["compile"])
        want = make_want(kind, root, rows)
        if not (first := os.fork()):
            prepare(want); os._exit(0)
        while not os.path.exists("{log}"):
            pass
        print(prepare(want))   # somebody is at it
        os.kill(first, signal.SIGTERM); os.waitpid(first, 0)
        print(prepare(want), prepare(want), len(open("{log}").readlines()))
        print(os.listdir(os.path.join(root, "tmp")))
    """
    assert project.run(code, env=TESTS).stdout == "False\nTrue True 2\n[]\n"


# Who may share --------------------------------------------------------------------------------


def test_dev_builds_share_by_themselves() -> None:
    assert refusal_by_settings(**DEV) == ""
    assert refusal_by_words(["gcc", "-DNDEBUG", "-O3", "-march=native", "-fopenmp", "-DN=3"]) == ""
    assert refusal_by_text("m.pyx", "# cython: boundscheck=False\n") == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("profile", "release"),
        ("standalone", True),
        ("directives", {"linetrace": True}),
        ("cython", 32),
        ("implementation", "pypy"),
        ("free_threaded", True),
    ],
)
def test_settings_and_versions_that_rule_it_out(name: str, value: object) -> None:
    assert refusal_by_settings(**{**DEV, name: value})


@pytest.mark.parametrize(
    "word",
    [
        "-DCYTHON_USE_TYPE_SLOTS=0",
        "-DPy_LIMITED_API=0x030b0000",
        "-UPy_DEBUG",
        "-fpack-struct",
        "-fshort-enums",
        "-m32",
        "-include",
        "-fsanitize=address",
    ],
)
def test_options_that_rule_it_out(word: str) -> None:
    assert word in refusal_by_words(["gcc", "-O2", word])


def test_a_macro_that_stands_apart_from_its_option_rules_it_out() -> None:
    assert refusal_by_words(["gcc", "-D", "CYTHON_CLINE_IN_TRACEBACK=1"])


@pytest.mark.parametrize(
    "text",
    [
        'cdef extern from *:\n    """\n    #define CYTHON_USE_FREELISTS 0\n    """\n',
        'cdef extern from *:\n    """\n    #  undef Py_LIMITED_API\n    """\n',
        "# cython: boundscheck=False, linetrace=True\n",
        "# cython: c_string_type=str, c_string_encoding=utf8\n",
    ],
)
def test_sources_that_rule_it_out(text: str) -> None:
    assert refusal_by_text("m.pyx", text)


def test_a_cimported_file_that_rules_it_out_is_noticed(project: Project) -> None:
    project.write("m.pyx", "cimport d\ndef f(): return d.seven\n")
    define = '"""\n    #define CYTHON_CYHOT_TEST 1\n    enum { seven = 7 };\n    """'
    project.write("d.pxd", f"cdef extern from *:\n    {define}\n    int seven\n")
    image = image_of(project, "m")
    assert not shared_of(image)
    assert b"_cyhot_shared_" not in (Path(image).parent / "m.c").read_bytes()
