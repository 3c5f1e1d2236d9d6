"""The images that a loaded module had in this process, the first one to the one that runs.

Old images stay mapped for ever: code of theirs may be running, and functions that they made may be
held anywhere. What such functions are made from is kept here, to lead them to newer code.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from weakref import WeakSet

from ...building.instrument import FOREIGN, HEADERS, SPARE, Facts, facts_of
from ...hook.loader import Loader
from .compare import Key, keys
from .patcher import patcher


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module of cyhot's that this process has imported.

    Attributes:
        name: Its full name.
        module: The module object in ``sys.modules``.
        loader: What loaded it.
    """

    name: str
    module: ModuleType
    loader: Loader

    @property
    def image(self) -> str:
        """The image that its code came from, as the store has it."""
        return str(getattr(self.module, "__cached__", "") or "")


def loaded_modules() -> dict[str, Loaded]:
    """All modules that were built by cyhot, by their names; cyhot's own are no user's."""
    found = {}
    for name, module in list(sys.modules.items()):
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if isinstance(loader, Loader) and loader.mapped and not name.startswith("cyhot."):
            found[name] = Loaded(name, module, loader)
    return found


def in_import_order() -> list[str]:
    """All modules of the process, in the order in which their imports were complete.

    importlib puts a module at the end of ``sys.modules`` once its body has run. A reload does so
    again, so the first places that were seen are kept.
    """
    _places.update(dict.fromkeys(list(sys.modules)))
    return [name for name in _places if name in sys.modules]


_places: dict[str, None] = {}


@dataclass(slots=True)
class Generation:
    """One image of a module.

    Attributes:
        image: Its tables in memory, an ``Image`` of the patcher's.
        facts: What it is compared by.
        path: The image in the store.
        keys: The key of each of its functions.
        definitions: The address of what each of them is made from.
        builtins: The same of functions without binding, by their keys.
        methods: The same of methods without binding, by class and name.
    """

    image: Any
    facts: Facts
    path: str
    keys: list[Key] = field(init=False)
    definitions: list[int] = field(init=False)
    builtins: dict[Key, tuple[int, dict[str, Any]]] = field(init=False)
    methods: dict[tuple[str, str], int] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = keys(self.image.qualified_names)
        self.definitions = self.image.definitions
        facts = self.facts.builtins
        named = keys(str(one["name"]) for one in facts)
        both = zip(self.image.builtins, facts, strict=True)
        self.builtins = dict(zip(named, both, strict=True))
        self.methods = {
            (str(facts["name"]), name): address
            for facts, methods in zip(self.facts.types, self.image.methods, strict=True)
            for name, address in methods.items()
        }


Row = tuple[Key, dict[str, Any]]
"""A function's key and facts."""


@dataclass(slots=True)
class Lineage:
    """A module's images, and what outlives them.

    Attributes:
        module: The module object.
        last: The image that runs.
        former: What functions of earlier images were made from, by its address: the function's
            key and facts. Of the image before the last all; of others what somebody holds still.
        former_builtins: The same of functions without binding.
        former_methods: The class and name of methods without binding, likewise.
        classes: The cdef classes that are in use, by name: the first of that name that there was.
        tables: For each of them the addresses of the method tables that instances point to; the
            first is the one that new instances get.
        methods: The longest table of C methods that each of them has had, as text.
        rooms: The number of methods that each of those tables has room for.
        displaced: The functions that new bodies made, and older ones stand for: garbage, which the
            collector need not have seen yet.
    """

    module: ModuleType
    last: Generation = field(init=False)
    former: dict[int, Row] = field(default_factory=dict)
    former_builtins: dict[int, Row] = field(default_factory=dict)
    former_methods: dict[int, tuple[str, str]] = field(default_factory=dict)
    classes: dict[str, type] = field(default_factory=dict)
    tables: dict[str, list[int]] = field(default_factory=dict)
    methods: dict[str, list[str]] = field(default_factory=dict)
    rooms: dict[str, int] = field(default_factory=dict)
    displaced: WeakSet[Any] = field(default_factory=WeakSet)
    _shared: dict[tuple[object, ...], Row] = field(default_factory=dict)

    def definitions(self) -> dict[int, Row]:
        """The key and the facts of each function, by the address of what it was made from."""
        last = self.last
        rows = zip(last.keys, last.facts.functions, strict=True)
        return self.former | dict(zip(last.definitions, rows, strict=True))

    def builtins(self) -> dict[int, Row]:
        """The same of functions without binding."""
        last = {address: (key, facts) for key, (address, facts) in self.last.builtins.items()}
        return self.former_builtins | last

    def unbound_methods(self) -> dict[int, tuple[str, str]]:
        """The class and name of each method without binding, likewise."""
        return self.former_methods | {at: method for method, at in self.last.methods.items()}

    def follow(self, generation: Generation, held: set[int]) -> None:
        """Have another image run from now on.

        Args:
            generation: It.
            held: The addresses of what functions that are there were made from.
        """
        self.former = {at: row for at, row in self.former.items() if at in held}
        builtins, methods = self.builtins().items(), self.unbound_methods().items()
        self.former_builtins = {at: row for at, row in builtins if at in held}
        self.former_methods = {at: method for at, method in methods if at in held}
        last = self.last
        for at, key, facts in zip(last.definitions, last.keys, last.facts.functions, strict=True):
            # There may be thousands of images: equal rows are one.
            self.former[at] = self._shared.setdefault((key, *facts.values()), (key, facts))
        add_generation(self, generation)

    def table_entries(self, name: str) -> list[int]:
        """The C methods that a class's instances have now, as addresses."""
        tables = self.tables.get(name)
        return list(patcher().words_at(tables[0], len(self.methods[name]))) if tables else []


class Unknown(Exception):
    """A module cannot be swapped; its text says why."""


_lineages: dict[str, Lineage] = {}


def lineage_of(loaded: Loaded) -> Lineage:
    """The lineage of a loaded module.

    Raises:
        Unknown: If its code was built without what swapping needs.
    """
    known = _lineages.get(loaded.name)
    if known is not None and known.module is loaded.module:
        return known
    facts = read_facts(loaded.image, loaded.loader.mapped)
    image = patcher().open_image(loaded.loader.mapped)
    if image is None:
        raise Unknown(NO_TABLES)
    lineage = Lineage(loaded.module)
    add_generation(lineage, Generation(image, facts, loaded.image))
    _lineages[loaded.name] = lineage
    return lineage


def add_generation(lineage: Lineage, generation: Generation) -> None:
    """Note the image that runs from now on, with its classes in use and their tables."""
    lineage.last = generation
    used = generation.image.used_types
    rows = patcher().tables_of(generation.image)
    for facts, kind, (_, entries, table, _) in zip(generation.facts.types, used, rows, strict=True):
        name = str(facts["name"])
        lineage.classes[name] = kind
        if table and name not in lineage.tables:
            lineage.tables[name] = [table]
            lineage.rooms[name] = entries + SPARE
        if len(facts["table"]) > len(lineage.methods.get(name, ())):
            lineage.methods[name] = facts["table"]


NO_TABLES = (
    "it was compiled without what live swapping needs (the profile is neither dev nor debug; or "
    "with a macro such as CYTHON_USE_MODULE_STATE, CYTHON_USE_TYPE_SPECS or Py_LIMITED_API). "
    "Restart the program"
)


def read_facts(image: str, mapped: str) -> Facts:
    """The facts in an image.

    Args:
        image: Its path in the store.
        mapped: The path that it was loaded from, if it is there no more.

    Raises:
        Unknown: If there are none, or if they say that it cannot be swapped.
    """
    try:
        with open(image if os.path.exists(image) else mapped, "rb") as file:
            facts = facts_of(file.read())
    except (OSError, ValueError) as error:
        raise Unknown(f"{error}. Restart the program") from None
    if facts is None:
        raise Unknown(NO_TABLES)
    if facts.refusal:
        raise Unknown(f"{facts.refusal}. Restart the program, and report this with your source")
    if FOREIGN not in facts.dump():
        return facts
    try:
        with open(os.path.join(os.path.dirname(image), HEADERS), encoding="ascii") as file:
            return facts.with_headers(file.read())
    except OSError:
        return facts.with_headers(f"unknown to {image}")  # and so equal to no other
