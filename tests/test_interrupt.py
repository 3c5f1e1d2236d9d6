"""What ends a program or splits it, in the middle of a build: Ctrl-C, SIGTERM, fork."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from held import CHEAP, INSTANTS, PATIENCE, HeldCompiler, ended
from support import FOO, Project

USES = "import cyhot; cyhot.install(); import held; print(held.sqr(9))"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldCompiler]:
    compiler = HeldCompiler(tmp_path / "compiler")
    yield compiler
    compiler.close()


def left_over(project: Project) -> list[str]:
    """What lies in the store's folder for temporary files."""
    return sorted(path.name for path in (project.store / "tmp").iterdir())


# Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.timeout(1800)  # for the slow one
@pytest.mark.parametrize(
    "many", [5, pytest.param(40, marks=pytest.mark.slow)], ids=["5 instants", "40 instants"]
)
def test_ctrl_c_at_any_instant_of_a_build_ends_the_program_and_leaves_nothing(
    project: Project, many: int
) -> None:
    project.write("foo.pyx", FOO)
    (project / "stop.py").write_text(INSTANTS)
    last, published = map(int, project.run("stop.py", "0", "0", env=CHEAP).stdout.split())
    chance = random.Random(4)
    for number, instant in enumerate(sorted(chance.sample(range(1, published), many))):
        project.write("foo.pyx", f"{FOO}\nVERSION = {number}\n")
        stopped = project.run("stop.py", str(instant), "2", env=CHEAP, check=False)
        # As Python itself ends on Ctrl-C: by the signal, with the traceback.
        assert stopped.returncode == -signal.SIGINT, (instant, last, stopped)
        assert stopped.stderr.rstrip().endswith("KeyboardInterrupt"), stopped
        assert [event["event"] for event in stopped.events if event["event"] != "Noticed"] == [
            "BuildStarted",
            "BuildFailed",
        ]
        assert left_over(project) == []
    run = project.run(
        "import cyhot; cyhot.install(); import foo; print(foo.sqr(3), foo.VERSION)", env=CHEAP
    )
    assert run.stdout == f"9 {many - 1}\n"


def test_ctrl_c_while_the_compiler_runs_ends_the_compiler_too(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    with ended(project.start(USES, env=held.env)) as process:
        compiler = held.wait_until_it_runs()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    # Where in cyhot it was helps nobody: of its frames there is only the import's.
    assert [line for line in err.splitlines() if "cyhot" in line and "File" in line][1:] == []
    assert compiler.are_gone()
    compiler.close()
    assert left_over(project) == []
    held.release()
    assert project.run(USES, env=held.env).stdout == "81\n"


def test_ctrl_c_during_a_reload_shows_no_frames_of_cyhot(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = """
        import cyhot, importlib
        cyhot.install(watch=False)
        import held
        with open("held.pyx", "a") as file:
            print("MORE = 1", file=file)
        importlib.reload(held)
    """
    with ended(project.start(program, env=held.env)) as process:
        first = held.wait_until_it_runs()
        held.release()
        compiler = held.wait_until_it_runs()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert [line for line in err.splitlines() if "cyhot" in line and "File" in line][1:] == []
    assert compiler.are_gone()
    for processes in (compiler, first):
        processes.close()


def test_ctrl_c_can_be_caught_and_the_import_tried_again(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = """
        import signal, cyhot
        cyhot.install()
        try:
            import held
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        import held
        print(held.sqr(9), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
              signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    """
    with ended(project.start(program, env=held.env)) as process:
        compiler = held.wait_until_it_runs()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        second = held.wait_until_it_runs()
        held.release()
        assert process.communicate(timeout=PATIENCE)[0] == "81 True True\n"
    assert compiler.are_gone()
    for processes in (compiler, second):
        processes.close()


def test_ctrl_c_ends_a_build_of_many_modules_at_once(project: Project, held: HeldCompiler) -> None:
    for folder in ("a", "b", "c"):
        project.write(f"{folder}/held.pyx", FOO)
        project.write(f"{folder}/__init__.py", "")
    program = "import cyhot; cyhot.build('a', 'b', 'c', jobs=2)"
    with ended(project.start(program, env=held.env)) as process:
        compilers = [held.wait_until_it_runs(), held.wait_until_it_runs()]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert all(compiler.are_gone() for compiler in compilers)
    for compiler in compilers:
        compiler.close()
    assert left_over(project) == []
    assert len(project.compiles()) == 2  # the third was never begun


# SIGTERM -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_program_that_is_terminated_takes_its_compiler_with_it(
    project: Project, held: HeldCompiler, number: signal.Signals
) -> None:
    project.write("held.pyx", FOO)
    with ended(project.start(USES, env=held.env)) as process:
        compiler = held.wait_until_it_runs()
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -number
    assert compiler.are_gone()
    compiler.close()
    held.release()
    assert project.run(USES, env=held.env).stdout == "81\n"
    assert left_over(project) == []


def test_a_program_that_handles_sigterm_itself_goes_on_doing_so(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        import cyhot
        cyhot.install()
        import held
    """
    with ended(project.start(program, env=held.env)) as process:
        compiler = held.wait_until_it_runs()
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 7
    assert compiler.are_gone()
    compiler.close()
    assert left_over(project) == []


def test_a_child_of_another_thread_that_is_terminated_does_not_end_the_compiler(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = """
        import os, signal, sys, threading, warnings
        warnings.simplefilter("ignore")
        import cyhot
        cyhot.install()
        def fork():
            sys.stdin.readline()
            reader, writer = os.pipe()
            pid = os.fork()
            if not pid:
                os.write(writer, b"here")
            while not pid:
                pass
            os.read(reader, 4)
            os.kill(pid, signal.SIGTERM)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        threading.Thread(target=fork, daemon=True).start()
        import held
        print(held.sqr(9))
    """
    with ended(project.start(program, env=held.env)) as process:
        compiler = held.wait_until_it_runs()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "-15\n"
        held.release()
        assert process.communicate(timeout=PATIENCE)[0] == "81\n"
    compiler.close()


# Fork ----------------------------------------------------------------------------------------

# Every warning is an error in these programs, that of forking with threads among them.
FORKS = """
    import os, sys, threading, warnings
    warnings.simplefilter("error")
    import cyhot
    cyhot.install(watch=False)  # Python warns of forking while any thread runs
    def forked(child):
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            try:
                assert threading.active_count() == 1, threading.enumerate()
                child()
                sys.stdout.flush()
                os._exit(0)
            except BaseException as error:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        return pid
    def succeeded(pid):
        return os.waitpid(pid, 0)[1] == 0
"""


def test_a_child_forked_after_install_imports_for_itself(project: Project) -> None:
    project.write("foo.pyx", FOO)
    run = project.run(
        FORKS
        + """
    def child():
        import foo
        print(foo.sqr(3))
    assert succeeded(forked(child))
    import foo
    print(foo.sqr(4))
    """,
        env=CHEAP,
    )
    assert run.stdout == "9\n16\n"
    assert run.compiles == ["foo"]  # by the child


def test_a_child_forked_after_an_import_builds_another_module(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write("bar.pyx", FOO)
    run = project.run(
        FORKS
        + """
    import foo
    assert threading.active_count() == 1
    def child():
        import bar
        print(foo.sqr(3), bar.sqr(4))
    assert succeeded(forked(child))
    """,
        env=CHEAP,
    )
    assert run.stdout == "9 16\n"
    assert run.compiles == ["foo", "bar"]
    assert run.stderr.replace("cyhot: compiling", "").count("cyhot") <= 2, run


WHILE_A_THREAD_BUILDS = (
    FORKS
    + """
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # it is: ours to say
    thread = threading.Thread(target=lambda: __import__("held"))
    thread.start()
    at_it.wait() if at_it else sys.stdin.readline()
    def child():
        import bar
        print(bar.sqr(5))
        assert threading.active_count() == 1
    pid = forked(child)
    assert succeeded(pid)
    print("child done", flush=True)
    thread.join()
    import held
    print(held.sqr(6))
"""
)


def test_a_child_forked_while_a_thread_waits_for_the_compiler_builds_another_module(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    project.write("bar.pyx", FOO)
    program = "    at_it = None\n" + WHILE_A_THREAD_BUILDS
    with ended(project.start(program, env=held.env)) as process:
        compiler = held.wait_until_it_runs()
        process.stdin.write("fork\n")
        process.stdin.flush()
        assert process.stdout.readline() == "25\n", process.communicate(timeout=PATIENCE)
        assert process.stdout.readline() == "child done\n"
        assert compiler.run()  # the child's end is not the end of its parent's compiler
        held.release()
        out, err = process.communicate(timeout=PATIENCE)
    compiler.close()
    assert out == "36\n", err
    assert project.compiles() == ["held", "bar"]


AT_A_FILE = """
    import sys, threading
    at_it = threading.Event()
    def notice(event, arguments):
        if event == {event!r} and str(arguments[0]).endswith({subject!r}):
            at_it.set()
    sys.addaudithook(notice)
"""


@pytest.mark.parametrize(
    ("event", "subject"),
    [("import", "Cython.Compiler.ExprNodes"), ("open", "held.c")],
    ids=["imports Cython", "transpiles"],
)
def test_a_child_forked_while_a_thread(
    project: Project, held: HeldCompiler, event: str, subject: str
) -> None:
    """... imports Cython or transpiles, builds another module: no lock of that thread's stays."""
    project.write("held.pyx", FOO)
    project.write("bar.pyx", FOO)
    held.release()  # the compiler is not what this is about
    notice = AT_A_FILE.format(event=event, subject=subject)
    run = project.run(notice + WHILE_A_THREAD_BUILDS, env=held.env, timeout=PATIENCE)
    assert run.stdout == "25\nchild done\n36\n"
    assert run.compiles == ["held", "bar"]


def test_a_child_that_ends_does_not_end_its_parents_lock(
    project: Project, held: HeldCompiler
) -> None:
    """A third process still waits for the parent's build after the parent's child is gone."""
    project.write("held.pyx", FOO)
    program = (
        FORKS
        + """
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)
    thread = threading.Thread(target=lambda: __import__("held"))
    thread.start()
    sys.stdin.readline()
    assert succeeded(forked(lambda: None))
    print("child done", flush=True)
    thread.join()
    import held
    print(held.sqr(6))
    """
    )
    with ended(project.start(program, env=held.env)) as parent:
        compiler = held.wait_until_it_runs()
        parent.stdin.write("fork\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "child done\n"
        with ended(project.start(USES, env=held.env)) as third:
            while "waiting for" not in (line := third.stderr.readline()):
                assert line, "the third process did not wait"
            held.release()
            assert third.communicate(timeout=PATIENCE)[0] == "81\n"
        assert parent.communicate(timeout=PATIENCE)[0] == "36\n"
    compiler.close()
    assert project.compiles() == ["held"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_workers_use_what_the_parent_imported_and_import_more(
    project: Project, method: str
) -> None:
    project.write("foo.pyx", FOO + "\nclass Thing:\n    def __init__(self, x): self.x = x\n")
    project.write("bar.pyx", FOO)
    project.write(
        "main.py",
        """
        import multiprocessing, sys
        import cyhot
        cyhot.install()
        import foo

        def work(thing):
            import bar
            return foo.Thing(bar.sqr(thing.x))

        if __name__ == "__main__":
            with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
                print([t.x for t in pool.map(work, map(foo.Thing, range(4)))])
                print(pool.map(foo.sqr, range(4)))
                pool.close()
                pool.join()
        """,
    )
    run = project.run("main.py", method, env=CHEAP)
    assert run.stdout == "[0, 1, 4, 9]\n[0, 1, 4, 9]\n"
    assert sorted(run.compiles) == ["bar", "foo"]
