"""Random edit sequences: whatever is saved, a live process answers as its model does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import clean_environment

PROGRAM = Path(__file__).with_name("edits.py")


def sequences(folder: Path, *arguments: str, timeout: float) -> str:
    """What `edits` prints; it fails with the seed and the steps of a sequence that went wrong."""
    own = {"CFLAGS": "-O0", "CYHOT_BUILD_DIR": str(folder / "store")}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(PROGRAM), str(folder / "sources"), *arguments],
        env={**clean_environment(), **own},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_ten_sequences_answer_as_the_model(tmp_path: Path) -> None:
    told = sequences(
        tmp_path, "--seed", "10", "--versions", "2", "--sequences", "10", "--steps", "10",
        timeout=250,
    )  # fmt: skip
    assert "10 sequences" in told


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_sequences_answer_as_the_model(tmp_path: Path) -> None:
    told = sequences(
        tmp_path, "--seed", "200", "--versions", "6", "--variants", "4", "--sequences", "200",
        timeout=1700,
    )  # fmt: skip
    assert "200 sequences" in told
