"""Measures a kernel anew when its source was saved and cyhot has swapped the new code in."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from . import tables
from .experiment import Sample, Setup, Times, strong
from .kernels import Kernel

if TYPE_CHECKING:
    from cyhot import SwapReport

WATCHED_MODES = ("threads, released", "prange")


class NotLive(Exception):
    """Nothing will be swapped in."""


class Swaps:
    """Notes which modules have new code; made before the first measurement, so it misses none.

    Args:
        kernels: What is measured.

    Raises:
        NotLive: cyhot is not there, or has not compiled these kernels.
    """

    def __init__(self, kernels: Iterable[Kernel]) -> None:
        try:
            import cyhot
        except ImportError as error:
            raise NotLive("--watch needs cyhot: pip install cyhot") from error
        status = cyhot.status()
        ahead = {kernel.module for kernel in kernels} - {one.name for one in status.modules}
        if ahead:
            raise NotLive(
                f"--watch needs kernels that cyhot has compiled: {', '.join(sorted(ahead))} "
                "was compiled ahead of time"
            )
        self._reports: queue.SimpleQueue[SwapReport] = queue.SimpleQueue()
        self._numbers: dict[str, int] = {}
        cyhot.on_swap(self._reports.put)

    def number(self, module: str) -> int:
        """Returns how often a module has been swapped."""
        while not self._reports.empty():
            self._note(self._reports.get())
        return self._numbers.get(module, 0)

    def wait(self) -> None:
        """Waits for the next swap."""
        self._note(self._reports.get())

    def _note(self, report: SwapReport) -> None:
        for one in report.swapped:
            self._numbers[one.name] = self._numbers.get(one.name, 0) + 1


def setups(counts: Sequence[int]) -> list[Setup]:
    """Returns what is measured again after each swap."""
    return strong(counts, WATCHED_MODES)


def steady(
    kernel: Kernel, swaps: Swaps, measure: Callable[[], Iterator[Sample]]
) -> Iterator[list[Sample]]:
    """Measures until no swap came in between: what is of two kernels in part is of none.

    Yields:
        An empty list for each measurement that was dropped; at last, all samples.
    """
    while True:
        before = swaps.number(kernel.module)
        samples = list(measure())
        if swaps.number(kernel.module) == before:
            yield samples
            return
        yield []


def compared(
    kernel: Kernel, before: Times, after: Times, counts: Sequence[int], cores: int
) -> Table:
    """Returns a table of one kernel before and after its source was saved."""
    table = tables.new(
        f"{kernel.name}: saved, swapped in, measured anew",
        "workers", "before", "after", "before/after",
    )  # fmt: skip
    for mode in WATCHED_MODES:
        for count in counts:
            (setup,) = strong([count], [mode])
            if setup in before and setup in after:
                old, new = before.median(setup), after.median(setup)
                table.add_row(
                    tables.workers(mode, count, cores),
                    tables.seconds(old), tables.seconds(new), f"{old / new:.2f}",
                )  # fmt: skip
    return table
