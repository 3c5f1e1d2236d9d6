"""What determines an image: the part that is known before a source is read, and the whole.

The *key* names everything that can be known without opening a source: which module it is, for
which Python, under which settings and environment. It is where records are looked up. The
*digest* also covers the contents of all that the compilers opened; it is an image's identity.

Pure: values in, values out. On the warm path.
"""

from __future__ import annotations

import os

from ..settings import placed_folders
from .observe import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

FORMAT = 5
"""Raised when records or images of an older cyhot must not be read any more."""

ENVIRONMENT = (
    "CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDSHARED", "LDCXXSHARED",
    "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "LD_RUN_PATH",
    "COMPILER_PATH", "GCC_EXEC_PREFIX", "MACOSX_DEPLOYMENT_TARGET", "SDKROOT", "ARCHFLAGS",
    "SOURCE_DATE_EPOCH", "INCLUDE", "LIB", "LIBPATH", "CL", "_CL_",
    "CCC_OVERRIDE_OPTIONS", "NIX_CFLAGS_COMPILE", "NIX_CFLAGS_LINK", "NIX_LDFLAGS",
)  # fmt: skip
"""Environment variables that setuptools, a C compiler or a system's wrapper around it reads."""

HEADER_LISTS = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")
FOLDER_LISTS = (*HEADER_LISTS, "LIBRARY_PATH", "COMPILER_PATH")
"""Those of them that list folders. An empty entry is the working folder."""

KeyParts = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Named groups of (name, value) pairs; comparing two of them says why a key is another."""


class Surroundings:
    """What is known before a build and the same for many modules.

    Attributes:
        groups: The groups of their `KeyParts` after the module's own.
        text: The same as text, so that it is made once for all of them.
    """

    __slots__ = ("groups", "text")

    def __init__(
        self,
        python: Mapping[str, str],
        environ: tuple[tuple[str, str], ...],
        settings: Mapping[str, object],
    ) -> None:
        """Put it together.

        Args:
            python: What identifies the interpreter and its ABI.
            environ: The variables of `build_environment`.
            settings: The settings that change what is built, where they differ from the
                defaults.
        """
        chosen = tuple((n, repr(settings[n])) for n in sorted(settings))
        self.groups: KeyParts = (
            ("format", (("format", str(FORMAT)),)),
            ("python", tuple(python.items())),
            ("environment", environ),
            ("setting", chosen),
        )
        self.text = repr(self.groups)

    @classmethod
    def of_groups(cls, groups: KeyParts) -> Surroundings:
        """The surroundings that another process has."""
        around = cls.__new__(cls)
        around.groups, around.text = groups, repr(groups)
        return around


def build_environment(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The variables of the process's environment that count, with their values."""
    # os.environ raises two exceptions for each name that isn't there; the dict that it is a view of
    # (in CPython) takes one look-up.
    encode, there = getattr(environ, "encodekey", str), getattr(environ, "_data", environ)
    names = _encoded.get(encode)
    if names is None:
        names = _encoded[encode] = tuple((name, encode(name)) for name in ENVIRONMENT)
    return tuple((name, environ[name]) for name, raw in names if there.get(raw))


def depends_on_folder(environ: Iterable[tuple[str, str]]) -> bool:
    """Whether one of the variables of `build_environment` names something below the working folder.

    ``CFLAGS=-Iinclude`` is another folder for each place that a program is started in.
    """
    return any(_names_relative(name, value) for name, value in environ)


def _names_relative(name: str, value: str) -> bool:
    if name in FOLDER_LISTS:
        return not all(map(os.path.isabs, value.split(os.pathsep)))
    words = tuple(value.split())
    if name in {"CC", "CXX"} and any(os.sep in word and word[0] not in "/-" for word in words):
        return True
    return placed_folders(words, _if_absolute, _if_absolute) != words


def _if_absolute(path: str) -> str:
    return path if os.path.isabs(path) else ""


_encoded: dict[Callable[[str], Any], tuple[tuple[str, Any], ...]] = {}


def key_parts(*, path: str, name: str, is_package: bool, around: Surroundings) -> KeyParts:
    """Everything that is known of a build before its source is read.

    Args:
        path: Absolute path of the source. It is part of the identity, so that two projects
            with a module of the same name never meet.
        name: Full module name.
        is_package: Whether the source is a package's ``__init__``.
        around: The rest.
    """
    module = (("name", name), ("package", str(is_package)), ("path", path))
    return (("module", module), *around.groups)


def key(*, path: str, name: str, is_package: bool, around: Surroundings) -> str:
    """The name under which records of a build are kept; the arguments are `key_parts`'s."""
    return digest(f"{path}\0{name}\0{is_package}\0{around.text}".encode("utf-8", "surrogateescape"))


def origin_key(parts: KeyParts) -> str:
    """The name under which the newest `KeyParts` of a module are remembered, for each Python."""
    groups = dict(parts)
    prefix = [value for name, value in groups["python"] if name in ("prefix", "ABI")]
    return digest(repr((groups["module"], prefix)).encode())


def image_digest(
    parts: KeyParts,
    tools: Iterable[tuple[str, str]],
    steps: Iterable[tuple[str, ...]],
    files: Iterable[tuple[str, str]],
) -> str:
    """The identity of an image.

    Args:
        parts: What was known before.
        tools: (request, identity) of every tool that took part.
        steps: The options given to Cython, and the command lines, with temporary folders left
            out.
        files: (path, content hash) of every file that was opened.
    """
    whole = (parts, sorted(tools), tuple(steps), sorted(set(files)))
    return digest(repr(whole).encode())
