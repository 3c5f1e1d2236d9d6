"""Compilers that setuptools knows how to call and we do not: Microsoft's.

setuptools' compiler object finds Visual Studio and puts the command lines together; they run as all
others do, so that their output is kept and nothing survives a Ctrl-C. There is no depfile: what a
source includes is read from its text.

Untested on Windows. What is tested is this module with setuptools' Unix compiler.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import read_source
from .commands import Finished, run
from .pyxbld import make_distutils_importable
from .spec import BuildSpec
from .toolchain import Compiler, identify, python_include_dirs

# (compiling, linking) with debug information, and without optimization. setuptools' own debug=True
# would ask for a debug build of Python.
_DEBUG = {"msvc": (["/Od", "/Z7"], ["/DEBUG"]), "unix": (["-O0", "-g"], [])}
_OPENMP = {"msvc": ("/openmp",), "unix": ("-fopenmp",)}


@functools.cache  # finding Visual Studio takes a second
def setuptools_compiler(kind: str = "msvc") -> Compiler | None:
    """The compiler of a kind that setuptools finds, None if it finds none."""
    driver = SetuptoolsDriver(kind, "")
    if not driver.program:
        return None
    ident = identify("program", driver.program, driver.program)
    return Compiler(("setuptools", kind), (("program", driver.program),), ident)


class _Failed(Exception):
    """A command failed; nothing that setuptools catches."""


class SetuptoolsDriver:
    """Compiles and links with a compiler object of setuptools'.

    Args:
        kind: ``msvc`` or ``unix``.
        folder: Where to run.

    Attributes:
        program: The compiler's path, `""` if there is none.
        system_dirs: Its own include folders.
        openmp: Options for OpenMP: to compile, to link.
    """

    def __init__(self, kind: str, folder: str) -> None:
        self.kind = kind
        self.folder = folder
        self.finished: list[Finished] = []
        self._compiler = self._found()
        words = getattr(self._compiler, "compiler_so", None) or [getattr(self._compiler, "cc", "")]
        self.program = str(words[0] or "")
        # MSVC's are those of Visual Studio, which it passes to each command.
        self.system_dirs = tuple(getattr(self._compiler, "include_dirs", ()))
        self.openmp = (_OPENMP[kind], () if kind == "msvc" else _OPENMP[kind])

    def _found(self) -> Any:
        make_distutils_importable()
        from distutils.ccompiler import new_compiler
        from distutils.errors import DistutilsPlatformError
        from distutils.sysconfig import customize_compiler

        try:
            compiler: Any = new_compiler(compiler=self.kind)
            customize_compiler(compiler)
            if hasattr(compiler, "initialize"):
                compiler.initialize()
        except DistutilsPlatformError:
            return None  # no Visual Studio
        # setuptools calls one or the other, depending on its version.
        compiler.call = compiler.spawn = self._call
        compiler.mkpath = lambda *args, **kwargs: None
        return compiler

    def _call(self, command: Sequence[Any], **_: Any) -> None:
        """Run a command that setuptools put together."""
        done = run([os.fspath(word) for word in command], self.folder)
        self.finished.append(done)
        if done.status:
            raise _Failed

    def compile(self, spec: BuildSpec, source: str, target: str) -> Finished:
        """Compile one source."""
        # Its own name for the object file would be the source's whole path in our folder.
        self._compiler.object_filenames = lambda *args, **kwargs: [target]
        undefined = [(name,) for name in spec.undef_macros]
        try:
            self._compiler.compile(
                [source],
                output_dir=self.folder,
                macros=[*spec.define_macros, *undefined],
                include_dirs=[*self.quoted(spec), *spec.include_dirs, *python_include_dirs()],
                extra_postargs=[*self._for_profile(spec, 0), *spec.extra_compile_args],
            )
        except _Failed:
            pass  # what the compiler said is in `finished`
        return self.finished[-1]

    def link(self, spec: BuildSpec, objects: list[str], target: str, cplus: bool) -> Finished:
        """Link an image."""
        libs = [os.path.join(sys.base_exec_prefix, "libs")] if self.kind == "msvc" else []
        try:
            self._compiler.link_shared_object(
                [*objects, *spec.extra_objects],
                target,
                libraries=list(spec.libraries),
                library_dirs=[*spec.library_dirs, *libs],
                runtime_library_dirs=list(spec.runtime_library_dirs),
                export_symbols=[f"PyInit_{spec.name.rpartition('.')[2]}"],
                extra_postargs=[*self._for_profile(spec, 1), *spec.extra_link_args],
                build_temp=self.folder,
                target_lang="c++" if cplus else None,
            )
        except _Failed:
            pass
        return self.finished[-1]

    def _for_profile(self, spec: BuildSpec, step: int) -> list[str]:
        return _DEBUG[self.kind][step] if spec.profile == "debug" else []

    def quoted(self, spec: BuildSpec) -> list[str]:
        """The folders in which quoted names are looked for: there is no ``-iquote`` here."""
        return [os.path.dirname(spec.path), self.folder]


_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)


def scan_includes(sources: Iterable[str], folders: Sequence[str]) -> list[str]:
    """The headers that sources include, and those include, as far as their text tells.

    All of them, whatever ``#if`` they are in: one too many costs a compile, one too few would
    leave an image stale.

    Args:
        sources: C files.
        folders: Where headers are looked for.
    """
    found: dict[str, None] = {}
    waiting = list(sources)
    while waiting:
        path = waiting.pop()
        for quoted, angled in _INCLUDE.findall(read_source(path) or ""):
            places = [os.path.dirname(path), *folders] if quoted else folders
            headers = (os.path.normpath(os.path.join(place, quoted or angled)) for place in places)
            header = next((header for header in headers if os.path.isfile(header)), None)
            if header and header not in found:
                found[header] = None
                waiting.append(header)
    return list(found)
