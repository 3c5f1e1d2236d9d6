"""How much the store holds, and removing what was not used for the longest time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from .publish import clear_abandoned, is_digest, withdraw_image
from .record import load_records
from .store import SHARED, Store

_IN_USE = 600
"""Seconds in which what was just built stays, whatever the limit: its builder is about to load
it. (A loader that comes upon an image as it is evicted looks again.)"""


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


_KINDS = ("images", "prepared")


def images(store: Store) -> Iterator[Stored]:
    """All images, and what was prepared for building more of them."""
    for kind in _KINDS:
        for group in _entries(store.path(kind)):
            for image in _entries(group.path):
                # A folder that the user keeps other things in, too, may well have an images/.
                if is_digest(image.name) and image.name.startswith(group.name):
                    yield _stored(image.path, kind)


def _stored(folder: str, kind: str) -> Stored:
    size, used = 0, 0.0
    for path, _dirs, files in os.walk(folder):
        for name in files:
            try:
                st = os.stat(os.path.join(path, name))
            except OSError:
                continue
            if name.startswith(SHARED):
                # It is linked into many folders: each has its share of it. When it was used says
                # nothing of the image beside it.
                size += st.st_size // max(1, st.st_nlink)
                used = max(used, st.st_atime if kind == "prepared" else 0.0)
                continue
            size += st.st_size
            used = max(used, st.st_atime, st.st_mtime)
    return Stored(folder, size, used)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def usage(store: Store, limit: int) -> Usage:
    """Count what is there."""
    found = list(images(store))
    own = [image for image in found if image.folder.startswith(store.path("images", ""))]
    other = sum(_size(entry) for entry in _own_files(store))
    return Usage(store.root, len(own), sum(image.size for image in found) + other, limit)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0


_KEPT = ("records", "origins", "closures", "heads", "parsed", "cache")
_OWN_NAME = re.compile(r"(.+-)?[0-9a-f]{32}|evicted")


def _own_files(store: Store) -> Iterator[os.DirEntry[str]]:
    """What else cyhot put into the store and can find out again."""
    for kind in _KEPT:
        for entry in _entries(store.path(kind)):
            inside = _entries(entry.path) if kind == "records" else [entry]
            for file in inside:
                if _OWN_NAME.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                    yield file


def evict(store: Store, limit: int) -> list[Stored]:
    """Remove the images that were not used for the longest time, until the rest fit.

    Args:
        store: The store.
        limit: Bytes that the images may have together.

    Returns:
        What was removed. Processes that have it mapped go on with it.
    """
    found = sorted(images(store), key=lambda image: image.used)
    total = sum(image.size for image in found)
    removed = []
    for image in found:
        if total <= limit or time.time() - image.used < _IN_USE:
            break
        withdraw_image(store, image.folder)
        total -= image.size
        removed.append(image)
    if removed:
        _forget(store)
    return removed


def _forget(store: Store) -> None:
    """Remove the records that have no image left, and the lists that only they shared.

    And all heads: of those that still hold, the next processes write new ones.
    """
    shared: set[str] = set()
    for group in _entries(store.path("records")):
        for entry in _entries(group.path):
            records = load_records(store.read("records", group.name, entry.name))
            kept = [r for r in records if os.path.exists(store.path("images", r.image))]
            shared.update(record.shared for record in kept)
            if not kept and is_digest(entry.name) and not _is_new(entry):
                _unlink(entry)
    for entry in _entries(store.path("heads")):
        if is_digest(entry.name):
            _unlink(entry)
    for entry in _entries(store.path("closures")):
        if entry.name not in shared and is_digest(entry.name) and not _is_new(entry):
            _unlink(entry)


def _is_new(entry: os.DirEntry[str]) -> bool:
    """Whether a builder may have written it meanwhile, or be about to refer to it."""
    try:
        return time.time() - entry.stat().st_mtime < _IN_USE
    except OSError:
        return True


def _unlink(entry: os.DirEntry[str]) -> None:
    try:
        os.unlink(entry.path)
    except OSError:
        pass


def evict_now_and_then(store: Store, limit: int) -> None:
    """Keep the store below its limit; looks at most once an hour."""
    stamp = store.path("cache", "evicted")
    try:
        if time.time() - os.stat(stamp).st_mtime < 3600:
            return
    except OSError:
        pass
    store.keep("cache/evicted", b"")
    total = sum(image.size for image in images(store))
    if total > limit:
        evict(store, limit * 4 // 5)


def clean(store: Store) -> Usage:
    """Remove everything that cyhot put into the store and can make again.

    Locks stay, builders may hold them; so do the notes of what lies beside sources, since cyhot
    would not know its own files any more.

    Returns:
        What was there before.

    Raises:
        StoreError: If the store is not the user's alone.
    """
    if not store.trusted():
        return Usage(store.root, 0, 0, 0)
    before = usage(store, 0)
    for image in list(images(store)):
        withdraw_image(store, image.folder)
    for entry in list(_own_files(store)):
        _unlink(entry)
    try:
        clear_abandoned(store)
    except OSError:
        pass  # nothing was ever built here
    return before
