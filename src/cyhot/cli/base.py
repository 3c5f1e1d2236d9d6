"""What the commands share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from .. import console
from ..errors import CyhotError
from ..events import Listener, subscribe

FAILED, USAGE = 1, 2


class Command(click.Command):
    """A command whose errors are shown as cyhot shows errors."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; an error of cyhot's is shown without a traceback, and the status is 2."""
        try:
            return super().invoke(ctx)
        except CyhotError as error:
            console.show_error(error)
            ctx.exit(USAGE)
        except FileNotFoundError:
            if _is_somewhere():
                raise
            console.show_error(CyhotError("the working folder was removed; go to another one"))
            ctx.exit(USAGE)


def _is_somewhere() -> bool:
    """Whether there is a working folder."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def telling(teller: Listener, *, progress: bool) -> Iterator[None]:
    """Have what builds do told.

    Args:
        teller: Tells it, line by line.
        progress: Whether to show how far they are, too.
    """
    listeners: list[Listener] = [teller, *([console.show_progress(alone=True)] if progress else [])]
    ends = [subscribe(listener) for listener in listeners]
    try:
        yield
    finally:
        for end in ends:
            end()
