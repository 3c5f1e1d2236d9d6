"""What determines an image: the part that is known before a source is read, and the whole.

The *key* names everything that can be known without opening a source: which module it is, for
which Python, under which settings and environment. It is where records are looked up. The
*digest* also covers the contents of all that the compilers opened; it is an image's identity.

Pure: values in, values out. On the warm path.
"""

from __future__ import annotations

from .observe import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = 2
"""Raised when records or images of an older cyhot must not be read any more."""

ENVIRONMENT = (
    "CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDSHARED", "LDCXXSHARED",
    "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "LD_RUN_PATH",
    "COMPILER_PATH", "GCC_EXEC_PREFIX", "MACOSX_DEPLOYMENT_TARGET", "SDKROOT", "ARCHFLAGS",
    "SOURCE_DATE_EPOCH", "INCLUDE", "LIB", "LIBPATH", "CL", "_CL_",
)  # fmt: skip
"""Environment variables that setuptools or a C compiler reads."""

KeyParts = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Named groups of (name, value) pairs; comparing two of them says why a key is another."""


def key_parts(
    *,
    path: str,
    name: str,
    is_package: bool,
    python: Mapping[str, str],
    environ: Mapping[str, str],
    settings: Mapping[str, object],
) -> KeyParts:
    """Everything that is known of a build before its source is read.

    Args:
        path: Absolute path of the source. It is part of the identity, so that two projects
            with a module of the same name never meet.
        name: Full module name.
        is_package: Whether the source is a package's ``__init__``.
        python: What identifies the interpreter and its ABI.
        environ: The process's environment; the names in `ENVIRONMENT` count.
        settings: The settings that change what is built, where they differ from the defaults.
    """
    module = (("name", name), ("package", str(is_package)), ("path", path))
    env = tuple((n, environ[n]) for n in ENVIRONMENT if environ.get(n))
    chosen = tuple((n, repr(settings[n])) for n in sorted(settings))
    return (
        ("format", (("format", str(FORMAT)),)),
        ("module", module),
        ("python", tuple(python.items())),
        ("environment", env),
        ("setting", chosen),
    )


def key(parts: KeyParts) -> str:
    """The name under which records of this build are kept."""
    return digest(repr(parts).encode())


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
