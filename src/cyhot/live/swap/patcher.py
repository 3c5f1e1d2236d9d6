"""The part of a swap that writes to memory: `cyhot.live._patch`, compiled when it is first needed.

It is compiled by cyhot itself, for the Python and with the Cython that are in use, so that it
knows their objects' layouts.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from typing import Any

from ...errors import SwapError
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


@cache
def patcher() -> Any:
    """The compiled module.

    Raises:
        SwapError: If this interpreter is not supported.
        CompileError: If it does not compile.
    """
    if reason := refusal():
        raise SwapError(f"code cannot be swapped in place here: {reason}")
    return load(_SOURCE, "cyhot.live._patch", session=Session({"verbose": 0}, "cyhot"))
