"""What a batch of changes means for a set of sources, and building that."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ..building import publish
from ..building.report import BuildReport, Built
from ..building.request import Request, Source
from ..hook.commands import build_sources, sources
from ..hook.session import Session
from ..settings import pyproject_places
from .affected import Inputs, affected

EVERYWHERE = frozenset({"pyproject.toml", "__init__.py", "__init__.pyx", "__init__.pxd"})
"""Files that say what modules are called, and how they are built."""


class Rebuilder:
    """Keeps the images of all sources of some targets as new as the sources.

    Attributes:
        failed: The modules that do not compile at present, by their source.

    Args:
        targets: As `cyhot.build` takes them.
        session: Makes a session; settings may change while it runs.
        jobs: How many modules to build at once; None for as many as there are processors.
    """

    def __init__(
        self, targets: Sequence[str], session: Callable[[], Session], jobs: int | None = None
    ) -> None:
        self.targets = tuple(targets) or (os.getcwd(),)
        self.failed: dict[str, Built] = {}
        self._new_session = session
        self._jobs = jobs
        self._inputs: dict[str, Inputs] = {}
        self._sources: dict[str, Source] = {}

    def trees(self) -> list[str]:
        """The folders among the targets, and those of packages: with all below, they matter."""
        folders = [os.path.abspath(target) for target in self.targets if os.path.isdir(target)]
        named = [target for target in self.targets if not os.path.exists(target)]
        found = (source for target in named for source in self._found_by(target))
        packages = (s for s in found if s.is_package or "." in s.name)
        return [*folders, *(os.path.dirname(source.path) for source in packages)]

    def files(self) -> list[str]:
        """All files that anything was built from, has errors in, or gets settings from.

        With some that must not appear.
        """
        folders = {os.path.dirname(path) for path in self._sources}
        places = map(pyproject_places, folders)
        settings = filter(None, (next(filter(os.path.isfile, some), "") for some in places))
        inputs = (path for one in self._inputs.values() for path in one.files | one.missing)
        errors = (found.path for one in self.failed.values() for found in one.diagnostics)
        named = (os.path.abspath(target) for target in self.targets if os.path.isfile(target))
        return [*named, *self._sources, *settings, *inputs, *errors]

    def build_all(self) -> BuildReport:
        """Build what is stale.

        Raises:
            CyhotError: For wrong settings, a store that cannot be used, a target that is not there.
        """
        self._look()
        return self._build(list(self._sources.values()))

    def build_after(self, batch: frozenset[str]) -> BuildReport:
        """Build what is stale after some files changed, and what did not compile before.

        What made a build fail is not known (a file that it did not find, maybe), so each failed
        one is tried again.

        Args:
            batch: The paths that changed.

        Raises:
            CyhotError: As `build_all`.
        """
        known = self._sources.keys()
        self._look()
        if any(os.path.basename(path) in EVERYWHERE for path in batch):
            return self._build(list(self._sources.values()))
        return self._build([
            source
            for path, source in self._sources.items()
            if path not in known or path in self.failed or self._is_affected(path, batch)
        ])  # fmt: skip

    def _is_affected(self, path: str, batch: frozenset[str]) -> bool:
        inputs = self._inputs.get(path)
        return inputs is None or affected(batch, inputs)

    def _look(self) -> None:
        found = {s.path: s for target in self.targets for s in self._found_by(target)}
        self._sources = found
        for gone in self._inputs.keys() - found.keys():
            del self._inputs[gone]
        self.failed = {path: one for path, one in self.failed.items() if path in found}

    def _found_by(self, target: str) -> list[Source]:
        return sources(target, self._new_session())

    def _build(self, wanted: list[Source]) -> BuildReport:
        session = self._new_session()
        report = build_sources(wanted, self._jobs, session)
        for one in report.modules:
            if one.outcome == "failed":
                self.failed[one.path] = one
            else:
                self.failed.pop(one.path, None)
                self._note(one.path, session.request(self._sources[one.path]))
        return report

    def _note(self, path: str, request: Request) -> None:
        for store in (request.store, publish.temporary()):
            if store is not None and (records := store.records(request.key)):
                self._inputs[path] = Inputs(records[0], os.path.realpath)
                return
