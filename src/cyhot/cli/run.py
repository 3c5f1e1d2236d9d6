"""``cyhot run``: a program under the hook, that has what is saved."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .. import console
from ..errors import CyhotError
from ..events import Event, Noticed
from ..hook import current_session
from ..hook.session import working_folder
from .base import Command, telling

if TYPE_CHECKING:
    from ..live.supervise import Restart


@click.command(
    "run",
    cls=Command,
    options_metavar="[OPTIONS]",
    # What follows the script is the script's.
    context_settings={"allow_interspersed_args": False},
)
@click.argument("target", metavar="SCRIPT|-m MODULE")
@click.argument("args", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("-m", "is_module", is_flag=True, help="Run a module, as python -m does.")
@click.option(
    "--restart",
    type=click.Choice(["py", "never", "all"]),
    default="py",
    show_default=True,
    help="Start again when .py files are saved; never; or for .pyx files, too, instead of "
    "swapping them in.",
)
@click.option(
    "--profile", type=click.Choice(["dev", "release", "debug", "trace"]), help="How to compile."
)
def run(
    target: str, args: Sequence[str], is_module: bool, restart: Restart, profile: str | None
) -> None:
    """Run a program that has what is saved: .pyx files are swapped in, .py files restart it.

    A program that fails is started again after the next save; with --restart never its status is
    passed on.

    Example: cyhot run server.py --port 8000
    """
    # What the program may import is the program's: here a module of the working folder would take
    # the place of the standard library's of that name.
    sys.path[:] = [entry for entry in sys.path if entry not in ("", working_folder())]
    from ..live.child import Program
    from ..live.supervise import Supervisor
    from ..live.terminal import end_like

    current_session()  # what is wrong in CYHOT_* is said before anything runs
    if not is_module and not os.path.exists(target):
        raise CyhotError(f"{target}: there is no such file")
    if not is_module and not (os.path.isfile(target) or os.path.isdir(target)):
        # It would run once, and each start after a save would wait for what never comes.
        raise CyhotError(
            f"{target}: is no file that can be read again after a save (a pipe or a device); "
            "python itself runs it, with cyhot.install() as its first line"
        )
    settings: dict[str, object] = {"profile": profile} if profile else {}
    if restart == "all":
        settings["watch"] = False
    with telling(_tell, progress=False):
        status = Supervisor(Program(target, is_module, tuple(args), settings), restart).run()
    end_like(status)


def _tell(event: Event) -> None:
    if isinstance(event, Noticed):
        console.notice(event.text)
