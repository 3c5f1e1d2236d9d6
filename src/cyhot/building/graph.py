"""How Cython searches for a cimported or included file, as a pure function.

A search's *result* can change although no file that was opened did: a ``.pxd`` that is created
in an earlier folder wins from then on. So the searches are recorded, with all they looked at,
and can be made again for another ``sys.path``.

This follows ``Cython.Compiler.Main.search_include_directories`` and
``Cython.Utils.find_versioned_file`` (Cython 3.1 to 3.3); the transpiler compares each result
with Cython's own.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Look(Protocol):
        """What a search needs to know of a file system."""

        def exists(self, path: str) -> bool:
            """Whether there is anything at `path`."""

        def versioned(self, folder: str, prefix: str, suffix: str) -> list[str]:
            """Names in `folder` that start with `prefix` and end with `suffix`."""


PACKAGE_FILES = ("__init__.py", "__init__.pyc", "__init__.pyx", "__init__.pxd")


class Lookup(tuple[object, ...]):
    """One search that Cython made.

    A tuple, for marshal; but no NamedTuple: an import with another sys.path than the image was
    built with makes the searches again, and that is not to cost an import of `typing`.
    """

    __slots__ = ()

    def seen_from(self, beside: str) -> Lookup:
        """The same search and result, asked by another file."""
        name, suffix, include, use_sys_path, _beside, folders, result = self
        return Lookup(name, suffix, include, use_sys_path, beside, folders, result)  # type: ignore[arg-type]

    def __new__(  # noqa: PLR0917  (seven columns)
        cls,
        name: str,
        suffix: str,
        include: bool,
        use_sys_path: bool,
        beside: str,
        folders: tuple[str, ...],
        result: str,
    ) -> Lookup:
        """Note a search.

        Args:
            name: The dotted name of a module, or the name of a file to include.
            suffix: ``.pxd``, ``.py`` and so on; `""` for a file to include.
            include: Whether `name` is a file's.
            use_sys_path: Whether sys.path was searched.
            beside: The file that asks; `""` if the search starts from the search path alone.
            folders: The include path without sys.path.
            result: What was found, `""` for nothing.
        """
        row = (name, suffix, include, use_sys_path, beside, folders, result)
        return super().__new__(cls, row)

    name: str = property(lambda self: self[0])  # type: ignore[assignment]
    suffix: str = property(lambda self: self[1])  # type: ignore[assignment]
    include: bool = property(lambda self: self[2])  # type: ignore[assignment]
    use_sys_path: bool = property(lambda self: self[3])  # type: ignore[assignment]
    beside: str = property(lambda self: self[4])  # type: ignore[assignment]
    folders: tuple[str, ...] = property(lambda self: self[5])  # type: ignore[assignment]
    result: str = property(lambda self: self[6])  # type: ignore[assignment]


def search(
    lookup: Lookup,
    *,
    sys_path: tuple[str, ...],
    standard: str,
    version: int,
    look: Look,
) -> str:
    """Make a search again.

    Args:
        lookup: The search; its `result` is not looked at.
        sys_path: The folders of sys.path.
        standard: Cython's own ``Includes`` folder.
        version: Cython's version as 10 * major + minor, for ``x.cython-31.pxd``.
        look: The file system.

    Returns:
        The path that Cython would open, `""` for nothing.
    """
    folders = [*lookup.folders, *(sys_path if lookup.use_sys_path else ()), standard]
    if lookup.beside:
        folders.insert(0, _first_folder(lookup, look))
    dotted = lookup.name + lookup.suffix
    for folder in folders:
        path = os.path.join(folder, dotted)
        if look.exists(path):
            return path
    return "" if lookup.include else _search_packages(lookup, folders, version, look)


def _first_folder(lookup: Lookup, look: Look) -> str:
    folder = os.path.dirname(lookup.beside)
    if lookup.include:
        return folder
    while _is_package(folder, look) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def _is_package(folder: str, look: Look) -> bool:
    return any(look.exists(os.path.join(folder, name)) for name in PACKAGE_FILES)


def _search_packages(lookup: Lookup, folders: list[str], version: int, look: Look) -> str:
    """Regular packages on the whole path first, namespace packages after them (PEP 420)."""
    *packages, module = lookup.name.split(".")
    namespaces = []
    for folder in folders:
        place, is_namespace = folder, True
        for package in packages:
            place = os.path.join(place, package)
            if _is_package(place, look):
                is_namespace = False
        if is_namespace:
            namespaces.append(place)
        elif path := _search_module(place, module, lookup.suffix, version, look):
            return path
    for place in namespaces:
        if path := _search_module(place, module, lookup.suffix, version, look):
            return path
    return ""


def _search_module(folder: str, module: str, suffix: str, version: int, look: Look) -> str:
    return _best_version(folder, module, suffix, version, look) or (
        _best_version(os.path.join(folder, module), "__init__", suffix, version, look)
        if suffix
        else ""
    )


def _best_version(folder: str, stem: str, suffix: str, version: int, look: Look) -> str:
    """``stem.cython-NN.pxd`` with the highest NN up to `version`, else ``stem.pxd``."""
    prefix = f"{stem}.cython-"
    plain = os.path.join(folder, stem + suffix)
    best = (-1, plain if look.exists(plain) else "")
    for name in look.versioned(folder, prefix, suffix):
        number = name[len(prefix) : len(name) - len(suffix)]
        if number.isdecimal() and best[0] < int(number) <= version:
            best = (int(number), os.path.join(folder, name))
    return best[1]
