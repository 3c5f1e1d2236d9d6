"""What is shown while builds take long: on a terminal, elsewhere, and after Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest
from held import PATIENCE, HeldCompiler, ended
from hypothesis import given
from hypothesis import strategies as st
from support import FOO, Project
from warm import running

from cyhot.events import BatchFinished, BatchStarted, BuildFailed, BuildFinished, BuildStarted
from cyhot.hook.commands import longest_first
from cyhot.progress import Tally

BUILD = "import sys; from cyhot.cli import main; sys.argv[0] = 'cyhot'; main()"
IMPORT = "import cyhot; cyhot.install(); import held; print('result:', held.sqr(9))"


class Terminal:
    """A terminal that a program runs on.

    Args:
        project: Where it runs.
        code: The program, for ``-c``.
        args: Its arguments.
        env: Its environment.
    """

    def __init__(self, project: Project, code: str, *args: str, env: dict[str, str]) -> None:
        self._screen = pyte.Screen(200, 24)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self._end, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *args],
            cwd=project.root,
            env=project.environment({**env, "TERM": "xterm", "COLUMNS": "200", "LINES": "24"}),
            stdin=other,
            stdout=other,
            stderr=other,
        )
        os.close(other)

    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def until(self, text: str) -> None:
        """Wait until a text is on the screen."""
        while not any(text in line for line in self.lines()):
            assert self._read(), (text, self.lines())

    def ends(self) -> int:
        """Wait until the program has ended; gives its status."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._end], [], [], PATIENCE)
        assert ready, f"nothing more was written: {self.lines()}"
        try:
            data = os.read(self._end, 4096)
        except OSError:  # the other side was closed
            return False
        self.raw += data
        self._stream.feed(data)
        return True

    def close(self) -> None:
        os.close(self._end)
        self.process.kill()
        self.process.wait()

    def is_sane(self) -> bool:
        """Whether the cursor is to be seen, at the start of a line."""
        return not self._screen.cursor.hidden and self._screen.cursor.x == 0


@contextmanager
def terminal(project: Project, code: str, *args: str, env: dict[str, str]) -> Iterator[Terminal]:
    one = Terminal(project, code, *args, env=env)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldCompiler]:
    compiler = HeldCompiler(tmp_path / "compiler")
    yield compiler
    compiler.close()


def test_an_import_on_a_terminal_shows_what_compiles_and_leaves_the_programs_own_lines(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = f"print('before'); {IMPORT}"
    with terminal(project, program, env=held.env) as screen:
        held.wait_until_it_runs()
        screen.until("cyhot: compiling held (")
        held.release()
        assert screen.ends() == 0
        assert screen.lines() == ["before", "result: 81"]
        assert screen.is_sane()


def test_other_threads_of_the_program_can_print_meanwhile(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    program = f"""
import threading, sys
def talk():
    for number in range(8):
        sys.stdout.write(f"line {{number}}\\n")
        sys.stdout.flush()
        threading.Event().wait(0.3)
threading.Thread(target=talk).start()
{IMPORT}
"""
    with terminal(project, program, env=held.env) as screen:
        held.wait_until_it_runs()
        screen.until("line 7")
        held.release()
        assert screen.ends() == 0
        assert [line for line in screen.lines() if not line.startswith("cyhot: ")] == [
            *(f"line {number}" for number in range(8)),
            "result: 81",
        ]
        assert f"cyhot: compiling held ({project / 'held.pyx'})" in screen.lines()
        assert b"\x1b" not in screen.raw


def test_a_build_on_a_terminal_shows_how_much_is_done(project: Project, held: HeldCompiler) -> None:
    project.write("held.pyx", FOO)
    project.write("done.pyx", FOO)
    with terminal(project, BUILD, "build", env=held.env) as screen:
        held.wait_until_it_runs()
        screen.until("cyhot: 1 of 2 built, compiling held")
        held.release()
        assert screen.ends() == 0
        assert screen.lines()[-1].startswith("cyhot: 2 built in ")
        assert not any("compiling" in line for line in screen.lines())
        assert screen.is_sane()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_terminal_as_it_was(
    project: Project, held: HeldCompiler, number: signal.Signals
) -> None:
    project.write("held.pyx", FOO)
    with terminal(project, IMPORT, env=held.env) as screen:
        compiler = held.wait_until_it_runs()
        screen.until("cyhot: compiling held")
        screen.process.send_signal(number)
        assert screen.ends() == -number
        assert b"\x1b[?25l" not in screen.raw  # the cursor was never hidden
        if number == signal.SIGINT:
            assert not any("cyhot: compiling" in line for line in screen.lines())
            assert screen.lines()[-1] == "KeyboardInterrupt"
            assert screen.is_sane()
        assert compiler.are_gone()
    compiler.close()


def test_ctrl_c_erases_it_while_the_background_compiler_builds(
    project: Project, held: HeldCompiler
) -> None:
    project.write("held.pyx", FOO)
    with (
        running() as worker,
        terminal(project, IMPORT, env={**worker.env, **held.env}) as screen,
    ):
        compiler = held.wait_until_it_runs()
        screen.until("cyhot: compiling held")
        screen.process.send_signal(signal.SIGINT)
        assert screen.ends() == -signal.SIGINT
        assert not any("cyhot: compiling" in line for line in screen.lines())
        assert screen.is_sane()
        assert compiler.are_gone()
    compiler.close()


def test_elsewhere_it_is_told_in_plain_lines(project: Project, held: HeldCompiler) -> None:
    project.write("held.pyx", FOO)
    project.write("done.pyx", FOO)
    with ended(project.start(BUILD, "build", env=held.env)) as process:
        held.wait_until_it_runs()
        told = process.stderr.readline()
        while not told.startswith("cyhot: 1 of 2 built"):
            told = process.stderr.readline()
        assert told.startswith("cyhot: 1 of 2 built, compiling held (")
        held.release()
        _, err = process.communicate(timeout=PATIENCE)
    assert "\x1b" not in told + err
    assert "\r" not in told + err


def test_at_verbose_0_nothing_is_shown(project: Project, held: HeldCompiler) -> None:
    project.write("held.pyx", FOO)
    # In the same process: it has been as long as it takes to be shown.
    program = """
import threading, sys, cyhot
from pathlib import Path
cyhot.install(verbose=0)
cyhot.subscribe(lambda event: type(event).__name__ == "BuildStarted" and threading.Timer(
    3, Path("shown").touch).start())
import held
"""
    with terminal(project, program, env=held.env) as screen:
        held.wait_until_it_runs()
        while not (project / "shown").exists():
            select.select([], [], [], 0.05)
        held.release()
        assert screen.ends() == 0
        assert screen.raw == b""


def test_rich_is_imported_for_a_long_build_only(project: Project) -> None:
    project.write("foo.pyx", FOO)
    program = """
        import sys, cyhot
        cyhot.install()
        import foo
        print("rich" in sys.modules)
    """
    assert project.run(program).stdout == "False\n"


# The pure parts ---------------------------------------------------------------------------------


def test_a_tally_says_what_compiles_how_much_is_done_and_for_how_long() -> None:
    tally = Tally()
    tally.take(BatchStarted(("a", "b", "c")), 10.0)
    assert tally.text(10.4) == "0 of 3 built, waiting (0 s)"
    tally.take(BuildStarted("a", "a.pyx", ()), 10.5)
    tally.take(BuildStarted("b", "b.pyx", ()), 10.5)
    assert tally.text(12.0) == "0 of 3 built, compiling a, b (2 s)"
    tally.take(BuildFinished("a", "a.pyx", "", 1.0), 12.5)
    tally.take(BuildFailed("b", "b.pyx", ()), 12.5)
    tally.take(BuildStarted("c", "c.pyx", ()), 12.5)
    assert tally.text(15.0) == "2 of 3 built, compiling c (5 s)"
    tally.take(BuildFinished("c", "c.pyx", "", 1.0), 16.0)
    assert not tally.idle
    tally.take(BatchFinished(), 16.0)
    assert tally.idle


def test_a_new_build_is_counted_from_its_own_beginning() -> None:
    tally = Tally()
    for now in (10.0, 100.0):
        tally.take(BuildStarted("a", "a.pyx", ()), now)
        assert tally.text(now + 1) == "compiling a (1 s)"
        tally.take(BuildFinished("a", "a.pyx", "", 1.0), now + 1)


def test_the_longest_is_built_first_and_the_unknown_go_by_their_size() -> None:
    assert longest_first([1.0, 3.0, 2.0], [1, 1, 1]) == [1, 2, 0]
    assert longest_first([None, None], [10, 20]) == [1, 0]
    # 3 s for 300 bytes: 400 bytes are taken to last 4 s, 100 bytes 1 s.
    assert longest_first([3.0, None, None], [300, 400, 100]) == [1, 0, 2]
    assert longest_first([], []) == []


@given(st.lists(st.tuples(st.none() | st.floats(0, 100), st.integers(0, 10**6))))
def test_every_module_is_in_the_order_once(tasks: list[tuple[float | None, int]]) -> None:
    order = longest_first([took for took, _ in tasks], [size for _, size in tasks])
    assert sorted(order) == list(range(len(tasks)))
    known = [tasks[index][0] for index in order if tasks[index][0] is not None]
    assert known == sorted(known, reverse=True)
