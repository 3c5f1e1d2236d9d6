"""Which new object takes the place of which old one."""

from __future__ import annotations

import enum
import sys
import weakref
from collections.abc import Iterator, Sequence
from types import BuiltinFunctionType, MethodType, ModuleType
from typing import Any

from .compare import Key, ambiguous
from .lineage import Lineage, in_import_order
from .patcher import patcher
from .shadow import SPECIAL, Shadow


class Pairs:
    """The pairs of one module.

    Attributes:
        functions: (old, new) Cython functions.
        builtins: (old, new) functions without binding.
        classes: (old, new) cdef classes, bases first.
        made: New cdef classes that have no old version.
        python: (old, new) Python classes.
        members: (old, new) members of enumerations.
        references: (old, new) weak references to old and to new objects.
        refusals: Why something cannot take the place of what there was.
        notes: What stays on the old code.
        unclear: Names of functions that cannot be told apart.
    """

    def __init__(self, lineage: Lineage, shadow: Shadow) -> None:
        self.functions: list[tuple[Any, Any]] = []
        self.builtins: list[tuple[Any, Any]] = []
        self.classes: list[tuple[type, type]] = []
        self.made: list[type] = []
        self.python: list[tuple[type, type]] = []
        self.members: list[tuple[Any, Any]] = []
        self.references: list[tuple[Any, Any]] = []
        self.refusals: list[str] = []
        self.notes: list[str] = []
        self.unclear: set[str] = set()
        self._lineage = lineage
        self._shadow = shadow
        self._live = vars(shadow.loaded.module)
        self._new = vars(shadow.module)

    @property
    def all_functions(self) -> list[tuple[Any, Any]]:
        """Those with and without binding."""
        return [*self.functions, *self.builtins]

    def find_classes(self, olds: dict[int, Any], others: Sequence[Shadow]) -> None:
        """Pair the classes.

        Args:
            olds: Takes the old one by the new's address.
            others: The new versions of other modules.
        """
        for facts, kind in zip(self._shadow.facts.types, self._shadow.image.types, strict=True):
            old = self._lineage.classes.get(str(facts["name"]))
            if old is None:
                self.made.append(kind)
            else:
                self.classes.append((old, kind))
                olds[id(kind)] = old
        for old, kind in self.classes:
            if reason := patcher().fits_instances(old, kind, olds):
                self.refusals.append(f"cdef class {kind.__name__}: {reason}")
        before, after = _python_classes(self._live), _python_classes(self._new)
        for name, kind in after.items():
            if name in before and before[name] is not kind:
                self.python.append((before[name], kind))
                olds[id(kind)] = before[name]
        self._pair_called_for(olds, others)
        self._refuse_other_kinds(before, after)
        for old, kind in self.python:
            if reason := self._unfit(old, kind, olds):
                self.refusals.append(f"class {kind.__qualname__}: {reason}")
            elif issubclass(kind, enum.Enum):
                self._pair_members(old, kind, olds)

    def _pair_called_for(self, olds: dict[int, Any], others: Sequence[Shadow]) -> None:
        """Pair the classes that a call made: ``namedtuple("N", ...)``, ``Enum("E", ...)``.

        Who makes one looks for the module that calls in a frame, which compiled code has not: all
        say that they are of another module.
        """
        module, loaded = self._shadow.loaded.name, in_import_order()
        sooner = loaded[: loaded.index(module)] if module in loaded else []
        for name, new in list(self._new.items()):
            old: Any = self._live.get(name)
            if new is old or id(new) in olds or not (_is_named(old, name) and _is_named(new, name)):
                continue
            # One that is imported is in the module that it is from. (Old ones also are in those
            # that have imported them from ours: these were complete later.)
            if _is_in(sooner, name, old) or _is_in([old.__module__], name, old):
                continue
            if _is_in(loaded, name, new) or any(
                _is_anothers(one, name, old, new) for one in others
            ):
                continue
            if reason := self._unfit(old, new, olds):
                self.notes.append(f"class {name}: what is held of it stays as it was: {reason}")
                continue
            type.__setattr__(new, "__module__", old.__module__)
            self.python.append((old, new))
            olds[id(new)] = old

    def _refuse_other_kinds(self, before: dict[str, type], after: dict[str, type]) -> None:
        compiled = {str(one["name"]) for one in self._shadow.facts.types}
        self.refusals += [
            f"class {name}: it was a cdef class and is a Python class"
            for name in after.keys() & self._lineage.classes.keys() - compiled
        ]
        self.refusals += [
            f"class {name}: it was a Python class and is a cdef class"
            for name in before.keys() & compiled - self._lineage.classes.keys()
        ]

    def _unfit(self, old: type, new: type, olds: dict[int, Any]) -> str:
        """Why instances of an old Python class cannot be instances of the new one."""
        kind = olds.get(id(type(new)), type(new))
        if type(old) is not kind:
            return f"its metaclass was {type(old).__qualname__} and is {kind.__qualname__}"
        slots = old.__dict__.get("__slots__"), new.__dict__.get("__slots__")
        if slots[0] != slots[1]:
            return f"its __slots__ were {slots[0]!r} and are {slots[1]!r}"
        if old.__basicsize__ != new.__basicsize__ or old.__dictoffset__ != new.__dictoffset__:
            return "its instances had another layout"
        was: Any = old.__base__
        base: Any = olds.get(id(new.__base__), new.__base__)
        if (was.__flags__ ^ base.__flags__) & GARBAGE_COLLECTED:
            return (
                f"its base class was {was.__qualname__} and is {base.__qualname__}, whose "
                "instances are kept in memory in another way: the bases of a class cannot be "
                "changed so"
            )
        return ""

    def _pair_members(self, old: Any, new: Any, olds: dict[int, Any]) -> None:
        """Pair equal members, so that ``is`` goes on being right."""
        for name, member in new.__members__.items():
            before = old.__members__.get(name)
            if before is not None and before._value_ == member._value_ and id(member) not in olds:
                self.members.append((before, member))
                olds[id(member)] = before

    def find_functions(self, found: list[tuple[Any, int]], olds: dict[int, Any]) -> None:
        """Pair function objects.

        Args:
            found: All functions of Cython's in the process, with the address of what each was made
                from.
            olds: Takes the old one by the new's address.
        """
        before = self._lineage.definitions()
        now = dict(
            zip(self._shadow.generation.definitions, self._shadow.generation.keys, strict=True)
        )
        unclear = self.unclear = ambiguous(list(self._lineage.last.keys), list(now.values()))
        old_by_key: dict[Key, list[Any]] = {}
        new_by_key: dict[Key, list[Any]] = {}
        image = self._shadow.image
        for one, address in found:
            if address in now:
                if not patcher().has_closure(one, image):
                    new_by_key.setdefault(now[address], []).append(one)
            elif address in before and not patcher().has_closure(one, image):
                old_by_key.setdefault(before[address][0], []).append(one)
        named = {id(value) for value in self._live.values()}
        for old, _ in (*self.classes, *self.python):
            for value in patcher().type_dict(old).values():
                named |= {id(value), id(getattr(value, "__func__", None))}
                if type(value) is property:
                    named |= {id(value.fget), id(value.fset), id(value.fdel)}
        displaced = self._lineage.displaced
        for key, some in old_by_key.items():
            if key[0] in unclear:
                self.notes.append(
                    f"{key[0]}: the new source has another number of functions of this name; "
                    "those that are held keep their old code"
                )
            elif news := new_by_key.get(key):
                # The first is the one that everybody holds.
                some.sort(key=lambda one: (id(one) not in named, one in displaced))
                self._pair(some, news, olds)
        self.notes = list(dict.fromkeys(self.notes))
        self._pair_builtins(olds)

    def _pair(self, some: list[Any], news: list[Any], olds: dict[int, Any]) -> None:
        for index, old in enumerate(some):
            new = news[min(index, len(news) - 1)]
            if patcher().is_fused(old) != patcher().is_fused(new):
                kinds = ("a fused function", "a plain one")
                was, now = kinds if patcher().is_fused(old) else kinds[::-1]
                self.refusals.append(f"{old.__qualname__}: it was {was} and is {now}")
                return
            self.functions.append((old, new))
            olds.setdefault(id(new), old)

    def _pair_builtins(self, olds: dict[int, Any]) -> None:
        for name, new in self._new.items():
            old = self._live.get(name)
            if (
                type(new) is type(old) is BuiltinFunctionType
                and old is not new
                and new.__module__ == self._shadow.loaded.name
                and old.__module__ == new.__module__
            ):
                self.builtins.append((old, new))
                olds[id(new)] = old

    def find_references(self, olds: dict[int, Any]) -> None:
        """Make weak references that take the place of those to new objects."""
        for old, new in (*self.functions, *self.builtins, *self.classes, *self.python):
            for reference in weakref.getweakrefs(new):
                made = _redirected(reference, old, olds)
                if made is not None:
                    self.references.append((made, reference))
                    olds[id(reference)] = made


def _redirected(reference: Any, to: Any, olds: dict[int, Any]) -> Any:
    """A weak reference like another one, to another object; None for a kind that is not known."""
    kind = type(reference)  # (a proxy's `__class__` is that of what it stands for)
    if kind in weakref.ProxyTypes:
        return patcher().proxy_like(reference, to)
    if kind is weakref.WeakMethod:
        return _weak_method(reference, to, olds)
    callback: Any = reference.__callback__
    if kind is weakref.KeyedRef:
        return weakref.KeyedRef(to, callback, reference.key)
    return weakref.ref(to, callback) if kind is weakref.ref else None


def _weak_method(reference: Any, to: Any, olds: dict[int, Any]) -> Any:
    """The same of a method of a new class."""
    own = reference.__callback__  # a closure over what the user gave
    cells = dict(zip(own.__code__.co_freevars, own.__closure__, strict=True))
    function = reference._func_ref()
    if function is None or "callback" not in cells:
        return None
    method = MethodType(olds.get(id(function), function), to)
    return weakref.WeakMethod(method, cells["callback"].cell_contents)


def _python_classes(namespace: dict[str, Any]) -> dict[str, type]:
    """The Python classes that a module's body made, by qualified name, nested ones included."""
    module = namespace["__name__"]
    found: dict[str, type] = {}

    def look(values: Iterator[Any]) -> None:
        for value in values:
            if not issubclass(type(value), type) or value.__module__ != module:
                continue
            name = value.__qualname__
            if value.__flags__ & HEAP and "<locals>" not in name and name not in found:
                found[name] = value
                look(iter(list(value.__dict__.values())))

    look(value for name, value in list(namespace.items()) if name not in SPECIAL)
    return found


def _is_named(kind: Any, name: str) -> bool:
    """Whether it is a class that Python code made with a name at the top of a module."""
    if not issubclass(type(kind), type) or not kind.__flags__ & HEAP:
        return False
    return bool(kind.__qualname__ == name)


def _is_anothers(other: Shadow, name: str, old: type, new: type) -> bool:
    """Whether a new class is imported from another new body, which has an old one of its own."""
    if vars(other.module).get(name) is not new:
        return False
    return vars(other.loaded.module).get(name, old) is not old


def _is_in(names: list[str], name: str, kind: type) -> bool:
    """Whether one of some modules has a class under a name."""
    modules = [sys.modules[one] for one in names if one in sys.modules]
    return any(
        object.__getattribute__(one, "__dict__").get(name) is kind  # (a lazy one stays so)
        for one in modules
        if issubclass(type(one), ModuleType)
    )


HEAP = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: a class that a class statement made."""
GARBAGE_COLLECTED = 1 << 14
"""Py_TPFLAGS_HAVE_GC."""


def module_pairs(shadow: Shadow) -> dict[int, Any]:
    """The module itself and its namespace, by the addresses of the shadow's."""
    live: ModuleType = shadow.loaded.module
    return {id(shadow.module): live, id(vars(shadow.module)): vars(live)}
