"""What holds for this process: the settings that `install` was given, the stores in use.

On the warm path.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident
from importlib.machinery import EXTENSION_SUFFIXES

from ..building.observe import Observer, Recent, exists, file_sig, is_settled
from ..building.recipe import FORMAT, Surroundings, build_environment, depends_on_folder
from ..building.request import Request, Source
from ..building.store import Store, default_root
from ..settings import (
    Settings,
    from_environment,
    module_layers,
    pyproject_places,
    read_pyproject,
    resolve,
)
from .beforehand import Program
from .known import Known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..building.observe import FileSig
    from ..settings import Layer, Tables

PYTHON = {
    "version": sys.version,
    "implementation": sys.implementation.cache_tag or sys.implementation.name,
    "ABI": EXTENSION_SUFFIXES[0],
    "prefix": sys.prefix,
}
"""What identifies the interpreter: another one needs images of its own."""


_NONE: Tables = ({}, ())
_LIBRARY = os.path.dirname(os.__file__)


class Session:
    """The settings of a process, from which each module's are resolved.

    Attributes:
        recent: Gives the observers of import statements.
        known: The modules that were found unchanged before.
        program: What was built for the program that runs.
        reading: Threads that read a pyproject.toml just now: what they import is none of ours.
    """

    def __init__(self, installed: dict[str, object], origin: str = "install()") -> None:
        self.installed = installed
        self.origin = origin
        self.recent = Recent()
        self._environment = from_environment(os.environ, working_folder())
        self._stores: dict[str, Store] = {}
        self._places: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._read: dict[str, tuple[FileSig | None, int, Tables]] = {}
        self._resolved: dict[str, tuple[Tables, Settings]] = {}
        self._around: tuple[Settings, object, Surroundings, Store] | None = None
        self.reading: set[int] = set()
        self.known = Known(self)
        self.program = Program(self)

    def text(self) -> str:
        """All that the settings of modules are made of, besides pyproject.toml."""
        environ = environment()
        return repr((FORMAT, PYTHON, self.installed, self._environment, environ))

    def updated(self, more: dict[str, object]) -> Session:
        """A session in which `more` wins over what was installed before."""
        return Session({**self.installed, **more}, self.origin)

    def said(self, name: str, default: object) -> object:
        """What `install` or else the environment says of a setting, no file being read."""
        return self.installed.get(name, self._environment.get(name, default))

    def settings(self, folder: str, name: str, look: Observer | None = None) -> Settings:
        """The settings of the module `name` whose source is in `folder`, as `look` sees them."""
        path = self._pyproject(folder, name, look or Observer())
        tables = self._tables(path) if path else _NONE
        if tables[1]:  # which of them hold, the module's name decides
            return self._resolve(path, tables, name)
        known = self._resolved.get(path)
        if known is None or known[0] is not tables:
            known = self._resolved[path] = (tables, self._resolve(path, tables, name))
        return known[1]

    def _resolve(self, path: str, tables: Tables, name: str) -> Settings:
        layers: list[Layer] = module_layers(path, tables, name)
        layers.append(("the environment", self._environment))
        layers.append((self.origin, self.installed))
        return resolve(layers)

    def _pyproject(self, folder: str, name: str, look: Observer) -> str:
        """The nearest pyproject.toml at or above a folder, `""` if there is none."""
        known = self._places.get(folder)
        if known is None:
            places = pyproject_places(folder)
            near = name.count(".") + 1  # the packages' folders, and the one that they are in
            known = self._places[folder] = (places[:near], places[near:])
        return _first_file(known[0]) or str(look.distant.once(known, lambda: _first_file(known[1])))

    def settings_file(
        self, folder: str, name: str, look: Observer
    ) -> tuple[str, FileSig | None, tuple[str, ...]] | None:
        """Where the settings of a module come from, for `heads.note`; None if that is unsettled.

        Args:
            folder: The folder that its source is in.
            name: The module's name.
            look: The observer that its settings were looked up with.
        """
        path = self._pyproject(folder, name, look)
        near, far = self._places[folder]
        places = near + far
        sig = None
        if path:
            places = places[: places.index(path) + 1]
            known = self._read.get(path)
            if known is None or known[0] is None or not is_settled(known[0], known[0], known[1]):
                return None
            sig = known[0]
        return path, sig, tuple(map(os.path.dirname, places[: len(places) - bool(path)]))

    def _tables(self, path: str) -> Tables:
        """The settings in a pyproject.toml; it is read again when it is another."""
        now, sig = time.time_ns(), file_sig(path)
        known = self._read.get(path)
        if known is None or known[0] is None or not is_settled(sig, known[0], known[1]):
            try:
                known = (sig, now, read_pyproject(path, self._parser(path)))
            except FileNotFoundError:  # an editor is just replacing it: to be read again
                known = (None, now, _NONE)
            self._read[path] = known
        return known[2]

    def _parser(self, path: str) -> Callable[[bytes], Tables]:
        store = self.store(self._build_dir({}))

        def parse(data: bytes) -> Tables:
            kept: Tables | None = store.parsed(path, data)
            if kept is not None:
                return kept
            thread = get_ident()
            self.reading.add(thread)  # what is imported for it asks the finder, which asks for it
            try:
                from ..settings_errors import parse_pyproject

                tables = parse_pyproject(path, data)
            finally:
                self.reading.discard(thread)
            store.keep_parsed(path, data, tables)
            return tables

        return parse

    def _build_dir(self, values: dict[str, object]) -> str:
        """The store's folder as the environment or `install` says, else as `values` does."""
        for layer in (self.installed, self._environment, values):
            if layer.get("build_dir"):
                return str(layer["build_dir"])
        return default_root()

    def store(self, root: str) -> Store:
        """The store at `root`, one object for each."""
        if root not in self._stores:
            self._stores[root] = Store(root)
        return self._stores[root]

    def default_store(self) -> Store:
        """The store of this process where no pyproject.toml names another."""
        return self.store(self._build_dir(self.process_settings().values))

    def request(self, source: Source, look: Observer | None = None) -> Request:
        """All that is known of a wanted module before its source is read, as `look` sees it."""
        settings = self.settings(source.path.rpartition(os.sep)[0] or os.sep, source.name, look)
        environ = environment()
        known = self._around
        if known is None or known[0] is not settings or known[1] != environ:
            around = Surroundings(PYTHON, environ, settings.of_build())
            store = self.store(self._build_dir(settings.values))
            known = self._around = (settings, environ, around, store)
        return Request(source, settings, known[2], known[3])

    def process_settings(self) -> Settings:
        """The settings of the process itself: the finder's patterns and the like."""
        return self.settings(program_folder(), "__main__")


def program_folder() -> str:
    """The folder whose project this process belongs to.

    That of the program's file. pytest, IPython, a notebook's kernel or ``cyhot`` itself lie where
    they are installed and work for the project that they are started in.
    """
    # `multiprocessing` has its own program in a spawned process, and runs the user's under a name.
    for name in ("__main__", "__mp_main__"):
        path: str | None = getattr(sys.modules.get(name), "__file__", None)
        if path:
            folder = os.path.dirname(os.path.abspath(path))
            if not _holds_installed(folder):
                return folder
    return working_folder()


def _holds_installed(folder: str) -> bool:
    """Whether a folder is one that programs are installed in: no project's own."""
    user_base = getattr(sys.modules.get("site"), "USER_BASE", None)
    prefixes = [sys.prefix, sys.base_prefix, *([user_base] if user_base else [])]
    scripts = [os.path.join(prefix, "Scripts" if os.name == "nt" else "bin") for prefix in prefixes]
    return folder in (os.path.dirname(sys.executable), *scripts) or holds_libraries(folder)


def holds_libraries(folder: str) -> bool:
    """Whether a path entry is no user's own: site-packages, the standard library, an archive."""
    parts = folder.split(os.sep)
    return (
        "site-packages" in parts
        or "dist-packages" in parts
        or folder == _LIBRARY
        or folder.startswith(_LIBRARY + os.sep)
        or (folder.endswith(".zip") and not os.path.isdir(folder))
    )


def environment() -> tuple[tuple[str, str], ...]:
    """The variables that count, and the working folder where one of them is relative to it."""
    found = build_environment(os.environ)
    return (*found, ("PWD", working_folder())) if found and depends_on_folder(found) else found


def _first_file(paths: tuple[str, ...]) -> str:
    for path in paths:
        if exists(path) and os.path.isfile(path):
            return path
    return ""


def working_folder() -> str:
    """The working folder; the root folder where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return os.sep
