"""How one module is to be built: settings, header and ``.pyxbld`` put together.

Where the parts meet, a source's own word wins: its header over the settings, its ``.pyxbld`` over
the header. Lists add up. Relative paths in a header or ``.pyxbld`` (``-Iinclude`` among the
arguments as well) are looked for beside the source, then in the project's root (the nearest folder
upwards with a pyproject.toml or setup.py), as setuptools would find them there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ..settings import Settings, placed_folders
from .header import Header
from .inputs import Prober
from .pyxbld import Special

Macro = tuple[str, str | None]

DEBUG_CHECKS: dict[str, object] = {
    "boundscheck": True,
    "wraparound": True,
    "nonecheck": True,
    "initializedcheck": True,
    "overflowcheck": True,
}
"""What profile ``debug`` turns on over headers and decorators."""
_PROFILE_DIRECTIVES: dict[str, dict[str, object]] = {"trace": {"linetrace": True, "binding": True}}
_PROFILE_MACROS: dict[str, tuple[Macro, ...]] = {
    # coverage.py's C tracer does not see what goes through sys.monitoring.
    "trace": (("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")),
}
_LISTS = (
    "sources",
    "include_dirs",
    "library_dirs",
    "runtime_library_dirs",
    "extra_objects",
    "depends",
    "libraries",
    "undef_macros",
    "extra_compile_args",
    "extra_link_args",
)
_PATHS = frozenset(_LISTS[:6])
_ARGUMENTS = frozenset(_LISTS[-2:])


@dataclass(frozen=True)
class BuildSpec:
    """How one module is to be built.

    Attributes:
        path: The source.
        name: Full module name.
        profile: ``dev``, ``release``, ``debug`` or ``trace``.
        language: "c" or "c++", None to find out.
        language_level: 2, 3 or "3str", where the source does not say.
        directives: Compiler directives, where the source does not say.
        compile_time_env: Values for compile-time names.
        include_path: Where Cython looks for ``.pxd`` and ``.pxi``.
        sources: Further C and C++ sources.
        define_macros: (name, value or None).
    """

    path: str
    name: str
    profile: str = "dev"
    language: str | None = None
    language_level: int | str = 3
    directives: dict[str, object] = field(default_factory=dict)
    compile_time_env: dict[str, object] = field(default_factory=dict)
    include_path: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    include_dirs: tuple[str, ...] = ()
    library_dirs: tuple[str, ...] = ()
    runtime_library_dirs: tuple[str, ...] = ()
    extra_objects: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    undef_macros: tuple[str, ...] = ()
    extra_compile_args: tuple[str, ...] = ()
    extra_link_args: tuple[str, ...] = ()
    define_macros: tuple[Macro, ...] = ()

    @property
    def forced(self) -> dict[str, object]:
        """Directives that hold whatever the source says."""
        return DEBUG_CHECKS if self.profile == "debug" else {}

    def with_list(self, name: str, more: Iterable[str]) -> BuildSpec:
        """The spec with values added to one of its lists, each once.

        Arguments stay as they are: in ``-framework A -framework B`` a word means what it does
        because of the one before it.
        """
        values = (*getattr(self, name), *more)
        if name not in _ARGUMENTS:
            values = tuple(dict.fromkeys(values))
        return replace(self, **{name: values})  # type: ignore[arg-type]

    def with_macros(self, macros: Iterable[Macro]) -> BuildSpec:
        """The spec with macros added."""
        return replace(self, define_macros=tuple(dict.fromkeys((*self.define_macros, *macros))))


def from_settings(path: str, name: str, settings: Settings) -> BuildSpec:
    """What the settings say."""
    profile = str(settings["profile"])
    values: dict[str, Any] = {list_: settings.strings(list_) for list_ in _LISTS}
    directives: Any = settings["directives"]
    return BuildSpec(
        path=path,
        name=name,
        profile=profile,
        language=settings.text("language"),
        language_level=settings["language_level"],  # type: ignore[arg-type]
        directives={**_PROFILE_DIRECTIVES.get(profile, {}), **directives},
        compile_time_env=settings["compile_time_env"],  # type: ignore[arg-type]
        include_path=settings.strings("include_path"),
        define_macros=(
            *_PROFILE_MACROS.get(profile, ()),
            *settings["define_macros"],  # type: ignore[misc]
        ),
        **values,
    )


def with_header(spec: BuildSpec, header: Header, where: str, prober: Prober) -> BuildSpec:
    """Add what the header of a source (or of a ``.pxd`` that it cimports) says.

    Args:
        spec: What was known before.
        header: The header.
        where: The file whose header it is.
        prober: Notes which of the possible files exist.
    """
    values = header.distutils
    for name in _LISTS:
        if name in values:
            spec = spec.with_list(name, _placed(name, values[name], where, prober))
    if "define_macros" in values:
        spec = spec.with_macros(values["define_macros"])
    if "language" in values:
        spec = replace(spec, language=values["language"])
    return spec


def with_special(spec: BuildSpec, special: Special, where: str, prober: Prober) -> BuildSpec:
    """Add what a ``.pyxbld`` says."""
    values = special.values
    for name in _LISTS:
        if name in values:
            spec = spec.with_list(name, _placed(name, values[name], where, prober))
    spec = spec.with_macros(tuple(macro) for macro in values.get("define_macros", ()))
    include_path = _placed("include_dirs", values.get("include_path", ()), where, prober)
    return replace(
        spec,
        profile=values.get("profile") or spec.profile,
        language=values.get("language") or spec.language,
        language_level=values.get("language_level") or spec.language_level,
        directives={**spec.directives, **values.get("directives", {})},
        compile_time_env={**spec.compile_time_env, **values.get("compile_time_env", {})},
        include_path=(*spec.include_path, *include_path),
    )


def transitive(header: Header) -> Header:
    """What a cimported ``.pxd``'s header says of those that cimport it.

    As in Cython's own build: libraries, folders and arguments, but neither sources nor macros.
    """
    lists = set(_LISTS) - {"sources", "undef_macros", "extra_objects"}
    return Header({n: v for n, v in header.distutils.items() if n in lists})


def _placed(name: str, values: Iterable[str], where: str, prober: Prober) -> list[str]:
    """Values of a list; paths absolute."""
    bases = (os.path.dirname(where), project_root(where, prober))

    def place(path: str) -> str:
        return prober.first(os.path.abspath(os.path.join(base, path)) for base in bases)

    def header(path: str) -> str:
        paths = (os.path.abspath(os.path.join(base, path)) for base in bases)
        return next((found for found in paths if prober.exists(found)), path)

    if name in _ARGUMENTS:
        return list(placed_folders(values, place, header))
    return [place(value) for value in values] if name in _PATHS else list(values)


def project_root(path: str, prober: Prober) -> str:
    """The nearest folder upwards that a project starts in, else the file's own."""
    folder = start = os.path.dirname(path)
    while True:
        if any(prober.exists(os.path.join(folder, n)) for n in ("pyproject.toml", "setup.py")):
            return folder
        if folder == os.path.dirname(folder):
            return start
        folder = os.path.dirname(folder)


def pyxdep_patterns(path: str, text: str) -> list[str]:
    """The patterns in a ``.pyxdep`` (one a line, relative to it), absolute."""
    folder = os.path.dirname(path)
    lines = (line.strip() for line in text.splitlines())
    return [os.path.normpath(os.path.join(folder, line)) for line in lines if line]
