"""What the four profiles do: dev, release, debug and trace."""

from __future__ import annotations

import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support import Project, Run

PROFILES = ("dev", "release", "debug", "trace")
BUILD_EXT = """\
import sys
from setuptools import Distribution, Extension
Distribution({"ext_modules": [Extension("foo", ["foo.c"])], "script_name": "setup.py",
              "script_args": ["-q", "build_ext", "-i"]}).run_command("build_ext")
"""


def run(project: Project, program: str, **settings: str) -> Run:
    """Run a program with the hook installed and settings from the environment."""
    env = {f"CYHOT_{name.upper()}": value for name, value in settings.items()}
    return project.run(f"import cyhot; cyhot.install()\n{textwrap.dedent(program)}", env=env)


@pytest.fixture
def logging_cc(project: Project) -> dict[str, str]:
    """Variables for a compiler that writes its command lines into cc.log."""
    path = project.root.parent / "cc"
    log = project.root.parent / "cc.log"
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"print(json.dumps(sys.argv[1:]), file=open({str(log)!r}, 'a'))\n"
        "os.execvp('gcc', ['gcc', *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    return {"CC": str(path)}


def compiled_with(project: Project) -> list[str]:
    """The options of the last compile (not the link), without paths, and what asks for them."""
    lines = (project.root.parent / "cc.log").read_text().splitlines()
    commands = [words for words in map(json.loads, lines) if "-c" in words]
    (project.root.parent / "cc.log").unlink()
    words = commands[-1]
    for option in ("-o", "-MF", "-iquote"):
        while option in words:
            del words[words.index(option) : words.index(option) + 2]
    ours = ("-I", "-fdebug-prefix-map", "-MD", "-c")
    return [word for word in words if not word.startswith(ours) and not word.endswith(".c")]


def test_release_is_what_setuptools_would_build(project: Project, logging_cc) -> None:
    project.write("foo.pyx", "x = 1\n")
    project.run(
        "import cyhot; cyhot.install(profile='release'); import foo",
        env={**logging_cc, "CPPFLAGS": "-DONE"},
    )
    ours = compiled_with(project)

    (project / "foo.pyx").unlink()
    project.write("foo.c", "int x;\n")
    project.run(BUILD_EXT, env={**logging_cc, "CPPFLAGS": "-DONE"})
    assert sorted(ours) == sorted(compiled_with(project))


def test_dev_leaves_out_what_only_costs_time(project: Project, logging_cc) -> None:
    project.write("foo.pyx", "x = 1\n")
    project.run("import cyhot; cyhot.install(); import foo", env=logging_cc)
    options = compiled_with(project)
    assert [word for word in options if word.startswith(("-O", "-g", "-flto"))] == ["-O2"]
    assert "-DNDEBUG" in options

    # What the user asks for is not left out.
    project.run("import cyhot; cyhot.install(); import foo", env={**logging_cc, "CFLAGS": "-g -O1"})
    options = compiled_with(project)
    assert [word for word in options if word.startswith(("-O", "-g"))] == ["-O2", "-g", "-O1"]


def segments(path: str) -> list[int]:
    """The types of an ELF file's program headers."""
    data = Path(path).read_bytes()
    start, size, count = (*struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54))
    return [struct.unpack_from("<I", data, start + at * size)[0] for at in range(count)]


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() != "x86_64",
    reason="elsewhere, linkers do neither of their own accord",
)
def test_dev_links_for_quick_loading_and_release_for_safety(project: Project) -> None:
    load, relro = 1, 0x6474E552
    program = "import cyhot; cyhot.install(profile={!r}); import foo; print(foo.__cached__)"
    project.write("foo.pyx", "x = 1\n")

    dev = segments(project.run(program.format("dev")).stdout.strip())
    assert dev.count(load) == 2 and relro not in dev
    release = segments(project.run(program.format("release")).stdout.strip())
    assert release.count(load) > 2 and relro in release
    # What the user asks for is done.
    asked = project.run(program.format("dev"), env={"LDFLAGS": "-Wl,-z,relro"})
    assert relro in segments(asked.stdout.strip())


def test_every_profile_gives_the_same_results(project: Project) -> None:
    for profile in PROFILES:
        project.write(
            f"{profile}.pyx",
            """\
            def values(double x, int n):
                cdef double s = 0
                cdef int i
                for i in range(1, n):
                    s += x / i
                return s, x * 1e308, -x / 0.3, n // 2, (-n) // 2, (-n) % 3, [i * s for i in (1, 2)]
            """,
        )
    tables = (f"[[tool.cyhot.module]]\nmatch = '{p}'\nprofile = '{p}'\n" for p in PROFILES)
    project.write("pyproject.toml", "".join(tables))

    done = run(
        project,
        """
        import dev, release, debug, trace
        answers = [module.values(0.1, 7) for module in (dev, release, debug, trace)]
        assert answers == answers[:1] * 4, answers
        """,
    )

    assert len(done.compiles) == 4


# --- debug ---------------------------------------------------------------------------------------


def test_debug_forces_the_checks_on(project: Project) -> None:
    """Whatever headers, decorators and with blocks say, in the source and in what it cimports."""
    project.write(
        "inline.pxd",
        "cimport cython\n"
        "@cython.boundscheck(False)\n@cython.wraparound(False)\n"
        "cdef inline int item(int[:] x, int i) except? -1:\n    return x[i]\n",
    )
    project.write(
        "foo.pyx",
        """\
        # cython: boundscheck=False, wraparound=False, nonecheck=False
        # cython: initializedcheck=False, overflowcheck=False, cdivision=True
        cimport cython
        from inline cimport item

        cdef class A:
            cdef int x

        def header(list x, int i): return x[i]

        @cython.boundscheck(False)
        @cython.wraparound(False)
        def decorator(int[:] x, int i): return x[i]

        def block(int[:] x, int i):
            with cython.boundscheck(False), cython.wraparound(False):
                return x[i]

        def inline(int[:] x, int i): return item(x, i)

        @cython.overflowcheck(False)
        def overflow(int a, int b): return a * b

        @cython.nonecheck(False)
        def none(A a): return a.x

        cdef class B:
            cdef int[:] view
            @cython.initializedcheck(False)
            def uninitialized(self): return self.view[0]

        def kept(int a, int b): return a % b   # cdivision is not among them
        """,
    )
    program = """
        import foo
        from array import array
        x = array("i", [1, 2, 3])
        for call in (
            lambda: foo.header([1, 2, 3], 3),
            lambda: foo.decorator(x, 3),
            lambda: foo.block(x, 3),
            lambda: foo.inline(x, 3),
            lambda: foo.overflow(2**30, 4),
            lambda: foo.none(None),
            lambda: foo.B().uninitialized(),
        ):
            try:
                print(call())
            except Exception as error:
                print(type(error).__name__)
        print(foo.header([1, 2, 3], -1), foo.decorator(x, -1), foo.block(x, -1), foo.inline(x, -1))
        print(foo.kept(-7, 3))
        """

    done = run(project, program, profile="debug")

    assert done.stdout.split() == [
        *["IndexError"] * 4, "OverflowError", "AttributeError", "AttributeError",
        *["3"] * 4, "-1",
    ], done  # fmt: skip


GDB = shutil.which("gdb")


@pytest.mark.skipif(GDB is None, reason="needs gdb")
def test_gdb_stops_on_a_line_of_the_source(project: Project) -> None:
    project.write("pkg/__init__.py", "")
    source = project.write(
        "pkg/foo.pyx",
        """\
        def double(int n):
            cdef int answer = n
            answer *= 2
            return answer
        """,
    )
    program = "import cyhot; cyhot.install(profile='debug')\nimport pkg.foo; pkg.foo.double(21)\n"
    project.write("main.py", program)
    project.run("main.py")

    commands = [
        "set breakpoint pending on", "break foo.pyx:3", "run main.py",
        "print __pyx_v_n", "info source", "next", "print __pyx_v_answer",
    ]  # fmt: skip
    told = subprocess.run(
        [str(GDB), "-nx", "-batch", *(f"-ex={command}" for command in commands), sys.executable],
        cwd=project.root, env=project.environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert "at pkg/foo.pyx:3\n" in told.stdout, told
    assert "answer *= 2" in told.stdout
    assert "$1 = 21" in told.stdout and "$2 = 42" in told.stdout
    assert f"Located in {source}" in told.stdout


@pytest.mark.skipif(not shutil.which("readelf"), reason="needs readelf")
@pytest.mark.parametrize("profile", ["debug", "release"])
def test_the_c_file_in_the_debug_information_is_there(project: Project, profile: str) -> None:
    project.write("foo.pyx", "def f(x): return x\n")
    image = run(project, "import foo; print(foo.__cached__)", profile=profile).stdout.strip()

    told = subprocess.run(["readelf", "--debug-dump=info", image], capture_output=True, text=True)
    (c_file,) = {
        Path(line.split(": ")[-1]) for line in told.stdout.splitlines() if line.endswith("/foo.c")
    }
    assert c_file.read_bytes() == Path(image).with_name("foo.c").read_bytes()
    (folder,) = {
        line.split(": ")[-1] for line in told.stdout.splitlines() if "DW_AT_comp_dir" in line
    }
    assert folder == str(project.root)


def test_c_files_for_debuggers_go_when_their_images_are_gone(project: Project) -> None:
    project.write("foo.pyx", "x = 1\n")
    image = run(project, "import foo; print(foo.__cached__)", profile="debug").stdout.strip()
    (old,) = project.store.glob("cache/c/*/foo.c")
    os.utime(old, (0, 0))
    project.write("foo.pyx", "x = 2\n")
    run(project, "import foo", profile="debug")
    assert len(list(project.store.glob("cache/c/*/foo.c"))) == 2

    shutil.rmtree(Path(image).parent)
    project.write("foo.pyx", "x = 3\n")
    run(project, "import foo", profile="debug")

    assert len(list(project.store.glob("cache/c/*/foo.c"))) == 2
    assert not old.exists()


def test_an_error_in_c_still_leads_to_the_source(project: Project) -> None:
    """In this profile the C compiler itself speaks of .pyx lines."""
    source = project.write(
        "foo.pyx",
        'cdef extern from *:\n    """\n    struct point { int x; };\n    """\n'
        "    struct point:\n        int x, y\ndef f():\n    cdef point p\n    return p.y\n",
    )
    done = project.run("import cyhot; cyhot.install(profile='debug'); import foo", check=False)
    assert f"\n{source}:9" in done.stderr, done
    assert "has no member named" in done.stderr


# --- trace ---------------------------------------------------------------------------------------

TRACED = """\
from inline cimport sign

def f(int n):
    cdef int i, s = 0
    for i in range(n):
        s += i
    if n > 100:
        s = 0
    return s * sign(n)

class A:
    def missed(self):
        return 1
"""


@pytest.fixture
def traced(project: Project) -> Project:
    """A project that has run under coverage.py; its report is to be made."""
    pytest.importorskip("coverage")
    project.write("src/pkg/__init__.py", "")
    project.write("src/pkg/foo.pyx", TRACED)
    project.write("src/inline.pxd", "cdef inline int sign(int x):\n    if x < 0:\n"
                  "        return -1\n    return 1\n")  # fmt: skip
    project.write("src/main.py", "import cyhot; cyhot.install()\nimport pkg.foo\npkg.foo.f(3)\n")
    return project


def covered(project: Project, plugin: str, **env: str) -> dict[str, dict[str, list[int]]]:
    """What coverage.py's JSON report says of each file."""
    project.write(".coveragerc", f"[run]\nplugins = {plugin}\nomit = */cyhot/*\n")
    env = {"CYHOT_PROFILE": "trace", **env}
    for command in ("run src/main.py", "json -q -o coverage.json"):
        code = f"import sys; from coverage.cmdline import main; sys.exit(main({command.split()!r}))"
        project.run(code, env=env)
    files = json.loads((project / "coverage.json").read_text())["files"]
    return {name.removeprefix(f"{project.root}/"): found for name, found in files.items()}


def test_coverage_of_a_pyx(traced: Project) -> None:
    """cyhot's plugin finds the C file in the store, wherever the program is started from."""
    own = set(traced.files())

    files = covered(traced, "cyhot.coverage")

    assert files["src/pkg/foo.pyx"]["executed_lines"] == [1, 3, 4, 5, 6, 7, 9, 11, 12], files
    assert files["src/pkg/foo.pyx"]["missing_lines"] == [8, 13]
    assert files["src/inline.pxd"]["missing_lines"] == [1, 3]
    new = {name for name in set(traced.files()) - own if "__pycache__" not in name}
    assert new == {".coverage", ".coveragerc", "coverage.json"}


def test_coverage_with_cythons_own_plugin(traced: Project) -> None:
    """It looks for the C file beside the source: `keep_c` puts it there.

    (It does not get on with a .pxd in another folder.)
    """
    traced.write(
        "src/pkg/foo.pyx", TRACED.replace("from inline cimport sign", "cdef int sign(x): return 1")
    )
    files = covered(traced, "Cython.Coverage", CYHOT_KEEP_C="1", PYTHONPATH="src")
    assert files["src/pkg/foo.pyx"]["missing_lines"] == [8, 13], files
