"""Looking at many files in one call: in C where that was compiled before, else in Python.

To see that two hundred modules are unchanged takes a thousand looks at files and folders. Python
makes an object of twenty fields of each, of which four are compared; that takes longer than the
look. ``look.c`` compares without. It is compiled once for a store (`prepare`) when a program has
imported many modules; until then, and where there is no compiler, the functions here do the same.

On the warm path.
"""

from __future__ import annotations

import os
import sys
from _imp import create_dynamic, exec_dynamic
from _operator import attrgetter
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from os import stat

from .observe import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .store import Store, Want

KIND = "look"
MANY = 24
"""So many unchanged modules in a program pay for loading what is compiled."""
_NAME = "_look"
_SOURCE = os.path.join(os.path.dirname(__file__), "look.c")
_FIELDS = {"i": "st_ino", "m": "st_mtime_ns", "c": "st_ctime_ns", "s": "st_size"}
_getters: dict[str, Callable[[Any], Any]] = {}
_compiled: Any = None


# In Python ---------------------------------------------------------------------------------------


def are_as_noted_in_python(paths: tuple[str, ...], sigs: tuple[Any, ...], fields: str) -> bool:
    """What `are_as_noted` tells."""
    if fields not in _getters:
        _getters[fields] = attrgetter(*(_FIELDS[one] for one in fields))
    # One expression: each line of Python costs several times what it costs in a loop here, since
    # between two images the processor's caches are cold.
    try:
        return tuple(map(_getters[fields], map(stat, paths))) == sigs
    except (OSError, ValueError):
        return False


def image_status_in_python(
    paths: tuple[str, ...], sigs: tuple[Any, ...], image: str
) -> tuple[int, int] | None:
    """What `image_status` tells."""
    if not are_as_noted_in_python(paths, sigs, "imcs"):
        return None
    try:
        st = stat(image)
    except (OSError, ValueError):
        return None
    return st.st_size, st.st_atime_ns


are_as_noted: Callable[[tuple[str, ...], tuple[Any, ...], str], bool] = are_as_noted_in_python
"""Whether files and folders have the signatures that were noted.

Args:
    paths: Their paths.
    sigs: Of each a tuple of numbers.
    fields: What these are: a letter each for inode, mtime and ctime in ns, and size.
"""
image_status: Callable[[tuple[str, ...], tuple[Any, ...], str], tuple[int, int] | None]
image_status = image_status_in_python
"""The size of an image and its atime in ns, if files and folders are as was noted, else None.

Args:
    paths: The paths of the files and folders.
    sigs: Of each inode, mtime, ctime and size.
    image: The image's path.
"""


# In C --------------------------------------------------------------------------------------------


def want(root: str) -> Want | None:
    """What `prepare` makes for a store; None where there is nothing to be made of."""
    from .store import make_want  # which imports what imports this

    try:
        with open(_SOURCE, "rb", buffering=0) as file:
            source = file.read()
    except OSError:
        return None
    return make_want(KIND, root, {
        "source": (digest(source),),
        "python": (EXTENSION_SUFFIXES[0], sys.version),
    })  # fmt: skip


def is_compiled() -> bool:
    """Whether this process looks in C."""
    return _compiled is not None


def use_compiled(store: Store) -> bool:
    """Look in C from now on, if a store has what that takes.

    Returns:
        Whether it does.
    """
    global _compiled, are_as_noted, image_status
    if _compiled is None and sys.platform != "win32" and store.trusted():
        wanted = want(store.root)
        module = _load(store, store.prepared(wanted[2], _file_name())) if wanted else None
        if module is not None:
            _compiled = module
            are_as_noted, image_status = module.are_as_noted, module.image_status
    return _compiled is not None


def _file_name() -> str:
    return _NAME + EXTENSION_SUFFIXES[0]


def _load(store: Store, path: str) -> Any:
    try:
        st = stat(path)
        spec = ModuleSpec(_NAME, ExtensionFileLoader(_NAME, path), origin=path)
        module = create_dynamic(spec)
        exec_dynamic(module)
    except (OSError, ImportError):
        return None
    store.mark_used(path, st)
    return module


def make(parameters: Mapping[str, Sequence[str]], name: str, folder: str) -> None:
    """Compile ``look.c``.

    Args:
        parameters: Of `want`.
        name: The name in it.
        folder: Where.

    Raises:
        Failed: If that is impossible.
    """
    from .prepare import Failed, run
    from .toolchain import compile_flags, find_compiler, link_command, python_include_dirs

    wanted = want("")
    if wanted is None or wanted[2] != name:
        raise Failed("another cyhot or Python wants it", passing=True)
    # The user's own options are for the user's code.
    compiler = find_compiler(False, {})
    if compiler is None or compiler.family == "setuptools":
        raise Failed("there is no compiler that can be called")
    include = [f"-I{path}" for path in python_include_dirs()]
    flags = compile_flags("dev", compiler, False, {})
    words = [*compiler.command, *flags, *include, "-c", _SOURCE, "-o", "look.o"]
    link = [*link_command("dev", compiler, False, {}), "look.o", "-o", _file_name()]
    for command in (words, link):
        run(command, folder)
    os.unlink(os.path.join(folder, "look.o"))
