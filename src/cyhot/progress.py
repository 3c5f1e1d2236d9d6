"""How far builds are, for whoever waits for them longer than a second.

On a terminal one line that is drawn again and again, elsewhere a line now and then, without
control characters. The line on the terminal is only safe where nobody else writes there: in a
program with threads of its own, or one that was forked, lines are written as they are elsewhere.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from .events import (
    BatchFinished,
    BatchStarted,
    BuildFailed,
    BuildFinished,
    BuildStarted,
    Event,
)

if TYPE_CHECKING:
    from rich.live import Live

SHOW_AFTER = 1.0
"""Seconds after which it is shown what is compiled."""
SAY_EVERY = 10.0
"""Seconds between two lines where nothing can be drawn."""
OWN_THREADS = "cyhot"
"""How the names of cyhot's own threads begin."""


class Tally:
    """What is compiling, and how much is done. Pure.

    Attributes:
        running: The names of what is compiling, by their sources.
        done: How many modules are compiled, or failed to.
        total: How many are known to be wanted.
        began: When the first of them began.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.running: dict[str, str] = {}
        self.done = 0
        self.total = 0
        self.began = 0.0
        self._batches = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is compiled or about to be."""
        return not self.running and not self._batches

    def take(self, event: Event, now: float) -> None:
        """Count an event in.

        Args:
            event: What happened.
            now: The time, in seconds.
        """
        if isinstance(event, (BatchStarted, BuildStarted)) and self.idle:
            self._reset()
            self.began = now
        match event:
            case BatchStarted(names):
                self._batches += 1
                self.total += len(names)
            case BatchFinished():
                self._batches -= 1
            case BuildStarted(name, path):
                self.running[path] = name
                self.total = max(self.total, self.done + len(self.running))
            case BuildFinished(path=path) | BuildFailed(path=path):
                self.running.pop(path, None)
                self.done += 1

    def text(self, now: float) -> str:
        """What a person is told.

        Args:
            now: The time, in seconds.
        """
        count = f"{self.done} of {self.total} built, " if self.total > 1 else ""
        what = f"compiling {', '.join(self.running.values())}" if self.running else "waiting"
        return f"{count}{what} ({now - self.began:.0f} s)"


class Progress:
    """A listener that shows how far the builds of this process are.

    Args:
        say: Writes a line, for where nothing can be drawn.
        alone: Whether this process is cyhot's own, so that nobody else writes to the terminal.
    """

    def __init__(self, say: Callable[[str], None], *, alone: bool = False) -> None:
        self._say = say
        self._alone = alone
        self._reset()
        if hasattr(os, "register_at_fork"):
            # A child has none of the threads that draw, and maybe their locks.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        global _drawn
        self._lock = threading.Lock()  # protects all that follows
        self._tally = Tally()
        self._timer: threading.Timer | None = None
        _drawn = None

    def __call__(self, event: Event) -> None:
        """Take an event."""
        ended = None
        with self._lock:
            self._tally.take(event, time.monotonic())
            if self._tally.idle:
                ended = self._end()
            elif self._timer is None:
                self._wait(SHOW_AFTER)
        if ended is not None:
            ended.join()  # not under the lock, which it may be waiting for

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._show)
        self._timer.name = f"{OWN_THREADS}-progress"
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> threading.Timer | None:
        """Erase what is drawn; gives the thread that is to end."""
        global _drawn
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if _drawn is not None:
            drawn, _drawn = _drawn, None
            drawn.stop()
        return timer

    def _show(self) -> None:
        """Show it for the first time, or say it once more."""
        global _drawn
        draws = can_draw(self._alone) and _rich_is_there()
        with self._lock:
            if self._tally.idle or self._timer is not threading.current_thread():
                return
            if draws:
                _drawn = _draw(self._tally)
            else:
                now = time.monotonic()
                # That a single one is compiled has been said as it began to take long.
                if self._tally.total > 1 or now - self._tally.began > SAY_EVERY:
                    self._say(self._tally.text(now))
                self._wait(SAY_EVERY)


_drawn: Live | None = None


def can_draw(alone: bool = False) -> bool:
    """Whether standard error is a terminal on which a line can be drawn again and again.

    Args:
        alone: Whether it is known that nobody else writes there.
    """
    return is_terminal(sys.stderr) and (alone or not _others())


def _others() -> list[threading.Thread]:
    """The threads of the program: they may write to the terminal at any time."""
    own = (threading.main_thread(), threading.current_thread())
    return [t for t in threading.enumerate() if t not in own and not _is_own(t)]


def _is_own(thread: threading.Thread) -> bool:
    return thread.name.startswith(OWN_THREADS) or isinstance(thread, threading.Timer)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that knows control characters."""
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):  # not quite a stream, or a closed one
        return False


def above(text: str) -> bool:
    """Write text to the terminal above the line that is drawn there.

    Args:
        text: The text, with the ends of its lines.

    Returns:
        Whether there is such a line; if not, nothing is written.
    """
    drawn = _drawn
    if drawn is None:
        return False
    from rich.text import Text

    drawn.console.print(Text.from_ansi(text), soft_wrap=True)
    return True


def _rich_is_there() -> bool:
    try:
        import rich.live  # noqa: F401
    except ImportError:
        return False
    return True


def _draw(tally: Tally) -> Live:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    class Terminal(Console):
        def show_cursor(self, show: bool = True) -> bool:
            # Never hidden: whatever kills us leaves the terminal as it was.
            return False

    def line() -> Text:
        text = f"cyhot: {tally.text(time.monotonic())}"
        return Text(text, style="cyan", no_wrap=True, overflow="ellipsis")

    live = Live(
        get_renderable=line,
        console=Terminal(file=sys.stderr, highlight=False),
        refresh_per_second=8,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    live.start()
    return live
