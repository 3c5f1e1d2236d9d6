"""``pyximport.pyxbuild``'s one function, for programs that call it."""

from __future__ import annotations

import os
from typing import Any

from .building.pyxbld import of_extension
from .building.run import ensure
from .hook import current_session, values_of
from .hook.commands import source_at


def pyx_to_dll(  # noqa: PLR0917  (pyximport's signature)
    filename: str | os.PathLike[str],
    ext: Any = None,
    force_rebuild: int = 0,
    build_in_temp: bool = False,
    pyxbuild_dir: str | None = None,
    setup_args: dict[str, Any] | None = None,
    reload_support: bool = False,
    inplace: bool = False,
) -> str:
    """Build a ``.pyx`` file and return the path of the image.

    Args:
        filename: The source.
        ext: An Extension; its name is the module's, its other options hold.
        force_rebuild: Ignored: an image is built anew exactly if it does not match.
        build_in_temp: As in `cyhot.install`.
        pyxbuild_dir: The store's folder.
        setup_args: As in `cyhot.install`.
        reload_support: Ignored: every image has a path of its own.
        inplace: Whether to put the image beside the source as well.

    Returns:
        The image's path in the store.

    Raises:
        FileNotFoundError: If there is no such source.
        CompileError: If it does not compile.
    """
    source = source_at(os.fspath(filename), getattr(ext, "name", None))
    keywords = {"setup_args": setup_args, "inplace": inplace}
    options = of_extension(ext) if ext is not None else {}
    options.pop("aliases", None)
    given = {**keywords, "build_dir": pyxbuild_dir, "standalone": True, **options}
    session = current_session().updated(values_of(given))
    request = session.request(source)
    return ensure(request, request.find())
