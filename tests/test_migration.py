"""From pyximport to cyhot by ``s/pyximport/cyhot/``: the articles' scripts, and every keyword."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import EXT_SUFFIX, FOO, Project

# --- the first article: "Auto Rebuild .pyx Files with pyximport" -------------------------------

MAIN = """\
import pyximport
pyximport.install(language_level=3, inplace=True)

import foo

print(foo.sqr(3))
"""


def migrated(script: str) -> str:
    """The whole migration."""
    return script.replace("pyximport", "cyhot")


def test_the_first_article_edited_and_run_again(project: Project) -> None:
    project.write("main.py", migrated(MAIN))
    project.write("foo.pyx", FOO)
    image = f"foo{EXT_SUFFIX}"

    assert project.run("main.py").stdout == "9\n"
    assert set(project.files()) == {"main.py", "foo.pyx", image}

    project.write("foo.pyx", FOO.replace("x * x", "x * x * x"))
    run = project.run("main.py")
    assert run.stdout == "27\n", run
    assert "Warning" not in run.stderr
    assert set(project.files()) == {"main.py", "foo.pyx", image}

    # The image in place is of the source as it is now, for those who import it without cyhot.
    assert project.run("import foo; print(foo.__file__, foo.sqr(3))").stdout == (
        f"{project / image} 27\n"
    )

    # The command does not know what main.py says in install(), and says so.
    why = "import sys, cyhot.cli; sys.argv[1:] = ['why', 'foo']; cyhot.cli.main()"
    assert "what a program says in install() holds in that program" in project.run(why).stderr

    # A source that does not compile leaves it as it was, and does not fall back on it.
    before = (project / image).read_bytes()
    project.write("foo.pyx", "cpdef int sqr(int x):\n    return x *\n")
    assert project.run("main.py", check=False).returncode == 1
    assert (project / image).read_bytes() == before


def test_an_image_that_someone_else_put_in_place_is_left_alone(project: Project) -> None:
    project.write("main.py", migrated(MAIN))
    project.write("foo.pyx", FOO)
    foreign = project.write(f"foo{EXT_SUFFIX}", "built by pyximport, long ago")

    run = project.run("main.py")

    assert run.stdout == "9\n", run
    assert foreign.read_text() == "built by pyximport, long ago"
    assert foreign.name in run.stderr


# --- the second article: "Cython and Threads" -------------------------------------------------

BENCHMARK = """\
import sys
import time
from threading import Thread

import numpy as np
import pyximport
pyximport.install(setup_args={"include_dirs": np.get_include()}, inplace=True, language_level=3)

from matmul import matmul_gil, matmul_nogil, matmul_nogil_prange

n, workers = 24, 2
a, b = np.random.rand(n, n), np.random.rand(n, n)

for function in matmul_gil, matmul_nogil, matmul_nogil_prange:
    outs = [np.zeros((n, n)) for _ in range(workers)]
    threads = [Thread(target=function, args=(a, b, out)) for out in outs]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(function.__name__, time.perf_counter() - began, file=sys.stderr)
    print(function.__name__, all(np.allclose(out, a @ b) for out in outs))
"""

ANSWERS = "matmul_gil True\nmatmul_nogil True\nmatmul_nogil_prange True\n"

MATMUL = """\
#cython: languagelevel=3

import numpy as np
cimport numpy as np
cimport cython
from cython.parallel cimport prange


@cython.boundscheck(False)
@cython.wraparound(False)
cdef void _matmul(double[:, :] a, double[:, :] b, double[:, :] out) noexcept nogil:
    cdef Py_ssize_t i, j, k
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                out[i, j] += a[i, k] * b[k, j]


@cython.boundscheck(False)
@cython.wraparound(False)
cdef void _matmul_prange(double[:, :] a, double[:, :] b, double[:, :] out) noexcept nogil:
    cdef Py_ssize_t i, j, k
    for i in prange(a.shape[0], num_threads=2):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                out[i, j] += a[i, k] * b[k, j]


def matmul_gil(np.ndarray[dtype=np.float64_t, ndim=2] a,
               np.ndarray[dtype=np.float64_t, ndim=2] b,
               np.ndarray[dtype=np.float64_t, ndim=2] out):
    _matmul(a, b, out)


def matmul_nogil(np.ndarray[dtype=np.float64_t, ndim=2] a,
                 np.ndarray[dtype=np.float64_t, ndim=2] b,
                 np.ndarray[dtype=np.float64_t, ndim=2] out):
    cdef double[:, :] va = a, vb = b, vout = out
    with nogil:
        _matmul(va, vb, vout)


def matmul_nogil_prange(np.ndarray[dtype=np.float64_t, ndim=2] a,
                        np.ndarray[dtype=np.float64_t, ndim=2] b,
                        np.ndarray[dtype=np.float64_t, ndim=2] out):
    cdef double[:, :] va = a, vb = b, vout = out
    with nogil:
        _matmul_prange(va, vb, vout)
"""

PYXBLD = """\
def make_ext(modname, pyxfilename):
    from setuptools import Extension
    from Cython.Build import cythonize

    return cythonize([Extension(modname, [pyxfilename],
                                extra_compile_args=['-fopenmp'],
                                extra_link_args=['-fopenmp'])], annotate=True)[0]
"""


def test_the_second_article_as_it_is(project: Project) -> None:
    """With pyximport it leaves a matmul.c and, for annotate=True, a matmul.html behind."""
    pytest.importorskip("numpy")
    project.write("benchmark.py", migrated(BENCHMARK))
    project.write("matmul.pyx", MATMUL)
    project.write("matmul.pyxbld", PYXBLD)
    own = project.files()

    run = project.run("benchmark.py")
    assert run.stdout == ANSWERS, run

    after = project.files()
    assert after.pop(f"matmul{EXT_SUFFIX}")
    assert after == own

    assert not project.run("benchmark.py").compiles


def test_a_pyxbld_that_calls_cythonize_overwrites_nothing(project: Project) -> None:
    """Files that cythonize, pyximport or setuptools would overwrite or delete stay as they are."""
    project.write("main.py", migrated(MAIN))
    project.write("foo.pyx", FOO)
    project.write("foo.pyxbld", PYXBLD)
    for name in ("foo.c", "foo.html", "foo_data.txt", "foo_utils.py", "build/foo.o"):
        project.write(name, "someone's own")
    own = project.files()

    run = project.run("main.py")

    assert run.stdout == "9\n", run
    after = project.files()
    assert after.pop(f"foo{EXT_SUFFIX}")
    assert after == own


def test_the_second_article_without_what_cyhot_finds_by_itself(project: Project) -> None:
    """Neither NumPy's headers (setup_args) nor OpenMP's flags (.pyxbld) need to be given."""
    pytest.importorskip("numpy")
    setup_args = 'setup_args={"include_dirs": np.get_include()}, '
    assert setup_args in BENCHMARK
    project.write("benchmark.py", migrated(BENCHMARK.replace(setup_args, "")))
    project.write("matmul.pyx", MATMUL)
    own = project.files()

    run = project.run("benchmark.py")

    assert run.stdout == ANSWERS, run
    after = project.files()
    assert after.pop(f"matmul{EXT_SUFFIX}")
    assert after == own


# --- every other keyword of pyximport.install() -----------------------------------------------


def test_all_keywords_of_pyximport_are_accepted(project: Project, tmp_path: Path) -> None:
    project.write("foo.pyx", FOO)
    project.write("bar.pyx", "x = 1")
    own = project.files()
    elsewhere = tmp_path / "elsewhere"

    run = project.run(
        f"""
        import os
        import cyhot as pyximport
        importers = py_importer, pyx_importer = pyximport.install(
            pyximport=True, pyimport=False, build_dir={str(elsewhere)!r}, build_in_temp=False,
            setup_args={{"script_args": ["--verbose"], "options": {{}}}}, reload_support=True,
            load_py_module_on_import_failure=True, inplace=False, language_level=None)
        import foo
        print(foo.sqr(3), foo.__spec__.cached.startswith({str(elsewhere)!r}))

        pyximport.uninstall(*importers)
        try:
            import bar
        except ModuleNotFoundError as error:
            print(error.name)

        from cyhot.pyxbuild import pyx_to_dll
        print(os.path.isfile(pyx_to_dll("foo.pyx")))
        """
    )

    assert run.stdout == "9 True\nbar\nTrue\n", run
    # build_in_temp=False asks for the C file beside the source (cyhot's annotation comes with it).
    after = project.files()
    assert after.pop("foo.c")
    after.pop("foo.html", None)
    assert after == own


def test_a_compiled_py_that_fails_may_fall_back_on_its_source(project: Project) -> None:
    project.write(
        "fragile.py",
        """\
        import cython

        if cython.compiled:
            raise RuntimeError("not compiled, please")
        compiled = cython.compiled
        """,
    )
    program = """
        import cyhot
        cyhot.install(pyximport=False, pyimport=True, load_py_module_on_import_failure={})
        try:
            import fragile
            print(fragile.compiled, fragile.__file__.endswith("fragile.py"))
        except RuntimeError as error:
            print(error)
        """

    assert project.run(program.format(False)).stdout == "not compiled, please\n"
    assert project.run(program.format(True)).stdout == "False True\n"
    assert project.compiles() == ["fragile"]


def test_build_dir_may_be_a_folder_that_pyximport_used(project: Project) -> None:
    project.write("foo.pyx", FOO)
    left_over = {
        project.write(".pyxbld/lib.linux-x86_64-cpython-311/foo.so", "left over"),
        project.write(".pyxbld/temp.linux-x86_64-cpython-311/foo.c", "left over"),
    }
    for path in left_over:
        path.parent.chmod(0o755)
        path.parent.parent.chmod(0o755)

    run = project.run(
        "import cyhot; cyhot.install(build_dir='.pyxbld'); import foo; print(foo.sqr(3))"
    )

    assert run.stdout == "9\n", run
    assert {path.read_text() for path in left_over} == {"left over"}
