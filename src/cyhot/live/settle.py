"""When a burst of changes to files is over. Pure: changes and the time in, batches out.

Editors save in many ways (truncate and write, write aside and rename over, move the old file
away first), and tools change hundreds of files at once. What is built in the middle of that is
wasted at best, so a batch is handed out only when nothing has come for a while. A file that was
there and is gone, or has nothing in it any more, may be halfway through a save: its batch waits
longer for it to come back.
"""

from __future__ import annotations

SETTLE = 0.05
"""Seconds without a change after which a batch is settled."""
GRACE = 0.25
"""Seconds that a file which vanished has to come back."""
EMPTY = 1.0
"""Seconds that a file which was truncated has to be written: over a slow connection, say."""
EARLY = 0.005
"""Seconds without a change after which a batch is probably whole."""


class Settler:
    """Collects changes until they are settled.

    Args:
        settle: Seconds without a change after which a batch is settled.
        grace: Seconds that a file which vanished has to come back.
    """

    def __init__(self, settle: float = SETTLE, grace: float = GRACE) -> None:
        self.settle = settle
        self.grace = grace
        self._there_before: dict[str, bool] = {}
        self._away: dict[str, float] = {}  # until when its batch waits for a file
        self._last = 0.0
        self._foretold = True

    def saved(self, path: str, now: float, *, new: bool = False) -> None:
        """Note that a file was written, or came into being.

        Args:
            path: The file.
            now: The time, in seconds of a clock that never goes back.
            new: Whether it was not there just before, as far as one can tell.
        """
        self._note(path, now, there_before=not new)
        self._away.pop(path, None)

    def emptied(self, path: str, now: float) -> None:
        """Note that a file that one expects something in was written, and is empty."""
        self._note(path, now, there_before=True)
        self._away[path] = now + EMPTY

    def vanished(self, path: str, now: float) -> None:
        """Note that a file was removed, or renamed to another name."""
        self._note(path, now, there_before=True)
        if self._there_before[path]:  # what came and went in one batch is nobody's to wait for
            self._away[path] = now + self.grace

    def _note(self, path: str, now: float, *, there_before: bool) -> None:
        self._there_before.setdefault(path, there_before)
        self._last = max(self._last, now)
        self._foretold = False

    def due(self) -> float | None:
        """When what was noted will be settled if nothing else comes; None if nothing was noted."""
        if not self._there_before:
            return None
        return max(self._last + self.settle, *self._away.values(), 0.0)

    def due_early(self) -> float | None:
        """When `early` will have something to tell if nothing else comes; None for never."""
        if self._foretold or self._away or self.settle <= EARLY:
            return None
        return self._last + EARLY

    def early(self, now: float) -> frozenset[str]:
        """What the batch will probably be, once for each state of it.

        Args:
            now: The time.

        Returns:
            All paths that something was noted of, if nothing has come for a moment and no file is
            missing; else none.
        """
        due = self.due_early()
        if due is None or now < due:
            return frozenset()
        self._foretold = True
        return frozenset(self._there_before)

    def batch(self, now: float) -> frozenset[str]:
        """Take the settled batch.

        Args:
            now: The time.

        Returns:
            All paths that something was noted of; none if that is not settled yet.
        """
        due = self.due()
        if due is None or now < due:
            return frozenset()
        paths = frozenset(self._there_before)
        self._there_before.clear()
        self._away.clear()
        self._foretold = True
        return paths
