"""Module spec to module: an image that matches its source, loaded.

A module's ``__file__`` is its source (so resources, `inspect` and reloaders find it), its
``__cached__`` the image, as a ``.py`` module's are the ``.py`` and the ``.pyc``.
"""

from __future__ import annotations

import sys
from _imp import create_dynamic
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader

from ..building.observe import Observer
from ..building.request import Source
from ..building.store import needs_of
from .companion import provide, supply
from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, ModuleType

    from ..building.request import Request
    from .finder import Finder
    from .known import Folder, Found

_loaded: set[str] = set()
"""Images that this process has mapped. The same path again would give the old module back."""


def count() -> int:
    """How many images this process has mapped; another number means that something was imported."""
    return len(_loaded)


class Loader(ExtensionFileLoader):
    """Loads one source; compiles it first if it has to.

    Attributes:
        mapped: The path that the image was loaded from: itself, or a copy that is gone by now.

    ``exec_module`` is inherited, so that a traceback out of a module's body shows no frame of
    cyhot's.
    """

    def __init__(self, session: Session, source: Source) -> None:
        super().__init__(source.name, source.path)
        self.session = session
        self._is_package = source.is_package
        self.mapped = ""
        self._needs: tuple[str, ...] = ()

    @property
    def source(self) -> Source:
        """What it loads."""
        return Source(self.path, self.name, self._is_package)

    def image(self) -> str:
        """The path of an image that matches the source now.

        Raises:
            CompileError: If it does not compile.
        """
        return self._image(Observer())

    def _image(self, look: Observer) -> str:
        request = self.session.request(self.source, look)
        hit = request.find(look)
        if request.is_served(hit):
            self._needs = hit.needs
            _client("settle", request)
            self.session.known.note(request, hit, look)
            return hit.image
        from ..worker.client import ensure

        image = ensure(request, hit, self._wanted_next)
        self.session.program.note(self.source)
        self._needs = needs_of(image)
        return image

    def _wanted_next(self) -> Iterator[Request]:
        """What will probably be imported after this module, and has to be built."""
        if "." not in self.name and not _mentions_import(self.path):
            return iter(())
        from .ahead import wanted_next

        return wanted_next(self.session, self.source)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A new, not yet executed module of the source's image."""
        try:
            image = self._image(self.session.recent.observer())
        except (Exception, KeyboardInterrupt) as error:
            hide_frames(error)
            raise
        try:
            module = self._map(image, spec)
        except ImportError as error:
            from .execute import was_evicted

            try:
                if not was_evicted(error, image, self.source):
                    raise
                image = self.image()
            except (Exception, KeyboardInterrupt) as told:
                hide_frames(told)
                raise
            module = self._map(image, spec)
        spec.cached = image
        module.__file__ = self.path
        return module

    def _provide(self, image: str) -> None:
        """Have what an image imports from beside it importable."""
        for name in self._needs:
            provide(image, name)

    def _map(self, image: str, spec: ModuleSpec) -> ModuleType:
        self._provide(image)
        path = image
        if image in _loaded:
            from .execute import private_copy

            path = private_copy(image)
        _loaded.add(image)
        self.mapped = spec.origin = path  # that is where the system's loader looks
        try:
            return super().create_module(spec)
        finally:
            spec.origin = self.path
            if path != image:
                from .execute import discard

                discard(path)

    def shadow(self, image: str, spec: ModuleSpec) -> ModuleType:
        """A new, not yet executed module of an image, whatever the source is by now.

        Args:
            image: The image.
            spec: The spec that the module gets.
        """
        self._needs = needs_of(image)
        module = self._map(image, spec)
        spec.cached = image
        module.__file__ = self.path
        return module

    def is_package(self, fullname: str) -> bool:
        """Whether the source is a package's ``__init__``."""
        return self._is_package

    def get_source(self, fullname: str) -> str:  # type: ignore[override]
        """The source's text."""
        from .execute import read_source

        return read_source(self.path)

    def get_code(self, fullname: str) -> CodeType:  # type: ignore[override]
        """Code that runs the image's body in the namespace it is executed in, for `runpy`."""
        from .execute import runner

        return runner(self)


def hide_frames(error: BaseException) -> None:
    """Which of our functions noticed what is wrong with a source, or Ctrl-C, helps nobody."""
    if type(error).__module__ == "cyhot.errors" or isinstance(error, KeyboardInterrupt):
        error.__traceback__ = None


def _client(name: str, *arguments: object) -> object:
    """Call a function of the worker's client, where builds may have been begun ahead by it.

    While another thread imports that module, it has not begun any, and may lack the function.
    """
    function = getattr(sys.modules.get("cyhot.worker.client"), name, None)
    return function(*arguments) if function is not None else None


class KnownLoader(Loader):
    """Loads a source that was unchanged when a process last looked, if it still is.

    Whether it is, is decided when the module is made: between a spec and its module any time may
    pass; but for an import statement, which makes one right after the other.

    Args:
        finder: Whose it is.
        name: The module's name.
        folder: The heads of its folder.
        path: The source.
        found: Its image, where an import statement that is under way has found it unchanged.
    """

    def __init__(
        self, finder: Finder, name: str, folder: Folder, path: str, found: Found | None
    ) -> None:
        # As `Loader` does, in one call less.
        self.name, self.path, self._is_package = name, path, False
        self.session = finder.session
        self.mapped, self._needs = "", ()
        self._finder, self._folder, self._found = finder, folder, found

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A new, not yet executed module: of the image that is known, or as any other."""
        found, self._found = self._found, None
        found = found or self._folder.find(self.name)
        if found is None or ("cyhot.worker.client" in sys.modules and _client("has_begun_ahead")):
            return self._as_any_other(spec)
        image, needs = found
        if image in _loaded or not supply(image, needs):
            return self._as_any_other(spec)
        _loaded.add(image)
        self.mapped = spec.origin = image
        try:
            module: ModuleType = create_dynamic(spec)
        except ImportError:  # evicted just now; or there is something to explain
            _loaded.discard(image)
            return self._as_any_other(spec)
        finally:
            spec.origin = self.path
        spec.cached = image
        module.__file__ = self.path
        return module

    def _as_any_other(self, spec: ModuleSpec) -> ModuleType:
        self._finder.say_passed_over(self.source)
        return super().create_module(spec)


def _mentions_import(path: str) -> bool:
    """Whether a source or its own ``.pxd`` may import anything."""
    for name in (path, f"{path.rpartition('.')[0]}.pxd"):
        try:
            with open(name, "rb", buffering=0) as file:
                if b"import" in file.read():
                    return True
        except OSError:
            pass  # there is none
    return False


class Reloader(Loader):
    """What `importlib.reload` executes: the present image's body, in the same module."""

    def exec_module(self, module: ModuleType) -> None:
        """Give an existing module the code of an image that matches the source now.

        It is swapped in: whatever was imported from the module before has the new code, too. A
        module that was built without what that takes is executed anew in its namespace.

        Raises:
            CompileError: If the source does not compile; the module is as it was.
            SwapError: If the image cannot be executed in an existing module.
        """
        try:
            image = self.image()
        except (Exception, KeyboardInterrupt) as error:
            hide_frames(error)
            raise
        from importlib import import_module

        if import_module("cyhot.live.session").reload(module, self, image):
            return
        from .execute import private_copy, run_in

        self._provide(image)
        _loaded.add(image)
        run_in(module, private_copy(image), self.name)
        module.__dict__["__cached__"] = image
        if module.__spec__ is not None:
            module.__spec__.cached = image


class WrappingLoader(Loader):
    """Raises what a module's body raises as an ImportError from it, as pyximport does."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the body.

        Raises:
            ImportError: For any exception of the body's, which is its cause.
        """
        try:
            super().exec_module(module)
        except Exception as error:
            raise ImportError(
                f"Executing module {self.name} failed: {type(error).__name__}: {error}",
                name=self.name,
                path=self.path,
            ) from error


class FallbackLoader(Loader):
    """Imports a ``.py`` as it is where it cannot be compiled, or fails to run compiled."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # type: ignore[override]
        """The compiled module; None (a plain one) if it does not compile."""
        from ..errors import CompileError

        try:
            return super().create_module(spec)
        except CompileError as error:
            from .warn import falls_back

            falls_back(self.source, error)
            return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the compiled body, or else the source."""
        if getattr(module, "__cached__", None) in _loaded:
            try:
                super().exec_module(module)
                return
            except Exception as error:
                from .warn import falls_back

                falls_back(self.source, error)
        SourceFileLoader(self.name, self.path).exec_module(module)
