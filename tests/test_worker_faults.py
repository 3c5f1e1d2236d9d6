"""Kills and hangs at random instants, of everything that takes part in a build."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
import warm
from held import ended
from support import Project

SEED = 20261122
FAULTS = 300
# A user would wait longer for a silent worker; the numbers change nothing else.
PROGRAM = """
import cyhot; cyhot.install()
from cyhot.worker import client
client.ANSWER, client.SILENCE, client._STARTING = 1.0, 3.0, 3.0
import foo; print(foo.value())
"""
_COMPILERS = {"cc1", "as", "ld", "collect2", "gcc", "x86_64-linux-gn"}


def _session(runtime: Path) -> list[int]:
    """The processes of the workers whose sockets are in a folder."""
    everyone = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    named = [pid for pid in everyone if str(runtime) in _command_line(pid)]
    # One that has only just begun is in the session of whoever started it: in this test's.
    leaders = {pid for pid in named if _in(pid, {pid})}
    return [pid for pid in everyone if pid in named or _in(pid, leaders)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def _in(pid: int, sessions: set[int]) -> bool:
    try:
        return os.getsid(pid) in sessions
    except OSError:
        return False


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _victims(what: str, client: subprocess.Popen[str], runtime: Path) -> list[int]:
    if what == "client":
        return [client.pid]
    others = [pid for pid in _session(runtime) if pid != client.pid]
    if what == "compiler":
        return [pid for pid in others if _name(pid) in _COMPILERS]
    pythons = [pid for pid in others if _name(pid) not in _COMPILERS]
    leaders = [pid for pid in pythons if _in(pid, {pid})]
    return leaders if what == "worker" else [pid for pid in pythons if pid not in leaders]


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_import_is_right_whatever_is_killed_or_hangs(project: Project) -> None:
    chance = random.Random(SEED)
    hit = 0
    with warm.runtime_folder() as runtime:
        env = warm.environment(runtime)
        try:
            for value in range(FAULTS):
                project.write("foo.pyx", f"def value(): return {value}\n")
                what = chance.choice(["worker", "fork", "compiler", "client"])
                fault = chance.choice([signal.SIGKILL, signal.SIGSTOP])
                with ended(project.start(PROGRAM, env=env)) as process:
                    try:
                        process.wait(chance.uniform(0.05, 0.8))
                    except subprocess.TimeoutExpired:
                        pass
                    victims = _victims(what, process, runtime)
                    _send(victims, fault)
                    hit += bool(victims)
                    if fault == signal.SIGSTOP and what in ("compiler", "client"):
                        # Slow is all that they are: nobody can tell, and nobody may give up.
                        try:
                            process.wait(1.0)
                        except subprocess.TimeoutExpired:
                            pass
                        _send(victims, signal.SIGCONT)
                    stdout, stderr = process.communicate(timeout=120)
                if process.returncode != -signal.SIGKILL:
                    assert stdout == f"{value}\n", f"{value}: {what} {fault!r}: {stderr}"
                again = project.run(PROGRAM, env=env)
                assert again.stdout == f"{value}\n", f"{value}: {what} {fault!r}: {again}"
        finally:
            _send(_session(runtime), signal.SIGKILL)
    print(f"{hit} of {FAULTS} faults met somebody")
    assert hit > FAULTS // 2
