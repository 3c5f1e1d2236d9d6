"""Starting the worker: a process of its own, that nobody waits for and no terminal ends."""

from __future__ import annotations

import os
import sys
import sysconfig

_SHELL = '"$@" </dev/null >/dev/null 2>"$0" &'
_MAIN = (
    "import sys; sys.path[:] = sys.argv.pop(1).split(chr(10)); "
    "from cyhot.worker.server import main; main()"
)


def launch(path: str, like: str) -> None:
    """Start a worker in the background.

    Args:
        path: The socket to listen on.
        like: A source; what it cimports is prepared for.

    Raises:
        OSError: If no process can be started.
    """
    command = [
        "/bin/sh", "-c", _SHELL, f"{path}.log",
        sys.executable, *_options(), "-c", _MAIN, "\n".join(_search_path()), path, like,
    ]  # fmt: skip
    # By way of a shell that ends at once: the worker is nobody's child, so that no program that
    # waits for its children finds one that it does not know.
    pid = os.posix_spawn(command[0], command, os.environ)
    os.waitpid(pid, 0)


def _options() -> list[str]:
    """What a user's variables and working folder hold must not be imported by the worker."""
    return ["-E", "-P", *(["-s"] if sys.flags.no_user_site else [])]


def _search_path() -> list[str]:
    """Where the worker imports from: what is installed, and where cyhot and Cython are.

    Not the user's own folders: a module there may have the name of one of the standard library.
    """
    from ..building.observe import find_package

    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    wanted = {here, os.path.dirname(find_package("Cython"))}
    library = sysconfig.get_paths()
    prefixes = tuple(library[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return [
        entry
        for entry in map(os.fspath, sys.path)
        if isinstance(entry, str)
        and entry
        and (entry in wanted or entry.startswith(prefixes) or entry.endswith(_INSTALLED))
    ]


_INSTALLED = ("site-packages", "dist-packages", ".zip")
