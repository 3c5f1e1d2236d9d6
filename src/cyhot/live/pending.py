"""What was saved and does not run yet: what waits to be swapped in, and what stands in its way.

A save that was not swapped in (it does not compile; the user wants to choose the moment) is not
forgotten: a later one that concerns the same modules takes it along, so that no module is ever
swapped in without the others that were changed with it. Saves that have nothing to do with each
other do not wait for each other. A body that raised is run again once something that it imports is
new: that may be what it lacked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Protocol

from ..hook.loader import Loader
from .report import SwapReport, Unswapped


class Staged(Protocol):
    """What `Updater.stage` gives."""

    @property
    def names(self) -> tuple[str, ...]:
        """The modules that have a new image."""

    @property
    def failed(self) -> tuple[Unswapped, ...]:
        """The modules that do not compile."""

    @property
    def began(self) -> float:
        """`time.perf_counter` at the save."""


class Runs(Protocol):
    """A module as it runs."""

    @property
    def name(self) -> str:
        """Its full name."""

    @property
    def path(self) -> str:
        """Its source."""

    @property
    def image(self) -> str:
        """The image that runs."""

    @property
    def stage(self) -> str:
        """``""``, ``"first"`` or ``"rolled back"``."""


class Updating(Protocol):
    """What is needed of `cyhot.live.update.Updater`."""

    def files(self) -> list[str]:
        """All files that the loaded modules were built from."""

    def prepare(self) -> None:
        """Do beforehand what the first swap would take long for."""

    def begin(self, batch: frozenset[str]) -> None:
        """Begin with the builds that `stage` will want if no other paths change meanwhile."""

    def stage(self, batch: frozenset[str] | None) -> Staged:
        """Build what is stale, or what some paths can have made stale."""

    def commit(self, staged: Staged, /) -> SwapReport:
        """Swap it in."""

    def rollback(self) -> SwapReport:
        """Go back one swap."""

    def reload(self, module: ModuleType, loader: Loader, image: str) -> bool:
        """Swap an image into one module; False if that is ruled out."""

    def running(self) -> Sequence[Runs]:
        """The modules that run."""


class Save:
    """One save, or several that belong together.

    Attributes:
        paths: The files that changed.
        staged: What was built of them.
        began: `time.perf_counter` at the last of them.
        refused: Why it could not be swapped in although it compiles; empty where that was not
            tried yet.
        told: Whether the user knows how it stands.
    """

    def __init__(self, paths: frozenset[str], staged: Staged, began: float | None = None) -> None:
        self.paths = paths
        self.staged = staged
        self.began = staged.began if began is None else began
        self.refused: tuple[Unswapped, ...] = ()
        self.told = False

    @property
    def errors(self) -> tuple[Unswapped, ...]:
        """What stands in its way."""
        return tuple(self.staged.failed) or self.refused

    @property
    def names(self) -> frozenset[str]:
        """The modules that it concerns."""
        return frozenset(self.staged.names) | {one.name for one in self.staged.failed}

    def concerns(self, other: Save) -> bool:
        """Whether it has to go in together with another."""
        return not (self.names.isdisjoint(other.names) and self.paths.isdisjoint(other.paths))

    def may_have_lacked(self, names: Iterable[str]) -> bool:
        """Whether a body of it raised that had imported one of some modules, or a package of it."""
        imports = {name for one in self.refused for name in one.imports}
        return any(name == one or name.startswith(f"{one}.") for name in names for one in imports)


class Pending:
    """The saves that do not run yet. Not thread-safe: see the locks of `LiveSession`.

    Attributes:
        saves: Each that has nothing to do with the others.
    """

    def __init__(self, updater: Updating) -> None:
        self.saves: tuple[Save, ...] = ()
        self._updater = updater

    def stage(self, batch: frozenset[str] | None) -> None:
        """Build what some files' change made stale, with all that waits for the same modules.

        Args:
            batch: The files; None to look at all that the loaded modules were built from.
        """
        if batch is None:
            self._keep([self._staged_all()])
            return
        saves, save = list(self.saves), self._staged(batch)
        began = save.began
        while related := [one for one in saves if one.concerns(save)]:
            saves = [one for one in saves if one not in related]
            save = self._staged(save.paths.union(*(one.paths for one in related)), began)
        # What made a build fail is not known (a file that it did not find, maybe): try it again.
        saves = [self._staged(one.paths) if one.staged.failed else one for one in saves]
        self._keep([*saves, save] if save.staged.failed else _with_another_try(saves, save))

    def _staged(self, batch: frozenset[str], began: float | None = None) -> Save:
        return Save(batch, self._updater.stage(batch), began)

    def _staged_all(self) -> Save:
        staged = self._updater.stage(None)
        names = frozenset(staged.names)
        sources = {one.path for one in self._updater.running() if one.name in names}
        return Save(frozenset(sources | {one.path for one in staged.failed}), staged)

    def _keep(self, saves: Sequence[Save]) -> None:
        """Have these instead of those before; an error that was told is not news."""
        told = [one.errors for one in self.saves if one.told and one.errors]
        for save in saves:
            save.told = save.told or save.errors in told
        self.saves = tuple(save for save in saves if save.names)

    def commit(self, save: Save) -> SwapReport:
        """Swap a save in; what could not be, stays."""
        if save.staged.failed:
            seconds = time.perf_counter() - save.began
            return SwapReport(unswapped=tuple(save.staged.failed), seconds=seconds)
        report = self._updater.commit(save.staged)
        report = replace(report, seconds=time.perf_counter() - save.began)
        if report.ok:
            self.saves = tuple(one for one in self.saves if one is not save)
        else:
            save.refused = report.unswapped
        return report

    @property
    def names(self) -> tuple[str, ...]:
        """The modules that only wait for the moment to be swapped in."""
        return tuple(sorted({n for save in self.saves if not save.errors for n in save.names}))

    @property
    def errors(self) -> tuple[Unswapped, ...]:
        """All that stands in the way."""
        return tuple(error for save in self.saves for error in save.errors)


def _with_another_try(saves: list[Save], save: Save) -> list[Save]:
    """All saves, after the new one those whose bodies may have lacked just that."""
    again: list[Save] = []
    names = save.names
    while found := [one for one in saves if one.may_have_lacked(names)]:
        saves = [one for one in saves if one not in found]
        again += found
        names = frozenset().union(*(one.names for one in found))
    for one in again:
        one.refused, one.told = (), False
    return [*saves, save, *again]
