"""Switching the import hook on and off. On the warm path."""

from __future__ import annotations

import os
import sys

from ..settings import FIELDS, check
from . import background
from .finder import Finder
from .session import Session, working_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ..settings import Settings

_PYXIMPORT = frozenset(
    {
        "pyximport",
        "pyimport",
        "build_in_temp",
        "setup_args",
        "reload_support",
        "load_py_module_on_import_failure",
    }
)
"""Keywords that only pyximport's `install` has."""

_finder: Finder | None = None


class Hook:
    """The installed import hook, as a handle and a context manager.

    Leaving the context, or `uninstall`, takes away what this call of `install` brought: the
    hook itself, or, if it was there before, the changed settings.
    """

    def __init__(self, finder: Finder | None, before: Session | None) -> None:
        self._finder = finder
        self._before = before

    @property
    def settings(self) -> Settings | None:
        """The settings that hold for the process, None if cyhot is disabled."""
        return self._finder.settings if self._finder else None

    def uninstall(self) -> None:
        """Undo what the call of `install` that gave this handle did."""
        if self._finder is None or self._finder is not _finder:
            return
        if self._before is None:
            uninstall()
        else:
            self._finder.configure(self._before)
            _go_live(self._before)
        self._finder = None

    def __enter__(self) -> Hook:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()

    def __iter__(self) -> Iterator[Hook | None]:
        """Two values, as pyximport's `install` returns them: (py_importer, pyx_importer)."""
        return iter((None, self))


def install(**keywords: object) -> Hook:
    """Make ``.pyx`` files importable like ``.py`` files.

    A second call updates the settings of the first. With ``CYHOT_DISABLE=1`` in the environment
    nothing happens.

    Args:
        **keywords: Settings (see docs/settings.md), the commonest: ``profile`` ("dev", "release",
            "debug", "trace"), ``language_level`` (2, 3 or "3str"), ``directives``,
            ``include_dirs``, ``py`` (patterns of ``.py`` modules to compile), ``include`` and
            ``exclude`` (patterns of module names), ``build_dir``, ``inplace``, ``keep_c``,
            ``launcher``, ``verbose``; of swapping in what is saved, ``watch``, ``swap``
            ("auto", "manual", "cell"), ``settle``, ``stages``. pyximport's keywords mean what they
            mean there (see docs/pyximport.md).

    Returns:
        A handle: a context manager with ``uninstall()`` and ``settings``.

    Raises:
        SettingsError: For wrong names or values, all of them at once.
    """
    global _finder
    if os.environ.get("CYHOT_DISABLE", "0").lower() not in ("", "0", "false", "no", "off"):
        return Hook(None, None)
    values = values_of(keywords)
    if _finder is not None and is_installed():
        before = _finder.session
        _finder.configure(before.updated(values))
        _go_live(_finder.session)
        return Hook(_finder, before)
    _finder = Finder(Session(values))
    sys.meta_path.insert(_place(), _finder)
    _go_live(_finder.session)
    return Hook(_finder, None)


def _go_live(session: Session) -> None:
    """Start the live session, or end it, as the settings say that are known without reading any.

    A pyproject.toml is read by the live session itself: a short script has no use for it. Tests
    have to say that they want one: what is saved during a run must not change what is tested.
    """
    if session.said("watch", "_pytest.main" not in sys.modules):
        background.begin()
    else:
        background.end()


def values_of(keywords: dict[str, object]) -> dict[str, object]:
    """Checked settings for keywords of `install`, pyximport's included.

    Raises:
        SettingsError: For wrong names or values, all of them at once.
    """
    given = keywords
    if not _PYXIMPORT.isdisjoint(keywords) or keywords.get("language_level", 3) is None:
        from .pyximport_keywords import translate

        given = translate(keywords)
    meant = {n: v for n, v in given.items() if v is not None or n not in FIELDS}
    return check("install()", meant, working_folder())


def _place() -> int:
    """Right before PathFinder: finders that others put before it keep their say."""
    from importlib.machinery import PathFinder

    finders: list[object] = list(sys.meta_path)
    return finders.index(PathFinder) if PathFinder in finders else len(finders)


def uninstall(*importers: object) -> None:
    """Take the import hook away, and the live session with it; modules that were imported stay.

    Args:
        *importers: What pyximport's `uninstall` takes; ignored.
    """
    global _finder
    if _finder is not None and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    _finder = None
    background.end()


def is_installed() -> bool:
    """Whether the import hook is there."""
    return _finder is not None and _finder in sys.meta_path


def current_session() -> Session:
    """The installed hook's session, or one with the environment's settings alone."""
    return _finder.session if _finder is not None else Session({})
