"""What a source says of its own build, and what it needs without saying so."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import EXT_SUFFIX, Project, Run

INSTALL = "import cyhot; cyhot.install({})\n"


def run(project: Project, program: str, env: Mapping[str, str] | None = None, **install) -> Run:
    """Run a program with the hook installed; what it compiles is not optimized."""
    keywords = ", ".join(f"{name}={value!r}" for name, value in install.items())
    code = INSTALL.format(keywords) + textwrap.dedent(program)
    return project.run(code, env={"CFLAGS": "-O0", **(env or {})})


def fails(project: Project, module: str, **install) -> list[str]:
    """Import a module that does not compile; returns its diagnostics, one text each."""
    done = run(
        project,
        f"""
        try:
            import {module}
        except cyhot.CompileError as error:
            for found in error.diagnostics:
                print(found.stage, found.render(), end="\\0")
        """,
        **install,
    )
    return done.stdout.split("\0")[:-1]


def make(folder: Path, *commands: str) -> None:
    """Run compilers."""
    for command in commands:
        subprocess.run(command.split(), cwd=folder, check=True)


# --- language level and directives --------------------------------------------------------------


def test_python_3_is_the_default_and_a_header_wins_over_settings(project: Project) -> None:
    project.write("three.pyx", "half = 1 / 2\n")
    project.write("two.pyx", "# cython: language_level=2\nhalf = 1 / 2\n")
    project.write("unsaid/old.pyx", "half = 1 / 2\n")
    project.write("unsaid/new.pyx", "# cython: language_level=3\nhalf = 1 / 2\n")
    project.write("pyproject.toml", "[[tool.cyhot.module]]\nmatch='unsaid.*'\nlanguage_level=2\n")

    done = run(
        project,
        """
        import three, two, unsaid.old, unsaid.new
        print(three.half, two.half, unsaid.old.half, unsaid.new.half)
        """,
    )

    assert done.stdout == "0.5 0 0 0.5\n", done


def test_directives_in_the_source_win_over_settings(project: Project) -> None:
    mod = "def mod(int a, int b): return a % b\n"
    project.write("set.pyx", mod)
    project.write("header.pyx", "# cython: binding=True, cdivision = False\n" + mod)
    project.write("decorator.pyx", f"cimport cython\n@cython.cdivision(False)\n{mod}")
    project.write(
        "block.pyx",
        """\
        cimport cython
        def mod(int a, int b):
            with cython.cdivision(False):
                return a % b
        """,
    )

    done = run(
        project,
        """
        import set, header, decorator, block
        print([module.mod(-7, 3) for module in (set, header, decorator, block)])
        """,
        directives={"cdivision": True},
    )

    assert done.stdout == "[-1, 2, 2, 2]\n", done


def test_a_directive_may_be_given_as_text(project: Project) -> None:
    project.write("foo.pyx", "def mod(int a, int b): return a % b\n")
    done = run(
        project, "import foo; print(foo.mod(-7, 3))", env={"CYHOT_DIRECTIVES": "cdivision=True"}
    )
    assert done.stdout == "-1\n", done


def test_a_wrong_directive_is_named(project: Project) -> None:
    project.write("foo.pyx", "x = 1\n")
    (told,) = fails(project, "foo", directives={"boundscheck": "perhaps"})
    assert "boundscheck" in told and "perhaps" in told


# --- distutils headers --------------------------------------------------------------------------


def test_the_distutils_header_is_obeyed(project: Project) -> None:
    project.write(
        "foo.pyx",
        """\
        # distutils: language = c
        # distutils: libraries = m z
        # distutils: include_dirs = headers
        # distutils: define_macros = SIZE=4 NAMED
        # distutils: extra_compile_args = -DEXTRA=5 -Imore
        # distutils: sources = twice.c
        cdef extern from "foo.h":
            enum: SIZE, EXTRA, IN_HEADER, IN_MORE
            bint IS_NAMED
        cdef extern from "zlib.h":
            const char *zlibVersion()
        cdef extern int twice(int)
        answer = (SIZE, EXTRA, IN_HEADER, IN_MORE, IS_NAMED, twice(4), zlibVersion()[0] > 0)
        """,
    )
    project.write(
        "headers/foo.h",
        '#include "more.h"\nenum {IN_HEADER = 6};\n'
        "#ifdef NAMED\nenum {IS_NAMED = 1};\n#else\nenum {IS_NAMED = 0};\n#endif\n",
    )
    project.write("more/more.h", "enum {IN_MORE = 7};\n")
    project.write("twice.c", "int twice(int x) { return 2 * x; }\n")

    done = run(project, "import foo; print(*foo.answer)")

    assert done.stdout == "4 5 6 7 True 8 True\n", done


def test_the_header_of_a_cimported_pxd_counts_for_those_that_cimport_it(project: Project) -> None:
    """As with cythonize: libraries, folders and arguments, through further .pxd files as well."""
    project.write("foo.pyx", "from middle cimport total\nprint(total())\n")
    project.write(
        "middle.pxd",
        "from deep.inner cimport SIZE, ARG, sum_of\n"
        "cdef inline int total(): return sum_of(SIZE, ARG)\n",
    )
    project.write("deep/__init__.py", "")
    project.write(
        "deep/inner.pxd",
        """\
        # distutils: libraries = sum
        # distutils: library_dirs = lib
        # distutils: include_dirs = headers
        # distutils: extra_compile_args = -DARG=30
        # distutils: define_macros = NOT_FOR_OTHERS=1
        cdef extern from "inner.h":
            enum: SIZE, ARG
            int sum_of(int, int)
        """,
    )
    project.write(
        "deep/headers/inner.h",
        "#ifdef NOT_FOR_OTHERS\n#error macros are a module's own\n#endif\n"
        "enum {SIZE = 12};\nint sum_of(int, int);\n",
    )
    lib = project.write("deep/lib/sum.c", "int sum_of(int a, int b) { return a + b; }\n").parent
    make(lib, "gcc -c -fPIC sum.c", "ar rcs libsum.a sum.o")

    assert run(project, "import foo").stdout == "42\n"


def test_a_header_beside_a_cimported_pxd_is_found(project: Project) -> None:
    project.write("foo.pyx", "from pkg.lib cimport SIZE\nsize = SIZE\n")
    project.write("pkg/__init__.py", "")
    project.write("pkg/lib.pxd", 'cdef extern from "lib.h":\n    enum: SIZE\n')
    project.write("pkg/lib.h", '#include "impl/lib.h"\n')
    project.write("pkg/impl/lib.h", "enum {SIZE = 3};\n")
    program = "import foo; print(foo.size)"
    assert run(project, program).stdout == "3\n"

    # One that is found earlier takes its place.
    project.write("lib.h", "enum {SIZE = 4};\n")
    done = run(project, program)
    assert (done.stdout, done.compiles) == ("4\n", ["foo"]), done


def test_files_of_all_kinds_are_found_beside_the_source(project: Project) -> None:
    project.write("top.pxd", "cdef enum: TOP = 1\n")
    project.write("pkg/__init__.py", "")
    project.write("pkg/defs.pxd", "cdef enum: DEFS = 2\n")
    project.write("pkg/sub/__init__.pyx", "")
    project.write("pkg/sub/__init__.pxd", "")
    project.write("pkg/sub/near.pxd", "cdef inline int near(): return 3\n")
    project.write("pkg/sub/text.pxi", "included = 4\n")
    project.write("pkg/sub/mod.h", "enum {HEADER = 5};\n")
    project.write("pkg/sub/mod.pxd", "cdef class A:\n    cdef int x\n")
    project.write("elsewhere/shared.pxi", "shared = 6\n")
    project.write(
        "pkg/sub/mod.pyx",
        """\
        from top cimport TOP
        from ..defs cimport DEFS
        from . cimport near
        from .near cimport near as close
        include "text.pxi"
        include "shared.pxi"
        cdef extern from "mod.h":
            enum: HEADER
        cdef class A:
            def __init__(self): self.x = 7
        answer = (TOP, DEFS, near.near(), close(), included, shared, HEADER, A().x)
        """,
    )

    done = run(
        project, "import pkg.sub.mod; print(*pkg.sub.mod.answer)", include_path=["elsewhere"]
    )

    assert done.stdout == "1 2 3 3 4 6 5 7\n", done


# --- C++ ----------------------------------------------------------------------------------------


def test_cplusplus_by_header_or_because_libcpp_is_cimported(project: Project) -> None:
    vector = "    cdef vector[int] v = [1, 2, 3]\n    return v.size()\n"
    project.write(
        "said.pyx",
        f"# distutils: language = c++\nfrom libcpp.vector cimport vector\ndef size():\n{vector}",
    )
    project.write("unsaid.pyx", f"from libcpp.vector cimport vector\ndef size():\n{vector}")
    project.write("plain.pyx", "def size(): return 0\n")
    project.write(
        "within.pxd", f"from libcpp.vector cimport vector\ncdef inline size_t inside():\n{vector}"
    )
    project.write("through.pyx", "from within cimport inside\ndef size(): return inside()\n")
    project.write(
        "says.pxd",
        "# distutils: language = c++\n"
        'cdef extern from "<string>" namespace "std":\n'
        "    cdef cppclass string:\n        string(char*)\n        size_t size()\n",
    )
    project.write("by_pxd.pyx", 'cimport says\ndef size(): return says.string(b"abc").size()\n')

    done = run(
        project,
        """
        import os, said, unsaid, plain, through, by_pxd
        for module in (said, unsaid, plain, through, by_pxd):
            built = os.listdir(os.path.dirname(module.__cached__))
            print(module.size(), [name for name in built if name.endswith((".c", ".cpp"))])
        """,
    )

    assert done.stdout.splitlines() == [
        "3 ['said.cpp']",
        "3 ['unsaid.cpp']",
        "0 ['plain.c']",
        "3 ['through.cpp']",
        "3 ['by_pxd.cpp']",
    ], done


def test_extra_sources_beside_the_source_or_in_the_projects_root(project: Project) -> None:
    project.write("setup.py", "")
    project.write("csrc/root.c", "int root(void) { return 1; }\n")
    project.write("pkg/__init__.py", "")
    project.write("pkg/beside.c", "int beside(void) { return 2; }\n")
    project.write(
        "pkg/plus.cpp",
        '#include <vector>\nextern "C" int plus() { return std::vector<int>(3).size(); }\n',
    )
    project.write(
        "pkg/mod.pyx",
        """\
        # distutils: sources = csrc/root.c beside.c plus.cpp
        cdef extern int root()
        cdef extern int beside()
        cdef extern int plus()
        answer = (root(), beside(), plus())
        """,
    )
    program = "import pkg.mod; print(*pkg.mod.answer)"
    assert run(project, program).stdout == "1 2 3\n"

    # An edit of one of them is an edit of the module.
    project.write("csrc/root.c", "int root(void) { return 10; }\n")
    assert run(project, program).stdout == "10 2 3\n"


def test_public_and_api_headers_are_there_for_extra_sources(project: Project) -> None:
    project.write(
        "foo.pyx",
        """\
        # distutils: sources = uses.c
        cdef public int answer = 21
        cdef public int doubled() noexcept:
            return 2 * answer
        cdef api int tripled() noexcept:
            return 3 * answer
        cdef extern int from_c()
        def ask(): return from_c()
        """,
    )
    project.write(
        "uses.c",
        '#include <Python.h>\n#include "foo.h"\n#include "foo_api.h"\n'
        "int from_c(void) { return import_foo() ? -1 : doubled() + tripled(); }\n",
    )
    own = project.files()

    assert run(project, "import foo; print(foo.ask())").stdout == "105\n"
    assert project.files() == own


# --- settings for one module --------------------------------------------------------------------


def test_a_module_table_gives_what_a_real_package_needs(project: Project) -> None:
    project.write("lib/static.c", "int from_static(void) { return 1; }\n")
    project.write("lib/shared.c", "int from_shared(void) { return 2; }\n")
    make(
        project / "lib",
        "gcc -c -fPIC static.c",
        "ar rcs libmystatic.a static.o",
        "gcc -shared -fPIC shared.c -o libmyshared.so",
    )
    project.write("csrc/extra.c", "int from_source(void) { return MACRO; }\n")
    project.write("include/plus.hpp", "namespace plus { template <int N> int get() { return N; }}")
    project.write(
        "pkg/mod.pyx",
        """\
        cdef extern int from_static() noexcept
        cdef extern int from_shared() noexcept
        cdef extern int from_source() noexcept
        cdef extern from *:
            "enum {VALUE = MACRO, ARG = ARGUMENT};"
            enum: VALUE, ARG
        answer = (from_static(), from_shared(), from_source(), VALUE, ARG)
        """,
    )
    project.write(
        "pkg/plus.pyx",
        'cdef extern from "plus.hpp" namespace "plus":\n'
        '    int four "plus::get<4>"()\nanswer = four()\n',
    )
    project.write(
        "pkg/other.pyx",
        'cdef extern from *:\n    """\n#ifdef MACRO\n#error no\n'
        '#endif\n    """\nanswer = "none of it"\n',
    )
    project.write(
        "pyproject.toml",
        """\
        [[tool.cyhot.module]]
        match = "pkg.mod"
        sources = ["csrc/extra.c"]
        libraries = ["mystatic", "myshared"]
        library_dirs = ["lib"]
        runtime_library_dirs = ["lib"]
        define_macros = { MACRO = "3" }
        extra_compile_args = ["-DARGUMENT=5"]
        extra_link_args = ["-Wl,--as-needed"]

        [[tool.cyhot.module]]
        match = ["pkg.plus"]
        language = "c++"
        include_dirs = ["include"]
        """,
    )
    program = """
        import pkg.mod, pkg.plus, pkg.other
        print(*pkg.mod.answer, pkg.plus.answer, pkg.other.answer)
        """

    # C has no extern "C"; in C++ the three functions would be mangled.
    assert run(project, program).stdout == "1 2 3 3 5 4 none of it\n"

    make(project / "lib", "rm libmystatic.a static.o")
    project.write("lib/static.c", "int from_static(void) { return 9; }\n")
    make(project / "lib", "gcc -c -fPIC static.c", "ar rcs libmystatic.a static.o")
    done = run(project, program)
    assert done.stdout == "9 2 3 3 5 4 none of it\n", done
    assert done.compiles == ["pkg.mod"]


# --- found by itself ----------------------------------------------------------------------------


def test_the_include_folder_of_a_cimported_package_is_asked_for(project: Project) -> None:
    project.write("site/fake/__init__.pxd", 'cdef extern from "fake.h":\n    enum: FAKE\n')
    project.write("site/fake/core/include/fake.h", "enum {FAKE = 5};\n")
    init = """
        import os
        print("some packages print when they are imported")
        def get_include():
            return os.path.join(os.path.dirname(__file__), "core", {!r})
        """
    project.write("site/fake/__init__.py", init.format("include"))
    project.write("foo.pyx", "cimport fake\nfake_ = fake.FAKE\n")
    program = "import foo; print(foo.fake_)"
    env = {"PYTHONPATH": str(project / "site")}
    assert run(project, program, env=env).stdout == "5\n"

    # Another version of the package, with its headers elsewhere.
    project.write("site/fake/core/new/fake.h", "enum {FAKE = 6};\n")
    project.write("site/fake/__init__.py", init.format("new"))
    assert run(project, program, env=env).stdout == "6\n"


@pytest.mark.parametrize("by", ["a variable", "a file"])
def test_an_include_folder_that_depends_on_something_is_asked_for_again(
    project: Project, by: str
) -> None:
    """The old header's value was imported, and `cyhot why` called it up to date."""
    project.write("fake/__init__.pxd", 'cdef extern from "fake.h":\n    enum: FAKE\n')
    for number in (1, 2):
        project.write(f"fake/inc{number}/fake.h", f"enum {{FAKE = {number}}};\n")
    choice = "os.environ.get('WHICH', 'inc1')" if by == "a variable" else "open(place).read()"
    project.write(
        "fake/__init__.py",
        f"""
        import os
        here = os.path.dirname(__file__)
        place = os.path.join(here, "which")
        def get_include(): return os.path.join(here, {choice})
        """,
    )
    project.write("fake/which", "inc1")
    project.write("foo.pyx", "cimport fake\nfake_ = fake.FAKE\n")
    program = "import foo; print(foo.fake_)"
    for number in (1, 2):
        project.write("fake/which", f"inc{number}")
        done = run(project, program, env={"WHICH": f"inc{number}"})
        assert done.stdout == f"{number}\n", done


def test_include_folders_that_another_module_of_a_package_names_are_followed(
    project: Project,
) -> None:
    """What could not be asked for is said, and asked for again."""
    project.write("fake/__init__.pxd", 'cdef extern from "fake.h":\n    enum: FAKE\n')
    project.write("fake/__init__.py", "from ._place import get_include\n")
    for number in (1, 2):
        project.write(f"inc{number}/fake.h", f"enum {{FAKE = {number}}};\n")
    project.write("foo.pyx", "cimport fake\nfake_ = fake.FAKE\n")
    program = "import foo; print(foo.fake_)"
    done = project.run(f"import cyhot; cyhot.install()\n{program}", check=False)
    assert "fake.get_include() could not be asked for its include folder" in done.stderr, done
    assert "No module named 'fake._place'" in done.stderr

    for number in (1, 2):
        project.write(
            "fake/_place.py",
            f"def get_include():\n    return {str(project / f'inc{number}')!r}\n",
        )
        assert run(project, program).stdout == f"{number}\n"


def test_without_cython_what_to_do_is_said(project: Project) -> None:
    project.write("foo.pyx", "x = 1\n")
    program = "import cyhot, sys; cyhot.install(); sys.modules['Cython'] = None; import foo"
    told = project.run(program, check=False).stderr
    assert "foo.pyx: error: it has to be compiled, and Cython is not installed" in told
    assert "hint: pip install cython" in told


def test_numpy_needs_no_include_dirs(project: Project) -> None:
    pytest.importorskip("numpy")
    project.write(
        "by_pxd.pyx",
        "cimport numpy as np\nnp.import_array()\n"
        "def total(np.ndarray[np.float64_t] x):\n    return x[0] + x[1]\n",
    )
    project.write(
        "by_header.pyx",
        'cdef extern from "numpy/arrayobject.h":\n    enum: NPY_MAXDIMS_LEGACY_ITERS\n'
        "dims = NPY_MAXDIMS_LEGACY_ITERS\n",
    )

    done = run(
        project,
        """
        import by_pxd, by_header, sys
        import numpy
        print(by_pxd.total(numpy.array([1.5, 2])), by_header.dims)
        """,
    )

    assert done.stdout == "3.5 32\n", done


# --- nothing is left behind ---------------------------------------------------------------------


def test_cythons_global_state_is_as_it_was(project: Project) -> None:
    """What a program sets for its own use of Cython neither reaches our builds nor is lost."""
    project.write("foo.pyx", "def f(int a, int b):\n    'Doc.'\n    return a % b\n")
    project.write("bad.pyx", "def f(:\n")
    run(
        project,
        """
        import os, sys
        from Cython.Compiler import Errors, Options
        from Cython.Compiler.Pipeline import create_pipeline
        Options.docstrings = False
        Options.annotate = True
        Options.get_directive_defaults()["cdivision"] = True
        before = {n: repr(v) for n, v in vars(Options).items() if not n.startswith("__")}
        reporting, folder, level = Errors.report_error, os.getcwd(), Errors.LEVEL
        modules, path = set(sys.modules), list(sys.path)

        import foo
        assert foo.f.__doc__ == "Doc.", foo.f.__doc__
        assert foo.f(-7, 3) == 2, foo.f(-7, 3)
        try:
            import bad
        except cyhot.CompileError as error:
            assert len(error.diagnostics) == 1

        after = {n: repr(v) for n, v in vars(Options).items() if not n.startswith("__")}
        assert after == before, [n for n in before if before[n] != after.get(n)]
        assert Options.get_directive_defaults()["cdivision"] is True
        assert (Errors.report_error, os.getcwd(), Errors.LEVEL) == (reporting, folder, level)
        from Cython.Compiler import Pipeline
        assert Pipeline.create_pipeline is create_pipeline
        assert sys.path == path
        print({name.partition(".")[0] for name in set(sys.modules) - modules} & {"setuptools"})

        # And its own compiles still work.
        from Cython.Compiler.Main import compile
        result = compile("foo.pyx", output_file="own.c")
        assert result.num_errors == 0
        assert "Doc." not in open("own.c").read().split("#include")[-1]
        """,
    )


def test_two_threads_may_build_at_once(project: Project) -> None:
    for name in ("one", "two"):
        project.write(f"{name}.pyx", f"name = {name!r}\n")
    done = run(
        project,
        """
        import importlib
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(2) as pool:
            modules = list(pool.map(importlib.import_module, ["one", "two"]))
        print([module.name for module in modules])
        """,
    )
    assert done.stdout == "['one', 'two']\n", done


# --- errors -------------------------------------------------------------------------------------


def test_errors_and_warnings_of_cython_have_their_place(project: Project) -> None:
    project.write("bad.pyx", "def f(int x):\n    cdef int x\n    return y + z\n")
    project.write("warns.pyx", "cdef extern int x\ndef f():\n    return 1\n    return 2\n")
    project.write("lib.pxd", "cdef int broken(\n")
    project.write("cimports.pyx", "cimport lib\n")
    project.write("absent.pyx", "from nowhere cimport x\n")
    project.write("pkg/__init__.pyx", "")
    project.write("pkg/mod.pyx", "from . cimport other\n")

    told = [text.splitlines()[0] for text in fails(project, "bad")]
    assert told == [
        f"cython {project / 'bad.pyx'}:2:14: error: 'x' redeclared",
        f"cython {project / 'bad.pyx'}:1:7: note: Previous declaration is here",
        f"cython {project / 'bad.pyx'}:3:12: error: undeclared name not builtin: y",
        f"cython {project / 'bad.pyx'}:3:16: error: undeclared name not builtin: z",
    ]
    assert fails(project, "cimports")[0].startswith(f"cython {project / 'lib.pxd'}:2:1: error:")
    assert "hint: is the package that has nowhere.pxd installed?" in fails(project, "absent")[0]
    assert "__init__.pxd (it may be empty)" in fails(project, "pkg.mod")[0]

    done = run(
        project,
        """
        cyhot.subscribe(lambda event: [
            print(d.render()) for d in getattr(event, "diagnostics", ())])
        import warns
        """,
        directives={"warn.unreachable": True},
    )
    assert f"{project / 'warns.pyx'}:4:5: warning: Unreachable code" in done.stdout, done


def test_errors_of_the_c_compiler_lead_to_the_pyx(project: Project) -> None:
    project.write(
        "verbatim.pyx",
        'cdef extern from *:\n    """\n    static int f(void) { return undeclared; }\n    """\n'
        "    int f()\nx = f()\n",
    )
    project.write("point.h", "struct point { int x; };\n")
    project.write(
        "mismatch.pyx",
        'cdef extern from "point.h":\n    struct point:\n        int x, y\n'
        "def f():\n    cdef point p\n    p.x = 1\n    p.y = 2\n    return p.y\n",
    )
    project.write("header.pyx", 'cdef extern from "no_such.h":\n    int x\n')

    assert f"compiler {project / 'verbatim.pyx'}:3:" in fails(project, "verbatim")[0]
    assert f"compiler {project / 'mismatch.pyx'}:7:" in fails(project, "mismatch")[0]
    (told,) = fails(project, "header")
    assert told.startswith(f"compiler {project / 'header.pyx'}:1:"), told
    assert "no_such.h" in told and "include_dirs" in told


def test_a_missing_library_says_where_to_put_its_folder(project: Project) -> None:
    project.write("foo.pyx", "# distutils: libraries = no_such_library\nx = 1\n")
    (told,) = fails(project, "foo")
    assert told.startswith("linker") and "no_such_library" in told and "library_dirs" in told


def test_a_missing_extra_source_is_named(project: Project) -> None:
    project.write("foo.pyx", "# distutils: sources = no_such.c\nx = 1\n")
    (told,) = fails(project, "foo")
    assert "no_such.c" in told


def test_a_header_that_cannot_be_read_is_an_error_of_its_line(project: Project) -> None:
    project.write("foo.pyx", '# cython: cdivision=True\n# distutils: libraries = "m\nx = 1\n')
    (told,) = fails(project, "foo")
    assert f"{project / 'foo.pyx'}:2:1: error: this `# distutils:` comment" in told

    project.write("foo.pyx", "# cython: boundscheck=perhaps\nx = 1\n")
    (told,) = fails(project, "foo")
    assert "boundscheck directive must be set to True or False" in told


def test_a_language_that_there_is_not_is_an_error_of_its_line(project: Project) -> None:
    project.write("foo.pyx", "# cython: cdivision=True\n# distutils: language = c+++\nx = 1\n")
    (told,) = fails(project, "foo")
    assert f"{project / 'foo.pyx'}:2:1: error: a source's language is c or c++" in told


def test_a_misspelt_key_in_a_header_is_told_and_the_module_built(project: Project) -> None:
    project.write("foo.pyx", "# distutils: librarys = m\nx = 1\n")
    done = run(project, "import foo; print(foo.x)")
    assert done.stdout == "1\n"
    assert (
        f"{project / 'foo.pyx'}:1:1: warning: `# distutils:` has no key 'librarys'" in done.stderr
    )
    assert "hint: did you mean 'libraries'?" in done.stderr


def test_a_language_that_is_an_alias_is_the_one_that_it_stands_for(project: Project) -> None:
    project.write(
        "foo.pyx", "# distutils: language = LANG\nfrom libcpp.vector cimport vector\nx = 1\n"
    )
    project.write(
        "foo.pyxbld",
        """
        def make_ext(modname, pyxfilename):
            from Cython.Build import cythonize
            from distutils.extension import Extension
            extensions = [Extension(modname, [pyxfilename])]
            return cythonize(extensions, aliases={"LANG": "c++"})[0]
        """,
    )
    assert run(project, "import foo; print(foo.x)").stdout == "1\n"


def test_what_a_cimported_pxd_says_of_its_language_is_its_own_business(project: Project) -> None:
    project.write(
        "core.pxd", "# distutils: language = c+++\n# distutils: librarys = m\ncdef enum: N = 3\n"
    )
    project.write("foo.pyx", "from core cimport N\nx = N\n")
    assert run(project, "import foo; print(foo.x)").stdout == "3\n"


def test_a_misspelt_key_is_told_beside_a_pyxbld_as_well(project: Project) -> None:
    project.write("foo.pyx", "# distutils: librarys = m\n# distutils: language =\nx = 1\n")
    project.write("foo.pyxbld", "def make_setup_args(): return {}\n")
    done = run(project, "import foo; print(foo.x)")
    assert done.stdout == "1\n"
    assert "`# distutils:` has no key 'librarys'" in done.stderr


def test_a_file_whose_name_is_no_module_name_is_told_how_to_be_loaded(project: Project) -> None:
    project.write("a-b.pyx", "x = 1\n")
    program = """
        import cyhot
        try:
            cyhot.load("a-b.pyx")
        except cyhot.CompileError as error:
            print(error.diagnostics[0].hint)
        print(cyhot.load("a-b.pyx", name="ab").x)
    """
    told, value = run(project, program).stdout.splitlines()
    assert "cyhot.load(path, name=" in told
    assert value == "1"


def test_an_unknown_language_level_in_a_header_is_an_error_of_its_line(project: Project) -> None:
    project.write("foo.pyx", "# cython: boundscheck=perhaps\nx = 1\n")
    told = fails(project, "foo")
    assert told[0].startswith(f"cython {project / 'foo.pyx'}:1:"), told


def test_the_image_is_named_as_python_names_it(project: Project) -> None:
    project.write("foo.pyx", "x = 1\n")
    done = run(project, "import foo; print(foo.__cached__)")
    assert done.stdout.strip().endswith(f"foo{EXT_SUFFIX}"), done
    assert sys.version_info[:2] >= (3, 11)


# --- an image that cannot be loaded -------------------------------------------------------------


def test_a_symbol_that_is_nowhere_leads_to_its_first_use(project: Project) -> None:
    """Linkers leave symbols open; the system finds out when the module is loaded."""
    project.write(
        "foo.pyx",
        "cdef extern int no_such_function(int)\n\ndef f():\n    return no_such_function(1)\n",
    )
    (told,) = fails(project, "foo")
    assert told.startswith(f"linker {project / 'foo.pyx'}:4:12: error: undefined reference"), told
    assert "no_such_function" in told and "setting libraries" in told


def test_a_shared_library_that_is_not_found_is_named(project: Project) -> None:
    project.write("lib/mine.c", "int mine(void) { return 1; }\n")
    make(project / "lib", "gcc -shared -fPIC mine.c -o libmine.so")
    project.write(
        "foo.pyx",
        "# distutils: libraries = mine\n# distutils: library_dirs = lib\n"
        "cdef extern int mine()\nx = mine()\n",
    )
    (told,) = fails(project, "foo")
    assert "foo.pyx: error: the library libmine.so was not found" in told
    assert "runtime_library_dirs" in told


def test_what_an_editor_has_beside_an_unsaved_source_is_no_source(project: Project) -> None:
    project.write("foo.pyx", "x = 1\n")
    (project / ".#foo.pyx").symlink_to("user@host.1234")  # Emacs
    (project / "gone.pyx").symlink_to("nowhere.pyx")
    project.write("._foo.pyx", "a resource fork of macOS")
    done = run(project, "print([one.name for one in cyhot.build('.').modules])")
    assert done.stdout == "['foo']\n"


def test_what_the_command_built_is_found_without_another_search(project: Project) -> None:
    """The script's own folder is on its sys.path, but not on the program's."""
    project.write("foo.pyx", "x = 1")
    env = {"CFLAGS": "-O0"}
    project.write(
        "bin/cyhot-script.py",
        """
        import sys
        sys.argv[1:] = ["build", "foo"]
        from cyhot.cli import main
        main()
        """,
    )
    assert project.run("bin/cyhot-script.py", env=env).compiles == ["foo"]

    done = run(project, "import foo, sys; print('cyhot.building.graph' in sys.modules)")

    assert (done.compiles, done.stdout.strip()) == ([], "False")
