"""Source to image, once and rightly: locks, attempts, events.

Invariant 1 for what is built: an image is published only if nothing that it was made from changed
meanwhile; else it is made anew.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import console
from ..errors import CompileError, Diagnostic, StoreError
from ..events import BuildFailed, BuildFinished, BuildStarted, Noticed, emit
from . import deliver, publish
from .assemble import Gathering, build_record, find_change, known_contents
from .evict import evict_now_and_then
from .observe import Observer
from .plan import Reason, explain, other_recipe
from .recipe import origin_key
from .record import Record
from .request import Request
from .steps import Attempt
from .store import Hit, Store

SAY_AFTER = 0.5
"""Seconds after which a build says what it is doing."""
_ATTEMPTS = 5


Listener = Callable[[Attempt], None]


def ensure(request: Request, hit: Hit, note: Listener | None = None) -> str:
    """The path of an image that matches the source now; builds it if there is none.

    Args:
        request: The module that is wanted.
        hit: What its store had.
        note: Called with the attempt that was published, if something had to be built.

    Raises:
        CompileError: If it does not compile.
        StoreError: If the image cannot be kept.
    """
    console.voice(int(str(request.settings["verbose"])))
    try:
        image, store = (hit.image, request.store) if hit.image else _built(request, note)
        _deliver(request, store, image)
    except CompileError as error:
        # Where in cyhot it was noticed helps nobody.
        raise error.with_traceback(None) from error.__cause__
    return image


def _deliver(request: Request, store: Store, image: str) -> None:
    if not request.copies:
        return
    settings, source = request.settings, request.source
    placed: list[str] = []
    if settings["inplace"]:
        placed += deliver.beside(store, image, source.path)
    if place := settings["keep_c"]:
        where = place if place is True else str(place)
        placed += deliver.c_files(image, source.path, source.name, where)
    store.keep_delivered(request.key, image, request.copies, placed)


def _built(request: Request, note: Listener | None) -> tuple[str, Store]:
    store = publish.writable(request.store)
    try:
        with publish.building(store, request.key, request.source.name, SAY_AFTER):
            hit = store.find(request.key, Observer())
            image = hit.image or _Builder(request, store, hit, note).build()
        if not hit.image:
            evict_now_and_then(store, int(str(request.settings["cache_size"])))
    except OSError as error:
        raise _store_error(store, error) from error
    return image, store


def _store_error(store: Store, error: OSError) -> Exception:
    """What a failed operation of the system's means; itself, if the store has no part in it."""
    if error.errno in publish.FULL:
        return publish.full(store.root)
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    if path.startswith(store.root + os.sep):
        return StoreError(f"{store.root}: {error.strerror}: {os.path.relpath(path, store.root)}")
    return error


def why_stale(request: Request, hit: Hit, store: Store) -> list[Reason]:
    """Why a module has no image that matches."""
    if hit.record is None:
        before = publish.last_parts(store, origin_key(request.parts))
        return other_recipe(before, request.parts)
    system = {row[0] for row in hit.shared.files} if hit.shared else set()

    def relation(path: str) -> str:
        return "a file of the installation" if path in system else ""

    return explain(hit.differences, hit.record, relation)


class _Changed(Exception):
    """A source changed while it was built."""


class _Builder:
    """Builds one module, once its lock is held."""

    def __init__(
        self, request: Request, store: Store, hit: Hit, note: Listener | None = None
    ) -> None:
        self.request = request
        self.note = note
        self.source = request.source
        self.store = store
        self.reasons = tuple(map(str, why_stale(request, hit, store)))
        self.known = known_contents(hit)
        self.seen: dict[str, str] = {}

    def build(self) -> str:
        """Build and publish; returns the image's path."""
        name, path = self.source.name, self.source.path
        emit(BuildStarted(name, path, self.reasons))
        began = time.perf_counter()
        try:
            with _said_when_long(name, path):
                image, attempt = self._until_stable()
        except BaseException as error:
            # A full disk and Ctrl-C are an end as well: whoever shows what runs has to know.
            diagnostics = error.diagnostics if isinstance(error, CompileError) else ()
            emit(BuildFailed(name, path, diagnostics))
            raise
        seconds = time.perf_counter() - began
        if self.note is not None:
            self.note(attempt)
        emit(
            BuildFinished(
                name,
                path,
                image,
                seconds,
                attempt.phases,
                tuple(attempt.warnings),
                tuple(attempt.commands),
            )
        )
        return image

    def _until_stable(self) -> tuple[str, Attempt]:
        changed = ""
        for _ in range(_ATTEMPTS):
            with publish.workshop(self.store, self.request.key) as folder:
                try:
                    return self._attempt(folder)
                except _Changed as change:
                    changed = str(change)
        raise self._never_stable(changed)

    def _attempt(self, folder: str) -> tuple[str, Attempt]:
        attempt = Attempt(self.request, self.store, folder)
        gathered = Gathering(attempt, self.known)
        attempt.run(gathered.while_compiling, gathered.while_linking)
        record, closure = build_record(self.request.parts, gathered, self.reasons)
        changed = find_change(record, closure, gathered.inputs, attempt, self.seen)
        self.seen.update(gathered.inputs.contents())
        if changed:
            raise _Changed(changed)
        record.shared = publish.publish_closure(self.store, closure)
        return self._publish(attempt, record), attempt

    def _publish(self, attempt: Attempt, record: Record) -> str:
        began = time.perf_counter()
        for name in os.listdir(attempt.folder):
            if name.endswith((".o", ".d")):
                os.unlink(os.path.join(attempt.folder, name))
        folder = publish.publish_image(
            self.store, attempt.folder, record.digest, finished=attempt.finished
        )
        request = self.request
        if attempt.result.replayable:
            publish.publish_record(self.store, request.key, request.parts, record)
        else:
            emit(Noticed(
                f"this Cython searches for {self.source.name}'s cimports in a way that cyhot "
                "does not know; the module is built for this process only"
            ))  # fmt: skip
        attempt.phases["publish"] = time.perf_counter() - began
        return os.path.join(folder, os.path.basename(attempt.image))

    def _never_stable(self, changed: str) -> CompileError:
        path = self.source.path
        diagnostic = Diagnostic(
            path=path,
            line=None,
            column=None,
            severity="error",
            message=f"{changed} kept changing while it was compiled, {_ATTEMPTS} times in a row",
            stage="compiler",
            hint="import the module again when whatever writes that file has finished",
        )
        return CompileError([diagnostic], name=self.source.name, path=path)


@contextmanager
def _said_when_long(name: str, path: str) -> Iterator[None]:
    """Say what is being compiled once it takes long."""
    timer = threading.Timer(SAY_AFTER, emit, [Noticed(f"compiling {name} ({path})")])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
