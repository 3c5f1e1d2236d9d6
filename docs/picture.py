"""Makes docs/quickstart.svg and docs/live.svg: runs the commands for real and draws what the
terminal showed.

python docs/picture.py
"""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
EDIT = "sed -i 's/x \\* x/x * x * x/' foo.pyx"
MISTAKE = "sed -i 's/x \\* x/x * y/' foo.pyx"
RUNS = (
    "python main.py",
    "python main.py",
    EDIT,
    "python main.py",
    "cyhot why foo",
    MISTAKE,
    "cyhot build foo.pyx",
)


def shell(console: Console, command: str, env: dict[str, str], folder: str) -> None:
    """Run a command as typed, and print it with what it printed and how long it took."""
    began = time.perf_counter()
    ran = subprocess.run(
        command, shell=True, cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    console.print(Text("$ ", style="bold green") + Text(command, style="bold"))
    for line in (ran.stderr + ran.stdout).replace(f"{folder}/", "").splitlines():
        style = "red" if "error" in line else "cyan" if line.startswith("cyhot:") else ""
        console.print(Text(line, style=style))
    if command.startswith("python"):
        console.print(Text(f"[{seconds:.2f} s]", style="dim"))


@contextlib.contextmanager
def copied(example: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A copy of an example, and an environment with a store of its own."""
    with tempfile.TemporaryDirectory() as base:
        folder = os.path.join(base, example)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HERE.parent / "examples" / example, folder, ignore=ignored)
        path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "CYHOT_BUILD_DIR": os.path.join(base, "store")}
        for name in ("PYTHONDONTWRITEBYTECODE", "CYHOT_WORKER", "CI"):
            env.pop(name, None)
        yield folder, env


def recorder() -> Console:
    """What is drawn on."""
    return Console(record=True, width=92, file=open(os.devnull, "w"))


def quickstart() -> None:
    """Run the quickstart, and draw it."""
    console = recorder()
    with copied("quickstart") as (folder, env):
        for command in ("cat foo.pyx", *RUNS):
            shell(console, command, env, folder)
    console.save_svg(str(HERE / "quickstart.svg"), title="cyhot")


class Running:
    """A program in a terminal of its own, whose lines are drawn as they come."""

    def __init__(self, console: Console, command: str, env: dict[str, str], folder: str) -> None:
        self.console = console
        self.folder = folder
        self.env = env
        terminal, its = pty.openpty()
        self.process = subprocess.Popen(
            command.split(), cwd=folder, env=env, stdin=its, stdout=its, stderr=its
        )
        os.close(its)
        self.lines = os.fdopen(terminal, encoding="utf-8")
        console.print(Text("$ ", style="bold green") + Text(command, style="bold"))

    def show(self, many: int) -> None:
        """Draw so many of the program's own lines, and all of cyhot's before and between."""
        while many:
            many -= " steps, at " in self._line()

    def until(self, text: str) -> None:
        """Draw what comes until a line has a text in it."""
        while text not in self._line():
            pass

    def _line(self) -> str:
        line = self.lines.readline().rstrip().replace(f"{self.folder}/", "")
        told = Text.from_ansi(line)
        if line.startswith("cyhot:"):
            told.stylize("cyan")
        self.console.print(told)
        return line

    def save(self, edit: str) -> None:
        """Edit a file from outside, as an editor would."""
        subprocess.run(edit, shell=True, cwd=self.folder, env=self.env, check=True)
        told = f"                  in another terminal: {edit}"
        self.console.print(Text(told, style="bold yellow"))


def live() -> None:
    """Edit a program that runs, and draw it."""
    console = recorder()
    with copied("live") as (folder, env):
        warm = "import cyhot.live.swap.patcher as patcher; patcher.patcher()"
        subprocess.run([sys.executable, "-c", warm], env=env, check=True)
        subprocess.run(["cyhot", "build", "walker.pyx"], cwd=folder, env=env, check=True)
        program = Running(console, "python main.py", env, folder)
        try:
            program.show(6)  # by then it watches
            program.save("sed -i 's/position += 1/position += 10/' walker.pyx")
            program.until("swapped")
            program.show(3)
            program.save("sed -i 's/+= 10/+= (10/' walker.pyx")
            program.until("does not compile")
            program.show(2)
            program.save("sed -i 's/+= (10/+= 100/' walker.pyx")
            program.until("swapped")
            program.show(3)
        finally:
            program.process.kill()
            program.process.wait()
    console.save_svg(str(HERE / "live.svg"), title="cyhot")


if __name__ == "__main__":
    quickstart()
    live()
