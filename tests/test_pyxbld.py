"""The files beside a source that pyximport's users know: ``.pyxbld`` and ``.pyxdep``."""

from __future__ import annotations

import textwrap

import pytest
from support import Project, Run

O0 = {"CFLAGS": "-O0"}
SIZE = 'cdef extern from *:\n    """\n    {}\n    """\n    enum: SIZE\nsize = SIZE\n'
PRINT = "import foo; print(foo.size)"


def run(project: Project, program: str, install: str = "", **env: str) -> Run:
    """Run a program with the hook installed; what it compiles is not optimized."""
    code = f"import cyhot; cyhot.install({install})\n{textwrap.dedent(program)}"
    return project.run(code, env={**O0, **env})


def failure(project: Project, module: str = "foo") -> str:
    """The one diagnostic of a module that cannot be built."""
    return run(
        project,
        f"""
        try:
            import {module}
        except cyhot.CompileError as error:
            (found,) = error.diagnostics
            print(found.stage, found.render())
        """,
    ).stdout


def counted(project: Project, text: str) -> None:
    """Write a foo.pyxbld that counts its runs in a file outside the project."""
    log = project.root.parent / "runs"
    project.write("foo.pyxbld", textwrap.dedent(text) + f"\nopen({str(log)!r}, 'a').write('x')\n")


def runs(project: Project) -> int:
    """How often foo.pyxbld has run."""
    return len((project.root.parent / "runs").read_text())


MAKE_EXT = """
def make_ext(modname, pyxfilename):
    from distutils.extension import Extension
    return Extension(name=modname, sources=[pyxfilename, "extra.c"], include_dirs=["inc"],
                     define_macros=[("SIZE", "7"), ("FLAG", None)], undef_macros=["GONE"],
                     extra_compile_args=["-DARG=8"], libraries=["m"])
"""


def test_make_ext_alone(project: Project) -> None:
    """Paths are relative to the .pyxbld, and distutils is there on Python 3.13 as well."""
    project.write(
        "pkg/foo.pyx",
        'cdef extern from "foo.h":\n    enum: SIZE, ARG, HEADER, NOT_GONE\n    int extra()\n'
        "answer = (SIZE, ARG, HEADER, NOT_GONE, extra())\n",
    )
    project.write("pkg/foo.pyxbld", MAKE_EXT)
    project.write("pkg/extra.c", "#ifdef FLAG\nint extra(void) { return SIZE + 1; }\n#endif\n")
    project.write(
        "pkg/inc/foo.h",
        "enum {HEADER = 9};\nint extra(void);\n"
        "#ifdef GONE\nenum {NOT_GONE = 0};\n#else\nenum {NOT_GONE = 1};\n#endif\n",
    )

    done = run(project, "import pkg.foo; print(*pkg.foo.answer)", CPPFLAGS="-DGONE")

    assert done.stdout == "7 8 9 1 8\n", done


def test_make_setup_args_alone(project: Project) -> None:
    project.write("foo.pyx", SIZE.format(""))
    project.write(
        "foo.pyxbld",
        """
        def make_setup_args():
            return {"options": {"build_ext": {"define": "SIZE,B", "libraries": "m"}},
                    "include_dirs": "inc", "script_args": ["--verbose"]}
        """,
    )
    assert run(project, PRINT).stdout == "1\n"


def test_make_ext_and_make_setup_args_together(project: Project) -> None:
    project.write(
        "foo.pyx", 'cdef extern from "both.h":\n    enum: SIZE, ARG\nsize = (SIZE, ARG)\n'
    )
    project.write("one/both.h", "enum {SIZE = sizeof(TYPE)};\n")
    project.write(
        "foo.pyxbld",
        """
        from setuptools import Extension
        def make_ext(modname, pyxfilename):
            return Extension(modname, [pyxfilename], define_macros=[("ARG", "3")])
        def make_setup_args():
            return dict(options={"build_ext": {"define": [("TYPE", "short")]}},
                        include_dirs=["one", "two"])
        """,
    )
    assert run(project, PRINT).stdout == "(2, 3)\n"


def test_a_pyxbld_adds_to_the_header_and_wins_over_settings(project: Project) -> None:
    header = "# distutils: define_macros = SIZE=1\n# distutils: extra_compile_args = -DBEFORE=1\n"
    project.write(
        "foo.pyx",
        header
        + SIZE.format("")
        .replace("enum: SIZE", "enum: SIZE, BEFORE, LATER")
        .replace("= SIZE", "= (SIZE, BEFORE, LATER, 1 / 2)"),
    )
    project.write(
        "foo.pyxbld",
        """
        from Cython.Build import cythonize
        from setuptools import Extension
        def make_ext(modname, pyxfilename):
            extension = Extension(modname, [pyxfilename], extra_compile_args=["-DLATER=2"])
            return cythonize([extension], language_level=2)[0]
        """,
    )
    done = run(project, PRINT, "language_level=3")
    assert done.stdout == "(1, 1, 2, 0)\n", done


def test_it_runs_again_only_when_its_inputs_changed(project: Project) -> None:
    project.write("foo.pyx", SIZE.format(""))
    project.write("build_helper.py", "MACROS = [('SIZE', '1')]\n")
    text = """
        import os
        from build_helper import MACROS
        from setuptools import Extension
        def make_ext(modname, pyxfilename):
            return Extension(modname, [pyxfilename], define_macros=MACROS)
        """
    counted(project, text)
    assert run(project, PRINT).stdout == "1\n"
    assert run(project, PRINT).stdout == "1\n"
    assert runs(project) == 1

    # An edit of the source builds again, but what the .pyxbld says is known.
    project.write("foo.pyx", SIZE.format("").replace("= SIZE", "= SIZE + 10"))
    assert run(project, PRINT).stdout == "11\n"
    assert runs(project) == 1

    project.write("build_helper.py", "MACROS = [('SIZE', '2')]\n")
    assert run(project, PRINT).stdout == "12\n"
    assert runs(project) == 2

    counted(project, text.replace("=MACROS", "=[('SIZE', '3')]"))
    done = run(project, PRINT)
    assert (done.stdout, done.compiles) == ("13\n", ["foo"]), done
    assert runs(project) == 3

    (project / "foo.pyxbld").unlink()
    project.write("foo.pyx", SIZE.format("enum {SIZE = 5};"))
    assert run(project, PRINT).stdout == "5\n"


@pytest.mark.parametrize(
    "call",
    [
        "cythonize([Extension(modname, [pyxfilename])], annotate=True, **options)[0]",
        "cythonize(Extension(modname, [pyxfilename]), force=True, nthreads=2, **options)[0]",
        "cythonize([pyxfilename], **options)[0]",
        "cythonize(pyxfilename, quiet=True, build_dir='build', **options)[0]",
        "cythonize('*.pyx', exclude=['x.pyx'], **options)[0]",
    ],
)
def test_a_cythonize_in_it_is_intercepted(project: Project, call: str) -> None:
    """Its options count, whatever it is given; not a file is written into the tree."""
    project.write(
        "foo.pyx",
        "# distutils: extra_compile_args = MY_ARGS\n"
        'include "deep.pxi"\n'
        "cdef extern from *:\n    enum: SIZE\n"
        "def mod(int a, int b): return a % b\n"
        "answer = (SIZE, mod(-7, 3), 1 / 2, deep)\n",
    )
    project.write("more/deep.pxi", "deep = 'deep'\n")
    project.write(
        "foo.pyxbld",
        f"""
        from setuptools import Extension
        from Cython.Build import cythonize
        def make_ext(modname, pyxfilename):
            options = dict(compiler_directives=dict(cdivision=True), language_level="2",
                           include_path=["more"], aliases={{"MY_ARGS": ["-DSIZE=6"]}})
            return {call}
        """,
    )
    own = project.files()

    done = run(project, "import foo; print(*foo.answer)")

    assert done.stdout == "6 -1 0 deep\n", done
    assert project.files() == own


def test_cythonize_is_itself_again_afterwards(project: Project) -> None:
    project.write("foo.pyx", "size = 1\n")
    project.write("bar.pyx", "x = 1\n")
    project.write("helper.py", "from Cython.Build import cythonize\n")
    project.write(
        "foo.pyxbld",
        """
        from helper import cythonize
        def make_ext(modname, pyxfilename):
            return cythonize(pyxfilename)[0]
        """,
    )
    run(
        project,
        """
        import Cython.Build, Cython.Build.Dependencies
        before = Cython.Build.cythonize, Cython.Build.Dependencies.cythonize
        import foo, helper, os
        assert (Cython.Build.cythonize, Cython.Build.Dependencies.cythonize) == before
        assert not os.path.exists("foo.c")
        helper.cythonize("bar.pyx", quiet=True)
        assert os.path.exists("bar.c")
        """,
    )


def test_cythons_own_extension_class(project: Project) -> None:
    project.write("foo.pyx", "def mod(int a, int b): return a % b\nsize = mod(-7, 3)\n")
    project.write(
        "foo.pyxbld",
        """
        from Cython.Distutils import Extension
        def make_ext(modname, pyxfilename):
            return Extension(modname, [pyxfilename], cython_directives={"cdivision": True})
        """,
    )
    assert run(project, PRINT).stdout == "-1\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\ndef make_ext(:\n", 2, "SyntaxError: invalid syntax"),
        ("import no_such_module\n", 1, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def make_ext(modname, pyxfilename):\n    return 1 / 0\n", 2, "ZeroDivisionError"),
        ("def make_ext(modname, pyxfilename):\n    pass\n", None, "must return an Extension"),
        ("def make_ext(modname):\n    pass\n", None, "takes 1 positional argument"),
        ("def make_setup_args():\n    return []\n", None, "must return a dict, not []"),
        ("import sys\n\nsys.exit('no library')\n", 3, "SystemExit: no library"),
    ],
)
def test_its_errors_are_compile_errors(
    project: Project, text: str, line: int | None, message: str
) -> None:
    project.write("foo.pyx", "x = 1\n")
    path = project.write("foo.pyxbld", text)

    told = failure(project)

    place = f"{path}:{line}" if line else f"{path}"
    assert told.startswith(f"pyxbld {place}"), told
    assert message in told, told
    if line:
        assert text.splitlines()[line - 1].strip() in told, told
    assert "hint: a .pyxbld defines make_ext" in told


def test_an_error_is_not_remembered(project: Project) -> None:
    project.write("foo.pyx", SIZE.format("enum {SIZE = 5};"))
    project.write("foo.pyxbld", "import no_such_module\n")
    assert "no_such_module" in failure(project)
    project.write("no_such_module.py", "")
    assert run(project, PRINT).stdout == "5\n"


# --- .pyxdep -------------------------------------------------------------------------------------


def test_a_pyxdep_names_files_by_pattern(project: Project) -> None:
    project.write("foo.pyx", "size = 1\n")
    project.write("foo.pyxdep", "data/*.txt\n\nother.txt\n")
    project.write("data/a.txt", "1")
    before = (project / "foo.pyx").stat()
    assert run(project, PRINT).compiles == ["foo"]
    assert run(project, PRINT).compiles == []

    for relpath in ("data/b.txt", "other.txt"):
        project.write(relpath, "new")
        assert run(project, PRINT).compiles == ["foo"], relpath

    project.write("unlisted.txt", "new")
    assert run(project, PRINT).compiles == []
    project.write("foo.pyxdep", "unlisted.txt\n")
    assert run(project, PRINT).compiles == ["foo"]
    after = (project / "foo.pyx").stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


LOOKS = """
    import glob, os, pathlib
    from setuptools import Extension
    here = pathlib.Path(__file__).parent
    def make_ext(modname, pyxfilename):
        size = {}
        return Extension(modname, [pyxfilename], define_macros=[("SIZE", str(size))])
    """


@pytest.mark.parametrize(
    ("look", "change"),
    [
        ("(here / 'size.txt').read_text().strip()", "size.txt"),
        ("os.path.exists(here / 'big') + 1", "big"),
        ("len(glob.glob(str(here / 'parts' / '*.c')))", "parts/b.c"),
        ("len(list((here / 'parts').glob('*.c')))", "parts/b.c"),
        ("len(os.listdir(here / 'parts'))", "parts/b.c"),
        ("os.environ.get('FOO_SIZE', '1')", "FOO_SIZE"),
    ],
)
def test_what_it_looks_at_is_an_input_of_it(project: Project, look: str, change: str) -> None:
    """A file, a folder, a variable: what a .pyxbld reads decides how the module is built."""
    project.write("foo.pyx", SIZE.format(""))
    project.write("size.txt", "1")
    project.write("parts/a.c", "")
    counted(project, LOOKS.format(look))
    assert run(project, PRINT).stdout == "1\n"
    project.write("other.txt", "nobody asks for it")
    done = run(project, PRINT, OTHER="nobody asks for it")
    assert (done.stdout, done.compiles, runs(project)) == ("1\n", [], 1), done

    env = {"FOO_SIZE": "2"} if change == "FOO_SIZE" else {}
    if not env:
        project.write(change, "2")
    done = run(project, PRINT, **env)
    assert (done.stdout, done.compiles) == ("2\n", ["foo"]), done


def test_a_variable_that_a_pyxbld_reads_is_told_as_the_reason(project: Project) -> None:
    """And who hands all variables on to a program depends on none of them."""
    project.write("foo.pyx", SIZE.format(""))
    program = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], env={**os.environ})"
    )
    project.write("foo.pyxbld", LOOKS.format("os.environ['FOO_SIZE']") + f"\n    {program}\n")
    assert run(project, PRINT, FOO_SIZE="1").stdout == "1\n"
    done = run(project, "print(*cyhot.why('foo'))", FOO_SIZE="2", OTHER="1")
    assert done.stdout.strip().endswith(
        "foo.pyx: will be rebuilt because environment variable FOO_SIZE is 2, before 1"
    ), done


def test_what_a_pyxbld_generates_itself_is_no_input_of_it(project: Project) -> None:
    """Else it would be out of date as soon as it has run."""
    project.write("foo.pyx", SIZE.format(""))
    generate = "(here / 'parts' / f'{os.getpid()}.c').write_text(str(os.getpid())) and 1"
    look = "len(glob.glob(str(here / 'parts' / '*.c'))) * 0 + "
    read = " + 0 * len(glob.glob(str(here / 'parts' / '*.c')))"
    counted(project, LOOKS.format(look + generate + read))
    project.write("parts/a.c", "")
    for _ in range(2):
        done = run(project, PRINT)
        assert done.stdout == "1\n", done
    assert runs(project) == 1
