"""Real folders, watched: each way to save a file gives one batch, and no watch dies unnoticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from held import PATIENCE
from support import clean_environment
from watchdog.observers.api import EventDispatcher, EventEmitter
from watchdog.observers.inotify_c import InotifyFD

from cyhot.events import Event, Noticed, subscribe
from cyhot.live.watch import Watcher

SETTLE = 0.2
"""Longer than the default: a busy machine must not make two bursts of one."""


class Watched:
    """A folder that is watched.

    Args:
        folder: The folder.
        polling: Whether it is polled.
    """

    def __init__(self, folder: Path, *, polling: bool = False) -> None:
        self.folder = folder
        self.watcher = Watcher(settle=SETTLE, polling=polling)
        self._ends = 0

    def begin(self, files: list[Path] | None = None) -> None:
        self.watcher.watch([str(self.folder)], map(str, files or ()))

    def batch(self) -> set[str]:
        """The next batch: names in the folder, or paths elsewhere."""
        found = self.watcher.next(PATIENCE)
        assert found, "nothing was heard of"
        return {os.path.relpath(p, self.folder) if _in(p, self.folder) else p for p in found}

    def nothing_more_comes(self) -> bool:
        """Whether the next thing that is heard of is the one that is done now."""
        self._ends += 1
        name = f"end{self._ends}.pyx"
        (self.folder / name).write_text("X = 1\n")
        return self.batch() == {name}


def _in(path: str, folder: Path) -> bool:
    return path.startswith(f"{folder}{os.sep}")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    (folder / "foo.pyx").write_text("X = 1\n")
    one = Watched(folder)
    one.begin()
    yield one
    one.watcher.stop()


@pytest.fixture
def noticed() -> Iterator[list[str]]:
    """What cyhot had to say."""
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Noticed):
            told.append(event.text)

    stop = subscribe(listen)
    yield told
    stop()


def _truncate(path: Path) -> None:
    path.write_text("X = 2\n")


def _rename_over(path: Path) -> None:
    new = path.with_name("saving.tmp")
    new.write_text("X = 2\n")
    new.rename(path)


def _as_vim_does(path: Path) -> None:
    swap, probe = path.with_name(".foo.pyx.swp"), path.with_name("4913")
    swap.write_text("")
    probe.write_text("")
    probe.unlink()
    path.rename(path.with_name("foo.pyx~"))
    path.write_text("X = 2\n")
    path.with_name("foo.pyx~").unlink()
    swap.unlink()


def _as_emacs_does(path: Path) -> None:
    lock, auto = path.with_name(".#foo.pyx"), path.with_name("#foo.pyx#")
    lock.symlink_to("me@host:1")
    auto.write_text("X = 2\n")
    path.rename(path.with_name("foo.pyx~"))
    path.write_text("X = 2\n")
    lock.unlink()
    auto.unlink()


def _several_times(path: Path) -> None:
    for number in range(5):
        path.write_text(f"X = {number}\n")


def _vanish(path: Path) -> None:
    path.unlink()
    threading.Event().wait(0.1)
    path.write_text("X = 2\n")


SAVES = [_truncate, _rename_over, _as_vim_does, _as_emacs_does, _several_times, _vanish, Path.touch]


@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.__name__.strip("_"))
def test_a_save_is_one_batch(watched: Watched, save: Callable[[Path], None]) -> None:
    save(watched.folder / "foo.pyx")
    assert watched.batch() == {"foo.pyx"}
    assert watched.nothing_more_comes()


def test_a_source_that_is_truncated_is_not_told_before_it_is_written(watched: Watched) -> None:
    with open(watched.folder / "foo.pyx", "w") as file:
        assert watched.watcher.next(2 * SETTLE) == frozenset()
        file.write("X = 2\n")
    assert watched.batch() == {"foo.pyx"}


def test_a_burst_of_200_files_is_one_batch(watched: Watched) -> None:
    names = {f"m{number}.pyx" for number in range(200)}
    for name in names:
        (watched.folder / name).write_text(name)
    assert watched.batch() == names
    assert watched.nothing_more_comes()


def test_what_is_no_source_is_not_told(watched: Watched) -> None:
    for name in ("main.py", "data.csv", "foo.so", "notes.txt", ".hidden.pyx"):
        (watched.folder / name).write_text("x")
    assert watched.nothing_more_comes()


def test_reading_files_is_not_told(watched: Watched) -> None:
    (watched.folder / "foo.pyx").read_text()
    assert watched.nothing_more_comes()


def test_a_folder_that_comes_is_watched_with_what_is_in_it(watched: Watched) -> None:
    (watched.folder / "pk").mkdir()
    (watched.folder / "pk" / "a.pyx").write_text("X = 1\n")
    assert watched.batch() == {"pk", "pk/a.pyx"}
    (watched.folder / "pk" / "a.pyx").write_text("X = 2\n")
    assert watched.batch() == {"pk/a.pyx"}


def test_a_folder_that_is_moved_in_is_told(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "pk").mkdir()
    (tmp_path / "pk" / "a.pyx").write_text("X = 1\n")
    (tmp_path / "pk").rename(watched.folder / "pk")
    assert "pk" in watched.batch()


def test_a_file_elsewhere_is_watched_by_its_folder(watched: Watched, tmp_path: Path) -> None:
    other = tmp_path.resolve() / "elsewhere"
    other.mkdir()
    (other / "k.pxi").write_text("X = 1\n")
    watched.begin([other / "k.pxi"])
    assert watched.batch() == {str(other)}  # a folder that is new to the watcher is news
    _rename_over(other / "k.pxi")
    assert watched.batch() == {str(other / "k.pxi")}


def test_a_link_is_followed_to_its_file(watched: Watched, tmp_path: Path) -> None:
    other = tmp_path.resolve() / "elsewhere"
    other.mkdir()
    (other / "real.h").write_text("#define X 1\n")
    (watched.folder / "k.h").symlink_to(other / "real.h")
    assert watched.batch() == {"k.h"}
    watched.begin([watched.folder / "k.h"])
    assert watched.batch() == {str(other)}
    (other / "real.h").write_text("#define X 2\n")
    assert watched.batch() == {str(other / "real.h")}


def test_a_folder_that_is_replaced_goes_on_being_watched(watched: Watched) -> None:
    shutil.rmtree(watched.folder)
    assert watched.batch() >= {"foo.pyx"}
    watched.folder.mkdir()
    (watched.folder / "foo.pyx").write_text("X = 3\n")
    assert watched.watcher.next(PATIENCE) >= {str(watched.folder)}
    assert watched.nothing_more_comes()


def test_a_folder_that_is_renamed_and_made_anew_goes_on_being_watched(watched: Watched) -> None:
    shutil.copytree(watched.folder, watched.folder.with_name("copy"))
    watched.folder.rename(watched.folder.with_name("old"))
    watched.folder.with_name("copy").rename(watched.folder)
    assert watched.watcher.next(PATIENCE) >= {str(watched.folder)}
    assert watched.nothing_more_comes()


@pytest.mark.parametrize("kind", [EventDispatcher, EventEmitter, InotifyFD])
def test_a_watch_that_died_is_started_again(
    watched: Watched, noticed: list[str], kind: type[threading.Thread]
) -> None:
    running = (t for t in threading.enumerate() if isinstance(t, kind))
    (thread,) = (t for t in running if t.should_keep_running())
    thread.stop()
    thread.join(PATIENCE)
    (watched.folder / "foo.pyx").write_text("X = 2\n")
    # What happened meanwhile is unknown, so all of the folder is told.
    assert watched.watcher.next(PATIENCE) >= {str(watched.folder)}
    assert watched.nothing_more_comes()
    assert noticed in ([], ["watching for changes had ended by itself; it is started again"])


def test_a_folder_that_is_polled_gives_the_same_batches(tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    (folder / "foo.pyx").write_text("X = 1\n")
    watched = Watched(folder, polling=True)
    watched.begin()
    _rename_over(folder / "foo.pyx")
    assert watched.batch() == {"foo.pyx"}
    assert watched.nothing_more_comes()
    watched.watcher.stop()


OUT_OF_WATCHES = """\
import sys
from pathlib import Path
import cyhot
from cyhot.live.watch import Watcher

told = []
cyhot.subscribe(lambda event: told.append(event.text))
watcher = Watcher()
watcher.watch([sys.argv[1]], [])
assert watcher.polling
print(len(told), told[0])
watcher.next(5)
Path(sys.argv[1], "pk", "a.pyx").write_text("X = 2")
print(*watcher.next(60))
"""


def test_where_the_system_gives_no_watch_it_is_said_and_the_folders_are_polled(
    tmp_path: Path,
) -> None:
    # One watch is left, for the first folder: of the one in it watchdog says nothing.
    limit = "echo 1 > /proc/sys/user/max_inotify_watches"
    namespace = ["unshare", "-Ur", "/bin/sh", "-c", f'{limit} && exec "$@"', "sh"]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        (pytest.fail if "CI" in os.environ else pytest.skip)("no user namespaces here")
    (tmp_path / "pk").mkdir()
    run = subprocess.run(
        [*namespace, sys.executable, "-c", OUT_OF_WATCHES, str(tmp_path.resolve())],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=PATIENCE * 2,
    )
    assert run.returncode == 0, run
    said, batch = run.stdout.splitlines()
    assert said.startswith(f"1 {tmp_path.resolve()}: the system's limit for watching folders")
    assert "fs.inotify.max_user_watches" in said
    assert batch == str(tmp_path.resolve() / "pk" / "a.pyx")
