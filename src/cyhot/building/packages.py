"""The include folders that cimported files need, found without importing anything here."""

from __future__ import annotations

import importlib
import json
import marshal
import os
import re
import sys
from collections.abc import Iterable

from ..errors import read_source
from ..events import Noticed, emit
from .commands import run
from .inputs import Prober
from .noted import NOTHING, Noted, Notes, changed, is_users
from .observe import digest, find_package, hash_file, search_path
from .store import Store

_ASK = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from cyhot.building.packages import answer
answer(sys.argv[2])
"""

_EXTERN = re.compile(r"""\bextern\s+from\s+['"]([^'"<>\n]+)['"]""")


def header_folders(paths: Iterable[str], prober: Prober) -> list[str]:
    """Folders of the files whose ``cdef extern from "x.h"`` names a header that is beside them.

    A compiler that reads the generated C knows nothing of the folder that a ``.pxd`` is in.

    Args:
        paths: The files that Cython opened.
        prober: Notes what is there.
    """
    found: dict[str, None] = {}
    for path in paths:
        folder = os.path.dirname(path)
        for name in _EXTERN.findall(read_source(path) or ""):
            if prober.exists(os.path.join(folder, name)):
                found[folder] = None
    return list(found)


def numpy_include(opened: Iterable[str], c_text: str) -> tuple[str, str]:
    """NumPy's include folder and the file that has its version, where NumPy is used.

    Args:
        opened: The files that Cython opened.
        c_text: The generated C.

    Returns:
        `("", "")` where NumPy is not used, or not installed.
    """
    if not any(_is_numpy_pxd(path) for path in opened) and not re.search(
        r'#\s*include\s*["<]numpy/', c_text
    ):
        return "", ""
    package = find_package("numpy")
    for core in ("_core", "core"):  # NumPy 2, NumPy 1
        folder = os.path.join(package, core, "include")
        if package and os.path.isfile(os.path.join(folder, "numpy", "arrayobject.h")):
            return folder, os.path.join(package, "version.py")
    return "", ""


def _is_numpy_pxd(path: str) -> bool:
    folder, name = os.path.split(path)
    return os.path.basename(folder) == "numpy" and name.startswith("__init__.")


def cimported_packages(names: Iterable[str], module: str) -> list[str]:
    """Top-level packages among cimported names whose ``__init__.py`` has a ``get_include``.

    Args:
        names: Full names of what was cimported.
        module: The importing module: its own package cannot be imported to be asked.
    """
    own = module.partition(".")[0]
    tops = dict.fromkeys(name.partition(".")[0] for name in names)
    return [top for top in tops if top not in (own, "numpy") and _has_get_include(top)]


def _has_get_include(package: str) -> bool:
    folder = find_package(package)
    try:
        with open(os.path.join(folder, "__init__.py"), encoding="utf-8") as file:
            return bool(folder) and "get_include" in file.read()
    except (OSError, UnicodeDecodeError):
        return False


Answer = tuple[list[str], list[str], Noted]
"""What `get_include` gives."""


def get_include(package: str, store: Store, folder: str) -> Answer:
    """What a package's ``get_include()`` returns, asked in a process of its own.

    Args:
        package: The package.
        store: Remembers the answer as long as what decided it is unchanged.
        folder: Where to run.

    Returns:
        The folders; the files that decide which those are (the package's ``__init__.py``, where
        the function is, and those of the user's own modules that were imported for it); and what
        the user's own code looked at besides.
    """
    init = os.path.join(find_package(package), "__init__.py")
    name = f"include-{digest(f'2{chr(0)}{init}{chr(0)}{sys.prefix}'.encode())}"
    kept = store.read("cache", name)
    try:
        folders, contents, noted = marshal.loads(kept)
        if all(hash_file(path) == content for path, content in contents) and not changed(noted):
            return folders, [path for path, _content in contents], noted
    except (ValueError, EOFError, TypeError):
        pass  # there is nothing kept, or it is damaged
    told = run([sys.executable, "-c", _ASK, json.dumps(search_path()), package], folder)
    found = re.search(r"^cyhot:([0-9a-f]+)$", told.output, re.MULTILINE)
    if found is None or told.status:
        last = told.output.rstrip().rpartition("\n")[2]
        emit(Noticed(f"{package}.get_include() could not be asked for its include folder: {last}"))
        return [], [init], NOTHING
    folders, where, imported, noted = marshal.loads(bytes.fromhex(found[1]))
    users = (path for path in imported if path and is_users(path) and os.path.isfile(path))
    files = list(dict.fromkeys(path for path in (init, where, *users) if path))
    contents = [(path, hash_file(path)) for path in files]
    store.keep(f"cache/{name}", marshal.dumps((folders, contents, noted)))
    return folders, files, noted


def answer(package: str) -> None:
    """Ask a package in this process, which does nothing else, and print what it said."""
    notes = Notes()
    with notes.taken():
        function = importlib.import_module(package).get_include
        told = function()
    folders = [told] if isinstance(told, str) else [str(folder) for folder in told]
    files = {name: getattr(module, "__file__", None) for name, module in [*sys.modules.items()]}
    where = files.pop(function.__module__, None)
    print("cyhot:" + marshal.dumps((folders, where, [*files.values()], notes.all())).hex())
