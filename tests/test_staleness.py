"""A stale import is the worst bug that cyhot could have: one test for each way to cause one.

Each edits something that a module was made from, as a user (or an upgrade) would, and asks a new
process. What is compiled is small, and without optimization: that is all the time goes into.
"""

from __future__ import annotations

import os
import shutil
import stat
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from forkserver import ForkServer
from support import Project, Run

FAST = {"CFLAGS": "-O0"}
USES_HEADER = """\
cdef extern from "n.h":
    int N
value = N
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    server = ForkServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


class Module:
    """The module m of a project, as new processes see it."""

    def __init__(self, server: ForkServer, project: Project) -> None:
        self.server = server
        self.project = project
        self.root = project.root
        self.path: list[str] = []
        """Folders in front of the project's own on sys.path."""
        self.options = ""
        self.env: dict[str, str] = dict(FAST)
        self.cwd = project.root

    def write(self, relpath: str, content: str) -> Path:
        return self.project.write(relpath, content)

    def run(self, code: str) -> Run:
        program = f"""
import sys; sys.path[:0] = {[str(self.root / place) for place in self.path]!r}
import cyhot; cyhot.install({self.options})
{textwrap.dedent(code)}
"""
        return self.server.run(self.project, program, env=self.env, cwd=self.cwd)

    def ask(self) -> tuple[str, bool]:
        """What m.value is, and whether that took a compile."""
        run = self.run("import m; print(m.value)")
        return run.stdout.strip(), bool(run.compiles)

    def built(self) -> str:
        """What m.value is now that it had to be built."""
        value, compiled = self.ask()
        assert compiled
        return value

    def kept(self) -> str:
        """What m.value is, with nothing built."""
        value, compiled = self.ask()
        assert not compiled
        return value

    def why(self) -> str:
        """What cyhot.why says of m.pyx."""
        return self.run("print(*cyhot.why('m.pyx'), sep='\\n')").stdout


@pytest.fixture
def m(server: ForkServer, project: Project) -> Module:
    return Module(server, project)


def set_back(path: Path, before: os.stat_result) -> None:
    """Give a file the mtime that it had."""
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# --- files: contents, not times ---------------------------------------------------------------


def test_an_edit_that_leaves_size_and_mtime_as_they_were_is_noticed(m: Module) -> None:
    source = m.write("m.pyx", "value = 1")
    before = source.stat()
    assert m.built() == "1"

    m.write("m.pyx", "value = 2")
    set_back(source, before)

    assert m.built() == "2"


def test_a_file_that_is_replaced_by_an_older_one_is_noticed(m: Module) -> None:
    m.write("m.pyx", "value = 1")
    other = m.write("other.pyx", "value = 2")
    os.utime(other, (1, 1))
    assert m.built() == "1"

    os.replace(other, m.root / "m.pyx")

    assert m.built() == "2"


BETWEEN = {
    "the source": "write('m.pyx', 'from core cimport N; value = N + 1')",
    "a cimported file": "write('core.pxd', 'cdef enum: N = 2')",
    "its size and time as before": (
        "before = os.stat('core.pxd'); write('core.pxd', 'cdef enum: N = 2'); "
        "os.utime('core.pxd', ns=(before.st_atime_ns, before.st_mtime_ns))"
    ),
    "a file that comes first": (
        "os.mkdir('core'); write('core/__init__.pxd', 'cdef enum: N = 2'); "
        "os.rename('core.pxd', 'other.pxd')"
    ),
    "settings": (
        "write('pyproject.toml', '[tool.cyhot]\\nextra_compile_args = [\"-DUNUSED\"]'); "
        "write('core.pxd', 'cdef enum: N = 2')"
    ),
    "flags": "os.environ['CFLAGS'] = '-O0 -DUNUSED'; write('core.pxd', 'cdef enum: N = 2')",
}


@pytest.mark.parametrize("edit", BETWEEN.values(), ids=BETWEEN)
def test_an_edit_between_two_imports_of_a_process_is_noticed(m: Module, edit: str) -> None:
    """However little time passes: what is shared by imports are only other files."""
    m.write("first.pyx", "from core cimport N; value = N")
    m.write("m.pyx", "from core cimport N; value = N")
    m.write("core.pxd", "cdef enum: N = 1")
    m.run("import first, m")

    run = m.run(f"""
import os
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
import first
{edit}
import m
print(first.value, m.value)
""")

    assert run.stdout.split() == ["1", "2"]
    assert run.compiles == ["m"]


def test_changed_settings_between_two_imports_of_a_process_are_noticed(m: Module) -> None:
    for name in ("a", "b", "c"):
        m.write(f"{name}.pyx", "cdef int x = 7, y = -2\nvalue = x // y")

    run = m.run("""
def settle(text):
    with open("pyproject.toml", "w") as file:
        file.write(text)
import a
settle("[tool.cyhot.directives]\\ncdivision = true")
import b
settle("[tool.cyhot.directives]\\ncdivision = false")
import c
print(a.value, b.value, c.value)
""")

    assert run.stdout.split() == ["-4", "-3", "-4"]


def test_a_package_that_is_upgraded_between_two_imports_is_noticed_when_it_is_said(
    m: Module,
) -> None:
    """What is installed is looked at once for imports that follow each other at once."""
    places = m.root / "lib" / "site-packages"
    header = m.write("lib/site-packages/core.pxd", "cdef enum: N = 1")
    m.path = ["lib/site-packages"]
    m.write("first.pyx", "from core cimport N; value = N")
    m.write("m.pyx", "from core cimport N; value = N")
    m.run("import first, m")

    run = m.run(f"""
import importlib
import first
with open({str(header)!r}, "w") as file:
    file.write("cdef enum: N = 2")
importlib.invalidate_caches()
import m
print(first.value, m.value)
""")

    assert places.is_dir()
    assert run.stdout.split() == ["1", "2"]


def test_a_touched_file_is_not_built_again(m: Module) -> None:
    header = m.write("n.h", "#define N 4")
    source = m.write("m.pyx", USES_HEADER)
    assert m.built() == "4"

    for path in (header, source):
        os.utime(path)
        shutil.copy2(path, f"{path}~")
        os.replace(f"{path}~", path)

    assert m.kept() == "4"
    assert m.kept() == "4"


def test_a_reverted_edit_is_found_again(m: Module) -> None:
    m.write("m.pyx", USES_HEADER)
    for number in (1, 2, 3):
        m.write("n.h", f"#define N {number}")
        assert m.built() == str(number)

    for number in (1, 3, 2):
        m.write("n.h", f"#define N {number}")
        assert m.kept() == str(number)


# --- what is not a file: settings, environment, tools -----------------------------------------


def test_changed_settings_are_noticed(m: Module) -> None:
    m.write("m.pyx", "cdef int a = -7, b = 2\nvalue = a // b")
    assert m.built() == "-4"

    m.options = "directives={'cdivision': True}"
    assert "setting directives is {'cdivision': True}, before unset" in m.why()
    assert m.built() == "-3"

    m.options = ""
    assert m.kept() == "-4"


def test_changed_module_tables_in_pyproject_toml_are_noticed(m: Module) -> None:
    m.write("m.pyx", "cdef extern from *:\n    int N\nvalue = N")
    table = "[[tool.cyhot.module]]\nmatch = 'm'\ndefine_macros = ['N={}']\n"
    m.write("pyproject.toml", table.format(4))
    assert m.built() == "4"

    m.write("pyproject.toml", table.format(5))

    assert m.built() == "5"


def test_changed_flags_in_the_environment_are_noticed(m: Module) -> None:
    m.write("m.pyx", "cdef extern from *:\n    int N\nvalue = N")
    m.env["CFLAGS"] = "-O0 -DN=4"
    assert m.built() == "4"

    m.env["CFLAGS"] = "-O0 -DN=5"

    assert "environment variable CFLAGS is -O0 -DN=5, before -O0 -DN=4" in m.why()
    assert m.built() == "5"


def compiler(folder: Path, version: str, flags: str = "", name: str = "mycc") -> Path:
    """A compiler of our own, in a folder of PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "mycc {version}" && exit\n'
        f'PATH="{os.environ["PATH"]}" exec gcc {flags} "$@"\n',
        encoding="utf-8",
    )
    path.chmod(stat.S_IRWXU)
    return path


def use_compilers(m: Module, *names: str) -> list[Path]:
    """Folders for compilers, in front of PATH."""
    folders = [m.root.parent / name for name in names]
    m.env["CC"] = "mycc"
    m.env["PATH"] = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    return folders


def test_an_upgraded_compiler_is_noticed(m: Module) -> None:
    m.write("m.pyx", "value = 1")
    (folder,) = use_compilers(m, "bin")
    compiler(folder, "1.0")
    assert m.built() == "1"

    compiler(folder, "2.0")

    assert "m.pyx: will be rebuilt because mycc is now mycc 2.0, before mycc 1.0" in m.why()


def test_other_flags_in_a_compiler_wrapper_are_noticed(m: Module) -> None:
    m.write("m.pyx", "cdef extern from *:\n    int N\nvalue = N")
    (folder,) = use_compilers(m, "bin")
    compiler(folder, "1.0", "-DN=4")
    assert m.built() == "4"

    compiler(folder, "1.0", "-DN=5")

    assert "mycc is another file, of the same version (mycc 1.0)" in m.why()
    assert m.built() == "5"


def test_a_compiler_that_comes_first_on_path_from_now_on_is_noticed(m: Module) -> None:
    m.write("m.pyx", "value = 1")
    first, second = use_compilers(m, "bin1", "bin2")
    compiler(second, "1.0")
    assert m.built() == "1"

    compiler(first, "2.0")

    assert "mycc is now mycc 2.0" in m.why()


def test_a_compiler_upgrade_behind_a_ccache_link_is_noticed(m: Module) -> None:
    m.write("m.pyx", "value = 1")
    links, folder = use_compilers(m, "links", "bin")
    compiler(folder, "1.0")
    compiler(links, "1.0", name="ccache")
    (links / "mycc").symlink_to("ccache")
    assert m.built() == "1"

    compiler(folder, "2.0")

    assert "mycc is now mycc 2.0" in m.why()


def test_neither_a_moved_nor_a_removed_compiler_makes_an_image_stale(m: Module) -> None:
    m.write("m.pyx", "value = 1")
    first, second = use_compilers(m, "bin1", "bin2")
    second.mkdir()
    path = compiler(first, "1.0")
    assert m.built() == "1"

    shutil.move(path, second / "mycc")
    assert m.kept() == "1"

    (second / "mycc").unlink()
    assert m.kept() == "1"


def test_a_launcher_is_no_part_of_an_image(m: Module) -> None:
    m.write("m.pyx", "value = 1")
    assert m.built() == "1"

    m.options = "launcher='ccache'"

    assert m.kept() == "1"


def test_another_processor_is_noticed_where_it_was_compiled_for(m: Module) -> None:
    """A home folder may be shared by machines: that image would crash on some of them."""
    m.write("m.pyx", "value = 1")
    m.write("other.pyx", "value = 1")
    m.write("cpuinfo", "processor: 0\nmodel name: Newer One\nflags: fast\n\nprocessor: 1")
    m.run("import other")
    m.env["CFLAGS"] = "-O0 -march=native"
    assert m.built() == "1"
    assert m.kept() == "1"

    moved = "from cyhot.building import observe; observe.PROCESSOR = 'cpuinfo'\n"
    why = m.run(moved + "print(*cyhot.why('m.pyx'))").stdout
    assert "the processor (it was compiled for the native one) is now Newer One, before " in why
    m.env["CFLAGS"] = "-O0"
    assert m.run(moved + "print(*cyhot.why('other.pyx'))").stdout.startswith(
        "other.pyx: up to date"
    )


def test_an_upgraded_cython_is_noticed(m: Module, tmp_path: Path) -> None:
    import Cython

    m.write("m.pyx", "value = 1")
    assert m.built() == "1"
    upgraded = tmp_path / "upgraded"
    shutil.copytree(Path(Cython.__file__).parent, upgraded / "Cython", copy_function=os.symlink)
    shadow = upgraded / "Cython" / "Shadow.py"
    content = shadow.read_text(encoding="utf-8")
    assert Cython.__version__ in content
    shadow.unlink()
    shadow.write_text(content.replace(Cython.__version__, "99.0"), encoding="utf-8")

    m.env["PYTHONPATH"] = str(upgraded)

    assert f"Cython is now Cython 99.0, before Cython {Cython.__version__}" in m.why()


def test_another_cython_of_the_same_version_is_noticed(m: Module, tmp_path: Path) -> None:
    """A development version is installed again without getting another number."""
    import Cython

    installed = tmp_path / "installed"
    shutil.copytree(Path(Cython.__file__).parent, installed / "Cython", copy_function=os.symlink)
    files = installed / f"cython-{Cython.__version__}.dist-info" / "RECORD"
    files.parent.mkdir()
    shadow = installed / "Cython" / "Shadow.py"
    m.env["PYTHONPATH"] = str(installed)
    m.write("m.pyx", "value = 1")
    for content in (
        "Cython/Compiler/Nodes.py,sha256=a,1\n",
        "Cython/Compiler/Nodes.py,sha256=b,1\n",
    ):
        files.write_text(content, encoding="utf-8")
        shadow.unlink()
        shutil.copy(Path(Cython.__file__).with_name("Shadow.py"), shadow)
        assert m.built() == "1"
    assert m.kept() == "1"


def test_what_a_process_builds_after_cython_was_upgraded_below_it_is_built_again(
    m: Module, tmp_path: Path
) -> None:
    """It can only use the Cython that it has imported, whatever is on the disk by then."""
    import Cython

    m.write("m.pyx", "value = 1")
    m.env["PYTHONPATH"] = str(tmp_path / "upgraded")
    package = tmp_path / "upgraded" / "Cython"
    package.mkdir(parents=True)
    for name in ("__init__.py", "Shadow.py"):
        shutil.copy(Path(Cython.__file__).with_name(name), package)
    shadow = package / "Shadow.py"
    content = shadow.read_text(encoding="utf-8")
    # The server imported the installed one: for its forks, this is what lies on the disk now.
    shadow.write_text(content.replace(Cython.__version__, "99.0"), encoding="utf-8")

    assert m.built() == "1"

    assert "Cython is now Cython 99.0" in m.why()


def test_another_numpy_is_noticed(m: Module) -> None:
    files = {
        "__init__.py": "",
        "version.py": "__version__ = '1.0'",
        "__init__.pxd": "cdef extern from 'numpy/arrayobject.h':\n    int NUMBER\n"
        "cdef inline int import_array() except -1: return 0",
        "_core/include/numpy/arrayobject.h": "#define NUMBER 1",
    }
    for place in ("one", "two"):
        for name, content in files.items():
            m.write(f"{place}/numpy/{name}", content)
    m.write("m.pyx", "cimport numpy\nnumpy.import_array()\nvalue = numpy.NUMBER")
    m.path = ["one"]
    assert m.built() == "1"

    m.write("one/numpy/version.py", "__version__ = '2.0'")
    assert "numpy is now numpy 2.0, before numpy 1.0" in m.why()
    assert m.built() == "1"

    m.path = ["two", "one"]
    assert "numpy is now numpy 1.0, before numpy 2.0" in m.why()


# --- where something is found: created in front of what was used ------------------------------


def test_a_header_in_an_earlier_include_folder_is_noticed(m: Module) -> None:
    for folder in ("one", "two", "three"):
        (m.root / folder).mkdir()
    m.options = "include_dirs=['one', 'missing', 'two', 'three']"
    m.write("three/sub/n.h", "#define N 3")
    m.write("m.pyx", USES_HEADER.replace("n.h", "sub/n.h"))
    assert m.built() == "3"

    m.write("two/sub/n.h", "#define N 2")
    assert "sub appeared" in m.why()
    assert m.built() == "2"

    m.write("missing/sub/n.h", "#define N 1")
    assert m.built() == "1"

    m.write("sub/n.h", "#define N 0")
    assert m.built() == "0"


def test_headers_before_those_in_folders_of_cflags_and_cpath_are_noticed(m: Module) -> None:
    root = m.root
    m.env["CFLAGS"] = f"-O0 -I{root}/one -I {root}/two"
    m.env["CPATH"] = f"{root}/three:{root}/four"
    m.write("four/n.h", "#define N 4")
    m.write("m.pyx", USES_HEADER)
    assert m.built() == "4"

    for number, place in ((3, "three"), (2, "two"), (1, "one")):
        m.write(f"{place}/n.h", f"#define N {number}")
        assert m.built() == str(number)


SEARCHED = {
    "isystem before idirafter": "-isystem one -idirafter two",
    "idirafter": "-idirafter one -idirafter two",
    "two words": "--include-directory ROOT/one --include-directory=ROOT/two",
    "response file": "@ROOT/outer",
    "preprocessor": "-Wp,-I,ROOT/one,-I,ROOT/two",
    "named twice": "-I two -I one -isystem two",
}


@pytest.mark.parametrize("words", SEARCHED.values(), ids=SEARCHED)
def test_a_header_in_an_earlier_folder_of_any_option_is_noticed(m: Module, words: str) -> None:
    for folder in ("one", "two"):
        (m.root / folder).mkdir()
    m.write("outer", f"-DX=1 '@{m.root}/inner'")
    m.write("inner", f'-I{m.root}/one "-I" {m.root}/two')
    m.options = f"extra_compile_args={words.replace('ROOT', str(m.root)).split()}"
    m.write("two/n.h", "#define N 2")
    m.write("m.pyx", USES_HEADER)
    assert m.built() == "2"

    m.write("one/n.h", "#define N 1")

    assert "n.h appeared" in m.why()


def test_a_header_in_an_earlier_folder_of_any_option_is_noticed_where_it_was_asked_for(
    m: Module,
) -> None:
    """``__has_include`` leaves no trace of what it did not find."""
    (m.root / "after").mkdir()
    m.write("m.pyx", "# distutils: extra_compile_args = -idirafter after\n" + USES_HEADER)
    m.write("n.h", "#if __has_include(<k.h>)\n#include <k.h>\n#else\n#define N 1\n#endif")
    assert m.built() == "1"

    m.write("after/k.h", "#define N 2")

    assert m.built() == "2"


def test_a_header_in_an_earlier_folder_of_the_compilers_own_is_noticed(m: Module) -> None:
    """A library that is installed into /usr/local comes before the one in /usr."""
    local, usr = (m.root / name for name in ("local", "usr"))
    local.mkdir()
    cc = m.write("cc", f'#!/bin/sh\nexec gcc -isystem {local} -isystem {usr} "$@"\n')
    cc.chmod(0o755)
    m.env["CC"] = str(cc)
    m.write("usr/n.h", "#define N 1")
    m.write("m.pyx", USES_HEADER)
    assert m.built() == "1"
    m.write("local/n.h", "#define N 2")
    assert m.built() == "2"
    m.write("local/other.h", "")
    assert m.kept() == "2"


def test_a_header_beside_the_one_that_includes_it_is_noticed(m: Module) -> None:
    """No option names that folder: the compiler looks there first for a quoted name."""
    m.options = "include_dirs=['include']"
    m.write("include/deep/n.h", '#include "k.h"\n#define N K')
    m.write("include/k.h", "#define K 1")
    m.write("m.pyx", USES_HEADER.replace("n.h", "deep/n.h"))
    assert m.built() == "1"

    m.write("include/deep/k.h", "#define K 2")

    assert m.built() == "2"


def test_a_header_that_was_only_asked_for_is_noticed(m: Module) -> None:
    m.write("m.pyx", USES_HEADER)
    m.write(
        "n.h",
        '#if __has_include("local.h")\n#include "local.h"\n#else\n#define N 1\n#endif',
    )
    assert m.built() == "1"

    m.write("local.h", "#define N 2")

    assert m.built() == "2"


INCLUDES = (
    '#define KH "k.h"\n#include KH',
    '#include/**/"k.h"',
    '#incl\\\nude "k.h"',
    '/* of two\nlines */ #include "k.h"',
    '%:include "k.h"',
    '#import "k.h"',
)


def test_a_header_beside_is_noticed_whatever_the_include_looks_like(m: Module) -> None:
    """The depfile tells what was found; which names were looked for, only the texts do."""
    m.options = "include_dirs=['d', 'b']"
    declared = []
    for number, include in enumerate(INCLUDES):
        m.write(
            f"d/{number}/a.h", include.replace("k.h", f"k{number}.h").replace("KH", f"KH{number}")
        )
        m.write(f"b/k{number}.h", f"#define N{number} 1")
        declared.append(f'cdef extern from "{number}/a.h":\n    int N{number}')
    names = "+".join(f"N{number}" for number in range(len(INCLUDES)))
    m.write("m.pyx", "\n".join([*declared, f"value = {names}"]))
    assert m.built() == str(len(INCLUDES))

    for number in range(len(INCLUDES)):
        beside = m.write(f"d/{number}/k{number}.h", f"#define N{number} 2")
        assert f"k{number}.h appeared" in m.why(), INCLUDES[number]
        beside.unlink()
    m.write("d/0/k0.h", "#define N0 2")

    assert m.built() == str(len(INCLUDES) + 1)


def test_a_header_that_was_asked_for_by_macros_is_noticed(m: Module) -> None:
    m.options = "include_dirs=['b'], define_macros={'LAST': '<k4.h>'}"
    m.write("has.h", "#define HAS(x) __has_include(x)")
    m.write("m.pyx", USES_HEADER)
    m.write(
        "n.h",
        """\
        #include "has.h"
        #define STRING(x) #x
        #define FIRST <k0.h>
        #define OTHER STRING(k1.h)
        #if __has_include(FIRST) || __has_include(OTHER) || HAS(<k2.h>) || HAS("k3.h") || HAS(LAST)
        #define N 2
        #else
        #define N 1
        #endif
        """,
    )
    (m.root / "b").mkdir()
    assert m.built() == "1"

    for number in range(5):
        header = m.write(f"b/k{number}.h", "")
        assert f"k{number}.h appeared" in m.why()
        header.unlink()
    m.write("b/k4.h", "")

    assert m.built() == "2"


def test_a_header_that_was_asked_for_is_noticed_though_one_of_its_name_is_beside(m: Module) -> None:
    """Names in angle brackets are not looked for there."""
    m.options = "include_dirs=['b']"
    (m.root / "b").mkdir()
    m.write("m.pyx", USES_HEADER)
    m.write("k.h", "")
    m.write("n.h", "#if __has_include(<k.h>)\n#define N 2\n#else\n#define N 1\n#endif")
    assert m.built() == "1"

    m.write("b/k.h", "")

    assert m.built() == "2"


FORMS = {
    "a": "from pkg cimport a",
    "b": "from pkg cimport (b)",
    "c": "from pkg cimport (\n    c,\n)",
    "d": "from pkg.d cimport value as d_value",
    "e": "from pkg \\\n    cimport e",
    "f": "import sys; from pkg cimport f",
    "g": "cimport pkg.g as g",
    "h": "from . cimport h",
    "i": "from .i cimport value as i_value, value as other",
    "j": "if True:\n    from pkg cimport j",
}


def test_pxd_files_are_noticed_whatever_the_cimport_looks_like(m: Module) -> None:
    """Cython's own dependency tracking misses most of these forms."""
    m.path = ["early"]
    (m.root / "early").mkdir()
    m.write("pkg/__init__.py", "")
    for name in FORMS:
        m.write(f"pkg/{name}.pxd", "cdef enum: value = 1")
    uses = [f"{n}_value" if f"{n}_value" in form else f"{n}.value" for n, form in FORMS.items()]
    m.write("pkg/m.pyx", "\n".join(FORMS.values()) + f"\nvalue = [{', '.join(uses)}]")
    ask = "import pkg.m; print(sum(pkg.m.value))"
    assert m.run(ask).stdout == f"{len(FORMS)}\n"
    why = "print(cyhot.why('pkg.m')[0])"

    for name in FORMS:
        path = m.write(f"pkg/{name}.pxd", "cdef enum: value = 2")
        said = f"m.pyx: will be rebuilt because {name}.pxd changed (cimported by m.pyx)\n"
        assert m.run(why).stdout == said
        path.write_text("cdef enum: value = 1", encoding="utf-8")
    assert m.run(why).stdout == "m.pyx: up to date\n"

    for name in FORMS:
        # Asked for by its full name, a file of a dotted name comes first.
        path = m.write(f"pkg.{name}.pxd", "cdef enum: value = 2")
        assert f"pkg.{name}.pxd appeared" in m.run(why).stdout
        path.unlink()
    run = m.run(ask)
    assert (run.stdout, run.compiles) == (f"{len(FORMS)}\n", [])


def test_a_pxd_in_an_earlier_folder_of_sys_path_is_noticed(m: Module) -> None:
    m.path = ["one", "two", "three"]
    m.write("three/core.pxd", "cdef enum: N = 3")
    m.write("m.pyx", "from core cimport N; value = N")
    assert m.built() == "3"

    m.write("one/core.pxd", "cdef enum: N = 1")
    assert m.built() == "1"

    m.write("core.pxd", "cdef enum: N = 0")
    assert m.built() == "0"


def test_a_pxd_that_comes_first_in_packages_is_noticed(m: Module) -> None:
    """A regular package before namespace packages, a file for this Cython before the general."""
    m.path = ["one", "two"]
    m.write("one/pkg/core/__init__.pxd", "cdef enum: N = 1")
    m.write("two/pkg/core.pxd", "cdef enum: N = 2")
    m.write("m.pyx", "from pkg.core cimport N; value = N")
    assert m.built() == "1"

    m.write("two/pkg/__init__.py", "")
    assert m.built() == "2"

    m.write("two/pkg/core.cython-30.pxd", "cdef enum: N = 3")
    assert m.built() == "3"

    m.write("two/pkg/core.cython-31.pxd", "cdef enum: N = 4")
    assert m.built() == "4"


def test_another_order_of_sys_path_is_noticed(m: Module) -> None:
    m.write("one/core.pxd", "cdef enum: N = 1")
    m.write("two/core.pxd", "cdef enum: N = 2")
    m.write("m.pyx", "from core cimport N; value = N")
    m.path = ["one", "two"]
    assert m.built() == "1"

    m.path = ["two", "one"]
    assert "core.pxd is now found as" in m.why()
    assert m.built() == "2"

    m.path = ["three", "one"]
    assert m.kept() == "1"
    m.write("three/core.pxd", "cdef enum: N = 3")
    assert m.built() == "3"


def test_the_modules_own_pxd_is_noticed_when_it_appears(m: Module) -> None:
    m.write("m.pyx", "x = 1\nvalue = x")
    assert m.built() == "1"

    m.write("m.pxd", "cdef double x")

    assert m.built() == "1.0"


def test_the_pxd_of_a_compiled_py_is_noticed(m: Module) -> None:
    m.options = "py=['m']"
    m.write("m.py", "x = 1\nvalue = x")
    assert m.built() == "1"

    m.write("m.pxd", "cdef double x")
    assert m.built() == "1.0"

    m.write("m.pxd", "cdef bint x")
    assert m.built() == "True"


def test_an_include_that_is_found_earlier_is_noticed(m: Module) -> None:
    m.options = "include_path=['one', 'two']"
    m.write("two/part.pxi", "value = 2")
    m.write("m.pyx", 'include "part.pxi"')
    assert m.built() == "2"

    m.write("one/part.pxi", "value = 1")
    assert m.built() == "1"

    m.write("part.pxi", "value = 0")
    assert m.built() == "0"


# --- what leads to files ----------------------------------------------------------------------


def test_a_pyxdep_pattern_that_names_another_file_is_noticed(m: Module) -> None:
    m.write("m.pyx", "value = 1")
    m.write("m.pyxdep", "data/**/*.txt\nsingle.txt")
    m.write("data/one.txt", "1")
    assert m.built() == "1"

    m.write("data/sub/deep/two.txt", "2")
    assert "names other files than before" in m.why()
    assert m.built() == "1"

    m.write("data/sub/deep/two.txt", "3")
    assert "two.txt changed (listed by m.pyxdep)" in m.why()
    assert m.built() == "1"

    single = m.write("single.txt", "")
    assert m.built() == "1"
    single.unlink()
    m.write("data/no pattern fits", "")
    assert m.kept() == "1"


def test_a_header_comment_of_a_cimported_pxd_is_noticed(m: Module) -> None:
    m.write("m.pyx", "from core cimport N; value = N")
    core = "# distutils: extra_compile_args = -DN={}\ncdef extern from *:\n    int N"
    m.write("core.pxd", core.format(4))
    assert m.built() == "4"

    m.write("core.pxd", core.format(5))

    assert m.built() == "5"


def test_verbatim_c_and_further_sources_are_noticed(m: Module) -> None:
    m.write(
        "m.pyx",
        """\
        # distutils: sources = more.c
        cdef extern from *:
            \"\"\"
            #include "verbatim.h"
            int more(void);
            \"\"\"
            int N
            int more()
        value = N + more()
        """,
    )
    m.write("verbatim.h", "#define N 1")
    m.write("more.c", '#include "more.h"\nint more(void) { return MORE; }')
    m.write("more.h", "#define MORE 10")
    assert m.built() == "11"

    m.write("verbatim.h", "#define N 2")
    m.write("more.h", "#define MORE 20")

    why = m.why()
    assert "verbatim.h changed (C header of m.pyx)" in why
    assert "more.h changed (included by more.c)" in why
    assert m.built() == "22"


def test_files_that_options_name_are_noticed(m: Module) -> None:
    m.write("m.pyx", "cdef extern from *:\n    int N\nvalue = N")
    flags = m.write("flags", "-DN=4")
    m.env["CFLAGS"] = f"-O0 @{flags}"
    assert m.built() == "4"

    m.write("flags", "-DN=5")

    assert "flags changed (named by an option of m.pyx)" in m.why()
    assert m.built() == "5"


def test_a_response_file_that_a_response_file_names_is_noticed(m: Module) -> None:
    m.write("m.pyx", "cdef extern from *:\n    int N\nvalue = N")
    outer = m.write("outer", f"@{m.root}/inner")
    m.write("inner", "-DN=4")
    m.env["CFLAGS"] = f"-O0 @{outer}"
    assert m.built() == "4"

    m.write("inner", "-DN=5")

    assert "inner changed (named by an option of m.pyx)" in m.why()
    assert m.built() == "5"


RELATIVE = {
    "CPATH": "inc",
    "C_INCLUDE_PATH": "/missing:inc",
    "CPATH, empty": "/missing:",
    "CPATH, dot": ".",
    "CFLAGS": "-O0 --include-directory inc",
    "CC": "gcc -isystem inc",
}


@pytest.mark.parametrize("variable", RELATIVE)
def test_folders_in_variables_are_relative_to_the_working_folder(m: Module, variable: str) -> None:
    m.env[variable.partition(",")[0]] = RELATIVE[variable]
    m.path = ["."]
    m.write("m.pyx", USES_HEADER)
    place = "inc/n.h" if "inc" in RELATIVE[variable] else "n.h"
    for number, folder in enumerate(("one", "two")):
        m.write(f"{folder}/{place}", f"#define N {number}")
        m.cwd = m.root / folder
        assert m.built() == str(number)
    m.cwd = m.root / "one"
    assert m.kept() == "0"

    m.write(f"one/{place}", "#define N 3")

    assert m.built() == "3"


def test_a_header_beside_one_in_a_folder_of_cpath_is_noticed(m: Module) -> None:
    """Asked for its own folders, the compiler names that one as well."""
    m.env["CPATH"] = f"{m.root}/inc"
    m.options = "include_dirs=['b']"
    m.write("m.pyx", USES_HEADER)
    m.write("inc/n.h", '#include "k.h"')
    m.write("b/k.h", "#define N 1")
    assert m.built() == "1"

    m.write("inc/k.h", "#define N 2")

    assert m.built() == "2"


def test_a_header_found_upwards_of_a_folder_is_noticed_in_an_earlier_one(m: Module) -> None:
    m.options = "include_dirs=['one/deep', 'two/deep']"
    m.write("m.pyx", USES_HEADER.replace("n.h", "../n.h"))
    m.write("one/deep/other.h", "")
    m.write("two/deep/other.h", "")
    m.write("two/n.h", "#define N 2")
    assert m.built() == "2"

    m.write("one/n.h", "#define N 1")

    assert m.built() == "1"


def test_library_path_is_relative_to_the_working_folder(m: Module) -> None:
    m.env["LIBRARY_PATH"] = "early:late"
    m.options = "libraries=['number']"
    m.path = ["."]
    m.write("m.pyx", 'cdef extern from *:\n    "int number(void);"\n    int number()\n'
                     'value = number()')  # fmt: skip
    for number, folder in enumerate(("one", "two")):
        m.cwd = m.root / folder
        m.cwd.mkdir()
        static_library(m.cwd / "late", number)
        assert m.built() == str(number)

    static_library(m.cwd / "early", 3)

    assert m.built() == "3"


def test_a_header_that_cflags_include_is_that_of_the_working_folder(m: Module) -> None:
    m.env["CFLAGS"] = "-O0 -include n.h -include limits.h"
    m.path = ["."]
    m.write("m.pyx", "cdef extern from *:\n    int N\nvalue = N")
    m.write("n.h", "#define N 0")
    for folder in ("one", "two"):
        (m.root / folder).mkdir()
    m.write("two/n.h", "#define N 2")
    m.cwd = m.root / "one"
    assert m.built() == "0"
    m.cwd = m.root / "two"
    assert m.built() == "2"

    m.cwd = m.root / "one"
    m.write("one/n.h", "#define N 1")

    assert m.built() == "1"


def test_a_header_that_settings_include_is_relative_to_where_they_are_written(m: Module) -> None:
    m.write("source/m.pyx", "# distutils: extra_compile_args = -imacros inc/k.h\n"
                     "cdef extern from *:\n    int N\n    int K\nvalue = N + K")  # fmt: skip
    m.write("pyproject.toml", "[tool.cyhot]\nextra_compile_args = ['-include', 'inc/n.h']")
    m.write("inc/n.h", "#define N 1")
    m.write("inc/k.h", "#define K 10")
    m.path = ["source"]
    m.cwd = m.root / "inc"
    assert m.built() == "11"

    m.write("inc/n.h", "#define N 2")

    assert m.built() == "12"


def static_library(folder: Path, number: int) -> None:
    """Make libnumber.a in a folder."""
    folder.mkdir(exist_ok=True)
    source = folder / "number.c"
    source.write_text(f"int number(void) {{ return {number}; }}", encoding="utf-8")
    objects, library = folder / "number.o", folder / "libnumber.a"
    library.unlink(missing_ok=True)
    assert os.system(f"gcc -fPIC -c {source} -o {objects} && ar rcs {library} {objects}") == 0


def test_a_changed_or_earlier_static_library_is_noticed(m: Module) -> None:
    m.write("m.pyx", 'cdef extern from *:\n    "int number(void);"\n    int number()\n'
                     'value = number()')  # fmt: skip
    one, two = m.root / "one", m.root / "two"
    m.options = f"libraries=['number'], extra_link_args=['-L{one}'], library_dirs=['{two}']"
    static_library(two, 2)
    assert m.built() == "2"

    static_library(two, 3)
    assert "libnumber.a changed (linked into m.pyx)" in m.why()
    assert m.built() == "3"

    m.options = f"libraries=['number'], library_dirs=['{one}', '{two}']"
    assert m.built() == "3"
    static_library(one, 1)
    assert m.built() == "1"


LINKED = {
    "linker's folders": "-Wl,-L,ROOT/one -Wl,-L,ROOT/two -lnumber",
    "linker's joined folders": "-Wl,-LROOT/one,-LROOT/two -lnumber",
    "linker's library": "-Lone -Ltwo -Wl,-lnumber",
    "response file": "@ROOT/words",
    "linker script": "-Lone -Ltwo -lscript",
}


@pytest.mark.parametrize("words", LINKED.values(), ids=LINKED)
def test_a_library_in_an_earlier_folder_of_any_option_is_noticed(m: Module, words: str) -> None:
    m.write("m.pyx", 'cdef extern from *:\n    "int number(void);"\n    int number()\n'
                     'value = number()')  # fmt: skip
    m.write("words", f"-L{m.root}/one -L {m.root}/two -lnumber")
    m.write("two/libscript.so", "INPUT(-lnumber)")
    (m.root / "one").mkdir()
    m.options = f"extra_link_args={words.replace('ROOT', str(m.root)).split()}"
    static_library(m.root / "two", 2)
    assert m.built() == "2"

    static_library(m.root / "one", 1)

    assert "libnumber.a appeared" in m.why()


def test_a_module_that_a_pyxbld_imports_is_noticed(m: Module) -> None:
    """Also by the process that imported it before, whose answer others are given later."""
    m.write("m.pyx", "cdef extern from *:\n    int N\nvalue = N")
    m.write(
        "m.pyxbld",
        """\
        import helper
        def make_setup_args():
            return {"options": {"build_ext": {"define": [("N", helper.N)]}}}
        """,
    )
    m.write("helper.py", "N = '1'")
    m.run(
        """
        import m
        assert m.value == 1
        with open("helper.py", "w") as file:
            file.write("N = '23'")
        del sys.modules["m"]
        import m
        """
    )

    assert m.ask()[0] == "23"


# --- links and folders ------------------------------------------------------------------------


def test_a_folder_link_that_leads_elsewhere_is_noticed(m: Module) -> None:
    m.path = ["link"]
    for number in (1, 2):
        m.write(f"target{number}/core.pxd", f"cdef enum: N = {number}")
        m.write(f"target{number}/n.h", f"#define N2 {number}")
    m.options = "include_dirs=['link']"
    m.write("m.pyx", 'from core cimport N\ncdef extern from "n.h":\n    int N2\nvalue = N, N2')
    (m.root / "link").symlink_to("target1")
    assert m.built() == "(1, 1)"

    (m.root / "link").unlink()
    (m.root / "link").symlink_to("target2")

    assert m.built() == "(2, 2)"


def test_a_link_that_leads_somewhere_from_now_on_is_noticed(m: Module) -> None:
    """Nothing changes in the folder that the link is in."""
    m.path = ["one", "two"]
    m.options = "include_dirs=['missing']"
    m.write("two/core.pxd", "cdef enum: N = 2")
    (m.root / "one").mkdir()
    (m.root / "one" / "core.pxd").symlink_to("../via")
    (m.root / "via").symlink_to("elsewhere/core.pxd")
    (m.root / "missing").symlink_to("elsewhere/include")
    (m.root / "elsewhere").mkdir()
    m.write("two/n.h", "#define N2 2")
    m.options = "include_dirs=['missing', 'two']"
    m.write("m.pyx", 'from core cimport N\ncdef extern from "n.h":\n    int N2\nvalue = N, N2')
    assert m.built() == "(2, 2)"
    assert m.kept() == "(2, 2)"

    m.write("elsewhere/core.pxd", "cdef enum: N = 1")
    assert m.built() == "(1, 2)"

    m.write("elsewhere/include/n.h", "#define N2 1")
    assert m.built() == "(1, 1)"

    m.write("third", "cdef enum: N = 3")
    (m.root / "via").unlink()
    (m.root / "via").symlink_to("third")
    assert m.built() == "(3, 1)"


def test_odd_entries_of_sys_path_do_not_disturb(m: Module) -> None:
    """A zip archive, what is no path, a missing folder; then a folder where the archive was."""
    archive = m.root / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("unused.py", "")
    m.path = ["archive.zip", "missing"]
    m.write("two/core.pxd", "cdef enum: N = 2")
    m.write("m.pyx", "from core cimport N; value = N")
    m.env["PYTHONPATH"] = str(m.root / "two")
    assert m.built() == "2"
    run = m.run("sys.path.append(None); import m; print(m.value)")
    assert (run.stdout, run.compiles) == ("2\n", [])

    archive.unlink()
    m.write("archive.zip/core.pxd", "cdef enum: N = 1")

    assert m.built() == "1"


# --- while it is compiled ---------------------------------------------------------------------


def editing_compiler(m: Module, before: str, after: str) -> None:
    """A compiler that runs shell commands before and after it compiles for the first time."""
    (folder,) = use_compilers(m, "bin")
    folder.mkdir()
    path = folder / "mycc"
    path.write_text(
        f"""#!/bin/sh
export PATH="{os.environ["PATH"]}"
case "$*" in *" -c "*) ;; *) exec gcc "$@";; esac
[ -e "{folder}/done" ] && exec gcc "$@"
touch "{folder}/done"
cd "{m.root}"
{before}
cd - >/dev/null
gcc "$@" || exit
cd "{m.root}"
{after}
""",
        encoding="utf-8",
    )
    path.chmod(stat.S_IRWXU)


@pytest.mark.parametrize("file", ["m.pyx", "core.pxd", "n.h"])
def test_what_is_edited_while_it_compiles_counts_as_it_is_afterwards(m: Module, file: str) -> None:
    m.write("m.pyx", USES_HEADER.replace("= N", "= N, A, 1") + "from core cimport A")
    m.write("core.pxd", "cdef enum: A = 1")
    m.write("n.h", "#define N 1")
    editing_compiler(m, "", f"sed -i 's/1/2/' {file}")

    wanted = {"m.pyx": "(1, 1, 2)", "core.pxd": "(1, 2, 1)", "n.h": "(2, 1, 1)"}[file]
    assert m.built() == wanted
    assert m.kept() == wanted


@pytest.mark.parametrize("time", ["", "touch -r old n.h"])
def test_what_is_edited_and_put_back_while_it_compiles_counts_as_it_was(
    m: Module, time: str
) -> None:
    m.write("m.pyx", USES_HEADER)
    shutil.copy2(m.write("n.h", "#define N 1"), m.root / "old")
    editing_compiler(m, "echo '#define N 2' > n.h", f"cat old > n.h; {time}")

    assert m.built() == "1"
    assert m.kept() == "1"


# --- the store --------------------------------------------------------------------------------


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :])
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "flipped", "removed"])
def test_no_damage_to_the_store_brings_a_stale_image(m: Module, how: str) -> None:
    m.write("m.pyx", USES_HEADER)
    m.write("n.h", "#define N 1")
    assert m.built() == "1"
    m.write("n.h", "#define N 2")
    assert m.built() == "2"
    notes = [p for p in m.project.store.rglob("*") if p.is_file() and p.stat().st_size]
    notes = [path for path in notes if "images" not in path.parts and "locks" not in path.parts]
    assert notes

    for path in notes:
        damaged(path, how)
        assert m.ask()[0] == "2", path
    for image in m.project.store.rglob("m.*.so"):
        damaged(image, "truncated" if how == "flipped" else how)
    assert m.built() == "2"
    assert m.kept() == "2"


# --- and why ----------------------------------------------------------------------------------


def test_why_tells_how_a_module_depends_on_what_changed(m: Module) -> None:
    m.write("kernels.pyx", "from helpers cimport twice\nvalue = twice(4)")
    m.write("helpers.pxd", "from core cimport N\ncdef inline int twice(int x): return N * x")
    m.write("core.pxd", "cdef enum: N = 2")
    ask, why = "import kernels; print(kernels.value)", "print(*cyhot.why('kernels'), sep='\\n')"
    assert m.run(ask).stdout == "8\n"
    assert m.run(why).stdout.splitlines() == [
        "kernels.pyx: up to date",
        "kernels.pyx: rebuilt because it was never built here",
    ]

    m.write("core.pxd", "cdef enum: N = 3")
    because = "because core.pxd changed (cimported by helpers.pxd)"
    assert m.run(why).stdout == f"kernels.pyx: will be rebuilt {because}\n"
    run = m.run(ask)
    assert run.stdout == "12\n"
    assert run.events[0]["reasons"] == ["core.pxd changed (cimported by helpers.pxd)"]

    assert m.run(why).stdout.splitlines() == [
        "kernels.pyx: up to date",
        f"kernels.pyx: rebuilt {because}",
    ]


def test_a_check_imports_nothing_heavy_whatever_has_to_be_looked_at(m: Module) -> None:
    """Hashing touched files, reading changed folders, searching along another sys.path."""
    m.write("m.pyx", "from core cimport N; value = N")
    m.write("core.pxd", "cdef enum: N = 2")
    m.write("m.pyxdep", "single.txt")
    assert m.built() == "2"
    for path in ("m.pyx", "core.pxd"):
        os.utime(m.root / path)
    m.write("unrelated.txt", "")

    run = m.project.run(
        """
        import sys; sys.path.insert(0, "elsewhere")
        before = set(sys.modules)
        import cyhot; cyhot.install(); import m
        print(*sorted(name for name in set(sys.modules) - before if "cyhot" not in name))
        """,
        env=FAST,
    )

    assert run.compiles == []
    assert set(run.stdout.split()) <= {"m", "_blake2", "importlib", "importlib.machinery"} | {
        "importlib._bootstrap", "importlib._bootstrap_external", "marshal", "time", "__future__",
        "_imp", "_operator", "_warnings", "atexit", "warnings", "cython_runtime",
    }  # fmt: skip
