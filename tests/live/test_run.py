"""``cyhot run`` as its user sees it: a program that is as under plain ``python``, and is restarted.

The programs say ``ready`` when a test may go on, and are otherwise waited for by what they print.
"""

from __future__ import annotations

import os
import pty
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from held import CHEAP, PATIENCE, ended
from support import FOO, Project

RUN = "import sys; from cyhot.cli import main; sys.argv[0] = 'cyhot'; main()"
# Not signal.pause(): what comes right before it would not end it.
SLEEPS = "import time; print('ready', flush=True)\nwhile True: time.sleep(0.05)\n"
SAYS_X = f"import helpers; print('X is', helpers.X, flush=True)\n{SLEEPS}"
WAITS = "it starts again after the next save"


class Running:
    """A ``cyhot run`` that runs, its output and errors as they come, in one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (process.stdout, process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")

    def until(self, text: str) -> list[str]:
        """The lines up to one with a text in it."""
        lines: list[str] = []
        while not lines or text not in lines[-1]:
            try:
                lines.append(self._lines.get(timeout=PATIENCE))
            except queue.Empty:
                raise AssertionError(f"no {text!r} in {self.seen + lines}") from None
        self.seen += lines
        return lines

    def ends(self) -> int:
        """Wait until it has ended; gives its status."""
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join()
        while not self._lines.empty():
            self.seen.append(self._lines.get())
        return status


@contextmanager
def running(project: Project, *args: str, env: dict[str, str] = CHEAP) -> Iterator[Running]:
    with ended(project.start(RUN, "run", *args, env=env)) as process:
        one = Running(process)
        try:
            yield one
        finally:
            process.send_signal(signal.SIGTERM)  # the program goes with it
            one.ends()


def ends(project: Project, *args: str, text: str = "") -> tuple[int, str, str]:
    """Status, output and errors of a ``cyhot run``."""
    with ended(project.start(RUN, "run", *args, env=CHEAP)) as process:
        out, err = process.communicate(text, timeout=PATIENCE)
    return process.returncode, out, err


def python(project: Project, *args: str) -> tuple[int, str, str]:
    """The same of plain ``python``."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=project.root, env=project.environment(CHEAP), capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


# As plain python runs it ------------------------------------------------------------------------

LOOKS_AROUND = """\
import os, pickle, sys
class Own: pass
print(__name__, __file__, __package__, __spec__ and __spec__.name, sys.argv, sys.path[0])
print(sorted(name for name in globals() if name != "__annotations__"))
print(type(pickle.loads(pickle.dumps(Own()))) is Own, sys.modules["__main__"].Own is Own)
def fails():
    raise ValueError("as asked")
if "fail" in sys.argv:
    try:
        1 / 0
    except ZeroDivisionError:
        fails()
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "args",
    [
        ["main.py", "0", "--restart", "all", "-m", "--help"],
        ["./sub/../main.py", "3"],
        ["main.py", "0", "fail"],
        ["sub", "4"],
        ["-m", "sub", "5", "--profile"],
        ["-m", "sub.deep", "0"],
    ],
    ids=" ".join,
)
def test_a_program_is_as_plain_python_runs_it(project: Project, args: list[str]) -> None:
    for path in ("main.py", "sub/__main__.py", "sub/deep.py"):
        project.write(path, LOOKS_AROUND)
    assert ends(project, "--restart", "never", *args) == python(project, *args)


@pytest.mark.parametrize(
    "text",
    [
        "x = (\n",
        "import broken\n",
        "raise SystemExit('a word')",
        "import os; os.kill(os.getpid(), 9)",
        "import sys\nsys.excepthook = lambda *what: print(what[0], file=sys.stderr)\n1 / 0\n",
        "raise KeyboardInterrupt",
    ],
)
def test_a_program_ends_as_under_plain_python(project: Project, text: str) -> None:
    project.write("broken.py", "def f(:\n")
    project.write("main.py", text)
    assert ends(project, "--restart", "never", "main.py") == python(project, "main.py")


def test_a_traceback_of_a_module_begins_with_the_module(project: Project) -> None:
    project.write("pk/__main__.py", "1 / 0\n")
    _, _, err = ends(project, "--restart", "never", "-m", "pk")
    assert err.splitlines()[:2] == [
        "Traceback (most recent call last):",
        f'  File "{project / "pk/__main__.py"}", line 1, in <module>',
    ]


def test_standard_input_is_the_programs(project: Project) -> None:
    project.write("main.py", "print('got', input(), input())\n")
    assert ends(project, "main.py", text="a\nb\n") == (0, "got a b\n", "")


def test_the_interpreters_switches_are_the_programs(project: Project) -> None:
    project.write(
        "main.py", "import sys; print(sys.flags.optimize, sys.warnoptions, sys._xoptions)"
    )
    switches = ["-O", "-W", "ignore", "-X", "dev"]
    command = [sys.executable, *switches, "-m", "cyhot", "run", "main.py"]
    done = subprocess.run(
        command, cwd=project.root, env=project.environment(CHEAP), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == python(project, *switches, "main.py")


def test_no_such_script_is_a_usage_error(project: Project) -> None:
    assert ends(project, "nope.py") == (2, "", "cyhot: error: nope.py: there is no such file\n")
    assert ends(project, "--restart", "maybe", "nope.py")[0] == 2


def test_a_users_module_with_a_name_of_the_standard_library_is_found(
    project: Project, tmp_path: Path
) -> None:
    """As under plain python, and is none that cyhot has imported before, or takes for its own."""
    for name in ("json", "copy", "ast", "hashlib"):
        project.write(f"{name}.py", "OWN = True\n")
    project.write("main.py", "import ast, copy, json\nprint(ast.OWN, copy.OWN, json.OWN)\n")
    command = tmp_path / "command.py"  # as the script `cyhot` is: in another folder
    command.write_text(RUN)
    run = python(project, str(command), "run", "--restart", "never", "main.py")
    assert run == python(project, "main.py") == (0, "True True True\n", "")


def test_a_pyx_is_imported_in_spawned_processes_too(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write("main.py", """\
        import multiprocessing
        import foo

        def cube(x):
            return x * foo.sqr(x)

        if __name__ == "__main__":
            for way in ("spawn", "forkserver"):
                with multiprocessing.get_context(way).Pool(1) as pool:
                    print(pool.map(cube, [1, 2, 3]))
    """)  # fmt: skip
    status, out, err = ends(project, "main.py")
    assert (status, out) == (0, "[1, 8, 27]\n[1, 8, 27]\n"), err
    assert [name for name in project.compiles() if not name.startswith("cyhot.")] == ["foo"]


# Signals ----------------------------------------------------------------------------------------

ON_SIGNAL = """\
import signal, sys, time
def told(number, frame):
    print("came", number, flush=True)
    if number != signal.SIGUSR1:
        sys.exit(number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, told)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def test_signals_reach_the_program_once_and_its_status_is_ours(project: Project) -> None:
    project.write("main.py", ON_SIGNAL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with running(project, "main.py") as run:
            run.until("ready")
            run.process.send_signal(signal.SIGUSR1)
            run.until(f"came {int(signal.SIGUSR1)}")
            run.process.send_signal(number)
            assert run.ends() == number
        assert [line for line in run.seen if line] == [
            "ready", f"came {int(signal.SIGUSR1)}", f"came {int(number)}"
        ]  # fmt: skip


def test_signals_are_handed_on_where_the_system_does_not_say_who_sent_them(
    project: Project,
) -> None:
    """As on macOS; a terminal's own are not, wherever one can tell."""
    project.write("main.py", ON_SIGNAL)
    anywhere_else = f"import signal; del signal.sigwaitinfo; {RUN}"
    for number in (signal.SIGTERM, signal.SIGHUP):
        with ended(project.start(anywhere_else, "run", "main.py", env=CHEAP)) as process:
            run = Running(process)
            run.until("ready")
            process.send_signal(number)
            assert run.ends() == number
    tty = Tty(project, "main.py", code=anywhere_else)
    tty.until("ready\r\n")
    tty.type("\x03")
    assert tty.ends() == (2, "^Ccame 2\r\n")


def test_a_program_that_a_signal_ends_ends_us_alike(project: Project) -> None:
    project.write("main.py", SLEEPS)
    with running(project, "main.py") as run:
        run.until("ready")
        run.process.send_signal(signal.SIGTERM)
        assert run.ends() == -signal.SIGTERM


class Tty:
    """A ``cyhot run`` whose controlling terminal we are."""

    def __init__(self, project: Project, *args: str, code: str = RUN) -> None:
        env = project.environment({**CHEAP, "NO_COLOR": "1", "PYTHON_COLORS": "0"})
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.chdir(project.root)
            os.execve(sys.executable, [sys.executable, "-c", code, "run", *args], env)
        self._text = ""

    def until(self, text: str) -> str:
        """What was written up to a text."""
        while text not in self._text:
            assert self._read(), f"no {text!r} in {self._text!r}"
        before, self._text = self._text.split(text, 1)
        return before

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def ends(self) -> tuple[int, str]:
        """Its status, and what it has still written."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self._text

    def _read(self) -> bool:
        ready, _, _ = select.select([self._end], [], [], PATIENCE)
        assert ready, f"nothing more was written: {self._text!r}"
        try:
            data = os.read(self._end, 4096)
        except OSError:  # the other side was closed
            return False
        self._text += data.decode()
        return bool(data)


def test_ctrl_c_reaches_the_program_once_and_ends_both(project: Project) -> None:
    project.write("main.py", ON_SIGNAL)
    tty = Tty(project, "main.py")
    tty.until("ready\r\n")
    tty.type("\x03")
    assert tty.ends() == (2, "^Ccame 2\r\n")
    project.write("main.py", SLEEPS)
    tty = Tty(project, "main.py")
    tty.until("ready")
    tty.type("\x03")
    status, text = tty.ends()
    assert status == -signal.SIGINT
    assert text.count("KeyboardInterrupt") == 1


def test_a_program_that_asks_on_the_terminal_is_answered_and_keeps_ctrl_c(project: Project) -> None:
    project.write("main.py", """\
        import time
        try:
            print("got", input("? "))
            while True:
                time.sleep(0.05)
        except KeyboardInterrupt:
            print("and", input("! "))
    """)  # fmt: skip
    tty = Tty(project, "main.py")
    tty.until("? ")
    tty.type("abc\n")
    tty.until("got abc\r\n")
    tty.type("\x03")
    tty.until("! ")
    tty.type("def\n")
    tty.until("and def\r\n")
    assert tty.ends() == (0, "")


def test_a_terminal_that_a_killed_program_has_changed_is_as_before(project: Project) -> None:
    changes = "import os, tty; tty.setraw(0); print('ready', flush=True); os.kill(os.getpid(), 9)\n"
    project.write("main.py", changes)
    tty = Tty(project, "main.py")
    tty.until("cyhot: main.py was ended by SIGKILL")
    project.write("main.py", "import termios; print(bool(termios.tcgetattr(0)[3] & termios.ECHO))")
    tty.until("True")
    assert tty.ends()[0] == 0


def test_ctrl_c_ends_the_wait_for_a_save(project: Project) -> None:
    project.write("main.py", "raise SystemExit(7)\n")
    tty = Tty(project, "main.py")
    tty.until(WAITS)
    tty.type("\x03")
    assert tty.ends()[0] == 7


# Restarts ---------------------------------------------------------------------------------------


def test_a_saved_py_restarts_and_a_touched_one_does_not(project: Project) -> None:
    project.write("helpers.py", "X = 1\n")
    project.write("main.py", SAYS_X)
    with running(project, "main.py") as run:
        run.until("ready")
        project.write("helpers.py", "X = 2\n")
        assert run.until("X is 2")[-2:] == ["cyhot: restarting: helpers.py changed", "X is 2"]
        run.until("ready")
        # It is known to be the program's now; the next restart shows that these brought none.
        (project / "helpers.py").touch()
        project.write("helpers.py", "X = 2\n")
        project.write("other.py", "")
        (project / "main.py").write_text(SAYS_X + "# saved\n")
        lines = run.until("ready")
    assert lines == ["cyhot: restarting: main.py changed", "X is 2", "ready"]


def test_a_save_before_the_program_has_said_what_it_is_made_of_is_not_lost(
    project: Project,
) -> None:
    """It saves its module itself, in the moment after the import."""
    project.write("helpers.py", "X = 1\n")
    saves = "if helpers.X == 1: pathlib.Path(helpers.__file__).write_text('X = 22')\n"
    says = "print('X is', helpers.X, flush=True)\n"
    project.write("main.py", f"import helpers, pathlib\n{says}{saves}{SLEEPS}")
    with running(project, "main.py", env={**CHEAP, "PYTHONDONTWRITEBYTECODE": "1"}) as run:
        run.until("X is 1")
        run.until("restarting: helpers.py changed")
        run.until("X is 22")


def test_a_module_that_the_program_writes_anew_in_each_run_does_not_restart_it(
    project: Project,
) -> None:
    writes = "pathlib.Path(__file__).with_name('made.py').write_text(f'X = {time.time_ns()}')\n"
    says = "import helpers, made\nprint('run', helpers.X, flush=True)\n"
    project.write("made/main.py", f"import pathlib, time\n{writes}{says}{SLEEPS}")
    project.write("made/helpers.py", "X = 1\n")
    with running(project, "made/main.py", env={**CHEAP, "PYTHONDONTWRITEBYTECODE": "1"}) as run:
        for number in (2, 3, 4):
            run.until("ready")
            project.write("made/helpers.py", f"X = {number}\n")
            assert run.until(f"run {number}") == [
                "cyhot: restarting: helpers.py changed", f"run {number}"
            ]  # fmt: skip


def test_a_restarted_program_has_its_grace_and_is_killed_then(project: Project) -> None:
    project.write("main.py", """\
        import signal, time
        signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
        print("ready", flush=True)
        while True:
            time.sleep(0.05)
    """)  # fmt: skip
    with running(project, "main.py") as run:
        run.until("ready")
        project.write("main.py", SLEEPS)
        lines = run.until("ready")
    assert sorted(lines) == ["cyhot: restarting: main.py changed", "not yet", "ready"]


def test_an_added_module_that_was_missing_mends_the_program(project: Project) -> None:
    project.write("lib/__init__.py", "")
    project.write("main.py", f"from lib import late\nprint(late.X)\n{SLEEPS}")
    with running(project, "main.py") as run:
        run.until(WAITS)
        project.write("lib/late.py", "X = 5\n")
        run.until("restarting: late.py changed")
        run.until("5")


def test_a_crash_is_said_and_mended_by_the_next_save(project: Project) -> None:
    project.write("helpers.py", "X = 1\n")
    project.write("main.py", SAYS_X)
    with running(project, "main.py") as run:
        run.until("ready")
        project.write("helpers.py", "X = = 2\n")
        run.until("restarting: helpers.py changed")
        run.until(f"cyhot: main.py ended with status 1; {WAITS}")
        assert any("SyntaxError" in line for line in run.seen)
        (project / "helpers.py").touch()
        project.write("helpers.py", "X = 1 / 0\n")
        run.until("restarting: helpers.py changed")
        run.until(WAITS)
        project.write("helpers.py", "X = 3\n")
        run.until("X is 3")


def test_a_crash_by_a_signal_is_mended_by_what_was_read_before(project: Project) -> None:
    project.write("helpers.py", "X = 1\n")
    project.write("main.py", "import helpers, os\nif helpers.X == 1: os.abort()\n")
    with running(project, "main.py") as run:
        run.until(f"cyhot: main.py was ended by SIGABRT; {WAITS}")
        project.write("helpers.py", "X = 2\n")
        assert run.ends() == 0


def test_a_pyx_that_does_not_compile_is_mended_by_a_save_of_it(project: Project) -> None:
    project.write("lib/__init__.py", "")
    project.write("lib/foo.pyx", FOO.replace("x * x", "x * y"))
    project.write("main.py", "from lib import foo\nprint(foo.sqr(3))\n")
    with running(project, "main.py") as run:
        run.until(WAITS)
        assert any("undeclared name not builtin: y" in line for line in run.seen)
        project.write("lib/foo.pyx", FOO)
        run.until("restarting: foo.pyx changed")
        run.until("9")
        assert run.ends() == 0


def test_a_pyx_that_is_saved_restarts_if_that_is_wanted(project: Project) -> None:
    project.write("lib/__init__.py", "")
    project.write("lib/foo.pyx", 'include "k.pxi"\ndef f(): return K\n')
    project.write("lib/k.pxi", "K = 1\n")
    project.write("main.py", f"from lib import foo\nprint('f is', foo.f(), flush=True)\n{SLEEPS}")
    with running(project, "--restart", "all", "main.py") as run:
        run.until("ready")
        project.write("lib/k.pxi", "K = 2\n")
        run.until("restarting: k.pxi changed")
        run.until("f is 2")


def emits(restart: str) -> str:
    """A program that says once that it has to be restarted, and then that it was."""
    return f"""\
import pathlib
from cyhot.events import SwapFailed, emit
if pathlib.Path("was.here").exists():
    print("again", flush=True)
pathlib.Path("was.here").touch()
print("ready", flush=True)
input()
emit(SwapFailed(("kernels", "grid"), {restart}, "a field was added"))
{SLEEPS}"""


def test_a_swap_that_needs_a_restart_gets_one(project: Project) -> None:
    project.write("main.py", emits("('kernels',)"))
    with running(project, "main.py") as run:
        run.until("ready")
        run.process.stdin.write("\n")
        run.process.stdin.flush()
        run.until("cyhot: restarting: kernels cannot be swapped in")
        run.until("again")


@pytest.mark.parametrize(("args", "names"), [(["--restart", "never"], "('kernels',)"), ([], "()")])
def test_a_swap_that_failed_goes_on_without_a_restart(
    project: Project, args: list[str], names: str
) -> None:
    project.write("main.py", emits(names))
    with running(project, *args, "main.py") as run:
        run.until("ready")
        run.process.stdin.write("\n")
        run.process.stdin.flush()
        run.until("ready")
        run.process.send_signal(signal.SIGTERM)
        assert run.ends() == -signal.SIGTERM
    assert not any("restarting" in line for line in run.seen)


def test_never_means_that_no_save_restarts(project: Project) -> None:
    project.write("main.py", "print('ready', flush=True)\nprint(input())\nraise SystemExit(6)\n")
    with running(project, "--restart", "never", "main.py") as run:
        run.until("ready")
        project.write("main.py", "print('other', flush=True)\n")
        run.process.stdin.write("typed\n")
        run.process.stdin.flush()
        assert run.ends() == 6
    assert [line for line in run.seen if line] == ["ready", "typed"]


def test_a_saved_py_of_a_module_that_is_run_restarts_it(project: Project) -> None:
    project.write("pk/__init__.py", "")
    project.write("pk/__main__.py", f"print('one', flush=True)\n{SLEEPS}")
    with running(project, "-m", "pk", "arg") as run:
        run.until("ready")
        project.write("pk/__main__.py", f"print('two', flush=True)\n{SLEEPS}")
        run.until("cyhot: restarting: __main__.py changed")
        run.until("two")


def test_a_module_that_is_not_there_is_run_when_it_is(project: Project) -> None:
    with running(project, "-m", "late") as run:
        run.until("No module named late")
        run.until(f"cyhot: -m late ended with status 1; {WAITS}")
        project.write("late.py", "print('here')\n")
        run.until("here")
        assert run.ends() == 0


def test_a_program_that_forks_is_not_warned_of_threads_and_is_restarted(project: Project) -> None:
    project.write("helpers.py", "X = 1\n")
    forks = """\
import os, time, warnings
warnings.simplefilter("error")
for _ in range(3):
    if os.fork() == 0:
        os._exit(0)
    os.wait()
"""
    project.write("main.py", forks + SAYS_X)
    with running(project, "main.py", env={**CHEAP, "CYHOT_WATCH": "0"}) as run:
        assert run.until("ready") == ["X is 1", "ready"]
        project.write("helpers.py", "X = 2\n")
        run.until("X is 2")


def test_what_a_program_left_running_does_not_hold_up_its_end(project: Project) -> None:
    project.write("main.py", """\
        import os, signal
        if os.fork() == 0:
            print(os.getpid(), flush=True)
            signal.pause()
    """)  # fmt: skip
    with running(project, "main.py") as run:
        pid = int(run.until("")[0])
        try:
            assert run.process.wait(PATIENCE) == 0
        finally:
            os.kill(pid, signal.SIGKILL)
