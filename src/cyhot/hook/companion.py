"""Modules that images import when they initialise: Cython's shared helpers.

On the warm path.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from importlib.machinery import ExtensionFileLoader, ModuleSpec

from ..building.observe import file_sig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

_modules: dict[str, ModuleType] = {}
"""What was loaded, by name. Such a module initialises once in a process and no more, so it is kept
here, whoever clears `sys.modules`."""
_lock = RLock()
"""Protects `_modules`: a second thread waits until the module is initialised."""


def _new_lock() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def supply(image: str, needs: Iterable[tuple[str, int]]) -> bool:
    """Make modules importable that lie beside an image, if they are there.

    Args:
        image: The image that will import them.
        needs: Their file names and sizes.

    Returns:
        Whether they are: loaded before, or beside the image, whole.
    """
    for file, size in needs:
        name = file.partition(".")[0]
        module = _modules.get(name)
        if module is not None:
            sys.modules[name] = module
            continue
        sig = file_sig(os.path.join(os.path.dirname(image), file))
        if sig is None or sig[0] != size:
            return False
        provide(image, file)
    return True


def provide(image: str, file: str) -> None:
    """Make a module importable that lies beside an image.

    Args:
        image: The image that will import it.
        file: The module's file name.

    Raises:
        ImportError: If it cannot be loaded.
    """
    name = file.partition(".")[0]
    with _lock:
        if name not in _modules:
            _modules[name] = _load(os.path.join(os.path.dirname(image), file), name)
        sys.modules[name] = _modules[name]


def _load(path: str, name: str) -> ModuleType:
    loader = ExtensionFileLoader(name, path)
    spec = ModuleSpec(name, loader, origin=path)
    module = loader.create_module(spec)
    module.__spec__ = spec
    loader.exec_module(module)
    return module
