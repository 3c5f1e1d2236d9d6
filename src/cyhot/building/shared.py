"""The shared utility module: what Cython adds to every module, compiled once for all of them.

A module of a few lines has thousands of lines of Cython's own helpers in its C. Cython can have
them imported from a shared module instead. That one is made in the background (`prepare`); a build
that finds it uses it, others do without. It lies in each image's folder as a hard link: nothing
that is evicted or cleaned away can take it from an image.

Module and helpers exchange C structures, so whatever could change those rules it out: see the
`refusal_by_` functions, which are pure.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES

from .observe import CYTHON, Observer
from .prepare import Failed, run
from .publish import withdraw_image
from .store import SHARED, Store, Want, make_want
from .toolchain import (
    SMALL_CODE,
    Compiler,
    compile_flags,
    link_command,
    python_include_dirs,
)

_SIZE = "size"
_FORM = "2"
"""Raised when what is made from the same is to be another."""
_SINCE = 33
"""Older Cythons (10 * major + minor) share nothing but memoryviews, and not all that they need."""
_DIRECTIVES = (
    "c_string_encoding",
    "c_string_type",
    "linetrace",
    "profile",
    "subinterpreters_compatible",
)
"""Directives that reach into the helpers."""
_MACRO = "(?:CYTHON_|Py|PY_|__Pyx|__PYX)"
_SETS_MACRO = re.compile(rf"#[ \t]*(?:define|undef)[ \t]+{_MACRO}")
_IN_COMMENT = re.compile(
    rf"^[ \t]*#[ \t]*cython[ \t]*:.*\b({'|'.join(_DIRECTIVES)})\b", re.MULTILINE
)
_MACRO_APART = re.compile(r"(?:^|\x00)(-[DU])\x00")
_OPTION = re.compile(
    rf"-[DU] ?{_MACRO}.*|-include.*|-imacros.*|@.*"
    "|-fpack-struct.*|-fshort-.*|-fsanitize.*|-fabi-version.*|-fexec-charset.*"
    "|-m(?!arch=|cpu=|tune=|avx|sse|fma|bmi|popcnt|f16c|no-avx|no-fma|macosx).*"
)


# Why not -----------------------------------------------------------------------------------


def refusal_by_settings(
    *, profile: str, standalone: bool, directives: Mapping[str, object], cython: int,
    implementation: str, free_threaded: bool,
) -> str:  # fmt: skip
    """Why settings and versions rule a shared module out, `""` if they don't.

    Args:
        profile: The profile that is built.
        standalone: Whether the image has to work without cyhot's store.
        directives: Cython's directives, as far as settings have them.
        cython: Cython's version, as 10 * major + minor.
        implementation: Which Python it is.
        free_threaded: Whether Python has no GIL.
    """
    found = [name for name in _DIRECTIVES if directives.get(name)]
    if profile != "dev":
        return f"profile {profile} is complete in itself"
    if standalone:
        return "the image has to work without cyhot's store"
    if cython < _SINCE:
        return "this Cython shares too little"
    if implementation != "cpython" or free_threaded:
        return "this Python's helpers differ"
    return f"the directive {found[0]} reaches into the helpers" if found else ""


def refusal_by_words(words: Iterable[str]) -> str:
    """Why a compiler's options rule a shared module out, `""` if they don't."""
    joined = _MACRO_APART.sub("\x00\\1", "\x00".join(words)).split("\x00")
    for word in joined:
        if word != SMALL_CODE and _OPTION.fullmatch(word):
            return f"the option {word} may change what the helpers look like"
    return ""


def refusal_by_text(path: str, text: str) -> str:
    """Why a Cython source or ``.pxd`` rules a shared module out, `""` if it doesn't."""
    if found := _SETS_MACRO.search(text):
        return f"{os.path.basename(path)} has {found[0]}..."
    if found := _IN_COMMENT.search(text):
        return f"the directive {found[1]} reaches into the helpers"
    return ""


def refusal_by_compiler(compiler: Compiler) -> str:
    """Why a compiler rules a shared module out, `""` if it doesn't."""
    return "setuptools calls the compiler" if compiler.family == "setuptools" else ""


# Which one ---------------------------------------------------------------------------------


def want(store: Store, compiler: Compiler, cplus: bool, environ: Mapping[str, str]) -> Want:
    """The shared module that goes with a compiler, this Cython and this Python."""
    return make_want("shared", store.root, {
        "form": (_FORM,),
        "made by": _makers(),
        "include": python_include_dirs(),
        "compiler": (compiler.ident,),
        "language": ("c++" if cplus else "c",),
        "compile": (*compiler.command, *compile_flags("dev", compiler, cplus, environ)),
        "link": tuple(link_command("dev", compiler, cplus, environ)),
    })  # fmt: skip


def _makers() -> tuple[str, ...]:
    """Python and Cython: the one that is imported, and the one that is installed by now."""
    from Cython import __version__

    return EXTENSION_SUFFIXES[0], sys.version, __version__, Observer().ident(*CYTHON)


def module_name(wanted: Want) -> str:
    """The name that a shared module is imported by."""
    return SHARED + wanted[2]


def file_name(wanted: Want) -> str:
    """The file name of a shared module."""
    return module_name(wanted) + EXTENSION_SUFFIXES[0]


def attach(store: Store, wanted: Want, folder: str) -> str:
    """Link a prepared shared module into the folder of a build.

    Returns:
        Its path there; `""` if there is none, or there are no hard links here. One that is damaged
        is thrown away.
    """
    there = store.prepared(wanted[2], file_name(wanted))
    path = os.path.join(folder, file_name(wanted))
    st = _whole(there)
    if st is None:
        withdraw_image(store, os.path.dirname(there))
        return ""
    try:
        os.link(there, path)
    except OSError:
        return ""
    store.mark_used(there, st)
    return path


def _whole(path: str) -> os.stat_result | None:
    """The status of a shared module that is as it was made."""
    try:
        with open(os.path.join(os.path.dirname(path), _SIZE), encoding="ascii") as file:
            size = int(file.read() or 0)
        st = os.stat(path)
    except (OSError, ValueError):
        return None
    return st if st.st_size == size else None


# Making it ---------------------------------------------------------------------------------


def make(parameters: Mapping[str, Sequence[str]], name: str, folder: str) -> None:
    """Generate, compile and link a shared module.

    Args:
        parameters: Of `want`.
        name: The name in it.
        folder: Where.

    Raises:
        Failed: If that is impossible.
    """
    if tuple(parameters["made by"]) != _makers():
        raise Failed("another Python or Cython wants it", passing=True)
    stem = SHARED + name
    source = f"{stem}.{'cpp' if parameters['language'][0] == 'c++' else 'c'}"
    _generate(os.path.join(folder, source), stem, source.endswith(".cpp"))
    folders = [f"-I{path}" for path in parameters["include"]]
    compile_ = (*parameters["compile"], *folders, "-c", source, "-o", f"{stem}.o")
    link = (*parameters["link"], f"{stem}.o", "-o", stem + EXTENSION_SUFFIXES[0])
    for words in (compile_, link):
        run(words, folder)
    for rest in (source, f"{stem}.o"):
        os.unlink(os.path.join(folder, rest))
    made = os.path.join(folder, stem + EXTENSION_SUFFIXES[0])
    with open(os.path.join(folder, _SIZE), "w", encoding="ascii") as file:
        file.write(str(os.stat(made).st_size))


def _generate(path: str, name: str, cplus: bool) -> None:
    """Have Cython write the C, in this process: another one might import another Cython."""
    from .transpile import generate_shared

    if told := generate_shared(path, name, cplus):
        raise Failed(told)
