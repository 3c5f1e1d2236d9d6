"""A module's ``.pyxbld``: Python that says how to build it (pyximport's ``make_ext``).

It is run when its inputs changed (the modules that it imports, and what it looked at: see `noted`),
and not otherwise; in a process of its own, so that those modules are as they are now, and nothing
of it stays behind. A ``cythonize`` called in it is
intercepted: it gives its extensions back with their options, and writes no C file into the user's
tree.
"""

from __future__ import annotations

import ast
import json
import marshal
import os
import pickle
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import CompileError, Diagnostic, excerpt, read_source
from ..events import Noticed, emit
from .commands import run
from .noted import NOTHING, Noted, Notes, changed, is_users
from .observe import digest, hash_file, path_entries
from .setup_args import to_settings
from .store import Store

_CHILD = """\
import json, os, sys
given = json.loads(sys.argv[1])
sys.path[:] = given["sys_path"]
os.environ.clear()
os.environ.update(given["environ"])
os.chdir(given["cwd"])
from cyhot.building.pyxbld import answer
answer(given["path"], given["source"], given["name"], given["reply"])
"""

_FORMAT = "2"
"""Of what is kept in the store."""
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
        noted: What else it looked at.
    """

    values: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[tuple[str, str], ...] = ()
    noted: Noted = NOTHING

    def changed(self) -> str:
        """What of that is another by now, `""` if nothing is."""
        other = (path for path, content in self.inputs if hash_file(path) != content)
        return next(other, "") or changed(self.noted)

    @property
    def aliases(self) -> dict[str, Any]:
        """Names that stand for values in ``# distutils:`` comments."""
        return self.values.get("aliases", {})  # type: ignore[no-any-return]


def special_build(path: str, source: str, name: str, store: Store, folder: str) -> Special:
    """What a ``.pyxbld`` says, from an earlier run where its inputs are unchanged.

    Args:
        path: The ``.pyxbld``.
        source: The module's source.
        name: The module's full name.
        store: Where the outcome is kept.
        folder: A temporary folder.

    Raises:
        CompileError: If it fails, or returns something else than an Extension and a dict.
    """
    known = "\0".join((_FORMAT, path, source, name, sys.prefix, sys.version))
    kept_name = f"pyxbld-{digest(known.encode())}"
    kept = _kept(store, kept_name)
    if kept is not None:
        return kept
    special = _in_child(path, source, name, folder)
    try:
        data = marshal.dumps((special.values, special.inputs, special.noted))
    except ValueError:
        return special  # something that marshal has no form for: it runs again next time
    store.keep(f"cache/{kept_name}", data)
    return special


def _kept(store: Store, name: str) -> Special | None:
    data = store.read("cache", name)
    try:
        kept = Special(*marshal.loads(data)) if data else None
    except (ValueError, EOFError, TypeError):
        return None
    return None if kept is None or kept.changed() else kept


def _in_child(path: str, source: str, name: str, folder: str) -> Special:
    reply = os.path.join(folder, "pyxbld")
    given = {
        "sys_path": [entry for entry in path_entries() if isinstance(entry, str)],
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "path": path,
        "source": source,
        "name": name,
        "reply": reply,
    }
    ended = run([sys.executable, "-c", _CHILD, json.dumps(given)], folder)
    if not os.path.exists(reply):
        raise _failure(path, source, name, None, f"it ended its process:\n{ended.output}".strip())
    with open(reply, "rb") as file:
        answered = pickle.load(file)
    os.unlink(reply)
    if ended.output:
        emit(Noticed(f"{path} printed:\n{ended.output.rstrip()}", 2))
    if isinstance(answered, CompileError):
        raise answered
    return Special(*answered)


def answer(path: str, source: str, name: str, reply: str) -> None:
    """Run a ``.pyxbld`` in this process, and write what it said, or what is wrong with it.

    Args:
        path: The ``.pyxbld``.
        source: The module's source.
        name: The module's full name.
        reply: The file to write.
    """
    answered: object
    try:
        special = _Runner(path, source, name).run()
        answered = (special.values, special.inputs, special.noted)
    except CompileError as error:
        answered = error
    with open(f"{reply}.part", "wb") as file:
        pickle.dump(answered, file)
    os.replace(f"{reply}.part", reply)


class _Runner:
    """One run of a ``.pyxbld``."""

    def __init__(self, path: str, source: str, name: str) -> None:
        self.path = path
        self.source = source
        self.name = name

    def run(self) -> Special:
        content = hash_file(self.path)  # first: an edit meanwhile must not count as run
        text = read_source(self.path) or ""
        before = set(sys.modules)
        make_distutils_importable()
        namespace: dict[str, Any] = {"__file__": self.path, "__name__": "_cyhot_pyxbld"}
        notes = Notes()
        try:
            _intercept_cythonize(self.name)
            with notes.taken():
                exec(compile(text, self.path, "exec"), namespace)
                values = self._values(namespace)
        except (Exception, SystemExit) as error:
            raise self._failure(error) from error
        inputs = ((self.path, content), *self._imported(text, before))
        return Special(values, inputs, notes.all())

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

    def _imported(self, text: str, before: set[str]) -> Iterator[tuple[str, str]]:
        """The modules that it names, and the user's modules that those import."""
        named = set(_imported_names(text))
        for name, module in sorted(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if path and (name in named or (name not in before and is_users(path))):
                yield os.path.abspath(path), hash_file(path)

    def _failure(self, error: BaseException) -> CompileError:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == self.path]
        if isinstance(error, SyntaxError) and error.filename == self.path:
            lines.append(error.lineno)
        line = lines[-1] if lines else None
        message = f"{type(error).__name__}: {error}"
        return _failure(self.path, self.source, self.name, line, message)


def _failure(path: str, source: str, name: str, line: int | None, message: str) -> CompileError:
    diagnostic = Diagnostic(
        path=path,
        line=line,
        column=None,
        severity="error",
        message=message,
        stage="pyxbld",
        excerpt=excerpt(path, line, None),
        hint="a .pyxbld defines make_ext(modname, pyxfilename), which returns an Extension, or "
        "make_setup_args(), which returns a dict, or both",
    )
    return CompileError([diagnostic], name=name, path=source)


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


def make_distutils_importable() -> None:
    """Python has no distutils since 3.12, and a .pyxbld begins with it; setuptools brings one."""
    try:
        import setuptools  # noqa: F401
    except ImportError:
        pass  # before Python 3.12 it is there without it; else the import of it says so


def _intercept_cythonize(name: str) -> None:
    """Have `cythonize` give extensions back with the options, for the rest of this process."""
    import Cython.Build
    from Cython.Build import Dependencies

    def cythonize(
        module_list: Any,
        exclude: Any = None,
        nthreads: Any = 0,
        aliases: Any = None,
        **options: Any,
    ) -> list[Any]:
        """Gives the extensions back with the options; `cyhot` does the rest."""
        from setuptools import Extension

        many = [module_list] if isinstance(module_list, (str, Extension)) else list(module_list)
        extensions = [Extension(name, [item]) if isinstance(item, str) else item for item in many]
        for extension in extensions:
            extension.cyhot_options = {**options, "aliases": aliases}
        return extensions

    Dependencies.cythonize = Cython.Build.cythonize = cythonize
