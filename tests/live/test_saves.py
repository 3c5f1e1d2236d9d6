"""What is saved while a program runs, with all that is real: watcher, builds, swaps."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from held import PATIENCE
from swapping import Live

from cyhot.live.session import LiveSession
from cyhot.settings import Settings


@contextmanager
def watching(live: Live) -> Iterator[LiveSession]:
    """A live session that swaps in what is saved."""
    values: dict[str, object] = {"swap": "auto", "verbose": 0, "settle": 0.05}
    settings = Settings(values, dict.fromkeys(values, "the test"))
    session = LiveSession(live.updater, lambda: settings)
    session.start()
    try:
        wait(lambda: session.status().watching and session.status().folders)
        time.sleep(0.3)  # what there was is looked at
        yield session
    finally:
        session.stop()


def wait(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def errors(session: LiveSession) -> list[str]:
    return sorted(one.name for one in session.status().errors)


def test_modules_that_are_broken_refused_or_deleted_hold_up_nobody_else(live: Live) -> None:
    names = ("broken", "raising", "deleted", "refused", "good")
    text = "cdef class C:\n    cdef int x\ndef f(): return 1\n"
    loaded = {name: live.load(name, **{name: text}) for name in names}
    with watching(live) as session:
        live.write(broken="def f(:\n")
        wait(lambda: errors(session) == ["broken"])
        live.write(good="def f(): return 2\n")
        wait(lambda: loaded["good"].f() == 2)
        live.write(raising="1 / 0\n")
        wait(lambda: errors(session) == ["broken", "raising"])
        live.write(refused=text.replace("int", "double"))
        wait(lambda: errors(session) == ["broken", "raising", "refused"])
        (live.folder / "deleted.pyx").unlink()
        wait(lambda: errors(session) == ["broken", "deleted", "raising", "refused"])
        live.write(good="def f(): return 3\n")
        wait(lambda: loaded["good"].f() == 3)
        assert errors(session) == ["broken", "deleted", "raising", "refused"]
        assert [loaded[name].f() for name in names[:-1]] == [1, 1, 1, 1]
        live.write(broken=text.replace("1", "2"))
        wait(lambda: loaded["broken"].f() == 2)
        assert errors(session) == ["deleted", "raising", "refused"]


def test_a_body_that_lacked_what_is_saved_later_runs_again_with_it(live: Live) -> None:
    app = live.load(
        "app",
        app="from util import a\nGOT = a\n",
        util="a = 1\n",
        top="import app\nGOT = app.GOT\n",
    )
    top = live.load("top")
    with watching(live) as session:
        live.write(top="from app import MORE\nGOT = MORE\n")
        wait(lambda: errors(session) == ["top"])
        live.write(app="from util import a, b\nGOT = a + b\nMORE = GOT + 1\n")
        wait(lambda: errors(session) == ["app", "top"])
        live.write(util="a = 2\nb = 3\n")
        wait(lambda: app.GOT == 5 and top.GOT == 6)
        wait(lambda: errors(session) == [])


def test_a_header_in_an_earlier_include_folder_is_noticed(live: Live) -> None:
    for name in ("inc1", "inc2"):
        (live.folder / name).mkdir()
    (live.folder / "inc2" / "hh.h").write_text("#define HH 1\n")
    text = """
        # distutils: include_dirs = inc1 inc2
        cdef extern from "hh.h":
            int HH
        def f(): return HH
    """
    m = live.load(m=textwrap.dedent(text).lstrip())
    assert m.f() == 1
    with watching(live):
        (live.folder / "inc1" / "hh.h").write_text("#define HH 2\n")
        wait(lambda: m.f() == 2)
