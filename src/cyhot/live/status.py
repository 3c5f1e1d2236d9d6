"""How things stand with swapping in what is saved, as a value that words itself."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from .report import SwapReport, Unswapped

_MODES = {
    "auto": "swapped in at once",
    "manual": "swapped in by cyhot.refresh()",
    "cell": "swapped in before the next cell",
}
_STAGES = {"": "", "first": " (unoptimized; the optimized code follows)"}


@dataclass(frozen=True)
class Module:
    """A module that runs.

    Attributes:
        name: Its full name.
        path: Its source.
        image: The image that runs.
        stage: ``""``, ``"first"`` (an optimized image is to follow) or ``"rolled back"``.
    """

    name: str
    path: str
    image: str
    stage: str = ""


@dataclass(frozen=True)
class Status:
    """What `cyhot.status` gives.

    Attributes:
        watching: Whether what is saved is noticed.
        reason: Why not, if not.
        since: Since when, as `time.time` gives it; None if not.
        folders: The folders that are watched.
        polling: Whether they have to be looked at again and again.
        swap: When new code goes in: ``"auto"``, ``"manual"`` or ``"cell"``.
        modules: The modules that run.
        pending: The modules whose new code waits to be swapped in.
        errors: What stands in the way of new code, until it is mended.
        trouble: What is wrong with more than a module (settings, a full disk), and is tried again.
        last: What the last swap, or attempt at one, did.
    """

    watching: bool
    reason: str
    since: float | None
    folders: tuple[str, ...]
    polling: bool
    swap: str
    modules: tuple[Module, ...]
    pending: tuple[str, ...]
    errors: tuple[Unswapped, ...]
    trouble: str
    last: SwapReport | None

    def __str__(self) -> str:
        """For people."""
        lines = [self._watched(), *(f"  {_running(one)}" for one in self.modules)]
        if self.pending:
            lines.append(f"pending: {', '.join(self.pending)}")
        if self.trouble:
            lines.append(f"tried again: {self.trouble}")
        if self.errors:
            lines.append(str(SwapReport(unswapped=self.errors)))
        elif self.last is not None and str(self.last):
            lines.append(f"last: {self.last}")
        return "\n".join(lines)

    def _watched(self) -> str:
        if not self.watching:
            return f"cyhot: not watching: {self.reason}"
        many = len(self.folders)
        folders = f"{many or 'no'} folder{'s' * (many != 1)}"
        since = time.strftime("%H:%M:%S", time.localtime(self.since))
        how = ", polling" if self.polling else ""
        return f"cyhot: watching {folders}{how} since {since}; what is saved is {_MODES[self.swap]}"

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def _running(one: Module) -> str:
    return f"{one.name} ({one.path}){_STAGES.get(one.stage, f' ({one.stage})')}"
