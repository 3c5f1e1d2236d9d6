"""Why a built image cannot be loaded, in terms of its source."""

from __future__ import annotations

import os
import re

from ..errors import CompileError, Diagnostic, read_source
from .diagnose import compiler_diagnostics
from .request import Source

_NO_LIBRARY = re.compile(r"^(\S+): cannot open shared object file|Library not loaded: (\S+)")


def load_failure(message: str, image: str, source: Source) -> CompileError | None:
    """The error for an image that the system's loader refuses; None if it was something else.

    Args:
        message: What the loader said: ``...: undefined symbol: f``.
        image: The image; its C file lies beside it.
        source: The module's source.
    """
    if found := _NO_LIBRARY.search(message):
        return _no_library(os.path.basename(found[1] or found[2]), source)
    if image not in message:
        return None
    stem = os.path.basename(os.path.splitext(source.path)[0])
    paths = [os.path.join(os.path.dirname(image), stem + suffix) for suffix in (".c", ".cpp")]
    c_path = next((path for path in paths if os.path.exists(path)), paths[0])

    def resolve(name: str) -> str:
        end = os.sep + name
        return source.path if source.path.endswith(end) else os.path.abspath(name)

    diagnostics = compiler_diagnostics(
        message, c_path=c_path, c_text=read_source(c_path) or "", resolve=resolve, read=read_source
    )
    return CompileError(diagnostics, name=source.name, path=source.path)


def _no_library(library: str, source: Source) -> CompileError:
    diagnostic = Diagnostic(
        path=source.path,
        line=None,
        column=None,
        severity="error",
        message=f"the library {library} was not found when the module was loaded",
        stage="linker",
        hint="add its folder to the setting runtime_library_dirs (library_dirs is for linking)",
    )
    return CompileError([diagnostic], name=source.name, path=source.path)
