"""How much memory the worker's processes take."""

from __future__ import annotations

import os


def of_session() -> int:
    """Bytes of this process and those in its session that are not compilers, shared pages once.

    Returns:
        0 where the system does not tell (only Linux does).
    """
    try:
        own = os.readlink("/proc/self/exe")
        session = os.getsid(0)
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return 0
    return sum(_proportional(pid) for pid in pids if _belongs(pid, session, own))


def give_back() -> None:
    """Return to the system what was freed and the C library keeps (glibc does)."""
    try:
        import ctypes

        trim = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, AttributeError):
        return
    trim(0)


def _belongs(pid: int, session: int, program: str) -> bool:
    try:
        return os.getsid(pid) == session and os.readlink(f"/proc/{pid}/exe") == program
    except OSError:
        return False


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            rows = [line.split() for line in file]
    except OSError:
        return 0
    return sum(int(row[1]) * 1024 for row in rows if row[0] == "Pss:")
