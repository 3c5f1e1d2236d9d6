"""``cyhot build --out``: images and Python files as a tree that needs no cyhot."""

from __future__ import annotations

import os
import shutil

from ..building.report import BuildReport
from ..building.steps import image_name

_KEPT = (".py", ".pyi", ".pxd", ".typed")


def lay_out(report: BuildReport, out: str) -> list[str]:
    """Copy the images of a build, and the Python files of their packages, into a folder.

    Args:
        report: The build; each module has an image.
        out: The folder; made if it is missing. Files of the same name are replaced.

    Returns:
        The files that were written.
    """
    placed: dict[str, str] = {}
    for module in report.modules:
        is_package = os.path.basename(module.path).startswith("__init__.")
        parts = module.name.split(".")
        packages = parts if is_package else parts[:-1]
        name = image_name("__init__" if is_package else module.name)
        placed[os.path.join(out, *packages, name)] = module.image
        if packages:
            root = _up(os.path.dirname(module.path), len(packages) - 1)
            placed.update(_python_files(root, os.path.join(out, packages[0])))
    for target, source in placed.items():
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
    return sorted(placed)


def _up(folder: str, levels: int) -> str:
    for _ in range(levels):
        folder = os.path.dirname(folder)
    return folder


def _python_files(package: str, target: str) -> dict[str, str]:
    """The files of a package that belong beside its images, by where they go."""
    found = {}
    for place, folders, files in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            if name.endswith(_KEPT):
                path = os.path.join(place, name)
                found[os.path.join(target, os.path.relpath(path, package))] = path
    return found
