"""Heads: what of many records is needed to see that nothing changed, in one file for a folder.

A program that imports hundreds of modules would read hundreds of records. A *head* is what an
unchanged module needs of its record: the signatures of its own files and folders, its image, and
the *ground* that it stands on, which many modules share: tools, sys.path, system headers, what
lies outside the project. Heads are a copy of what records say, and each is compared with the file
system before it is believed, as records are: lost, damaged or old ones cost time, never truth.

What a head holds was settled when it was noted (see `observe.CLOCK_TICK_NS`), so equal signatures
are enough. Whatever is not that simple (a pattern of files, copies beside the source, something
young) has no head.

On the warm path.
"""

from __future__ import annotations

from _operator import attrgetter
from os import stat

from . import looks
from .observe import Observer, digest, is_young
from .record import dir_differences, is_as_noted_closure, sealed, split_names, unsealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .observe import DirSig, FileSig
    from .record import Closure, DirRow, Record

    Sig = tuple[int, int, int, int]
    """Inode, mtime, ctime, size."""
    Head = tuple[tuple[str, ...], tuple[Sig, ...], int, str, int, tuple[tuple[str, int], ...]]
    """Paths of files and folders, the source first; their signatures; the ground's position; the
    image's path below the store's images/, its size, what has to lie beside it."""
    Tool = tuple[str, str, str, FileSig]
    GroundKey = tuple[tuple[str, ...], tuple[Tool, ...], str]
    """sys.path, tools, the name of the closure."""
    Ground = tuple[GroundKey, int, tuple[DirRow, ...]]
    """With the time that the rows are of."""

FORMAT = 3
_signature = attrgetter("st_ino", "st_mtime_ns", "st_ctime_ns", "st_size")


class Note:
    """A head that was found, with the ground that it stands on."""

    __slots__ = ("image", "key", "needs", "paths", "rows", "sigs", "since", "size")

    paths: tuple[str, ...]
    sigs: tuple[Sig, ...]
    image: str
    size: int
    needs: tuple[tuple[str, int], ...]
    key: GroundKey
    rows: tuple[DirRow, ...]
    since: int


def note(
    source: str, record: Record, look: Observer, settings: tuple[str, FileSig | None, Iterable[str]]
) -> Note | None:
    """The head of a record that was just found to be current.

    Args:
        source: The source's path.
        record: Its record.
        look: The observer that the record was checked with: what it saw is what is noted.
        settings: The pyproject.toml whose settings hold (`""` for none), its signature, and the
            folders in which another one would come before it.

    Returns:
        None where the record says more than a head can.
    """
    found, distant = Note(), look.distant
    files = {row[0]: look.seen_sig(row[0], row[1]) for row in record.files}
    dirs = {row[0]: look.seen_dir(row[0], row[1]) for row in record.dirs}
    path, sig, above = settings
    if path:
        files[path] = sig
    found.rows = tuple(
        (folder, distant.dir(folder) or (0, 0, 0), absent, present)
        for folder, _, absent, present in record.distant_dirs
    )
    covered = {row[0] for row in found.rows if "pyproject.toml" in split_names(row[2])}
    if record.globs or source not in files or not covered.union(dirs).issuperset(above):
        return None
    tools = tuple((row[0], row[1], *distant.tool(row[0], row[1])) for row in record.tools)
    if any(tool[3] is None or is_young(tool[3][1:3], distant.since) for tool in tools):
        return None
    paths = {source: files.pop(source), **files}
    sigs = [_of_file(one, look.since) for one in paths.values()]
    sigs += [_of_folder(folder, one, look.since) for folder, one in dirs.items()]
    if None in sigs:
        return None
    found.paths, found.sigs = (*paths, *dirs), tuple(sigs)  # type: ignore[arg-type]
    found.image, found.size, found.needs = record.image, record.image_size, record.needs
    found.key = (look.sys_path(), tools, record.shared)  # type: ignore[assignment]
    found.since = distant.since
    return found


def _of_file(sig: FileSig | None, since: int) -> Sig | None:
    if sig is None or is_young(sig[1:3], since):
        return None
    return sig[3], sig[1], sig[2], sig[0]


def _of_folder(path: str, sig: DirSig | None, since: int) -> Sig | None:
    if sig is None or is_young(sig[1:], since):
        return None
    try:
        now: Sig = _signature(stat(path))
    except OSError:
        return None
    return now if now[:3] == sig else None


class Heads:
    """The heads of one folder's modules, by the modules' names.

    Attributes:
        heads: The heads.
        grounds: What they stand on.
        images: The folder of the store's images, with a separator at the end.
        name: See `name_of`.
    """

    __slots__ = ("grounds", "heads", "images", "name")

    def __init__(self, images: str, name: str, data: bytes = b"") -> None:
        """Read them; damaged bytes, or another folder's, are none.

        Args:
            images: See the class.
            name: See the class.
            data: What `dump` made.
        """
        self.images = images
        self.name = name
        self.heads: dict[str, Head] = {}
        self.grounds: list[Ground] = []
        if data:
            try:
                written, grounds, heads = unsealed(data)
            except (ValueError, EOFError, TypeError):
                return
            if written == name:
                self.grounds, self.heads = grounds, heads

    def dump(self) -> bytes:
        """The bytes of a file of heads."""
        same: dict[Any, Any] = {}  # marshal writes one and the same object once
        once = same.setdefault
        heads = {
            name: (
                tuple(once(path, path) for path in head[0]),
                tuple(once(sig, sig) for sig in head[1]),
                *head[2:5],
                once(head[5], head[5]),
            )
            for name, head in self.heads.items()
        }
        return sealed((self.name, self.grounds, heads))

    def updated(self, notes: dict[str, Note]) -> Heads:
        """These heads, with newer ones, and without those that hold no more."""
        whole = Heads(self.images, self.name)
        kept = {n: h for n, h in self.heads.items() if n not in notes and self._holds(h)}
        used = sorted({head[2] for head in kept.values()})
        whole.grounds = [self.grounds[number] for number in used]
        for name, head in kept.items():
            whole.heads[name] = (*head[:2], used.index(head[2]), *head[3:])
        by_key: dict[GroundKey, list[Note]] = {}
        for one in notes.values():
            by_key.setdefault(one.key, []).append(one)
        position = {key: len(used) + number for number, key in enumerate(by_key)}
        whole.grounds += [_ground(key, together) for key, together in by_key.items()]
        for name, one in notes.items():
            number = position[one.key]
            whole.heads[name] = (one.paths, one.sigs, number, one.image, one.size, one.needs)
        return whole

    def _holds(self, head: Head) -> bool:
        status = looks.image_status(head[0], head[1], self.images + head[3])
        return status is not None and status[0] == head[4]


def _ground(key: GroundKey, notes: list[Note]) -> Ground:
    """One ground for modules that differ in nothing but names outside the project.

    It asks for all their names: more than each needs, and in most folders nothing ever changes.
    Where something did while they were noted, no signature stands for all the names.
    """
    sigs: dict[str, DirSig] = {}
    names: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for one in notes:
        for folder, sig, absent, present in one.rows:
            if sigs.setdefault(folder, sig) != sig:
                sigs[folder] = (0, 0, 0)
            both = names.setdefault(folder, ({}, {}))
            both[0].update(dict.fromkeys(split_names(absent)))
            both[1].update(dict.fromkeys(split_names(present)))
    rows = tuple((f, sigs[f], "\0".join(names[f][0]), "\0".join(names[f][1])) for f in sigs)
    return key, min(one.since for one in notes), rows


def holds(ground: Ground, shared: Closure | None, distant: Observer) -> bool:
    """Whether a ground is as it was noted.

    Args:
        ground: The ground.
        shared: Its closure, None if that is lost.
        distant: Who looks at what is distant.
    """
    (sys_path, tools, closure), as_of, rows = ground
    if distant.sys_path() != sys_path:
        return False
    for kind, request, path, sig in tools:
        if distant.tool(kind, request) != (path, sig):
            return False
    if next(dir_differences(rows, as_of, distant), None):
        return False
    return not closure if shared is None else is_as_noted_closure(shared, distant)


def name_of(folder: str, session: str) -> str:
    """The name of the file of a folder's heads.

    Args:
        folder: The folder.
        session: What its modules' settings are made of besides files.
    """
    return digest(f"{FORMAT}\0{folder}\0{session}".encode("utf-8", "surrogateescape"))
