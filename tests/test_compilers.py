"""Which compiler is used, what is said where there is none, and launchers in front of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from support import FOO, Project, Run, clean_environment

from cyhot.building.store import Store
from cyhot.building.toolchain import abilities, find_compiler, openmp_flags

ROOT = Path(__file__).parent.parent
SQR = "import foo; print(foo.sqr(3))"
PRANGE = """\
from cython.parallel cimport prange

def total(int n):
    cdef int i, s = 0
    for i in prange(n, nogil=True):
        s += i
    return s
"""


def run(project: Project, program: str, install: str = "", **env: str) -> Run:
    """Run a program with the hook installed; what it compiles is not optimized."""
    return project.run(
        f"import cyhot; cyhot.install({install})\n{program}", env={"CFLAGS": "-O0", **env}
    )


def failure(project: Project, module: str = "foo", install: str = "", **env: str) -> str:
    """The one diagnostic of a module that cannot be built."""
    program = (
        f"try:\n    import {module}\nexcept cyhot.CompileError as error:\n"
        "    (found,) = error.diagnostics\n    print(found.render())\n"
    )
    return run(project, program, install, **env).stdout


def script(project: Project, name: str, text: str) -> Path:
    """Write a program of our own into a bin folder beside the project."""
    path = project.root.parent / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(project: Project) -> str:
    """A PATH without any compiler."""
    folder = project.root.parent / "tools"
    folder.mkdir()
    return str(folder)


def log(project: Project) -> list[str]:
    """What `launcher` wrote."""
    return (project.root.parent / "log").read_text().splitlines()


def launcher(project: Project, name: str = "ccache") -> Path:
    """A compiler launcher that only writes down what it is asked to run."""
    return script(project, name, f'echo "$@" >> "{project.root.parent}/log"\nexec "$@"')


# --- which one ----------------------------------------------------------------------------------


def test_cc_and_cxx_may_have_arguments(project: Project) -> None:
    project.write("foo.pyx", "cdef extern from *:\n    enum: ARG\narg = ARG\n")
    project.write(
        "bar.pyx", "# distutils: language=c++\ncdef extern from *:\n    enum: ARG\narg = ARG\n"
    )
    done = run(
        project, "import foo, bar; print(foo.arg, bar.arg)", CC="gcc -DARG=1", CXX="'g++' -DARG=2"
    )
    assert done.stdout == "1 2\n", done


def test_variables_may_name_what_is_below_the_working_folder(project: Project) -> None:
    """As setuptools takes them. Another working folder is another compiler and another header."""
    project.write("m.pyx", 'cdef extern from "n.h":\n    enum: N, CC\nn = (CC, N)\n')
    for number, folder in enumerate(("a", "b")):
        project.write(f"{folder}/inc/n.h", f"#define N {number}")
        cc = project.write(f"{folder}/mycc", f'#!/bin/sh\nexec gcc -DCC={number} "$@"\n')
        cc.chmod(0o755)
    program = """
import os, sys
sys.path[0] = os.getcwd()
os.chdir(sys.argv[1])
import cyhot; cyhot.install()
import m; print(*m.n)
"""
    env = {"CC": "./mycc", "CFLAGS": "-O0 -Iinc"}
    told = [project.run(program, folder, env=env).stdout for folder in ("a", "b", "a")]
    assert told == ["0 0\n", "1 1\n", "0 0\n"]
    assert project.compiles() == ["m", "m"]


def test_c_flags_hold_for_cplusplus_unless_it_has_its_own(project: Project) -> None:
    project.write(
        "foo.pyx", "# distutils: language=c++\ncdef extern from *:\n    enum: ARG\narg = ARG\n"
    )
    program = "import foo; print(foo.arg)"
    assert run(project, program, CFLAGS="-O0 -DARG=1").stdout == "1\n"
    done = run(project, program, CFLAGS="-O0 -DARG=1", CXXFLAGS="-O0 -DARG=2", LDFLAGS="-Wl,-z,now")
    assert done.stdout == "2\n", done


def test_another_compiler_is_another_image(project: Project) -> None:
    project.write("foo.pyx", FOO)
    cc = script(project, "mycc", 'exec gcc "$@"')
    assert run(project, SQR).compiles == ["foo"]
    assert run(project, SQR, CC=str(cc)).compiles == ["foo"]
    assert run(project, SQR, CC=str(cc)).compiles == []
    # It has become another program under its name.
    script(project, "mycc", 'case "$1" in --version) echo mycc 2;; *) exec gcc "$@";; esac')
    assert run(project, SQR, CC=str(cc)).compiles == ["foo"]


@pytest.mark.skipif(not shutil.which("clang"), reason="needs clang")
def test_clang(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write(
        "plus.pyx",
        "from libcpp.vector cimport vector\n"
        "def size():\n    cdef vector[int] v = [1, 2]\n    return v.size()\n",
    )
    project.write("bad.pyx", 'cdef extern from "no_such.h":\n    int x\n')
    done = run(
        project, "import foo, plus; print(foo.sqr(3), plus.size())", CC="clang", CXX="clang++"
    )
    assert done.stdout == "9 2\n", done
    assert f"{project / 'bad.pyx'}:1:" in failure(project, "bad", CC="clang")


def test_a_cc_that_is_not_there_is_named(project: Project) -> None:
    project.write("foo.pyx", FOO)
    told = failure(project, CC="no-such-cc -O2")
    assert "foo.pyx: error: CC names a compiler that is not there: no-such-cc -O2" in told
    assert "unset CC" in told

    project.write("plus.pyx", "# distutils: language = c++\nx = 1\n")
    assert "CXX names a compiler that is not there" in failure(project, "plus", CXX="no-such-c++")


def test_a_variable_that_cannot_be_split_is_named(project: Project) -> None:
    project.write("foo.pyx", FOO)
    for name in ("CFLAGS", "CC", "CYHOT_LIBRARIES"):
        done = project.run(
            "import cyhot; cyhot.install(); import foo", env={name: "a 'b"}, check=False
        )
        assert f'SettingsError: {name}: no closing quotation in "a \'b"' in done.stderr, done
    assert run(project, SQR, CC=" ").compiles == ["foo"]


def test_no_compiler_at_all(project: Project, tools: str) -> None:
    project.write("foo.pyx", FOO)
    project.write("plus.pyx", "# distutils: language = c++\nx = 1\n")
    told = failure(project, PATH=tools)
    assert "there is no C compiler" in told
    assert "pip install 'cyhot[compiler]'" in told and "apt install gcc" in told
    told = failure(project, "plus", PATH=tools)
    assert "there is no C++ compiler" in told and "apt install g++" in told


def test_without_a_compiler_what_is_built_already_still_loads(project: Project, tools: str) -> None:
    project.write("foo.pyx", FOO)
    assert run(project, SQR).compiles == ["foo"]
    # The compiler is part of an image's identity; one that is gone cannot have changed it.
    done = project.run(
        f"import cyhot; cyhot.install()\n{SQR}", env={"CFLAGS": "-O0", "PATH": tools}, check=False
    )
    assert done.stdout == "9\n", done


# --- launchers ----------------------------------------------------------------------------------


def test_a_launcher_in_front_makes_no_other_image(project: Project) -> None:
    project.write("foo.pyx", FOO)
    place = str(launcher(project, "sccache"))
    assert run(project, SQR, f"launcher={place!r}").stdout == "9\n"
    (compiled,) = log(project)  # linking is not for launchers
    assert compiled.startswith("gcc ") and " -c " in compiled

    assert run(project, SQR).compiles == []
    assert run(project, SQR, CYHOT_LAUNCHER="ccache").compiles == []


def test_a_launcher_may_be_part_of_cc(project: Project) -> None:
    project.write("foo.pyx", FOO)
    path = f"{launcher(project).parent}{os.pathsep}{os.environ['PATH']}"
    assert run(project, SQR, CC="ccache gcc", PATH=path).stdout == "9\n"
    assert any(" -c " in line for line in log(project))
    # The compiler behind it counts.
    assert run(project, SQR, CC="ccache gcc", PATH=path).compiles == []


def test_a_launcher_that_is_not_there_is_named(project: Project) -> None:
    project.write("foo.pyx", FOO)
    told = failure(project, install="launcher='no-such-launcher'")
    assert "no-such-launcher cannot be run: No such file or directory" in told
    assert "check the setting launcher" in told
    told = failure(project, CC="/no/such/ccache gcc")
    assert "CC names a compiler that is not there: /no/such/ccache gcc" in told


# --- OpenMP ---------------------------------------------------------------------------------------


def test_prange_needs_no_flags(project: Project) -> None:
    project.write("foo.pyx", PRANGE)
    program = """
import foo, threading, os
foo.total(1000)
print(len(os.listdir("/proc/self/task")))
"""
    assert run(project, program, OMP_NUM_THREADS="3").stdout == "3\n"


def test_a_compiler_without_openmp_is_told_of(project: Project) -> None:
    """The module works, on one thread; nobody has to wonder why."""
    cc = script(
        project,
        "cc",
        'for word; do case "$word" in -fopenmp|-lomp) exit 1;; esac; done\nexec gcc "$@"',
    )
    project.write("foo.pyx", PRANGE)
    program = """
cyhot.subscribe(lambda event: [print(d.render()) for d in getattr(event, "diagnostics", ())])
import foo
print(foo.total(4))
"""
    done = run(project, program, CC=str(cc))
    assert "foo.pyx: warning: this module uses OpenMP (prange, parallel)" in done.stdout, done
    assert "it runs on one thread" in done.stdout and "libomp-dev" in done.stdout
    assert done.stdout.endswith("\n6\n")


# --- what a compiler can do ---------------------------------------------------------------------


def can(tmp_path: Path, **environ: str) -> tuple[str, bool, bool]:
    """A compiler's family, whether its linker lists what it reads and links for quick loading.

    Its own folders have a header that they must have.
    """
    for folder in ("cache", "tmp"):
        (tmp_path / folder).mkdir()
    compiler = find_compiler(False, environ)
    assert compiler is not None
    found = abilities(compiler, Store(str(tmp_path)))
    places = [folder for folder in found.system_dirs if Path(folder, "stddef.h").is_file()]
    assert len(places) == 1, found
    assert all(Path(folder).is_absolute() for folder in found.system_dirs)
    return compiler.family, found.link_depfile, found.quick_to_load


ON_LINUX = sys.platform.startswith("linux")


def test_abilities_of_gcc(tmp_path: Path) -> None:
    assert can(tmp_path, CC="gcc") == ("gcc", True, ON_LINUX)


@pytest.mark.skipif(not shutil.which("ld.gold"), reason="needs gold")
def test_a_linker_that_does_not_know_an_option_is_not_given_it(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    assert can(tmp_path / "store", CC="gcc -fuse-ld=gold")[2] is False
    program = "import cyhot; cyhot.install(); import foo; print(foo.sqr(4))"
    # The compiler is asked what it can with the linker that it calls by itself.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ld").symlink_to(shutil.which("ld.gold") or "")
    for number, env in enumerate(
        (
            {"CC": "gcc -fuse-ld=gold"},
            {"LDFLAGS": "-fuse-ld=gold"},
            {"LDFLAGS": f"-B{tmp_path / 'bin'}"},
            {"COMPILER_PATH": str(tmp_path / "bin")},
        )
    ):
        project.write("foo.pyx", f"{FOO}\nNUMBER = {number}\n")
        assert project.run(program, env=env).stdout == "16\n"
    project.write("foo.pyx", f"# distutils: extra_link_args = -fuse-ld=gold\n{FOO}")
    assert project.run(program).stdout == "16\n"


@pytest.mark.skipif(not shutil.which("clang"), reason="needs clang")
def test_abilities_of_clang(tmp_path: Path) -> None:
    assert can(tmp_path, CC="clang") == ("clang", True, ON_LINUX)


@pytest.mark.skipif(not shutil.which("clang"), reason="needs clang")
def test_openmp_of_clang_is_tried_out(tmp_path: Path) -> None:
    for folder in ("cache", "tmp"):
        (tmp_path / folder).mkdir()
    compiler = find_compiler(False, {"CC": "clang"})
    assert compiler is not None
    flags = openmp_flags(compiler, Store(str(tmp_path)))
    (tmp_path / "x.c").write_text(
        "#include <omp.h>\nint main(void) { return !omp_get_max_threads(); }"
    )
    told = subprocess.run(["clang", "-fopenmp", "x.c"], cwd=tmp_path, capture_output=True)
    assert (flags is not None) == (told.returncode == 0)


# --- the compiler that is a wheel ---------------------------------------------------------------


@pytest.fixture
def zig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with cyhot and ziglang; zig's libc is built once, into the tests' cache."""
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("zig") if cache else tmp_path_factory.mktemp("zig")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "ready").exists():
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), "-m", "pip", "install", "-q", "-e", f"{ROOT}[compiler]"],
            ):
                subprocess.run(command, check=True, env=clean_environment())
            (folder / "ready").touch()
    return str(python)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_ziglang_wheel_is_used_where_there_is_no_compiler(
    project: Project, tools: str, zig: str
) -> None:
    project.write("foo.pyx", FOO)
    project.write(
        "plus.pyx",
        "from libcpp.vector cimport vector\n"
        "def size():\n    cdef vector[int] v = [1, 2]\n    return v.size()\n",
    )
    project.write("threads.pyx", PRANGE)
    project.write("bad.pyx", 'cdef extern from "no_such.h":\n    int x\n')
    env = {"PATH": tools, "ZIG_GLOBAL_CACHE_DIR": f"{Path(zig).parent.parent}/cache"}
    program = """
        import cyhot; cyhot.install()
        cyhot.subscribe(lambda event: [print(d.message) for d in getattr(event, "diagnostics", ())])
        import foo, plus, threads
        print(foo.sqr(3), plus.size(), threads.total(4))
        try:
            import bad
        except cyhot.CompileError as error:
            print(error)
        """

    done = project.run(program, env=env, python=zig, timeout=800)

    assert "9 2 6\n" in done.stdout, done
    assert "this module uses OpenMP" in done.stdout
    assert f"{project / 'bad.pyx'}:1:" in done.stdout
    assert project.run(program, env=env, python=zig, check=False).compiles == ["bad"]

    code = (
        "import sys\nfrom cyhot.building.store import Store\n"
        "from cyhot.building.toolchain import abilities, find_compiler\n"
        "compiler = find_compiler(False, {})\nfound = abilities(compiler, Store(sys.argv[1]))\n"
        "print(compiler.family, found)\n"
    )
    told = project.run(code, str(project.store), env=env, python=zig).stdout
    assert told.startswith("zig Abilities(system_dirs=('/"), told

    debug = project.run(
        "import cyhot; cyhot.install(profile='debug'); import foo; print(foo.sqr(3))",
        env=env,
        python=zig,
        timeout=800,
    )
    assert debug.stdout == "9\n", debug


# --- compilers that only setuptools can call ----------------------------------------------------


def test_setuptools_compiler_objects_compile_and_link_as_well(project: Project) -> None:
    """How MSVC is driven, here with setuptools' Unix compiler."""
    project.write(
        "foo.pyx",
        """\
        # distutils: sources = plus.cpp
        # distutils: define_macros = SIZE=4
        # distutils: include_dirs = inc
        # distutils: libraries = m
        cdef extern from "foo.h":
            enum: SIZE, HEADER, DEEP
        cdef extern int plus()
        answer = (SIZE, HEADER, DEEP, plus())
        """,
    )
    project.write("inc/foo.h", '#include "deep/er.h"\n#include <math.h>\nenum {HEADER = 5};\n')
    project.write("inc/deep/er.h", "enum {DEEP = 6};\n")
    project.write(
        "plus.cpp",
        '#include <vector>\nextern "C" int plus() { return std::vector<int>(7).size(); }\n',
    )
    project.write("bad.pyx", 'cdef extern from "no_such.h":\n    int x\n')
    project.write(
        "link.pyx",
        "cdef extern int no_such_library_function()\n"
        "# distutils is not asked: it comes from extra_link_args\n"
        "x = no_such_library_function\n",
    )
    driven = """
        import cyhot; cyhot.install(**{})
        from cyhot.building import steps
        from cyhot.building.msvc import setuptools_compiler
        steps.find_compiler = lambda cplus, environ: setuptools_compiler("unix")
        """
    program = driven.format({}) + "import foo; print(*foo.answer)"
    env = {"CFLAGS": "-O0"}
    done = project.run(program, env=env)
    assert done.stdout == "4 5 6 7\n", done
    assert project.run(program, env=env).compiles == []

    project.write("inc/deep/er.h", "enum {DEEP = 60};\n")
    done = project.run(program, env=env)
    assert (done.stdout, done.compiles) == ("4 5 60 7\n", ["foo"]), done
    done = project.run(driven.format({}) + "import bad", env=env, check=False)
    assert f"{project / 'bad.pyx'}:1:19: error: no_such.h" in done.stderr, done
    settings = {"extra_link_args": ["-Wl,--no-undefined", "-Wl,--unresolved-symbols=report-all"]}
    done = project.run(driven.format(settings) + "import link", env=env, check=False)
    assert "no_such_library_function" in done.stderr, done
    debug = driven.format({"profile": "debug"}) + "import foo; print(*foo.answer)"
    assert project.run(debug, env=env).stdout == "4 5 60 7\n"
