"""What a measurement ran on: the Python, the processor, and how fast that can be at most."""

from __future__ import annotations

import platform
import sys
import sysconfig
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import threadpoolctl

from ..team import available_processors
from . import shapes
from .laws import Roof

STEPS = 1_000_000  # of multiply_add in a unit: about a hundredth of a second in all
UNITS = 8  # for each thread
LARGE = 12_000_000  # doubles: three arrays of 96 MB, more than caches hold


def gil() -> str:
    """Returns which kind of build this Python is, and whether its GIL is on."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "a build with a GIL, which is on"
    on = sys._is_gil_enabled()  # type: ignore[attr-defined, unused-ignore]
    return f"a free-threaded build, whose GIL is {'on' if on else 'off'}"


def processor() -> str:
    """Returns the processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def blas() -> str:
    """Returns NumPy's BLAS, its version and the processor that it is built for."""
    found = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
    return (
        ", ".join(
            " ".join(str(one.get(key) or "") for key in ("internal_api", "version", "architecture"))
            for one in found
        )
        or "unknown"
    )


def facts() -> dict[str, str]:
    """Returns what the numbers depend on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}, {gil()}",
        "numpy": f"{np.__version__}, {blas()}",
        "processor": f"{processor()}, {available_processors()} cores to use",
        "platform": platform.platform(),
    }


def roof(threads: int, patience: float = 1.0) -> Roof:
    """Measures what so many threads can do at most: the best of tries in so many seconds."""
    sums = np.empty(UNITS * threads)
    b, c, out = np.ones(LARGE), np.ones(LARGE), np.empty(LARGE)
    flops = bandwidth = 0.0
    end = time.perf_counter() + patience
    while not flops or time.perf_counter() < end:
        start = time.perf_counter()
        shapes.multiply_add(sums, STEPS, team=threads)
        middle = time.perf_counter()
        shapes.triad(b, c, 3.0, out, team=threads)
        finish = time.perf_counter()
        done = 2.0 * len(sums) * STEPS * shapes.DOUBLES_PER_STEP
        flops = max(flops, done / (middle - start))
        bandwidth = max(bandwidth, 24.0 * LARGE / (finish - middle))
    return Roof(threads, flops, bandwidth)
