"""Makes docs/quickstart.svg: runs the commands for real and draws what the terminal showed.

python docs/picture.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
QUICKSTART = HERE.parent / "examples" / "quickstart"
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


def main() -> None:
    """Run the quickstart in a copy, and draw it."""
    console = Console(record=True, width=92, file=open(os.devnull, "w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory() as base:
        folder = os.path.join(base, "quickstart")
        shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns("__pycache__"))
        path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "CYHOT_BUILD_DIR": os.path.join(base, "store")}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for command in ("cat foo.pyx", *RUNS):
            shell(console, command, env, folder)
    console.save_svg(str(HERE / "quickstart.svg"), title="cyhot")


if __name__ == "__main__":
    main()
