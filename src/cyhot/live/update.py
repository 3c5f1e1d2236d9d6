"""The modules of this process, and their sources: what is stale, built, and swapped in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import ModuleType

from ..building import publish
from ..building.report import Built
from ..building.request import Request
from ..building.store import Store
from ..errors import SwapError
from ..hook.commands import build_sources
from ..hook.loader import Loader
from ..hook.session import Session
from ..settings import pyproject_places
from ..worker.client import begin, forget
from .affected import Inputs, affected
from .rebuild import EVERYWHERE
from .report import SwapReport, Unswapped
from .swap.lineage import Loaded, Unknown, loaded_modules
from .swap.patcher import patcher, refusal
from .swap.transaction import Target, swap, swap_or_raise


@dataclass(frozen=True)
class Running:
    """A module whose code runs in this process.

    Attributes:
        name: Its full name.
        path: Its source.
        image: The image that runs.
        stage: ``""``, ``"first"`` (unoptimized; the optimized code follows) or ``"rolled back"``.
    """

    name: str
    path: str
    image: str
    stage: str = ""


@dataclass(frozen=True)
class Staged:
    """What was built, and waits to be swapped in.

    Attributes:
        targets: The modules that have a new image.
        failed: The modules that do not compile.
        began: `time.perf_counter` when that was asked for.
        quick: Those of the modules whose image is not optimized; the optimized one is to follow.
    """

    targets: tuple[Target, ...]
    failed: tuple[Unswapped, ...]
    began: float
    quick: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The modules that have a new image."""
        return tuple(target.loaded.name for target in self.targets)

    def __bool__(self) -> bool:
        return bool(self.targets or self.failed)


class Updater:
    """Keeps the modules that this process has loaded as new as their sources.

    Args:
        session: Gives the session whose settings hold; it may be another each time.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session
        self._inputs: dict[str, tuple[str, Inputs]] = {}
        self._failed: dict[str, Unswapped] = {}
        self._history: list[dict[str, str]] = []
        self._gone_back_on: dict[str, set[str]] = {}
        self._quick: dict[str, str] = {}
        self._begun: tuple[str, ...] = ()
        self._began: float | None = None

    def files(self) -> list[str]:
        """All files that the loaded modules were built from, err in, or get settings from.

        With some that must not appear.
        """
        found: list[str] = []
        for loaded in loaded_modules().values():
            path = loaded.loader.source.path
            found.append(path)
            inputs = self._inputs_of(loaded)
            found += (inputs.files | inputs.missing) if inputs else ()
            places = pyproject_places(os.path.dirname(path))
            found += filter(None, [next(filter(os.path.isfile, places), "")])
        for failed in self._failed.values():
            found += [one.path for one in failed.diagnostics]
        return list(dict.fromkeys(found))

    def prepare(self) -> None:
        """Have what the first swap needs compiled, if anything can be swapped at all."""
        if loaded_modules() and not refusal():
            patcher()

    def begin(self, batch: frozenset[str]) -> None:
        """Have the worker begin with what a batch made stale, before the batch is settled.

        What was begun for an earlier state of the batch ends.

        Args:
            batch: The paths that changed so far.
        """
        self._forget_begun()
        self._began = time.perf_counter()
        for session, some in self._builds(self._wanted(batch), self._session()):
            requests = [session.request(one.loader.source) for one in some]
            begun = [one.key for one in requests if not one.is_served(one.find()) and begin(one)]
            self._begun += tuple(begun)

    def _forget_begun(self) -> None:
        begun, self._begun, self._began = self._begun, (), None
        forget(begun)

    def stage(self, batch: frozenset[str] | None) -> Staged:
        """Build what is stale among the loaded modules.

        An image that was gone back on is left alone until its source changes.

        Args:
            batch: The paths that changed; None to look at everything.

        Returns:
            What there is to be swapped in, and what does not compile.
        """
        began = self._began or time.perf_counter()
        wanted = self._wanted(batch)
        builds = self._builds(wanted, self._session())
        modules: dict[str, Built] = {}
        try:
            for session, some in builds:
                modules |= _built(some, session)
        finally:
            self._forget_begun()  # of what is begun all is built, but for what changed back
        quick = frozenset(one.name for _, some in builds[1:] for one in some)
        targets, failed = [], []
        for loaded in wanted:
            built = modules[loaded.loader.source.path]
            if built.outcome == "failed":
                failed.append(_unbuilt(built))
                continue
            self._failed.pop(loaded.name, None)
            known = {loaded.image, *self._gone_back_on.get(loaded.name, ())}
            if built.image not in known:
                targets.append(Target(loaded, built.image))
        self._failed |= {one.name: one for one in failed}
        return Staged(tuple(targets), tuple(failed), began, quick)

    def _wanted(self, batch: frozenset[str] | None) -> list[Loaded]:
        return [one for one in loaded_modules().values() if self._is_wanted(one, batch)]

    def _builds(self, wanted: list[Loaded], session: Session) -> list[tuple[Session, list[Loaded]]]:
        """What is to be built with what settings: second, what is not to be optimized yet."""
        session.recent.forget()
        quick = self._wanted_quickly(wanted, session)
        fully = [one for one in wanted if one.name not in quick]
        first = [one for one in wanted if one.name in quick]
        return [(session, fully), *([(_unoptimized(session), first)] if first else [])]

    def _wanted_quickly(self, wanted: list[Loaded], session: Session) -> set[str]:
        """The modules to be built without optimization first: their source is new."""
        if session.process_settings()["stages"] != "fast-first":
            return set()
        quickly = _unoptimized(session)
        found = set()
        for one in wanted:
            request = session.request(one.loader.source)
            if request.is_served(request.find()):
                continue
            quick = quickly.request(one.loader.source).find()
            if not quick.image or quick.image != self._quick.get(one.name):
                found.add(one.name)
        return found

    def commit(self, staged: Staged) -> SwapReport:
        """Swap staged images in, all or nothing: nothing, if a module does not compile.

        Args:
            staged: What `stage` gave.

        Returns:
            What happened; nothing is raised for an error in a source.
        """
        if staged.failed:
            return SwapReport(unswapped=staged.failed, seconds=_since(staged.began))
        before = {one.loaded.name: one.loaded.image for one in staged.targets}
        targets = [one for one in staged.targets if one.image != one.loaded.image]
        report = swap(targets) if targets else SwapReport()
        if not report.swapped:
            return replace(report, seconds=_since(staged.began))
        # An optimized image is no new code: to go back on it is to go back on what it follows.
        news = {name: image for name, image in before.items() if image != self._quick.get(name)}
        if news:
            self._history.append(news)
        for target in targets:
            name = target.loaded.name
            self._gone_back_on.pop(name, None)
            if name in staged.quick:
                self._quick[name] = target.image
        swapped = tuple(
            replace(one, stage="first" if one.name in staged.quick else "")
            for one in report.swapped
        )
        return replace(report, swapped=swapped, seconds=_since(staged.began))

    def reload(self, module: ModuleType, loader: Loader, image: str) -> bool:
        """Swap one module's image in, for `importlib.reload`.

        Args:
            module: The module.
            loader: Its loader.
            image: The image that matches its source now.

        Returns:
            Whether this interpreter, and how the module was built, allow that.

        Raises:
            SwapError: If the new code cannot take the place of the old.
            Exception: Whatever the new body raises.
        """
        loaded = Loaded(loader.source.name, module, loader)
        before = loaded.image
        try:
            swap_or_raise(Target(loaded, image))
        except Unknown:
            return False
        if before != image:
            self._history.append({loaded.name: before})
        self._gone_back_on.pop(loaded.name, None)
        return True

    def rollback(self) -> SwapReport:
        """Go back one swap: the images that ran before it run again, by a swap of their own.

        Raises:
            SwapError: If there is none, or its images are gone.
        """
        if not self._history:
            raise SwapError("there is no swap to go back on")
        began = time.perf_counter()
        before, loaded = self._history[-1], loaded_modules()
        targets = [Target(loaded[name], image) for name, image in before.items() if name in loaded]
        gone = [target.image for target in targets if not os.path.exists(target.image)]
        if gone:
            raise SwapError(f"{gone[0]} is no more in the store: it was evicted")
        after = {target.loaded.name: target.loaded.image for target in targets}
        report = swap(targets)
        if report.ok:
            self._history.pop()
            for name, image in after.items():
                skipped = self._gone_back_on.setdefault(name, set())
                skipped |= {image, self._quick.get(name, image)}
        return replace(report, seconds=_since(began), words="rolled back")

    def running(self) -> list[Running]:
        """The modules whose code runs."""
        return [
            Running(one.name, one.loader.source.path, one.image, self._stage_of(one))
            for one in loaded_modules().values()
        ]

    def _stage_of(self, one: Loaded) -> str:
        if one.name in self._gone_back_on:
            return "rolled back"
        return "first" if one.image == self._quick.get(one.name) else ""

    def _is_wanted(self, loaded: Loaded, batch: frozenset[str] | None) -> bool:
        if batch is None:
            return True
        if any(os.path.basename(path) in EVERYWHERE for path in batch):
            return True
        inputs = self._inputs_of(loaded)
        return inputs is None or affected(batch, inputs)

    def _inputs_of(self, loaded: Loaded) -> Inputs | None:
        """What the module's newest image was made from."""
        request = self._session().request(loaded.loader.source)
        for store in _stores(request):
            records = store.records(request.key)
            if records:
                key = f"{request.key}:{records[0].digest}"
                known = self._inputs.get(loaded.name)
                if known is None or known[0] != key:
                    known = self._inputs[loaded.name] = (key, Inputs(records[0], os.path.realpath))
                return known[1]
        return None


def _unoptimized(session: Session) -> Session:
    return session.updated({"optimize": False})


def _stores(request: Request) -> Iterable[Store]:
    return filter(None, (request.store, publish.temporary()))


def _built(some: list[Loaded], session: Session) -> dict[str, Built]:
    """Build modules that are loaded; gives what came of it by their sources."""
    report = build_sources([one.loader.source for one in some], None, session, loaded=True)
    return {one.path: one for one in report.modules}


def _unbuilt(built: Built) -> Unswapped:
    return Unswapped(
        built.name, built.path, "build", "it does not compile", tuple(built.diagnostics)
    )


def _since(began: float) -> float:
    return time.perf_counter() - began
