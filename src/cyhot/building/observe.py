"""What the file system says now: signatures, hashes, directory listings, tools on PATH.

Everything that decides whether an image is up to date asks an `Observer`, so the decisions
themselves are pure. This module is on the warm path: it imports nothing but built-in modules.
"""

from __future__ import annotations

import os
import sys

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter built without the accelerator module
    from hashlib import blake2b

FileSig = tuple[int, int, int, int]
"""Size, mtime_ns, ctime_ns, inode. ctime catches a rewrite that sets mtime back."""
DirSig = tuple[int, int, int]
"""Inode, mtime_ns, ctime_ns: unchanged means that no entry came or went."""

# A file system's clock may tick as seldom as every two seconds (FAT), so two writes within
# one tick can leave equal signatures. What is younger than this is hashed, not trusted.
CLOCK_TICK_NS = 2_000_000_000


def digest(data: bytes) -> str:
    """The content hash that is used everywhere: BLAKE2b, 128 bits, in hexadecimal."""
    return blake2b(data, digest_size=16).hexdigest()


def file_sig(path: str) -> FileSig | None:
    """The signature of a regular file; None if there is none at `path`."""
    try:
        st = os.stat(path)
    except (OSError, ValueError):
        return None
    if st.st_mode & 0o170000 != 0o100000:
        return None
    return st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino


def dir_sig(path: str) -> DirSig | None:
    """The signature of a directory; None if `path` is not one."""
    try:
        st = os.stat(path)
    except (OSError, ValueError):
        return None
    if st.st_mode & 0o170000 != 0o040000:
        return None
    return st.st_ino, st.st_mtime_ns, st.st_ctime_ns


def hash_file(path: str) -> str:
    """The content hash of a file, `""` if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return digest(file.read())
    except OSError:
        return ""


def is_young(times: tuple[int, ...], as_of: int) -> bool:
    """Whether something with these times could have changed again within the same clock tick."""
    return max(times) > as_of - CLOCK_TICK_NS


def find_program(name: str) -> str:
    """The path that the shell would run for `name`, `""` if there is none."""
    if os.sep in name:
        return name if os.access(name, os.X_OK) else ""
    if sys.platform == "win32":
        from shutil import which

        return which(name) or ""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = f"{folder or '.'}/{name}"
        if file_sig(path) is not None and os.access(path, os.X_OK):
            return path
    return ""


def search_path() -> tuple[str, ...]:
    """sys.path as absolute folders, in order, each once."""
    folders = (os.path.abspath(os.fspath(entry)) for entry in sys.path)
    return tuple(dict.fromkeys(folders))


def find_package(name: str) -> str:
    """The folder of an importable package, found without importing it; `""` if there is none."""
    for folder in search_path():
        path = f"{folder}{os.sep}{name}"
        if file_sig(f"{path}{os.sep}__init__.py") is not None:
            return path
    return ""


class Observer:
    """Looks at files, folders and tools, each at most once.

    One observer serves one decision: what it has seen stays as it was for that decision.
    """

    __slots__ = ("_dirs", "_hashes", "_names", "_path", "_sigs", "_tools")

    def __init__(self) -> None:
        self._sigs: dict[str, FileSig | None] = {}
        self._dirs: dict[str, DirSig | None] = {}
        self._hashes: dict[str, str] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._tools: dict[tuple[str, str], tuple[str, FileSig | None]] = {}
        self._path: tuple[str, ...] | None = None

    def sig(self, path: str) -> FileSig | None:
        """The file's signature now."""
        if path not in self._sigs:
            self._sigs[path] = file_sig(path)
        return self._sigs[path]

    def hash(self, path: str) -> str:
        """The file's content hash now. The signature is taken first: see `CLOCK_TICK_NS`."""
        if path not in self._hashes:
            self.sig(path)
            self._hashes[path] = hash_file(path)
        return self._hashes[path]

    def dir(self, path: str) -> DirSig | None:
        """The folder's signature now."""
        if path not in self._dirs:
            self._dirs[path] = dir_sig(path)
        return self._dirs[path]

    def names(self, path: str) -> frozenset[str]:
        """The names in a folder now, none if there is no such folder."""
        if path not in self._names:
            self.dir(path)
            try:
                self._names[path] = frozenset(os.listdir(path))
            except OSError:
                self._names[path] = frozenset()
        return self._names[path]

    def looked_closer(self) -> bool:
        """Whether signatures alone did not do, and something was read."""
        return bool(self._hashes or self._names)

    def sys_path(self) -> tuple[str, ...]:
        """The folders of sys.path now."""
        if self._path is None:
            self._path = search_path()
        return self._path

    def tool(self, kind: str, request: str) -> tuple[str, FileSig | None]:
        """Where a tool is now (`""`: nowhere) and the signature of the file that stands for it.

        Args:
            kind: `"program"` (searched on PATH) or `"package"` (searched on sys.path).
            request: The program's name or path; the package's name and, after a slash, the
                file in it that changes with each of its versions.
        """
        key = (kind, request)
        if key not in self._tools:
            self._tools[key] = self._find_tool(kind, request)
        return self._tools[key]

    def _find_tool(self, kind: str, request: str) -> tuple[str, FileSig | None]:
        if kind == "package":
            name, _, marker = request.partition("/")
            folder = find_package(name)
            path = f"{folder}{os.sep}{marker}" if folder else ""
        else:
            path = find_program(request)
        return path, self.sig(path) if path else None

    def ident(self, kind: str, request: str) -> str:
        """What the tool says of itself, asked when its file is not the one that was recorded."""
        from .toolchain import identify

        return identify(kind, request, self.tool(kind, request)[0])
