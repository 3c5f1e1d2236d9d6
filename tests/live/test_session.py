"""The live session: when what was saved is built, swapped in and told of, and how it ends."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from fake_update import Updater
from held import PATIENCE
from support import Project

from cyhot.errors import SettingsError, SwapError
from cyhot.events import Event, SwapFailed, SwapFinished, subscribe
from cyhot.hook import loader
from cyhot.live.report import SwapReport
from cyhot.live.session import LiveSession
from cyhot.settings import Settings

NOTHING = SwapReport()


class FakeWatcher:
    """Gives the batches that a test says."""

    polling = False

    def __init__(self, *, settle: float = 0.0) -> None:
        self.settle = settle
        self.watched: SimpleQueue[list[str]] = SimpleQueue()
        self.folders = frozenset({"/folder"})
        self.stopped = False
        self._batches: SimpleQueue[tuple[bool, frozenset[str]]] = SimpleQueue()

    def watch(self, trees: Iterable[str], files: Iterable[str]) -> None:
        self.watched.put(list(files))

    def next(
        self, timeout: float | None = None, ahead: Callable[[frozenset[str]], object] | None = None
    ) -> frozenset[str]:
        try:
            foretold, batch = self._batches.get(timeout=timeout)
        except Empty:
            return frozenset()
        if foretold and ahead is not None:
            ahead(batch)
            return self.next(timeout, ahead)
        return batch

    def foretell(self, *paths: Path) -> None:
        """Say what the next batch will probably be."""
        self._batches.put((True, frozenset(map(str, paths))))

    def saved(self, *paths: Path) -> None:
        self._batches.put((False, frozenset(map(str, paths))))

    def join(self, timeout: float) -> None:
        assert self.stopped

    def stop(self) -> None:
        self.stopped = True
        self._batches.put((False, frozenset()))


class Live:
    """A live session over a folder of text files."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.updater = Updater()
        self.watchers: SimpleQueue[FakeWatcher] = SimpleQueue()
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.values: dict[str, object] = dict(settings)
        self.session = LiveSession(
            self.updater,
            lambda: Settings(self.values, dict.fromkeys(self.values, "the test")),
            self._make_watcher,  # type: ignore[arg-type]
        )
        self._unsubscribe = subscribe(self.events.put)
        for name in ("a", "b"):
            self.updater.load(self.write(name, "1"))

    def _make_watcher(self, *, settle: float) -> FakeWatcher:
        watcher = FakeWatcher(settle=settle)
        self.watchers.put(watcher)
        return watcher

    def write(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.pyx"
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)  # what failed is read again at any time
        return path

    def start(self) -> None:
        """Start it, and wait until it has swept."""
        self.session.start()
        self.watcher = self.watchers.get(timeout=PATIENCE)
        self.watcher.watched.get(timeout=PATIENCE)
        self.drain()

    def drain(self) -> None:
        """Wait until all that was said to be saved is dealt with (no file is in this batch)."""
        self.watcher.saved(self.folder / "nothing")
        while self.folder / "nothing" not in {
            Path(p) for b in self.updater.staged for p in b or ()
        }:
            self.watcher.watched.get(timeout=PATIENCE)
        self.updater.staged.clear()

    def save(self, **texts: str) -> None:
        """Save sources at once; returns when they are dealt with."""
        self.watcher.saved(*(self.write(name, text) for name, text in texts.items()))
        self.drain()

    def next_event(self, kind: type[Event]) -> Any:
        """The next event of a kind."""
        while not isinstance(event := self.events.get(timeout=PATIENCE), kind):
            pass
        return event

    def close(self) -> None:
        self.updater.go_on.set()
        self.session.stop()
        self._unsubscribe()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    made: list[Live] = []

    def make(**settings: object) -> Live:
        made.append(Live(tmp_path, **settings))
        return made[-1]

    yield make
    for live in made:
        live.close()


@pytest.fixture
def live(make: Callable[..., Live]) -> Live:
    """One that swaps at once."""
    one = make(swap="auto")
    one.start()
    return one


def errors(live: Live) -> list[str]:
    return [one.name for one in live.session.status().errors]


# Modes ----------------------------------------------------------------------------------------


def test_a_save_runs_at_once(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    threads: list[str] = []
    live.session.on_swap(lambda report: threads.append(threading.current_thread().name))
    live.save(a="2")
    assert live.updater.runs == {"a": "2", "b": "1"}
    finished = live.next_event(SwapFinished)
    assert finished.names == ("a",) and finished.text.startswith("cyhot: a swapped in 0.")
    assert threads == ["cyhot-live"]
    assert finished.text in capsys.readouterr().err
    assert str(live.session.status().last) == finished.text


def test_builds_begin_before_a_batch_is_settled_and_what_goes_wrong_then_is_not_told(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    path = live.write("a", "2")
    live.updater.trouble_ahead = SettingsError("pyproject.toml: half-written")
    live.watcher.foretell(path)
    live.save(a="3")
    assert live.updater.begun == [{str(path)}] and live.updater.runs["a"] == "3"
    assert "half-written" not in capsys.readouterr().err and not live.session.status().trouble


def test_what_was_saved_before_it_started_is_swept_in(make: Callable[..., Live]) -> None:
    live = make(swap="auto")
    live.write("b", "2")
    live.start()
    assert live.updater.runs["b"] == "2"


def test_manual_keeps_the_newest_of_each_until_refresh(
    make: Callable[..., Live], capsys: pytest.CaptureFixture[str]
) -> None:
    live = make(swap="manual")
    live.start()
    live.save(a="2")
    live.save(b="2")
    live.save(a="3")
    assert live.updater.runs == {"a": "1", "b": "1"}
    assert live.session.status().pending == ("a", "b")
    assert "a: built; cyhot.refresh() swaps it in" in capsys.readouterr().err
    report = live.session.refresh()
    assert {one.name for one in report.swapped} == {"a", "b"} and report.ok
    assert live.updater.runs == {"a": "3", "b": "2"}
    assert live.session.status().pending == ()
    assert live.session.refresh() == NOTHING


def test_manual_does_not_say_that_mended_code_runs_before_refresh(
    make: Callable[..., Live], capsys: pytest.CaptureFixture[str]
) -> None:
    live = make(swap="manual")
    live.start()
    live.save(a="bad")
    live.save(a="2")
    shown = capsys.readouterr().err
    assert "a: built; cyhot.refresh() swaps it in" in shown and "up to date" not in shown


def test_refresh_sees_a_save_that_nobody_told_of_and_needs_no_thread(
    make: Callable[..., Live],
) -> None:
    live = make(watch=False)
    live.write("a", "2")
    assert [one.name for one in live.session.refresh().swapped] == ["a"]
    status = live.session.status()
    assert not status.watching and live.updater.runs["a"] == "2"
    assert status.reason == "watch=False"


def test_watch_false_in_a_file_ends_the_thread(make: Callable[..., Live]) -> None:
    live = make(watch=False)
    live.session.start()
    thread = live.session._thread
    assert thread is not None
    thread.join(PATIENCE)
    assert not live.session.is_live
    assert str(live.session.status()).startswith("cyhot: not watching: watch=False")


def test_refresh_waits_for_a_build_in_flight(live: Live) -> None:
    live.watcher.saved(live.write("a", "slow"))
    assert live.updater.building.wait(PATIENCE)
    threading.Timer(0.01, live.updater.go_on.set).start()
    assert live.session.refresh().ok
    assert live.updater.runs["a"] == "slow"


def test_a_first_stage_is_followed_by_the_second(live: Live) -> None:
    live.save(a="fast")
    assert live.next_event(SwapFinished).text.endswith("(unoptimized; the optimized code follows)")
    assert not live.next_event(SwapFinished).text.endswith("follows)")


def test_rollback_goes_back_one_swap(live: Live) -> None:
    live.save(a="2")
    report = live.session.rollback()
    assert live.updater.runs["a"] == "1"
    assert str(report).startswith("cyhot: a rolled back")
    with pytest.raises(SwapError):
        live.session.rollback()


# Before a cell --------------------------------------------------------------------------------


def test_a_cell_has_what_was_saved_whether_or_not_the_watcher_knows(
    make: Callable[..., Live], capsys: pytest.CaptureFixture[str]
) -> None:
    live = make(swap="cell")
    live.start()
    live.session.before_cell()
    live.save(a="2")
    live.write("b", "3")
    assert live.updater.runs == {"a": "1", "b": "1"} and not capsys.readouterr().err
    live.session.before_cell()
    assert live.updater.runs == {"a": "2", "b": "3"}
    assert "cyhot: a swapped" in capsys.readouterr().err
    live.updater.staged.clear()
    live.session.before_cell()
    assert live.updater.staged == [] and not capsys.readouterr().err


def test_a_cell_waits_for_the_build_in_flight(make: Callable[..., Live]) -> None:
    live = make(swap="cell")
    live.start()
    live.watcher.saved(live.write("a", "slow"))
    assert live.updater.building.wait(PATIENCE)
    threading.Timer(0.01, live.updater.go_on.set).start()
    live.session.before_cell()
    assert live.updater.runs["a"] == "slow"


def test_an_error_is_shown_in_full_once_and_then_in_a_line_before_each_cell(
    make: Callable[..., Live], capsys: pytest.CaptureFixture[str]
) -> None:
    live = make(swap="cell")
    live.start()
    live.save(a="bad")
    assert not capsys.readouterr().err  # somebody may be typing
    live.session.before_cell()
    shown = capsys.readouterr().err
    assert "a.pyx:3:5: error: no such thing" in shown
    builds = len(live.updater.staged)
    live.session.before_cell()
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "a does not compile" in line and "a.pyx:3:5" in line
    assert len(live.updater.staged) == builds  # what did not change is not built again
    live.write("a", "2")
    live.session.before_cell()
    assert "a swapped" in capsys.readouterr().err
    live.session.before_cell()
    assert not capsys.readouterr().err


# Errors ---------------------------------------------------------------------------------------


def test_an_error_stays_until_it_is_mended_and_holds_up_nobody_else(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    live.save(a="bad")
    failed = live.next_event(SwapFailed)
    assert failed.names == ("a",) and failed.diagnostics[0].line == 3 and failed.restart == ()
    assert "a.pyx:3:5: error: no such thing" in capsys.readouterr().err
    live.save(b="2")
    assert live.updater.runs == {"a": "1", "b": "2"}
    assert errors(live) == ["a"]
    assert "no such thing" not in capsys.readouterr().err  # shown once
    live.save(a="2")
    assert errors(live) == [] and live.updater.runs["a"] == "2"


def test_what_was_saved_together_is_swapped_in_together(live: Live) -> None:
    live.save(a="bad", b="2")
    assert live.updater.runs == {"a": "1", "b": "1"}
    live.save(b="3")  # belongs to the broken one
    assert live.updater.runs == {"a": "1", "b": "1"}
    live.save(a="2")
    assert live.updater.runs == {"a": "2", "b": "3"}


def test_going_back_to_what_runs_mends_an_error(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    live.save(a="bad")
    live.save(a="1")
    assert errors(live) == []
    assert "cyhot: a: mended; the code that runs is up to date" in capsys.readouterr().err


def test_a_build_that_failed_for_what_was_not_there_is_tried_again(live: Live) -> None:
    live.save(a="bad")
    live.write("a", "2")  # nobody tells of it
    live.save(b="2")
    assert live.updater.runs == {"a": "2", "b": "2"} and errors(live) == []


def test_a_body_that_raises_stays_an_error_and_is_not_run_again(live: Live) -> None:
    runs: list[None] = []
    live.updater.during = lambda: runs.append(None)
    live.save(a="raises")
    assert errors(live) == ["a"] and "Oops" in live.next_event(SwapFailed).text
    live.save(b="2")
    assert len(runs) == 2 and live.updater.runs["b"] == "2"
    live.save(a="2")
    assert errors(live) == []


def test_trouble_is_reported_once_and_gone_on_from(
    live: Live, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cyhot.live.session._PAUSE", 0.0)
    live.updater.trouble = RuntimeError("disk on fire")
    live.watcher.saved(live.write("a", "2"))
    for _ in range(3):  # it is tried again, with a new watcher each time
        watcher = live.watchers.get(timeout=PATIENCE)
    assert live.session.status().trouble == "RuntimeError: disk on fire"
    live.updater.trouble = None
    live.next_event(SwapFinished)
    assert live.updater.runs["a"] == "2" and live.session.status().trouble == ""
    assert watcher.settle == 0.05
    assert capsys.readouterr().err.count("RuntimeError: disk on fire") == 1


def test_wrong_settings_are_shown_as_such(
    live: Live, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cyhot.live.session._PAUSE", 0.0)
    live.updater.trouble = SettingsError("profil: did you mean profile?")
    live.watcher.saved(live.write("a", "2"))
    live.watchers.get(timeout=PATIENCE)
    live.updater.trouble = None
    live.next_event(SwapFinished)
    shown = capsys.readouterr().err
    assert "did you mean profile?" in shown and "Traceback" not in shown


def test_status_tells_of_wrong_settings_instead_of_failing(live: Live) -> None:
    before = live.session.status()

    def broken() -> Settings:
        raise SettingsError("pyproject.toml: not valid TOML")

    live.session._settings = broken
    status = live.session.status()
    assert "pyproject.toml: not valid TOML" in status.trouble
    assert status.swap == before.swap == "auto"


def test_verbose_0_is_silence(
    make: Callable[..., Live], capsys: pytest.CaptureFixture[str]
) -> None:
    live = make(swap="auto", verbose=0)
    live.start()
    live.save(a="bad")
    live.save(a="2")
    assert live.updater.runs["a"] == "2" and capsys.readouterr().err == ""


# Callbacks and code that asks ------------------------------------------------------------------


def test_an_error_in_a_callback_goes_no_further(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: hooked.append(kind.__name__))
    reports: list[SwapReport] = []
    live.session.on_swap(lambda report: 1 / 0)
    unsubscribe = live.session.on_swap(reports.append)
    live.save(a="2")
    unsubscribe()
    unsubscribe()
    live.save(a="3")
    assert hooked == ["ZeroDivisionError"] * 2
    assert [[one.name for one in report.swapped] for report in reports] == [["a"]]


def test_a_callback_may_ask_for_the_next_swap(live: Live) -> None:
    found: list[object] = []

    def again(report: SwapReport) -> None:
        found.append(live.session.status().pending)
        if len(found) == 1:
            live.write("b", "2")
            found.append(live.session.refresh().ok)

    live.session.on_swap(again)
    live.save(a="2")
    assert live.updater.runs == {"a": "2", "b": "2"} and True in found


def test_a_body_that_asks_for_a_swap_is_told_no(live: Live) -> None:
    refused: list[str] = []

    def ask() -> None:
        for question in (live.session.refresh, live.session.rollback):
            with pytest.raises(SwapError) as caught:
                question()
            refused.append(str(caught.value))

    live.updater.during = ask
    live.save(a="2")
    assert len(refused) == 2 and live.updater.runs["a"] == "2"


# What is watched, and the end -------------------------------------------------------------------


def test_what_is_imported_later_is_watched(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    new = live.write("c", "1")
    live.updater.load(new)
    monkeypatch.setattr(loader, "_loaded", {*loader._loaded, "image of c"})
    while str(new) not in live.watcher.watched.get(timeout=PATIENCE):
        pass


def test_another_settle_time_holds_from_then_on(live: Live) -> None:
    live.values["settle"] = 0.2
    assert live.watchers.get(timeout=PATIENCE).settle == 0.2
    assert live.watcher.stopped


def test_stopping_ends_a_build_in_flight(live: Live) -> None:
    thread = live.session._thread
    assert thread is not None
    live.watcher.saved(live.write("a", "sleeps"))
    assert live.updater.building.wait(PATIENCE)
    live.session.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive() and live.watcher.stopped
    assert not live.session.status().watching
    live.write("a", "2")
    live.session.start()
    live.next_event(SwapFinished)
    assert live.updater.runs["a"] == "2"


def test_status_reads_well_and_goes_into_json(live: Live) -> None:
    live.save(a="bad")
    status = live.session.status()
    lines = str(status).splitlines()
    assert lines[0].startswith("cyhot: watching 1 folder since ")
    assert lines[0].endswith("; what is saved is swapped in at once")
    assert lines[1] == f"  a ({live.folder}/a.pyx)"
    assert lines[-1] == "cyhot: a does not compile, the old code runs"
    assert json.loads(json.dumps(status.to_dict()))["errors"][0]["name"] == "a"


# In a process -----------------------------------------------------------------------------------

FAKE = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
import fake_update
sys.modules["cyhot.live.update"] = fake_update
import pathlib
def wait_for(word):
    import threading, time
    while not word():
        time.sleep(0.01)
"""
STRICT = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error"}


def quiet(project: Project, program: str, status: int = 0, **env: str) -> str:
    """What a program prints that ends with a status and says nothing else."""
    run = project.run(program, env={**STRICT, **env}, check=False, timeout=PATIENCE)
    assert (run.returncode, run.stderr) == (status, ""), run
    return run.stdout


def test_a_short_script_pays_nothing_and_ends_at_once(project: Project) -> None:
    program = """
        import sys, atexit
        def tell():
            print(*heavy.intersection(sys.modules))
        heavy = {"threading", "watchdog", "dataclasses", "cyhot.live", "concurrent"}
        for name in heavy:
            sys.modules.pop(name, None)
        import cyhot
        cyhot.install()
        atexit.register(tell)
        print(sys.modules["cyhot.hook.background"]._start.is_waiting)
        sys.exit(7)
    """
    assert quiet(project, program, 7).split() == ["True"]


def test_forking_in_the_first_half_second_is_no_forking_with_threads(project: Project) -> None:
    program = """
        import os, sys
        import cyhot
        cyhot.install()
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        print(sys.modules["cyhot.hook.background"]._start is not None, flush=True)
    """
    assert quiet(project, program).split() == ["False", "True"]


def test_forking_later_on_is_no_forking_with_threads_either(project: Project) -> None:
    """From Python 3.12 on that is warned of, and STRICT makes it an error."""
    program = (
        FAKE
        + REAL_SAVE
        + """
import os, threading
for number in range(3):
    child = os.fork()
    if not child:
        os._exit(len(threading.enumerate()))
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
    if number != 1:
        source.write_text(f"{number} saved while nobody watches")
        wait_for(lambda: updater.runs["a"].startswith(str(number)) and cyhot.status().watching)
print(updater.runs)
"""
    )
    told = quiet(project, program, CYHOT_VERBOSE="0").splitlines()
    assert told == ["1", "1", "1", "{'a': '2 saved while nobody watches'}"]


def test_it_starts_once_and_ends_with_uninstall(project: Project) -> None:
    program = (
        FAKE
        + """
import cyhot, sys
def live():
    import threading
    return [one.name for one in threading.enumerate() if one.name.startswith("cyhot")]
cyhot.install()
cyhot.install(settle=0.01)
wait_for(lambda: "cyhot.live.session" in sys.modules and cyhot.status().watching)
print(live())
with cyhot.install(watch=False):
    print(live(), cyhot.status().reason)
wait_for(lambda: cyhot.status().watching)
cyhot.uninstall()
print(live())
with cyhot.install():
    wait_for(lambda: cyhot.status().watching)
print(live(), cyhot.status().watching)
cyhot.install(watch=False)
print(sys.modules["cyhot.hook.background"]._start)
"""
    )
    assert quiet(project, program).splitlines() == [
        "['cyhot-live']", "[] cyhot.uninstall(), or watch=False", "[]", "[] False", "None"
    ]  # fmt: skip


def test_cyhot_watch_0_starts_nothing(project: Project) -> None:
    program = (
        "import cyhot, sys; cyhot.install(); print(sys.modules['cyhot.hook.background']._start)"
    )
    assert quiet(project, program, CYHOT_WATCH="0") == "None\n"


def test_the_main_thread_stays_the_main_thread(project: Project) -> None:
    program = """
        import sys, _thread, time
        class Update:  # imports nothing, unlike the usual one
            Updater = staticmethod(lambda session: Update)
            files = running = staticmethod(list)
            stage = staticmethod(lambda batch: Update)
            names = failed = ()
            prepare, began = staticmethod(lambda: None), 0.0
        sys.modules["cyhot.live.update"] = Update
        assert "threading" not in sys.modules or sys.modules.pop("threading")
        import cyhot
        cyhot.install()
        while "cyhot.live.session" not in sys.modules:
            time.sleep(0.01)
        import threading
        while not cyhot.status().watching:
            time.sleep(0.01)
        main = threading.main_thread()
        print(main is threading.current_thread(), main.ident == _thread.get_ident())
        print(type(main).__name__, [one.name for one in threading.enumerate()][:2])
    """
    assert quiet(project, program).splitlines() == [
        "True True", "_MainThread ['MainThread', 'cyhot-live']"
    ]  # fmt: skip


def test_a_test_run_is_not_swapped_unless_it_says_so(project: Project) -> None:
    program = """
        import sys, _pytest.main
        import cyhot
        def waits():
            return getattr(sys.modules["cyhot.hook.background"], "_start") is not None
        with cyhot.install():
            print(waits())
        with cyhot.install(watch=True):
            print(waits())
    """
    assert quiet(project, program).split() == ["False", "True"]


REAL_SAVE = """
import cyhot
source = pathlib.Path("a.pyx")
source.write_text("1")
updater = None
cyhot.install(swap="auto")
wait_for(lambda: "cyhot.live.session" in sys.modules and cyhot.status().watching)
updater = fake_update.Updater.last
updater.load(source.absolute())
from cyhot.hook import loader
loader._loaded.add("a")
wait_for(lambda: cyhot.status().folders)
"""


def test_a_save_is_noticed_by_the_real_watcher(project: Project) -> None:
    program = (
        FAKE
        + REAL_SAVE
        + """
import threading
swapped = threading.Event()
cyhot.on_swap(lambda report: swapped.set())
source.write_text("2")
print(swapped.wait(60), updater.runs)
sys.stderr.flush()
"""
    )
    run = project.run(program, env=STRICT)
    assert run.stdout == "True {'a': '2'}\n"
    assert run.stderr.startswith("cyhot: a swapped in ") and run.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["slow", "sleeps"])
def test_a_process_that_ends_during_a_build_does_so_silently(project: Project, text: str) -> None:
    program = (
        FAKE
        + REAL_SAVE
        + f"""
source.write_text({text!r})
updater.building.wait(60)
sys.exit(6)
"""
    )
    quiet(project, program, 6)


def test_a_forked_child_has_no_live_session_until_it_asks(project: Project) -> None:
    program = (
        FAKE
        + REAL_SAVE
        + """
import os
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    wait_for(lambda: cyhot.status().watching)
    print(os.waitstatus_to_exitcode(status), cyhot.status().watching)
else:
    print(cyhot.status().watching, cyhot.status().reason)
    source.write_text("2")
    print([one.name for one in cyhot.refresh().swapped], updater.runs)
    cyhot.install()
    wait_for(lambda: cyhot.status().watching)
    sys.stdout.flush()
    sys.exit(9)
"""
    )
    run = project.run(program, env={**STRICT, "CYHOT_VERBOSE": "0"})
    assert run.stdout.splitlines() == [
        "False this is a forked process; cyhot.install() starts it here as well",
        "['a'] {'a': '2'}",
        "9 True",
    ], run
    assert run.stderr == ""
