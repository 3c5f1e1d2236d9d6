"""What happens, as values: one frozen dataclass an event.

Front ends (the command line, editors, test tools) listen; nothing here prints. With
``CYHOT_EVENTS=FILE`` in the environment each event is also appended to that file as a line of
JSON, for watching what many processes do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from .errors import Diagnostic


@dataclass(frozen=True)
class BuildStarted:
    """A module is about to be compiled.

    Attributes:
        name: The module's full name.
        path: Its source.
        reasons: Why, in words.
    """

    name: str
    path: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class CommandRun:
    """A compiler's or linker's command that a build ran.

    Attributes:
        args: The command line.
        folder: Where it ran; temporary, gone with the build.
        seconds: How long it took.
    """

    args: tuple[str, ...]
    folder: str
    seconds: float


@dataclass(frozen=True)
class BuildFinished:
    """An image was built and published.

    Attributes:
        name: The module's full name.
        path: Its source.
        image: The image's path.
        seconds: How long it took.
        phases: Seconds of each phase: ``transpile``, ``compile``, ``link``, ``publish``.
        diagnostics: Warnings and notes.
        commands: What was run, as it was run: to run it again by hand, on the C file that lies
            beside the image.
    """

    name: str
    path: str
    image: str
    seconds: float
    phases: dict[str, float] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    commands: tuple[CommandRun, ...] = ()


@dataclass(frozen=True)
class BuildFailed:
    """A module did not compile.

    Attributes:
        name: The module's full name.
        path: Its source.
        diagnostics: All that is wrong.
    """

    name: str
    path: str
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class Noticed:
    """Something that a user should know, in a sentence.

    Attributes:
        text: The sentence.
        level: 1 for what is said by default, 2 for what only ``verbose`` says.
    """

    text: str
    level: int = 1


@dataclass(frozen=True)
class BatchStarted:
    """Several modules are about to be compiled, side by side.

    Attributes:
        names: Their full names.
    """

    names: tuple[str, ...]


@dataclass(frozen=True)
class BatchFinished:
    """All of a batch's modules are compiled, or failed to."""


@dataclass(frozen=True)
class WatchStarted:
    """From now on what is saved is built.

    Attributes:
        paths: What is watched, as it was named.
        modules: How many modules that is.
        up_to_date: How many of them needed no build.
        failed: How many of them do not compile.
        polling: Whether it has to be looked at again and again.
    """

    paths: tuple[str, ...]
    modules: int
    up_to_date: int
    failed: int
    polling: bool


@dataclass(frozen=True)
class Settled:
    """What was saved is dealt with.

    Attributes:
        paths: The files that changed.
        built: How many modules were compiled.
        failed: How many modules do not compile at present.
        seconds: How long it took.
    """

    paths: tuple[str, ...]
    built: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class SwapFinished:
    """New code runs in this process.

    Attributes:
        names: The modules whose code it is.
        seconds: From the save until it ran.
        text: What happened, in a line for each module.
    """

    names: tuple[str, ...]
    seconds: float
    text: str


@dataclass(frozen=True)
class SwapFailed:
    """A save could not be swapped in; the old code runs, whole.

    Attributes:
        names: The modules that stand in the way.
        restart: Those among them for which the process has to be restarted.
        text: Why, in a line for each module.
        diagnostics: What the compilers said.
    """

    names: tuple[str, ...]
    restart: tuple[str, ...]
    text: str
    diagnostics: tuple[Diagnostic, ...] = ()


Event = (
    BuildStarted | BuildFinished | BuildFailed | Noticed
    | BatchStarted | BatchFinished | WatchStarted | Settled | SwapFinished | SwapFailed
)  # fmt: skip
Listener = Callable[[Event], None]

_listeners: list[Listener] = []


def subscribe(callback: Listener) -> Callable[[], None]:
    """Have a function called with every event, in the thread in which it happens.

    Args:
        callback: Takes the event. What it raises is reported and goes no further.

    Returns:
        A function that ends the subscription.
    """
    _listeners.append(callback)

    def unsubscribe() -> None:
        if callback in _listeners:
            _listeners.remove(callback)

    return unsubscribe


def emit(event: Event) -> None:
    """Tell every listener, and the file that CYHOT_EVENTS names."""
    path = os.environ.get("CYHOT_EVENTS")
    if path:
        _append(path, event)
    deliver(event)


def deliver(event: Event) -> None:
    """Tell every listener of an event that happened in another process, which noted it."""
    for listener in tuple(_listeners):
        try:
            listener(event)
        except Exception:
            # An error in a listener must not become a failed import.
            sys.excepthook(*sys.exc_info())


def to_json(event: Event) -> str:
    """An event as a line of JSON, without its end."""
    import json

    return json.dumps({"event": type(event).__name__, "pid": os.getpid(), **asdict(event)})


def _append(path: str, event: Event) -> None:
    line = to_json(event)
    # One write to a file opened for appending: lines of several processes do not mix.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode() + b"\n")
    finally:
        os.close(descriptor)
