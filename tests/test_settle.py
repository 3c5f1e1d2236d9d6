"""When a burst of changes is over, and which changes matter: the pure part of watching."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyhot.live.mounts import remote_kind
from cyhot.live.scope import Scope
from cyhot.live.settle import EARLY, EMPTY, GRACE, SETTLE, Settler

Happening = tuple[float, str, str]
"""A time, a path, and what happened to it: ``saved``, ``new``, ``empty`` or ``gone``."""


@dataclass
class Heard:
    """Batches with their times, and what happened before each."""

    batches: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    early: list[tuple[float, frozenset[str]]] = field(default_factory=list)


def listen(happenings: list[Happening]) -> Heard:
    """Let a settler hear of everything at its time, and take each batch as soon as it is due."""
    settler, heard = Settler(), Heard()

    def take_until(now: float) -> None:
        while (due := settler.due()) is not None:
            early = settler.due_early()
            if early is not None and early <= min(now, due):
                assert settler.early(early - 1e-6) == frozenset()
                heard.early.append((early, settler.early(early)))
                assert settler.early(early) == frozenset()
            if due > now:
                return
            assert settler.batch(due - 1e-6) == frozenset()
            heard.batches.append((due, settler.batch(due)))

    for at, path, what in sorted(happenings):
        take_until(at)
        if what == "gone":
            settler.vanished(path, at)
        elif what == "empty":
            settler.emptied(path, at)
        else:
            settler.saved(path, at, new=what == "new")
    take_until(float("inf"))
    assert settler.due() is None
    return heard


# Ways to save a file: what happens, and how long after the first of it.
SAVES: dict[str, list[tuple[float, str, str]]] = {
    "truncate and write": [(0, "", "saved"), (0.004, "", "saved"), (0.005, "", "saved")],
    "rename over": [(0, ".tmp", "new"), (0.01, ".tmp", "saved"), (0.02, ".tmp", "gone"),
                    (0.02, "", "new")],
    "backup first": [(0, "", "gone"), (0, "~", "new"), (0.02, "", "new"), (0.03, "", "saved"),
                     (0.03, "~", "gone")],
    "vanish for 100 ms": [(0, "", "gone"), (0.1, "", "new"), (0.1, "", "saved")],
    "touch": [(0, "", "saved")],
}  # fmt: skip


def saving(how: str, path: str, at: float) -> Iterator[Happening]:
    return ((at + after, path + suffix, what) for after, suffix, what in SAVES[how])


@pytest.mark.parametrize("how", SAVES)
def test_each_way_to_save_gives_one_batch_in_which_the_file_is_there(how: str) -> None:
    happenings = list(saving(how, "foo.pyx", 1.0))
    ((at, batch),) = listen(happenings).batches
    assert "foo.pyx" in batch
    assert at == pytest.approx(max(h[0] for h in happenings) + SETTLE)


def test_a_file_that_is_gone_for_good_is_told_when_it_had_time_to_come_back() -> None:
    ((at, batch),) = listen([(1.0, "core.pxd", "gone")]).batches
    assert (at, batch) == (pytest.approx(1.0 + GRACE), {"core.pxd"})


def test_a_file_that_is_truncated_first_and_written_later_is_told_when_it_is_written() -> None:
    """The empty module was swapped in, and the program died of what it lacked."""
    ((at, batch),) = listen([(1.0, "foo.pyx", "empty"), (1.3, "foo.pyx", "saved")]).batches
    assert (at, batch) == (pytest.approx(1.3 + SETTLE), {"foo.pyx"})


def test_a_file_that_stays_empty_is_told_in_the_end() -> None:
    ((at, batch),) = listen([(1.0, "foo.pyx", "empty")]).batches
    assert (at, batch) == (pytest.approx(1.0 + EMPTY), {"foo.pyx"})


def test_a_checkout_of_200_files_is_one_batch() -> None:
    changed = [(1 + n * 0.02, f"m{n}.pyx", ("saved", "gone", "new")[n % 3]) for n in range(200)]
    ((_, batch),) = listen(changed).batches
    assert batch == {path for _, path, _ in changed}


@settings(deadline=None)  # a busy machine is no fault
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(SAVES)),
            st.sampled_from(["a.pyx", "b.pxd", "c.h"]),
            st.floats(0, 3).map(lambda at: round(at, 3)),
        ),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.tuples(st.floats(0, 3), st.just("d.pyx"), st.just("gone")), max_size=1),
)
def test_whatever_is_saved_is_told_once_it_is_over_and_not_before(
    saves: list[tuple[str, str, float]], removed: list[Happening]
) -> None:
    happenings = [h for how, path, at in saves for h in saving(how, path, at)] + removed
    batches = listen(happenings).batches
    begin = -1.0
    for due, batch in batches:
        inside = [h for h in happenings if begin < h[0] < due]
        assert batch == {path for _, path, _ in inside}  # all of it, and nothing twice
        last = max(at for at, _, _ in inside)
        assert due >= last + SETTLE - 1e-9  # nothing came for that long
        assert due <= last + max(SETTLE, GRACE) + 1e-9  # and nobody waits longer than need be
        begin = max(at for at, _, _ in inside)
    assert all(any(at < due for due, _ in batches) for at, _, _ in happenings)


@settings(deadline=None)  # a busy machine is no fault
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(SAVES)), st.sampled_from(["a.pyx", "b.pxd"]), st.floats(0, 0.3)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_a_batch_will_be_is_known_before_it_is_settled_unless_a_file_is_missing(
    saves: list[tuple[str, str, float]],
) -> None:
    happenings = [h for how, path, at in saves for h in saving(how, path, at)]
    heard = listen(happenings)
    for now, paths in heard.early:
        due, batch = next((due, batch) for due, batch in heard.batches if due >= now)
        assert paths <= batch and now >= EARLY
        assert not any(now - EARLY + 1e-9 < at < now for at, _, _ in happenings)
    gone = {path for _, path, what in happenings if what == "gone"}
    for due, batch in heard.batches:
        told = [paths for now, paths in heard.early if now < due]
        if gone.isdisjoint(batch):
            assert told[-1] == batch and due == pytest.approx(heard_last(happenings, due) + SETTLE)


def heard_last(happenings: list[Happening], due: float) -> float:
    """When the last thing happened before a time."""
    return max(at for at, _, _ in happenings if at < due)


@settings(deadline=None)  # a busy machine is no fault
@given(st.floats(0.01, GRACE - 0.01), st.integers(0, 20))
def test_no_batch_is_told_while_a_file_is_only_away(away: float, others: int) -> None:
    busy = [(1 + n * 0.03, f"m{n}.pyx", "saved") for n in range(others)]
    heard = listen([(1.0, "foo.pyx", "gone"), (1.0 + away, "foo.pyx", "new"), *busy])
    for due, batch in heard.batches:
        assert "foo.pyx" not in batch or due >= 1.0 + away


# What matters ---------------------------------------------------------------------------------

PROJECT = Scope(["/home/me/.src/p"], ["/opt/inc/table.dat", "/home/me/.src/p/impl.f90"])


@pytest.mark.parametrize(
    "path",
    [
        "/home/me/.src/p/foo.pyx", "/home/me/.src/p/pk/core.pxd", "/home/me/.src/p/x.pxi",
        "/home/me/.src/p/k.h", "/home/me/.src/p/foo.pyxbld", "/home/me/.src/p/pk/__init__.py",
        "/home/me/.src/p/pyproject.toml", "/opt/inc/table.dat", "/home/me/.src/p/impl.f90",
    ],
)  # fmt: skip
def test_sources_and_what_was_read_matter(path: str) -> None:
    assert PROJECT.matters(path)


@pytest.mark.parametrize(
    "name",
    [
        "foo.pyx~", ".foo.pyx.swp", "4913", ".#foo.pyx", "#foo.pyx#", ".foo.pyx.swx", "foo.pyx.bak",
        ".goutputstream-X1", "foo.pyx___jb_tmp___", "foo.so", "data.csv", ".git/x.h", "main.py",
        "__pycache__/x.h", ".venv/lib/x.pxd", "node_modules/a/b.h",
    ],
)  # fmt: skip
def test_backups_swap_files_and_hidden_folders_do_not_matter(name: str) -> None:
    assert not PROJECT.matters(f"/home/me/.src/p/{name}")


def test_folders_matter_unless_nothing_is_looked_for_in_them() -> None:
    assert PROJECT.matters("/home/me/.src/p/pk", is_folder=True)
    assert not PROJECT.matters("/home/me/.src/p/__pycache__", is_folder=True)
    assert not PROJECT.matters("/elsewhere/pk", is_folder=True)


MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
40 22 0:40 / /srv rw - nfs4 host:/srv rw
41 40 8:2 / /srv/local\\040disk rw - xfs /dev/sdb rw
42 22 0:42 / /mnt/c rw - 9p drvfs rw
43 22 0:43 / /home/me/remote rw - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home/me", ""), ("/srv", "nfs4"), ("/srv/p", "nfs4"), ("/srv/local disk/p", ""),
     ("/srvx", ""), ("/mnt/c/p", "9p"), ("/home/me/remote/p", "fuse.sshfs")],
)  # fmt: skip
def test_network_file_systems_are_known_by_the_mount(folder: str, kind: str) -> None:
    assert remote_kind(folder, MOUNTS) == kind
