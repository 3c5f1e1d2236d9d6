"""The part of a swap that writes to memory: `cyhot.live._patch`, compiled when it is first needed.

It is compiled by cyhot itself, for the Python and with the Cython that are in use, so that it
knows their objects' layouts.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from typing import Any

from ...errors import SwapError
from ...hook import current_session
from ...hook.commands import load
from ...hook.session import Session

_SOURCE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "_patch.pyx")


def refusal() -> str:
    """Why code cannot be swapped in place by this interpreter, ``""`` if it can."""
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} keeps its objects in another way than CPython"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python has no GIL, and other threads cannot be held still for the swap"
    if sys.platform == "win32":
        return "Windows' loader is not supported yet"
    return ""


_module: Any = None
# Protects the making of `_module`: two threads that load it would have two kinds of its classes.
_loading = threading.RLock()


def patcher() -> Any:
    """The compiled module.

    Raises:
        SwapError: If this interpreter is not supported.
        CompileError: If it does not compile.
    """
    global _module
    with _loading:
        if _module is None:
            if reason := refusal():
                raise SwapError(f"code cannot be swapped in place here: {reason}")
            # As loud as the program's own builds: there may be one at the same time.
            verbose = current_session().process_settings()["verbose"]
            session = Session({"verbose": verbose}, "cyhot")
            _module = load(_SOURCE, "cyhot.live._patch", session=session)
        return _module


def _after_fork() -> None:
    global _loading
    _loading = threading.RLock()  # its owner may be a thread that only the parent has


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
