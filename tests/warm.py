"""A background compiler for tests: its own socket folder, ready when the test begins."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from held import CHEAP, PATIENCE, ended
from support import Project, clean_environment

_PATH = """
from cyhot.building.observe import Observer
from cyhot.worker.place import socket_path
print(socket_path(Observer()))
"""
_SERVE = """
import sys
from cyhot.worker.server import main
main(sys.argv[1:], ready=lambda: print("ready", flush=True))
"""


class Worker:
    """A running worker.

    Attributes:
        env: What a process needs in its environment to find it.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[str], path: str) -> None:
        self.env = environment(folder)
        self.process = process
        self.path = path

    def status(self) -> dict[str, Any]:
        """What ``cyhot worker status --json`` prints."""
        return status(self.env)

    def stop(self) -> None:
        """Kill it and all its forks, and wait until it has ended."""
        self.process.kill()
        self.process.wait()
        _end_session(self.process.pid)


def environment(folder: Path) -> dict[str, str]:
    """The environment of programs whose worker's socket is in a folder."""
    return {**CHEAP, "XDG_RUNTIME_DIR": str(folder), "CYHOT_WORKER": "1"}


def status(env: Mapping[str, str]) -> dict[str, Any]:
    """What ``cyhot worker status --json`` prints."""
    command = [sys.executable, "-m", "cyhot", "worker", "status", "--json"]
    done = subprocess.run(command, env={**clean_environment(), **env}, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """A short path: a socket's must not be longer than about a hundred characters."""
    folder = Path(tempfile.mkdtemp(prefix="cyhot-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def socket_path(env: Mapping[str, str]) -> str:
    """Where programs with this environment look for a worker."""
    command = [sys.executable, "-c", _PATH]
    done = subprocess.run(
        command, env={**clean_environment(), **env}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@contextmanager
def running(like: str = "", idle: float = 900) -> Iterator[Worker]:
    """A worker that is ready; it ends with the test."""
    with _prepared_place() as (folder, path):
        command = [sys.executable, "-c", _SERVE, path, like, str(idle)]
        with _ready(command, environment(folder)) as process:
            yield Worker(folder, process, path)


@contextmanager
def faulty(behaviour: str) -> Iterator[dict[str, str]]:
    """A process in a worker's place that behaves wrongly; gives the environment to find it."""
    script = Path(__file__).with_name("faulty_worker.py")
    with _prepared_place() as (folder, path):
        env = environment(folder)
        with _ready([sys.executable, str(script), path, behaviour], env):
            yield env


@contextmanager
def _prepared_place() -> Iterator[tuple[Path, str]]:
    with runtime_folder() as folder:
        path = socket_path(environment(folder))
        os.makedirs(os.path.dirname(path), mode=0o700)
        yield folder, path


@contextmanager
def _ready(command: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has said that it is ready; it and its session end with the test."""
    process = subprocess.Popen(
        command, env={**clean_environment(), **env}, stdout=subprocess.PIPE, text=True
    )
    try:
        with ended(process):
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
            assert ready and process.stdout.readline() == "ready\n"
            yield process
            process.kill()
    finally:
        _end_session(process.pid)


def _end_session(leader: int) -> None:
    """End what a killed worker leaves: forks notice it only when they next talk to it."""
    for name in os.listdir("/proc"):
        try:
            if name.isdecimal() and os.getsid(int(name)) == leader:
                os.kill(int(name), signal.SIGKILL)
        except OSError:
            continue


def use(project: Project, program: str, worker: Worker, **env: str) -> Any:
    """Run a program that uses a worker."""
    return project.run(program, env={**worker.env, **env})
