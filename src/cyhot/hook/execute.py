"""Running an image's body again: in an existing module, or from a copy. Off the warm path.

The same path cannot be loaded twice (dlopen gives the old image back), so whatever is run again is
run from a private copy. A reload runs the body in the same module object and dict, as reloading a
``.py`` does.
"""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import sys
import tempfile
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from .. import errors
from ..building.observe import digest

if TYPE_CHECKING:
    from ..building.request import Source
    from .loader import Loader


def private_copy(image: str) -> str:
    """A copy of an image at a path that nothing else uses; see `discard`."""
    folder = tempfile.mkdtemp(prefix="cyhot-")
    path = os.path.join(folder, os.path.basename(image))
    shutil.copyfile(image, path)
    return path


def discard(path: str) -> None:
    """Remove a private copy. Its mapping stays; where the system forbids that, the file does."""
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def run_in(module: ModuleType, image: str, name: str) -> None:
    """Run an image's body in an existing module.

    Args:
        module: The module; it keeps its identity and dict.
        image: A private copy of the image.
        name: The module's full name.

    Raises:
        SwapError: If the image was built so that it needs a module object of its own.
    """
    try:
        _execute(module, _definition(image, name), name)
    finally:
        discard(image)


def _definition(image: str, name: str) -> int:
    """The address of the PyModuleDef that the image's init function returns (PEP 489)."""
    import ctypes

    library = ctypes.PyDLL(image)
    tail = name.rpartition(".")[2]
    symbol = f"PyInit_{tail}" if tail.isascii() else f"PyInitU_{_punycode(tail)}"
    init = getattr(library, symbol)
    init.restype = ctypes.c_void_p
    init.argtypes = ()
    definition = init()
    kept: Any = ctypes.cast(definition, ctypes.py_object).value
    if type(kept).__name__ != "moduledef":
        raise errors.SwapError(
            f"{name} cannot be reloaded: it was built with single-phase initialization "
            "(CYTHON_PEP489_MULTI_PHASE_INIT=0). Restart the program, or drop that macro."
        )
    return int(definition)


def _punycode(text: str) -> str:
    return text.encode("punycode").decode("ascii").replace("-", "_")


class _DefinitionHead:
    """Where m_size is in a PyModuleDef: after PyModuleDef_Base, m_name and m_doc."""

    @staticmethod
    def state_size(address: int) -> int:
        import ctypes

        pointer = ctypes.sizeof(ctypes.c_void_p)
        base = object.__basicsize__ + 3 * pointer  # m_init, m_index, m_copy
        return ctypes.c_ssize_t.from_address(address + base + 2 * pointer).value


def _execute(module: ModuleType, definition: int, name: str) -> None:
    import ctypes

    if _DefinitionHead.state_size(definition) > 0:
        raise errors.SwapError(
            f"{name} cannot be reloaded: it was built with module state "
            "(CYTHON_USE_MODULE_STATE=1). Restart the program, or drop that macro."
        )
    run = ctypes.pythonapi.PyModule_ExecDef
    run.argtypes = (ctypes.py_object, ctypes.c_void_p)
    run.restype = ctypes.c_int
    run(module, definition)  # PyDLL raises what the body raised


def read_source(path: str) -> str:
    """The text of a source.

    Raises:
        OSError: If it cannot be read.
    """
    text = errors.read_source(path)
    if text is None:
        raise OSError(f"{path} cannot be read")
    return text


def was_evicted(error: ImportError, image: str, source: Source) -> bool:
    """Whether an image could not be loaded because another process removed it meanwhile.

    Raises:
        CompileError: If it is there, and the system's loader refuses it: a symbol or a library
            is missing.
    """
    if not os.path.exists(image):
        return True
    if type(error) is ImportError:  # a body that imports something raises subclasses of it
        from ..building.explain import load_failure

        explained = load_failure(str(error), image, source)
        if explained is not None:
            raise explained from None
    return False


_running: dict[str, Loader] = {}
"""Loaders whose code `runpy` is about to run, by a name that the code carries."""


def runner(loader: Loader) -> CodeType:
    """Code that runs a loader's image in the namespace that the code is executed in.

    ``runpy.run_module`` executes a code object in a namespace whose ``__name__`` it chose, often
    ``"__main__"``; the body of the image sees the same.
    """
    token = digest(loader.source.path.encode())
    _running[token] = loader
    text = f"from cyhot.hook.execute import run_as\nrun_as({token!r}, globals())\n"
    return compile(text, loader.source.path, "exec")


def run_as(token: str, namespace: dict[str, Any]) -> None:
    """Run an image's body under the name that a namespace has, and leave its names there."""
    namespace.pop("run_as", None)
    loader = _running[token]
    spec = importlib.machinery.ModuleSpec(loader.source.name, loader, origin=loader.source.path)
    module = loader.create_module(spec)
    module.__dict__.update({k: v for k, v in namespace.items() if k != "__builtins__"})
    name = namespace.get("__name__", loader.source.name)
    before = sys.modules.get(name)
    try:
        loader.exec_module(module)
    finally:
        if before is not None:
            sys.modules[name] = before
        namespace.update(module.__dict__)
