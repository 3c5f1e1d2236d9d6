"""What is wanted: a source, its module, and everything known of it before it is read.

On the warm path.
"""

from __future__ import annotations

from ..settings import Settings
from .observe import Observer
from .recipe import KeyParts, Surroundings, key, key_parts
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

    __slots__ = ("around", "key", "settings", "source", "store")

    def __init__(
        self, source: Source, settings: Settings, around: Surroundings, store: Store
    ) -> None:
        self.source = source
        self.settings = settings
        self.around = around
        self.key = key(
            path=source.path, name=source.name, is_package=source.is_package, around=around
        )
        self.store = store

    @property
    def parts(self) -> KeyParts:
        """What the key was made from."""
        source = self.source
        return key_parts(
            path=source.path, name=source.name, is_package=source.is_package, around=self.around
        )

    @property
    def copies(self) -> str:
        """Which copies of the image the settings ask for, `""` for none."""
        values = self.settings.values
        inplace, keep_c = values.get("inplace"), values.get("keep_c")
        return repr((inplace, keep_c)) if inplace or keep_c else ""

    def is_served(self, hit: Hit) -> bool:
        """Whether nothing is left to do: an image matches, and its copies are where they belong."""
        if not hit.image or not self.copies:
            return bool(hit.image)
        return self.store.delivered(self.key, hit.image, self.copies)

    def find(self, look: Observer | None = None) -> Hit:
        """Look for an image that matches the source as it is now.

        Args:
            look: Who looks; by default an observer that has seen nothing yet.
        """
        return self.store.find(self.key, look or Observer())
