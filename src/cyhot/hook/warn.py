"""What the import hook has to say, through the `warnings` module. Off the warm path."""

from __future__ import annotations

import sys
import warnings

from ..building.request import Source
from ..errors import CyhotWarning


def passed_over(source: Source, others: list[str]) -> None:
    """Say what a plain import would have taken instead of the source."""
    _warn(
        f"{source.path} is imported; passed over: {', '.join(others)} "
        "(a .pyx comes first; remove or rename what is not meant, or name the module in exclude=)"
    )


def falls_back(source: Source, error: Exception) -> None:
    """Say that a ``.py`` is imported uncompiled."""
    _warn(f"{source.path} is imported uncompiled: {type(error).__name__}: {error}")


def no_meaning(names: list[str]) -> None:
    """Say that parts of ``setup_args`` have no meaning here."""
    _warn(
        f"setup_args: {', '.join(names)} has no effect on how a module is built, so it is ignored"
    )


def _warn(text: str) -> None:
    warnings.warn(text, CyhotWarning, stacklevel=_level_of_user())


def _level_of_user() -> int:
    """The stack level of the import statement or call that is warned about.

    Frames of the import system itself are not counted, as `warnings` does not count them.
    """
    level, frame = 0, sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("cyhot."):
            level += 1
        elif not module.startswith("importlib."):
            break
        frame = frame.f_back  # type: ignore[assignment]
    return level + 1
