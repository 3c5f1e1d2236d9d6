"""What compilers are told, by their command lines and their variables: where they look, for what.

A depfile lists what was found, never where else it was looked for.
"""

from __future__ import annotations

import os
import shlex
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..errors import read_source
from ..settings import AS_WRITTEN, placed_folders
from .inputs import Prober
from .recipe import FOLDER_LISTS

# Words -----------------------------------------------------------------------------------------

_HANDED = {"-Wl,": "l", "-Wp,": "p", "-Wa,": "a"}
_HANDED_NEXT = {"-Xlinker": "l", "-Xpreprocessor": "p", "-Xassembler": "a", "-Xclang": "clang"}


def expanded(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line as the compiler's parts see it.

    Returns:
        Its words without the program, with those of response files (``@file``) in their place and
        those that are handed on (``-Wl,``, ``-Wp,``) at the end, where the compiler puts them; and
        the response files, those that others name included.
    """
    start = next((i for i, word in enumerate(words) if word.startswith(("-", "@"))), len(words))
    files: list[str] = []
    plain = _with_responses(words[start:], files, ())
    own: list[str] = []
    handed: dict[str, list[str]] = {}
    rest = iter(plain)
    for word in rest:
        if word in _HANDED_NEXT:
            handed.setdefault(_HANDED_NEXT[word], []).append(next(rest, ""))
        elif word[:4] in _HANDED:
            handed.setdefault(_HANDED[word[:4]], []).extend(word[4:].split(","))
        else:
            own.append(word)
    for more in handed.values():
        own += _with_responses(more, files, ())
    return own, list(dict.fromkeys(files))


def _with_responses(words: Iterable[str], files: list[str], inside: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for word in words:
        path = word[1:]
        if not word.startswith("@") or not os.path.isabs(path) or path in inside:
            found.append(word)
        elif os.path.isfile(path):
            files.append(path)
            more = _words_in(read_source(path) or "")
            found += _with_responses(more, files, (*inside, path))
    return found


def _words_in(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()  # a quotation that does not end: the compiler takes it as well


def option_values(words: Iterable[str], *options: str) -> list[str]:
    """The values of options on a command line, joined to them or the word after."""
    return [value for _option, value in _values(words, options)]


def _values(words: Iterable[str], options: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Options on a command line and their values, in order."""
    longest_first = sorted(options, key=len, reverse=True)
    rest = iter(words)
    for word in rest:
        option = next((option for option in longest_first if word.startswith(option)), "")
        value = word[len(option) :]
        if not option:
            continue
        if option.startswith("--"):
            if value and not value.startswith("="):
                continue  # another option
            yield option, value[1:] or next(rest, "")
        else:
            yield option, value or next(rest, "")


def named_files(words: Sequence[str]) -> list[str]:
    """Files that options name: linker scripts, profiles, response files, plugins."""
    own, files = expanded(words)
    parts = (part for word in own for part in word.replace(",", "=").split("="))
    parts = (part.lstrip("@") for part in parts)
    return [*files, *(part for part in parts if os.path.isabs(part) and os.path.isfile(part))]


def located(words: Iterable[str], prober: Prober) -> list[str]:
    """Options, with the headers that `settings.placed_folders` left open where they are.

    A compiler looks for what ``-include`` names in the folder that it is called in, then as for any
    quoted name; it is called in a folder of ours.

    Args:
        words: The options.
        prober: Takes note of what is there and what isn't.
    """

    def locate(path: str) -> str:
        folder, mark, name = path.partition(AS_WRITTEN)
        return path if not mark or prober.exists(os.path.join(folder, name)) else name

    return list(placed_folders(words, str, locate))


# Variables -------------------------------------------------------------------------------------


def placed_lists(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that list folders, each folder absolute. Compilers run in a folder of ours."""
    return {
        name: os.pathsep.join(map(os.path.abspath, environ[name].split(os.pathsep)))
        for name in FOLDER_LISTS
        if environ.get(name)
    }


# Where it is looked ----------------------------------------------------------------------------

# In a compiler's order of search.
_QUOTE, _ANGLE, _SYSTEM, _AFTER = range(4)
_HEADER_OPTIONS = {
    "-iquote": _QUOTE,
    "-I": _ANGLE,
    "--include-directory": _ANGLE,
    "-iwithprefixbefore": _ANGLE,
    "--include-with-prefix-before": _ANGLE,
    "-isystem": _SYSTEM,
    "-cxx-isystem": _SYSTEM,
    "-idirafter": _AFTER,
    "-isystem-after": _AFTER,
    "--include-directory-after": _AFTER,
    "-iwithprefix": _AFTER,
    "--include-with-prefix": _AFTER,
    "--include-with-prefix-after": _AFTER,
}
_OF_THE_SYSTEM = ("../lib", "../lib64", sysconfig.get_config_var("MULTIARCH") or "")
"""Where gcc also looks for libraries, from each folder in which it looks for parts of its own."""
_PREFIXES = ("-iprefix", "--include-prefix")


def include_chain(
    words: Sequence[str], environ: Mapping[str, str], system: Iterable[str]
) -> list[str]:
    """The folders in which a compiler looks for headers, in order.

    A folder that is named in two ways is there twice: which of its places counts, the compilers do
    not agree on.

    Args:
        words: Its command line.
        environ: Its environment.
        system: Its own folders.
    """
    groups: tuple[list[str], ...] = ([], [], [], [])
    prefix = ""
    for option, value in _values(expanded(words)[0], (*_HEADER_OPTIONS, *_PREFIXES, "-B")):
        if option in _PREFIXES:
            prefix = value
        elif option == "-B":
            groups[_SYSTEM].append(os.path.join(value, "include"))
        else:
            folder = prefix + value if "prefix" in option else value.removeprefix("=")
            groups[_HEADER_OPTIONS[option]].append(folder)
    lists = placed_lists(environ)

    def listed(*names: str) -> list[str]:
        return [f for name in names for f in lists.get(name, "").split(os.pathsep)]

    quote, angle, own, after = groups
    angle += listed("CPATH")
    own += listed("C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")
    return [f for group in (quote, angle, own, system, after) for f in _normal(group)]


def library_folders(words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The folders of the user's in which the linker looks for libraries.

    Args:
        words: The compiler's command line.
        environ: Its environment.
    """
    own = expanded(words)[0]
    options = ("-L", "--library-path", "--library-directory")
    folders = [value.removeprefix("=") for value in option_values(own, *options)]
    listed = placed_lists(environ).get("LIBRARY_PATH", "").split(os.pathsep)
    beside = [
        os.path.join(folder, place)
        for folder in (*option_values(own, "-B"), *listed)
        for place in ("", *_OF_THE_SYSTEM)
    ]
    return _normal([*folders, *beside])


def libraries(words: Sequence[str]) -> list[str]:
    """The libraries that a command line names, each as after ``-l``."""
    return option_values(expanded(words)[0], "-l", "--library")


def _normal(folders: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(os.path.normpath(f) for f in folders if os.path.isabs(f))]
