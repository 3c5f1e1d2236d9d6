"""What the tests share: projects that run in processes of their own, and Cython's own sources.

A test sees cyhot as a user does: files in a folder, a fresh interpreter, what it printed. How
often something was compiled is read from the events that the process wrote (``CYHOT_EVENTS``),
never from clocks; waiting is waiting for a process to end or to say a word.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import platformdirs

FOO = """\
cpdef int sqr(int x):
    return x * x
"""

EXT_SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX")

# These would change what a child does, and differ between machines. PYTHONDONTWRITEBYTECODE goes
# too: a stray __pycache__ is one of the things that the tests look for.
_STRIPPED = ("CYHOT_", "PYTHONPATH", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would steer cyhot or the interpreter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_STRIPPED)}
    # A worker for each of hundreds of homes would take seconds each; what tests it, asks for it.
    # So does what tests live swapping: its thread compiles its own part in each new store.
    live = "tests/live/" in os.environ.get("PYTEST_CURRENT_TEST", "")
    return {**kept, "CYHOT_WORKER": "0", **({} if live else {"CYHOT_WATCH": "0"})}


@dataclass(frozen=True, repr=False)
class Run:
    """A child process that has ended, and the events it wrote."""

    stdout: str
    stderr: str
    returncode: int
    events: tuple[dict[str, Any], ...] = ()

    @property
    def compiles(self) -> list[str]:
        """Names of the modules that this process compiled, in order."""
        return _compiled(self.events)

    def __repr__(self) -> str:
        return (
            f"exit status {self.returncode}\n"
            f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}\n--- compiled {self.compiles}"
        )


class Project:
    """A user's folder, with a store and a home that nothing else uses.

    Args:
        base: An empty folder; the project's files go to ``base/project``.
        store: The images' folder; ``base/store`` unless projects are to share one.
        tool: The module that programs mean when they say ``cyhot`` (see ``--tool``).
    """

    def __init__(self, base: Path, *, store: Path | None = None, tool: str = "cyhot") -> None:
        self.root = base / "project"
        self.store = store or base / "store"
        # pyximport keeps its images under HOME: projects that share a store share that as well.
        self.home = self.store.with_name(self.store.name + "-home")
        self.tool = tool
        self._events = base / "events.jsonl"
        for folder in (self.root, self.home):
            folder.mkdir(parents=True, exist_ok=True)

    def __fspath__(self) -> str:
        return str(self.root)

    def __truediv__(self, relpath: str) -> Path:
        return self.root / relpath

    def write(self, relpath: str, text: str) -> Path:
        """Write a file (folders as needed, text dedented) and return its path."""
        path = self.root / relpath
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        if path.suffix == ".py":
            # Python itself takes bytecode for fresh if size and second are equal: not our subject.
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        return path

    def files(self) -> dict[str, bytes]:
        """Every file in the project, by its relative path, with its contents."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """A child's environment: this process's, cleaned, with the project's own places."""
        own = {
            "CYHOT_BUILD_DIR": str(self.store),
            "CYHOT_EVENTS": str(self._events),
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
        }
        return {**clean_environment(), **own, **(env or {})}

    def start(
        self,
        program: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> subprocess.Popen[str]:
        """Start a program in the folder: a script's name (``main.py``), or code for ``-c``.

        Its standard input, output and error are pipes.
        """
        if not program.endswith(".py"):
            code = textwrap.dedent(program).replace("cyhot", self.tool)
            command = [python, "-c", code, *args]
        else:
            command = [python, program, *args]
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        program: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        python: str = sys.executable,
        timeout: float = 240,
    ) -> Run:
        """Run a program to its end; with `check`, a failure fails the test with its output."""
        before = len(self.events())
        with self.start(program, *args, env=env, python=python) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        run = Run(stdout, stderr, process.returncode, tuple(self.events()[before:]))
        assert not check or run.returncode == 0, str(run)
        return run

    def events(self) -> list[dict[str, Any]]:
        """The events of every process of this project so far, oldest first."""
        try:
            lines = self._events.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def compiles(self) -> list[str]:
        """Names of the modules that were compiled so far, one for each time."""
        return _compiled(self.events())


def _compiled(events: tuple[dict[str, Any], ...] | list[dict[str, Any]]) -> list[str]:
    return [event["name"] for event in events if event["event"] == "BuildStarted"]


# --- Cython's own source distribution ---------------------------------------------------------


class SdistUnavailable(RuntimeError):
    """Cython's source distribution is neither given, nor in the cache, nor to be had."""


def cython_sdist() -> Path:
    """The folder of the unpacked source distribution of the installed Cython.

    ``CYTHON_SDIST`` may name it, or its .tar.gz. Otherwise pip fetches it once into the user's
    cache; processes that want it at the same time wait for the one that fetches.
    """
    given = os.environ.get("CYTHON_SDIST")
    if given and Path(given).is_dir():
        return Path(given).resolve()
    version = importlib.metadata.version("cython")
    if given and not Path(given).is_file():
        raise SdistUnavailable(f"CYTHON_SDIST={given}: no such file or folder")
    cache = Path(platformdirs.user_cache_dir("cyhot-tests", appauthor=False))
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / (_stem(given) if given else f"cython-{version}")
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                archive = Path(given) if given else _download(version, Path(scratch))
                # Renamed into place when it is whole: a killed run leaves no half of it.
                _unpack(archive, Path(scratch) / "unpacked").rename(folder)
    return folder


def _stem(archive: str) -> str:
    return Path(archive).name.removesuffix(".gz").removesuffix(".tar")


def _download(version: str, folder: Path) -> Path:
    """Let pip fetch the sdist; nothing is built but its metadata, which pip insists on.

    (``--no-binary cython``, not ``:all:``, or pip would build setuptools from source as well; and
    an environment that pip makes for it, because not every setuptools at hand is new enough.)
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "cython", "--dest", str(folder), f"cython=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    if done.returncode:
        raise SdistUnavailable(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return next(folder.glob("[cC]ython-*.tar.gz"))


def _unpack(archive: Path, folder: Path) -> Path:
    with contextlib.closing(tarfile.open(archive)) as tar:
        tar.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top
