"""``cyhot worker``: the background compiler of this Python and Cython."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from ..worker import client
from ..worker.protocol import BrokenLine
from .base import FAILED, Command, json_option

if TYPE_CHECKING:
    from ..worker.protocol import Frame


@click.group("worker")
def worker() -> None:
    """Show or stop the background process that keeps Cython warm."""


def _ask(word: str) -> Frame | None:
    try:
        return client.ask(word)
    except BrokenLine as fault:
        raise click.ClickException(f"the worker does not answer: {fault}") from None


@worker.command("status", cls=Command)
@json_option
def status(as_json: bool) -> None:
    """Show the worker of this Python and Cython; exit status 1 if there is none.

    Example: cyhot worker status --json
    """
    answer = _ask("status")
    found = answer[1] if answer else {}
    if as_json:
        click.echo(json.dumps({"running": bool(found), **found}))
    elif not found:
        click.echo("cyhot: no worker; the next build starts one")
    else:
        click.echo(_told(found))
    sys.exit(0 if found else FAILED)


def _told(found: dict[str, object]) -> str:
    contexts = found["contexts"]
    rows = {
        "process": found["pid"],
        "Python, Cython": f"{found['python']}, {found['cython']}",
        "running for": f"{found['uptime']:.0f} s, idle for {found['idle']:.0f} s",
        "builds": f"{found['builds']} done or begun, {found['waiting']} waiting",
        "ready": "yes" if found["ready"] else "it prepares what makes builds faster",
        "contexts": "; ".join(contexts) if isinstance(contexts, list) and contexts else "none",
        "memory": f"{int(str(found['memory'])) / 2**20:.0f} MB",
        "socket": found["socket"],
    }
    return "\n".join(f"{name:15} {value}" for name, value in rows.items())


@worker.command("stop", cls=Command)
@json_option
def stop(as_json: bool) -> None:
    """End the worker, once the builds that it is at are done.

    Example: cyhot worker stop
    """
    answer = _ask("stop")
    if answer:
        _wait_until_gone()
    if as_json:
        click.echo(json.dumps({"stopped": bool(answer)}))
    else:
        click.echo("cyhot: the worker has stopped" if answer else "cyhot: there is no worker")


def _wait_until_gone() -> None:
    """Wait until no worker takes calls, so that what is started next is a new one."""
    until = time.monotonic() + client.ANSWER
    while time.monotonic() < until:
        try:
            if client.ask("status") is None:
                return
        except BrokenLine:
            return
