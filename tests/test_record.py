"""Records: what is written is read again or nothing is, and every difference counts."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cyhot.building.inputs import Prober, expand, glob_row
from cyhot.building.observe import (
    CLOCK_TICK_NS,
    SHARED_NS,
    Observer,
    Recent,
    dir_sig,
    file_sig,
    find_program,
    hash_file,
    search_path,
)
from cyhot.building.record import (
    Closure,
    Record,
    differences,
    dump_records,
    load_records,
    refreshed,
)

LONG_AFTER = 10 * CLOCK_TICK_NS

texts = st.text(max_size=20)
numbers = st.integers(0, 2**63)
sigs = st.tuples(numbers, numbers, numbers, numbers)
dir_sigs = st.tuples(numbers, numbers, numbers)
file_rows = st.tuples(texts, sigs, texts, texts, texts)
dir_rows = st.tuples(texts, dir_sigs, texts, texts)
columns = {
    "as_of": numbers,
    "built_at": numbers,
    "cython_version": numbers,
    "image_size": numbers,
    "seconds": st.floats(0, 1e6),
    "files": st.lists(file_rows, max_size=3).map(tuple),
    "dirs": st.lists(dir_rows, max_size=3).map(tuple),
}
records = st.tuples(*(columns.get(name, texts) for name in Record.__slots__)).map(Record.unpack)
closures = st.builds(
    Closure,
    st.lists(file_rows, max_size=3).map(tuple),
    st.lists(dir_rows, max_size=3).map(tuple),
    numbers,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(records, max_size=2))
def test_records_are_read_as_they_were_written(written: list[Record]) -> None:
    read = load_records(dump_records(written))

    assert [record.pack() for record in read] == [record.pack() for record in written]


@given(closures)
def test_closures_are_read_as_they_were_written(written: Closure) -> None:
    read = Closure.load(written.dump())

    assert read is not None
    assert (read.files, read.dirs, read.as_of) == (written.files, written.dirs, written.as_of)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(records, min_size=1, max_size=1), closures, st.data())
def test_of_damaged_bytes_nothing_is_read(
    written: list[Record], closure: Closure, data: st.DataObject
) -> None:
    for whole in (dump_records(written), closure.dump()):
        position = data.draw(st.integers(0, len(whole) - 1))
        flipped = bytearray(whole)
        flipped[position] ^= data.draw(st.integers(1, 255))
        for damaged in (whole[:position], bytes(flipped), whole + b"\0", b""):
            assert load_records(damaged) == []
            assert Closure.load(damaged) is None


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert load_records(data) == []
    assert Closure.load(data) is None


# --- differences ------------------------------------------------------------------------------


def record_of(*paths: Path, as_of: int = 0, prober: Prober | None = None) -> Record:
    """A record of files (and what a prober noted) as they are now."""
    record = Record.unpack(tuple(() for _ in Record.__slots__))
    rows = [(str(path), file_sig(str(path)), hash_file(str(path)), "", "") for path in paths]
    record.files = tuple(rows)  # type: ignore[assignment]
    record.dirs = tuple(prober.dir_rows()) if prober else ()
    record.shared, record.sys_path = "", search_path()
    record.as_of = as_of or time.time_ns() + LONG_AFTER
    return record


def kinds(record: Record, shared: Closure | None = None) -> list[str]:
    return [difference[0] for difference in differences(record, shared, Observer())]


def test_a_file_of_old_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("1", encoding="utf-8")
    look = Observer()

    assert [*differences(record_of(path), None, look)] == []
    assert not look.looked_closer()


def test_a_young_file_is_read_even_if_its_signature_is_the_same(tmp_path: Path) -> None:
    """Within one tick of the clock it may have been written twice."""
    path = tmp_path / "f"
    path.write_text("1", encoding="utf-8")
    record = record_of(path, as_of=time.time_ns())
    row = record.files[0]

    assert kinds(record) == []
    record.files = ((row[0], row[1], "of another content", "", ""),)
    assert kinds(record) == ["changed"]


def test_what_was_young_is_trusted_once_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("1", encoding="utf-8")
    (tmp_path / "data").mkdir()
    prober = Prober()
    assert not prober.exists(str(tmp_path / "data" / "absent"))
    record = record_of(path, as_of=time.time_ns(), prober=prober)
    record.globs = (glob_row(str(tmp_path / "data" / "*.txt")),)

    look = Observer()
    assert [*differences(record, None, look)] == []
    assert not refreshed(record, None, look, time.time_ns())  # it still is young

    look = Observer()
    assert [*differences(record, None, look)] == []
    assert refreshed(record, None, look, time.time_ns() + LONG_AFTER)
    look = Observer()
    assert [*differences(record, None, look)] == []
    assert not look.looked_closer()


def test_a_folder_that_changes_all_the_time_is_not_written_down_each_time(tmp_path: Path) -> None:
    prober = Prober()
    for number in range(20):
        assert not prober.exists(str(tmp_path / f"absent{number}"))
    record = record_of(prober=prober)

    (tmp_path / "unrelated").touch()

    look = Observer()
    assert [*differences(record, None, look)] == []
    assert look.looked_closer()
    soon, much_later = time.time_ns() + LONG_AFTER, time.time_ns() + 10 * LONG_AFTER
    assert not refreshed(record, None, look, soon)
    assert refreshed(record, None, look, much_later)


def test_a_tool_that_was_young_is_not_asked_again_once_it_is_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho 1.0\n", encoding="utf-8")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    record = record_of(as_of=time.time_ns())
    record.tools = (
        ("program", "tool", str(tool), file_sig(str(tool)), Observer().ident("program", "tool")),
    )

    look = Observer()
    assert [*differences(record, None, look)] == []
    assert look.looked_closer()
    assert refreshed(record, None, look, time.time_ns() + LONG_AFTER)

    look = Observer()
    assert [*differences(record, None, look)] == []
    assert not look.looked_closer()


@pytest.mark.parametrize("name", ["absent", "a.*", "sub/deeper/absent", "file/absent", "b/*"])
def test_what_appears_is_a_difference(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    prober = Prober()
    folder, base = os.path.split(str(tmp_path / name))
    if "*" in base:
        assert prober.versioned(folder, *base.split("*")) == []
    else:
        assert not prober.exists(str(tmp_path / name))
    record = record_of(prober=prober)
    (tmp_path / "unrelated").touch()
    assert kinds(record) == []

    (tmp_path / "file").unlink()
    path = tmp_path / name.replace("*", "x")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()

    assert kinds(record) == ["appeared"]


def test_what_vanishes_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "folder").mkdir()
    prober = Prober()
    assert prober.exists(str(tmp_path / "there"))
    assert prober.exists(str(tmp_path / "folder"))
    record = record_of(prober=prober)
    assert kinds(record) == []

    (tmp_path / "there").unlink()
    (tmp_path / "folder").rmdir()

    assert kinds(record) == ["vanished", "vanished"]


def test_a_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "link").symlink_to("../two/link")
    (tmp_path / "two" / "link").symlink_to("target")
    (tmp_path / "one" / "loop").symlink_to("loop")
    prober = Prober()
    assert not prober.exists(str(tmp_path / "one" / "link"))
    assert not prober.exists(str(tmp_path / "one" / "loop"))
    assert not prober.exists(str(tmp_path / "one" / "loop" / "file"))
    record = record_of(prober=prober)
    assert kinds(record) == []

    (tmp_path / "two" / "target").touch()

    assert "appeared" in kinds(record)


def test_a_lost_closure_is_a_difference() -> None:
    record = record_of()
    assert kinds(record) == []

    record.shared = "name"

    assert kinds(record) == ["lost"]
    assert kinds(record, Closure((), (), 0)) == []


def test_a_folder_that_is_gone_before_it_is_noted_differs_for_ever(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    prober = Prober()
    (gone / "file").touch()
    assert prober.exists(str(gone / "file"))
    (gone / "file").unlink()
    gone.rmdir()

    assert kinds(record_of(prober=prober)) != []


# --- patterns ---------------------------------------------------------------------------------

FILES = ["a.txt", "sub/a.txt", "sub/deep/b.txt", "other/deep/b.txt", "sub/[x]/a.txt", "b.dat"]
PATTERNS = ["*.txt", "**/*.txt", "sub/*/b.txt", "*/deep/*", "sub/[[]x]/*", "none/*.txt", "a.txt"]


@settings(deadline=None)
@given(
    before=st.sets(st.sampled_from(FILES)),
    after=st.sets(st.sampled_from(FILES)),
    pattern=st.sampled_from(PATTERNS),
)
def test_no_file_that_a_pattern_names_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, before: set[str], after: set[str], pattern: str
) -> None:
    root = tmp_path_factory.mktemp("root")
    for name in before:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    record = record_of()
    record.globs = (glob_row(str(root / pattern)),)
    named = expand(str(root / pattern))
    assert kinds(record) == []

    for name in before - after:
        (root / name).unlink()
    for name in after - before:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()

    # Without the clock: folders' times may be equal within a tick, so all that's young is read.
    record.as_of = 0 if os.name == "nt" else time.time_ns()
    assert (kinds(record) == ["glob"]) == (expand(str(root / pattern)) != named)


def test_a_pattern_follows_links_to_folders(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to("../real")
    record = record_of()
    record.globs = (glob_row(str(tmp_path / "root" / "**" / "*.txt")),)
    assert kinds(record) == []

    (tmp_path / "real" / "deep" / "a.txt").touch()

    assert kinds(record) == ["glob"]


# --- the observer -----------------------------------------------------------------------------


def test_the_search_path_is_without_what_is_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entries = [str(tmp_path), None, b"bytes", tmp_path / "path", "", "relative", str(tmp_path)]
    monkeypatch.setattr("sys.path", entries)
    monkeypatch.chdir(tmp_path)
    at = str(tmp_path)
    assert search_path() == (at, f"{at}/path", f"{at}/relative")

    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert search_path() == (at, f"{at}/path")


def test_a_program_is_found_as_the_shell_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one" / "cc").mkdir()
    (tmp_path / "two" / "cc").touch(mode=0o600)
    (tmp_path / "three" / "cc").touch(mode=0o700)
    monkeypatch.setenv("PATH", os.pathsep.join(f"{tmp_path}/{n}" for n in ("one", "two", "three")))

    assert find_program("cc") == f"{tmp_path}/three/cc"
    assert find_program("none") == ""
    assert find_program(f"{tmp_path}/three/cc") == f"{tmp_path}/three/cc"


def test_an_observer_does_not_change_its_mind(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("1", encoding="utf-8")
    look = Observer()
    seen = (
        look.sig(str(path)),
        look.hash(str(path)),
        look.dir(str(tmp_path)),
        look.exists(str(path)),
    )

    path.unlink()

    assert seen == (
        look.sig(str(path)), look.hash(str(path)), look.dir(str(tmp_path)), look.exists(str(path))
    )  # fmt: skip
    assert dir_sig(str(tmp_path)) != seen[2]


# --- decisions that follow each other ---------------------------------------------------------


def test_what_is_near_is_looked_at_anew_by_each_decision(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("1", encoding="utf-8")
    recent = Recent()
    first = recent.observer()
    seen = first.sig(str(path)), first.dir(str(tmp_path))

    path.rename(tmp_path / "g")
    second = recent.observer()

    assert second.sig(str(path)) is None
    assert second.dir(str(tmp_path)) != seen[1]


def test_what_is_distant_is_looked_at_anew_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [10**12]
    monkeypatch.setattr("time.monotonic_ns", lambda: clock[0])
    recent = Recent()
    distant = recent.observer().distant
    for passed in (SHARED_NS // 2, SHARED_NS // 2):
        clock[0] += passed
        assert recent.observer().distant is distant
    clock[0] += 1  # as long as from the first time on, however often it was used

    assert recent.observer().distant is not distant


@pytest.mark.parametrize("what", ["forget", "PATH", "sys.path", "working folder"])
def test_what_is_distant_is_looked_at_anew_when_it_is_looked_for_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    monkeypatch.setattr("time.monotonic_ns", lambda: 10**12)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    recent = Recent()
    distant = recent.observer().distant
    assert recent.observer().distant is distant

    if what == "forget":
        recent.forget()
    elif what == "PATH":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif what == "sys.path":
        monkeypatch.syspath_prepend(str(tmp_path))
    else:
        monkeypatch.chdir(tmp_path)

    look = recent.observer()
    assert look.distant is not distant
    assert look.sys_path() == search_path()


def test_records_that_share_a_closure_look_at_it_once(tmp_path: Path) -> None:
    header = tmp_path / "header.h"
    header.write_text("1", encoding="utf-8")
    rows = record_of(header).files
    closure = Closure(rows, (), time.time_ns() + LONG_AFTER)
    recent = Recent()
    assert [*differences(record_of(), closure, recent.observer())] == []
    header.write_text("22", encoding="utf-8")

    recent.forget()

    for _ in range(2):
        (found,) = differences(record_of(), closure, recent.observer())
        assert found[:2] == ("changed", str(header))
