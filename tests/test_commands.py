"""The ``cyhot`` command as its user sees it: what it takes, builds, lays out and refuses."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

import pytest
from held import CHEAP
from support import Project, Run
from warm import running

CYHOT = "import sys; from cyhot.cli import main; sys.argv[0] = 'cyhot'; main()"
"""As the script does it."""


def cyhot(project: Project, *args: str, env: Mapping[str, str] | None = None) -> Run:
    """Run the command in the project's folder; modules are not optimized."""
    return project.run(CYHOT, *args, env={**CHEAP, **(env or {})}, check=False)


def built(run: Run) -> list[str]:
    """What it built; it has to have ended well."""
    assert run.returncode == 0, run
    return sorted(run.compiles)


# --- src layout ---------------------------------------------------------------------------------


def program(*roots: str, imports: str) -> str:
    """A program that has folders on sys.path, and imports from them."""
    return f"import sys; sys.path[:0] = {list(roots)}; import cyhot; cyhot.install(); {imports}"


@pytest.mark.parametrize("by_worker", [False, True], ids=["in this process", "by the worker"])
def test_a_program_finds_what_was_built_of_a_package_in_src(
    project: Project, by_worker: bool
) -> None:
    project.write("src/wp/__init__.py", "")
    project.write("src/wp/core.pxd", "cdef inline int one(): return 1\n")
    project.write("src/wp/k.pyx", "from wp cimport core\ndef v(): return core.one()\n")
    use = program("src", imports="from wp import k; print(k.v())")
    with running() if by_worker else contextlib.nullcontext() as worker:
        env = {**CHEAP, **(worker.env if worker else {})}
        assert built(cyhot(project, "build", "src/wp", env=env)) == ["wp.k"]
        run = project.run(use, env=env)
        assert (run.stdout, run.compiles) == ("1\n", [])

        project.write("src/wp/core.pxd", "cdef inline int one(): return 11\n")
        assert cyhot(project, "why", "src/wp/k.pyx").stdout == (
            "k.pyx: will be rebuilt because core.pxd changed (cimported by k.pyx)\n"
        )
        assert project.run(use, env=env).stdout == "11\n"
        again = cyhot(project, "build", "src", env=env)
        assert (built(again), "1 up to date" in again.stdout) == ([], True), again
        assert cyhot(project, "why", "src").stdout.startswith("k.pyx: up to date\n")


def test_modules_of_one_name_in_two_folders_are_built_as_each_folders_program_does(
    project: Project,
) -> None:
    """Each has declarations beside it, and a `.pyxbld` that imports what is beside it."""
    for name in ("a", "b"):
        project.write(f"{name}/k.pxd", f"cdef int {name}\n")
        project.write(f"{name}/flags_{name}.py", "MACROS = [('X', '1')]\n")
        project.write(
            f"{name}/k.pyxbld",
            f"""
            from setuptools import Extension
            from flags_{name} import MACROS
            def make_ext(name, path):
                return Extension(name, [path], define_macros=MACROS)
            """,
        )
        project.write(f"{name}/k.pyx", f"{name} = 1\nWHERE = '{name}'\n")
    program_before = "import sys, cyhot; before = [*sys.path]; "
    done = project.run(
        f"{program_before} print(cyhot.build('a', 'b', jobs=2).ok, sys.path == before)", env=CHEAP
    )
    assert (done.stdout, done.compiles) == ("True True\n", ["k", "k"])
    for name in ("a", "b"):
        run = project.run(program(name, imports="import k; print(k.WHERE)"), env=CHEAP)
        assert (run.stdout, run.compiles) == (f"{name}\n", [])


# --- what is found ------------------------------------------------------------------------------


def test_a_package_may_have_parts_that_are_called_dist_or_build(project: Project) -> None:
    for folder in ("pk", "pk/dist", "pk/build/deep"):
        project.write(f"{folder}/__init__.py", "")
        project.write(f"{folder}/k.pyx", "V = 1\n")
    project.write("pk/build/__init__.pyx", "")
    project.write("pk/build/node_modules/k.pyx", "what npm has put there")
    project.write("build/lib/pk/k.pyx", "what setuptools has copied there")
    run = cyhot(project, "build", "--out", "tree")
    assert built(run) == ["pk.build", "pk.build.deep.k", "pk.dist.k", "pk.k"]
    use = "import sys; sys.path[0] = 'tree'; from pk import k, dist, build; "
    assert project.run(use + "from pk.dist import k; from pk.build.deep import k").compiles == []


@pytest.mark.parametrize("where", ["pyproject.toml", "the environment"])
def test_what_exclude_names_is_built_only_if_it_is_named(project: Project, where: str) -> None:
    env = {"CYHOT_EXCLUDE": "legacy pk.old.*"} if where == "the environment" else {}
    if not env:
        project.write("pyproject.toml", '[tool.cyhot]\nexclude = ["legacy", "pk.old.*"]\n')
    for folder in ("pk", "pk/old"):
        project.write(f"{folder}/__init__.py", "")
    project.write("pk/k.pyx", "V = 1\n")
    for name in ("legacy", "pk/old/a", "pk/old/b"):
        project.write(f"{name}.pyx", "does not compile\n")
    assert built(cyhot(project, "build", env=env)) == ["pk.k"]
    nothing = cyhot(project, "build", "pk/old", env=env)
    assert nothing.stdout.startswith("cyhot: no .pyx files in ")
    assert cyhot(project, "build", "pk.old", env=env).returncode == 2

    for path in ("legacy", "pk/old/a"):
        project.write(f"{path}.pyx", "V = 1\n")
    assert built(cyhot(project, "build", "legacy", "pk/old/a.pyx", env=env)) == [
        "legacy", "pk.old.a",
    ]  # fmt: skip


# --- laying out ---------------------------------------------------------------------------------


def test_a_tree_is_laid_out_with_the_data_that_the_package_reads(project: Project) -> None:
    project.write(
        "src/pk/__init__.py",
        """
        from importlib.resources import files
        from . import k
        TEXT = files(__name__).joinpath("data", "words.txt").read_text()
        """,
    )
    project.write("src/pk/k.pyx", "V = 1\n")
    left_out = ["k.c", "k.html", "extra.pxi", ".hidden", "__pycache__/x.txt", "dist/old.whl"]
    left_out += [".git/config", "data/notes.txt~"]
    kept = ["k.pxd", "py.typed", "data/words.txt", "data/template.c", "inc/pk.h", "build/a.txt"]
    for name in (*left_out, *kept, "build/__init__.py"):
        project.write(f"src/pk/{name}", "" if name.endswith((".pxd", ".py")) else "hello")
    for _ in range(2):  # a tree inside of the package is no part of it
        assert cyhot(project, "build", "src", "--out", "src/pk/tree").returncode == 0
    found = {path.removeprefix("src/pk/tree/") for path in project.files() if "/tree/" in path}
    images = {name for name in found if name.endswith(".so")}
    assert found - images == {
        "pk/__init__.py", "pk/build/__init__.py", *(f"pk/{name}" for name in kept)
    }  # fmt: skip
    use = "import sys; sys.path[0] = 'src/pk/tree'; import pk; print(pk.TEXT, pk.k.__file__)"
    assert project.run(use).stdout == f"hello {project.root}/src/pk/tree/{images.pop()}\n"


@pytest.mark.parametrize(
    ("target", "out", "told"),
    [
        ("src/pk", "src", "src/pk/"),
        ("src", "src/../src/", "src/pk/"),
        ("src", "link", "link/pk/"),
        ("src/one.pyx", "src", "src/one."),
        # The package has a part of its own name.
        ("src", "src/pk", "src/pk/pk/"),
    ],
)
def test_a_tree_is_never_laid_out_over_the_sources(
    project: Project, target: str, out: str, told: str
) -> None:
    for folder in ("src/pk", "src/pk/pk"):
        project.write(f"{folder}/__init__.py", "")
        project.write(f"{folder}/k.pyx", "V = 1\n")
    project.write("src/one.pyx", "V = 1\n")
    (project / "link").symlink_to("src")
    before = project.files()
    run = cyhot(project, "build", target, "--out", out)
    assert (run.returncode, run.compiles, project.files()) == (2, [], before)
    assert run.stderr.startswith(f"cyhot: error: --out {out}: {out.rstrip('/')}/"), run
    assert told in run.stderr and "would lie among the sources" in run.stderr


def test_a_tree_that_cannot_be_written_is_told_in_a_line(project: Project) -> None:
    project.write("foo.pyx", "V = 1\n")
    run = cyhot(project, "build", "--out", "/dev/null/x", "--profile", "dev")
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("cyhot: error: --out /dev/null/x: ")


@pytest.mark.parametrize(
    ("args", "status"),
    [(["--version"], 0), (["cache", "path"], 0), (["build"], 2), (["watch"], 2), (["run", "x"], 2)],
)
def test_in_a_folder_that_was_removed_there_is_no_traceback(
    project: Project, args: list[str], status: int
) -> None:
    gone = "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir(os.getcwd()); "
    run = project.run(gone + CYHOT, *args, check=False)
    assert (run.returncode, "Traceback" in run.stderr) == (status, False), run
    if status:
        assert run.stderr.startswith("cyhot: error: "), run


# --- the store ----------------------------------------------------------------------------------

NO_FOLDER = "is no folder, so it cannot hold images"


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("/proc/nope", "cannot be written (No such file or directory)"),
        ("file/store", "cannot be written (Not a directory)"),
        ("file", NO_FOLDER),
        ("/dev/null", NO_FOLDER),
    ],
)
def test_what_is_built_ahead_and_cannot_be_kept_is_an_error(
    project: Project, where: str, told: str
) -> None:
    project.write("foo.pyx", "V = 1\n")
    project.write("file", "")
    env = {"CYHOT_BUILD_DIR": where}
    path = str(project / where)
    run = cyhot(project, "build", env=env)
    assert (run.returncode, run.stdout, run.compiles) == (2, "", [])
    assert run.stderr.startswith(f"cyhot: error: {path}") and told in run.stderr
    assert run.stderr.endswith("Choose another store with build_dir= or CYHOT_BUILD_DIR.\n")
    code = "import cyhot\ntry: cyhot.build()\nexcept cyhot.errors.StoreError as e: print(e)"
    assert told in project.run(code, env=env).stdout
    doctor = cyhot(project, "doctor", env=env)
    (line,) = (line for line in doctor.stdout.splitlines() if " store: " in line)
    assert (doctor.returncode, line.startswith(f"missing store: {path}")) == (1, True)
    assert told in line


def test_doctor_makes_no_store(project: Project) -> None:
    before = sorted(project.store.parent.iterdir())
    for folder in (project.store, project.store / "deep"):
        doctor = cyhot(project, "doctor", env={"CYHOT_BUILD_DIR": str(folder)})
        assert f"ok      store: {folder} (made by the first build)\n" in doctor.stdout
    assert sorted(project.store.parent.iterdir()) == before
    project.store.mkdir(mode=0o700)
    assert f"ok      store: {project.store}\n" in cyhot(project, "doctor").stdout
    assert [*project.store.iterdir()] == []


def test_beside_a_worker_it_is_said_once_that_images_are_not_kept(project: Project) -> None:
    project.write("foo.pyx", "V = 1\n")
    with running() as worker:
        env = {**worker.env, "CYHOT_BUILD_DIR": "/proc/nope"}
        run = project.run("import cyhot; cyhot.install(); import foo; print(foo.V)", env=env)
    assert run.stdout == "1\n"
    assert run.stderr.count("is kept for this process only") == 1


# --- settings -----------------------------------------------------------------------------------


def test_a_misspelt_match_of_a_module_table_is_named(project: Project) -> None:
    project.write(
        "pyproject.toml",
        """
        [[tool.cyhot.module]]
        match = "foo"
        profil = "debug"
        [[tool.cyhot.module]]
        mach = "foo"
        """,
    )
    project.write("foo.pyx", "V = 1\n")
    run = cyhot(project, "build")
    where = f"{project / 'pyproject.toml'} [[tool.cyhot.module]]"
    told = run.stderr.splitlines()
    assert run.returncode == 2
    assert f"{where} 'foo': there is no setting 'profil'; did you mean 'profile'?" in told
    assert f"{where} number 2: there is no setting 'mach'; did you mean 'match'?" in told
    assert "None" not in run.stderr


# --- running ------------------------------------------------------------------------------------


def test_a_program_that_cannot_be_read_again_is_refused(project: Project) -> None:
    os.mkfifo(project / "pipe")
    for script in ("/dev/stdin", "pipe", "/dev/null"):
        run = cyhot(project, "run", script)
        assert (run.returncode, run.stdout) == (2, "")
        assert run.stderr.startswith(f"cyhot: error: {script}: is no file that can be read again")
