"""A store in which everything is ready that makes builds faster (shared modules, headers).

Run as a program, with PYTHONPATH at this folder: ``-c "import ready; ready.build('foo')"``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

from cyhot.building import steps
from cyhot.building.prepare import prepare
from cyhot.building.store import Want

wants: list[Want] = []
"""What the builds of this process could have used."""
attempts: list[steps.Attempt] = []


def watch() -> None:
    """Note the builds of this process from now on."""
    run = steps.Attempt.run

    def watched(attempt: steps.Attempt, *meanwhile: Callable[[], None]) -> None:
        run(attempt, *meanwhile)
        wants.extend(attempt.wants)
        attempts.append(attempt)

    steps.Attempt.run = watched  # type: ignore[method-assign]


def build(*names: str) -> None:
    """Import modules, then prepare what their builds wanted."""
    import cyhot

    sys.path.insert(0, "")
    watch()
    cyhot.install()
    for name in names:
        importlib.import_module(name)
    for want in wants:
        print(want[0], want[2], prepare(want))
