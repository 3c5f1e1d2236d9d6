"""cyhot's background worker, from outside: waiting until it has all that it prepares, ending it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping

from harness import BenchmarkError
from tools import PYTHON

USAGE_ERROR = 2
READY_WITHIN = 300.0


def status(environ: Mapping[str, str]) -> dict[str, object] | None:
    """Returns what `cyhot worker status --json` says, None if this cyhot has no such command.

    Raises:
        BenchmarkError: it has, and it fails.
    """
    done = _worker("status", "--json", environ=environ)
    if done.returncode == USAGE_ERROR:
        return None
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise BenchmarkError(f"cyhot worker status --json: {done.stdout}{done.stderr}") from None
    return dict(told)


def wait_until_ready(environ: Mapping[str, str]) -> str:
    """Waits for the worker, headers and shared module that a first build had made.

    Returns:
        What state the following measurements are in, for the record.

    Raises:
        BenchmarkError: they are not there after `READY_WITHIN` seconds.
    """
    began = time.monotonic()
    while (told := status(environ)) is not None:
        if told.get("ready") is True:
            return f"ready after {time.monotonic() - began:.0f} s"
        if time.monotonic() - began > READY_WITHIN:
            raise BenchmarkError(f"the worker is not ready after {READY_WITHIN:.0f} s: {told}")
        time.sleep(0.2)
    return "none: this cyhot has no command `cyhot worker`"


def stop(environ: Mapping[str, str]) -> None:
    """Ends the worker, where there is one: what it does must not slow down what is timed next."""
    _worker("stop", environ=environ)


def _worker(*words: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "cyhot", "worker", *words]
    return subprocess.run(command, env=dict(environ), capture_output=True, text=True)
