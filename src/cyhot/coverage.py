"""The plugin with which coverage.py counts the lines of ``.pyx`` files (profile ``trace``).

It is Cython's own, which reads the generated C to learn which lines there are; only that it finds
the C file in cyhot's store, so that none needs to lie in the user's tree::

    [tool.coverage.run]
    plugins = ["cyhot.coverage"]
"""

from __future__ import annotations

import os
from typing import Any

from Cython.Coverage import Plugin as CythonPlugin

from .building.cfiles import traced
from .hook import current_session


class Plugin(CythonPlugin):  # type: ignore[misc]
    """Cython's plugin, with C files from the store."""

    def _find_source_files(self, filename: str) -> tuple[str | None, str | None]:
        c_file = traced(current_session().default_store(), filename)
        return (c_file, None) if c_file else super()._find_source_files(filename)

    def _read_source_lines(self, c_file: str, sourcefile: str) -> tuple[Any, Any]:
        """Lines of a source by its path.

        Cython looks for the names in the C file below the working directory and on sys.path; a
        report may be made with others than the run had.
        """
        found: tuple[Any, Any] = super()._read_source_lines(c_file, sourcefile)
        if found[0] is not None:
            return found
        for name, code in self._parsed_c_files[c_file].items():
            if sourcefile.endswith(os.sep + name):
                self._c_files_map[sourcefile] = (c_file, name, code)
                return name, code
        return found


def coverage_init(reg: Any, options: Any) -> None:
    """What coverage.py calls for ``plugins = ["cyhot.coverage"]``."""
    plugin = Plugin()
    reg.add_configurer(plugin)
    reg.add_file_tracer(plugin)
