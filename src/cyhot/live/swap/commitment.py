"""What a commit writes, found out beforehand: `cyhot.live._patch.commit` only carries it out."""

from __future__ import annotations

import enum
import functools
import types
from types import SimpleNamespace
from typing import Any

from .compare import ambiguous, is_compatible, keepable, removed
from .lineage import Generation, Lineage
from .pairs import HEAP, Pairs
from .patcher import patcher
from .shadow import SPECIAL, Shadow

_CLASS_OWN = frozenset({"__dict__", "__weakref__", "_abc_impl", "__slots__", "__pyx_vtable__"})
"""What an old class keeps of its own: it belongs to its instances, or to who registered with it."""


class Changing:
    """One module of a swap.

    Attributes:
        lineage: Its images so far.
        shadow: The new one, its body run.
        pairs: What takes whose place.
        kept: Names whose values are kept.
        removed: Names that the module loses.
        notes: What stays on the old code, and why.
    """

    def __init__(self, lineage: Lineage, shadow: Shadow) -> None:
        self.lineage = lineage
        self.shadow = shadow
        self.pairs = Pairs(lineage, shadow)
        self.kept: list[str] = []
        self.removed: list[str] = []
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        """The module's full name."""
        return self.shadow.loaded.name


class Heap:
    """What the collector knows, looked through once.

    Args:
        objects: What ``gc.get_objects`` gave before: were this among it, it would be a circle, and
            all objects of the process would wait for the collector.

    Attributes:
        objects: All of it.
        functions: Cython's function objects, each with the address of what it was made from.
        classes: The classes, but for those of C.
        caches: What ``functools.lru_cache`` made.
        builtins: The addresses of what C functions were made from.
    """

    __slots__ = ("builtins", "caches", "classes", "functions", "objects")

    def __init__(self, objects: list[Any]) -> None:
        self.objects = objects
        found = patcher().survey(self.objects, _LRU)
        self.functions: list[tuple[Any, int]] = found[0]
        self.classes: list[type] = found[1]
        self.caches: list[Any] = found[2]
        self.builtins: set[int] = found[3]


_LRU = type(functools.lru_cache(types.SimpleNamespace))


def make_plan(
    changing: list[Changing],
    olds: dict[int, Any],
    heap: Heap,
    tracked: set[int],
    others: dict[str, Lineage],
) -> Any:
    """All that a commit is to do.

    Args:
        changing: The modules that change.
        olds: The old object for the address of each new one.
        heap: The objects of the process, as they were when the bodies had run.
        tracked: Addresses of the instances of new cdef classes that the bodies made.
        others: The lineages of the modules that do not change, by name.
    """
    plan = SimpleNamespace(
        images=[], functions=[], builtins=[], definitions=[], classes=[], class_dicts=[],
        inherited=[], python=[], python_classes=[], bases=[], descriptors=[], instances=[], made=[],
        holders=[], hashed=[], olds=olds, owners={}, homes=[], entries=[], kept=[], dicts=[],
        old_classes=frozenset(),
    )  # fmt: skip
    for one in changing:
        _add_functions(plan, one)
        _add_builtins(plan, one, heap)
        _add_classes(plan, one)
        _add_names(plan, one)
        _add_images(plan, one.lineage, one.shadow.generation)
    for lineage in others.values():
        _add_images(plan, lineage, None)
    _add_tables(plan, changing, others)
    _add_instances(plan, changing, tracked)
    plan.old_classes = frozenset(one for one in olds.values() if _is(one, type))
    _add_holders(plan, changing, heap)
    return plan


def _add_functions(plan: Any, one: Changing) -> None:
    plan.functions += one.pairs.functions
    plan.builtins += one.pairs.builtins
    for old, new in one.pairs.functions:
        _add_signatures(plan, one, old, new)
        _add_attributes(plan, old, new)
    new = one.shadow.generation
    rows = {key: at for at, key in enumerate(new.keys)}
    for address, (key, was) in one.lineage.definitions().items():
        if key in rows and key[0] not in one.pairs.unclear:
            at = rows[key]
            now = new.facts.functions[at]
            if is_compatible(was, now) and patcher().same_call(address, new.definitions[at]):
                plan.definitions.append((address, new.definitions[at]))
            elif was["closure"] and address not in one.lineage.former:
                one.notes.append(
                    f"{key[0]}: those that were made before keep their old code; it captures "
                    "other variables now"
                )


def _add_attributes(plan: Any, old: Any, new: Any) -> None:
    """What decorators wrote on a function; what others wrote on it stays."""
    given = patcher().attributes(new)
    if given and old is not new:
        where = patcher().own_attributes(old)
        plan.dicts += [(where, name, plan.olds.get(id(one), one)) for name, one in given.items()]


def _add_builtins(plan: Any, one: Changing, heap: Heap) -> None:
    """Lead functions and methods without binding, however they are held, to the new code."""
    new = one.shadow.generation
    moved: dict[int, int] = {}

    def lead(before: int, after: int) -> None:
        if patcher().same_call(before, after):
            plan.definitions.append((before, after))
        else:
            moved[before] = after

    unclear = ambiguous(list(one.lineage.last.builtins), list(new.builtins))
    for before, (key, was) in one.lineage.builtins().items():
        after, now = new.builtins.get(key, (0, was))
        if after and key[0] not in unclear and is_compatible(was, now):
            lead(before, after)
    for before, method in one.lineage.unbound_methods().items():
        if method in new.methods:
            lead(before, new.methods[method])
    if moved:
        plan.builtins += [
            (held, patcher().builtin_of(moved[definition]))
            for held, definition in patcher().made_from(heap.objects, moved)
        ]


def _add_signatures(plan: Any, one: Changing, old: Any, new: Any) -> None:
    """Lead a fused function to the specialisations that there are now."""
    before = patcher().signatures(old, one.shadow.image)
    after = patcher().signatures(new, one.shadow.image)
    if before is None or after is None or before is after:
        return
    for key, value in after.items():
        plan.dicts.append((before, key, plan.olds.get(id(value), value)))
    plan.dicts += [(before, key, patcher().NOTHING) for key in before.keys() - after.keys()]


def _add_classes(plan: Any, one: Changing) -> None:
    plan.classes += one.pairs.classes
    plan.made += one.pairs.made
    bound = one.lineage.last.image.class_bound
    for old, new in one.pairs.classes:
        before, after = patcher().type_dict(old), patcher().type_dict(new)
        for name, new_value in after.items():
            was = before.get(name)
            value = plan.olds.get(id(new_value), new_value)
            if name in _CLASS_OWN or value is was:
                continue
            if patcher().is_descriptor(value) and type(was) is type(value):
                plan.descriptors.append((was, value))
            elif not (name == "__new__" and was is not None):
                plan.class_dicts.append((old, name, value))
        plan.class_dicts += [
            (old, name, patcher().NOTHING)
            for name in before.keys() - after.keys() - _CLASS_OWN
            if _is_code(before[name]) or name in bound
        ]
        special = [
            name
            for name in before.keys() ^ after.keys()
            if isinstance(before.get(name, after.get(name)), types.WrapperDescriptorType)
        ]
        plan.inherited += [(sub, name) for sub in _python_heirs(old) for name in special]
    for old, new in one.pairs.python:
        plan.python.append(old)
        _add_python_class(plan, old, new, bound)
        if issubclass(new, enum.Flag):
            _add_combinations(plan, old, new)
    for old, new in one.pairs.members:
        attributes = vars(old)
        for name, value in vars(new).items():
            plan.dicts.append((attributes, name, plan.olds.get(id(value), value)))


def _python_heirs(kind: type) -> list[type]:
    """The Python classes that derive from a cdef class, the nearest first."""
    found: dict[type, None] = {}
    todo = [kind]
    while todo:
        below: list[type] = type.__subclasses__(todo.pop(0))
        for sub in below:
            if sub not in found:
                todo.append(sub)
                if sub.__flags__ & HEAP:
                    found[sub] = None
    return list(found)


def _add_combinations(plan: Any, old: Any, new: Any) -> None:
    """Keep the members of a flag that were made as they were asked for, since they are unique."""
    named = {id(member) for member in old.__members__.values()}
    known = new._value2member_map_
    plan.dicts += [
        (known, value, member)
        for value, member in old._value2member_map_.items()
        if value not in known and id(member) not in named
    ]


def _add_python_class(plan: Any, old: type, new: type, bound: frozenset[str]) -> None:
    bases = tuple(plan.olds.get(id(base), base) for base in new.__bases__)
    if bases != old.__bases__:
        plan.bases.append((old, bases))
    before, after = patcher().type_dict(old), patcher().type_dict(new)
    for name, new_value in after.items():
        value = plan.olds.get(id(new_value), new_value)
        own = patcher().is_descriptor(value) and getattr(value, "__objclass__", None) is new
        if name not in _CLASS_OWN and not own and value is not before.get(name):
            plan.python_classes.append((old, name, value))
    plan.python_classes += [
        (old, name, patcher().NOTHING)
        for name in before.keys() - after.keys() - _CLASS_OWN
        if name in bound or (_is_code(before[name]) and not patcher().is_descriptor(before[name]))
    ]


def _is_code(value: object) -> bool:
    """Whether a class has it from its source: a method, a property, something like it."""
    return (
        patcher().is_descriptor(value)
        or isinstance(value, (property, staticmethod, classmethod))
        or type(value).__name__ in ("cython_function_or_method", "fused_cython_function")
    )


def _add_names(plan: Any, one: Changing) -> None:
    live, new = vars(one.shadow.loaded.module), vars(one.shadow.module)
    named = new.get("__cyhot_keep__", ())
    keep = {str(name) for name in ((named,) if isinstance(named, str) else named)}
    one.kept = sorted(name for name in keep if name in live and name in new)
    for name, value in new.items():
        if name not in SPECIAL and name not in one.kept:
            plan.dicts.append((live, name, plan.olds.get(id(value), value)))
    old = one.lineage.last
    gone = removed(old.image.bound, one.shadow.image.bound, new) & live.keys() - SPECIAL
    one.removed = sorted(name for name in gone if not name.startswith("__pyx_"))
    plan.dicts += [(live, name, patcher().NOTHING) for name in gone]
    pairs, notes = keepable(old.facts, one.shadow.facts, keep)
    one.notes += notes
    for index, at in pairs:
        facts = one.shadow.facts.variables[index]
        one.kept.append(str(facts["name"]))
        plan.kept.append((one.shadow.image, index, old.image, at, facts["holds"]))


def _add_images(plan: Any, lineage: Lineage, new: Generation | None) -> None:
    """All images' C variables may hold new objects: a body can hand them to any module."""
    for generation in [lineage.last, *([new] if new else [])]:
        kinds = [str(variable["holds"]) for variable in generation.facts.variables]
        plan.images.append((generation.image, kinds))


def _add_tables(plan: Any, changing: list[Changing], others: dict[str, Lineage]) -> None:
    """Method tables: those that instances point to get the new entries."""
    changed: list[tuple[type, list[int], list[int]]] = []
    for one in changing:
        rows = patcher().tables_of(one.shadow.image)
        for index, (facts, row) in enumerate(zip(one.shadow.facts.types, rows, strict=True)):
            name = str(facts["name"])
            table, many, used, _ = row
            if not used or name not in one.lineage.tables or name not in one.lineage.classes:
                continue
            before, made = one.lineage.table_entries(name), patcher().words_at(table, many)
            kind = one.lineage.classes[name]
            after = _up_to_date(kind, made, changed)
            plan.entries += [
                (table + 8 * at, value) for at, value in enumerate(after) if value != made[at]
            ]
            changed.append((kind, before, after))
            homes = one.lineage.tables[name]
            plan.homes.append((one.shadow.image, index, homes[0]))
            for home in homes:
                plan.entries += [(home + 8 * at, value) for at, value in enumerate(after)]
    # Derived classes that are not made anew have copies: those of other modules, and removed ones.
    renewed = {id(kind) for kind, _, _ in changed}
    for lineage in (*others.values(), *(one.lineage for one in changing)):
        for name, tables in lineage.tables.items():
            kind = lineage.classes[name]
            for base, before, after in changed:
                if id(kind) not in renewed and issubclass(kind, base):
                    plan.entries += _inherited(tables, lineage.table_entries(name), before, after)


def _up_to_date(
    kind: type, made: list[int], changed: list[tuple[type, list[int], list[int]]]
) -> list[int]:
    """A new method table, where a base class between is another module's, which stays.

    The new body copied what that base had before the swap.
    """
    found = list(made)
    for base, before, after in changed:
        if issubclass(kind, base):
            for at, (was, value) in enumerate(zip(before, after, strict=False)):
                if at < len(found) and found[at] == was:
                    found[at] = value
    return found


def _inherited(
    tables: list[int], entries: list[int], before: list[int], after: list[int]
) -> list[tuple[int, int]]:
    """What a derived class in another module has copied from a changed table."""
    return [
        (table + 8 * at, after[at])
        for table in tables
        for at, value in enumerate(before)
        if at < len(after) and entries[at] == value and after[at] != value
    ]


def _add_instances(plan: Any, changing: list[Changing], tracked: set[int]) -> None:
    homes: dict[int, tuple[int, int]] = {}
    for one in changing:
        rows = patcher().tables_of(one.shadow.image)
        for facts, kind, row in zip(
            one.shadow.facts.types, one.shadow.image.types, rows, strict=True
        ):
            home = one.lineage.tables.get(str(facts["name"]))
            homes[id(kind)] = (row[3], home[0] if home and row[2] else 0)
    for address in tracked:
        kind = patcher().type_of(address)
        if id(kind) in plan.olds:
            plan.instances.append((address, *homes[id(kind)]))


def _add_holders(plan: Any, changing: list[Changing], heap: Heap) -> None:
    own = {id(one.shadow) for one in changing}
    roots = [held for image, kinds in plan.images for held in image.held(kinds)]
    found = patcher().Seeker(list(plan.olds)).holders(heap.objects, roots)
    plan.holders = [
        one for one in found if id(one) not in own and (_is(one, type) or id(one) not in plan.olds)
    ]
    plan.hashed = _hashed([one for one in plan.holders if type(one) is tuple], heap)
    dicts = {id(one) for one in plan.holders if _is(one, dict)}
    for one in heap.classes:
        _note_owner(plan, one, dicts)
    for image, _ in plan.images:
        for one in image.used_types:
            if one is not None:
                _note_owner(plan, one, dicts)


def _is(one: object, kind: type | tuple[type, ...]) -> bool:
    """What ``isinstance`` tells, but for proxies, which say that they are what they stand for."""
    return issubclass(type(one), kind)


def _hashed(tuples: list[Any], heap: Heap) -> list[tuple[Any, set[int]]]:
    """Where tuples are kept by their hash, which changes with what they hold."""
    known = {id(one) for one in tuples}
    found: dict[int, tuple[Any, set[int]]] = {}
    while tuples:
        around = patcher().Seeker([id(one) for one in tuples]).holders(heap.objects, [])
        tuples = [one for one in around if type(one) is tuple and id(one) not in known]
        known |= {id(one) for one in tuples}
        for one in around:
            if _is(one, (dict, set)):
                found[id(one)] = (one, known)
    return [
        (one, keys)
        for one, keys in found.values()
        if not keys.isdisjoint(map(id, dict.fromkeys(one)))
    ]


def _note_owner(plan: Any, kind: type, dicts: set[int]) -> None:
    where = id(patcher().type_dict(kind))
    if where in dicts:
        plan.owners[where] = kind


def pointer_entries(
    changing: list[Changing], others: dict[str, Lineage]
) -> tuple[list[tuple[int, int]], dict[str, list[str]], list[tuple[str, str]]]:
    """Pointers to functions and variables of the modules that change.

    Those of other modules, and those of the modules of the swap itself: of their old images, whose
    code may be under way, and of the new ones, where a module that cimports in a circle was bound
    to what was there before.

    Returns:
        (address, new value) of each; the importing modules, each with what it imports; and
        (changing module, why a pointer to something of it has nowhere to go).
    """
    entries: list[tuple[int, int]] = []
    redirected: dict[str, list[str]] = {}
    problems: list[tuple[str, str]] = []
    exports = {
        one.name: (
            patcher().exported(vars(one.shadow.loaded.module)),
            patcher().exported(vars(one.shadow.module)),
        )
        for one in changing
    }
    importers = [(name, one.last.image, one.last.facts) for name, one in others.items()]
    for one in changing:
        importers.append((one.name, one.shadow.image, one.shadow.facts))
        importers.append(("", one.lineage.last.image, one.lineage.last.facts))
    for importer, image, facts in importers:
        for address, pointer in zip(image.pointers, facts.pointers, strict=True):
            module, name = pointer["module"], pointer["name"]
            before, after = exports.get(module, ({}, {}))
            if name not in before or patcher().pointed(address) != before[name][0]:
                continue
            if name in after and after[name][1] == before[name][1]:
                entries.append((address, after[name][0]))
                if importer in others:
                    redirected.setdefault(importer, []).append(name)
            elif importer:  # an old image is no longer what its module is: it may stay as it is
                now = f"is '{after[name][1]}'" if name in after else "is gone"
                was = f"which was '{before[name][1]}'"
                problems.append((module, f"{importer} uses {module}.{name}, {was} and {now}"))
    return entries, redirected, problems
