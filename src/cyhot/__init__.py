"""cyhot: import ``.pyx`` files like ``.py`` files, always from an image that matches its sources.

>>> import cyhot; cyhot.install()
>>> import foo          # foo.pyx: compiled if it has to be, loaded if it has not

The public names are loaded when they are first used (PEP 562), so that a program in which
nothing is stale imports nothing but the import hook.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .building.plan import Reason
    from .building.report import BuildReport
    from .errors import (
        CompileError,
        CyhotError,
        CyhotWarning,
        Diagnostic,
        SettingsError,
        StoreError,
        SwapError,
    )
    from .events import subscribe
    from .hook import Hook, install, uninstall
    from .hook.commands import build, load, why
    from .ipython import load_ipython_extension, unload_ipython_extension
    from .live.report import SwapReport
    from .live.session import on_swap, refresh, rollback, status
    from .live.status import Status

__version__ = "0.1.0"

_HOMES = {
    "hook": ("Hook", "install", "uninstall"),
    "hook.commands": ("build", "load", "why"),
    "building.plan": ("Reason",),
    "building.report": ("BuildReport",),
    "events": ("subscribe",),
    "ipython": ("load_ipython_extension", "unload_ipython_extension"),
    "live.report": ("SwapReport",),
    "live.session": ("on_swap", "refresh", "rollback", "status"),
    "live.status": ("Status",),
    "errors": (
        "CompileError",
        "CyhotError",
        "CyhotWarning",
        "Diagnostic",
        "SettingsError",
        "StoreError",
        "SwapError",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BuildReport",
    "CompileError",
    "CyhotError",
    "CyhotWarning",
    "Diagnostic",
    "Hook",
    "Reason",
    "SettingsError",
    "Status",
    "StoreError",
    "SwapError",
    "SwapReport",
    "__version__",
    "build",
    "install",
    "load",
    "load_ipython_extension",
    "on_swap",
    "refresh",
    "rollback",
    "status",
    "subscribe",
    "uninstall",
    "unload_ipython_extension",
    "why",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'cyhot' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"cyhot.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
