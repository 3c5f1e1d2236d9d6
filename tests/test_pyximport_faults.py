"""The 16 faults of pyximport that docs/pyximport.md lists, each as a user meets it.

``pytest tests/test_pyximport_faults.py --tool pyximport`` runs the same programs with pyximport in
cyhot's place: there every test fails, and shows the fault (9 is a race: most of the time).
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import EXT_SUFFIX, FOO, Project

CUBE = FOO.replace("x * x", "x * x * x")
SQR_OF_3 = "import cyhot; cyhot.install(); import foo; print(foo.sqr(3))"


def set_mtime(path: Path, seconds_later: float) -> None:
    """Move a file's time of change (by whole seconds, for tools that compare those)."""
    now = path.stat().st_mtime
    os.utime(path, (now + seconds_later, now + seconds_later))


def edit(path: Path, old: str, new: str) -> None:
    """Change a file, and its time of change well past what a coarse clock can tell apart."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    set_mtime(path, 10)


def compiler(project: Project, name: str, script: str) -> str:
    """Write a compiler of our own in front of the real one, to be named in CC."""
    path = project.root.parent / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(stat.S_IRWXU)
    return str(path)


# --- 1: what is beside the source -------------------------------------------------------------


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Project:
    """A project whose foo.pyx is built as a cube; stale.so is its image from when it squared."""
    tool = pytestconfig.getoption("tool")
    project = Project(tmp_path_factory.mktemp("cube"), tool=tool)
    project.write("foo.pyx", FOO)
    old = project.run(
        """
        import cyhot; cyhot.install()
        import foo
        print(foo.__spec__.cached or foo.__spec__.origin)
        """
    )
    shutil.copy(old.stdout.strip(), project / "stale.so")
    project.write("foo.pyx", CUBE)
    set_mtime(project / "foo.pyx", 10)
    project.run(SQR_OF_3)
    return project


def stale_image(project: Project) -> Path:
    return Path(shutil.copy(project / "stale.so", project / f"foo{EXT_SUFFIX}"))


def python_file(project: Project) -> Path:
    return project.write("foo.py", "def sqr(x): return 'foo.py'")


def folder(project: Project) -> Path:
    (project / "foo").mkdir()
    return project / "foo"


def package(project: Project) -> Path:
    return project.write("foo/__init__.py", "def sqr(x): return 'foo/__init__.py'").parent


@pytest.fixture(params=[stale_image, python_file, folder, package])
def shadow(cube: Project, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Something else of the module's name, beside the source for as long as a test runs."""
    path = request.param(cube)
    yield path
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_what_lies_beside_a_pyx_does_not_shadow_it(cube: Project, shadow: Path) -> None:
    """Fault 1: a stale .so, a .py or a folder of the same name was imported instead."""
    run = cube.run(SQR_OF_3)

    assert run.stdout == "27\n", run
    assert run.stderr.count("CyhotWarning") == 1, run
    assert shadow.name in run.stderr


def test_an_image_built_in_place_does_not_shadow_the_edited_source(project: Project) -> None:
    """Fault 1, the article's complaint: with inplace=True nothing was ever built again."""
    program = SQR_OF_3.replace("install()", "install(inplace=True)")
    project.write("foo.pyx", FOO)
    assert project.run(program).stdout == "9\n"
    assert (project / f"foo{EXT_SUFFIX}").is_file()

    edit(project / "foo.pyx", "x * x", "x * x * x")

    run = project.run(program)
    assert run.stdout == "27\n", run
    # The image is ours and was replaced: there is nothing to warn about.
    assert "Warning" not in run.stderr


# --- 2 and 3: which module ---------------------------------------------------------------------


def test_a_package_with_only_an_init_pyx_is_compiled(project: Project) -> None:
    """Fault 2: it became a namespace package, empty, and nothing was compiled."""
    project.write("pkg/__init__.pyx", "from .helper import word\nanswer = 42\n")
    project.write("pkg/helper.py", "word = 'relative'")

    run = project.run(
        """
        import cyhot; cyhot.install()
        import pkg, pkg.helper
        print(pkg.answer, pkg.word, pkg.__name__, pkg.__package__, *pkg.__path__)
        """
    )

    assert run.stdout == f"42 relative pkg pkg {project.root / 'pkg'}\n", run
    assert run.compiles == ["pkg"]


def test_two_projects_with_the_same_module_name_keep_their_own(
    projects: Callable[[str], Project],
) -> None:
    """Fault 3: images were kept by module name alone, so one project got the other's module."""
    one, two = projects("one"), projects("two")
    for project in (one, two):
        project.write("m.pyx", f"whose = {project.root.parent.name!r}")
    # Files that were unpacked or checked out together are as old as each other.
    shutil.copystat(one / "m.pyx", two / "m.pyx")
    program = "import cyhot; cyhot.install(); import m; print(m.whose)"

    assert one.run(program).stdout == "one\n"
    assert two.run(program).stdout == "two\n"
    assert one.run(program).stdout == "one\n"
    assert one.compiles() == two.compiles() == ["m"]


# --- 4: the user's files -----------------------------------------------------------------------


def test_inplace_leaves_files_with_similar_names_alone(project: Project) -> None:
    """Fault 4: every file beside the source that was called foo_* was deleted."""
    project.write("foo.pyx", FOO)
    project.write("foo_data.txt", "years of measurements")
    project.write("foo_utils.py", "x = 1")
    before = project.files()

    project.run("import cyhot; cyhot.install(inplace=True); import foo")

    after = project.files()
    image = after.pop(f"foo{EXT_SUFFIX}", None)
    assert after == before
    assert image, "inplace=True puts the image beside the source"


# --- 5: reload ---------------------------------------------------------------------------------


def test_reload_runs_the_new_code(project: Project) -> None:
    """Fault 5: even with reload_support=True, importlib.reload() kept the old code."""
    project.write("foo.pyx", FOO)

    run = project.run(
        """
        import cyhot; cyhot.install(reload_support=True)
        import importlib, os, pathlib, foo

        print(foo.sqr(3))
        source = pathlib.Path("foo.pyx")
        later = source.stat().st_mtime + 10
        source.write_text(source.read_text().replace("x * x", "x * x * x"))
        os.utime(source, (later, later))
        again = importlib.reload(foo)
        print(foo.sqr(3), again is foo)
        """
    )

    assert run.stdout == "9\n27 True\n", run


# --- 6, 7, 8: what is stale --------------------------------------------------------------------


def test_a_changed_header_rebuilds(project: Project) -> None:
    """Fault 6: a changed .h was never noticed."""
    project.write("foo.pyx", 'cdef extern from "size.h":\n    enum: SIZE\nsize = SIZE\n')
    header = project.write("include/size.h", "#define SIZE 1\n")
    program = """
        import cyhot; cyhot.install(setup_args={"include_dirs": ["include"]})
        import foo
        print(foo.size)
        """
    assert project.run(program).stdout == "1\n"

    edit(header, "1", "2")
    assert project.run(program).stdout == "2\n"


# Ways to name a pxd, of which Cython's own dependency scanner sees none.
CIMPORTS = """\
from pkg cimport a
from . cimport b
from pkg cimport (
    c)
from pkg cimport d as dd
from pkg \\
    cimport e
cimport cython; cimport pkg.f

numbers = [a.NUMBER, b.NUMBER, c.NUMBER, dd.NUMBER, e.NUMBER, pkg.f.NUMBER]
"""


def test_a_changed_pxd_rebuilds(project: Project) -> None:
    """Fault 6: whether a changed .pxd was noticed hung on how the cimport was written."""
    project.write("pkg/__init__.py", "")
    project.write("pkg/user.pyx", CIMPORTS)
    pxds = [project.write(f"pkg/{x}.pxd", "cdef enum:\n    NUMBER = 1\n") for x in "abcdef"]
    program = """
        import cyhot; cyhot.install()
        from pkg import user
        print(*user.numbers)
        """
    assert project.run(program).stdout == "1 1 1 1 1 1\n"

    for pxd in pxds:
        edit(pxd, "1", "3")
    assert project.run(program).stdout == "3 3 3 3 3 3\n"

    # Each alone would have been noticed; so would a pxd that was not there before.
    run = project.run(
        """
        import cyhot, pathlib
        cyhot.install()

        def why():
            "The reasons for a build that is due, not those of the last one."
            return [reason for reason in cyhot.why("pkg.user") if reason.kind != "built"]

        print([reason.kind for reason in why()])
        for name in ["a.pxd", "b.pxd", "c.pxd", "d.pxd", "e.pxd", "f.pxd", "user.pxd"]:
            file = pathlib.Path("pkg", name)
            text = file.read_text() if file.exists() else None
            file.write_text((text or "") + "  ")
            print(name in " ".join(map(str, why())), name)
            file.write_text(text) if text is not None else file.unlink()
        """
    )
    known, *noticed = run.stdout.splitlines()
    assert known == "['up-to-date']", run
    assert [line.split()[0] for line in noticed] == ["True"] * 7, run
    assert not run.compiles


def test_changed_flags_compiler_or_directives_rebuild(project: Project) -> None:
    """Fault 7: after a change of CFLAGS, compiler or directives the old image was imported."""
    project.write(
        "foo.pyx",
        '''\
        cdef extern from *:
            """
            #ifndef MADE_BY
            #define MADE_BY 0
            #endif
            #ifndef FLAG
            #define FLAG 0
            #endif
            """
            enum: MADE_BY
            enum: FLAG

        def values(i):
            [i for i in range(i)]  # changes i in Python 2
            return MADE_BY, FLAG, i
        ''',
    )
    program = "import cyhot; cyhot.install({}); import foo; print(*foo.values(3))"
    env = {"CC": compiler(project, "cc", 'exec gcc -DMADE_BY=1 "$@"')}
    assert project.run(program.format("language_level=3"), env=env).stdout == "1 0 3\n"

    # The compiler is upgraded where it stands ...
    compiler(project, "cc", 'exec gcc -DMADE_BY=2 "$@"')
    assert project.run(program.format("language_level=3"), env=env).stdout == "2 0 3\n"

    env["CFLAGS"] = "-DFLAG=3"
    assert project.run(program.format("language_level=3"), env=env).stdout == "2 3 3\n"

    assert project.run(program.format("language_level=2"), env=env).stdout == "2 3 2\n"
    assert project.compiles() == ["foo"] * 4

    # ... and what was built with the same of all these before is found again.
    run = project.run(program.format("language_level=3"), env=env)
    assert (run.stdout, run.compiles) == ("2 3 3\n", [])


def test_an_edit_with_an_older_mtime_is_noticed(project: Project) -> None:
    """Fault 8: a file that got older (git checkout, tar, rsync) was taken for unchanged."""
    project.write("foo.pyx", FOO)
    assert project.run(SQR_OF_3).stdout == "9\n"

    project.write("foo.pyx", CUBE)
    set_mtime(project / "foo.pyx", -1000)
    assert project.run(SQR_OF_3).stdout == "27\n"

    # So was one that is as old and as long as what it replaces.
    cube = (project / "foo.pyx").stat()
    project.write("foo.pyx", CUBE.replace("x * x * x", "x + x * x"))
    os.utime(project / "foo.pyx", ns=(cube.st_atime_ns, cube.st_mtime_ns))
    assert project.run(SQR_OF_3).stdout == "12\n"

    # What is taken back is found again, not rebuilt.
    project.write("foo.pyx", FOO)
    run = project.run(SQR_OF_3)
    assert (run.stdout, run.compiles) == ("9\n", [])


# --- 9: at once --------------------------------------------------------------------------------


def test_four_processes_at_once_get_the_same_module(project: Project) -> None:
    """Fault 9: of four processes two failed ("file too short", "no PyInit")."""
    project.write("foo.pyx", FOO)
    program = """
        import cyhot; cyhot.install()
        print("ready", flush=True)
        input()
        import foo
        print(foo.sqr(3))
        """
    with ExitStack() as stack:
        processes = [stack.enter_context(project.start(program)) for _ in range(4)]
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        ended = [(*process.communicate(timeout=240), process.returncode) for process in processes]

    assert [(stdout, status) for stdout, _, status in ended] == [("9\n", 0)] * 4, ended
    assert project.compiles() == ["foo"]


# --- 10: errors --------------------------------------------------------------------------------


def test_an_error_of_cython_says_where_it_is(project: Project) -> None:
    """Fault 10: the message was the repr() of a list, and what was wrong was not in it."""
    project.write("foo.pyx", "cpdef int sqr(int x):\n    return x * y\n")

    run = project.run(
        """
        import cyhot; cyhot.install()
        try:
            import foo
        except ImportError as error:
            print(error)
            [diagnostic] = error.diagnostics
            print(isinstance(error, cyhot.CompileError), error.name, error.path)
            print(diagnostic.line, diagnostic.column, diagnostic.severity, diagnostic.message)
        """
    )

    source = project / "foo.pyx"
    assert f"{source}:2:16: error: undeclared name not builtin: y" in run.stdout, run
    assert "    return x * y\n" in run.stdout
    assert "['" not in run.stdout
    assert run.stdout.splitlines()[-2:] == [
        f"True foo {source}",
        "2 16 error undeclared name not builtin: y",
    ], run


def test_an_error_of_the_c_compiler_is_shown(project: Project) -> None:
    """Fault 10: what the C compiler said was lost to whoever caught the ImportError."""
    project.write("foo.pyx", 'cdef extern from "no_such_header.h":\n    int f()\nprint(f())\n')

    run = project.run(
        """
        import cyhot; cyhot.install()
        try:
            import foo
        except ImportError as error:
            print(error)
        """
    )

    assert "no_such_header.h" in run.stdout, run
    assert "No such file or directory" in run.stdout, run


def test_an_exception_of_the_modules_own_stays_itself(project: Project) -> None:
    """Fault 10: whatever a module raised came out as ImportError("Executing module ...")."""
    project.write(
        "foo.pyx",
        """\
        import os
        if os.environ["WRONG"]:
            raise ValueError("wrong")
        import there_is_no_such_module
        """,
    )

    run = project.run(
        """
        import cyhot; cyhot.install()
        import os, traceback
        for wrong in ("yes", ""):
            os.environ["WRONG"] = wrong
            try:
                import foo
            except Exception as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                print(type(error), os.path.basename(frame.filename), frame.lineno, error)
        """
    )

    assert run.stdout.splitlines() == [
        "<class 'ValueError'> foo.pyx 3 wrong",
        "<class 'ModuleNotFoundError'> foo.pyx 4 No module named 'there_is_no_such_module'",
    ], run


def test_ctrl_c_interrupts_and_leaves_nothing_behind(project: Project) -> None:
    """Fault 10: Ctrl-C while compiling came out as SystemExit(1)."""
    project.write("foo.pyx", FOO)
    flag = project.root.parent / "interrupt"
    flag.touch()
    # The compiler presses Ctrl-C when it is first given a C file (not when asked for its version).
    script = (
        f'for arg; do case "$arg" in *.c) rm "{flag}" 2>/dev/null && kill -INT $PPID;; esac; done\n'
        'exec gcc "$@"'
    )

    run = project.run(
        """
        import cyhot; cyhot.install()
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            import foo
        except BaseException as error:
            print(type(error).__name__, "foo" in sys.modules)
        import foo
        print(foo.sqr(3))
        """,
        env={"CC": compiler(project, "cc", script)},
    )

    assert run.stdout == "KeyboardInterrupt False\n9\n", run
    assert set(project.files()) == {"foo.pyx"}


# --- 11 and 12: the files beside a source -----------------------------------------------------


def test_a_pyxdep_is_honoured_without_touching_the_source(project: Project) -> None:
    """Fault 11: to have it rebuilt, the user's source was given a new time of change."""
    project.write("foo.pyx", FOO)
    project.write("foo.pyxdep", "table.txt\nmore/*.txt\n")
    project.write("more/one.txt", "1")
    table = project.write("table.txt", "1")
    project.run(SQR_OF_3)
    before = (project / "foo.pyx").stat()

    edit(table, "1", "2")
    run = project.run(SQR_OF_3)

    assert (project / "foo.pyx").stat() == before
    assert run.compiles == ["foo"]
    assert not project.run(SQR_OF_3).compiles


def test_a_pyxbld_may_have_only_make_setup_args(project: Project) -> None:
    """Fault 12: AttributeError: 'NoneType' object has no attribute 'sources'."""
    project.write("foo.pyx", 'cdef extern from "size.h":\n    enum: SIZE\nsize = SIZE\n')
    project.write("headers/size.h", "#define SIZE 5\n")
    project.write(
        "foo.pyxbld",
        """
        import os

        def make_setup_args():
            return {"include_dirs": [os.path.join(os.path.dirname(__file__), "headers")]}
        """,
    )

    assert project.run("import cyhot; cyhot.install(); import foo; print(foo.size)").stdout == "5\n"


def test_language_level_holds_beside_make_ext(project: Project) -> None:
    """Fault 12: install(language_level=...) was ignored where the .pyxbld has a make_ext."""
    project.write(
        "foo.pyx", "def sqr(i):\n    [i for i in range(i)]  # changes i in Python 2\n    return i\n"
    )
    project.write(
        "foo.pyxbld",
        """
        def make_ext(modname, pyxfilename):
            from setuptools import Extension
            return Extension(name=modname, sources=[pyxfilename])
        """,
    )

    run = project.run(SQR_OF_3.replace("install()", "install(language_level=2)"))
    assert run.stdout == "2\n", run


# --- 13 to 16: what it needs and what it costs --------------------------------------------------


def test_neither_setuptools_nor_distutils_is_needed(project: Project) -> None:
    """Fault 13: on Python >= 3.12 without setuptools, "No module named 'distutils'"."""
    project.write("foo.pyx", FOO)

    run = project.run(
        """
        import sys
        for name in ("setuptools", "distutils", "_distutils_hack", "pkg_resources"):
            sys.modules[name] = None
        import cyhot; cyhot.install()
        import foo
        print(foo.sqr(3))
        """
    )

    assert run.stdout == "9\n", run


def test_pyimport_compiles_every_py_that_is_imported(project: Project) -> None:
    """Fault 14: pyimport=True compiled the first .py that it met, and no other."""
    for name in ("one", "two"):
        project.write(f"{name}.py", "import cython\ncompiled = cython.compiled\n")

    run = project.run(
        """
        import cyhot; cyhot.install(pyximport=False, pyimport=True)
        import one, two, colorsys
        print(one.compiled, two.compiled, colorsys.__file__.endswith(".py"))
        """
    )

    assert run.stdout == "True True True\n", run
    assert run.compiles == ["one", "two"]


def test_numpy_headers_and_openmp_come_by_themselves(project: Project) -> None:
    """Fault 15: both had to be given by hand, in setup_args and in a .pyxbld."""
    pytest.importorskip("numpy")
    project.write(
        "foo.pyx",
        """\
        cimport numpy as np
        cimport openmp
        from cython.parallel cimport prange

        def total(np.ndarray[np.float64_t] x):
            cdef double s = 0
            cdef Py_ssize_t i
            for i in prange(x.shape[0], nogil=True):
                s += x[i]
            return s, openmp.omp_get_max_threads()
        """,
    )

    run = project.run(
        """
        import cyhot; cyhot.install()
        import foo, numpy
        print(*foo.total(numpy.arange(5.0)))
        """,
        env={"OMP_NUM_THREADS": "3"},
    )

    assert run.stdout == "10.0 3\n", run


@pytest.fixture(scope="module")
def foo_built(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Project:
    """A project whose foo.pyx squares, and is built."""
    tool = pytestconfig.getoption("tool")
    project = Project(tmp_path_factory.mktemp("foo"), tool=tool)
    project.write("foo.pyx", FOO)
    project.run(SQR_OF_3)
    return project


# Nothing that is up to date needs any of these; together they take longer than all the rest.
HEAVY = """
    Cython cython setuptools distutils numpy watchdog rich click filelock platformdirs
    json tomllib dataclasses pathlib logging re inspect ast typing subprocess multiprocessing
    asyncio concurrent
"""


@pytest.mark.parametrize(
    "keywords", ["", "language_level=3, inplace=True", "reload_support=True, setup_args={}"]
)
def test_an_import_that_is_up_to_date_imports_nothing_heavy(
    foo_built: Project, keywords: str
) -> None:
    """Fault 16: about a second in every process, with nothing to build."""
    project = foo_built
    program = f"""
        import sys
        heavy = {HEAVY.split()!r}
        # What site or an editable install has imported counts as well when it is asked for again.
        for name in list(sys.modules):
            if name.partition(".")[0] in heavy:
                del sys.modules[name]

        class Notes:
            imported = []
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in heavy:
                    self.imported.append(name)

        sys.meta_path.insert(0, Notes())
        import cyhot; cyhot.install({keywords})
        import foo
        print(foo.sqr(3), *Notes.imported)
        """
    project.run(program)
    run = project.run(program)
    assert (run.stdout, run.compiles) == ("9\n", []), run

    # Settings that were read once are not read again, either.
    pyproject = project.write("pyproject.toml", "[tool.cyhot]\nlanguage_level = 3\n")
    project.run(program)
    run = project.run(program)
    pyproject.unlink()
    assert (run.stdout, run.compiles) == ("9\n", []), run
