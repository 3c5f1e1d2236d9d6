"""The modules that other processes found unchanged: heads, read when a folder is first imported
from, and written when a process ends that had to read records one by one.

On the warm path.
"""

from __future__ import annotations

import os
import time
from importlib.machinery import EXTENSION_SUFFIXES
from os import stat

from ..building import looks
from ..building.heads import Heads, holds, name_of, note
from ..building.observe import dir_sig, environment_values, raw_names
from ..building.recipe import ENVIRONMENT, build_environment, depends_on_folder
from ..building.store import MARKED_EVERY_NS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..building.heads import Note
    from ..building.observe import DirSig, Observer
    from ..building.request import Request, Source
    from ..building.store import Hit, Store
    from .session import Session

    Found = tuple[str, tuple[tuple[str, int], ...]]
    """The image's path, the names and sizes of what has to lie beside it."""

RIVALS = (*EXTENSION_SUFFIXES, ".py")
"""Of what a plain import takes for a module."""
_MANY = 8
"""So many records have to be read one by one before heads are written of them."""


class Folder:
    """The heads of one folder, and those that are to be written.

    Attributes:
        heads: By the modules' names; each serves once, as an image is mapped once.
        had_heads: Whether there were any.
    """

    __slots__ = (
        *("_kept", "_known", "_long_unmarked", "_seen_by", "had_heads", "heads"),
        *("name", "notes", "store"),
    )

    def __init__(self, known: Known, store: Store, name: str) -> None:
        self._known = known
        self.store = store
        self.name = name
        self._kept = Heads(store.path("images", ""), name, store.heads(name))
        self._long_unmarked = time.time_ns() - MARKED_EVERY_NS
        self._seen_by: dict[int, Observer] = {}
        self.heads = self._kept.heads
        self.had_heads = bool(self.heads)
        self.notes: dict[str, Note] = {}

    def find(self, name: str) -> Found | None:
        """The image of a module that has a head and is as noted.

        Between two images the processor's caches are cold, so each call of a function and each
        line costs several times what it costs in a loop: there are few. (That the observer and
        the time of the last mark are compared here, before anything is called, is 2% of the import
        of two hundred modules.)
        """
        head = self.heads.pop(name, None)
        if head is None:
            return None
        paths, sigs, ground, image, size, needs = head
        known = self._known
        distant = known.recent.distant()
        if self._seen_by.get(ground) is not distant and not self._stands(ground, distant):
            return None
        if environment_values(_NAMES) != known.environ:
            return None
        image = self._kept.images + image
        status = looks.image_status(paths, sigs, image)
        if status is None or status[0] != size:
            return None
        if status[1] < self._long_unmarked:
            try:
                self.store.mark_used(image, stat(image))
            except OSError:
                return None
        return image, needs

    def _stands(self, number: int, distant: Observer) -> bool:
        """Whether a ground is as it was noted; found out once for each observer."""
        stands = distant.once((self, number), lambda: self._holds(number, distant))
        if stands:
            self._seen_by[number] = distant
        return bool(stands)

    def _holds(self, number: int, distant: Observer) -> bool:
        ground = self._kept.grounds[number]
        return holds(ground, self.store.shared(ground[0][2]), distant)

    def write(self) -> None:
        """Write what was noted, beside what others wrote meanwhile."""
        before = Heads(self._kept.images, self.name, self.store.heads(self.name))
        self.store.keep(f"heads/{self.name}", before.updated(self.notes).dump())


class Known:
    """The folders that a session's modules were imported from.

    Attributes:
        recent: The session's.
        environ: The environment variables that the heads are for.
    """

    def __init__(self, session: Session) -> None:
        self.recent = session.recent
        self.environ = environment_values(_NAMES)
        self._session = session
        self._text = session.text()
        self._folders: dict[str, Folder] = {}
        self._listed: dict[str, tuple[DirSig | None, frozenset[str]]] = {}
        self._count = 0
        self._many = 0
        self._notes = not depends_on_folder(build_environment(os.environ))

    def folder(self, path: str, source: Source) -> Folder:
        """The folder at a path.

        Args:
            path: Its absolute path.
            source: A source in it, whose store is looked into.
        """
        found = self._folders.get(path)
        if found is None:
            store = self._session.request(source).store
            found = self._folders[path] = Folder(self, store, name_of(path, self._text))
            before, self._many = self._many, self._many + len(found.heads)
            if before < looks.MANY <= self._many:
                looks.use_compiled(store)
        return found

    def note(self, request: Request, hit: Hit, look: Observer) -> None:
        """Note that a module was found unchanged, the long way."""
        source = request.source
        path, _, file = source.path.rpartition(os.sep)
        folder = self._folders.get(path)
        if (
            folder is None
            or not self._notes
            or folder.store is not request.store
            or hit.record is None
            or request.copies
            or not file.endswith(".pyx")
            or environment_values(_NAMES) != self.environ
        ):
            return
        settings = self._session.settings_file(path, source.name, look)
        found = note(source.path, hit.record, look, settings) if settings else None
        if found is None or not self._is_alone(path, file[:-4], found):
            return
        folder.notes[source.name] = found
        self._count += 1
        if self._count == 1:
            import atexit

            atexit.register(self._write)

    def _is_alone(self, folder: str, tail: str, found: Note) -> bool:
        """Whether nothing lies beside a source that would have to be said to be passed over."""
        try:
            sig = found.sigs[found.paths.index(folder)]
        except ValueError:
            return False
        known = self._listed.get(folder)
        if known is None or known[0] != sig[:3]:
            now = dir_sig(folder)
            try:
                known = self._listed[folder] = (now, frozenset(os.listdir(folder)))
            except OSError:
                return False
        return known[0] == sig[:3] and known[1].isdisjoint(rivals(tail))

    def _write(self) -> None:
        if self._count >= _MANY or any(folder.had_heads for folder in self._folders.values()):
            for folder in self._folders.values():
                if folder.notes:
                    folder.write()
        if self._many + self._count >= looks.MANY and not looks.is_compiled():
            self._suggest(next(iter(self._folders.values())).store)

    def _suggest(self, store: Store) -> None:
        """Have what later programs can look with compiled, where there is a worker."""
        from ..worker.client import is_on, suggest

        wanted = looks.want(store.root)
        if wanted and is_on(self._session.process_settings()):
            suggest(wanted)


_NAMES = raw_names(ENVIRONMENT)


def rivals(tail: str) -> list[str]:
    """The names of what a plain import might take instead of ``tail.pyx``."""
    return [tail, *[tail + suffix for suffix in RIVALS]]
