"""How much the store holds, and removing what was not used for the longest time."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from .store import Store


@dataclass(frozen=True)
class Stored:
    """One image in the store.

    Attributes:
        folder: Its folder.
        size: Bytes of all files in it.
        used: When it was last used, seconds since the epoch, to within a day.
    """

    folder: str
    size: int
    used: float


@dataclass(frozen=True)
class Usage:
    """What the store holds.

    Attributes:
        path: Its root.
        images: How many images.
        bytes: Bytes of all files.
        limit: The size that it is kept below.
    """

    path: str
    images: int
    bytes: int
    limit: int

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def images(store: Store) -> Iterator[Stored]:
    """All images."""
    for group in _entries(store.path("images")):
        for image in _entries(group.path):
            yield _stored(image.path)


def _stored(folder: str) -> Stored:
    size, used = 0, 0.0
    for path, _dirs, files in os.walk(folder):
        for name in files:
            try:
                st = os.stat(os.path.join(path, name))
            except OSError:
                continue
            size += st.st_size
            used = max(used, st.st_atime, st.st_mtime)
    return Stored(folder, size, used)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def usage(store: Store, limit: int) -> Usage:
    """Count what is there."""
    found = list(images(store))
    other = sum(
        _stored(entry.path).size for entry in _entries(store.root) if entry.name != "images"
    )
    return Usage(store.root, len(found), sum(image.size for image in found) + other, limit)


def evict(store: Store, limit: int) -> list[Stored]:
    """Remove the images that were not used for the longest time, until the rest fit.

    Args:
        store: The store.
        limit: Bytes that may stay.

    Returns:
        What was removed. Processes that have it mapped go on with it.
    """
    found = sorted(images(store), key=lambda image: image.used)
    total = sum(image.size for image in found)
    removed = []
    for image in found:
        if total <= limit:
            break
        shutil.rmtree(image.folder, ignore_errors=True)
        total -= image.size
        removed.append(image)
    return removed


def evict_now_and_then(store: Store, limit: int) -> None:
    """Keep the store below its limit; looks at most once an hour."""
    stamp = store.path("cache", "evicted")
    try:
        if time.time() - os.stat(stamp).st_mtime < 3600:
            return
    except OSError:
        pass
    try:
        with open(stamp, "wb"):
            os.utime(stamp)
        total = sum(image.size for image in images(store))
        if total > limit:
            evict(store, limit * 4 // 5)
    except OSError:
        pass  # somebody else evicts, or it is read-only


def clean(store: Store) -> Usage:
    """Remove everything that cyhot put into the store; locks stay, builders may hold them.

    Returns:
        What was there before.
    """
    before = usage(store, 0)
    for name in ("records", "origins", "closures", "parsed", "cache", "images"):
        for entry in _entries(store.path(name)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                try:
                    os.unlink(entry.path)
                except OSError:
                    pass
    return before
