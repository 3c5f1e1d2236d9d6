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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import read_source
from .inputs import Prober, glob_row, merged_rows
from .noted import Noted
from .observe import CYTHON, FileSig, Observer, file_sig, hash_file, is_young
from .options import expanded, include_chain, named_files, option_values
from .recipe import KeyParts, image_digest
from .record import Closure, DirRow, FileRow, Record, ToolRow, differences, split_names
from .transpile import Opened

if TYPE_CHECKING:
    from .steps import Attempt
    from .store import Hit


@dataclass(frozen=True)
class Read:
    """A file that something read, and why."""

    path: str
    relation: str
    via: str


Known = dict[tuple[str, FileSig], str]
"""Content hashes of files, by path and signature."""


def known_contents(hit: Hit) -> Known:
    """The contents of files that earlier records know, as long as their signatures are the same.

    A signature that was noted in the clock tick of the file's last change proves nothing.
    """
    lists = [(found.files, found.as_of) for found in (hit.record, hit.shared) if found]
    return {
        (row[0], row[1]): row[2]
        for rows, as_of in lists
        for row in rows
        if not is_young(row[1][1:3], as_of)
    }


class Inputs:
    """Collects the inputs of one image.

    Args:
        system_dirs: Folders whose files change with an installation, not with the user's work.
        known: Contents that need not be hashed again.
    """

    def __init__(self, system_dirs: Iterable[str], known: Known | None = None) -> None:
        self._known = known or {}
        self._system = tuple(
            f"{os.path.abspath(folder)}{os.sep}" for folder in (*system_dirs, *_python_dirs())
        )
        self.own: dict[str, FileRow] = {}
        self.system: dict[str, FileRow] = {}
        self.globs: list[str] = []
        self.tools: list[tuple[str, str]] = []
        self.prober = Prober()
        self.missing: list[str] = []

    def knows(self, contents: Known) -> None:
        """Take note of contents that need not be hashed."""
        self._known = self._known | contents

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
                content = self._known.get((file.path, sig)) or hash_file(file.path)
                self._put((file.path, sig, content, file.relation, file.via))

    def _put(self, row: FileRow) -> None:
        where = self.system if self.is_system(row[0]) else self.own
        where.setdefault(row[0], row)

    def pattern(self, pattern: str, relation: str, via: str) -> None:
        """Add a pattern and the files that it names."""
        self.globs.append(pattern)
        row = glob_row(pattern)
        self.read(Read(path, relation, via) for path in row[1] if os.path.isfile(path))

    def package_file(self, path: str, package: str) -> None:
        """Add a file of an installed package, whichever place that is imported from later."""
        self.read([Read(path, "of", package)])
        marker = f"{os.sep}{package}{os.sep}"
        if marker in path:
            request = f"{package}/{path.rpartition(marker)[2]}"
            self.tools.append(("package", request.replace(os.sep, "/")))

    def dirs(self, probers: Sequence[Prober]) -> tuple[list[DirRow], list[DirRow]]:
        """What probers found and missed: the user's folders, the folders of installations."""
        whole = Prober()
        for prober in probers:
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

    def sigs(self) -> list[tuple[str, FileSig]]:
        """(path, signature) of every file, as it was noted."""
        return [(row[0], row[1]) for rows in (self.own, self.system) for row in rows.values()]


_TICK_NS = 20_000_000
"""Linux stamps files with a clock that ticks every 1 to 10 ms."""
# Homes are shared by machines: an image for one's processor may crash on another.
_NATIVE = {"-march=native", "-mcpu=native", "-mtune=native"}
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


def _asker(
    path: str, extern: dict[str, str], main: str, includes: dict[str, list[str]]
) -> tuple[str, str]:
    """Who asked for a C header, as far as texts tell: relation and file."""
    base = os.path.basename(path)
    if base in extern:
        return "C header of", extern[base]
    other = next((other for other in includes.get(base, ()) if other != path), "")
    return ("included by", other) if other else ("C header of", main)


def _included(texts: dict[str, str]) -> dict[str, list[str]]:
    """Base names of the headers that texts include, and which do."""
    found: dict[str, list[str]] = {}
    for path, text in texts.items():
        for name in dict.fromkeys(_ANY_INCLUDE.findall(text)):
            found.setdefault(os.path.basename(name), []).append(path)
    return found


_ANY_INCLUDE = re.compile(r'#\s*include\s*["<]([^">\n]+)[">]')


def extern_headers(texts: dict[str, str]) -> dict[str, str]:
    """Base names of the headers in ``cdef extern from`` blocks, and the files that have them."""
    found: dict[str, str] = {}
    for path, text in texts.items():
        for name in _EXTERN.findall(text):
            found.setdefault(os.path.basename(name), path)
    return found


_EXTERN = re.compile(r"extern\s+from\s+[\"']<?([^\"'>]+)>?[\"']")


def probe_headers(prober: Prober, found: Iterable[str], chain: Sequence[str]) -> None:
    """Note, for each header, where the compiler looked for it before it found it.

    Args:
        prober: Takes the notes.
        found: The headers that were found.
        chain: The folders that are searched, absolute and normal, in search order, quote folders
            first, the compiler's own included.
    """
    prefixes = [f"{folder.rstrip(os.sep)}{os.sep}" for folder in chain]
    for path in _as_found(found):
        for index, prefix in enumerate(prefixes):
            if path.startswith(prefix):
                name = path[len(prefix) :]
                look = _exists_above if ".." in name else Prober.exists_in
                for folder in chain[:index]:
                    look(prober, folder, name)


def _as_found(paths: Iterable[str]) -> Iterator[str]:
    """Paths, and as they are without ``..``, which a folder may have been named with."""
    for path in paths:
        yield path
        if ".." in path and (normal := os.path.normpath(path)) != path:
            yield normal


def _exists_above(prober: Prober, folder: str, name: str) -> bool:
    return prober.exists(os.path.join(folder, name))


@dataclass(frozen=True)
class Asked:
    """What a C text has headers looked for by.

    Attributes:
        quoted: Names that it includes in quotes.
        perhaps: Names that it asks ``__has_include`` for.
        includes_more: Whether it also includes what a macro names.
        asks_more: Whether it also asks for what a macro names, or by another macro.
    """

    quoted: tuple[str, ...]
    perhaps: tuple[str, ...]
    includes_more: bool
    asks_more: bool


_CONTINUED = re.compile(r"\\[ \t\r]*\n")
_SPACE = r"(?:[ \t\f\v\r]|/\*(?s:.*?)\*/)*"
_HASH = r"(?:.*\*/)?[ \t\f\v]*(?:#|%:|\?\?=)"
# What may stand before a directive's name in its line; a comment may begin lines above.
_BEFORE = re.compile(rf"{_HASH}{_SPACE}|.*\*/{_SPACE}")
_NAME = re.compile(rf'(?:_next)?\b{_SPACE}(?:"([^"\n]+)"|(<))?')
_HAS_INCLUDE = re.compile(
    r'\b__has_include(?:_next)?\b(?:\s*\(\s*(?:"([^"\n]+)"|<([^>\n]+)>)\s*\))?'
)
_IS_NO_QUESTION = re.compile(r"(?:ifn?def|define[d]?|undef)[ \t]*\(?[ \t]*$")
_CONDITION = re.compile(rf"^{_HASH}{_SPACE}(?:if|elif|define)\b.*", re.MULTILINE)
_MAYBE_HEADER = re.compile(r'"([^"\n]+)"|<([^>\n]+)>|([\w/+-]+\.[\w.]+)')


def _asked_for(text: str) -> Asked:
    text = _CONTINUED.sub("", text)
    quoted: dict[str, None] = {}
    perhaps: dict[str, None] = {}
    includes_more = asks_more = False
    for at in _directives(text):
        if found := _NAME.match(text, at):
            if found[1]:
                quoted[found[1]] = None
            includes_more = includes_more or not (found[1] or found[2])
    if "__has_include" in text:
        for found in _HAS_INCLUDE.finditer(text):
            start = text.rfind("\n", 0, found.start()) + 1
            if name := found[1] or found[2]:
                perhaps[name] = None
            elif not _IS_NO_QUESTION.search(text, start, found.start()):
                asks_more = True
    return Asked(tuple(quoted), tuple(perhaps), includes_more, asks_more)


def _directives(text: str) -> Iterator[int]:
    """Where the names of directives that have a file read end, a few other places among them."""
    for name in ("include", "import", "embed"):
        at = text.find(name)
        while at >= 0:
            end = at + len(name)
            before = text[text.rfind("\n", 0, at) + 1 : at]
            # Other words with these letters are many, and the expression takes time.
            looks_right = any(sign in before for sign in ("#", "*/", ":", "="))
            if looks_right and _BEFORE.fullmatch(before):
                yield end
            at = text.find(name, end)


def probe_includes(
    prober: Prober,
    asked: Mapping[str, Asked],
    chain: Sequence[str],
    found: Iterable[str],
    names: Iterable[str],
) -> None:
    """Note where the compiler looked for what C texts include in quotes, or only ask for.

    A quoted name is looked for beside the file that includes it first, which no option says; and
    of a ``__has_include`` that found nothing there is no trace at all. What macros name could be
    each of the headers that were found, under any name that ends its path.

    Args:
        prober: Takes the notes.
        asked: What `_asked_for` found in the user's C files and headers, by path.
        chain: As for `probe_headers`.
        found: The headers that were found.
        names: What a ``__has_include`` could be for that says it by macros.
    """
    folders = dict.fromkeys(os.path.dirname(path) for path in asked)
    for path, one in asked.items():
        folder = os.path.dirname(path)
        for name in one.quoted:
            prober.exists(os.path.join(folder, name))
        for name in one.perhaps:
            for place in (folder, *chain):
                prober.exists(os.path.join(place, name))
        if one.includes_more:
            for name in _possible_names(found):
                prober.exists(os.path.join(folder, name))
    for name in names:
        for place in (*folders, *chain):
            prober.exists(os.path.join(place, name))


def _possible_names(paths: Iterable[str]) -> dict[str, None]:
    split = [path.split(os.sep)[1:] for path in paths]
    return dict.fromkeys(os.sep.join(parts[i:]) for parts in split for i in range(len(parts)))


def _possible_headers(texts: Iterable[str], steps: Iterable[Sequence[str]]) -> list[str]:
    """What could be a header's name in the conditions and macros of C texts and command lines."""
    joined = (_CONTINUED.sub("", text) for text in texts)
    lines = [line for text in joined for line in _CONDITION.findall(text)]
    lines += (macro for words in steps for macro in option_values(expanded(words)[0], "-D"))
    found = (name for line in lines for name in _MAYBE_HEADER.findall(line))
    return list(dict.fromkeys("".join(name) for name in found))


def probe_libraries(
    prober: Prober, folders: Sequence[str], libraries: Iterable[str], linked: Iterable[str] = ()
) -> list[str]:
    """Note where the linker may have looked for libraries in the user's folders.

    Args:
        prober: Takes the notes.
        folders: The folders.
        libraries: Names as after ``-l``.
        linked: Files that it read. What is named by a linker script that a library may be is on no
            command line.

    Returns:
        What is there of `libraries`.
    """
    named = dict.fromkeys(name for library in libraries for name in _file_names(library))
    also = dict.fromkeys(name for path in linked for name in _file_names(_library_name(path)))
    if not folders:
        return []
    for name in also:
        for folder in folders:
            prober.exists_in(folder, name)
    paths = [os.path.join(folder, name) for name in named for folder in folders]
    return [path for path in paths if prober.exists(path)]


_SUFFIXES = (".so", ".dylib", ".a")


def _file_names(library: str) -> list[str]:
    if library.startswith(":"):
        return [library[1:]]
    return [f"lib{library}{suffix}" for suffix in _SUFFIXES]


def _library_name(path: str) -> str:
    """The name after ``-l`` with which the linker finds a file."""
    stem, suffix = os.path.splitext(os.path.basename(path))
    if stem.startswith("lib") and suffix in _SUFFIXES:
        return stem[3:]
    return f":{stem}{suffix}"


def tool_rows(tools: Iterable[tuple[str, str]], look: Observer) -> list[ToolRow]:
    """The tools that took part, or that would have, had they been there."""
    rows: list[ToolRow] = []
    for kind, request in dict.fromkeys(tools):
        path, sig = look.tool(kind, request)
        ident = look.ident(kind, request)
        if (kind, request) == CYTHON and not ident.startswith(f"{_imported_cython()} "):
            # It was upgraded after this process imported it. No signature, so that every later
            # process asks who it is, and gets another answer.
            sig, ident = None, _imported_cython()
        rows.append((kind, request, path, sig, ident))
    return rows


def _imported_cython() -> str:
    from Cython import __version__

    return f"Cython {__version__}"


# The record ----------------------------------------------------------------------------------


class Gathering:
    """Gathers what an image is made from, while the compiler and the linker run.

    Attributes:
        inputs: The files.
        tools: The tools.
        searched: Where Cython searched: the user's folders, and those of installations.
        others: The same of all other searches but the linker's.
    """

    inputs: Inputs
    tools: list[ToolRow]
    searched: tuple[list[DirRow], list[DirRow]]
    others: tuple[list[DirRow], list[DirRow]]

    def __init__(self, attempt: Attempt, known: Known) -> None:
        self.attempt = attempt
        self._known = known
        self._asked: dict[str, Asked] = {}
        self._look = Observer()

    def while_compiling(self) -> None:
        """Gather all that is known beforehand."""
        attempt = self.attempt
        folders = (*attempt.can.system_dirs, os.path.dirname(attempt.result.standard))
        inputs = self.inputs = Inputs(folders, self._known)
        inputs.opened(attempt.result.opened)
        self._add_named()
        self.searched = inputs.dirs([attempt.result.prober])
        self.tools = tool_rows((CYTHON, *attempt.tools), self._look)
        # The C file's quoted names are looked for beside the source.
        self._asked[attempt.source.path] = _asked_for(attempt.c_text)

    def while_linking(self) -> None:
        """Gather what the compiler told."""
        if not self._asked:
            self.while_compiling()  # not every compiler lets us
        attempt, inputs = self.attempt, self.inputs
        inputs.knows({(path, sig): content for path, (sig, content) in attempt.known.items()})
        own = {p: read_source(p) or "" for p in attempt.read if not inputs.is_system(p)}
        inputs.read(_headers(attempt, inputs, own))
        self._asked |= {path: _asked_for(text) for path, text in own.items()}
        names: list[str] = []
        if any(one.asks_more for one in self._asked.values()):
            names = _possible_headers((*own.values(), attempt.c_text), attempt.steps)
        _add_options(attempt, inputs, self._asked, names)
        self.tools = tool_rows((CYTHON, *attempt.tools, *inputs.tools), self._look)
        self.others = inputs.dirs([attempt.prober, inputs.prober])

    def _add_named(self) -> None:
        """Add the files that the source's own words name, with how each was reached."""
        attempt, inputs, path = self.attempt, self.inputs, self.attempt.source.path
        special, listing = f"{attempt.stem}.pyxbld", f"{attempt.stem}.pyxdep"
        for file, _content in attempt.special.inputs:
            relation = ("of", path) if file == special else ("imported by", special)
            inputs.read([Read(file, *relation)])
        for asked, noted in ((special, attempt.special.noted), *attempt.packages):
            _add_noted(inputs, noted, asked)
        if os.path.exists(listing):
            inputs.read([Read(listing, "of", path)])
        for pattern, via in attempt.depends:
            if os.path.isabs(via):
                inputs.pattern(pattern, "listed by", via)
            else:
                inputs.package_file(pattern, via)
        inputs.read(Read(source, "compiled with", path) for source in attempt.spec.sources)


def _add_noted(inputs: Inputs, noted: Noted, special: str) -> None:
    """Add what a ``.pyxbld``, or a package's ``get_include()``, looked at."""
    files, paths, patterns, variables = noted
    inputs.read(Read(path, "read by", special) for path, _content in files)
    for path, _there in paths:
        inputs.prober.exists(path)
    inputs.globs += [pattern for pattern, _named in patterns]
    inputs.tools += [("variable", name) for name, _value in variables]


def _headers(attempt: Attempt, inputs: Inputs, own: dict[str, str]) -> list[Read]:
    main = attempt.source.path
    cython = [f.path for f in attempt.result.opened if not inputs.is_system(f.path)]
    extern = extern_headers({p: read_source(p) or "" for p in cython})
    includes = _included(own)
    return [Read(p, *_asker(p, extern, main, includes)) for p in attempt.read]


def _add_options(
    attempt: Attempt, inputs: Inputs, asked: Mapping[str, Asked], names: Iterable[str]
) -> None:
    """What follows from the command lines, wherever their options came from."""
    main = attempt.source.path
    for words in attempt.steps:
        if words[0] in ("cython", "instrument", "seldom"):
            continue
        system = attempt.can.system_dirs
        chain = [os.path.dirname(main), *include_chain(words, os.environ, system)]
        probe_headers(inputs.prober, attempt.read, chain)
        probe_includes(inputs.prober, asked, chain, attempt.read, names)
        inputs.read(Read(p, "named by an option of", main) for p in named_files(words))
        if _NATIVE & set(words):
            inputs.tools.append(("processor", "the processor (it was compiled for the native one)"))


def build_record(
    parts: KeyParts, gathered: Gathering, reasons: tuple[str, ...]
) -> tuple[Record, Closure]:
    """The record of an attempt's image, and its system files."""
    attempt, inputs, tools = gathered.attempt, gathered.inputs, gathered.tools
    result = attempt.result
    inputs.read(Read(file, "linked into", attempt.source.path) for file in attempt.linked)
    # Where Cython searched has the module's own name in it, so no two modules would share it.
    own_searched, searched = gathered.searched
    own_others, system = gathered.others
    own_linked, system_linked = inputs.dirs([attempt.linked_prober])
    own = merged_rows([*own_searched, *own_others, *own_linked])
    system = merged_rows([*system, *system_linked])
    record = Record()
    record.as_of = record.built_at = attempt.began
    record.files = tuple(inputs.own.values())
    above = [row for row in own if _is_above(row, attempt)]
    record.dirs = tuple(row for row in own if row not in above)
    record.distant_dirs = (*searched, *above)
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
    record.needs = tuple((os.path.basename(p), os.stat(p).st_size) for p in attempt.beside)
    identities = [(tool[1], tool[4]) for tool in tools]
    # What was found decides as well as what is in it: an __init__.py that came or went, say.
    found = tuple((folder, absent, present) for folder, _sig, absent, present in own)
    steps = [*attempt.steps, ("C", hash_file(result.c_path)), ("found", repr(found))]
    record.digest = image_digest(parts, identities, steps, inputs.contents())
    record.image = f"{record.digest[:2]}/{record.digest}/{os.path.basename(attempt.image)}"
    record.shared = ""
    return record, inputs.closure(system, attempt.began)


def _is_above(row: DirRow, attempt: Attempt) -> bool:
    """Whether a folder is above the project, and only decides where the project begins."""
    folder = os.path.dirname(attempt.source.path)
    for _ in range(attempt.source.name.count(".") + attempt.source.is_package):
        folder = os.path.dirname(folder)
    inside = f"{row[0].rstrip(os.sep)}{os.sep}"
    return (
        folder != row[0]
        and folder.startswith(inside)
        and _MARKERS.issuperset(split_names(row[2]) + split_names(row[3]))
    )


_MARKERS = {"pyproject.toml", "setup.py"}


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
    for kind, subject, _before, _after in differences(record, closure, Observer()):
        if (kind, subject) != ("tool", CYTHON[1]):  # making it anew would not help: `tool_rows`
            return subject
    contents = dict(inputs.contents())
    if contents.get(attempt.source.path) != attempt.content:
        return attempt.source.path
    if path := attempt.special.changed():
        return path
    for path in _written_meanwhile(inputs, attempt):
        # It may have been something else in between: it has to be met twice with one content.
        if seen.get(path) != contents[path]:
            return path
    return ""


def _written_meanwhile(inputs: Inputs, attempt: Attempt) -> Iterator[str]:
    """Files that were written while the compilers ran, be it with what was in them before."""
    hashed = {file.path for file in attempt.result.opened}
    for path, sig in inputs.sigs():
        # Cython's files were noted before they were read; what the C compiler reads is known
        # only afterwards, so for that the clock has to tell.
        since = attempt.began if path in hashed else attempt.began - _TICK_NS
        if sig[2] >= since or (path in hashed and file_sig(path) != sig):
            yield path
