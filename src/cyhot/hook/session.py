"""What holds for this process: the settings that `install` was given, the stores in use.

On the warm path.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES

from ..building.recipe import key_parts
from ..building.request import Request, Source
from ..building.store import Store, default_root
from ..settings import (
    Settings,
    find_pyproject,
    from_environment,
    module_layers,
    read_pyproject,
    resolve,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..settings import Layer, Tables

PYTHON = {
    "version": sys.version,
    "implementation": sys.implementation.cache_tag or sys.implementation.name,
    "ABI": EXTENSION_SUFFIXES[0],
    "prefix": sys.prefix,
}
"""What identifies the interpreter: another one needs images of its own."""


class Session:
    """The settings of a process, from which each module's are resolved."""

    def __init__(self, installed: dict[str, object], origin: str = "install()") -> None:
        self.installed = installed
        self.origin = origin
        self._environment = from_environment(os.environ, working_folder())
        self._stores: dict[str, Store] = {}

    def updated(self, more: dict[str, object]) -> Session:
        """A session in which `more` wins over what was installed before."""
        return Session({**self.installed, **more}, self.origin)

    def settings(self, folder: str, name: str) -> Settings:
        """The settings of the module `name` whose source is in `folder`."""
        path = find_pyproject(folder)
        layers: list[Layer] = []
        if path:
            layers += module_layers(path, self._tables(path), name)
        layers.append(("the environment", self._environment))
        layers.append((self.origin, self.installed))
        return resolve(layers)

    def _tables(self, path: str) -> Tables:
        store = self.store(self._build_dir({}))

        def parse(data: bytes) -> Tables:
            kept: Tables | None = store.parsed(path, data)
            if kept is not None:
                return kept
            from ..settings_errors import parse_pyproject

            tables = parse_pyproject(path, data)
            store.keep_parsed(path, data, tables)
            return tables

        return read_pyproject(path, parse)

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

    def request(self, source: Source) -> Request:
        """All that is known of a wanted module before its source is read."""
        settings = self.settings(os.path.dirname(source.path), source.name)
        parts = key_parts(
            path=source.path,
            name=source.name,
            is_package=source.is_package,
            python=PYTHON,
            environ=os.environ,
            settings=settings.of_build(),
        )
        store = self.store(self._build_dir(settings.values))
        return Request(source, settings, parts, store)

    def process_settings(self) -> Settings:
        """The settings of the process itself: the finder's patterns and the like."""
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        folder = os.path.dirname(os.path.abspath(main)) if main else working_folder()
        return self.settings(folder, "__main__")


def working_folder() -> str:
    """The working folder; the root folder where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return os.sep
