"""``cyhot build --out``: images and Python files as a tree that needs no cyhot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence

from ..building.report import BuildReport
from ..building.request import Source
from ..building.rooted import root_of
from ..building.steps import image_name
from ..errors import CyhotError
from ..hook.commands import is_skipped

_NOT_COPIED = (".pyx", ".pxi", ".pyxbld", ".pyxdep", ".o", ".obj", ".pyc", ".pyo", "~")
_GENERATED = (".c", ".cpp", ".html")
"""What Cython writes beside a source; other files of the kind are the package's own."""


def check(sources: Sequence[Source], out: str) -> None:
    """See that nothing would be laid out among the sources.

    Args:
        sources: What is to be built.
        out: The folder.

    Raises:
        CyhotError: If a file would land beside its source, or on one that is to be copied.
    """
    planned = {**_copies(sources, out), **{_place(s, out): s.path for s in sources}}
    taken = {os.path.realpath(path) for path in planned.values()}
    homes = {os.path.dirname(os.path.realpath(source.path)) for source in sources}
    for target in planned:
        real = os.path.realpath(target)
        if real in taken or os.path.dirname(real) in homes:
            raise CyhotError(
                f"--out {out}: {target} would lie among the sources; lay out somewhere else "
                "(to have images beside their sources, set inplace = true)"
            )


def lay_out(report: BuildReport, sources: Sequence[Source], out: str) -> list[str]:
    """Copy the images of a build, and the other files of their packages, into a folder.

    Args:
        report: The build; each module has an image.
        sources: What was built.
        out: The folder; made if it is missing. Files of the same name are replaced.

    Returns:
        The files that were written.

    Raises:
        CyhotError: If they cannot be written.
    """
    images = {module.path: module.image for module in report.modules}
    placed = {
        **_copies(sources, out),
        **{_place(source, out): images[source.path] for source in sources},
    }
    for target, source in placed.items():
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise CyhotError(f"--out {out}: {target}: {error.strerror}") from error
    return sorted(placed)


def _place(source: Source, out: str) -> str:
    """Where the image of a source goes."""
    parts = source.name.split(".")
    if source.is_package:
        return os.path.join(out, *parts, image_name("__init__"))
    return os.path.join(out, *parts[:-1], image_name(source.name))


def _copies(sources: Sequence[Source], out: str) -> dict[str, str]:
    """The files of the sources' packages that belong beside the images, by where they go."""
    packages: dict[str, None] = {}
    for source in sources:
        if source.is_package or "." in source.name:
            packages[os.path.join(root_of(source), source.name.partition(".")[0])] = None
    return {
        os.path.join(out, os.path.relpath(path, os.path.dirname(package))): path
        for package in packages
        for path in _files(package, os.path.realpath(out))
    }


def _files(package: str, out: str) -> Iterator[str]:
    """All files of a package but what images are built from, and an earlier tree."""
    for place, folders, files in os.walk(package):
        folders[:] = [
            name
            for name in folders
            if not is_skipped(place, name) and os.path.realpath(os.path.join(place, name)) != out
        ]
        for name in files:
            path = os.path.join(place, name)
            stem, suffix = os.path.splitext(name)
            generated = suffix in _GENERATED and (f"{stem}.pyx" in files or f"{stem}.py" in files)
            wanted = not generated and not name.startswith(".") and not name.endswith(_NOT_COPIED)
            if wanted and os.path.isfile(path):
                yield path
