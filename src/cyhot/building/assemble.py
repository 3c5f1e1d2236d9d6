"""From what the tools opened to a record: the user's files one by one, system files as a list.

The searches that found nothing count as well. Cython's are replayed (`graph`); a C compiler's are
computed, since a depfile lists no misses: whatever was found in one folder could have been found
in each folder that is searched before it.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import read_source
from .inputs import Prober, glob_row
from .observe import Observer, file_sig, hash_file
from .recipe import KeyParts, image_digest
from .record import Closure, DirRow, FileRow, Record, ToolRow, differences
from .toolchain import CYTHON
from .transpile import Opened

if TYPE_CHECKING:
    from .steps import Attempt


@dataclass(frozen=True)
class Read:
    """A file that something read, and why."""

    path: str
    relation: str
    via: str


class Inputs:
    """Collects the inputs of one image.

    Args:
        system_dirs: Folders whose files change with an installation, not with the user's work.
    """

    def __init__(self, system_dirs: Iterable[str]) -> None:
        self._system = tuple(
            f"{os.path.abspath(folder)}{os.sep}" for folder in (*system_dirs, *_python_dirs())
        )
        self.own: dict[str, FileRow] = {}
        self.system: dict[str, FileRow] = {}
        self.globs: list[str] = []
        self.prober = Prober()
        self.missing: list[str] = []

    def is_system(self, path: str) -> bool:
        """Whether a file or folder belongs to an installation."""
        return f"{path}{os.sep}".startswith(self._system)

    def opened(self, files: Iterable[Opened]) -> None:
        """Add files as they were before Cython read them."""
        for file in files:
            self._put((file.path, file.sig, file.content, file.relation, file.via))

    def read(self, files: Iterable[Read]) -> None:
        """Add files as they are now."""
        for file in files:
            if file.path in self.own or file.path in self.system:
                continue
            sig = file_sig(file.path)
            if sig is None:
                self.missing.append(file.path)
            else:
                content = hash_file(file.path)
                self._put((file.path, sig, content, file.relation, file.via))

    def _put(self, row: FileRow) -> None:
        where = self.system if self.is_system(row[0]) else self.own
        where.setdefault(row[0], row)

    def pattern(self, pattern: str, relation: str, via: str) -> None:
        """Add a pattern and the files that it names."""
        self.globs.append(pattern)
        row = glob_row(pattern)
        self.read(Read(path, relation, via) for path in row[1] if os.path.isfile(path))

    def dirs(self, probers: Sequence[Prober]) -> tuple[list[DirRow], list[DirRow]]:
        """What all probers found and missed: the user's folders, system folders."""
        whole = Prober()
        for prober in (*probers, self.prober):
            whole.seen.update(prober.seen)
            whole.patterns.update(prober.patterns)
        rows = whole.dir_rows()
        system = [row for row in rows if self.is_system(row[0])]
        return [row for row in rows if not self.is_system(row[0])], system

    def closure(self, dirs: list[DirRow], as_of: int) -> Closure:
        """The system files as one list."""
        rows = tuple(self.system[path] for path in sorted(self.system))
        return Closure(tuple((p, s, h, "", "") for p, s, h, _r, _v in rows), tuple(dirs), as_of)

    def contents(self) -> list[tuple[str, str]]:
        """(path, content hash) of every file."""
        return [(row[0], row[2]) for rows in (self.own, self.system) for row in rows.values()]

    def written_since(self, began: int) -> list[str]:
        """Files that were written when the compilers already ran, or in the tick before."""
        return [
            path
            for rows in (self.own, self.system)
            for path, row in rows.items()
            if row[1][2] >= began - _TICK_NS
        ]


_TICK_NS = 20_000_000
"""Linux stamps files with a clock that ticks every 1 to 10 ms."""
_INSTALLED = (
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/include",
    "/usr/local/lib",
    "/lib",
    "/lib64",
)


def _python_dirs() -> set[str]:
    paths = sysconfig.get_paths()
    names = ("include", "platinclude", "purelib", "platlib", "stdlib", "platstdlib")
    base = {os.path.join(sys.base_prefix, name) for name in ("include", "lib")}
    return {*(paths[name] for name in names), *base, *_INSTALLED}


def _asker(path: str, extern: dict[str, str], main: str, texts: dict[str, str]) -> tuple[str, str]:
    """Who asked for a C header, as far as texts tell: relation and file."""
    base = os.path.basename(path)
    if base in extern:
        return "C header of", extern[base]
    include = re.compile(rf'#\s*include\s*["<](?:[^">]*/)?{re.escape(base)}[">]')
    for other, text in texts.items():
        if other != path and include.search(text):
            return "included by", other
    return "C header of", main


def extern_headers(texts: dict[str, str]) -> dict[str, str]:
    """Base names of the headers in ``cdef extern from`` blocks, and the files that have them."""
    found: dict[str, str] = {}
    for path, text in texts.items():
        for name in re.findall(r"extern\s+from\s+[\"']<?([^\"'>]+)>?[\"']", text):
            found.setdefault(os.path.basename(name), path)
    return found


def probe_headers(
    prober: Prober, found: Iterable[str], chain: Sequence[str], system: Sequence[str]
) -> None:
    """Note, for each header, where the compiler looked for it before it found it.

    Args:
        prober: Takes the notes.
        found: The headers that were found.
        chain: The folders that the user's options name, in search order, quote folders first.
        system: The compiler's own folders.
    """
    prefixes = [f"{folder.rstrip(os.sep)}{os.sep}" for folder in (*chain, *system)]
    for path in found:
        for index, prefix in enumerate(prefixes):
            if path.startswith(prefix):
                name = path[len(prefix) :]
                for folder in chain[:index]:
                    prober.exists(os.path.join(folder, name))


def probe_libraries(prober: Prober, folders: Sequence[str], libraries: Sequence[str]) -> list[str]:
    """Where the linker looks for libraries in the user's folders; returns what is there."""
    found = []
    for library in libraries:
        for folder in folders:
            names = (f"lib{library}{suffix}" for suffix in (".so", ".dylib", ".a"))
            paths = [os.path.join(folder, name) for name in names]
            there = [path for path in paths if prober.exists(path)]
            if there:
                found.append(there[0])
                break
    return found


def tool_rows(tools: Iterable[tuple[str, str]], look: Observer) -> list[ToolRow]:
    """The tools that took part, or that would have, had they been there."""
    rows = []
    for kind, request in dict.fromkeys(tools):
        path, sig = look.tool(kind, request)
        rows.append((kind, request, path, sig, look.ident(kind, request)))
    return rows


# The record ----------------------------------------------------------------------------------


def collect(attempt: Attempt) -> Inputs:
    """All inputs of an attempt, with how each was reached."""
    path, stem = attempt.source.path, attempt.stem
    special, listing = f"{stem}.pyxbld", f"{stem}.pyxdep"
    inputs = Inputs((*attempt.can.system_dirs, os.path.dirname(attempt.result.standard)))
    inputs.opened(attempt.result.opened)
    for file, _content in attempt.special.inputs:
        own = file == special
        inputs.read([Read(file, "of" if own else "imported by", path if own else special)])
    if os.path.exists(listing):
        inputs.read([Read(listing, "of", path)])
    for pattern, via in attempt.depends:
        inputs.pattern(pattern, "listed by" if os.path.isabs(via) else "of", via)
    inputs.read(Read(source, "compiled with", path) for source in attempt.spec.sources)
    inputs.read(_headers(attempt, inputs))
    inputs.read(Read(file, "linked into", path) for file in attempt.linked)
    return inputs


def _headers(attempt: Attempt, inputs: Inputs) -> list[Read]:
    main = attempt.source.path
    own = {p: read_source(p) or "" for p in attempt.read if not inputs.is_system(p)}
    cython = [f.path for f in attempt.result.opened if not inputs.is_system(f.path)]
    extern = extern_headers({p: read_source(p) or "" for p in cython})
    return [Read(p, *_asker(p, extern, main, own)) for p in attempt.read]


def build_record(
    parts: KeyParts, attempt: Attempt, reasons: tuple[str, ...]
) -> tuple[Record, Closure, Inputs]:
    """The record of an attempt's image, its system files, and the inputs of both."""
    result, inputs = attempt.result, collect(attempt)
    tools = tool_rows((CYTHON, *attempt.tools), Observer())
    own, system = inputs.dirs([attempt.prober, result.prober])
    record = Record()
    record.as_of = record.built_at = attempt.began
    record.files = tuple(inputs.own.values())
    record.dirs = tuple(own)
    record.globs = (*map(glob_row, inputs.globs), *result.prober.glob_rows())
    record.tools = tuple(tools)
    # Plain tuples: marshal does not write named ones.
    record.lookups = tuple((*lookup,) for lookup in result.lookups)
    record.sys_path = result.sys_path
    record.standard = result.standard
    record.cython_version = result.version
    record.reasons = reasons
    record.seconds = sum(attempt.phases.values())
    record.image_size = os.stat(attempt.image).st_size
    identities = [(tool[1], tool[4]) for tool in tools]
    record.digest = image_digest(parts, identities, attempt.steps, inputs.contents())
    record.image = f"{record.digest[:2]}/{record.digest}/{os.path.basename(attempt.image)}"
    record.shared = ""
    return record, inputs.closure(system, attempt.began), inputs


def find_change(
    record: Record, closure: Closure, inputs: Inputs, attempt: Attempt, seen: dict[str, str]
) -> str:
    """What changed while an image was made; `""` if nothing did.

    Args:
        record: The image's record.
        closure: Its system files.
        inputs: What both were made from.
        attempt: The attempt that made it.
        seen: Contents at the end of the attempt before.
    """
    if inputs.missing:
        return inputs.missing[0]
    for _kind, subject, _before, _after in differences(record, closure, Observer()):
        return subject
    # Cython's files were hashed before they were read; what the C compiler reads is known only
    # afterwards, so a header that was written meanwhile has to be met twice with one content.
    hashed = {file.path for file in attempt.result.opened}
    contents = dict(inputs.contents())
    for path in inputs.written_since(attempt.began):
        if path not in hashed and seen.get(path) != contents[path]:
            return path
    return ""
