"""An updater whose modules are text files: what runs is the text that was swapped in last.

``bad`` does not compile, ``raises`` has a body that raises, a text that starts with ``slow`` waits
in its build until somebody says so. In place of `cyhot.live.update` in ``sys.modules``, it serves
programs in processes of their own as well.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cyhot.building.commands import in_threads, run
from cyhot.errors import Diagnostic, SwapError
from cyhot.live.report import Swapped, SwapReport, Unswapped


@dataclass(frozen=True)
class Running:
    name: str
    path: str
    image: str
    stage: str = ""


@dataclass(frozen=True)
class Staged:
    names: tuple[str, ...]
    failed: tuple[Unswapped, ...]
    began: float
    texts: dict[str, str]

    def __bool__(self) -> bool:
        return bool(self.names or self.failed)


class Updater:
    """See `cyhot.live.update.Updater`.

    Attributes:
        paths: The sources, by the modules' names.
        runs: The texts that run.
        staged: What `stage` was called with.
        begun: What `begin` was called with.
        during: Called while a module's new body runs.
    """

    last: Updater

    def __init__(self, session: Callable[[], object] | None = None) -> None:
        Updater.last = self
        self.paths: dict[str, str] = {}
        self.runs: dict[str, str] = {}
        self.stages: dict[str, str] = {}
        self.staged: list[frozenset[str] | None] = []
        self.begun: list[frozenset[str]] = []
        self.before: list[dict[str, str]] = []
        self.during: Callable[[], object] = dict
        self.trouble: Exception | None = None
        self.trouble_ahead: Exception | None = None
        self.building, self.go_on = threading.Event(), threading.Event()

    def load(self, path: Path) -> None:
        """Import a module."""
        self.paths[path.stem] = str(path)
        self.runs[path.stem] = path.read_text()

    def files(self) -> list[str]:
        return list(self.paths.values())

    def prepare(self) -> None:
        """There is nothing that takes long."""

    def begin(self, batch: frozenset[str]) -> None:
        self.begun.append(batch)
        if self.trouble_ahead is not None:
            raise self.trouble_ahead

    def stage(self, batch: frozenset[str] | None) -> Staged:
        self.staged.append(batch)
        if self.trouble is not None:
            raise self.trouble
        texts, failed = {}, []
        for name, path in self.paths.items():
            text = Path(path).read_text() if os.path.exists(path) else "bad"
            optimized = self.stages.get(name) == "first"
            concerned = batch is None or not batch.isdisjoint((path, os.path.dirname(path)))
            if concerned and (text != self.runs[name] or optimized):
                if text.startswith("slow"):
                    self.building.set()
                    self.go_on.wait()
                if text == "sleeps":
                    self.building.set()
                    in_threads(lambda args: run(args, "/"), [["sleep", "1000"]], 1)
                if text == "bad":
                    found = Diagnostic(path, 3, 5, "error", "no such thing", "cython")
                    failed.append(Unswapped(name, path, "build", "", (found,)))
                else:
                    texts[name] = text
        return Staged(tuple(texts), tuple(failed), time.perf_counter(), texts)

    def commit(self, staged: Staged) -> SwapReport:
        assert not staged.failed
        self.during()
        for name, text in staged.texts.items():
            if text == "raises":
                return SwapReport(unswapped=(Unswapped(name, self.paths[name], "body", "Oops"),))
        self.before.append(dict(self.runs))
        self.runs.update(staged.texts)
        for name, text in staged.texts.items():
            first = text.startswith("fast") and self.stages.get(name) != "first"
            self.stages[name] = "first" if first else ""
        return SwapReport(
            tuple(Swapped(n, self.paths[n], "image", stage=self.stages[n]) for n in staged.names),
            seconds=time.perf_counter() - staged.began,
        )

    def rollback(self) -> SwapReport:
        if not self.before:
            raise SwapError("there was no swap")
        runs = self.before.pop()
        changed = [name for name, text in self.runs.items() if runs.get(name) != text]
        self.runs.update(runs)
        rolled = tuple(Swapped(name, self.paths[name], "image") for name in changed)
        return SwapReport(rolled, words="rolled back")

    def running(self) -> list[Running]:
        return [Running(n, p, "image", self.stages.get(n, "")) for n, p in self.paths.items()]
