"""Writing to the store.

Invariant 2: what is published is complete. A file is written under another name, flushed to the
disk and renamed; an image's folder is filled below ``tmp/`` and renamed as a whole. A process
that is killed at any instant leaves a valid store, and at worst a folder in ``tmp/`` that the
next builder clears away.
"""

from __future__ import annotations

import atexit
import errno
import marshal
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from ..errors import StoreError
from ..events import Noticed, emit
from .observe import digest
from .recipe import KeyParts, origin_key
from .record import Closure, Record, dump_closure, dump_records
from .store import Store

MOST_RECORDS = 16
"""Records of one key: that many earlier states of a source are found again at once."""
_FOLDERS = ("images", "records", "closures", "origins", "parsed", "cache", "locks", "tmp")
FULL = (errno.ENOSPC, errno.EDQUOT)

_temporary: list[Store] = []


def refuse(root: str, st: os.stat_result) -> NoReturn:
    """Raise the error for a store that is not the user's alone."""
    if st.st_uid != os.geteuid():
        raise StoreError(
            f"{root}: belongs to another user (uid {st.st_uid}); a store holds code that will "
            "run, so it must be your own. Choose another with build_dir= or CYHOT_BUILD_DIR."
        )
    raise StoreError(
        f"{root}: others can write to it (mode {st.st_mode & 0o777:o}); a store holds code that "
        f"will run. Close it with: chmod go-w {root}"
    )


# The store that is built in ------------------------------------------------------------------


def writable(store: Store) -> Store:
    """The store itself, or where it cannot be written, a private temporary one.

    Raises:
        StoreError: If it is not the user's alone, or the disk is full.
    """
    try:
        _prepare(store.root)
        store.trusted()
        return store
    except OSError as error:
        if error.errno in FULL:
            raise full(store.root) from error
        return _temporary_store(store, error)


def temporary() -> Store | None:
    """The temporary store that this process uses, if it has one."""
    return _temporary[0] if _temporary else None


def _prepare(root: str) -> None:
    os.makedirs(root, mode=0o700, exist_ok=True)
    for name in _FOLDERS:
        os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)
    # A read-only file system lets makedirs pass where everything is there already.
    descriptor, path = tempfile.mkstemp(dir=os.path.join(root, "tmp"))
    os.close(descriptor)
    os.unlink(path)


def _temporary_store(store: Store, error: OSError) -> Store:
    if not _temporary:
        root = tempfile.mkdtemp(prefix="cyhot-")
        emit(Noticed(
            f"{store.root} cannot be written ({error.strerror}); what is built is kept for this "
            "process only. Choose another store with build_dir= or CYHOT_BUILD_DIR."
        ))  # fmt: skip
        _prepare(root)
        _temporary.append(Store(root))
        atexit.register(_remove, root, os.getpid())
    return _temporary[0]


def _remove(root: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child must not take its parent's images away
        shutil.rmtree(root, ignore_errors=True)


def full(root: str) -> StoreError:
    """The error for a disk without space."""
    return StoreError(
        f"{root}: no space left for the image. Free some (cyhot cache clean removes images), or "
        "choose another store with build_dir= or CYHOT_BUILD_DIR."
    )


# Files ---------------------------------------------------------------------------------------


def write(store: Store, name: str, data: bytes, *, durable: bool = True) -> None:
    """Publish one file.

    Args:
        store: Where.
        name: Its path below the root, with slashes.
        data: Its content.
        durable: Whether it is to survive a power cut; a file that can be made again need not.
    """
    path = store.path(*name.split("/"))
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=store.path("tmp"))
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        _unlink(temporary)
        raise


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def publish_record(store: Store, key: str, parts: KeyParts, record: Record) -> None:
    """Put a record in front of the others of its key, and remember the key's parts."""
    others = [r for r in store.records(key) if r.digest != record.digest]
    kept = [record, *others][:MOST_RECORDS]
    write(store, f"records/{key[:2]}/{key}", dump_records(kept))
    write(store, f"origins/{origin_key(parts)}", marshal.dumps(parts), durable=False)


def last_parts(store: Store, origin: str) -> KeyParts | None:
    """The key parts of a module's newest build."""
    data = store.read("origins", origin)
    try:
        return marshal.loads(data) if data else None
    except (ValueError, EOFError, TypeError):
        return None


def publish_closure(store: Store, closure: Closure) -> str:
    """Publish a list of system files; returns its name."""
    content = ([(row[0], row[2]) for row in closure.files], [(r[0], *r[2:]) for r in closure.dirs])
    name = digest(repr(content).encode())
    write(store, f"closures/{name}", dump_closure(closure))
    return name


# Images --------------------------------------------------------------------------------------


@contextmanager
def workshop(store: Store) -> Iterator[str]:
    """A temporary folder to build in; it is gone afterwards, or published."""
    _clear_abandoned(store.path("tmp"))
    folder = tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=store.path("tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_abandoned(root: str) -> None:
    """Remove what builders that were killed left: theirs no longer run, or it is a day old."""
    for entry in os.scandir(root):
        try:
            age = time.time() - entry.stat().st_mtime
            owner = entry.name.partition("-")[0]
            if age > 86_400 or (age > 60 and owner.isdecimal() and not _runs(int(owner))):
                shutil.rmtree(entry.path, ignore_errors=True)
                _unlink(entry.path)
        except OSError:
            continue


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def publish_image(store: Store, folder: str, name: str) -> str:
    """Publish a folder of `workshop` as an image.

    Args:
        store: The store that the folder is in.
        folder: The folder; it is renamed.
        name: The image's digest.

    Returns:
        The folder's path now.
    """
    for entry in os.scandir(folder):
        if entry.is_file():
            _sync(entry.path)
    target = store.path("images", name[:2], name)
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    try:
        os.rename(folder, target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        _replace_folder(folder, target)
    _sync(os.path.dirname(target))
    return target


def _replace_folder(folder: str, target: str) -> None:
    """The image is there already: keep what is mapped, unless it is damaged."""
    if all(
        os.path.exists(os.path.join(target, entry.name)) for entry in os.scandir(folder)
    ) and all(
        entry.stat().st_size == os.stat(os.path.join(target, entry.name)).st_size
        for entry in os.scandir(folder)
    ):
        return
    aside = f"{folder}-aside"
    os.rename(target, aside)
    os.rename(folder, target)
    shutil.rmtree(aside, ignore_errors=True)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def building(store: Store, key: str, name: str, say_after: float) -> Iterator[None]:
    """Hold the lock of a key: one builder across processes and threads, the others wait.

    Args:
        store: The store.
        key: The key that is built.
        name: The module's name, for whoever waits.
        say_after: After how many seconds to say that it waits for somebody.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(store.path("locks", key), mode=0o600)
    try:
        lock.acquire(timeout=say_after, poll_interval=0.02)
    except Timeout:
        emit(Noticed(f"waiting for another process that builds {name}"))
        lock.acquire(poll_interval=0.05)
    try:
        yield
    finally:
        lock.release()
