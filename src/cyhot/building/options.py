"""What compilers are told, by their command lines and their variables: where they look, for what.

A depfile lists what was found, never where else it was looked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ..settings import AS_WRITTEN, placed_folders
from .inputs import Prober
from .recipe import FOLDER_LISTS

# Words -----------------------------------------------------------------------------------------


def located(words: Iterable[str], prober: Prober) -> list[str]:
    """Options, with the headers that `settings.placed_folders` left open where they are.

    A compiler looks for what ``-include`` names in the folder that it is called in, then as for any
    quoted name; it is called in a folder of ours.

    Args:
        words: The options.
        prober: Takes note of what is there and what isn't.
    """

    def locate(path: str) -> str:
        folder, mark, name = path.partition(AS_WRITTEN)
        return path if not mark or prober.exists(os.path.join(folder, name)) else name

    return list(placed_folders(words, str, locate))


# Variables -------------------------------------------------------------------------------------


def placed_lists(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that list folders, each folder absolute. Compilers run in a folder of ours."""
    return {
        name: os.pathsep.join(map(os.path.abspath, environ[name].split(os.pathsep)))
        for name in FOLDER_LISTS
        if environ.get(name)
    }
