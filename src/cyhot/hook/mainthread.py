"""Loading `threading` in a thread that is not the main one, with the main one known as such.

Up to Python 3.12, `threading` takes the thread that imports it first for the main thread: in a
program that has no threads of its own, asyncio and signal handling would then refuse to work in
the real one. And an interpreter that ends while the module is half loaded says so. So it is
loaded aside, mended, and put into `sys.modules` whole.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock, get_ident
from importlib.util import find_spec, module_from_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load_threading(main: int) -> None:
    """Have `threading` in `sys.modules`, whoever the caller is.

    Args:
        main: The main thread's identifier.
    """
    if "threading" in sys.modules:
        return
    spec = find_spec("threading")
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.main_thread().ident == get_ident() != main:
        _give_main_thread(module, main)
    sys.modules.setdefault("threading", module)


def _give_main_thread(threading: Any, main: int) -> None:
    """Make the main thread's object be the main thread's."""
    thread = threading.main_thread()
    with threading._active_limbo_lock:
        del threading._active[get_ident()]
        thread._ident = main
        if sys.platform == "linux":
            thread._native_id = os.getpid()
        threading._active[main] = thread
    with threading._shutdown_locks_lock:
        # That lock is held until *this* thread ends; the interpreter's end would wait for it.
        threading._shutdown_locks.discard(thread._tstate_lock)
    thread._tstate_lock = allocate_lock()
    thread._tstate_lock.acquire()  # as it has to be while the main thread runs
