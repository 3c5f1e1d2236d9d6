"""How many threads the example kernels use where nobody says it."""

from __future__ import annotations

import os


def available_threads() -> int:
    """Returns how many threads are used by default.

    That is OMP_NUM_THREADS where it is set, else how many processors this process may use.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return available_processors()


def available_processors() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
