"""Building a module from the folder that its package is in, whether that is on sys.path or not.

A program that imports ``pkg.mod`` has the folder of ``pkg`` on sys.path. Who builds the module
ahead of it (``cyhot build src/pkg``) need not, but has to search where the program does: else the
program finds what the build did not, and builds again.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .observe import Inserted, path_entries, this_thread
from .request import Source

_lock = threading.RLock()
"""Held while sys.path has an entry for one build: Cython searches it as it is."""


def _be_a_child() -> None:
    """Forget a build that another thread was at, which a forked child does not have."""
    global _lock
    _lock = threading.RLock()
    sys.path[:] = [entry for entry in sys.path if type(entry) is not Inserted]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_be_a_child)


def root_of(source: Source) -> str:
    """The folder that has to be on sys.path for a source to be imported by its module's name."""
    folder = os.path.dirname(source.path)
    for _ in range(source.name.count(".") + source.is_package):
        folder = os.path.dirname(folder)
    return folder


@contextmanager
def searching(source: Source) -> Iterator[None]:
    """Have this thread search the root of a source's package as well, before all else.

    Nothing changes where it is on sys.path already. Each build has its own root, and not those of
    others: of two modules with one name each has to find what is beside it.
    """
    before, this_thread.root = this_thread.root, root_of(source)
    try:
        yield
    finally:
        this_thread.root = before


@contextmanager
def on_sys_path() -> Iterator[None]:
    """Have sys.path be what this thread searches."""
    with _lock:  # from here on there is no other build's entry
        entries = path_entries()
        if len(entries) == len(sys.path):
            yield
            return
        entry = Inserted(entries[0])
        sys.path.insert(0, entry)
        try:
            yield
        finally:
            sys.path[:] = [one for one in sys.path if one is not entry]
