"""What the file system says now: signatures, hashes, directory listings, tools on PATH.

Everything that decides whether an image is up to date asks an `Observer`, so the decisions
themselves are pure. This module is on the warm path: it imports nothing but built-in modules.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import _local

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter built without the accelerator module
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

FileSig = tuple[int, int, int, int]
"""Size, mtime_ns, ctime_ns, inode. ctime catches a rewrite that sets mtime back."""
DirSig = tuple[int, int, int]
"""Inode, mtime_ns, ctime_ns: unchanged means that no entry came or went."""

# A file system's clock may tick as seldom as every two seconds (FAT), so two writes within
# one tick can leave equal signatures. What is younger than this is hashed, not trusted.
CLOCK_TICK_NS = 2_000_000_000
SHARED_NS = 50_000_000
"""For how long decisions share what they saw of distant things; see `Recent`."""
CYTHON = ("package", "Cython/Shadow.py")
"""The tool row that stands for Cython: that file has its version and comes with each install."""
LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")
"""Programs that stand in front of a compiler, and change nothing in what comes out."""


# os.environ is a view of a dict (in CPython): to ask that takes no call of a Python function.
_environ = os.environ
_variable: Callable[[Any], Any] = getattr(_environ, "_data", _environ).get


def raw_names(names: Iterable[str]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Names of environment variables, for `environment_values`."""
    own = tuple(names)
    return tuple(map(getattr(_environ, "encodekey", str), own)), own


_PATH = raw_names(["PATH"])


def environment_values(names: tuple[tuple[Any, ...], tuple[str, ...]]) -> list[object]:
    """The values of environment variables; only good for a comparison with others of the kind."""
    if os.environ is _environ:
        return [*map(_variable, names[0])]
    return [*map(os.environ.get, names[1])]  # somebody put another one in its place


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


def exists(path: str) -> bool:
    """Whether there is anything at `path`, links followed.

    For what is not there, which is the rule, a stat takes twice as long.
    """
    try:
        return os.access(path, os.F_OK)
    except ValueError:
        return False


def fits(pattern: str, name: str) -> bool:
    """Whether a name starts and ends as the pattern ``start*end`` says."""
    start, _, end = pattern.partition("*")
    return len(name) >= len(start) + len(end) and name.startswith(start) and name.endswith(end)


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


def is_settled(now: tuple[int, ...] | None, sig: tuple[int, ...], as_of: int) -> bool:
    """Whether what is there now has a noted signature, and that one can be trusted."""
    limit = as_of - CLOCK_TICK_NS
    return now == sig and sig[1] <= limit and sig[2] <= limit


def find_program(name: str) -> str:
    """The path that the shell would run for `name`, `""` if there is none.

    A compiler's name that is a link to ``ccache`` or the like is passed over for the compiler
    behind it: the launcher's own file stays the same when the compiler is upgraded.
    """
    if os.sep in name:
        return name if os.access(name, os.X_OK) else ""
    if sys.platform == "win32":
        from shutil import which

        return which(name) or ""
    launcher = ""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = f"{folder or '.'}/{name}"
        if file_sig(path) is not None and os.access(path, os.X_OK):
            if not _is_launcher(path):
                return path
            launcher = launcher or path
    return launcher


def _is_launcher(path: str) -> bool:
    return os.path.islink(path) and os.path.basename(os.path.realpath(path)) in LAUNCHERS


class _Thread(_local):
    root = ""


this_thread = _Thread()
"""Its `root`: a folder that is searched in this thread, whether it is on sys.path or not."""


def path_entries() -> list[object]:
    """The entries of sys.path; before them the root of this thread, if it is not among them."""
    entries: list[object] = [*sys.path]
    root = this_thread.root
    if root and root not in _folders(entries):
        entries.insert(0, root)
    return entries


def search_path() -> tuple[str, ...]:
    """`path_entries` as absolute folders, each once; without what the import system skips."""
    return tuple(_folders(path_entries()))


def _folders(entries: Iterable[object]) -> dict[str, None]:
    folders: dict[str, None] = {}
    for entry in entries:
        try:
            folder = os.fspath(entry)  # type: ignore[call-overload]
            if isinstance(folder, str):
                folders[os.path.abspath(folder)] = None
        except (TypeError, OSError):
            continue  # no path at all, or relative to a working directory that was removed
    return folders


def find_package(name: str) -> str:
    """The folder of an importable package, found without importing it; `""` if there is none."""
    for folder in search_path():
        path = f"{folder}{os.sep}{name}"
        if file_sig(f"{path}{os.sep}__init__.py") is not None:
            return path
    return _installed_elsewhere(name)


def _installed_elsewhere(name: str) -> str:
    """The folder of a package that is on no path entry, as an editable installation may be."""
    for finder in sys.meta_path:
        if type(finder).__module__.startswith("cyhot."):
            continue
        spec = finder.find_spec(name, None) if hasattr(finder, "find_spec") else None
        if spec is not None and spec.origin and spec.submodule_search_locations:
            return os.path.dirname(spec.origin)
    return ""


PROCESSOR = "/proc/cpuinfo"
_PROCESSOR_LINES = (
    "model name", "vendor_id", "cpu family", "model", "flags", "Features", "CPU implementer",
    "CPU architecture", "CPU variant", "CPU part", "isa", "uarch", "cpu",
)  # fmt: skip


def _processor(path: str) -> str:
    """What the first processor is and can do, `""` where the system does not say."""
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read(8192).decode("utf-8", "replace")
    except OSError:
        return ""
    lines = text.partition("\n\n")[0].splitlines()
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    return "\n".join(found[name] for name in _PROCESSOR_LINES if name in found)


class Observer:
    """Looks at files, folders and tools, each at most once.

    One observer serves one decision: what it has seen stays as it was for that decision. Only
    what is distant may have been seen by an observer that several decisions share.

    Attributes:
        since: When it began to look, ns since the epoch.
    """

    __slots__ = (
        *("_answers", "_dirs", "_distant", "_exists", "_hashes", "_idents", "_names", "_path"),
        *("_sigs", "_tools", "since"),
    )

    def __init__(
        self, distant: Observer | None = None, path: tuple[str, ...] | None = None
    ) -> None:
        """Begin to look.

        Args:
            distant: Who looks at what is distant (see `Recent`); by default the same observer.
            path: The folders of sys.path now, if they are known.
        """
        self.since = time.time_ns()
        self._distant = distant
        self._sigs: dict[str, FileSig | None] = {}
        self._dirs: dict[str, DirSig | None] = {}
        self._exists: dict[str, bool] = {}
        self._hashes: dict[str, str] = {}
        self._idents: dict[tuple[str, str], str] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._tools: dict[tuple[str, str], tuple[str, FileSig | None]] = {}
        self._answers: dict[object, Any] = {}
        self._path = path

    @property
    def distant(self) -> Observer:
        """Who looks at compilers, system headers, packages, and above the project."""
        return self._distant or self

    def once(self, question: object, answer: Callable[[], Any]) -> Any:
        """The answer to a question that only what this observer sees decides."""
        if question not in self._answers:
            self._answers[question] = answer()
        return self._answers[question]

    def sig(self, path: str) -> FileSig | None:
        """The file's signature now."""
        if path not in self._sigs:
            self._sigs[path] = file_sig(path)
        return self._sigs[path]

    def seen_sig(self, path: str, noted: FileSig) -> FileSig | None:
        """The file's signature, as it was seen; `noted` where that was found to hold."""
        return self._sigs.get(path, noted)

    def seen_dir(self, path: str, noted: DirSig) -> DirSig | None:
        """The same of a folder."""
        return self._dirs.get(path, noted)

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

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path` now."""
        if path not in self._exists:
            self._exists[path] = exists(path)
        return self._exists[path]

    def versioned(self, folder: str, prefix: str, suffix: str) -> list[str]:
        """Names in `folder` that start with `prefix` and end with `suffix`."""
        return sorted(name for name in self.names(folder) if fits(f"{prefix}*{suffix}", name))

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
        """Whether signatures alone did not do, and a file or a folder was read."""
        return bool(self._hashes or self._names or self._idents)

    def sys_path(self) -> tuple[str, ...]:
        """The folders of sys.path now."""
        if self._path is None:
            self._path = search_path()
        return self._path

    def tool(self, kind: str, request: str) -> tuple[str, FileSig | None]:
        """Where a tool is now (`""`: nowhere) and the signature of the file that stands for it.

        Args:
            kind: `"program"` (searched on PATH), `"package"` (searched on sys.path),
                `"processor"` (the one we run on) or `"variable"` (of the environment).
            request: The program's name or path; the package's name and, after a slash, the
                file in it that changes with each of its versions; the variable's name.
        """
        if kind == "variable":  # no file: the program itself may set it between two imports
            value = os.environ.get(request)
            return ("unset" if value is None else f"={value}"), None
        key = (kind, request)
        if key not in self._tools:
            self._tools[key] = self._find_tool(kind, request)
        return self._tools[key]

    def _find_tool(self, kind: str, request: str) -> tuple[str, FileSig | None]:
        if kind == "package":
            name, _, marker = request.partition("/")
            folder = find_package(name)
            path = f"{folder}{os.sep}{marker}" if folder else ""
        elif kind == "processor":
            path = PROCESSOR
        else:
            path = find_program(request)
        sig = self.sig(path) if path else None
        return (path, sig) if sig is not None else ("", None)

    def ident(self, kind: str, request: str) -> str:
        """What the tool is, asked when its file is not the one that was recorded.

        What a program says of itself is not enough: a wrapper script hands ``--version`` on to
        the compiler that it calls with options of its own. So its content counts as well.
        """
        if kind == "variable":
            return self.tool(kind, request)[0]
        key = (kind, request)
        if key not in self._idents:
            self._idents[key] = self._identify(kind, request)
        return self._idents[key]

    def _identify(self, kind: str, request: str) -> str:
        path = self.tool(kind, request)[0]
        if kind == "processor":
            return _processor(path)
        from .toolchain import identify

        told = identify(kind, request, path)
        return f"{told}\n{self.hash(path)}" if kind == "program" and path else told


class Recent:
    """Gives observers to decisions that may follow each other fast, as a program's imports do.

    The user's own files and folders are looked at anew for each decision, so an edit between two
    imports is always seen. Only what is distant (an installation's: compilers, system headers,
    Python, installed packages, hundreds of files that all modules share; and the folders above
    the project) is looked at once for all decisions within `SHARED_NS`.

    Why that is right: no decision is about one instant. Looking at the installation takes a
    millisecond, loading an image another, and an installation that changes in between goes
    unseen however it is done; sharing makes that moment 50 ms long. It is counted from before
    the first look and never prolonged, so nothing that is used was seen longer ago. Whoever
    changes such a thing and imports from it within that time says so as Python's own finder
    wants it, by ``importlib.invalidate_caches()``; a build, a reload and `cyhot.load` always
    look anew.
    """

    __slots__ = ("_shared",)

    def __init__(self) -> None:
        # Replaced as a whole: imports run in several threads.
        self._shared: tuple[int, object, list[str] | None, Observer] | None = None

    def forget(self) -> None:
        """Look anew from now on."""
        self._shared = None

    def observer(self) -> Observer:
        """An observer for a decision that is made now."""
        distant = self.distant()
        return Observer(distant, distant.sys_path())

    def distant(self) -> Observer:
        """Who looks at what is distant, for a decision that is made now.

        Somebody else than before where tools and modules are searched for in other places.
        """
        shared = self._shared
        (program_path,) = environment_values(_PATH)
        if (
            shared is not None
            and time.monotonic_ns() <= shared[0]
            and shared[1] == program_path
            and (sys.path == shared[2] or search_path() == shared[3].sys_path())
        ):
            return shared[3]
        until, entries = time.monotonic_ns() + SHARED_NS, [*sys.path]
        distant = Observer(path=search_path())
        # Where a relative entry leads, the working folder decides: that has to be asked.
        whole = all(isinstance(entry, str) and os.path.isabs(entry) for entry in entries)
        self._shared = until, program_path, entries if whole else None, distant
        return distant
