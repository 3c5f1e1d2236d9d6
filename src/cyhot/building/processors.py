"""How many things can be done at once."""

from __future__ import annotations

import os


def processors() -> int:
    """How many processors this process may use: ``taskset`` and cpusets give it fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
