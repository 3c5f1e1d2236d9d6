"""What an image was built from, and whether all of that is still so.

Invariant 1: an image is loaded only if its record matches the sources as they are now.
`differences` decides; whatever it cannot prove to be unchanged is a difference. A file is
unchanged if size, mtime, ctime and inode are, and if it is older than the clock tick in which
they were noted; else its content is hashed.

On the warm path: a record is read with marshal and checked with one stat per file and folder;
what all records share is looked at once for decisions in quick succession (`observe.Recent`).
"""

from __future__ import annotations

import marshal
import os
from _imp import source_hash
from _operator import itemgetter  # `operator` itself takes a millisecond

from . import looks
from .observe import (
    CLOCK_TICK_NS,
    DirSig,
    FileSig,
    Observer,
    dir_sig,
    file_sig,
    fits,
    is_settled,
    is_young,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

FileRow = tuple[str, FileSig, str, str, str]
"""Path, signature, content hash, relation (``"cimported by"`` ...), whom it is a relation to."""
DirRow = tuple[str, DirSig, str, str]
"""Folder, signature, names that must be absent, names that must be present: joined by NUL, since
they are many and seldom looked at. ``a*b`` stands for every name that starts with a and ends with
b, and ``a/`` for a folder of that name."""
GlobRow = tuple[str, tuple[str, ...], tuple[tuple[str, DirSig | None], ...]]
"""Pattern, the files it named, the folders that it looked into."""
ToolRow = tuple[str, str, str, FileSig | None, str]
"""Kind, request, path, signature, identity (see `Observer.tool`)."""
LookupRow = tuple[str, str, bool, bool, str, tuple[str, ...], str]
Difference = tuple[str, str, str, str]
"""Kind, subject, before, after."""


class Record:
    """One image and everything that it depends on."""

    __slots__ = (
        "as_of",
        "built_at",
        "cython_version",
        "digest",
        "dirs",
        "distant_dirs",
        "files",
        "globs",
        "image",
        "image_size",
        "lookups",
        "needs",
        "reasons",
        "seconds",
        "shared",
        "standard",
        "sys_path",
        "tools",
    )

    image: str  # the image's path below the store's images/
    image_size: int
    needs: tuple[tuple[str, int], ...]  # files that must lie beside the image, and their sizes
    digest: str
    as_of: int  # when the signatures were noted, ns since the epoch
    files: tuple[FileRow, ...]
    dirs: tuple[DirRow, ...]
    distant_dirs: tuple[DirRow, ...]  # above the project, and where Cython searched installations
    globs: tuple[GlobRow, ...]
    tools: tuple[ToolRow, ...]
    shared: str  # the Closure of system files, by name
    lookups: tuple[LookupRow, ...]
    sys_path: tuple[str, ...]
    standard: str  # Cython's Includes folder
    cython_version: int
    reasons: tuple[str, ...]  # why it was built
    built_at: int
    seconds: float

    def pack(self) -> tuple[Any, ...]:
        """The record as a tuple that marshal can write."""
        return tuple(getattr(self, name) for name in self.__slots__)

    @classmethod
    def unpack(cls, values: tuple[object, ...]) -> Record:
        """The record that `pack` made the tuple of."""
        record = cls()
        for name, value in zip(cls.__slots__, values, strict=True):
            setattr(record, name, value)
        return record


class Closure:
    """System files (compiler's, Python's, installed packages') that many images share.

    And the folders in which the C compiler looked for them.

    Attributes:
        as_of: When the signatures were noted, ns since the epoch.
        noted: The paths of the files and their signatures, the same of the folders, and the
            youngest time in any signature. Nearly always nothing else is asked for.
    """

    __slots__ = ("_more", "as_of", "noted")

    # Tuples: the collector passes over those that it finds to hold nothing of its own.
    noted: tuple[tuple[str, ...], tuple[FileSig, ...], tuple[str, ...], tuple[DirSig, ...], int]
    _more: bytes  # what the rows say besides; only marshal's bytes, until somebody asks

    def __init__(self, files: tuple[FileRow, ...], dirs: tuple[DirRow, ...], as_of: int) -> None:
        self.note(files, dirs, as_of)

    def note(self, files: tuple[FileRow, ...], dirs: tuple[DirRow, ...], as_of: int) -> None:
        """Have these rows from now on."""
        sigs, folder_sigs = tuple(row[1] for row in files), tuple(row[1] for row in dirs)
        youngest = max(map(max, map(_times, (*sigs, *folder_sigs))), default=0)
        paths, folders = tuple(row[0] for row in files), tuple(row[0] for row in dirs)
        self.noted = paths, sigs, folders, folder_sigs, youngest
        self._more = marshal.dumps(([row[2:] for row in files], [row[2:] for row in dirs]))
        self.as_of = as_of

    @property
    def files(self) -> tuple[FileRow, ...]:
        """The files."""
        rows = zip(*self.noted[:2], marshal.loads(self._more)[0], strict=True)
        return tuple((path, sig, *more) for path, sig, more in rows)

    @property
    def dirs(self) -> tuple[DirRow, ...]:
        """The folders."""
        rows = zip(*self.noted[2:4], marshal.loads(self._more)[1], strict=True)
        return tuple((path, sig, *more) for path, sig, more in rows)

    def dump(self) -> bytes:
        """The bytes of a closure file."""
        return sealed((self.noted, self.as_of, self._more))

    @classmethod
    def load(cls, data: bytes) -> Closure | None:
        """The closure in a file's bytes, None if it is damaged, or another cyhot's."""
        closure = cls.__new__(cls)
        try:
            closure.noted, closure.as_of, closure._more = unsealed(data)
            return closure if len(closure.noted) == _NOTED else None
        except (ValueError, EOFError, TypeError):
            return None


_NOTED = 5
_times = itemgetter(1, 2)


def dump_records(records: list[Record]) -> bytes:
    """The bytes of a record file."""
    return sealed([marshal.dumps(record.pack()) for record in records])


def each_record(data: bytes) -> Iterator[Record]:
    """The records in a file's bytes, one at a time: nearly always the first is what is wanted.

    There are none if the file is damaged, or another cyhot's.
    """
    try:
        for packed in unsealed(data):
            yield Record.unpack(marshal.loads(packed))
    except (ValueError, EOFError, TypeError):
        return


def load_records(data: bytes) -> list[Record]:
    """All of `each_record`."""
    return list(each_record(data))


def sealed(values: Any) -> bytes:
    """Values as bytes, with a checksum: marshal reads damaged ones as other values, or crashes."""
    data = marshal.dumps(values)
    return source_hash(_SEAL_KEY, data) + data


def unsealed(data: bytes) -> Any:
    """What `sealed` made bytes of.

    Raises:
        ValueError: If they are damaged, or another cyhot's; EOFError or TypeError, too.
    """
    seal, data = data[:_SEAL], data[_SEAL:]
    if source_hash(_SEAL_KEY, data) != seal:
        raise ValueError("damaged")
    return marshal.loads(data)


_SEAL = 8
_SEAL_KEY = 0x63_79_68_6F_74
"""What `source_hash` (SipHash, by which Python knows a .pyc file's source) takes for a key: no
secret. A tenth of the time of `digest`, and enough against damage."""


def is_as_noted(record: Record, shared: Closure | None, look: Observer) -> bool:
    """Whether there is no difference, because all signatures are those that were noted.

    That is the rule where nothing changed, and this is the quick way to see it; where it is not
    so, `differences` decides.

    Args:
        record: The record.
        shared: Its closure of system files, None if that is lost.
        look: The world as it is now.
    """
    limit, distant = record.as_of - CLOCK_TICK_NS, look.distant
    for row in record.files:
        sig = row[1]
        if file_sig(row[0]) != sig or sig[1] > limit or sig[2] > limit:
            return False
    for folder in record.dirs:
        known = folder[1]
        if dir_sig(folder[0]) != known or known[1] > limit or known[2] > limit:
            return False
    # Not just noted or not: in /tmp or a home folder something comes and goes all the time.
    if next(dir_differences(record.distant_dirs, record.as_of, distant), None):
        return False
    for kind, request, path, tool, _ident in record.tools:
        if tool is None or distant.tool(kind, request) != (path, tool):
            return False
        if tool[1] > limit or tool[2] > limit:
            return False
    if record.globs or look.sys_path() != record.sys_path:
        return False
    if shared is None:
        return not record.shared
    return is_as_noted_closure(shared, distant)


def is_as_noted_closure(shared: Closure, distant: Observer) -> bool:
    """Whether all signatures in a closure are those that were noted; asked once of an observer."""
    question = ("as noted", shared)
    return bool(distant.once(question, lambda: _are_as_noted(shared, distant)))


def _are_as_noted(shared: Closure, distant: Observer) -> bool:
    paths, sigs, folders, folder_sigs, youngest = shared.noted
    if youngest > shared.as_of - CLOCK_TICK_NS:
        return False
    return _have(paths, sigs, "smci", distant) and _have(folders, folder_sigs, "imc", distant)


def _have(
    paths: tuple[str, ...],
    sigs: tuple[Any, ...],
    fields: str,
    distant: Observer,
) -> bool:
    """Whether these are their signatures; closures differ in a few of hundreds of files."""
    found: dict[str, Any] = distant.once(("signatures", fields), dict)
    if found:
        new = [(path, sig) for path, sig in zip(paths, sigs, strict=True) if found.get(path) != sig]
        paths, sigs = tuple(path for path, _ in new), tuple(sig for _, sig in new)
    if not looks.are_as_noted(paths, sigs, fields):
        return False
    found.update(zip(paths, sigs, strict=True))
    return True


def differences(record: Record, shared: Closure | None, look: Observer) -> Iterator[Difference]:
    """All in which the world differs from what the record was made from; nothing if it's current.

    Args:
        record: The record.
        shared: Its closure of system files, None if that is lost.
        look: The world as it is now.

    Yields:
        (kind, subject, before, after), the likeliest first. The caller that only wants to know
        *whether* takes the first.
    """
    yield from _file_differences(record.files, record.as_of, look)
    yield from dir_differences(record.dirs, record.as_of, look)
    yield from _glob_differences(record.globs, record.as_of, look)
    distant = look.distant
    yield from _tool_differences(record.tools, record.as_of, distant)
    yield from dir_differences(record.distant_dirs, record.as_of, distant)
    yield from _search_differences(record, look)
    if shared is not None:
        yield from distant.once(shared, lambda: _closure_differences(shared, distant))
    elif record.shared:
        yield "lost", "the list of system headers", "", ""


def _closure_differences(shared: Closure, look: Observer) -> tuple[Difference, ...]:
    return (
        *_file_differences(shared.files, shared.as_of, look),
        *dir_differences(shared.dirs, shared.as_of, look),
    )


def _file_differences(
    rows: tuple[FileRow, ...], as_of: int, look: Observer
) -> Iterator[Difference]:
    for path, sig, content, _relation, _via in rows:
        now = look.sig(path)
        if is_settled(now, sig, as_of):
            continue
        if now is None:
            yield "removed", path, content, ""
        elif look.hash(path) != content:
            yield "changed", path, content, look.hash(path)


def dir_differences(rows: tuple[DirRow, ...], as_of: int, look: Observer) -> Iterator[Difference]:
    """All in which folders differ from what was noted of them; see `differences`."""
    limit, dir_now = as_of - CLOCK_TICK_NS, look.dir
    for folder, sig, absent, present in rows:
        if dir_now(folder) == sig and sig[1] <= limit and sig[2] <= limit:
            continue
        for name in _candidates(folder, split_names(absent), look):
            if _is_there(folder, name, look):
                yield "appeared", f"{folder}{os.sep}{name}".rstrip("/"), "", ""
        for name in split_names(present):
            if not _is_there(folder, name, look):
                yield "vanished", f"{folder}{os.sep}{name}", "", ""


def split_names(joined: str) -> tuple[str, ...]:
    """The names in a column of a `DirRow`."""
    return tuple(joined.split("\0")) if joined else ()


def _candidates(folder: str, names: tuple[str, ...], look: Observer) -> tuple[str, ...]:
    """The names that may be in a folder; where they are many, by reading the folder once."""
    if len(names) < _MANY:
        return names
    there = {name.casefold() for name in look.names(folder)}
    return tuple(n for n in names if "*" in n or n.rstrip("/").casefold() in there)


_MANY = 12
"""So many stats cost more than reading a folder."""


def _is_there(folder: str, name: str, look: Observer) -> bool:
    """Whether a name (see `DirRow`) is in a folder.

    The file system is asked for it, not for its list of names: it may not distinguish upper and
    lower case, and a link that leads nowhere is on the list.
    """
    path = f"{folder}{os.sep}{name}"
    if name.endswith("/"):
        return look.dir(path[:-1]) is not None
    if "*" in name:
        return any(fits(name, other) for other in look.names(folder))
    return look.exists(path)


def _glob_differences(
    rows: tuple[GlobRow, ...], as_of: int, look: Observer
) -> Iterator[Difference]:
    for pattern, result, folders in rows:
        if _unchanged(folders, as_of, look):
            continue
        from .inputs import expand

        if expand(pattern) != result:
            yield "glob", pattern, "", ""


def _unchanged(folders: tuple[tuple[str, DirSig | None], ...], as_of: int, look: Observer) -> bool:
    return all(
        look.dir(folder) == sig and (sig is None or not is_young(sig[1:], as_of))
        for folder, sig in folders
    )


def _tool_differences(
    rows: tuple[ToolRow, ...], as_of: int, look: Observer
) -> Iterator[Difference]:
    for kind, request, path, sig, ident in rows:
        now_path, now = look.tool(kind, request)
        if not now_path and path:
            continue  # a tool that is gone cannot build anew, and does not make the image wrong
        if now_path == path and now == sig and (sig is None or not is_young(sig[1:3], as_of)):
            continue
        now_ident = look.ident(kind, request)
        if now_ident != ident:
            yield ("variable" if kind == "variable" else "tool"), request, ident, now_ident


def _search_differences(record: Record, look: Observer) -> Iterator[Difference]:
    """Cython's searches again, where sys.path is another than the one they were made with."""
    if look.sys_path() == record.sys_path:
        return
    from .graph import Lookup, search

    for row in record.lookups:
        lookup = Lookup(*row)
        if not lookup.use_sys_path:
            continue
        found = search(
            lookup,
            sys_path=look.sys_path(),
            standard=record.standard,
            version=record.cython_version,
            look=look,
        )
        found = os.path.abspath(found) if found else ""
        if found != lookup.result:
            yield "search", lookup.name + lookup.suffix, lookup.result, found


def refreshed(record: Record, shared: Closure | None, look: Observer, now: int) -> bool:
    """Note the present signatures in a record that was found to be current.

    Files that were touched, or that were young when they were noted, need not be hashed again
    from then on.

    Args:
        record: Changed in place.
        shared: Its closure, changed in place.
        look: The observer that the record was checked with, and no other.
        now: When that check began, ns since the epoch.

    Returns:
        Whether something is better known than before, so that writing it down pays.
    """
    distant, better = look.distant, False
    if look.looked_closer() or distant.looked_closer():
        better = _refresh_record(record, look, now)
    if shared is not None and distant.looked_closer():
        question = ("refreshed", shared)  # once for all records that share it
        better |= distant.once(question, lambda: _refresh_closure(shared, distant, now))
    return better


def _refresh_record(record: Record, look: Observer, now: int) -> bool:
    globs = tuple(_refreshed_glob(row, record.as_of, look) for row in record.globs)
    files: list[tuple[Sig, Sig]] = [(file[1], look.sig(file[0])) for file in record.files]
    files += [(row[3], look.distant.tool(row[0], row[1])[1]) for row in record.tools]
    # In a folder where somebody works something comes and goes all the time: to look into it
    # costs less than to write down each time, for all the modules in it, that nothing matters.
    calm = now - _CALM_NS
    if not _any_better(files, record.as_of, now) and not _any_better(
        _folder_sigs(record, globs, look), record.as_of, calm
    ):
        return False
    distant = look.distant
    record.files = _refreshed_files(record.files, look)
    record.dirs = _refreshed_dirs(record.dirs, look)
    record.distant_dirs = _refreshed_dirs(record.distant_dirs, distant)
    record.tools = tuple((k, r, *_seen(distant, k, r, p, s), i) for k, r, p, s, i in record.tools)
    record.globs, record.as_of = globs, now
    return True


_CALM_NS = 60 * 10**9


def _folder_sigs(
    record: Record, globs: tuple[GlobRow, ...], look: Observer
) -> Iterator[tuple[Sig, Sig]]:
    """The signatures of all folders in a record, and the present ones."""
    for row in record.dirs:
        yield row[1], look.dir(row[0])
    for row in record.distant_dirs:
        yield row[1], look.distant.dir(row[0])
    for (_, _, before), (_, _, after) in zip(record.globs, globs, strict=True):
        known = dict(before)
        for path, now in after:
            yield known.get(path), now


def _refreshed_files(rows: tuple[FileRow, ...], look: Observer) -> tuple[FileRow, ...]:
    return tuple((p, look.sig(p) or s, h, r, v) for p, s, h, r, v in rows)


def _refreshed_dirs(rows: tuple[DirRow, ...], look: Observer) -> tuple[DirRow, ...]:
    return tuple((d, look.dir(d) or s, a, p) for d, s, a, p in rows)


def _refreshed_glob(row: GlobRow, as_of: int, look: Observer) -> GlobRow:
    if _unchanged(row[2], as_of, look):
        return row
    from .inputs import glob_row

    now = glob_row(row[0])
    # What came just now is for the next check to find.
    return now if now[1] == row[1] else row


def _seen(
    look: Observer, kind: str, request: str, path: str, sig: FileSig | None
) -> tuple[str, FileSig | None]:
    now_path, now = look.tool(kind, request)
    return (now_path, now) if now_path else (path, sig)


def _refresh_closure(shared: Closure, look: Observer, now: int) -> bool:
    paths, known, folders, folder_sigs, _ = shared.noted
    sigs: list[tuple[Sig, Sig]] = [*zip(known, map(look.sig, paths), strict=True)]
    sigs += zip(folder_sigs, map(look.dir, folders), strict=True)
    if not _any_better(sigs, shared.as_of, now):
        return False
    shared.note(_refreshed_files(shared.files, look), _refreshed_dirs(shared.dirs, look), now)
    return True


Sig = tuple[int, ...] | None
"""A file's or folder's; mtime and ctime stand second and third."""


def _any_better(pairs: Iterable[tuple[Sig, Sig]], as_of: int, now: int) -> bool:
    """Whether a signature is good from now on that was not good before: other then, or young."""
    return any(
        after is not None
        and not is_young(after[1:3], now)
        and (before != after or is_young(before[1:3], as_of))
        for before, after in pairs
    )
