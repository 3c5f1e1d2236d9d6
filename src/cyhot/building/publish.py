"""Writing to the store.

Invariant 2: what is published is complete. A file is written under another name, flushed to the
disk and renamed; an image's folder is filled below ``tmp/`` and renamed as a whole. A process
that is killed at any instant leaves a valid store, and at worst a folder in ``tmp/`` that the
next builder clears away: it bears the name of a lock that only its builder held.
"""

from __future__ import annotations

import atexit
import errno
import marshal
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from ..errors import StoreError
from ..events import Noticed, emit
from .observe import digest
from .recipe import FORMAT, KeyParts, origin_key
from .record import Closure, Record, dump_records
from .store import NOWHERE, Store

if TYPE_CHECKING:
    from filelock import BaseFileLock

MOST_RECORDS = 16
"""Records of one key: that many earlier states of a source are found again at once."""
FULL = (errno.ENOSPC, errno.EDQUOT)
_FOLDERS = (
    *("images", "prepared", "records", "closures", "heads", "origins", "parsed", "cache"),
    *("placed", "locks", "tmp"),
)
_LOOSE = ("keep", "write", "probe", "withdrawn")
_ABANDONED_AFTER = 3600
"""Seconds after which such a file in ``tmp/`` is nobody's: they live for milliseconds."""

_PREFIX = "cyhot-store-"
_BEING_MADE = 60
"""Seconds in which the maker of a temporary store surely got to locking it."""
_temporary: list[Store] = []
_making = threading.RLock()
"""Protects `_temporary`: the first thread makes the temporary store, the others use it."""


def _new_lock() -> None:
    global _making
    _making = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def refuse(root: str, st: os.stat_result) -> NoReturn:
    """Raise the error for a store that is not the user's alone, or no folder."""
    if not stat.S_ISDIR(st.st_mode):
        raise _no_folder(root)
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
        StoreError: If it is not the user's alone, no folder, or the disk is full.
    """
    problem = _unwritable(store)
    return _temporary_store(problem) if problem else store


def require(store: Store) -> None:
    """See that a store keeps what is built.

    Raises:
        StoreError: If it does not: what is built ahead would be lost with this process.
    """
    if problem := _unwritable(store):
        raise StoreError(f"{problem}, so nothing that is built would be kept. {_CHOOSE}")


def _unwritable(store: Store) -> str:
    """Why a store cannot be written, `""` if it can.

    Raises:
        StoreError: As `writable`.
    """
    try:
        _prepare(store)
        return ""
    except OSError as error:
        if error.errno in FULL:
            raise full(store.root) from error
        if os.path.exists(store.root) and not os.path.isdir(store.root):
            raise _no_folder(store.root) from error
        if store.root == NOWHERE:
            return "there is no home folder to keep images in"
        return f"{store.root} cannot be written ({error.strerror})"


_CHOOSE = "Choose another store with build_dir= or CYHOT_BUILD_DIR."


def _no_folder(root: str) -> StoreError:
    return StoreError(f"{root}: is no folder, so it cannot hold images. {_CHOOSE}")


def find_fault(store: Store) -> str:
    """What is wrong with a store, `""` for nothing. It is not made, if it is not there yet.

    Raises:
        StoreError: If it is not the user's alone, or no folder.
    """
    if store.trusted() and not os.path.isdir(store.root):
        raise _no_folder(store.root)
    place = store.root
    while not os.path.exists(place):
        place = os.path.dirname(place)
    try:
        # What may be written is not all to be read from modes: /proc lets root, and takes nothing.
        os.rmdir(tempfile.mkdtemp(prefix="cyhot-probe-", dir=place))
    except OSError as error:
        return f"{store.root} cannot be written ({error.strerror})"
    return ""


def temporary() -> Store | None:
    """The temporary store that this process uses, if it has one."""
    return _temporary[0] if _temporary else None


def _prepare(store: Store) -> None:
    os.makedirs(store.root, mode=0o700, exist_ok=True)
    store.trusted()  # before anything is put into somebody else's folder
    for name in _FOLDERS:
        os.makedirs(store.path(name), mode=0o700, exist_ok=True)
    # A read-only file system lets makedirs pass where everything is there already.
    descriptor, path = tempfile.mkstemp(prefix="probe-", dir=store.path("tmp"))
    os.close(descriptor)
    os.unlink(path)


def _temporary_store(problem: str) -> Store:
    with _making:
        # A forked child goes on in its parent's, until that ends and takes it away.
        if not _temporary or not os.path.isdir(_temporary[0].root):
            _temporary[:] = [_make_temporary(problem)]
        return _temporary[0]


def _make_temporary(problem: str) -> Store:
    try:
        made = Store(tempfile.mkdtemp(prefix=_PREFIX))
        _prepare(made)
    except OSError as fault:
        if fault.errno in FULL:
            raise full(tempfile.gettempdir()) from fault
        raise StoreError(f"{problem}, and no temporary folder either: {fault}") from fault
    alive = _lock(made.path("alive"))
    alive.acquire()
    atexit.register(_remove, made.root, os.getpid(), alive)
    _clear_temporary(made.root)
    emit(Noticed(f"{problem}; what is built is kept for this process only. {_CHOOSE}"))
    return made


def _remove(root: str, owner: int, alive: BaseFileLock) -> None:
    if os.getpid() == owner:  # a forked child must not take its parent's images away
        shutil.rmtree(root, ignore_errors=True)
        alive.release()


def _clear_temporary(own: str) -> None:
    """Remove the temporary stores of processes that were killed."""
    with os.scandir(os.path.dirname(own)) as entries:
        others = [e for e in entries if e.name.startswith(_PREFIX) and e.path != own]
    for entry in others:
        try:
            st = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        alive = os.path.join(entry.path, "alive")
        young = time.time() - st.st_mtime < _BEING_MADE
        if young or not stat.S_ISDIR(st.st_mode) or st.st_uid != os.geteuid():
            continue
        if os.path.exists(alive):
            with if_free(alive) as free:
                if free:
                    shutil.rmtree(entry.path, ignore_errors=True)


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
    descriptor, temporary = tempfile.mkstemp(prefix="write-", dir=store.path("tmp"))
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
    # Not durable: what a power cut leaves of it is no record, and the module is built again.
    write(store, f"records/{key[:2]}/{key}", dump_records(kept), durable=False)
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
    rows = ([(row[0], row[2]) for row in closure.files], [(r[0], *r[2:]) for r in closure.dirs])
    # Another cyhot that uses this store as well may not be able to read it.
    content = (FORMAT, *rows)
    name = digest(repr(content).encode())
    write(store, f"closures/{name}", closure.dump(), durable=False)
    return name


# Building ------------------------------------------------------------------------------------


def _lock(path: str) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(path, mode=0o600)


@contextmanager
def building(store: Store, key: str, name: str, say_after: float) -> Iterator[None]:
    """Hold the lock of a key: one builder across processes and threads, the others wait.

    The system lets go of it when its holder dies, however that happens.

    Args:
        store: The store.
        key: The key that is built.
        name: The module's name, for whoever waits.
        say_after: After how many seconds to say that it waits for somebody.
    """
    from filelock import Timeout

    lock = _lock(store.path("locks", key))
    try:
        lock.acquire(timeout=say_after, poll_interval=0.02)
    except Timeout:
        emit(Noticed(f"waiting for another process that builds {name}"))
        lock.acquire(poll_interval=0.05)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def if_free(path: str) -> Iterator[bool]:
    """Hold a lock if nobody does; gives whether that is so."""
    from filelock import Timeout

    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def workshop(store: Store, key: str) -> Iterator[str]:
    """A temporary folder to build in; it is gone afterwards, or published.

    Args:
        store: The store.
        key: What is built; the caller is in `building` for it.
    """
    clear_abandoned(store, key)
    folder = tempfile.mkdtemp(prefix=f"{key}-", dir=store.path("tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(store: Store, building_key: str = "") -> None:
    """Remove what builders that were killed left in ``tmp/``.

    A process id would not tell: a store on a network drive, or one that containers share, has
    builders that this system does not know. A lock that can be had has no builder anywhere.

    Args:
        store: The store.
        building_key: The key whose lock the caller holds.
    """
    with os.scandir(store.path("tmp")) as entries:
        found = list(entries)
    for entry in found:
        key, dash, _ = entry.name.partition("-")
        if dash and key == building_key:
            _discard(entry)
        elif dash and is_digest(key):
            with if_free(store.path("locks", key)) as free:
                if free:
                    _discard(entry)
        elif dash and key in _LOOSE and _age(entry) > _ABANDONED_AFTER:
            _discard(entry)


def _discard(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        _unlink(entry.path)


def _age(entry: os.DirEntry[str]) -> float:
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def is_digest(name: str) -> bool:
    """Whether a name is one that `digest` gives; of any other file cyhot keeps its hands off."""
    return re.fullmatch(r"[0-9a-f]{32}", name) is not None


# Images --------------------------------------------------------------------------------------


def publish_image(
    store: Store,
    folder: str,
    name: str,
    kind: str = "images",
    finished: Container[str] = (),
) -> str:
    """Publish a folder of `workshop` as an image.

    Args:
        store: The store that the folder is in.
        folder: The folder; it is renamed.
        name: The image's digest.
        kind: Which folder of the store it belongs to.
        finished: Files in it that `finish` was called for.

    Returns:
        The folder's path now.
    """
    for path, _size in _files(folder):
        if path not in finished:
            finish(path)
    target = store.path(kind, name[:2], name)
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    try:
        os.rename(folder, target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        _replace_folder(folder, target)
    _sync(os.path.dirname(target))
    return target


def _files(folder: str) -> list[tuple[str, int]]:
    with os.scandir(folder) as entries:
        return [(entry.path, entry.stat().st_size) for entry in entries if entry.is_file()]


def _replace_folder(folder: str, target: str) -> None:
    """The image is there already: keep what is mapped, unless it is damaged."""
    there = {os.path.basename(path): size for path, size in _files(target)}
    if all(there.get(os.path.basename(path)) == size for path, size in _files(folder)):
        return
    aside = f"{folder}-aside"
    os.rename(target, aside)
    os.rename(folder, target)
    shutil.rmtree(aside, ignore_errors=True)


def finish(path: str) -> None:
    """Close a file to others and see it onto the disk: compilers go by the umask."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o700)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: str) -> None:
    """See a folder's entries onto the disk, where a folder can be opened."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def withdraw_image(store: Store, folder: str) -> None:
    """Take an image out of the store as a whole. Processes that have it mapped go on with it."""
    aside = store.path("tmp", f"withdrawn-{os.getpid()}-{time.time_ns()}")
    try:
        os.rename(folder, aside)
    except OSError:
        return  # somebody else did
    shutil.rmtree(aside, ignore_errors=True)
