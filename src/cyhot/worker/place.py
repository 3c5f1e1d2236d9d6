"""Where the worker's socket is: one for each user, Python, Cython and cyhot. On the warm path.

Invariant 8: whatever talks through that socket decides what code will run. Its folder belongs to
the user alone (mode 0700), or there is no worker.
"""

from __future__ import annotations

import os
import sys

from ..building.observe import CYTHON, Observer, digest, file_sig

_LONGEST = 100
"""A socket's path has at most 104 (macOS) or 108 bytes (Linux)."""


def folder() -> str:
    """The folder of the user's sockets; it may not be there yet, or not be the user's own."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base) and _is_private(base):
        path = os.path.join(base, "cyhot")
        if len(os.fsencode(path)) < _LONGEST - 30:
            return path
    base = os.environ.get("TMPDIR", "")
    if not os.path.isabs(base) or len(os.fsencode(base)) > _LONGEST - 50:
        base = "/tmp"
    return os.path.join(base, f"cyhot-{os.geteuid()}")


def _is_private(path: str) -> bool:
    try:
        st = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    is_folder = st.st_mode & 0o170000 == 0o040000
    return is_folder and st.st_uid == os.geteuid() and not st.st_mode & 0o077


def is_trusted(path: str) -> bool:
    """Whether a socket lies in a folder that nobody but the user can look into."""
    return _is_private(os.path.dirname(path))


def socket_path(look: Observer) -> str:
    """The socket for this process's Python and the Cython that it would import.

    Args:
        look: What finds Cython.

    Returns:
        `""` where there can be no worker: no Cython, or no such sockets or forks.
    """
    if not hasattr(os, "fork") or sys.platform in ("emscripten", "wasi"):
        return ""
    # In a program that has Python built in, that is the program, and would start once more.
    if not os.path.basename(sys.executable or "").startswith(("python", "pypy")):
        return ""
    cython, sig = look.tool(*CYTHON)
    if not cython:
        return ""
    # python, python3 and python3.11 of one environment are one Python.
    program = os.path.realpath(sys.executable)
    parts = (sys.version, sys.prefix, program, _here(), cython, sig, _view())
    return os.path.join(folder(), f"{digest(repr(parts).encode())[:20]}.socket")


def _here() -> tuple[str, object]:
    """Which cyhot this is."""
    path = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return path, file_sig(os.path.join(path, "__init__.py"))


def _view() -> str:
    """Which mounts this process sees: a container's worker has other headers and compilers."""
    try:
        return os.readlink("/proc/self/ns/mnt")
    except OSError:
        return ""
