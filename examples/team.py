"""How many threads the example kernels use where nobody says it, and at most."""

from __future__ import annotations

import os

FEW = 16
"""So many threads may be asked for on any machine."""


def available_threads() -> int:
    """Returns how many threads are used by default.

    That is OMP_NUM_THREADS where it is set, at most `most_threads()`, else how many processors this
    process may use.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return bounded(int(asked))
    return available_processors()


def bounded(threads: int) -> int:
    """Returns the number of threads, or the greatest that is allowed if that is less."""
    return threads if threads <= FEW else min(threads, most_threads())


def most_threads() -> int:
    """Returns how many threads a team may have: 4 for each processor, or 16 if that is more.

    Where the system refuses a thread, OpenMP ends the whole process: no exception tells of it.
    """
    return max(FEW, 4 * available_processors())


def available_processors() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
