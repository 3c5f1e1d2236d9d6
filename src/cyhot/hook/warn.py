"""What the import hook has to say, through the `warnings` module. Off the warm path."""

from __future__ import annotations

import warnings

from ..building.deliver import placed_by_us
from ..building.request import Request, Source
from ..errors import CyhotWarning


def passed_over(request: Request, others: list[str]) -> None:
    """Say what a plain import would have taken instead of the source."""
    foreign = [path for path in others if placed_by_us(request.store, path) is None]
    if foreign:
        _warn(
            f"{request.source.path} is imported; passed over: {', '.join(foreign)} "
            "(a .pyx comes first; remove or rename what is not meant, or name the module in "
            "exclude=)"
        )


def falls_back(source: Source, error: Exception) -> None:
    """Say that a ``.py`` is imported uncompiled."""
    _warn(f"{source.path} is imported uncompiled: {type(error).__name__}: {error}")


def no_live_swapping(names: list[str]) -> None:
    """Say that keywords of live swapping are accepted and have no effect."""
    _warn(
        f"install({', '.join(f'{name}=' for name in names)}): this version of cyhot does not swap "
        "code in a running program; importlib.reload(module) and the next run see an edit"
    )


def no_meaning(names: list[str]) -> None:
    """Say that parts of ``setup_args`` have no meaning here."""
    _warn(
        f"setup_args: {', '.join(names)} has no effect on how a module is built, so it is ignored"
    )


def _warn(text: str) -> None:
    warnings.warn(text, CyhotWarning, stacklevel=4)
