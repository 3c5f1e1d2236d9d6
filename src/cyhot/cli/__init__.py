"""The ``cyhot`` command. It listens to events and calls the public functions, nothing deeper."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

import click

from .. import __version__, console
from ..building.report import BuildReport
from ..events import BuildFinished, BuildStarted, Event, Noticed
from ..hook import commands, current_session
from ..hook.session import Session
from ..settings import FIELDS
from . import layout
from .base import FAILED, Command, json_option, telling
from .cache import cache
from .doctor import doctor
from .run import run
from .watch import watch
from .worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Import .pyx files like .py files: always the right build, never a stale one."""


@cli.command("build", cls=Command)
@click.argument("targets", metavar="[PATH|MODULE]...", nargs=-1)
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Modules to build at once.")
@click.option(
    "--profile", type=click.Choice(["dev", "release", "debug", "trace"]), help="How to compile."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    help="Lay out the packages there, for use without cyhot.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show notes and what the compilers said.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors only.")
@json_option
def build(
    targets: Sequence[str],
    jobs: int | None,
    profile: str | None,
    out: str | None,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Build the images of modules that have none that matches their sources.

    A folder stands for all .pyx files below it, a package for all its modules.

    With --out, all other files of the packages (Python, declarations, data) are copied beside the
    images; not what is hidden, nor what only a build needs.

    Example: cyhot build mypkg --profile release --out dist-tree
    """
    values: dict[str, object] = {"verbose": 0}
    if profile or out:
        values["profile"] = profile or "release"
    if out:
        values["standalone"] = True
    session = current_session().updated(values)
    with telling(_Teller(quiet or as_json, verbose), progress=not (quiet or as_json)):
        found = commands.all_sources(targets, session)
        if out:
            layout.check(found, out)
        report = commands.build_sources(found, jobs, session)
    placed = layout.lay_out(report, found, out) if out and report.ok else []
    if as_json:
        click.echo(json.dumps({**report.to_dict(), "placed": placed}))
    else:
        for module in report.failed:
            console.show_diagnostics(module.diagnostics)
        if not quiet:
            click.echo(_summary(report, placed, out))
    sys.exit(0 if report.ok else FAILED)


class _Teller:
    """Tells what a build does, line by line."""

    def __init__(self, quiet: bool, verbose: bool) -> None:
        self.quiet = quiet
        self.verbose = verbose

    def __call__(self, event: Event) -> None:
        match event:
            case _ if self.quiet:
                return
            case BuildStarted(name, _, reasons):
                console.notice(f"{name}: {'; '.join(reasons)}")
            case BuildFinished():
                wanted = ("warning", "note") if self.verbose else ("warning",)
                console.show_diagnostics(d for d in event.diagnostics if d.severity in wanted)
            case Noticed() if not console.is_compiling(event):
                console.notice(event.text)


def _summary(report: BuildReport, placed: Sequence[str], out: str | None) -> str:
    parts = [
        f"{len(found)} {what}"
        for found, what in (
            (report.built, "built"),
            (report.up_to_date, "up to date"),
            (report.failed, "failed"),
        )
        if found
    ]
    text = f"cyhot: {', '.join(parts) or 'no .pyx files'} in {report.seconds:.1f} s"
    return f"{text}; {len(placed)} files in {out}" if placed else text


@cli.command("why", cls=Command)
@click.argument("target")
@click.option("--settings", "show_settings", is_flag=True, help="Show each setting's origin.")
@json_option
def why(target: str, show_settings: bool, as_json: bool) -> None:
    """Say why a module would be built now, or why it was.

    Example: cyhot why mypkg.kernels
    """
    if show_settings:
        _show_settings(target, as_json)
        return
    reasons = commands.why(target)
    if as_json:
        click.echo(json.dumps([reason.to_dict() for reason in reasons]))
    else:
        for reason in reasons:
            click.echo(str(reason))
        if any(reason.kind == "setting" for reason in reasons):
            console.notice(
                "what a program says in install() holds in that program, and not here: "
                f"cyhot.why({target!r}) in it tells how it sees this"
            )


def _show_settings(target: str, as_json: bool) -> None:
    session = current_session()
    rows = [
        {"module": source.name, **row}
        for source in commands.sources(target, session)
        for row in settings_rows(session, source.path, source.name)
    ]
    if as_json:
        click.echo(json.dumps(rows, default=str))
        return
    for row in rows:
        click.echo(f"{row['module']}: {row['setting']} = {row['value']!r}  ({row['origin']})")


def settings_rows(session: Session, path: str, name: str) -> list[dict[str, object]]:
    """Every setting of a module with its value and origin."""
    settings = session.settings(os.path.dirname(path), name)
    return [
        {"setting": field, "value": settings[field], "origin": settings.origin(field)}
        for field in FIELDS
    ]


cli.add_command(cache)
cli.add_command(doctor)
cli.add_command(run)
cli.add_command(watch)
cli.add_command(worker)


def main() -> None:
    """Run the ``cyhot`` command."""
    # As with `python -m`: modules of the working folder can be named. The folder of the script
    # `cyhot` goes: with another sys.path than the program's, each import would search once more.
    try:
        if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(sys.argv[0])):
            del sys.path[0]
        sys.path.insert(0, os.getcwd())
    except OSError:
        pass  # it was removed: then there is nothing in it
    cli(prog_name="cyhot")
