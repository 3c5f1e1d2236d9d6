"""Building a module from the folder that its package is in, whether that is on sys.path or not.

A program that imports ``pkg.mod`` has the folder of ``pkg`` on sys.path. Who builds the module
ahead of it (``cyhot build src/pkg``) need not, but has to search where the program does: else the
program finds what the build did not, and builds again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .observe import this_thread
from .request import Source


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
