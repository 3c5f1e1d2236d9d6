"""The floor: the compiler and the linker alone, on the C and with the options that cyhot used.

cyhot's BuildFinished event has the command lines, and the C file lies beside the image. Both are
run again in an empty folder, with nothing around them: what is above that is for cyhot to win.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import BenchmarkError
from project import Built, Ran

C_SUFFIXES = (".c", ".cpp")


def seconds(built: Sequence[Built], scratch: Path, environ: Mapping[str, str]) -> float:
    """Returns how long the commands of these builds take, as many builds at once as processors.

    Raises:
        BenchmarkError: one of them failed, or a build told of none.
    """
    prepared = [_prepare(one, scratch / str(index)) for index, one in enumerate(built)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        start = time.perf_counter()
        for done in [pool.submit(_replay, commands, environ) for commands in prepared]:
            done.result()
        spent = time.perf_counter() - start
    shutil.rmtree(scratch)
    return spent


def _prepare(built: Built, folder: Path) -> list[Ran]:
    """Copies the C; returns the commands with the folder in place of the one they ran in."""
    if not built.commands:
        raise BenchmarkError(f"cyhot told of no command that built {built.module}")
    folder.mkdir(parents=True)
    for path in built.image.parent.iterdir():
        if path.suffix in C_SUFFIXES:
            shutil.copy(path, folder)
    return [moved(command, str(folder)) for command in built.commands]


def moved(command: Ran, folder: str) -> Ran:
    """Returns a command that does in one folder what it did in another."""
    args = tuple(word.replace(command.folder, folder) for word in command.args)
    return Ran(args, folder, command.seconds)


def _replay(commands: Sequence[Ran], environ: Mapping[str, str]) -> None:
    for command in commands:
        done = subprocess.run(
            command.args,
            cwd=command.folder,
            env={**environ, "LC_ALL": "C", "TMPDIR": command.folder},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BenchmarkError(
                f"{shlex.join(command.args)} in {command.folder} exited with {done.returncode}:\n"
                f"{done.stdout}{done.stderr}"
            )
