"""The background compiler: builds go through it, and whatever happens to it, imports are right."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm
from faulty_worker import BEHAVIOURS
from held import HeldCompiler, ended
from support import FOO, Project, clean_environment

from cyhot.building.observe import Observer
from cyhot.worker.place import socket_path
from cyhot.worker.protocol import BrokenLine, receive

IMPORT = "import cyhot; cyhot.install(); import foo; print(foo.sqr(3))"
WARNING = "the background compiler failed"


@pytest.fixture(scope="module")
def worker() -> Iterator[warm.Worker]:
    """One worker for all tests that do it no harm."""
    with warm.running() as found:
        yield found


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldCompiler]:
    """A compiler that waits for the test when it gets to held.pyx."""
    compiler = HeldCompiler(tmp_path / "held")
    yield compiler
    compiler.close()


def test_a_build_is_done_by_the_worker(project: Project, worker: warm.Worker) -> None:
    before = worker.status()["builds"]
    project.write("foo.pyx", FOO)
    run = warm.use(project, IMPORT, worker)
    assert (run.stdout, run.compiles) == ("9\n", ["foo"])
    assert worker.status()["builds"] == before + 1
    assert warm.use(project, IMPORT, worker).compiles == []
    assert worker.status()["builds"] == before + 1


def test_all_names_of_one_python_share_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cyhot worker status` runs under python3 where the program runs under python."""
    before = socket_path(Observer())
    (tmp_path / "python3").symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    assert socket_path(Observer()) == before != ""


def test_every_edit_is_seen(project: Project, worker: warm.Worker) -> None:
    for value in range(3):
        project.write("foo.pyx", f"def sqr(x): return {value}")
        assert warm.use(project, IMPORT, worker).stdout == f"{value}\n"


def test_the_worker_builds_in_the_callers_environment(
    project: Project, worker: warm.Worker
) -> None:
    project.write("include/limits/seven.pxd", "cdef enum: SEVEN = 7\n")
    project.write("include/limits/__init__.py", "")
    project.write(
        "foo.pyx",
        """
        from limits.seven cimport SEVEN
        cdef extern from *:
            '''
            #ifndef EIGHT
            #define EIGHT 0
            #endif
            '''
            int EIGHT
        def sqr(x): return SEVEN, EIGHT
        """,
    )
    program = "import sys; sys.path.insert(0, 'include'); " + IMPORT
    run = warm.use(project, program, worker, CFLAGS="-O0 -DEIGHT=8")
    assert run.stdout == "(7, 8)\n"


def test_errors_are_those_of_a_build_without_worker(project: Project, worker: warm.Worker) -> None:
    project.write("foo.pyx", "def sqr(x):\n    return y\n")
    program = """
        import cyhot; cyhot.install()
        try:
            import foo
        except cyhot.CompileError as error:
            print(error, error.diagnostics, error.__cause__, error.name, error.path)
    """
    through = warm.use(project, program, worker)
    without = project.run(program)
    assert "foo.pyx:2:12: error: undeclared name" in through.stdout
    assert through.stdout == without.stdout


def test_events_of_the_worker_reach_the_program(project: Project, worker: warm.Worker) -> None:
    project.write("foo.pyx", FOO)
    program = """
        import cyhot; cyhot.install()
        cyhot.subscribe(
            lambda event: hasattr(event, "name") and print(type(event).__name__, event.name)
        )
        import foo
    """
    assert warm.use(project, program, worker).stdout == "BuildStarted foo\nBuildFinished foo\n"


def test_the_worker_compiles_what_a_program_of_many_modules_looks_at_files_with(
    project: Project, worker: warm.Worker
) -> None:
    for name in "abc":
        project.write(f"{name}.pyx", FOO)
    program = """
        from cyhot.building import looks
        import cyhot.hook.known
        looks.MANY = 3
        cyhot.hook.known._MANY = 1
        cyhot.install()
        import a, b, c
        print(a.sqr(3), looks.is_compiled())
    """
    # Until the sources are too old for an edit to go unnoticed, each is looked at closely.
    for _ in range(400):
        run = warm.use(project, program, worker)
        assert run.stdout in ("9 False\n", "9 True\n")
        if run.stdout == "9 True\n":
            break
    else:
        raise AssertionError("it was never compiled")
    project.write("a.pyx", "def sqr(x): return 3\n")
    assert warm.use(project, program, worker).stdout == "3 True\n"


def test_an_import_while_a_thread_imports_what_builds_in_threads_is_no_error(
    project: Project, worker: warm.Worker
) -> None:
    """Half a second after a program's start, an import failed: "partially initialized module"."""
    project.write("foo.pyx", FOO)
    program = """
        import sys, types
        import cyhot; cyhot.install(watch=False)
        name = "cyhot.building.commands"
        sys.modules[name] = types.ModuleType(name)  # as it is when it has just begun
        import foo
        print(foo.sqr(3))
    """
    assert warm.use(project, program, worker).stdout == "9\n"


def test_what_a_module_imports_is_built_meanwhile(
    project: Project, worker: warm.Worker, held: HeldCompiler
) -> None:
    """The compiler is held at the first module: the other one is built all the same."""
    project.write("held.pyx", "import foo\ndef answer(): return foo.sqr(4)\n")
    project.write("foo.pyx", FOO)
    env = {**worker.env, **held.env}
    before = worker.status()["builds"]
    program = "import cyhot; cyhot.install(); import held; print(held.answer())"
    with ended(project.start(program, env=env)) as process:
        held.wait_until_it_runs()
        while worker.status()["builds"] < before + 2 or worker.status()["building"] > 1:
            assert process.poll() is None
        held.release()
        assert process.communicate()[0] == "16\n"
    assert sorted(project.compiles()) == ["foo", "held"]


def test_a_package_is_built_from_its_first_import_on(project: Project, worker: warm.Worker) -> None:
    for name in ("a", "b", "c"):
        project.write(f"pkg/{name}.pyx", f"def f(): return {name!r}\n")
    project.write("pkg/__init__.py", "")
    before = worker.status()["builds"]
    program = """
        import cyhot; cyhot.install()
        import pkg.a
        from cyhot.worker import client
        print(len(client._ahead))
        import pkg.b, pkg.c
        print(pkg.a.f() + pkg.b.f() + pkg.c.f())
    """
    run = warm.use(project, program, worker)
    assert run.stdout == "2\nabc\n"
    assert sorted(run.compiles) == ["pkg.a", "pkg.b", "pkg.c"]
    # One that is asked for anew, for it still waited, may begin in that very moment: that is two.
    assert before + 3 <= worker.status()["builds"] <= before + 5


def test_an_edited_module_is_built_while_the_program_imports_others(
    project: Project, worker: warm.Worker, held: HeldCompiler
) -> None:
    env = {**worker.env, **held.env}
    program = "import cyhot; cyhot.install(); import first, held; print(held.answer())"
    project.write("main.py", program)
    for answer, first in (1, ""), (2, "import sys; sys.stdin.readline()"):
        project.write("held.pyx", f"def answer(): return {answer}\n")
        project.write("first.py", first)
        with ended(project.start("main.py", env=env)) as process:
            # The second time, the program does not get to the import before it is told to.
            held.wait_until_it_runs()
            held.release()
            assert process.communicate("go on\n")[0] == f"{answer}\n"
    assert project.compiles() == ["held", "held"]


def test_what_is_wrong_with_other_modules_of_a_package_is_no_matter(
    project: Project, worker: warm.Worker
) -> None:
    """They are looked at for building them ahead; and what nobody imports yet is not warned of."""
    for name in ("pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/x.pyx", "pkg/bar.py"):
        project.write(name, "")
    project.write("pkg/sub/pyproject.toml", "[tool.cyhot]\nprofil = 1\n")
    project.write("pkg/foo.pyx", f"{FOO}\ndef later():\n    from . import bar\n")
    project.write("pkg/bar.pyx", "")
    (project / "pkg" / ".#foo.pyx").symlink_to("user@host.1234")

    run = project.run(IMPORT.replace("foo", "pkg.foo"), env=worker.env)

    assert run.stdout == "9\n", run
    assert "passed over" not in run.stderr


def test_an_import_of_something_else_is_not_to_blame_for_a_store_that_is_refused(
    project: Project, worker: warm.Worker
) -> None:
    project.write("foo.pyx", FOO)
    project.write("other.py", "")
    program = """
        import cyhot; cyhot.install()
        import other
        try:
            import foo
        except cyhot.StoreError as error:
            print("others can write to it" in str(error))
        else:
            print(foo.sqr(3))
    """
    project.write("main.py", program)
    assert warm.use(project, "main.py", worker).stdout == "9\n"
    project.store.chmod(0o777)
    assert warm.use(project, "main.py", worker).stdout == "True\n"


def test_an_edit_between_build_ahead_and_import_is_seen(
    project: Project, worker: warm.Worker
) -> None:
    project.write("first.pyx", "import foo\n")
    project.write("foo.pyx", "def sqr(x): return 'old'\n")
    program = """
        import sys, cyhot; cyhot.install()
        import pathlib
        def rewrite(event):
            if type(event).__name__ == "BuildFinished" and event.name == "first":
                from cyhot.worker import client
                (line,) = client._ahead.values()
                line._connection.settimeout(60)
                while not line._buffer.count(b"built"):
                    line._buffer += line._connection.recv(4096)
                pathlib.Path("foo.pyx").write_text("def sqr(x): return 'new'\\n")
        cyhot.subscribe(rewrite)
        import first, foo
        print(foo.sqr(1))
    """
    assert warm.use(project, program, worker).stdout == "new\n"


def test_ctrl_c_ends_the_build_and_its_compiler(
    project: Project, worker: warm.Worker, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = "import cyhot; cyhot.install(); import held"
    with ended(project.start(program, env={**worker.env, **held.env})) as process:
        compiler = held.wait_until_it_runs()
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate()[1]
        assert compiler.are_gone()
    assert worker.status()["running"]


def test_a_build_begins_before_a_save_is_settled_and_ends_when_more_is_saved(
    project: Project, worker: warm.Worker, held: HeldCompiler
) -> None:
    project.write("held.pyx", "def f(): return 0\n")
    project.write(
        "main.py",
        """
        import pathlib, sys, cyhot
        cyhot.install(watch=False)
        import held
        from cyhot.hook import current_session
        from cyhot.live.update import Updater
        from cyhot.worker import client
        updater, path = Updater(current_session), pathlib.Path(held.__file__)
        for line in sys.stdin:
            path.write_text(f"def f(): return {line.strip()}\\n")
            updater.begin(frozenset({str(path)}))
            print(len(client._ahead), flush=True)
        print(updater.stage(frozenset({str(path)})).names, len(client._ahead))
        """,
    )
    with ended(project.start("main.py", env={**worker.env, **held.env})) as process:
        assert process.stdin is not None and process.stdout is not None
        compilers = [held.wait_until_it_runs()]
        held.release()
        for number in (1, 2):
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "1\n"
            compilers.append(held.wait_until_it_runs())
        assert compilers[1].are_gone()
        held.release()
        assert process.communicate()[0] == "('held',) 0\n"
    ends = [event["event"] for event in project.events() if event["event"] != "BuildStarted"]
    assert ends.count("BuildFinished") == 2  # the import's and the last
    program = "import cyhot; cyhot.install(); import held; print(held.f())"
    again = project.run(program, env={**worker.env, **held.env})
    assert (again.stdout, again.compiles) == ("2\n", [])


def test_two_processes_share_one_build(
    project: Project, worker: warm.Worker, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = "import cyhot; cyhot.install(); import held; print(held.sqr(3))"
    env = {**worker.env, **held.env}
    with ended(project.start(program, env=env)) as one:
        held.wait_until_it_runs()
        with ended(project.start(program, env=env)) as other:
            held.release()
            assert (one.communicate()[0], other.communicate()[0]) == ("9\n", "9\n")
    assert project.compiles() == ["held"]


def test_a_module_that_cimports_heavy_packages_gets_a_context_of_its_own(
    project: Project, worker: warm.Worker
) -> None:
    text = "cimport numpy as np\ndef sqr(np.ndarray[double] x): return x[0] * {}\n"
    program = """
        import cyhot; cyhot.install()
        import numpy, foo; print(foo.sqr(numpy.ones(1)))
    """
    for value in (3, 4, 5):
        project.write("foo.pyx", text.format(value))
        assert warm.use(project, program, worker).stdout == f"{value}.0\n"
    assert "numpy" in worker.status()["contexts"]


# Off, or not to be had ------------------------------------------------------------------------


def high_water(pid: int) -> int:
    """The most memory that a process ever had, in KiB."""
    (line,) = (
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line
    )
    return int(line.split()[1])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_five_hundred_compiles_do_not_make_the_worker_grow(project: Project) -> None:
    """It lives all day. Each compile runs in a fork, so that nothing of it can stay."""
    build = "import cyhot; report = cyhot.build('pkg'); print(len(report.modules), report.ok)"
    project.write("pkg/__init__.py", "")
    resting, peak = [], 0
    with warm.running() as worker:
        for turn in range(5):
            for number in range(100):
                heavy = "from libc.math cimport sqrt\nfrom cpython.mem cimport PyMem_Free\n"
                text = f"cpdef int f(int x):\n    return x + {turn}\n"
                project.write(f"pkg/m{number}.pyx", heavy * (number % 2) + text)
            with ended(project.start(build, env=worker.env)) as process:
                while process.poll() is None:
                    peak = max(peak, worker.status()["memory"])
                assert process.communicate()[0] == "100 True\n"
            while (now := worker.status())["building"]:
                pass
            resting.append(now["memory"])
        assert now["builds"] >= 500
        own = high_water(worker.process.pid)
    print(
        f"the worker's own peak {own / 2**10:.0f} MiB; with all its forks {peak / 1e6:.0f} MB, "
        f"between builds {[round(one / 1e6, 1) for one in resting]} MB"
    )
    assert own <= 250 * 2**10 and max(resting) <= 250 * 10**6, (own, peak, resting)
    assert max(resting[1:]) <= resting[0] + 5 * 10**6, (own, peak, resting)


@pytest.mark.parametrize(
    ("install", "env", "uses"),
    [
        ("", {"CI": "true"}, False),
        ("", {}, True),
        ("worker=False", {}, False),
        ("worker=True", {"CI": "true"}, True),
    ],
)
def test_when_builds_go_to_the_worker(
    project: Project, worker: warm.Worker, install: str, env: dict[str, str], uses: bool
) -> None:
    project.write("foo.pyx", FOO)
    before = worker.status()["builds"]
    program = f"import cyhot; cyhot.install({install}); import foo; print(foo.sqr(3))"
    clean = {"CYHOT_WORKER": "", "CI": ""}
    assert project.run(program, env={**worker.env, **clean, **env}).stdout == "9\n"
    assert worker.status()["builds"] - before == uses


def test_the_first_build_starts_a_worker_and_does_not_wait_for_it(project: Project) -> None:
    project.write("foo.pyx", FOO)
    with warm.runtime_folder() as folder:
        env = warm.environment(folder)
        assert project.run(IMPORT, env=env).stdout == "9\n"
        while not (found := warm.status(env))["running"]:
            pass
        stop = [sys.executable, "-m", "cyhot", "worker", "stop"]
        subprocess.run(stop, env={**clean_environment(), **env}, check=True)
        with pytest.raises(ProcessLookupError):
            while True:
                os.kill(found["pid"], 0)


def test_a_worker_that_nobody_needs_ends(project: Project) -> None:
    with warm.running(idle=0.1) as worker:
        assert worker.process.wait(timeout=60) == 0
        assert not os.path.exists(worker.path)


def test_a_folder_that_others_can_enter_is_not_used(project: Project, worker: warm.Worker) -> None:
    project.write("foo.pyx", FOO)
    before = worker.status()["builds"]
    folder = os.path.dirname(worker.path)
    os.chmod(folder, 0o755)
    try:
        assert warm.use(project, IMPORT, worker).stdout == "9\n"
    finally:
        os.chmod(folder, 0o700)
    assert worker.status()["builds"] == before


# Failing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS))
def test_a_worker_that_answers_wrongly_costs_a_warning(project: Project, behaviour: str) -> None:
    project.write("foo.pyx", FOO)
    with warm.faulty(behaviour) as env:
        run = project.run(IMPORT, env=env)
    assert run.stdout == "9\n"
    assert run.stderr.count(WARNING) == 1
    assert run.compiles == ["foo"]


def test_a_worker_that_is_killed_in_a_build_costs_a_warning(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = "import cyhot; cyhot.install(); import held; print(held.sqr(3))"
    with (
        warm.running() as worker,
        ended(project.start(program, env={**worker.env, **held.env})) as process,
    ):
        held.wait_until_it_runs()
        worker.stop()
        held.wait_until_it_runs()
        held.release()
        held.release()
        stdout, stderr = process.communicate()
    assert stdout == "9\n"
    assert stderr.count(WARNING) == 1


@pytest.mark.parametrize("who", ["worker", "fork"])
def test_a_worker_that_hangs_costs_a_warning(
    project: Project, held: HeldCompiler, who: str
) -> None:
    project.write("held.pyx", FOO)
    # Nobody wants to wait as long as a user would before he loses patience.
    program = """
        import cyhot; cyhot.install()
        from cyhot.worker import client
        client.ANSWER, client.SILENCE = 1.0, 4.0
        import held; print(held.sqr(3))
    """
    with warm.running() as worker:
        if who == "worker":
            worker.process.send_signal(signal.SIGSTOP)
        with ended(project.start(program, env={**worker.env, **held.env})) as process:
            if who == "fork":
                held.wait_until_it_runs()
                for pid in _forks(worker.process.pid):
                    os.kill(pid, signal.SIGSTOP)
            held.wait_until_it_runs()
            held.release()
            held.release()
            stdout, stderr = process.communicate()
    assert stdout == "9\n"
    assert stderr.count(WARNING) == 1


def _forks(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_worker_of_another_cython_ends(project: Project, worker: warm.Worker) -> None:
    """It looks whether its own files are as they were when it imported them."""
    from cyhot.worker.warm import Sources

    sources = Sources()
    assert not sources.changed()
    path = next(iter(sources._files))
    sources._files[path] = (0, 0, 0, 0)
    assert sources.changed()


def test_a_caller_that_says_nothing_or_nonsense_does_not_stop_the_worker(
    project: Project, worker: warm.Worker
) -> None:
    project.write("foo.pyx", FOO)
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as noisy:
        silent.connect(worker.path)
        noisy.connect(worker.path)
        noisy.sendall(b"\xff" * 1000)
        assert warm.use(project, IMPORT, worker).stdout == "9\n"
        with pytest.raises(BrokenLine):
            receive(bytearray(), noisy.recv)
