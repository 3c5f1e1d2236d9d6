"""What a module that is being compiled will import next. Off the warm path.

While one module compiles, others can. Which ones is read from its text: what it imports and
cimports, what those do, and then whatever else of its package is out of date. A wrong guess costs
a build that is wanted later, or never.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..building.request import Request, Source
from ..errors import CyhotError, read_source
from .finder import Finder
from .loader import Loader
from .session import Session

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+c?import[ \t]+([^#\n]+)|c?import[ \t]+([^#\n]+))",
    re.MULTILINE,
)
_MOST = 64
"""So many builds are asked for ahead at most: each is a connection."""


def imported(text: str, package: str) -> list[str]:
    """The absolute names of the modules that a text may import or cimport, in order.

    Args:
        text: The source.
        package: The package that relative names are relative to.
    """
    names: dict[str, None] = {}
    for base, members, modules in _IMPORT.findall(text):
        if modules:
            names.update(dict.fromkeys(_words(modules)))
            continue
        home = _absolute(base, package)
        if home is not None:
            names[home] = None
            names.update(dict.fromkeys(f"{home}.{word}".lstrip(".") for word in _words(members)))
    return [name for name in names if name]


def _words(listed: str) -> list[str]:
    parts = [part.split() for part in listed.strip("() \t\\").split(",")]
    return [part[0] for part in parts if part and re.fullmatch(r"[\w.]+", part[0])]


def _absolute(base: str, package: str) -> str | None:
    name = base.lstrip(".")
    up = len(base) - len(name)
    if not up:
        return name
    parts = package.split(".") if package else []
    if up - 1 > len(parts) or not parts:
        return None
    return ".".join([*parts[: len(parts) - up + 1], *([name] if name else [])])


def wanted_next(session: Session, source: Source) -> Iterator[Request]:
    """The modules to build while `source` is being built, the likeliest first.

    Wrong settings of one of them, or a file that is just gone, are for who imports it to be told.
    """
    try:
        yield from _wanted(session, source)
    except (CyhotError, OSError):
        return


def _wanted(session: Session, source: Source) -> Iterator[Request]:
    seen = {source.path}
    count = 0
    for found in _likely(session, source):
        if found.path in seen or count >= _MOST:
            continue
        seen.add(found.path)
        request = session.request(found)
        if not request.is_served(request.find()):
            count += 1
            yield request


def _likely(session: Session, source: Source) -> Iterator[Source]:
    finder = Finder(session, quiet=True)
    todo, known = [source], {source.path}
    while todo:
        one = todo.pop(0)
        for found in _imports_of(one, finder):
            if found.path not in known:
                known.add(found.path)
                todo.append(found)
                yield found
    yield from _package_of(source, session)


def _imports_of(source: Source, finder: Finder) -> Iterator[Source]:
    from . import commands

    package = source.name if source.is_package else source.name.rpartition(".")[0]
    for name in imported(_text(source), package):
        spec, _ = commands.locate(name, finder)
        if spec is not None and isinstance(spec.loader, Loader):
            yield spec.loader.source


def _text(source: Source) -> str:
    """The text of a source and of its own ``.pxd``."""
    stem = os.path.splitext(source.path)[0]
    return (read_source(source.path) or "") + "\n" + (read_source(f"{stem}.pxd") or "")


def _package_of(source: Source, session: Session) -> Iterator[Source]:
    """All modules of the top-level package that a source is in."""
    from . import commands

    depth = source.name.count(".") + source.is_package
    if depth:
        folder = source.path
        for _ in range(depth):
            folder = os.path.dirname(folder)
        yield from commands.wanted_below(folder, session)
