"""IPython and Jupyter: what was saved is swapped in before the next cell runs.

``%load_ext cyhot`` installs the import hook and adds a magic command; a plain ``cyhot.install()``
in a notebook swaps before each cell as well. IPython itself is never imported from here.
"""

from __future__ import annotations

from typing import Any

from . import console, hook
from .errors import CyhotError
from .hook.commands import why
from .live import session

_USAGE = "usage: %cyhot status | why [NAME] | refresh | rollback"

_installed: hook.Hook | None = None
"""The hook that the extension brought; None if it was there before."""


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext cyhot`` calls."""
    global _installed
    if not hook.is_installed():
        _installed = hook.install(swap="cell")
    shell.register_magic_function(magic, "line", "cyhot")
    follow(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What ``%unload_ext cyhot`` calls; a hook that was there before stays."""
    global _installed
    shell.magics_manager.magics["line"].pop("cyhot", None)
    if _before_cell in shell.events.callbacks["pre_run_cell"]:
        shell.events.unregister("pre_run_cell", _before_cell)
    if _installed is not None:
        _installed.uninstall()
        _installed = None


def follow(shell: Any) -> None:
    """Have what is pending swapped in before each of a shell's cells.

    Args:
        shell: IPython's shell; doing it again changes nothing.
    """
    if _before_cell not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _before_cell)


def _before_cell(info: object = None) -> None:
    if not hook.is_installed():
        return
    try:
        session.live_session().before_cell()
    except CyhotError as error:
        console.show_error(error)


def magic(line: str) -> None:
    """Say or do something about swapping: ``%cyhot status | why [NAME] | refresh | rollback``."""
    words = line.split()
    try:
        match words or ["status"]:
            case ["status"]:
                print(session.status())
            case ["why", *names]:
                print("\n".join(_reasons(names)))
            case ["refresh"]:
                if not (report := session.refresh()).swapped and report.ok:
                    print("cyhot: all code is up to date")
            case ["rollback"]:
                session.rollback()
            case _:
                print(_USAGE)
    except (CyhotError, OSError) as error:
        console.show_error(error)


def _reasons(names: list[str]) -> list[str]:
    wanted = names or [one.name for one in session.status().modules]
    return [str(reason) for name in wanted for reason in why(name)]
