"""``cyhot watch``: what is saved is built, before anybody asks for it."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from .. import console
from ..building.report import BuildReport
from ..errors import CyhotError, Diagnostic, worth_telling
from ..events import (
    BuildFinished,
    BuildStarted,
    Event,
    Noticed,
    Settled,
    WatchStarted,
    emit,
    to_json,
)
from ..hook import current_session
from .base import Command, json_option, telling

if TYPE_CHECKING:
    from ..live.rebuild import Rebuilder
    from ..live.watch import Watcher


@click.command("watch", cls=Command)
@click.argument("targets", metavar="[PATH]...", nargs=-1)
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Modules to build at once.")
@click.option(
    "--profile", type=click.Choice(["dev", "release", "debug", "trace"]), help="How to compile."
)
@click.option("-v", "--verbose", is_flag=True, help="Show notes and what the compilers said.")
@json_option
def watch(
    targets: Sequence[str], jobs: int | None, profile: str | None, verbose: bool, as_json: bool
) -> None:
    """Build what is saved, until Ctrl-C.

    By the time your program is run, the image is there; a program that is started meanwhile waits
    for the build in flight. Give it the profile that the program has: each has its own images.

    Example: cyhot watch src
    """
    from ..live.rebuild import Rebuilder

    values: dict[str, object] = {"verbose": 0, **({"profile": profile} if profile else {})}
    rebuilder = Rebuilder(targets, lambda: current_session().updated(values), jobs)
    teller = _JsonTeller() if as_json else _Teller(verbose)
    with _until_interrupted(), telling(teller, progress=not as_json):
        _watch(rebuilder, teller.told)


@contextlib.contextmanager
def _until_interrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM be the good end that they are here."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # one is enough


def _watch(rebuilder: Rebuilder, told: Callable[[Rebuilder, bool], None]) -> None:
    from ..live.watch import Watcher

    watcher = Watcher()
    # Before the first build: what is saved during it must not be missed.
    watcher.watch(rebuilder.trees(), ())
    report = rebuilder.build_all()
    watcher.watch(rebuilder.trees(), rebuilder.files())
    emit(WatchStarted(
        rebuilder.targets, len(report.modules), len(report.up_to_date), len(report.failed),
        watcher.polling,
    ))  # fmt: skip
    told(rebuilder, bool(report.built))
    while True:
        batch = watcher.next()
        if not batch:
            return
        began = time.perf_counter()
        report = _build_after(rebuilder, watcher, batch)
        seconds = time.perf_counter() - began
        emit(Settled(tuple(sorted(batch)), len(report.built), len(rebuilder.failed), seconds))
        told(rebuilder, bool(report.built))


def _build_after(rebuilder: Rebuilder, watcher: Watcher, batch: frozenset[str]) -> BuildReport:
    try:
        report = rebuilder.build_after(batch)
        watcher.watch(rebuilder.trees(), rebuilder.files())
        return report
    except CyhotError as error:
        # Half-written settings, a full disk: the next save may mend it.
        console.show_error(error)
        return BuildReport((), 0.0)


class _Teller:
    """Tells what is built, and what does not compile as long as it does not."""

    def __init__(self, verbose: bool) -> None:
        self._wanted = ("warning", "note") if verbose else ("warning",)
        self._reasons: dict[str, tuple[str, ...]] = {}
        self._shown: list[tuple[Diagnostic, ...]] = []

    def __call__(self, event: Event) -> None:
        match event:
            case BuildStarted(name, _, reasons):
                self._reasons[name] = reasons
            case BuildFinished():
                self._show_built(event)
            case WatchStarted():
                _echo(_started(event))
            case Noticed() if not console.is_compiling(event):
                console.notice(event.text)

    def told(self, rebuilder: Rebuilder, built: bool) -> None:
        """Show the errors that there are, unless they are the last that was shown."""
        failed = list(rebuilder.failed.values())
        found = [tuple(worth_telling(one.diagnostics)) for one in failed]
        if found == self._shown and not built:
            return
        self._shown = found
        for diagnostics in found:
            console.show_diagnostics(diagnostics, file=sys.stdout)
        if failed or not built:
            _echo(f"cyhot: {_modules(len(failed))} to be mended")

    def _show_built(self, event: BuildFinished) -> None:
        found = [one for one in event.diagnostics if one.severity in self._wanted]
        reasons = "; ".join(self._reasons.pop(event.name, ()))
        _echo(f"cyhot: {event.name} built in {event.seconds:.2f} s ({reasons})")
        if found:
            console.show_diagnostics(found, file=sys.stdout)


class _JsonTeller:
    """Prints each event as a line of JSON."""

    def __call__(self, event: Event) -> None:
        click.echo(to_json(event))  # one write: lines of threads that build do not mix

    def told(self, rebuilder: Rebuilder, built: bool) -> None:
        """All of it was an event already."""


def _echo(text: str) -> None:
    console.tell(text, file=sys.stdout)


def _started(event: WatchStarted) -> str:
    left = f", {event.failed} to be mended" if event.failed else ""
    return f"cyhot: watching {', '.join(event.paths)}: {_modules(event.modules)}{left}"


def _modules(many: int) -> str:
    return f"{many or 'no'} module{'s' * (many != 1)}"
