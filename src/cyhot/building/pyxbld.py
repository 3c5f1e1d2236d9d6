"""A module's ``.pyxbld``: Python that says how to build it (pyximport's ``make_ext``).

It is run when its inputs changed, and not otherwise. A ``cythonize`` called in it is intercepted:
it gives its extensions back with their options, and writes no C file into the user's tree.
"""

from __future__ import annotations

import ast
import marshal
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import CompileError, Diagnostic, excerpt, read_source
from .observe import digest, hash_file
from .setup_args import to_settings
from .store import Store

_lock = threading.RLock()
"""Protects `cythonize`, which is another while a ``.pyxbld`` runs."""

_EXTENSION_LISTS = (
    "include_dirs",
    "undef_macros",
    "library_dirs",
    "libraries",
    "runtime_library_dirs",
    "extra_objects",
    "extra_compile_args",
    "extra_link_args",
    "depends",
)


@dataclass(frozen=True)
class Special:
    """What a ``.pyxbld`` said.

    Attributes:
        values: Settings by name; ``sources`` without the module's own.
        inputs: The files that it depends on, and their content hashes.
    """

    values: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[tuple[str, str], ...] = ()

    @property
    def aliases(self) -> dict[str, Any]:
        """Names that stand for values in ``# distutils:`` comments."""
        return self.values.get("aliases", {})  # type: ignore[no-any-return]


def special_build(path: str, source: str, name: str, store: Store) -> Special:
    """What a ``.pyxbld`` says, from an earlier run where its inputs are unchanged.

    Args:
        path: The ``.pyxbld``.
        source: The module's source.
        name: The module's full name.
        store: Where the outcome is kept.

    Raises:
        CompileError: If it fails, or returns something else than an Extension and a dict.
    """
    known = "\0".join((path, source, name, sys.prefix, sys.version))
    kept_name = f"pyxbld-{digest(known.encode())}"
    kept = _kept(store, kept_name)
    if kept is not None:
        return kept
    with _lock:
        special = _Runner(path, source, name).run()
    try:
        data = marshal.dumps((special.values, special.inputs))
    except ValueError:
        return special  # something that marshal has no form for: it runs again next time
    store.keep(f"cache/{kept_name}", data)
    return special


def _kept(store: Store, name: str) -> Special | None:
    data = store.read("cache", name)
    try:
        values, inputs = marshal.loads(data) if data else (None, ())
    except (ValueError, EOFError, TypeError):
        return None
    if values is None or any(hash_file(file) != content for file, content in inputs):
        return None
    return Special(values, inputs)


class _Runner:
    """One run of a ``.pyxbld``."""

    def __init__(self, path: str, source: str, name: str) -> None:
        self.path = path
        self.source = source
        self.name = name

    def run(self) -> Special:
        text = read_source(self.path) or ""
        before = set(sys.modules)
        make_distutils_importable()
        namespace: dict[str, Any] = {"__file__": self.path, "__name__": "_cyhot_pyxbld"}
        try:
            with _intercepted_cythonize(self.name):
                exec(compile(text, self.path, "exec"), namespace)
                values = self._values(namespace)
        except (Exception, SystemExit) as error:
            raise self._failure(error) from error
        return Special(values, tuple(self._inputs(text, before)))

    def _values(self, namespace: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if "make_ext" in namespace:
            extension = namespace["make_ext"](self.name, self.source)
            if not hasattr(extension, "sources"):
                raise TypeError(f"make_ext() must return an Extension, not {extension!r}")
            values = of_extension(extension)
        if "make_setup_args" in namespace:
            given = namespace["make_setup_args"]()
            if not isinstance(given, dict):
                raise TypeError(f"make_setup_args() must return a dict, not {given!r}")
            for key, value in to_settings(given)[0].items():
                values[key] = [*values.get(key, []), *value] if isinstance(value, tuple) else value
        return values

    def _inputs(self, text: str, before: set[str]) -> Iterator[tuple[str, str]]:
        """The ``.pyxbld`` itself and the modules of the user's that it imports."""
        yield self.path, hash_file(self.path)
        named = set(_imported_names(text))
        for name, module in sorted(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if path and (name in named or (name not in before and _is_users(path))):
                yield os.path.abspath(path), hash_file(path)

    def _failure(self, error: BaseException) -> CompileError:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == self.path]
        if isinstance(error, SyntaxError) and error.filename == self.path:
            lines.append(error.lineno)
        line = lines[-1] if lines else None
        return CompileError(
            [Diagnostic(
                path=self.path, line=line, column=None, severity="error", stage="pyxbld",
                message=f"{type(error).__name__}: {error}", excerpt=excerpt(self.path, line, None),
                hint="a .pyxbld defines make_ext(modname, pyxfilename), which returns an "
                "Extension, or make_setup_args(), which returns a dict, or both",
            )],
            name=self.name, path=self.source,
        )  # fmt: skip


def of_extension(extension: Any) -> dict[str, Any]:
    """The settings that an Extension object stands for; its own ``.pyx`` is no further source."""
    values = {
        name: list(getattr(extension, name))
        for name in _EXTENSION_LISTS
        if getattr(extension, name, None)
    }
    own = {".pyx", ".py"}
    others = [s for s in extension.sources if os.path.splitext(os.fspath(s))[1] not in own]
    values["sources"] = [os.fspath(source) for source in others]
    if getattr(extension, "define_macros", None):
        values["define_macros"] = [tuple(macro) for macro in extension.define_macros]
    if getattr(extension, "language", None):
        values["language"] = extension.language
    values.update(_cython_options(extension))
    return {key: value for key, value in values.items() if value}


def _cython_options(extension: Any) -> dict[str, Any]:
    """Options for Cython: of an intercepted `cythonize`, or of Cython's own Extension class."""
    options = dict(getattr(extension, "cyhot_options", {}))
    values: dict[str, Any] = {
        "directives": {
            **(options.get("compiler_directives") or {}),
            **(getattr(extension, "cython_directives", None) or {}),
        },
        "include_path": list(
            options.get("include_path") or getattr(extension, "cython_include_dirs", None) or ()
        ),
        "language_level": options.get("language_level"),
        "compile_time_env": options.get("compile_time_env")
        or getattr(extension, "cython_compile_time_env", None),
        "aliases": options.get("aliases"),
    }
    level = values["language_level"] or values["directives"].pop("language_level", None)
    values["language_level"] = int(level) if str(level).isdecimal() else level
    if options.get("language") or getattr(extension, "cython_cplus", 0):
        values["language"] = options.get("language") or "c++"
    return {key: value for key, value in values.items() if value}


def _imported_names(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _is_users(path: str) -> bool:
    parts = os.path.abspath(path).split(os.sep)
    library = os.path.dirname(os.__file__)
    return "site-packages" not in parts and not os.path.abspath(path).startswith(library)


def make_distutils_importable() -> None:
    """Python has no distutils since 3.12, and a .pyxbld begins with it; setuptools brings one."""
    try:
        import setuptools  # noqa: F401
    except ImportError:
        pass  # before Python 3.12 it is there without it; else the import of it says so


@contextmanager
def _intercepted_cythonize(name: str) -> Iterator[None]:
    import Cython.Build
    from Cython.Build import Dependencies

    original = Dependencies.cythonize
    runner: int | None = threading.get_ident()

    def cythonize(
        module_list: Any,
        exclude: Any = None,
        nthreads: Any = 0,
        aliases: Any = None,
        **options: Any,
    ) -> list[Any]:
        """Gives the extensions back with the options; `cyhot` does the rest."""
        if threading.get_ident() != runner:
            # Another thread's call, or a later one of a module that the .pyxbld imported first.
            return original(module_list, exclude, nthreads, aliases, **options)  # type: ignore[no-any-return]
        from setuptools import Extension

        many = [module_list] if isinstance(module_list, (str, Extension)) else list(module_list)
        extensions = [Extension(name, [item]) if isinstance(item, str) else item for item in many]
        for extension in extensions:
            extension.cyhot_options = {**options, "aliases": aliases}
        return extensions

    Dependencies.cythonize = Cython.Build.cythonize = cythonize
    try:
        yield
    finally:
        runner = None
        Dependencies.cythonize = Cython.Build.cythonize = original
