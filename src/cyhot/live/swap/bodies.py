"""The new bodies of a swap: in what order they run, and what their imports find.

A body runs when another one first imports its module, as at the start of a program: so each sees
the new version of what it imports, whether it cimports it, imports it at its top, or asks for it in
a function that it calls. In a circle a body finds what the other one has made so far, so a circle
has to be entered where the program entered it: at the module that was imported completely last.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from threading import get_ident
from types import ModuleType
from typing import Any

from ...errors import read_source
from ...hook.ahead import imported
from .compare import entries
from .lineage import in_import_order
from .shadow import BodyFailed, Shadow


class Bodies:
    """Runs the bodies of a swap, each once.

    Attributes:
        imports: The modules that each body imported, once it began.
        packages: What stands for packages: with the package of the program, by its address.

    Args:
        shadows: The new versions, by the modules' names.
    """

    def __init__(self, shadows: dict[str, Shadow]) -> None:
        self.imports: dict[str, tuple[str, ...]] = {}
        self.packages: dict[int, tuple[ModuleType, ModuleType]] = {}
        self._shadows = shadows
        self._names = {id(one.loaded.module): name for name, one in shadows.items()}
        # (One that is gone from sys.modules meanwhile comes last.)
        self._order = [*dict.fromkeys([n for n in in_import_order() if n in shadows] + [*shadows])]
        # Which functions import something as the bodies run, no text tells: of circles that only
        # they close, those that the tops close are parts, and are entered in their own places.
        tops = {name: _imports(shadows[name], _INDENTED) for name in self._order}
        texts = {name: _imports(shadows[name], None) for name in self._order}
        self._entries = entries(texts), entries(tops)
        self._under_way: list[str] = []
        self._failed: tuple[str, BodyFailed] | None = None
        self._thread: int | None = get_ident()

    def run(self) -> tuple[str, BodyFailed] | None:
        """Run them all.

        Returns:
            The first module whose body raised, and that; the others then count for nothing.
        """
        images = [one.image for one in self._shadows.values()]
        for image in images:
            image.substitute_imports(self._find)
        try:
            for name in self._order:
                self._have_run(name)
                if self._failed is not None:
                    break
        finally:
            for image in images:
                image.substitute_imports(None)
            self._thread = None
        return self._failed

    def _have_run(self, name: str) -> None:
        for one in (*(entry[name] for entry in self._entries), name):
            if one not in self.imports:
                self._run(one)

    def _run(self, name: str) -> None:
        self.imports[name] = ()
        self._under_way.append(name)
        try:
            self._shadows[name].run()
        except BodyFailed as failure:
            # The first is the one to blame: those that import it fail for it.
            self._failed = self._failed or (name, failure)
        finally:
            self._under_way.pop()

    def _find(self, found: Any) -> Any:
        """What an import statement of a new body gives, where all others find ``found``."""
        name = self._names.get(id(found))
        if get_ident() != self._thread:  # a thread that a body started: it waits for no body
            return self._shadows[name].module if name in self.imports else found
        if self._under_way and type(found) is ModuleType:  # (a lazy one would load itself)
            self._note(self._under_way[-1], found.__name__)
        if name is None:
            return self._as_package(found, found) if type(found) is ModuleType else found
        self._have_run(name)
        if self._failed is not None and self._failed[1].__cause__ is not None:
            raise self._failed[1].__cause__
        return self._as_package(found, self._shadows[name].module)

    def _as_package(self, live: ModuleType, module: ModuleType) -> ModuleType:
        """What stands for a module in new bodies, if some of its submodules must be other ones.

        Args:
            live: The module of the program.
            module: The same, or its new version.
        """
        start = f"{live.__name__}."
        if id(live) not in self.packages:
            is_new = module is not live and hasattr(live, "__path__")
            if not is_new and not any(name.startswith(start) for name in self._shadows):
                return module
            both = (vars(live),) if module is live else (vars(module), vars(live))
            made = _package(module, lambda name: self._submodule(start, name, both))
            self.packages[id(live)] = made, live
        return self.packages[id(live)][0]

    def _submodule(self, start: str, name: str, namespaces: tuple[dict[str, Any], ...]) -> Any:
        """What a new body finds under a submodule's name in its package, None for all else.

        importlib has put it there, but not into the package's new version.
        """
        found = next((one[name] for one in namespaces if name in one), None)
        if get_ident() != self._thread or found is None:
            return None
        return self._find(found) if found is sys.modules.get(start + name) else None

    def _note(self, importer: str, imported: str) -> None:
        if imported not in self.imports[importer]:
            self.imports[importer] += (imported,)


def _package(module: ModuleType, submodule: Callable[[str], Any]) -> ModuleType:
    """Something that is a module in all but its submodules."""

    class Package(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            found = submodule(name)
            return getattr(module, name) if found is None else found

        def __setattr__(self, name: str, value: object) -> None:
            setattr(module, name, value)

        def __delattr__(self, name: str) -> None:
            delattr(module, name)

    return Package(module.__name__)


_INDENTED = re.compile(r"^[ \t].*\n?", re.M)


def _imports(shadow: Shadow, without: re.Pattern[str] | None) -> set[str]:
    """What a module imports and cimports, as far as its text tells, or as some of it does."""
    source = shadow.loaded.loader.source
    package = source.name if source.is_package else source.name.rpartition(".")[0]
    text = read_source(source.path) or ""
    return {*shadow.facts.cimports, *imported(without.sub("", text) if without else text, package)}
