"""The scaling driver's --watch: a kernel that is saved while it runs is measured anew by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import clean_environment

ROOT = Path(__file__).parent.parent
COMMAND = ("-m", "examples.threads.scaling", "--n", "40", "--rounds", "1", "--threads", "2")
SLOW, FAST = "for j in range(b.shape[1]):", "for j in range(b.shape[1] - 1, -1, -1):"
PATIENCE = 240.0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what of the examples this needs."""
    examples = tmp_path / "examples"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "examples" / "threads", examples / "threads", ignore=ignored)
    for name in ("__init__.py", "simd.pxd", "team.py"):
        shutil.copy(ROOT / "examples" / name, examples / name)
    return tmp_path


@contextmanager
def driver(checkout: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The driver, running in the copy; killed if it is not done in time, or left alone."""
    environ = clean_environment() | {"CYHOT_WATCH": "1"}
    process = subprocess.Popen(
        [sys.executable, "-u", *COMMAND, *arguments],
        cwd=checkout, env=environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    try:
        with process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        timer.cancel()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it prints, up to and with the line that has these words."""
    assert process.stdout
    told = ""
    for line in process.stdout:
        told += line
        if words in line:
            return told
    raise AssertionError(f"it ended without {words!r}:\n{told}")


def save(path: Path, old: str, new: str) -> None:
    """Changes a source as an editor does: a new file takes its place."""
    text = path.read_text()
    assert old in text
    written = path.with_suffix(".tmp")
    written.write_text(text.replace(old, new))
    os.replace(written, path)


def test_a_saved_kernel_is_measured_anew_before_and_after_in_one_table(checkout: Path) -> None:
    kernel = checkout / "examples" / "threads" / "article.pyx"
    with driver(checkout, "--kernel", "ijk", "--no-peers", "--watch") as process:
        read_until(process, "Watching: save a kernel's .pyx")
        save(kernel, SLOW, FAST)
        told = read_until(process, "prange of 2")
        assert "ijk: saved, swapped in, measured anew" in told
        table = [line.split() for line in told.partition("measured anew")[2].splitlines()]
        assert ["workers", "before", "after", "before/after"] in table
        rows = [row for row in table if "prange" in row or "released" in row]
        assert len(rows) == 4  # one and two Python threads, teams of one and two

        # A kernel that computes something else is not measured, but said to be wrong.
        save(kernel, "out[i, j] += a[i, k] * b[k, j]", "out[i, j] += a[i, k] + b[k, j]")
        assert "ijk: not measured: AssertionError" in read_until(process, "not measured")

        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
