"""The C files that outlive their build: for debuggers, and for coverage.py.

An image is built in a temporary folder, which gets its name from all that the image was made of,
so only after the compiler has run. Debug information has the path of the C file in it: that one
is named after its own content, beforehand, and the image's folder has a hard link to it.
"""

from __future__ import annotations

import os
import shutil
import time

from .observe import digest, hash_file
from .store import Store

_FOLDER = ("cache", "c")
_DAY = 86_400


def settle(store: Store, path: str) -> str:
    """Keep a C file at a path that stays; returns that path.

    Args:
        store: Where it is kept.
        path: The C file in the folder of a build.
    """
    with open(path, "rb") as file:
        data = file.read()
    parts = (*_FOLDER, digest(data), os.path.basename(path))
    kept = store.path(*parts)
    try:
        os.utime(kept)  # so that nobody takes it for an orphan before it is linked to
    except OSError:
        store.keep("/".join(parts), data)
    _remove_orphans(store.path(*_FOLDER))
    try:
        os.link(kept, f"{path}~")
        os.replace(f"{path}~", path)
    except OSError:
        pass  # there are file systems without hard links
    return kept if os.path.exists(kept) else path


def _remove_orphans(folder: str) -> None:
    """Remove what no image's folder is linked to any more."""
    try:
        kept = list(os.scandir(folder))
    except OSError:
        return
    for entry in kept:
        try:
            files = [file.stat() for file in os.scandir(entry.path)]
        except OSError:
            continue
        if all(st.st_nlink == 1 and st.st_mtime < time.time() - _DAY for st in files):
            shutil.rmtree(entry.path, ignore_errors=True)


def has_debug_information(words: list[str]) -> bool:
    """Whether a compiler's options ask for debug information."""
    return any(word.startswith("-g") and word != "-g0" for word in words)


def source_root(path: str, name: str) -> str:
    """The folder that the file names in the generated C are relative to."""
    stem = os.path.splitext(path)[0]
    tail = os.sep + name.replace(".", os.sep)
    return stem[: -len(tail)] if stem.endswith(tail) else os.getcwd()


def note_traced(store: Store, c_path: str, source: str) -> None:
    """Remember which C file was traced lines of a source come from."""
    store.keep(_note(source), c_path.encode())


def traced(store: Store, source: str) -> str:
    """The C file that was generated from a source as it is now, `""` if none is known."""
    path = store.read(*_note(source).split("/")).decode()
    return path if path and os.path.exists(path) else ""


def _note(source: str) -> str:
    return f"cache/traced-{digest(f'{source}{chr(0)}{hash_file(source)}'.encode())}"
