"""The ``cyhot`` command as its user sees it: what it takes, builds, lays out and refuses."""

from __future__ import annotations

import contextlib
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
