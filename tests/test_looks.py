"""Looking at files in C: the same answers as in Python, whatever there is to be looked at."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cyhot.building import looks, prepare
from cyhot.building.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="looks are not compiled there")
NAMES = ("", "é", "日本", os.fsdecode(b"\xff"))
MANY = 150
"""More than are looked at in one go."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The functions in C."""
    store = Store(str(tmp_path_factory.mktemp("looks") / "store"))
    for folder in ("tmp", "locks", "prepared"):
        os.makedirs(store.path(folder), mode=0o700)
    wanted = looks.want(store.root)
    assert wanted is not None and prepare.prepare(wanted)
    module = looks._load(store, store.prepared(wanted[2], looks._file_name()))
    assert module is not None
    return module


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Files and folders with names of all kinds, with times before 1970 and long after."""
    root = tmp_path_factory.mktemp("files")
    found = []
    for number in range(MANY):
        path = root / f"{number}{NAMES[number % len(NAMES)]}"
        if number % 5:
            path.write_bytes(b"x" * number)
        else:
            path.mkdir()
        times = [(-5, 999_999_999), (2**33, 1), (1_700_000_000, 123_456_789)][number % 3]
        os.utime(path, ns=(times[0] * 10**9 + times[1],) * 2)
        found.append(str(path))
    (root / "link").symlink_to(found[1])
    return (*found, str(root / "link"))


FIELDS = {"i": "st_ino", "m": "st_mtime_ns", "c": "st_ctime_ns", "s": "st_size"}


def signatures(paths: tuple[str, ...], fields: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(getattr(os.stat(path), FIELDS[f]) for f in fields) for path in paths)


@pytest.mark.parametrize("fields", ["imcs", "smci", "imc"])
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_other_signature_is_noticed(
    compiled: Any, paths: tuple[str, ...], fields: str, data: st.DataObject
) -> None:
    some = tuple(data.draw(st.lists(st.sampled_from(paths), max_size=MANY)))
    sigs = signatures(some, fields)
    for told in (compiled.are_as_noted, looks.are_as_noted_in_python):
        assert told(some, sigs, fields) is True
    if not some:
        return
    at = data.draw(st.integers(0, len(some) - 1))
    field = data.draw(st.integers(0, len(fields) - 1))
    change = data.draw(st.sampled_from([1, -1, 2**32, -(2**32), 10**9, 2**62]))
    other = [*sigs[at]]
    other[field] += change
    sigs = (*sigs[:at], tuple(other), *sigs[at + 1 :])
    for told in (compiled.are_as_noted, looks.are_as_noted_in_python):
        assert told(some, sigs, fields) is False


def test_an_image_has_size_and_time_only_where_all_is_as_noted(
    compiled: Any, paths: tuple[str, ...]
) -> None:
    image, sigs = paths[3], signatures(paths, "imcs")
    status = os.stat(image)
    for told in (compiled.image_status, looks.image_status_in_python):
        assert told(paths, sigs, image) == (status.st_size, status.st_atime_ns)
        assert told((), (), image) == (status.st_size, status.st_atime_ns)
        assert told(paths, sigs, f"{image}-lost") is None
        assert told((*paths[:-1], f"{image}-lost"), sigs, image) is None
        assert told(paths, (*sigs[1:], sigs[0]), image) is None


@pytest.mark.parametrize("sigs", [((1, 2, 3),), ((1, 2, 3, "4"),), (None,), ((),)])
def test_a_signature_of_another_form_is_none(
    compiled: Any, paths: tuple[str, ...], sigs: tuple[Any, ...]
) -> None:
    for told in (compiled.are_as_noted, looks.are_as_noted_in_python):
        assert told(paths[:1], sigs, "imcs") is False


def test_what_is_no_path_is_refused(compiled: Any) -> None:
    with pytest.raises(TypeError, match="a path is no str"):
        compiled.are_as_noted((b"x",), ((1, 2, 3, 4),), "imcs")
    with pytest.raises(ValueError, match="each path has a signature"):
        compiled.are_as_noted(("x",), (), "imcs")
