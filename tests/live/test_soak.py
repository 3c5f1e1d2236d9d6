"""Many swaps under load: nothing breaks, and nothing grows but by the images themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from soak import SAME
from support import clean_environment

PROGRAM = Path(__file__).with_name("soak.py")
EXTRA = 50 * 1024
"""What a swap may cost in memory besides the image that it maps."""
SUBCLASSES = 5
"""Classes more or less that `object` tells of: those of the last body await the collector."""
STRAY = 30
"""Objects more or less, in all, that threads which are at work have at any moment."""


def soak(folder: Path, *arguments: str, timeout: float) -> dict[str, Any]:
    own = {"CFLAGS": "-O0", "CYHOT_BUILD_DIR": str(folder / "store"), "CYHOT_WATCH": "0"}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(PROGRAM), str(folder / "sources"), *arguments],
        env={**clean_environment(), **own},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert not found["wrong"] and min(found["rounds"].values()) > 10, found
    assert found["descriptors"] == 0, found
    assert found["subclasses"] <= SUBCLASSES, found
    return found


def test_sixty_swaps_under_load(tmp_path: Path) -> None:
    found = soak(tmp_path, "--swaps", "60", "--images", "3", timeout=250)
    assert found["objects"] * found["swaps"] <= STRAY, found
    assert found["memory"] <= found["mapped"] + 2 * EXTRA, found  # allocators grow in steps


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_thousand_swaps_under_load(tmp_path: Path) -> None:
    found = soak(tmp_path, "--swaps", "2000", timeout=1700)
    assert found["objects"] * found["swaps"] <= STRAY, found
    assert found["memory"] <= found["mapped"] + EXTRA, found
    assert found["ratio"] <= SAME, found
    # The processor's time, which other programs hardly change: a cost that grew with the number
    # of swaps would be several times as high after seven times as many.
    assert found["last quarter"] <= 2 * found["first quarter"], found
