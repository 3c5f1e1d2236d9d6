"""What can take whose place, by the facts of two versions of a module. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ...building.instrument import FOREIGN, SPARE, Facts

Key = tuple[str, int]
"""A function's qualified name, and which of those with that name it is."""


def refusals(
    old: Facts, new: Facts, tables: Mapping[str, Sequence[str]], rooms: Mapping[str, int]
) -> list[str]:
    """Why a new version's cdef classes cannot take the place of the old ones.

    Args:
        old: The version that runs.
        new: The one that is to.
        tables: The longest table of C methods that each class has had.
        rooms: The number of methods that each class's table has room for.

    Returns:
        Sentences, one a class.
    """
    before = {str(one["name"]): one for one in old.types}
    found = []
    for one in new.types:
        name = str(one["name"])
        if name not in before:
            continue
        had, has = tables.get(name, ()), [str(entry) for entry in one["table"]]
        if not had and has:
            found.append(f"cdef class {name}: it had no C methods and has some")
        elif had and not has:
            found.append(f"cdef class {name}: it had C methods and has none")
        elif difference := layout_difference(str(before[name]["layout"]), str(one["layout"])):
            found.append(
                f"cdef class {name}: {difference}; the instances that there are cannot be changed"
            )
        elif reason := _table_refusal(had, has, rooms.get(name, 0)):
            found.append(f"cdef class {name}: {reason}")
    return found


def layout_difference(old: str, new: str) -> str:
    """How the fields of instances differ, ``""`` if they do not.

    Args:
        old: The layout's text, as `Facts.types` has it.
        new: The new one.
    """
    if old == new:
        return ""
    if _without_foreign(old) == _without_foreign(new):
        names = _FOREIGN.findall(new)
        return f"what a header says of the types of its fields changed ({', '.join(names)})"
    old, new = _without_foreign(old), _without_foreign(new)
    before, after = _fields(old), _fields(new)
    gone = [_told(one) for one in before if one not in after]
    come = [_told(one) for one in after if one not in before]
    if not gone and not come:
        return "the order of its fields changed"
    parts = [f"removed {', '.join(gone)}"] * bool(gone) + [f"added {', '.join(come)}"] * bool(come)
    return f"its fields changed: {'; '.join(parts)}"


_FOREIGN = re.compile(rf"{re.escape(FOREIGN)}(?:[^}}]*: )?([^}}:]*)}}")


def _without_foreign(layout: str) -> str:
    return _FOREIGN.sub("", layout)


def _fields(layout: str) -> list[tuple[str, str]]:
    """(struct, declaration) of all structs in a layout's text; the class's own first."""
    return [
        (struct, declared.strip())
        for struct, body in re.findall(r"(\w+)\{([^}]*)\}", layout)
        for declared in body.removeprefix("PyObject_HEAD").split(";")
        if declared.strip() and "__pyx_vtab" not in declared
    ]


def _told(field: tuple[str, str]) -> str:
    """A field as its author would write it."""
    struct, declared = field
    text = re.sub(r"struct __pyx_(?:obj|t)_(?:\d+[A-Za-z_]\w*?_)*?(\w+)", r"\1", declared)
    text = re.sub(r"\b(?:\d*[a-z]\w*_)?(?=[A-Z]\w* \*)", "", text)
    text = text.replace("PyObject *", "object ").replace("__Pyx_memviewslice", "memoryview")
    inner = struct.startswith("__pyx_t_")
    return f"'{text}'" + (f" in struct {struct.rpartition('_')[2]}" if inner else "")


def _table_refusal(old: Sequence[str], new: Sequence[str], room: int) -> str:
    # The last ones may go: their places in the table stay taken, and whoever calls them still, or
    # has a copy of the table, finds the code that was there last.
    if any(was != now for was, now in zip(old, new, strict=False)):
        return (
            "its C methods changed (only the last ones, in a class that no cdef class derives "
            "from, can be added or removed while the program runs)"
        )
    if len(new) > room:
        return f"more than {SPARE} C methods were added since it was imported"
    return ""


def keys(names: Iterable[str]) -> list[Key]:
    """The key of each function, by the names of all in the order in which they are made."""
    counted: Counter[str] = Counter()
    found = []
    for name in names:
        found.append((name, counted[name]))
        counted[name] += 1
    return found


def ambiguous(old: Sequence[Key], new: Sequence[Key]) -> set[str]:
    """Names that several functions have, other numbers of them before and after.

    Which of them is which cannot be told.
    """
    before, after = (Counter(name for name, _ in some) for some in (old, new))
    return {
        name
        for name in before.keys() & after.keys()
        if before[name] != after[name] and max(before[name], after[name]) > 1
    }


def is_compatible(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether new code can run on what an old function object captured."""
    return old["captured"] == new["captured"] and old["defaults"] == new["defaults"]


def removed(old: frozenset[str], new: frozenset[str], there: Iterable[str]) -> set[str]:
    """The names that the old source binds, and the new one has no more.

    Args:
        old: The names that the old code binds.
        new: Those that the new code binds.
        there: Those that its body has bound.
    """
    return set(old) - new - set(there)


def keepable(
    old: Facts, new: Facts, names: Iterable[str]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Which C variables can keep their values.

    Args:
        old: The version that runs.
        new: The one that is to.
        names: The variables that are to be kept.

    Returns:
        (new index, old index) of those that can, and sentences about those that cannot.
    """
    wanted = set(names)
    before = {str(one["name"]): (at, one) for at, one in enumerate(old.variables)}
    pairs, notes = [], []
    for index, one in enumerate(new.variables):
        name = str(one["name"])
        if name not in wanted or name not in before:
            continue
        at, other = before[name]
        if one["holds"] in ("unknown", "c++"):
            notes.append(f"{name} starts anew: what a variable of its type owns is not known")
        elif one["type"] != other["type"]:
            notes.append(f"{name} starts anew: its type changed")
        else:
            pairs.append((index, at))
    return pairs, notes


def in_order(cimports: Mapping[str, Iterable[str]]) -> list[str]:
    """Modules in an order in which each comes after those that its C imports from.

    Args:
        cimports: For each module the modules that it imports from; a circle is cut anywhere.
    """
    done: list[str] = []
    under_way: set[str] = set()

    def visit(name: str) -> None:
        if name in done or name in under_way:
            return
        under_way.add(name)
        for other in sorted(cimports[name]):
            if other in cimports:
                visit(other)
        done.append(name)

    for name in sorted(cimports):
        visit(name)
    return done


def entries(imports: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Where circles of imports were entered.

    Args:
        imports: For each module the modules that it imports, in the order in which their imports
            were complete.

    Returns:
        For each module the last one of those that import it and that it imports, directly or not;
        itself where there is no such circle.
    """
    reached = {name: _reached(name, imports) for name in imports}
    return {
        name: [one for one in imports if one == name or (one in some and name in reached[one])][-1]
        for name, some in reached.items()
    }


def _reached(name: str, imports: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        new = {one for one in imports[todo.pop()] if one in imports} - found
        found |= new
        todo += new
    return found
