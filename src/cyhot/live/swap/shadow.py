"""A new version of a module, run beside the old one, which knows nothing of it."""

from __future__ import annotations

import traceback
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ...building.instrument import Facts
from ...hook.loader import Loader
from .lineage import NO_TABLES, Generation, Loaded, Unknown, read_facts
from .patcher import patcher

SPECIAL = frozenset({
    "__name__", "__loader__", "__spec__", "__package__", "__builtins__", "__path__", "__file__",
    "__cached__",
})  # fmt: skip
"""What a module has from being imported, not from its body."""


class BodyFailed(Exception):
    """A new body raised; its text is the traceback, its cause what was raised."""


class Shadow:
    """A loaded, not yet committed image.

    Attributes:
        loaded: The module whose new version it is.
        module: A module object that nobody else knows.
        image: The image's tables.
        facts: What it is compared by.
        path: The image in the store.
        loader: What loaded it.
        generation: What is kept of it once its code runs; there once its body ran.
    """

    __slots__ = ("facts", "generation", "image", "loaded", "loader", "module", "path")

    generation: Generation

    def __init__(self, loaded: Loaded, path: str) -> None:
        """Map the image; nothing of it runs.

        Raises:
            Unknown: If it cannot be swapped in.
        """
        self.loaded = loaded
        self.path = path
        self.facts: Facts = read_facts(path, path)
        before = loaded.loader
        self.loader = Loader(before.session, before.source)
        spec = ModuleSpec(
            loaded.name, self.loader, origin=before.source.path, is_package=before.source.is_package
        )
        old = loaded.module.__spec__
        if old is not None and old.submodule_search_locations is not None:
            spec.submodule_search_locations = list(old.submodule_search_locations)
        self.module: ModuleType = self.loader.shadow(path, spec)
        self.image: Any = patcher().open_image(self.loader.mapped)
        if self.image is None:
            raise Unknown(NO_TABLES)

    def run(self) -> None:
        """Run the body.

        Raises:
            BodyFailed: If it raises.
        """
        live = vars(self.loaded.module)
        given = {name: live[name] for name in self.facts.guards if name in live}
        self.module.__dict__.update(given)
        self.image.track()
        try:
            self.loader.exec_module(self.module)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise BodyFailed(_told(error)) from error
        finally:
            self.image.untrack()
        self.generation = Generation(self.image, self.facts, self.path)


def _told(error: BaseException) -> str:
    """A traceback, from the frame of the body on."""
    trace = error.__traceback__
    own = __file__.rpartition("live")[0]
    while trace is not None and (
        trace.tb_frame.f_code.co_filename.startswith(own)
        or trace.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    ):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
