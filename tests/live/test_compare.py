"""Which new code can take the place of old code, by the facts of both."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cyhot.building.instrument import SPARE, Facts
from cyhot.live.swap.compare import (
    ambiguous,
    entries,
    in_order,
    keepable,
    keys,
    layout_difference,
    refusals,
    removed,
)

NAMES = st.sampled_from("abcdefg")
FIELDS = st.lists(st.tuples(st.sampled_from(["int", "double", "long"]), NAMES), max_size=6)


def layout(fields: list[tuple[str, str]]) -> str:
    return "__pyx_obj_1m_X{PyObject_HEAD " + " ".join(f"{k} {n};" for k, n in fields) + "}"


@given(FIELDS, FIELDS)
def test_a_difference_is_never_missed(
    old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> None:
    told = layout_difference(layout(old), layout(new))
    assert bool(told) == (old != new)
    for kind, name in set(new) - set(old):
        assert f"'{kind} {name}'" in told
    for kind, name in set(old) - set(new):
        assert f"'{kind} {name}'" in told


@given(st.dictionaries(NAMES, st.lists(NAMES)))
def test_an_order_has_all_once(cimports: dict[str, list[str]]) -> None:
    assert sorted(in_order(cimports)) == sorted(cimports)


@given(st.permutations("abcdefg"), st.data())
def test_an_order_is_that_of_cimports(names: list[str], data: st.DataObject) -> None:
    cimports = {
        name: data.draw(st.lists(st.sampled_from(names[:at]))) if at else []
        for at, name in enumerate(names)
    }
    order = in_order(cimports)
    assert all(order.index(b) < order.index(a) for a, some in cimports.items() for b in some)


@given(st.lists(NAMES))
def test_keys_are_unique(names: list[str]) -> None:
    found = keys(names)
    assert len(set(found)) == len(found) and [name for name, _ in found] == names
    assert not ambiguous(found, found)


def test_ambiguous() -> None:
    assert ambiguous(keys(["f", "f", "g"]), keys(["f", "g", "g"])) == {"f", "g"}
    assert ambiguous(keys(["f"]), keys(["g", "g"])) == set()


def test_removed() -> None:
    assert removed(frozenset("abc"), frozenset("b"), ["c"]) == {"a"}


def test_tables() -> None:
    def facts(*table: str) -> Facts:
        return Facts("m", types=[{"name": "X", "layout": "", "table": list(table)}])

    def told(old: list[str], new: list[str], room: int = SPARE) -> list[str]:
        return refusals(facts(*old), facts(*new), {"X": old}, {"X": room})

    assert told(["a", "b"], ["a", "b"]) == told(["a"], ["a", "b"]) == told(["a", "b"], ["a"]) == []
    assert "its C methods changed" in told(["a", "b"], ["b", "a"])[0]
    assert "its C methods changed" in told(["a", "b"], ["b"])[0]
    assert "had no C methods" in told([], ["a"])[0] and "and has none" in told(["a"], [])[0]
    assert "more than" in told(["a"], ["a", "b"], 1)[0]


def test_keepable() -> None:
    def facts(**kinds: tuple[str, str]) -> Facts:
        rows = [{"name": n, "type": t, "holds": h} for n, (t, h) in kinds.items()]
        return Facts("m", variables=rows)

    old = facts(a=("int", "plain"), b=("int", "plain"), c=("T", "c++"))
    new = facts(c=("T", "c++"), b=("long", "plain"), a=("int", "plain"), d=("int", "plain"))
    pairs, notes = keepable(old, new, "abcde")
    assert pairs == [(2, 0)] and len(notes) == 2
    assert "c starts anew" in notes[0] and "b starts anew: its type changed" in notes[1]


@given(st.dictionaries(NAMES, st.lists(NAMES)))
def test_a_circle_is_entered_at_one_of_its_modules(imports: dict[str, list[str]]) -> None:
    found = entries(imports)
    assert found.keys() == imports.keys()
    assert all(found[entry] == entry for entry in found.values())


def test_a_circle_is_entered_where_its_imports_were_complete_last() -> None:
    circle = {"b": ["a"], "a": ["b", "z"], "z": [], "c": ["b", "elsewhere"], "s": ["s"]}
    assert entries(circle) == {"b": "a", "a": "a", "z": "z", "c": "c", "s": "s"}
