"""Import statements: what is found, what it is preferred to, and how the module behaves."""

from __future__ import annotations

import json
import textwrap

import pytest
from support import EXT_SUFFIX, FOO, Project

TAG = "tag = {!r}\n"


def answers(project: Project, code: str, **kw: object) -> object:
    """What a program in the project prints as JSON on its last line."""
    program = "import cyhot, json, sys\ncyhot.install()\n" + textwrap.dedent(code)
    run = project.run(program, **kw)  # type: ignore[arg-type]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one of each kind of place that a .pyx may be in; built once."""
    project = Project(tmp_path_factory.mktemp("tree"))
    project.write("top.pyx", TAG.format("top"))
    project.write("pyxpkg/__init__.pyx", "from .inner import tag as inner_tag\ntag = __name__\n")
    project.write("pyxpkg/inner.pyx", "from . import data\ntag = 'inner ' + data.x\n")
    project.write("pyxpkg/data/__init__.py", "x = 'data'\n")
    project.write("pyxpkg/notes.txt", "a resource\n")
    project.write("regular/__init__.py", "")
    project.write("regular/deep/__init__.py", "")
    project.write("regular/deep/mod.pyx", "from ..side import tag as side\ntag = side + ' deep'\n")
    project.write("regular/side.pyx", TAG.format("side"))
    project.write("space/mod.pyx", TAG.format("in a namespace package"))
    project.write("other/elsewhere.pyx", TAG.format("elsewhere"))
    project.write(
        "things.pyx",
        """
        import os
        folder = os.path.dirname(__file__)

        def double(x):
            "Twice x."
            return 2 * x

        cdef class Point:
            cdef public int x
            def __init__(self, x):
                self.x = x
            def __eq__(self, other):
                return self.x == other.x

        class Plain:
            def __init__(self):
                self.y = 3
        """,
    )
    project.write("script.pyx", "import sys\nprint(__name__, len(sys.argv))\nanswer = 42\n")
    project.run(
        """
        import cyhot, sys
        cyhot.install(profile="dev")
        sys.path.append("other")
        import top, pyxpkg, regular.deep.mod, space.mod, elsewhere, things
        """,
        env={"CFLAGS": "-O0"},
    )
    return project


FAST = {"CFLAGS": "-O0"}


def test_every_kind_of_place_is_found(tree: Project) -> None:
    found = answers(
        tree,
        """
        sys.path.append("other")
        import top, pyxpkg, regular.deep.mod, space.mod, elsewhere
        print(json.dumps([top.tag, pyxpkg.tag, pyxpkg.inner_tag, regular.deep.mod.tag,
                          space.mod.tag, elsewhere.tag]))
        """,
        env=FAST,
    )
    expected = ["top", "pyxpkg", "inner data", "side deep", "in a namespace package", "elsewhere"]
    assert found == expected


def test_nothing_was_compiled_twice(tree: Project) -> None:
    run = tree.run("import cyhot; cyhot.install(); import top, pyxpkg, space.mod", env=FAST)
    assert run.compiles == []


def test_pathlib_entries_on_sys_path_are_searched(tree: Project) -> None:
    code = """
        from pathlib import Path
        sys.path.append(Path("other").resolve())
        import elsewhere
        print(json.dumps(elsewhere.tag))
    """
    assert answers(tree, code, env=FAST) == "elsewhere"


def test_a_module_knows_its_source_its_image_and_its_resources(tree: Project) -> None:
    code = """
        import importlib.resources, inspect, pkgutil
        import things, pyxpkg
        spec = things.__spec__
        print(json.dumps({
            "file": things.__file__, "folder": things.folder, "origin": spec.origin,
            "image": things.__cached__ == spec.cached and spec.cached.endswith(".so"),
            "source": inspect.getsource(things) == open("things.pyx").read(),
            "doc": inspect.getdoc(things.double),
            "signature": str(inspect.signature(things.double)),
            "resource": importlib.resources.files("pyxpkg").joinpath("notes.txt").read_text(),
            "data": pkgutil.get_data("pyxpkg", "notes.txt").decode(),
            "path": list(pyxpkg.__path__), "package": [things.__package__, pyxpkg.__package__],
        }))
    """
    found = answers(tree, code, env=FAST)
    root = str(tree.root)
    assert found == {
        "file": f"{root}/things.pyx",
        "folder": root,
        "origin": f"{root}/things.pyx",
        "image": True,
        "source": True,
        "doc": "Twice x.",
        "signature": "(x)",
        "resource": "a resource\n",
        "data": "a resource\n",
        "path": [f"{root}/pyxpkg"],
        "package": ["", "pyxpkg"],
    }


def test_functions_and_classes_pickle(tree: Project) -> None:
    code = """
        import pickle, things
        f, p, q = pickle.loads(pickle.dumps((things.double, things.Point(4), things.Plain())))
        print(json.dumps([f is things.double, p == things.Point(4), q.y]))
    """
    assert answers(tree, code, env=FAST) == [True, True, 3]


def test_a_spawned_process_imports_and_unpickles(tree: Project) -> None:
    tree.write(
        "spawned.py",
        """
        import multiprocessing
        import cyhot
        cyhot.install()
        import things

        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                print(pool.map(things.double, [1, 2, 3]))
        """,
    )
    assert tree.run("spawned.py", env=FAST).stdout.strip() == "[2, 4, 6]"


def test_python_m_runs_a_pyx_as_main(tree: Project) -> None:
    code = """
        import runpy
        namespace = runpy.run_module("script", run_name="__main__")
        print(json.dumps([namespace["answer"], namespace["__name__"]]))
    """
    run = tree.run("import cyhot, json; cyhot.install()\n" + textwrap.dedent(code), env=FAST)
    assert run.stdout.splitlines() == ["__main__ 1", '[42, "__main__"]']


def test_python_m_of_a_package_that_installs_the_hook(tree: Project) -> None:
    tree.write("app/__init__.py", "import cyhot\ncyhot.install()\n")
    tree.write("app/__main__.py", "import top\nprint(top.tag)\n")
    run = tree.run("import runpy; runpy.run_module('app', run_name='__main__')", env=FAST)
    assert run.stdout.strip() == "top"


def test_a_fresh_import_after_deletion_from_sys_modules_is_a_fresh_module(tree: Project) -> None:
    code = """
        import top
        top.tag = "changed"
        first = sys.modules.pop("top")
        import top
        print(json.dumps([top is first, top.tag, first.tag]))
    """
    assert answers(tree, code, env=FAST) == [False, "top", "changed"]


def test_a_module_that_failed_can_be_imported_once_the_reason_is_gone(project: Project) -> None:
    project.write("needy.pyx", "import missing_module\nx = missing_module.x\n")
    code = """
        try:
            import needy
        except ModuleNotFoundError as error:
            first = [error.name, type(error).__name__]
        import types
        sys.modules["missing_module"] = types.SimpleNamespace(x=5)
        import needy
        print(json.dumps([first, needy.x]))
    """
    found = answers(project, code, env=FAST)
    assert found == [["missing_module", "ModuleNotFoundError"], 5]


def test_a_coding_that_there_is_not_is_no_crash_of_cython(project: Project) -> None:
    project.write("coded.pyx", "# -*- coding: nosuch -*-\n")
    run = project.run("import cyhot; cyhot.install(); import coded", check=False)
    assert "coded.pyx: error: unknown encoding: nosuch" in run.stderr
    assert "crashed" not in run.stderr


def test_a_missing_symbol_is_told_without_frames_of_cyhot(project: Project) -> None:
    project.write("lost.pyx", "cdef extern int nowhere()\ndef f(): return nowhere()\n")
    run = project.run("import cyhot; cyhot.install(); import lost", check=False)
    assert "nowhere" in run.stderr
    assert [line for line in run.stderr.splitlines() if "hook/" in line] == []


def test_code_that_cython_leaves_out_behind_a_raise_is_told_as_that(project: Project) -> None:
    project.write("u.pyx", "cdef class C:\n    cdef int x\nraise ValueError('no')\n")
    run = project.run("import cyhot; cyhot.install(); import u", check=False)
    assert "undefined reference to '__pyx_" in run.stderr and "put that under an `if`" in run.stderr


def test_pytest_and_spawned_processes_have_the_projects_settings(project: Project) -> None:
    """An excluded module was compiled under pytest, which lies in another folder."""
    project.write("pyproject.toml", "[tool.cyhot]\nexclude = ['k']\n")
    project.write("k.pyx", "value = 'pyx'\n")
    project.write("k.py", "value = 'py'\n")
    project.write("elsewhere/here.txt", "")
    project.write(
        "test_k.py",
        """
        import cyhot; cyhot.install()
        import k
        def test_k(): assert k.value == "py"
        """,
    )
    project.write(
        "spawns.py",
        """
        import multiprocessing
        import cyhot; cyhot.install()
        import k
        def tell(lines): lines.put(k.value)
        if __name__ == "__main__":
            spawn = multiprocessing.get_context("spawn")
            lines = spawn.Queue()
            process = spawn.Process(target=tell, args=(lines,))
            process.start()
            print(k.value, lines.get())
            process.join()
        """,
    )
    program = "import pytest, sys; sys.argv[0] = pytest.__file__; pytest.main(['-q', 'test_k.py'])"
    run = project.run(
        f"import sys; sys.modules['__main__'].__file__ = sys.prefix + '/bin/pytest'; {program}"
    )
    assert "1 passed" in run.stdout
    run = project.run(
        "import subprocess, sys;"
        " subprocess.run([sys.executable, '../spawns.py'], cwd='elsewhere', check=True)"
    )
    assert run.stdout == "py py\n"


def test_settings_that_are_asked_for_before_the_first_import_are_read_once(
    project: Project,
) -> None:
    """Reading pyproject.toml imports modules, which asked for the settings in it."""
    project.write("pyproject.toml", "[tool.cyhot]\nprofile = 'debug'\n")
    program = """
        import cyhot
        from cyhot.hook import current_session
        cyhot.install(watch=False)
        print(current_session().process_settings()["profile"])
    """
    assert project.run(program).stdout == "debug\n"


def test_a_folder_called_zip_is_a_folder(project: Project) -> None:
    project.write("x.zip/inside.pyx", "value = 1\n")
    program = (
        "import sys; sys.path.insert(0, 'x.zip'); import cyhot; cyhot.install(); import inside"
    )
    assert project.run(program).compiles == ["inside"]


def test_a_source_that_vanishes_during_its_import_is_no_crash_of_cython(project: Project) -> None:
    project.write("gone.pyx", "answer = 42\n")
    program = """
        import importlib.util, os
        import cyhot
        cyhot.install(verbose=0)
        spec = importlib.util.find_spec("gone")
        os.rename("gone.pyx", "kept")
        try:
            importlib.util.module_from_spec(spec)
        except cyhot.CompileError as error:
            (one,) = error.diagnostics
            print(os.path.basename(one.path), one.message, "Traceback" in str(error))
        os.rename("kept", "gone.pyx")
        import gone
        print(gone.answer)
    """
    assert project.run(program).stdout == "gone.pyx the file is not there any more False\n42\n"


def test_reload_runs_an_edited_source_in_the_same_module(project: Project) -> None:
    project.write("mod.pyx", "def f():\n    return 1\nkept = []\n")
    code = """
        import importlib, mod
        seen, namespace = [mod.f()], mod.__dict__
        mod.K = 99
        for body in ("return 2, globals()['K']", "return (", "return 3"):
            open("mod.pyx", "w").write("def f():\\n    " + body + "\\n")
            try:
                again = importlib.reload(mod)
                seen.append([mod.f(), again is mod, mod.__dict__ is namespace])
            except cyhot.CompileError:
                seen.append(["failed", mod.f()])
        importlib.reload(mod)
        seen.append(mod.f())
        print(json.dumps(seen))
    """
    found = answers(project, code, env=FAST)
    assert found == [1, [[2, 99], True, True], ["failed", [2, 99]], [3, True, True], 3]


def test_reload_of_an_unchanged_module_runs_its_body_again(project: Project) -> None:
    project.write("mod.pyx", "import builtins\nbuiltins.runs = getattr(builtins, 'runs', 0) + 1\n")
    code = """
        import builtins, importlib, mod
        importlib.reload(mod); importlib.reload(mod)
        print(json.dumps(builtins.runs))
    """
    assert answers(project, code, env=FAST) == 3


def test_a_module_with_state_of_its_own_refuses_to_be_reloaded(project: Project) -> None:
    project.write("mod.pyx", "# distutils: define_macros=CYTHON_PEP489_MULTI_PHASE_INIT=0\nx = 1\n")
    code = """
        import importlib, mod
        try:
            importlib.reload(mod)
        except cyhot.SwapError as error:
            print(json.dumps([str(error), mod.x]))
    """
    text, x = answers(project, code, env=FAST)  # type: ignore[misc]
    assert "single-phase" in text and "Restart" in text and x == 1


# What is preferred to what --------------------------------------------------------------------


def test_what_a_pyx_passes_over_is_said_once(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write("foo.py", "raise RuntimeError('the wrong file')\n")
    project.write("foo/__init__.py", "raise RuntimeError('the wrong folder')\n")
    project.write(f"foo{EXT_SUFFIX}", "not an image")
    code = """
        import warnings
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            import foo
            del sys.modules["foo"]
            import foo
        first = seen[0]
        told = [str(w.message) for w in seen], first.category.__name__, first.filename
        print(json.dumps([*told, foo.sqr(3)]))
    """
    (messages, category, place, nine) = answers(project, code, env=FAST)  # type: ignore[misc]
    assert nine == 9 and category == "CyhotWarning" and len(messages) == 1
    assert place == "<string>"  # where the import statement is
    assert all(name in messages[0] for name in ("foo.py", f"foo{EXT_SUFFIX}", "foo/"))


def test_a_package_with_both_inits_takes_the_pyx(project: Project) -> None:
    project.write("pkg/__init__.pyx", "x = 'pyx'\n")
    project.write("pkg/__init__.py", "x = 'py'\n")
    assert answers(project, "import pkg; print(json.dumps(pkg.x))", env=FAST) == "pyx"


def test_a_package_with_an_init_pyx_wins_over_a_module_of_its_name(project: Project) -> None:
    """As a package with an ``__init__.py`` does; and what is passed over is said."""
    project.write("pkg/__init__.pyx", "x = 'pyx'\n")
    project.write("pkg.py", "x = 'py'\n")
    code = """
        import warnings
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            import pkg
        print(json.dumps([pkg.x, *(str(w.message) for w in seen)]))
    """
    found, warning = answers(project, code, env=FAST)  # type: ignore[misc]
    assert found == "pyx" and str(project / "pkg.py") in warning


def test_a_traceback_of_an_error_in_a_source_ends_at_the_import(project: Project) -> None:
    """Which of cyhot's functions found it is in the way of what is wrong."""
    project.write("foo.pyx", "x = no_such_name\n")
    project.write("main.py", "import cyhot; cyhot.install()\nimport foo\n")
    told = project.run("main.py", check=False).stderr
    assert "foo.pyx:1:5: error: undeclared name not builtin: no_such_name" in told
    assert told.count("  File ") == 1, told


def test_an_earlier_path_entry_wins_over_a_pyx_in_a_later_one(project: Project) -> None:
    project.write("first/mod.py", "x = 'first'\n")
    project.write("second/mod.pyx", "x = 'second'\n")
    code = """
        sys.path[:0] = ["first", "second"]
        import mod
        print(json.dumps(mod.x))
    """
    assert answers(project, code, env=FAST) == "first"
    assert project.compiles() == []


def test_a_pyx_package_in_an_earlier_entry_wins_over_a_module_in_a_later_one(
    project: Project,
) -> None:
    project.write("first/mod/__init__.pyx", "x = 'first'\n")
    project.write("second/mod.py", "x = 'second'\n")
    code = """
        sys.path[:0] = ["first", "second"]
        import mod
        print(json.dumps(mod.x))
    """
    assert answers(project, code, env=FAST) == "first"


def test_site_packages_and_excluded_modules_are_left_alone(project: Project) -> None:
    project.write("lib/site-packages/dist.pyx", "x = 1\n")
    project.write("mine.pyx", "x = 1\n")
    program = """
        import cyhot, importlib.util, sys
        sys.path.append("lib/site-packages")
        def who(name):
            spec = importlib.util.find_spec(name)
            return type(spec.loader).__module__.partition(".")[0] if spec else None
        with cyhot.install():
            print(who("dist"), who("mine"))
        with cyhot.install(include=["dist"]):
            print(who("dist"), who("mine"))
        with cyhot.install(exclude=["mi*"]):
            print(who("dist"), who("mine"))
        print(who("mine"))
    """
    lines = project.run(program).stdout.splitlines()
    assert lines == ["None cyhot", "cyhot None", "None None", "None"]


def test_saying_no_costs_one_stat_for_each_path_entry_at_most(project: Project) -> None:
    program = """
        import cyhot, os, sys
        sys.path[:0] = [os.path.abspath(str(i)) for i in range(5)]
        for i in range(5):
            os.mkdir(str(i))
        cyhot.install()
        import cyhot.building.observe, cyhot.hook.finder as finder
        finder_object = next(f for f in sys.meta_path if isinstance(f, finder.Finder))
        finder_object.settings
        calls = []
        stat, scandir, listdir = os.stat, os.scandir, os.listdir
        os.stat = lambda *a, **k: (calls.append(a[0]), stat(*a, **k))[1]
        os.listdir = lambda *a: (calls.append("listdir"), listdir(*a))[1]
        os.scandir = lambda *a: (calls.append("scandir"), scandir(*a))[1]
        assert finder_object.find_spec("no_such_module_at_all", None) is None
        os.stat, os.scandir, os.listdir = stat, scandir, listdir
        print(len(calls), len(sys.path), sum(c in ("listdir", "scandir") for c in calls))
    """
    stats, entries, scans = map(int, project.run(program).stdout.split())
    assert stats <= entries and scans == 0


# Switching it on and off ----------------------------------------------------------------------


def test_install_twice_updates_and_never_duplicates(project: Project) -> None:
    program = """
        import cyhot, sys
        from importlib.machinery import PathFinder
        before = len(sys.meta_path)
        first = cyhot.install(profile="release")
        assert sys.meta_path.index(PathFinder) == 1 + next(
            i for i, f in enumerate(sys.meta_path) if type(f).__module__.startswith("cyhot"))
        with cyhot.install(language_level=2) as second:
            print(len(sys.meta_path) - before, second.settings["profile"],
                  second.settings["language_level"])
        print(first.settings["language_level"], len(sys.meta_path) - before)
        py_importer, pyx_importer = first
        cyhot.uninstall(py_importer, pyx_importer)
        print(len(sys.meta_path) - before)
    """
    assert project.run(program).stdout.splitlines() == ["1 release 2", "3 1", "0"]


def test_cyhot_disable_switches_it_off(project: Project) -> None:
    project.write("foo.pyx", FOO)
    program = (
        "import cyhot, sys; n = len(sys.meta_path); cyhot.install(); print(len(sys.meta_path) - n)"
    )
    assert project.run(program, env={"CYHOT_DISABLE": "1"}).stdout.strip() == "0"


def test_pure_python_modules_compile_on_request(project: Project) -> None:
    for name in ("hot", "warm", "cold"):
        project.write(f"pkg/{name}.py", "import cython\ncompiled = cython.compiled\n")
    project.write("pkg/__init__.py", "")
    project.write(
        "pkg/typed.py", "import cython\ndef f(x):\n    return x + 1\ncompiled = cython.compiled\n"
    )
    project.write("pkg/typed.pxd", "cpdef int f(int x)\n")
    program = """
        import cyhot
        cyhot.install(py=["pkg.hot", "pkg.w*", "pkg.typed"])
        from pkg import hot, warm, cold, typed
        print(hot.compiled, warm.compiled, cold.compiled, typed.compiled, hot.__file__)
        try:
            typed.f("text")
        except TypeError as error:
            print(error)
    """
    first, second = project.run(program, env=FAST).stdout.splitlines()
    assert first == f"True True False True {project.root}/pkg/hot.py"
    assert "int" in second  # the augmenting .pxd made x a C int


def test_a_py_that_does_not_compile_is_imported_as_it_is_on_request(project: Project) -> None:
    project.write("odd.py", "import cython\ncompiled = cython.compiled\nx: 'no such type' = 1\n")
    project.write("odd.pxd", "this is no declaration\n")
    program = """
        import cyhot, warnings
        warnings.simplefilter("ignore")
        cyhot.install(py=["odd"], load_py_module_on_import_failure=True)
        import odd
        print(odd.compiled)
    """
    assert project.run(program).stdout.strip() == "False"


# load -----------------------------------------------------------------------------------------


def test_load_imports_one_file_without_a_hook(project: Project) -> None:
    project.write("here/mod.pyx", "x = 1\n")
    program = """
        import cyhot, pathlib, sys
        n = len(sys.meta_path)
        mod = cyhot.load(pathlib.Path("here/mod.pyx"))
        assert len(sys.meta_path) == n and sys.modules["mod"] is mod
        assert cyhot.load("here/mod.pyx") is mod
        open("here/mod.pyx", "w").write("x = 2\\n")
        again = cyhot.load("here/mod.pyx")
        named = cyhot.load("here/mod.pyx", name="another")
        print(mod.x, again.x, named.__name__)
    """
    assert project.run(program, env=FAST).stdout.strip() == "1 2 another"


def test_load_never_takes_a_name_that_is_in_use(project: Project) -> None:
    project.write("json.pyx", "x = 1\n")
    program = """
        import cyhot, json
        try:
            cyhot.load("json.pyx")
        except cyhot.CyhotError as error:
            print(error)
        try:
            cyhot.load("nowhere.pyx")
        except FileNotFoundError as error:
            print(error.filename)
    """
    lines = project.run(program).stdout.splitlines()
    assert "'json' is taken" in lines[0] and "name=" in lines[0]
    assert lines[1] == f"{project.root}/nowhere.pyx"
