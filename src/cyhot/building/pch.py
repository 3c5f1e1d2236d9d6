"""Precompiled headers: what every generated C begins with, read by the compiler once for all.

The C stays as it is, and the compiler is given the precompiled header before it: the includes
that the C itself has then find their guards set. That is the same translation unit only if the C
would have read the same headers first, in this order, with the same macros, from the same files.
`headers_first` and `refusal_by_words` see to the first two and are pure; a `Header` that is out of
date, or hidden by a file in one of the user's folders, is not used.

Made in the background (see `prepare`). A compiler that does not take it reads the headers as
always: gcc by itself, clang when it is called again without.
"""

from __future__ import annotations

import marshal
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence

from .cfiles import has_debug_information
from .depfile import parse as parse_depfile
from .observe import LAUNCHERS, DirSig, FileSig, dir_sig, file_sig, hash_file, is_young
from .prepare import Failed, run
from .store import Store, Want, make_want
from .toolchain import Compiler

_PYTHON = ("Python.h", "stddef.h", "stdint.h", "math.h")
_NUMPY = (
    "numpy/arrayobject.h",
    "numpy/ndarrayobject.h",
    "numpy/ndarraytypes.h",
    "numpy/arrayscalars.h",
    "numpy/ufuncobject.h",
)
_READ_ALREADY = frozenset(
    {"errno.h", "limits.h", "math.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h"}
)
"""Headers that Python.h has read: to include them again is nothing."""
_EARLY = "/* Early includes */\n"
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.MULTILINE)
_DEFINE = re.compile(r"^[ \t]*#[ \t]*(?:define|undef)[ \t]+(\w+)", re.MULTILINE)
_UNTOUCHED = '#include "Python.h"\n#ifndef Py_PYTHON_H\n'
"""A verbatim block of ``cdef extern from "Python.h"`` would stand between the two."""
_HARMLESS = {"PY_SSIZE_T_CLEAN", "CYTHON_LIMITED_API"}
_COMMENT = re.compile(r"/\*(?:(?!\*/).)*\*/")
_FOLDERS = ("-iquote", "-I")
MACRO_MAP = "-fmacro-prefix-map="
_OTHERWISE = re.compile(
    r"-include.*|-imacros.*|-isystem.*|-idirafter.*|-iprefix.*|-isysroot.*|--sysroot.*|-nostd.*"
    r"|--include.*|-iwith.*|-X.+"
    r"|-x.*|-I-|-no-canonical-prefixes|-save-temps.*|-E|-f(?:no-)?directives-only|@.*|-B.*|-W[lap],.*"
)
VARIABLES = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX")
"""Environment variables that have a compiler look elsewhere for headers."""
_START = "#ifndef PY_SSIZE_T_CLEAN\n#define PY_SSIZE_T_CLEAN\n#endif\n"
_NAME, _MANIFEST = "cyhot.h", "manifest"


# What a C begins with -----------------------------------------------------------------------


def headers_first(c_text: str, cplus: bool) -> tuple[str, ...]:
    """The headers that a generated C includes before anything of its user's.

    Returns:
        Their names, in order: the longest list that is known; none if it begins otherwise.
    """
    head, early, rest = c_text.partition(_EARLY)
    before = head.partition("#include")[0]
    found = tuple(_INCLUDE.findall(head))
    known = found in (_PYTHON, (*_PYTHON, "cmath"))  # Cython < 3.3 leaves that to the user's C++
    if not (early and known and _UNTOUCHED in head) or set(_DEFINE.findall(before)) - _HARMLESS:
        return ()
    names = found if cplus else _PYTHON
    return (*names, *_NUMPY) if _begins_with_numpy(rest) else names


def _begins_with_numpy(text: str) -> bool:
    """Whether NumPy's headers come first, whatever Python.h has read already aside."""
    expected = list(_NUMPY)
    for line in text.splitlines():
        found = _INCLUDE.match(line)
        if found and found[1] == expected[0]:
            del expected[0]
            if not expected:
                return True
        elif found and found[1] in _READ_ALREADY:
            continue
        elif found or _COMMENT.sub("", line).strip():
            return False
    return False


def refusal_by_words(words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Why a command line or the environment rules a precompiled header out, `""` if not."""
    if os.path.basename(words[0]) in LAUNCHERS:
        return f"{words[0]} could not tell what is in it"
    if found := next((name for name in VARIABLES if environ.get(name)), ""):
        return f"the variable {found} has headers looked for elsewhere"
    found = next((word for word in words[1:] if _OTHERWISE.fullmatch(word)), "")
    return f"the option {found} may have other headers read" if found else ""


def refusal(compiler: Compiler, words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Why a compile takes no precompiled header, `""` if it may."""
    if tuple(words[: len(compiler.command)]) != compiler.command:
        return f"{words[0]} could not tell what is in it"
    if compiler.family not in ("gcc", "clang"):
        return f"{compiler.family} has no precompiled headers that cyhot knows"
    if has_debug_information(list(words)):
        return "debug information would name the header's file"
    return refusal_by_words(words, environ)


# Which one ------------------------------------------------------------------------------------


def want(
    store: Store, compiler: Compiler, words: Sequence[str], *, headers: Sequence[str],
    folders: Sequence[str], system: Sequence[str],
) -> Want:  # fmt: skip
    """The precompiled header that goes with a command line.

    Args:
        store: Where it is kept.
        compiler: The compiler.
        words: The command line of the C file.
        headers: Of `headers_first`.
        folders: Where they are looked for: Python's include folders, NumPy's.
        system: The compiler's own folders.
    """
    return make_want("header", store.root, {
        "compiler": (compiler.ident, compiler.family),
        "words": tuple(without_folders(words)),
        "headers": tuple(headers),
        "folders": tuple(folders),
        "system": tuple(system),
    })  # fmt: skip


def without_folders(words: Sequence[str]) -> list[str]:
    """A command line without the folders that it has headers looked for in."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _FOLDERS:
            next(rest, "")
        elif not word.startswith((*_FOLDERS, MACRO_MAP)):
            kept.append(word)
    return kept


def folders_of(words: Sequence[str]) -> list[str]:
    """The folders that a command line has headers looked for in, in order of search."""
    by_option: dict[str, list[str]] = {option: [] for option in _FOLDERS}
    rest = iter(words)
    for word in rest:
        for option in _FOLDERS:
            if word.startswith(option):
                by_option[option].append(word[len(option) :] or next(rest, ""))
                break
    return [folder for option in _FOLDERS for folder in by_option[option]]


def folders_for(headers: Sequence[str], words: Sequence[str], python: Sequence[str]) -> list[str]:
    """The folders on a command line that the headers are in, none if they are not all there.

    Args:
        headers: Of `headers_first`.
        words: The command line.
        python: Python's include folders.
    """
    folders = dict.fromkeys(folders_of(words))
    wanted = set(python) if headers else set()
    if "numpy/arrayobject.h" in headers:
        there = (f for f in folders if os.path.exists(os.path.join(f, "numpy", "arrayobject.h")))
        numpy = next(there, "")
        if not numpy:
            return []
        wanted.add(numpy)
    return [folder for folder in folders if folder in wanted]


class Header:
    """A precompiled header in the store.

    Attributes:
        options: What the compiler is given to use it.
        read: The headers in it: their signatures, which are as they were, and content hashes.
    """

    def __init__(self, folder: str, manifest: bytes) -> None:
        options, rows, folders, names = marshal.loads(manifest)
        option, file = options
        self.path = os.path.join(folder, file)
        self.options: tuple[str, str] = (option, self.path)
        self.read: dict[str, tuple[FileSig, str]] = {row[0]: row[1:] for row in rows}
        self._folders: list[tuple[str, DirSig]] = folders
        self._names: dict[str, dict[str, list[str]]] = names

    def is_current(self) -> bool:
        """Whether everything that was read for it is as it was."""
        return all(file_sig(path) == sig for path, (sig, _content) in self.read.items()) and all(
            dir_sig(path) == sig for path, sig in self._folders
        )

    def hidden_by(self, folders: Iterable[str]) -> str:
        """The file in one of the user's folders that would be read instead of one in it.

        Args:
            folders: Where the C's headers are looked for, in this order, before the compiler's own.
        """
        chain = list(dict.fromkeys(os.path.normpath(folder) for folder in folders))
        for index, folder in enumerate(chain):
            if folder not in self._names:
                later = [
                    names for place, names in self._names.items() if place not in chain[:index]
                ]
                if path := _first_in(folder, later):
                    return path
        return ""


def _first_in(folder: str, expected: Sequence[Mapping[str, Sequence[str]]]) -> str:
    """The first file in a folder that has one of the names (see `_names`) of others."""
    try:
        there = set(os.listdir(folder))
    except OSError:
        return ""
    for names in expected:
        for first in names.keys() & there:
            for name in names[first]:
                if os.path.exists(path := os.path.join(folder, name)):
                    return path
    return ""


def find(store: Store, wanted: Want) -> Header | None:
    """A precompiled header, None if there is none; one that is out of date is thrown away."""
    folder = store.prepared(wanted[2])
    try:
        with open(os.path.join(folder, _MANIFEST), "rb") as file:
            header = Header(folder, file.read())
        if header.is_current():
            store.mark_used(header.path, os.stat(header.path))
            return header
    except (OSError, ValueError, EOFError, TypeError):
        pass
    if os.path.isdir(folder):
        from .publish import withdraw_image

        withdraw_image(store, folder)
    return None


# Making it ------------------------------------------------------------------------------------


def make(parameters: Mapping[str, Sequence[str]], name: str, folder: str) -> None:
    """Precompile headers.

    Args:
        parameters: Of `want`.
        name: Its name in the store.
        folder: Where.

    Raises:
        Failed: If that is impossible.
    """
    if any(os.environ.get(variable) for variable in VARIABLES):
        raise Failed("another environment", passing=True)
    folders, system = parameters["folders"], parameters["system"]
    clang, cplus = parameters["compiler"][1] == "clang", "cmath" in parameters["headers"]
    with open(os.path.join(folder, _NAME), "w", encoding="utf-8") as file:
        file.write(_START + "".join(f"#include <{header}>\n" for header in parameters["headers"]))
    made = f"{_NAME}.{'pch' if clang else 'gch'}"
    began = time.time_ns()
    dirs = [(path, sig) for path in (*folders, *system) if (sig := dir_sig(path))]
    kind = ("-x", "c++-header" if cplus else "c-header")
    out = ("-MD", "-MF", "depfile", *kind, os.path.join(folder, _NAME), "-o", made)
    words = (*parameters["words"], *(f"-I{path}" for path in folders), *out)
    run(words, folder)
    with open(os.path.join(folder, "depfile"), encoding="utf-8") as file:
        read = parse_depfile(file.read(), folder)
    os.unlink(os.path.join(folder, "depfile"))
    read = [path for path in read if not path.startswith(folder)]
    options = ("-include-pch", made) if clang else ("-include", _NAME)
    manifest = (options, _rows(read, began), dirs, _names(read, (*folders, *system)))
    with open(os.path.join(folder, _MANIFEST), "wb") as out_file:
        out_file.write(marshal.dumps(manifest))


def _rows(read: Sequence[str], began: int) -> list[tuple[str, FileSig, str]]:
    rows = [(path, sig, hash_file(path)) for path in read if (sig := file_sig(path))]
    if len(rows) < len(read) or any(is_young(sig[1:3], began) for _path, sig, _content in rows):
        raise Failed("a header was changing", passing=True)
    return rows


def _names(read: Sequence[str], folders: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """The names under which headers may have been asked for: by folder, and by their first part."""
    paths = [os.path.normpath(path) for path in read]
    return {place: _names_in(paths, place) for place in map(os.path.normpath, folders)}


def _names_in(paths: Sequence[str], folder: str) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    prefix = f"{folder}{os.sep}"
    for path in paths:
        if path.startswith(prefix):
            name = path[len(prefix) :]
            names.setdefault(name.partition(os.sep)[0], []).append(name)
    return names
