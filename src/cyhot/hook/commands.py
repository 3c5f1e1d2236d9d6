"""`load`, `build` and `why`: what `cyhot` does besides import statements. Off the warm path."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from .. import console
from ..building import publish, rooted
from ..building.commands import in_threads
from ..building.observe import file_sig
from ..building.plan import Reason
from ..building.processors import processors
from ..building.report import BuildReport, Built
from ..building.request import Request, Source
from ..building.run import why_stale
from ..building.store import Hit
from ..errors import CompileError, CyhotError
from ..events import (
    BatchFinished,
    BatchStarted,
    BuildFinished,
    BuildStarted,
    Event,
    emit,
    subscribe,
)
from ..settings import matches
from ..worker.client import ensure
from . import current_session
from .finder import Finder, make_spec
from .loader import Loader
from .session import Session

_PACKAGE_FILES = ("__init__.py", "__init__.pyx", "__init__.pxd")


def load(
    path: str | os.PathLike[str], name: str | None = None, *, session: Session | None = None
) -> ModuleType:
    """Import one ``.pyx`` (or ``.py``) file by its path; no hook is needed.

    Args:
        path: The file.
        name: The module's full name; by default it follows from the packages that the file is
            in.
        session: Whose settings hold; by default the installed hook's.

    Returns:
        The module, registered in ``sys.modules``. The same file unchanged gives the same module;
        changed, a new one.

    Raises:
        FileNotFoundError: If there is no such file.
        CompileError: If it does not compile.
        CyhotError: If another module has that name.
    """
    source = source_at(os.fspath(path), name)
    session = session or current_session()
    known = sys.modules.get(source.name)
    if known is not None:
        loader = getattr(known, "__loader__", None)
        if not isinstance(loader, Loader) or loader.source.path != source.path:
            raise CyhotError(
                f"the name {source.name!r} is taken by {getattr(known, '__file__', known)!r}; "
                "give this one another: cyhot.load(path, name=...)"
            )
        if loader.image() == getattr(known, "__cached__", None):
            return known
    session.recent.forget()
    return _import(make_spec(session, source))


def _import(spec: ModuleSpec) -> ModuleType:
    before = sys.modules.get(spec.name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except BaseException:
        sys.modules.pop(spec.name, None)
        if before is not None:
            sys.modules[spec.name] = before
        raise
    return sys.modules[spec.name]


def source_at(path: str, name: str | None = None) -> Source:
    """The source at a path, with its module's name.

    Raises:
        FileNotFoundError: If there is none.
        CyhotError: If it is no ``.pyx`` or ``.py`` file.
    """
    path = os.path.abspath(path)
    if file_sig(path) is None:
        raise FileNotFoundError(2, "there is no such source", path)
    stem, suffix = os.path.splitext(os.path.basename(path))
    if suffix not in (".pyx", ".py"):
        raise CyhotError(f"{path}: a source is a .pyx or a .py file")
    return Source(path, name or _module_name(path, stem), stem == "__init__")


def _module_name(path: str, stem: str) -> str:
    names = [] if stem == "__init__" else [stem]
    folder = os.path.dirname(path)
    while _is_package(folder):
        names.insert(0, os.path.basename(folder))
        folder = os.path.dirname(folder)
    return ".".join(names)


def _is_package(folder: str) -> bool:
    return any(file_sig(os.path.join(folder, name)) is not None for name in _PACKAGE_FILES)


def sources(target: str | os.PathLike[str], session: Session) -> list[Source]:
    """The sources that a module's name, a file or a folder stands for.

    Args:
        target: A path (of a file, or of a folder with all ``.pyx`` files below it), or a dotted
            module name (with all submodules, if it is a package). A module that the setting
            ``exclude`` names has to be named itself.
        session: Whose settings hold.

    Raises:
        CyhotError: If there is nothing of that name.
    """
    text = os.fspath(target)
    if os.path.isdir(text):
        return list(wanted_below(os.path.abspath(text), session))
    if os.path.isfile(text):
        return [source_at(text)]
    return _named(text, session)


def below(folder: str) -> Iterator[Source]:
    """All ``.pyx`` files below a folder.

    Not hidden ones, nor links that lead nowhere: Emacs has ``.#foo.pyx`` beside what is unsaved.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_skipped(place, name))
        for file in sorted(files):
            path = os.path.join(place, file)
            if file.endswith(".pyx") and not file.startswith(".") and file_sig(path) is not None:
                yield source_at(path)


def wanted_below(folder: str, session: Session) -> Iterator[Source]:
    """All ``.pyx`` files below a folder, but those that the setting ``exclude`` names."""
    for source in below(folder):
        settings = session.settings(os.path.dirname(source.path), source.name)
        if not matches(settings.strings("exclude"), source.name):
            yield source


def is_skipped(place: str, name: str) -> bool:
    """Whether no sources are looked for in the folder `name` of the folder `place`.

    A package's sub-package is a part of it, whatever it is called.
    """
    if name.startswith("."):
        return True
    return name in _SKIPPED and not (_is_package(place) and _is_package(os.path.join(place, name)))


_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})


def _named(name: str, session: Session) -> list[Source]:
    if os.sep in name or name.endswith((".pyx", ".py")):
        raise CyhotError(f"{name}: there is no such file or folder")
    # What is named is meant, though imports leave it alone.
    spec, part = locate(name, Finder(session.updated({"exclude": ()})))
    if spec is None:
        raise CyhotError(
            f"{name!r} is neither a file or folder nor a module on sys.path"
            + ("" if part == name else f" (there is no {part!r})")
        )
    found = [spec.loader.source] if isinstance(spec.loader, Loader) else []
    folders = spec.submodule_search_locations or ()
    inside = [source for folder in folders for source in wanted_below(folder, session)]
    known = {source.path for source in found}
    found += [source for source in inside if source.path not in known]
    if not found:
        raise CyhotError(f"{name!r} has no .pyx source, or none that exclude= does not name")
    return found


def locate(name: str, finder: Finder) -> tuple[ModuleSpec | None, str]:
    """The spec of a module, found without importing its packages.

    Returns:
        The spec, None if there is none; and the name, or the package of it that is not there.
    """
    path: list[str] | None = None
    spec = None
    for part in _prefixes(name):
        spec = finder.find_spec(part, path) or PathFinder.find_spec(part, path)
        if spec is None:
            return None, part
        path = list(spec.submodule_search_locations or ())
    return spec, name


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: index + 1]) for index in range(len(parts))]


def build(*names_or_paths: str | os.PathLike[str], jobs: int | None = None) -> BuildReport:
    """Build the images of modules that have none that matches.

    Args:
        *names_or_paths: Modules, packages, files or folders; by default the working folder.
        jobs: How many to build at once; by default as many as there are processors.

    Returns:
        What was built, and what failed; nothing is raised for a source that does not compile.

    Raises:
        CyhotError: If there is nothing of such a name.
        StoreError: If images cannot be kept.
    """
    return build_all(names_or_paths, jobs, current_session())


def build_all(
    targets: Sequence[str | os.PathLike[str]], jobs: int | None, session: Session
) -> BuildReport:
    """`build` with the settings of a session."""
    return build_sources(all_sources(targets, session), jobs, session)


def all_sources(targets: Sequence[str | os.PathLike[str]], session: Session) -> list[Source]:
    """The sources that some targets stand for, each once; those of the working folder if none."""
    found: dict[str, Source] = {}
    for target in targets or (os.getcwd(),):
        for source in sources(target, session):
            found.setdefault(source.path, source)
    return list(found.values())


def build_sources(
    found: Sequence[Source], jobs: int | None, session: Session, *, loaded: bool = False
) -> BuildReport:
    """Build the images of sources that have none that matches.

    All that are stale are built side by side, in an order that needs no waiting: an image needs
    other modules' declarations, never their images. The longest come first, so that none is left
    over when all others are done.

    Args:
        found: The sources.
        jobs: How many to build at once; by default as many as there are processors.
        session: Whose settings hold.
        loaded: Whether the program has them loaded: then it searches as it did when it imported
            them, and else from where their packages are (see `rooted`); and what it builds need
            not outlast it.

    Raises:
        StoreError: If images cannot be kept.
    """
    began = time.perf_counter()
    many = jobs or _default_jobs(session)
    requests = [session.request(source) for source in found]
    find, build = (Request.find, build_one) if loaded else (_find_ahead, _build_ahead)
    wanted = list(zip(requests, in_threads(find, requests, many), strict=True))
    stale = [(request, hit) for request, hit in wanted if not request.is_served(hit)]
    built = [_up_to_date(request, hit) for request, hit in wanted if request.is_served(hit)]
    if stale:
        if not loaded:
            for store in {request.store.root: request.store for request, _ in stale}.values():
                publish.require(store)
        console.voice(int(str(stale[0][0].settings["verbose"])))  # before there is anything to tell
        emit(BatchStarted(tuple(request.source.name for request, _ in stale)))
        try:
            built += in_threads(build, _longest_first(stale), many)
        finally:
            emit(BatchFinished())
    built.sort(key=lambda module: module.name)
    return BuildReport(tuple(built), time.perf_counter() - began)


def _find_ahead(request: Request) -> Hit:
    with rooted.searching(request.source):
        return request.find()


def _build_ahead(wanted: tuple[Request, Hit]) -> Built:
    with rooted.searching(wanted[0].source):
        return build_one(wanted)


def _up_to_date(request: Request, hit: Hit) -> Built:
    return Built(request.source.name, request.source.path, hit.image, "up to date")


def _longest_first(stale: list[tuple[Request, Hit]]) -> list[tuple[Request, Hit]]:
    known = [hit.record.seconds if hit.record else None for _, hit in stale]
    sizes = [(file_sig(request.source.path) or (0,))[0] for request, _ in stale]
    return [stale[index] for index in longest_first(known, sizes)]


def longest_first(seconds: Sequence[float | None], sizes: Sequence[int]) -> list[int]:
    """The order in which tasks that run side by side are all done the soonest.

    Args:
        seconds: How long each took the last time, None where that is unknown.
        sizes: How large each is. What is unknown is taken to last in proportion.

    Returns:
        The tasks' indices, the longest first; the given order where they are equal.
    """
    known = [(took, size) for took, size in zip(seconds, sizes, strict=True) if took is not None]
    total = sum(size for _, size in known)
    rate = sum(took for took, _ in known) / total if total else 1.0
    lasting = [
        rate * size if took is None else took for took, size in zip(seconds, sizes, strict=True)
    ]
    return sorted(range(len(lasting)), key=lambda index: -lasting[index])


def _default_jobs(session: Session) -> int:
    return int(str(session.process_settings()["jobs"] or processors()))


def build_one(wanted: tuple[Request, Hit]) -> Built:
    """Build one module, and say what came out.

    Args:
        wanted: The module, and what its store had.
    """
    request, hit = wanted
    source, events = request.source, []  # type: tuple[Source, list[Event]]

    def listen(event: Event) -> None:
        if getattr(event, "path", None) == source.path:
            events.append(event)

    unsubscribe = subscribe(listen)
    began = time.perf_counter()
    try:
        image = ensure(request, hit)
    except CompileError as error:
        return Built(
            source.name, source.path, "", "failed", _reasons(events),
            time.perf_counter() - began, error.diagnostics,
        )  # fmt: skip
    finally:
        unsubscribe()
    finished = [event for event in events if isinstance(event, BuildFinished)]
    if not finished:
        return Built(source.name, source.path, image, "up to date")
    last = finished[-1]
    return Built(
        source.name, source.path, image, "built", _reasons(events), last.seconds, last.diagnostics
    )


def _reasons(events: list[Event]) -> tuple[str, ...]:
    return tuple(r for event in events if isinstance(event, BuildStarted) for r in event.reasons)


def why(name_or_path: str | os.PathLike[str]) -> list[Reason]:
    """Why a module would be built now; or, if its image matches, that, and why it was built.

    Args:
        name_or_path: A module's name or a source's path.

    Returns:
        Reasons; each reads as a sentence: ``kernels.pyx: rebuilt because core.pxd changed
        (cimported by helpers.pxd)``.

    Raises:
        CyhotError: If there is nothing of that name.
    """
    session = current_session()
    return [
        reason
        for source in sources(name_or_path, session)
        for reason in _why(session.request(source))
    ]


def _why(request: Request) -> list[Reason]:
    hit = _find_ahead(request)
    file = os.path.basename(request.source.path)
    if hit.image and hit.record is not None:
        told = [Reason("up-to-date", request.source.path, f"{file}: up to date")]
        return told + [
            Reason("built", request.source.path, f"{file}: rebuilt because {reason}")
            for reason in hit.record.reasons
        ]
    store = publish.temporary() or request.store
    return [
        Reason(reason.kind, reason.subject, f"{file}: will be rebuilt because {reason.text}")
        for reason in why_stale(request, hit, store)
    ]
