"""Why a built image cannot be loaded, in terms of its source."""

from __future__ import annotations

import os

from ..errors import CompileError, read_source
from .diagnose import compiler_diagnostics
from .request import Source


def load_failure(message: str, image: str, source: Source) -> CompileError:
    """The error for an image that the system's loader refuses.

    Args:
        message: What the loader said: ``...: undefined symbol: f``.
        image: The image; its C file lies beside it.
        source: The module's source.
    """
    stem = os.path.basename(os.path.splitext(source.path)[0])
    paths = [os.path.join(os.path.dirname(image), stem + suffix) for suffix in (".c", ".cpp")]
    c_path = next((path for path in paths if os.path.exists(path)), paths[0])

    def resolve(name: str) -> str:
        end = os.sep + name
        return source.path if source.path.endswith(end) else os.path.abspath(name)

    found = compiler_diagnostics(
        message, c_path=c_path, c_text=read_source(c_path) or "", resolve=resolve, read=read_source
    )
    return CompileError(found, name=source.name, path=source.path)
