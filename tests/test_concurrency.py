"""Many builders at once, and builders that are killed: one compile each, and never a wrong one."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from held import CHEAP, INSTANTS, HeldCompiler, ended
from support import FOO, Project

WAITS = """
    import sys, cyhot
    cyhot.install()
    print("ready", flush=True)
    sys.stdin.readline()
    import {name}
    print({name}.sqr(3))
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldCompiler]:
    compiler = HeldCompiler(tmp_path / "compiler")
    yield compiler
    compiler.close()


# Processes -----------------------------------------------------------------------------------


@pytest.mark.timeout(1800)  # for the slow one
@pytest.mark.parametrize(
    "rounds", [3, pytest.param(20, marks=pytest.mark.slow)], ids=["3 rounds", "20 rounds"]
)
def test_eight_processes_that_import_a_never_built_module_share_one_compile(
    project: Project, rounds: int
) -> None:
    for number in range(rounds):
        name = f"foo{number}"
        project.write(f"{name}.pyx", FOO)
        program = WAITS.format(name=name)
        processes = [project.start(program, env=CHEAP) for _ in range(8)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        told = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0] * 8, told
        assert {out for out, _ in told} == {"9\n"}
        assert project.compiles().count(name) == 1
        said = "".join(err for _, err in told).splitlines()
        assert all(line.startswith("cyhot: ") for line in said), said
    assert len(project.compiles()) == rounds


def test_a_process_that_waits_for_another_one_says_so_and_gets_its_image(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = "import cyhot; cyhot.install(); import held; print(held.sqr(4), held.__cached__)"
    with (
        ended(project.start(program, env=held.env)) as builder,
        ended(project.start(program, env=held.env)) as waiter,
    ):
        compiler = held.wait_until_it_runs()
        said = {"builder": "", "waiter": ""}
        # Whichever came second is the waiter.
        lines = [builder.stderr.readline(), waiter.stderr.readline()]
        held.release()
        outputs = [process.communicate(timeout=60)[0] for process in (builder, waiter)]
        compiler.close()
    assert any("waiting for another process that builds held" in line for line in lines), said
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("16 ")
    assert project.compiles() == ["held"]


def test_a_process_whose_builder_fails_reports_the_same_errors(project: Project) -> None:
    project.write("foo.pyx", "cdef int sqr(int x):\n    return y\n")
    program = """
        import sys, cyhot
        cyhot.install()
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            import foo
        except cyhot.CompileError as error:
            print(error.diagnostics[0].line, error.diagnostics[0].message)
    """
    processes = [project.start(program, env=CHEAP) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    outputs = [process.communicate("\n", timeout=120) for process in processes]
    assert {out for out, _ in outputs} == {"2 undeclared name not builtin: y\n"}, outputs


# Threads -------------------------------------------------------------------------------------


def test_threads_that_import_different_modules_at_once_get_each_its_own(project: Project) -> None:
    for number in range(4):
        project.write(f"m{number}.pyx", f"cpdef int answer():\n    return {number}\n")
    run = project.run(
        """
        import importlib, threading, cyhot
        from concurrent.futures import ThreadPoolExecutor
        cyhot.install()
        together = threading.Barrier(4)
        def answer(number):
            together.wait()
            return importlib.import_module(f"m{number}").answer()
        with ThreadPoolExecutor(4) as pool:
            print(list(pool.map(answer, range(4))))
        """,
        env=CHEAP,
    )
    assert run.stdout == "[0, 1, 2, 3]\n"
    assert sorted(run.compiles) == ["m0", "m1", "m2", "m3"]


def test_threads_that_import_one_module_at_once_compile_it_once(project: Project) -> None:
    project.write("foo.pyx", FOO)
    run = project.run(
        """
        import importlib, threading, cyhot
        from concurrent.futures import ThreadPoolExecutor
        cyhot.install()
        together = threading.Barrier(4)
        def module(_):
            together.wait()
            return importlib.import_module("foo")
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(module, range(4)))
        print(len(set(map(id, found))), found[0].sqr(5))
        """,
        env=CHEAP,
    )
    assert run.stdout == "1 25\n"
    assert run.compiles == ["foo"]


def test_an_import_while_another_thread_builds_the_module_waits_for_that_build(
    project: Project,
) -> None:
    project.write("foo.pyx", FOO)
    run = project.run(
        """
        import threading, cyhot
        cyhot.install()
        begun = threading.Event()
        cyhot.subscribe(lambda event: begun.set())
        reports = []
        builder = threading.Thread(target=lambda: reports.append(cyhot.build("foo")))
        builder.start()
        begun.wait()
        import foo
        builder.join()
        print(foo.sqr(6), reports[0].built[0].name)
        """,
        env=CHEAP,
    )
    assert run.stdout == "36 foo\n"
    assert run.compiles == ["foo"]


def test_build_with_several_jobs_builds_every_module_once(project: Project) -> None:
    for name in ("a", "b", "c", "d"):
        project.write(f"pkg/{name}.pyx", FOO)
    project.write("pkg/__init__.py", "")
    program = """
        import cyhot
        report = cyhot.build("pkg", "pkg/a.pyx", "pkg.b", jobs=3)
        print([(module.name, module.outcome) for module in report.modules], report.ok)
    """
    names = ["pkg.a", "pkg.b", "pkg.c", "pkg.d"]
    first = project.run(program, env=CHEAP)
    assert first.stdout.strip() == f"{[(name, 'built') for name in names]} True"
    assert sorted(first.compiles) == names
    again = project.run(program, env=CHEAP)
    assert again.stdout.strip() == f"{[(name, 'up to date') for name in names]} True"
    assert again.compiles == []


# Builders that are killed --------------------------------------------------------------------

USES = "import cyhot; cyhot.install(); import foo; print(foo.sqr(3), foo.VERSION)"


@pytest.mark.timeout(1800)  # for the slow one
@pytest.mark.parametrize(
    "kills", [6, pytest.param(50, marks=pytest.mark.slow)], ids=["6 kills", "50 kills"]
)
def test_after_a_builder_was_killed_at_any_instant_every_import_is_right(
    project: Project, kills: int
) -> None:
    chance = random.Random(20261122)
    write_version(project, 0)
    (project / "kill.py").write_text(INSTANTS)
    quiet = project.run("kill.py", "0", "0", env=CHEAP)
    last, published = map(int, quiet.stdout.split())
    for version, instant in enumerate(sorted(instants(chance, published, last, kills)), 1):
        write_version(project, version)
        killed = project.run("kill.py", str(instant), "9", env=CHEAP, check=False)
        # (A second build may have a few instants less: the compiler was asked who it is.)
        assert killed.returncode in (-signal.SIGKILL, 0), killed
        run = project.run(USES, env=CHEAP)
        assert run.stdout == f"9 {version}\n", (instant, run)
        assert len(killed.compiles) + len(run.compiles) <= 2
        assert project.run(USES, env=CHEAP).compiles == []
        # No folder that was built in; what was being written when the record was published is
        # small, and nobody's an hour later.
        assert all(name.startswith("write-") for name in left_over(project)), left_over(project)
    an_hour_passes(project)
    project.write("bar.pyx", FOO)
    project.run("import cyhot; cyhot.install(); import bar", env=CHEAP)
    assert left_over(project) == []


def test_after_a_builder_was_killed_while_the_compiler_ran_the_import_is_right(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = "import cyhot; cyhot.install(); import held; print(held.sqr(7))"
    with ended(project.start(program, env=held.env)) as builder:
        compiler = held.wait_until_it_runs()
        builder.kill()
        builder.wait()
    with ended(project.start(program, env=held.env)) as process:
        again = held.wait_until_it_runs()
        held.release()
        held.release()
        assert process.communicate(timeout=60)[0] == "49\n"
    assert compiler.are_gone()
    for processes in (compiler, again):
        processes.close()
    assert project.compiles() == ["held", "held"]
    assert left_over(project) == []


def test_a_killed_process_lets_those_go_on_that_waited_for_it(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = "import cyhot; cyhot.install(); import held; print(held.sqr(8))"
    with ended(project.start(program, env=held.env)) as builder:
        first = held.wait_until_it_runs()
        with ended(project.start(program, env=held.env)) as waiter:
            while "waiting for" not in (line := waiter.stderr.readline()):
                assert line, "the waiter never said that it waits"
            builder.kill()
            second = held.wait_until_it_runs()
            held.release()
            held.release()
            assert waiter.communicate(timeout=60)[0] == "64\n"
    for processes in (first, second):
        processes.close()


def write_version(project: Project, version: int) -> None:
    project.write("foo.pyx", f"{FOO}\nVERSION = {version}\n")


def instants(chance: random.Random, published: int, last: int, many: int) -> set[int]:
    """Half anywhere, half about when it is published (Cython's imports are most of a build)."""
    assert 100 < published < last
    found = set(chance.sample(range(1, published - 40), many // 2))
    return found | set(chance.sample(range(published - 40, last), many - many // 2))


def left_over(project: Project) -> list[str]:
    """What lies in the store's folder for temporary files."""
    return sorted(path.name for path in (project.store / "tmp").iterdir())


def an_hour_passes(project: Project) -> None:
    """Make all that is in the store older."""
    for path in project.store.rglob("*"):
        st = path.stat()
        os.utime(path, (st.st_atime - 4000, st.st_mtime - 4000))
