"""What is wanted: a source, its module, and everything known of it before it is read.

On the warm path.
"""

from __future__ import annotations

from ..settings import Settings
from .observe import Observer
from .recipe import KeyParts, key
from .store import Hit, Store


class Source:
    """A ``.pyx`` (or, in pure-Python mode, ``.py``) file and the module that it is."""

    __slots__ = ("is_package", "name", "path")

    def __init__(self, path: str, name: str, is_package: bool) -> None:
        self.path = path
        self.name = name
        self.is_package = is_package

    @property
    def is_pure_python(self) -> bool:
        """Whether this is a ``.py`` file that is compiled on request."""
        return self.path.endswith(".py")


class Request:
    """One module that is wanted: its source, settings, key and store."""

    __slots__ = ("key", "parts", "settings", "source", "store")

    def __init__(self, source: Source, settings: Settings, parts: KeyParts, store: Store) -> None:
        self.source = source
        self.settings = settings
        self.parts = parts
        self.key = key(parts)
        self.store = store

    def find(self) -> Hit:
        """Look for an image that matches the source as it is now."""
        return self.store.find(self.key, Observer())
