"""The store, as far as an import needs it: where it is, whether it may be trusted, reading it.

Invariant 8: the store is code that will run. It belongs to the user alone, or it is refused.
Writing is in `publish`. This module is on the warm path.

Layout below the root::

    images/ab/<digest>/   one image: the extension module file, its C file, annotation, `meta`
    prepared/ab/<name>/   what makes builds faster: shared utility modules, headers (`prepare`)
    records/ab/<key>      the records of one key, newest first
    closures/<name>       system files that many records share
    heads/<name>          of a folder's records what shows that they are current (`heads`)
    origins/<name>        the newest key parts of a module, to say why another key came up
    parsed/<digest>       pyproject.toml settings, by the content that they were parsed from
    cache/<name>          answers of compilers, .pyxbld results, get_include() folders
    placed/<name>         what was put beside a source, so that only that is ever replaced
    locks/<key>           held by the one builder of a key
    tmp/<key>-*           where that builder works
"""

from __future__ import annotations

import marshal
import os
import sys
import time

from .observe import FileSig, Observer, digest, file_sig, hash_file
from .record import (
    Closure,
    Difference,
    Record,
    differences,
    dump_records,
    each_record,
    is_as_noted,
    refreshed,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any


MARKED_EVERY_NS = 86_400 * 10**9
"""An image in use is marked so once a day; see `Store.mark_used`."""
_PART = 1 << 16
_BINARY = getattr(os, "O_BINARY", 0)
NOWHERE = os.path.join(os.devnull, "cyhot")
"""A root that cannot be made: for a user who has no home folder."""


def default_root() -> str:
    """The user's cache folder for cyhot, as platformdirs has it; `NOWHERE` without a home.

    platformdirs itself is asked where the rule is not a line long: importing it would cost more
    than the whole rest of an import that has nothing to build.
    """
    if sys.platform in ("win32", "ios", "android"):
        from platformdirs import user_cache_dir

        return user_cache_dir("cyhot", appauthor=False)
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches/cyhot")
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    # Neither HOME nor an entry in the user database: "~" stays, and would be a folder right here.
    return os.path.join(base, "cyhot") if os.path.isabs(base) else NOWHERE


SHARED = "_cyhot_shared_"
"""The names of shared utility modules (see `shared`) start so."""


Want = tuple[str, str, str, tuple[tuple[str, tuple[str, ...]], ...]]
"""Something for `prepare` to make: its kind (``shared``, ``header``, ``look``), the store's root,
its name there, parameters. Marshal can write it."""


def make_want(kind: str, root: str, parameters: Mapping[str, Sequence[str]]) -> Want:
    """A want, named after its parameters."""
    rows = tuple((name, tuple(values)) for name, values in parameters.items())
    return kind, root, digest(repr((kind, rows)).encode()), rows


class Hit:
    """What a look into the store found.

    Attributes:
        image: Path of an image that matches its sources, `""` if there is none.
        record: The record of that image, or else the newest record there is.
        shared: That record's closure.
        differences: If there is no image: what differs from the newest record.
    """

    __slots__ = ("differences", "image", "record", "shared")

    def __init__(
        self,
        image: str,
        record: Record | None,
        shared: Closure | None,
        found: tuple[Difference, ...] = (),
    ) -> None:
        self.image = image
        self.record = record
        self.shared = shared
        self.differences = found

    @property
    def needs(self) -> tuple[str, ...]:
        """File names of what has to be loaded before the image."""
        return tuple(name for name, _size in self.record.needs) if self.record else ()


def needs_of(image: str) -> tuple[str, ...]:
    """The same for an image that was just built."""
    names = os.listdir(os.path.dirname(image))
    return tuple(name for name in names if name.startswith(SHARED))


class Store:
    """A folder of images and their records."""

    __slots__ = ("_closures", "_trusted", "root")

    def __init__(self, root: str) -> None:
        self.root = root
        self._closures: dict[str, Closure] = {}
        self._trusted = False

    def path(self, *parts: str) -> str:
        """A path below the root."""
        return os.path.join(self.root, *parts)

    def trusted(self) -> bool:
        """Whether the store is there.

        Raises:
            StoreError: If somebody else owns it or can write to it.
        """
        if not self._trusted:
            try:
                st = os.stat(self.root)
            except OSError:
                return False
            if sys.platform != "win32" and (st.st_uid != os.geteuid() or st.st_mode & 0o022):
                from .publish import refuse

                refuse(self.root, st)
            self._trusted = True
        return True

    def prepared(self, name: str, *parts: str) -> str:
        """The path of what was prepared under a name (see `prepare`)."""
        return self.path("prepared", name[:2], name, *parts)

    def read(self, *parts: str) -> bytes:
        """The bytes of a file in the store, none if it isn't there."""
        try:
            # Of an import that finds an image, `open` would take a tenth.
            descriptor = os.open(self.root + os.sep + os.sep.join(parts), os.O_RDONLY | _BINARY)
        except OSError:
            return b""
        try:
            data = part = os.read(descriptor, _PART)
            while len(part) == _PART:
                part = os.read(descriptor, _PART)
                data += part
            return data
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    def records(self, key: str) -> list[Record]:
        """The records of a key, newest first."""
        return [*self._each_record(key)]

    def _each_record(self, key: str) -> Iterable[Record]:
        data = self.read("records", key[:2], key) if self.trusted() else b""
        return each_record(data) if data else ()

    def closure(self, name: str) -> Closure | None:
        """The list of system files of that name."""
        data = self.read("closures", name) if name else b""
        return Closure.load(data) if data else None

    def image(self, record: Record) -> str:
        """The path of a record's image, `""` if it was evicted or damaged."""
        path = f"{self.root}{os.sep}images{os.sep}{record.image}"
        try:
            st = os.stat(path)
        except OSError:
            return ""
        if st.st_size != record.image_size or self._needed(record):
            return ""
        self.mark_used(path, st)
        return path

    def _needed(self, record: Record) -> str:
        """What of the files that an image needs beside it was lost or damaged."""
        for name, size in record.needs:
            path = f"{os.path.dirname(self.path('images', record.image))}{os.sep}{name}"
            sig = file_sig(path)
            if sig is None or sig[0] != size:
                return path
        return ""

    def mark_used(self, path: str, st: os.stat_result) -> None:
        """Note at most once a day that an image is in use; eviction goes by it."""
        now = time.time_ns()
        if now - st.st_atime_ns > MARKED_EVERY_NS:
            try:
                os.utime(path, ns=(now, st.st_mtime_ns))
            except OSError:
                pass  # a read-only store: nothing is evicted from it either

    def find(self, key: str, look: Observer) -> Hit:
        """Look for an image of this key that matches the sources as they are now."""
        newest: Hit | None = None
        for position, record in enumerate(self._each_record(key)):
            shared = self.shared(record.shared)
            if is_as_noted(record, shared, look):
                first = None
            else:
                first = next(differences(record, shared, look), None)
            image = "" if first else self.image(record)
            if image:
                learnt = refreshed(record, shared, look, look.distant.since)
                if learnt or position:
                    self._rewrite(key, record, shared)
                return Hit(image, record, shared)
            newest = newest or self._miss(record, shared, look)
        return newest or Hit("", None, None)

    def heads(self, name: str) -> bytes:
        """The bytes of a file of heads, none if it isn't there."""
        return self.read("heads", name) if self.trusted() else b""

    def shared(self, name: str) -> Closure | None:
        """The closure of that name, read once: the name says what is in it."""
        if name not in self._closures:
            shared = self.closure(name)
            if shared is None:
                return None
            self._closures[name] = shared
        return self._closures[name]

    def _miss(self, record: Record, shared: Closure | None, look: Observer) -> Hit:
        found = tuple(differences(record, shared, look))
        lost = self._needed(record)
        name = os.path.basename(lost) if lost else record.image
        return Hit("", record, shared, found or (("lost", name, "", ""),))

    def _rewrite(self, key: str, record: Record, shared: Closure | None) -> None:
        """Write down what was learnt, so that the next process need not look so closely."""
        known = self.records(key)  # again: a builder must not lose what it added meanwhile
        others = [other for other in known if other.digest != record.digest]
        if len(others) == len(known):
            return  # it was removed meanwhile
        self.keep(f"records/{key[:2]}/{key}", dump_records([record, *others]))
        if shared is not None:
            self.keep(f"closures/{record.shared}", shared.dump())

    def keep(self, name: str, data: bytes) -> None:
        """Keep something that can be found out again; where it can't be kept, it isn't.

        Args:
            name: Its path below the root, with slashes.
            data: Its content. A power cut may lose it, a reader never sees a part of it.
        """
        temporary = self.path("tmp", f"keep-{os.getpid()}-{time.time_ns()}")
        path = self.path(*name.split("/"))
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            return
        try:
            try:
                whole = os.write(descriptor, data) == len(data)
            finally:
                os.close(descriptor)
            if whole:  # a disk that fills up takes the first part without an error
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                os.replace(temporary, path)
                return
        except OSError:
            pass
        try:
            os.unlink(temporary)
        except OSError:
            pass

    def placed(self, target: str) -> str | None:
        """The content hash of a file that cyhot put there and nobody changed, else None."""
        data = self.read("placed", _target_name(target))
        there = file_sig(target)
        try:
            sig, contents = marshal.loads(data)
        except (ValueError, EOFError, TypeError):
            return None
        if there is None:
            return None
        present = str(contents[-1]) if there == sig else hash_file(target)
        return present if present in contents else None

    def note_placed(self, target: str, sig: FileSig | None, contents: tuple[str, ...]) -> None:
        """Note what a file that cyhot puts somewhere may contain, for `placed`."""
        self.keep(f"placed/{_target_name(target)}", marshal.dumps((sig, contents)))

    def delivered(self, key: str, image: str, wanted: str) -> bool:
        """Whether an image's copies (see `deliver`) are as they were left.

        Args:
            key: The module's key.
            image: The image.
            wanted: Which copies the settings ask for.
        """
        data = self.read("placed", key)
        try:
            before, files = marshal.loads(data)
        except (ValueError, EOFError, TypeError):
            return False
        return before == (image, wanted) and all(file_sig(path) == sig for path, sig in files)

    def keep_delivered(self, key: str, image: str, wanted: str, paths: list[str]) -> None:
        """Note the copies of an image, for `delivered`."""
        files = [(path, file_sig(path)) for path in paths]
        self.keep(f"placed/{key}", marshal.dumps(((image, wanted), files)))

    def parsed(self, path: str, data: bytes) -> Any:
        """What `keep_parsed` kept for a pyproject.toml with these bytes, None for nothing."""
        kept = self.read("parsed", _parsed_name(path, data)) if self.trusted() else b""
        try:
            return marshal.loads(kept) if kept else None
        except (ValueError, EOFError, TypeError):
            return None

    def keep_parsed(self, path: str, data: bytes, tables: Any) -> None:
        """Keep the settings in a pyproject.toml: parsing TOML costs more than all the rest."""
        self.keep(f"parsed/{_parsed_name(path, data)}", marshal.dumps(tables))


def _target_name(target: str) -> str:
    return digest(os.fsencode(target))


def _parsed_name(path: str, data: bytes) -> str:
    return digest(_PARSED + path.encode("utf-8", "surrogateescape") + b"\0" + data)


_PARSED = b"2\0"
"""Another one for each form that parsed settings had."""
