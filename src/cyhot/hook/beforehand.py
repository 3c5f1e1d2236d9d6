"""Beginning builds while a program imports something else. On the warm path.

A program imports NumPy first and its own modules then: while it does the one, the other can be
compiled. So the sources that had to be built for a program are noted; its next run looks at them
when it imports something else first, and has the worker begin with those that changed. Each import
decides for itself all the same: what was begun for nothing ends with the program.
"""

from __future__ import annotations

import os
import sys

from ..building.observe import digest, file_sig
from ..building.record import sealed, unsealed
from ..building.request import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..building.observe import FileSig
    from ..building.request import Request
    from .session import Session

    Row = tuple[str, str, bool, FileSig | None]
    """A source's path, its module, whether that is a package, the signature it had."""

_MOST = 8
"""So many are noted: to look at one takes 7 us, whether anything changed or not."""


class Program:
    """What was built for the program that runs: `__main__`'s file in this folder."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, imported: str) -> None:
        """Have what changed since it was built last be built, unless it is what is wanted now.

        Args:
            imported: The module that the program imports first.
        """
        try:
            self._begin(imported)
        except Exception as error:
            from ..errors import CyhotError

            # The import that it concerns tells of it; this one has nothing to do with it.
            if not isinstance(error, (CyhotError, OSError)):
                raise

    def _begin(self, imported: str) -> None:
        name = self._name()
        rows = self._rows(name)
        changed = [row for row in rows if file_sig(row[0]) not in (None, row[3])]
        if not changed or imported in (row[1] for row in rows):
            return
        from ..worker.client import begin_ahead

        begin_ahead(self._stale(changed))
        self._keep(name, [(*row[:3], file_sig(row[0])) for row in rows])

    def note(self, source: Source) -> None:
        """Note that a source had to be built."""
        name = self._name()
        others = [row for row in self._rows(name) if row[0] != source.path]
        row = (source.path, source.name, source.is_package, file_sig(source.path))
        self._keep(name, [row, *others][:_MOST])

    def _stale(self, rows: list[Row]) -> Iterator[Request]:
        for path, name, is_package, _sig in rows:
            request = self._session.request(Source(path, name, is_package))
            if not request.is_served(request.find()):
                yield request

    def _name(self) -> str:
        """The name of the file with its notes, `""` for a program without a file."""
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        if not isinstance(main, str):
            return ""
        try:
            text = f"{os.getcwd()}\0{main}\0{sys.prefix}\0{sys.version}"
        except OSError:
            return ""  # the working folder was removed
        return f"program-{digest(text.encode('utf-8', 'surrogateescape'))}"

    def _rows(self, name: str) -> list[Row]:
        store = self._session.default_store()
        data = store.read("cache", name) if name and store.trusted() else b""
        try:
            rows: list[Row] = unsealed(data) if data else []
        except (ValueError, EOFError, TypeError):
            return []
        return rows

    def _keep(self, name: str, rows: list[Row]) -> None:
        if name:
            self._session.default_store().keep(f"cache/{name}", sealed(rows))
