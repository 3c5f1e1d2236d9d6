"""The modules of this process, and their sources: what is stale, built, and swapped in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..building import publish
from ..building.report import Built
from ..building.request import Request
from ..building.store import Store
from ..errors import SwapError
from ..hook.commands import build_sources
from ..hook.session import Session
from ..settings import pyproject_places
from .affected import Inputs, affected
from .rebuild import EVERYWHERE
from .report import SwapReport, Unswapped
from .swap.lineage import Loaded, loaded_modules
from .swap.transaction import Target, swap


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
    """

    targets: tuple[Target, ...]
    failed: tuple[Unswapped, ...]
    began: float

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
        self._behind: set[str] = set()
        self._passed_over: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._history: list[dict[str, str]] = []
        self._rolled_back: set[str] = set()

    def files(self) -> list[str]:
        """All files that the loaded modules were built from, err in, or get settings from."""
        found: list[str] = []
        for loaded in loaded_modules().values():
            path = loaded.loader.source.path
            found.append(path)
            inputs = self._inputs_of(loaded)
            found += inputs.files if inputs else ()
            places = pyproject_places(os.path.dirname(path))
            found += filter(None, [next(filter(os.path.isfile, places), "")])
        for failed in self._failed.values():
            found += [one.path for one in failed.diagnostics]
        return found

    def stage(self, batch: frozenset[str] | None) -> Staged:
        """Build what is stale among the loaded modules.

        A new body that raised is not tried again before something that it is made from is saved
        again.

        Args:
            batch: The paths that changed; None to look at everything.

        Returns:
            What there is to be swapped in, and what does not compile.
        """
        began = time.perf_counter()
        everything = loaded_modules()
        wanted = [one for one in everything.values() if self._is_wanted(one, batch)]
        session = self._session()
        session.recent.forget()
        report = build_sources([one.loader.source for one in wanted], None, session)
        by_path = {one.path: one for one in report.modules}
        targets, failed = [], []
        for loaded in wanted:
            built = by_path[loaded.loader.source.path]
            if built.outcome == "failed":
                failed.append(_unbuilt(built))
                continue
            self._failed.pop(loaded.name, None)
            if built.image == loaded.image:
                self._behind.discard(loaded.name)
                continue
            touched = batch is not None and loaded.name not in self._behind
            if touched:
                self._passed_over.pop(loaded.name, None)
            if self._passed_over.get(loaded.name) != built.image:
                targets.append(Target(loaded, built.image))
        self._failed |= {one.name: one for one in failed}
        if {one.loaded.name: one.image for one in targets} == self._refused:
            targets = []  # nothing was saved since that could mend it
        else:
            self._refused = {}
        return Staged(tuple(targets), tuple(failed), began)

    def commit(self, staged: Staged) -> SwapReport:
        """Swap staged images in, all or nothing.

        Args:
            staged: What `stage` gave.

        Returns:
            What happened; nothing is raised for an error in a source.
        """
        names = set(staged.names)
        if staged.failed:
            self._behind |= names
            return SwapReport(unswapped=staged.failed, seconds=_since(staged.began))
        before = {one.loaded.name: one.loaded.image for one in staged.targets}
        report = swap(staged.targets) if staged.targets else SwapReport()
        if report.ok and staged.targets:
            self._history.append(before)
            self._behind -= names
            self._rolled_back -= names
            for name in names:
                self._passed_over.pop(name, None)
        elif not report.ok:
            self._behind |= names
        if staged.targets:
            tried = {one.loaded.name: one.image for one in staged.targets}
            self._refused = {} if report.ok else tried
        return replace(report, seconds=_since(staged.began))

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
            self._passed_over |= after
            self._rolled_back |= after.keys()
        return replace(report, seconds=_since(began), words="rolled back")

    def running(self) -> list[Running]:
        """The modules whose code runs."""
        return [
            Running(
                one.name,
                one.loader.source.path,
                one.image,
                "rolled back" if one.name in self._rolled_back else "",
            )
            for one in loaded_modules().values()
        ]

    def _is_wanted(self, loaded: Loaded, batch: frozenset[str] | None) -> bool:
        if batch is None or loaded.name in self._behind or loaded.name in self._failed:
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


def _stores(request: Request) -> Iterable[Store]:
    return filter(None, (request.store, publish.temporary()))


def _unbuilt(built: Built) -> Unswapped:
    return Unswapped(
        built.name, built.path, "build", "it does not compile", tuple(built.diagnostics)
    )


def _since(began: float) -> float:
    return time.perf_counter() - began
