"""`graph.search` finds what Cython's own search finds, and its notes say when that may change."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from Cython import Utils
from Cython.Compiler import Main
from Cython.Compiler.Scanning import FileSourceDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from cyhot.building.graph import Lookup, search
from cyhot.building.inputs import Prober
from cyhot.building.observe import Observer
from cyhot.building.record import Record, differences
from cyhot.building.transpile import cython_version_number

FOLDERS = ["one", "two", "three", "three/a", "two/a/b"]
FILES = [
    "a.pxd", "a.py", "a.pyx", "b.pxd", "a.b.pxd", "a.b.pyx", "a.cython-30.pxd", "a.cython-99.pxd",
    "a/__init__.py", "a/__init__.pyx", "a/__init__.pxd", "a/__init__.cython-31.pxd",
    "a/b.pxd", "a/b.py", "a/b.cython-0.pxd", "a/b.cython-30.pxd", "a/b.cython-31.x.pxd",
    "a/b/__init__.pxd", "a/b/c.pxd", "a/b/__init__.py", "__init__.py", "a/__init__.pyc",
]  # fmt: skip
VERSION = cython_version_number()

names = st.sampled_from(["a", "b", "a.b", "a.b.c", "x.pxi", "a/b.pxd", "a.b.c.d"])
trees = st.sets(
    st.tuples(st.sampled_from(["one", "two", "three"]), st.sampled_from(FILES)).map("/".join),
    max_size=10,
)
lookups = st.fixed_dictionaries(
    {
        "name": names,
        "suffix": st.sampled_from([".pxd", ".pyx", ".py"]),
        "include": st.booleans(),
        "use_sys_path": st.booleans(),
        "beside": st.sampled_from(["", "one/x.pyx", "two/a/x.pyx", "three/a/b/x.pyx"]),
        "folders": st.lists(st.sampled_from(FOLDERS), max_size=2),
    }
)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def plant(root: Path, tree: set[str]) -> None:
    for entry in root.iterdir():
        shutil.rmtree(entry)
    for path in tree:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def make_lookup(root: Path, asked: dict[str, Any]) -> Lookup:
    at = str(root)
    beside = os.path.join(at, asked["beside"]) if asked["beside"] else ""
    folders = tuple(os.path.join(at, folder) for folder in asked["folders"])
    suffix = "" if asked["include"] else asked["suffix"]
    name = asked["name"] if asked["include"] else asked["name"].replace("/", ".")
    return Lookup(name, suffix, asked["include"], asked["use_sys_path"], beside, folders, "")


def of_cython(lookup: Lookup, sys_path: tuple[str, ...], standard: str) -> str:
    Utils.clear_function_caches()
    folders = (*lookup.folders, *(sys_path if lookup.use_sys_path else ()), standard)
    pos = (FileSourceDescriptor(lookup.beside), 1, 0) if lookup.beside else None
    return (
        Main.search_include_directories(folders, lookup.name, lookup.suffix, pos, lookup.include)
        or ""
    )


@settings(max_examples=250, deadline=None)
@given(tree=trees, asked=lookups, order=st.permutations(["one", "two", "three"]))
def test_search_finds_what_cython_finds(
    root: Path, tree: set[str], asked: dict[str, Any], order: list[str]
) -> None:
    plant(root, tree)
    lookup = make_lookup(root, asked)
    sys_path = tuple(str(root / folder) for folder in order)
    standard = Main.standard_include_path

    for look in (Prober(), Observer()):
        found = search(lookup, sys_path=sys_path, standard=standard, version=VERSION, look=look)
        assert found == of_cython(lookup, sys_path, standard)


@settings(max_examples=200, deadline=None)
@given(tree=trees, other=trees, asked=lookups)
def test_no_other_tree_goes_unnoticed_that_gives_another_result(
    root: Path, tree: set[str], other: set[str], asked: dict[str, Any]
) -> None:
    """The notes of a search are enough: where they hold, the search would find the same."""
    plant(root, tree)
    lookup = make_lookup(root, asked)
    sys_path = tuple(str(root / folder) for folder in ("two", "one"))
    prober = Prober()

    def find(look: Any) -> str:
        return search(
            lookup, sys_path=sys_path, standard=str(root / "std"), version=VERSION, look=look
        )

    before = find(prober)
    record = Record.unpack(tuple(() for _ in Record.__slots__))
    record.shared, record.sys_path = "", Observer().sys_path()
    record.dirs, record.globs = tuple(prober.dir_rows()), tuple(prober.glob_rows())
    record.as_of = time.time_ns()  # all is young: nothing is left to the clock
    assert [*differences(record, None, Observer())] == []

    plant(root, other)

    if find(Observer()) != before:
        assert [*differences(record, None, Observer())] != []


def test_versions_are_compared_as_numbers(root: Path) -> None:
    names = [f"a.cython-{version}.pxd" for version in (9, 10, 30, VERSION, VERSION + 1, 311)]
    for count in range(len(names) + 1):
        for chosen in itertools.combinations(names, count):
            plant(root, {f"one/p/{name}" for name in chosen} | {"one/p/a.pxd"})
            lookup = Lookup("p.a", ".pxd", False, False, "", (str(root / "one"),), "")
            args = {"sys_path": (), "standard": "/nowhere"}
            found = search(lookup, version=VERSION, look=Prober(), **args)
            assert found == of_cython(lookup, (), "/nowhere")
