"""The hook in processes that a program under ``cyhot run`` starts by `multiprocessing`."""

from __future__ import annotations

from ..hook import install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reporting import Settings

STARTERS = frozenset(
    f"multiprocessing.popen_{way}" for way in ("spawn_posix", "spawn_win32", "forkserver")
)
"""Modules that are imported when the first process is started that is no fork."""


class _Installed:
    """Unpickled, it installs the hook."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __reduce__(self) -> tuple[object, tuple[Settings]]:
        return install_in_spawned, (self._settings,)


def install_in_spawned(settings: Settings) -> None:
    """Install the hook in a process that `multiprocessing` has started.

    Args:
        settings: What `cyhot.install` is given.
    """
    install(**settings)


def prepare(settings: Settings) -> None:
    """Have the hook in spawned processes before they run ``__main__`` again."""
    from multiprocessing import spawn

    prepared = spawn.get_preparation_data
    if getattr(prepared, "__module__", "") == __name__:
        return

    def get_preparation_data(name: str) -> dict[str, object]:
        return {"cyhot": _Installed(settings), **prepared(name)}

    spawn.get_preparation_data = get_preparation_data
