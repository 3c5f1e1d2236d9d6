"""Import statement to module spec: where a ``.pyx`` is, and what it is preferred to.

The finder stands before PathFinder and is cheap to say no: one stat for each path entry that
may hold a ``.pyx``, none for site-packages and the standard library, no directory scan.

Between path entries the order of sys.path decides, as always. Within one entry ``foo.pyx`` comes
before a stale ``foo.*.so``, a ``foo.py`` and a folder ``foo/``; ``foo/__init__.pyx`` before
``foo/__init__.py`` and, as any package does, before ``foo.py``. What was passed over is said once.
"""

from __future__ import annotations

import _frozen_importlib
import os
import sys
from _thread import get_ident
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from sys import _getframe
from time import monotonic_ns

from ..building.observe import SHARED_NS, dir_sig, exists, file_sig
from ..building.request import Source
from ..settings import Settings, matches
from .known import RIVALS, rivals
from .loader import (
    FallbackLoader,
    KnownLoader,
    Loader,
    Reloader,
    WrappingLoader,
    hide_frames,
)
from .session import Session, holds_libraries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from ..building.observe import DirSig
    from .known import Folder

# Compiling these would need them compiled first.
_NEVER = ("cyhot", "Cython", "cython", "setuptools", "distutils", "_distutils_hack", "pyximport")
_switches = vars(sys.modules["cyhot"])
"""Where a user sets ``cyhot.DEBUG_IMPORT``; to ask the module for what is not there is slow."""
_IMPORTS = getattr(vars(_frozen_importlib).get("_find_and_load_unlocked"), "__code__", None)
"""What an import statement runs: it asks finders for a spec, and makes the module at once."""


class Finder:
    """The meta path finder that `install` puts before PathFinder.

    Args:
        session: Whose settings hold.
        quiet: Whether to keep to itself what was passed over: nobody imports what it finds.
    """

    def __init__(self, session: Session, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self.configure(session)

    def configure(self, session: Session) -> None:
        """Use another session's settings from now on."""
        self.session = session
        self._settings: Settings | None = None
        self._takes_all = False
        self._resolving: set[int] = set()
        self._eligible: dict[str, bool] = {}
        self._warned: set[str] = set()
        self._listed: dict[str, tuple[int, DirSig | None, frozenset[str]]] = {}
        self._known: dict[str, Folder] = {}

    @property
    def settings(self) -> Settings:
        """The process's settings, resolved when the first import asks."""
        if self._settings is None:
            thread = get_ident()
            self._resolving.add(thread)
            try:
                settings = self.session.process_settings()
                for name in ("include", "exclude", "py"):
                    matches(settings.strings(name), "")  # imports what matching needs
                self._takes_all = not settings.strings("include") and not settings["exclude"]
                self._settings = settings
            except Exception as error:
                hide_frames(error)
                raise
            finally:
                self._resolving.discard(thread)
        return self._settings

    def invalidate_caches(self) -> None:
        """Look anew at compilers, headers and installed packages as well."""
        self.session.recent.forget()
        self._listed.clear()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that cyhot compiles, or of one that comes before it on the path.

        Args:
            fullname: The module's dotted name.
            path: The parent package's ``__path__``, None for a top-level module.
            target: The module that is to be reloaded.

        Returns:
            None where PathFinder may go on: there is no ``.pyx`` of that name.
        """
        if self._known and target is None:
            for entry in sys.path if path is None else path:
                folder = self._known.get(entry)
                head = folder.heads.get(fullname) if folder is not None else None
                if folder is not None and head is not None:
                    spec = self._known_spec(fullname, folder, head[0][0])
                    if spec is not None:
                        return spec
                break  # what is in none but the first takes the long way
        thread = get_ident()
        if fullname.partition(".")[0] in _NEVER or thread in self._resolving:
            return None
        if thread in self.session.reading:
            return None
        settings = self._settings
        if settings is None:
            settings = self.settings
            self.session.program.begin(fullname)
        exclude, include = settings.values.get("exclude"), settings.strings("include")
        if exclude and matches(settings.strings("exclude"), fullname):
            return None
        anywhere = bool(include) and matches(include, fullname)
        if include and not anywhere:
            return None
        entries = list(sys.path if path is None else path)
        allowed = [self._may_hold(entry, anywhere) for entry in entries]
        while allowed and not allowed[-1]:
            allowed.pop()  # from here on PathFinder knows as much
        for entry, may in zip(entries, allowed, strict=False):
            spec = self._in_entry(entry, may, fullname, target)
            if spec is not None:
                return spec
        return None

    def _known_spec(self, fullname: str, folder: Folder, path: str) -> ModuleSpec | None:
        """The spec of a module that was unchanged when a process last looked.

        Returns:
            None if it is not there any more, or known to be changed.
        """
        if _switches.get("DEBUG_IMPORT"):
            return self.spec(Source(path, fullname, False)) if exists(path) else None
        found = None
        caller = _getframe(1).f_back
        statement = caller and caller.f_back
        if statement is not None and statement.f_code is _IMPORTS:
            # An import statement makes the module next: what is found now is as good as then.
            found = folder.find(fullname)
            if found is None:
                return None
        elif not exists(path):
            return None
        loader = KnownLoader(self, fullname, folder, path, found)
        spec = ModuleSpec(fullname, loader, origin=path)
        spec.has_location = True
        return spec

    def _may_hold(self, entry: str, anywhere: bool) -> bool:
        """Whether to look into a path entry.

        Args:
            entry: The entry.
            anywhere: Whether installed packages and the standard library count as well.
        """
        if anywhere:
            return isinstance(entry, (str, os.PathLike))
        return self._is_users(entry)

    def _is_users(self, entry: str) -> bool:
        """Whether a path entry is the user's own: not site-packages, not the standard library."""
        known = self._eligible.get(entry)
        if known is None:
            try:
                text = os.fspath(entry)
            except TypeError:
                return False
            if not isinstance(text, str):
                return False  # as the import system does, which takes no bytes either
            known = self._eligible[entry] = not holds_libraries(text)
        return known

    def _in_entry(
        self, entry: str, may: bool, fullname: str, target: ModuleType | None
    ) -> ModuleSpec | None:
        """What one path entry has under this name; None for nothing or a namespace portion."""
        tail = fullname.rpartition(".")[2]
        folder = _absolute(entry) if may else ""
        pyx = may and self.settings.flag("pyx")
        if pyx and file_sig(f"{folder}{os.sep}{tail}.pyx") is not None:
            source = Source(f"{folder}{os.sep}{tail}.pyx", fullname, False)
            known = self.session.known.folder(folder, source)
            if known.heads and target is None:
                if folder == entry and self._takes_all:
                    self._known[entry] = known
                if fullname in known.heads:
                    spec = self._known_spec(fullname, known, source.path)
                    if spec is not None:
                        return spec
            self.say_passed_over(source)
            return self.spec(source, target)
        if not isinstance(entry, (str, os.PathLike)):
            return None
        spec = PathFinder.find_spec(fullname, [os.fspath(entry)], target)
        if spec is None or not may:
            return spec if spec is not None and spec.loader is not None else None
        if pyx:
            places = spec.submodule_search_locations
            inside = f"{folder}{os.sep}{tail}" if places is None else next(iter(places), "")
            package = self._package(inside, spec, fullname, target)
            if package is not None:
                return package
        if spec.loader is None or not self._compiles(spec):
            return spec if spec.loader is not None else None
        return self.spec(
            Source(str(spec.origin), fullname, spec.submodule_search_locations is not None), target
        )

    def _package(
        self, folder: str, spec: ModuleSpec, fullname: str, target: ModuleType | None
    ) -> ModuleSpec | None:
        """The spec of a package folder with an ``__init__.pyx``, which comes before `spec`."""
        path = f"{os.path.abspath(folder)}{os.sep}__init__.pyx"
        if file_sig(path) is None:
            return None
        source = Source(path, fullname, True)
        self._warn_once(source, [spec.origin] if spec.origin and spec.loader else [])
        return self.spec(source, target)

    def _compiles(self, spec: ModuleSpec) -> bool:
        """Whether a ``.py`` module is one that `install(py=...)` wants compiled."""
        return type(spec.loader) is SourceFileLoader and matches(
            self.settings.strings("py"), spec.name
        )

    def spec(self, source: Source, target: ModuleType | None = None) -> ModuleSpec:
        """The spec that imports a source through cyhot."""
        return make_spec(self.session, source, target, fallback=self.settings.flag("py_fallback"))

    def say_passed_over(self, source: Source) -> None:
        """Say once what a plain import would have taken instead of a source."""
        folder, _, file = source.path.rpartition(os.sep)
        self._warn_once(source, self._beside(folder, file[: -len(".pyx")]))

    def _beside(self, folder: str, tail: str) -> list[str]:
        """What a plain import would have taken instead of ``tail.pyx``."""
        if self._names(folder).isdisjoint(rivals(tail)):
            return []
        stem = f"{folder}{os.sep}{tail}"
        found = [stem + os.sep] if dir_sig(stem) is not None else []
        paths = [stem + suffix for suffix in RIVALS]
        return found + [path for path in paths if file_sig(path) is not None]

    def _names(self, folder: str) -> frozenset[str]:
        """The names in a folder, as they were a moment ago: that is exact enough for a warning."""
        now, known = monotonic_ns(), self._listed.get(folder)
        if known is None or now > known[0]:
            sig = dir_sig(folder)
            if known is None or sig != known[1]:
                try:
                    names = frozenset(os.listdir(folder))
                except OSError:
                    names = frozenset()
            else:
                names = known[2]
            known = self._listed[folder] = (now + SHARED_NS, sig, names)
        return known[2]

    def _warn_once(self, source: Source, passed_over: list[str]) -> None:
        if self._quiet or not passed_over or source.path in self._warned:
            return
        self._warned.add(source.path)
        store = self.session.request(source).store
        foreign = [path for path in passed_over if store.placed(path) is None]
        if foreign:
            from .warn import passed_over as warn

            warn(source, foreign)


def make_spec(
    session: Session, source: Source, target: ModuleType | None = None, fallback: bool = False
) -> ModuleSpec:
    """The spec of a source.

    Args:
        session: Whose settings hold.
        source: What is to be imported.
        target: The module to reload, if any.
        fallback: Whether a ``.py`` that does not compile is imported as it is.
    """
    kind: type[Loader] = Loader
    if target is not None:
        kind = Reloader
    elif _switches.get("DEBUG_IMPORT"):
        kind = WrappingLoader
    elif fallback and source.is_pure_python:
        kind = FallbackLoader
    loader = kind(session, source)
    if target is not None:
        loader.mapped = getattr(getattr(target.__spec__, "loader", None), "mapped", "")
    spec = ModuleSpec(source.name, loader, origin=source.path, is_package=source.is_package)
    spec.has_location = True
    if source.is_package:
        spec.submodule_search_locations = [os.path.dirname(source.path)]
    return spec


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(os.fspath(entry))
    except OSError:  # relative to a working folder that was removed
        return ""
