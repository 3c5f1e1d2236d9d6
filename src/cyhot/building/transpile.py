"""Cython's compiler as a library: a source in, C and all that Cython looked at out.

Invariant 5: the C is what ``python -m cython`` generates for the same options, byte for byte.
Each compile has a new Context and cleared caches (a negative look-up is cached for ever
otherwise), Cython's global options are at their defaults while it runs whatever the process set
them to, and nothing of it stays behind. One compile at a time runs in a process: Cython's
compiler keeps global state.
"""

from __future__ import annotations

import ast
import copy
import errno
import gc
import os
import re
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from ..errors import CompileError, Diagnostic, Severity, excerpt, read_source
from .cimports import leading_cimports
from .graph import Lookup, search
from .inputs import Prober
from .observe import FileSig, file_sig, hash_file, is_young, path_entries, search_path
from .pristine import Pristine

_lock = threading.RLock()
"""Protects Cython's global options, caches and thread-locals: one compile at a time."""


def _take_lock() -> None:
    _lock.acquire()


def _give_lock() -> None:
    _lock.release()


def _new_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # A fork waits for the compile (and the import of Cython) of another thread: a child that is
    # split off in the middle would wait for ever for that thread's imports, or use its options.
    os.register_at_fork(
        before=_take_lock,
        after_in_parent=_give_lock,
        after_in_child=_new_lock,
    )


@dataclass(frozen=True)
class TranspileRequest:
    """What to transpile, and how.

    Attributes:
        source: Absolute path of the ``.pyx`` or ``.py``.
        module_name: Full module name.
        output: Absolute path of the C file to write.
        cplus: Whether to generate C++.
        language_level: 2, 3 or "3str", where the source does not say.
        directives: Compiler directives, where the source does not say.
        forced: Directives that hold whatever the source says.
        include_path: Folders in which ``.pxd`` and ``.pxi`` files are looked for.
        compile_time_env: Values for ``DEF``-like names.
        annotate: Whether to write the HTML annotation beside the C file.
        line_directives: Whether to write ``#line`` into the C file, so that debuggers show the
            source.
        shared: Qualified name of the shared utility module that the C is to import, `""` for
            none.
    """

    source: str
    module_name: str
    output: str
    cplus: bool = False
    language_level: int | str = 3
    directives: dict[str, object] = field(default_factory=dict)
    forced: dict[str, object] = field(default_factory=dict)
    include_path: tuple[str, ...] = ()
    compile_time_env: dict[str, object] = field(default_factory=dict)
    annotate: bool = False
    line_directives: bool = False
    shared: str = ""

    def options(self) -> tuple[str, ...]:
        """What of this is part of an image's identity, as text."""
        parts = (
            self.cplus,
            self.language_level,
            self.line_directives,
            sorted(self.directives.items()),
            self.shared,
        )
        more = (sorted(self.forced.items()), self.include_path)
        return tuple(map(repr, (*parts, *more, sorted(self.compile_time_env.items()))))

    def shape(self) -> tuple[Any, ...]:
        """The options that are the same for many modules, as a value that marshal can write."""
        tables = (self.directives, self.forced, self.compile_time_env)
        return (
            self.cplus,
            self.language_level,
            self.include_path,
            self.shared,
            *(tuple(sorted(table.items())) for table in tables),
        )

    @classmethod
    def of_shape(cls, source: str, shape: tuple[Any, ...]) -> TranspileRequest:
        """A request with the options that `shape` gave."""
        cplus, language_level, include_path, shared, directives, forced, env = shape
        return cls(
            source=source,
            module_name="",
            output="",
            cplus=cplus,
            language_level=language_level,
            include_path=tuple(include_path),
            shared=shared,
            directives=dict(directives),
            forced=dict(forced),
            compile_time_env=dict(env),
        )


@dataclass(frozen=True)
class Opened:
    """A file that Cython opened, as it was just before."""

    path: str
    sig: FileSig
    content: str
    relation: str
    via: str


@dataclass(frozen=True)
class TranspileResult:
    """What a transpilation gave.

    Attributes:
        c_path: The C file.
        opened: The files that Cython opened, the source first.
        lookups: The searches that it made.
        prober: What those searches found and missed.
        standard: Cython's ``Includes`` folder.
        version: Cython's version as ``graph.search`` takes it.
        sys_path: The folders of sys.path at the time.
        warnings: What Cython had to say.
        replayable: Whether `graph.search` gave every result that Cython's own search gave.
        was_prepared: Whether a Context was used that had cimported some modules before.
    """

    c_path: str
    opened: tuple[Opened, ...]
    lookups: tuple[Lookup, ...]
    prober: Prober
    standard: str
    version: int
    sys_path: tuple[str, ...]
    warnings: tuple[Diagnostic, ...]
    replayable: bool
    was_prepared: bool = False


class NeedsCPlusPlus(BaseException):
    """A C++ declaration was cimported while generating C.

    Not an Exception, because Cython's transforms turn those into compiler crashes.
    """


def transpile(request: TranspileRequest) -> TranspileResult:
    """Generate C (or C++) from a source.

    Raises:
        CompileError: With all of Cython's errors.
        NeedsCPlusPlus: If `request.cplus` is off and the source cimports from libcpp, or from a
            ``.pxd`` whose header says ``# distutils: language=c++``.
    """
    global _prepared
    with _lock, _uncollected():
        prepared, _prepared = _prepared, None  # whatever comes of it, it is used up
        if prepared is not None and prepared.fits(request):
            with _options_of(request):
                if result := _Run(request).run_prepared(prepared):
                    return result
        with _pristine(request):
            return _Run(request).run()


def prepare(request: TranspileRequest, names: Sequence[str]) -> bool:
    """Have a Context cimport modules, for the next `transpile` in this process.

    Meant for a process that is forked for each compile: a Context can be used once.

    Args:
        request: The options of the modules to come, and the source of one of them.
        names: Absolute module names, in the order in which the modules to come cimport them.

    Returns:
        Whether there is one. That it fits is found out when it is used.
    """
    global _prepared
    with _lock, _uncollected(), _pristine(request):
        _prepared = _Run(request).prepared(names)
    return _prepared is not None


def restore() -> None:
    """Make Cython's module-level objects what they were before the first compile.

    The next compile does it otherwise; a process to be forked from does it beforehand.
    """
    global _is_pristine
    with _lock:
        if _objects is not None and not _is_pristine:
            _objects.restore()
            _is_pristine = True


def may_be_prepared(path: str, text: str) -> bool:
    """Whether nothing comes before what a source cimports first.

    A ``.pxd`` of the same name is read first, with what it cimports; ``np_pythran`` includes
    headers before all others; pure Python has options of its own.
    """
    own = f"{os.path.splitext(path)[0]}.pxd"
    return path.endswith(".pyx") and "np_pythran" not in text and not os.path.exists(own)


def is_installed(path: str, standard: str) -> bool:
    """Whether a ``.pxd`` belongs to Cython or an installed package, not to the user's work."""
    parts = path.split(os.sep)
    installed = "site-packages" in parts or "dist-packages" in parts
    return bool(path) and (path.startswith(standard) or installed)


_LEVEL = re.compile(r"language_level\s*=\s*(\w+)")


@dataclass(frozen=True)
class Prepared:
    """A Context that has cimported some modules, and what it read and searched for them."""

    context: Any
    names: tuple[str, ...]
    request: TranspileRequest
    opened: tuple[Opened, ...]
    lookups: tuple[Lookup, ...]
    said: tuple[str, ...]
    as_of: int

    def fits(self, request: TranspileRequest) -> bool:
        """Whether a compile would have read the same, in the same way."""
        text = read_source(request.source) or ""
        levels = set(_LEVEL.findall(text))
        return (
            leading_cimports(text)[: len(self.names)] == self.names
            and may_be_prepared(request.source, text)
            and self.request.shape() == request.shape()
            and levels <= {str(request.language_level)}
            and all(self._is_unchanged(file) for file in self.opened)
        )

    def _is_unchanged(self, file: Opened) -> bool:
        if is_young(file.sig[1:3], self.as_of):
            return hash_file(file.path) == file.content
        return file_sig(file.path) == file.sig


def generate_shared(path: str, name: str, cplus: bool) -> str:
    """Generate the C of Cython's shared utility module.

    Args:
        path: The C file to write.
        name: The module's name.
        cplus: Whether to generate C++.

    Returns:
        What is wrong, `""` if it was written.
    """
    from Cython.Build.SharedModule import generate_shared_module
    from Cython.Compiler.Options import CompilationOptions, default_options

    with _lock, _uncollected(), _pristine(TranspileRequest(path, name, path)), _light_sequences():
        options = CompilationOptions(
            default_options,
            shared_c_file_path=path,
            module_name=name,
            cplus=int(cplus),
            errors_to_stderr=0,
        )
        error, _data = generate_shared_module(options)
    return str(error) if error or not os.path.exists(path) else ""


@contextmanager
def _light_sequences() -> Iterator[None]:
    """Have memoryviews take the class ``Sequence`` from where the interpreter has it already.

    Cython's text has them import ``collections.abc``: five sixths of the time that the shared
    module's import takes in a program that has no other use for it.
    """
    from Cython.Compiler import Code

    read, cache = Code.read_utilities_hook, Code.UtilityCodeBase._utility_cache

    def read_changed(path: str) -> list[str]:
        lines = read(path)
        return [line.replace(_HEAVY_SEQUENCE, _LIGHT_SEQUENCE) for line in lines]

    Code.read_utilities_hook = read_changed
    before = cache.pop(_MEMORYVIEWS, None)
    try:
        yield
    finally:
        Code.read_utilities_hook = read
        cache.pop(_MEMORYVIEWS, None)
        if before is not None:
            cache[_MEMORYVIEWS] = before


_MEMORYVIEWS = "MemoryView.pyx"
_HEAVY_SEQUENCE = '__import__("collections.abc").abc.Sequence'
_LIGHT_SEQUENCE = '__import__("_collections_abc").Sequence'


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from going over Cython's trees: a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Echo:
    """Stands where Cython writes its messages; keeps those that are not errors."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines.append(text)


class _Run:
    """One compile: what it opens, searches and says is collected here."""

    def __init__(self, request: TranspileRequest) -> None:
        from Cython.Compiler.Main import standard_include_path

        self.request = request
        self.echo = _Echo()
        self.errors: list[Any] = []
        self.opened: dict[str, Opened] = {}
        self.askers: dict[str, tuple[str, str]] = {}
        self.lookups: dict[tuple[Any, ...], Lookup] = {}
        self.cimported: set[str] = set()
        self.prober = Prober()
        self.standard = str(standard_include_path)
        self.version = cython_version_number()
        self.sys_path = search_path()
        self.replayable = True

    def run(self) -> TranspileResult:
        """Compile with a new Context."""
        self.open(self.request.source, "", "")
        options = self._options()
        return self._compiled(_context_class()(self, options), options)

    def run_prepared(self, prepared: Prepared) -> TranspileResult | None:
        """Compile with a Context that cimported something before; None if it turns out unfit."""
        self.open(self.request.source, "", "")
        if not self._adopt(prepared):
            return None
        options, context = self._options(), prepared.context
        context.cyhot_run, context.options = self, options
        context.compiler_directives = options.compiler_directives
        result = self._compiled(context, options)
        if not self.cimported.issuperset(prepared.names):
            return None  # one of them is only mentioned, and left its traces in the C
        return replace(result, was_prepared=True)

    def _adopt(self, prepared: Prepared) -> bool:
        """Take over what was read and searched; False if this source's searches end elsewhere."""
        before, source = prepared.request.source, self.request.source
        for lookup in prepared.lookups:
            mine = lookup.seen_from(source) if lookup.beside == before else lookup
            found = self.searched(mine)
            if os.path.abspath(found or "/") != os.path.abspath(lookup.result or "/"):
                return False
        for file in prepared.opened:
            via = source if file.via == before else file.via
            self.opened.setdefault(file.path, replace(file, via=via))
        self.echo.lines += prepared.said
        return True

    def prepared(self, names: Sequence[str]) -> Prepared | None:
        """Have a new Context cimport modules; None if one of them is not to be had."""
        from Cython.Compiler import Errors
        from Cython.Compiler.Scanning import FileSourceDescriptor

        began = time.time_ns()
        options = self._options()
        context = _context_class()(self, options)
        level, future = context.language_level, set(context.future_directives)
        place = (FileSourceDescriptor(self.request.source), 1, 0)
        with self._reported():
            context.setup_errors(options, None)
            read = [*takewhile(lambda name: self._is_installed(context, name, place), names)]
            for name in read:
                context.find_module(name, pos=place)
            failed = bool(self.errors) or Errors.get_errors_count() > 0
        # A .pxd that sets the language level sets it for all that is read after it.
        changed = (context.language_level, context.future_directives) != (level, future)
        if failed or changed or not read or not self.replayable:
            return None
        return Prepared(
            context=context,
            names=tuple(read),
            request=self.request,
            opened=tuple(self.opened.values()),
            lookups=tuple(self.lookups.values()),
            said=tuple(self.echo.lines),
            as_of=began,
        )

    def _is_installed(self, context: Any, name: str, place: Any) -> bool:
        return is_installed(context.find_pxd_file(name, place) or "", self.standard)

    def _compiled(self, context: Any, options: Any) -> TranspileResult:
        from Cython.Compiler import Main
        from Cython.Compiler.Errors import CompileError as CythonError

        request = self.request
        try:
            with self._reported():
                result = Main.compile_single(
                    request.source, options, request.module_name, context=context
                )
        except (NeedsCPlusPlus, KeyboardInterrupt):
            raise
        except CythonError as error:
            self.errors.append(error)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # the disk is full, which is no crash
            raise self._failure([self._unreadable(error) or self._crash()]) from None
        if self.errors or result.num_errors:
            found = [self._diagnostic(error) for error in self.errors]
            # What only ends the compile says nothing itself; the errors before it do.
            raise self._failure([one for one in found if one.message] or found)
        return TranspileResult(
            c_path=result.c_file,
            opened=tuple(self.opened.values()),
            lookups=tuple(self.lookups.values()),
            prober=self.prober,
            standard=self.standard,
            version=self.version,
            sys_path=self.sys_path,
            warnings=tuple(self._warnings()),
            replayable=self.replayable,
        )

    def _options(self) -> Any:
        from Cython.Compiler.Options import CompilationOptions, default_options

        request = self.request
        try:
            return CompilationOptions(
                default_options,
                output_file=request.output,
                output_dir=os.path.dirname(request.output),
                cplus=int(request.cplus),
                language_level=request.language_level,
                compiler_directives=_parsed(request.directives, request.source),
                include_path=list(request.include_path),
                compile_time_env=request.compile_time_env or None,
                errors_to_stderr=0,
                annotate="default" if request.annotate else False,
                emit_linenums=request.line_directives,
                shared_utility_qualified_name=request.shared or None,
            )
        except ValueError as error:
            raise self._failure([Diagnostic(
                path=request.source, line=None, column=None, severity="error",
                message=str(error), stage="settings", excerpt="",
            )]) from None  # fmt: skip

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Keep the errors that Cython counts, as objects."""
        from Cython.Compiler import Errors

        original = Errors.report_error

        def report_error(error: Any, use_stack: bool = True) -> None:
            held = use_stack and Errors.threadlocal.cython_errors_stack
            if not held and not error.reported:
                self.errors.append(error)
            original(error, use_stack)

        Errors.report_error = report_error
        try:
            yield
        finally:
            Errors.report_error = original
            Errors.reset() if hasattr(Errors, "reset") else Errors.init_thread()

    # What the context tells us -------------------------------------------------------------

    def open(self, path: str, relation: str, via: str) -> None:
        """Note a file, as it is before Cython reads it."""
        path = os.path.abspath(path)
        sig = file_sig(path)
        if sig is not None and path not in self.opened:
            self.opened[path] = Opened(path, sig, hash_file(path), relation, via)

    def searched(self, lookup: Lookup) -> str | None:
        """Note a search: repeat it with a look that writes down all that it touches."""
        key = lookup[:-1]
        if key in self.lookups:
            return self.lookups[key].result
        self.lookups[key] = lookup
        found = search(
            lookup,
            sys_path=self.sys_path,
            standard=self.standard,
            version=self.version,
            look=self.prober,
        )
        if os.path.abspath(found or "/") != os.path.abspath(lookup.result or "/"):
            self.replayable = False
        if lookup.result and lookup.suffix in ("", ".pxd"):
            relation = "included by" if lookup.include else "cimported by"
            self.askers.setdefault(os.path.abspath(lookup.result), (relation, lookup.beside))
            self._guard_language(lookup.result)
            if lookup.include:
                self.open(lookup.result, relation, lookup.beside)
        return found

    def parsing(self, path: str) -> None:
        """Note a file that is about to be parsed."""
        self.open(path, *self.askers.get(os.path.abspath(path), ("cimported by", "")))

    def _guard_language(self, path: str) -> None:
        if self.request.cplus or not path.endswith(".pxd"):
            return
        inside = os.path.relpath(path, self.standard).split(os.sep)
        if inside[0] == "libcpp" or (inside[0] == ".." and _says_cplusplus(path)):
            raise NeedsCPlusPlus(path)

    # What is wrong --------------------------------------------------------------------------

    def _failure(self, diagnostics: list[Diagnostic]) -> CompileError:
        return CompileError(diagnostics, name=self.request.module_name, path=self.request.source)

    def _unreadable(self, error: Exception) -> Diagnostic | None:
        """What to say of a file that vanished, or cannot be read; None for another error."""
        if type(error) is LookupError and "encoding" in str(error):
            return Diagnostic(
                path=self.request.source, line=None, column=None, severity="error",
                stage="cython", message=str(error),
                hint="name one that Python knows, or take the coding comment out",
            )  # fmt: skip
        if not isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError)):
            return None
        # (Cython's own FileNotFoundError has the path for its only argument.)
        path, missing = str(error.filename or error), isinstance(error, FileNotFoundError)
        return Diagnostic(
            path=path, line=None, column=None, severity="error", stage="cython", excerpt="",
            message="the file is not there any more" if missing else str(error.strerror or error),
            hint="save it again, or take out what needs it" if missing else "",
        )  # fmt: skip

    def _crash(self) -> Diagnostic:
        return Diagnostic(
            path=self.request.source, line=None, column=None, severity="error",
            message="the Cython compiler crashed:\n" + traceback.format_exc().rstrip(),
            stage="cython", excerpt="",
            hint="this looks like an error in Cython itself; a smaller source may avoid it",
        )  # fmt: skip

    def _diagnostic(self, error: Any) -> Diagnostic:
        position = getattr(error, "position", None)
        message = (getattr(error, "message_only", "") or str(error)).strip()
        if not position:
            return Diagnostic(
                path=self.request.source, line=None, column=None, severity="error",
                message=message, stage="cython", excerpt="",
            )  # fmt: skip
        path, line, column = self._place(position[0]), position[1], position[2] + 1
        severity: Severity = "note" if message == "Previous declaration is here" else "error"
        return Diagnostic(
            path=path, line=line, column=column, severity=severity, message=message,
            stage="cython", excerpt=excerpt(path, line, column), hint=_hint(message, path),
        )  # fmt: skip

    def _place(self, descriptor: Any) -> str:
        path = getattr(descriptor, "filename", None)
        return os.path.abspath(path) if path else self.request.source

    def _warnings(self) -> Iterator[Diagnostic]:
        for text in self.echo.lines:
            if match := _MESSAGE.match(text):
                kind, name, line, column, message = match.groups()
                path = self._absolute(name)
                yield Diagnostic(
                    path=path, line=int(line), column=int(column) + 1,
                    severity="warning" if kind == "warning" else "note",
                    message=message.strip(), stage="cython",
                    excerpt=excerpt(path, int(line), int(column) + 1),
                )  # fmt: skip

    def _absolute(self, name: str) -> str:
        """Cython shows paths relative to the package root: find the file that was opened."""
        end = os.sep + name
        return next((path for path in self.opened if path.endswith(end)), name)


_MESSAGE = re.compile(r"(warning|performance hint|note): (.*?):(\d+):(\d+): (.*)", re.DOTALL)


def _hint(message: str, path: str) -> str:
    if found := re.match(r"'([\w./]+)\.pxd' not found", message):
        if f"{os.sep}{found[1]}{os.sep}" in path:
            return (
                "Cython sees no package in a folder with only an __init__.pyx: "
                "put an __init__.pxd (it may be empty) beside it"
            )
        return (
            f"is the package that has {found[1]}.pxd installed? "
            "Folders of your own go into the setting include_path."
        )
    if re.match(r"'[^']+' not found", message):
        return "included files are looked for beside the source and in the setting include_path"
    if message.endswith("is not a valid module name"):
        return "rename the file (letters, digits and _), or name it: cyhot.load(path, name=...)"
    return ""


def _parsed(directives: dict[str, object], source: str) -> dict[str, object]:
    """Directives whose values are text (from the environment, say) as Cython's own values."""
    from Cython.Compiler.Options import parse_directive_value

    return {
        name: parse_directive_value(name, value, relaxed_bool=True)
        if isinstance(value, str)
        else value
        for name, value in directives.items()
    }


def _says_cplusplus(path: str) -> bool:
    from .header import read_header

    return read_header(path).distutils.get("language") == "c++"


def cython_version_number() -> int:
    """Cython's version as 10 * major + minor, as it counts for ``x.cython-31.pxd``."""
    from Cython import __version__

    major, minor = re.match(r"(\d+)\.(\d+)", __version__).groups()  # type: ignore[union-attr]
    return int(major + minor)


def _context_class() -> Any:
    """A Context that reports what it searches and parses to a `_Run`."""
    from Cython.Compiler import Errors, Main
    from Cython.Compiler.Main import Context, FileSourceDescriptor

    class RecordingContext(Context):  # type: ignore[misc]
        def __init__(self, run: _Run, options: Any) -> None:
            super().__init__(
                options.include_path,
                options.compiler_directives,
                options.cplus,
                options.language_level,
                options=options,
            )
            self.cyhot_run = run

        def search_include_directories(  # noqa: PLR0917  (Cython's signature)
            self,
            qualified_name: Any,
            suffix: Any = None,
            source_pos: Any = None,
            include: bool = False,
            sys_path: bool = False,
            source_file_path: Any = None,
        ) -> Any:
            # Cython's own method, but for what on sys.path is no path: it would stumble over it.
            entries = path_entries() if sys_path else []
            entries = [entry for entry in entries if isinstance(entry, (str, os.PathLike))]
            found = Main.search_include_directories(
                (*self.include_directories, *entries, Main.standard_include_path),
                qualified_name, suffix or "", source_pos, include, source_file_path,
            )  # fmt: skip
            beside = source_file_path or (source_pos[0].filename if source_pos else "")
            folders = tuple(os.path.abspath(folder) for folder in self.include_directories)
            self.cyhot_run.searched(Lookup(
                str(qualified_name), suffix or "", bool(include), bool(sys_path),
                os.path.abspath(beside) if beside else "", folders,
                os.path.abspath(found) if found else "",
            ))  # fmt: skip
            return found

        def parse(self, source_desc: Any, scope: Any, pxd: Any, full_module_name: Any) -> Any:
            if isinstance(source_desc, FileSourceDescriptor):
                self.cyhot_run.parsing(source_desc.filename)
            return super().parse(source_desc, scope, pxd, full_module_name)

        def find_module(self, module_name: Any, *args: Any, **keywords: Any) -> Any:
            self.cyhot_run.cimported.add(str(module_name))
            return super().find_module(module_name, *args, **keywords)

        def setup_errors(self, options: Any, result: Any) -> None:
            super().setup_errors(options, result)
            Errors.threadlocal.cython_errors_echo_file = self.cyhot_run.echo

    return RecordingContext


_objects: Pristine | None = None
_is_pristine = False
_prepared: Prepared | None = None


@contextmanager
def _pristine(request: TranspileRequest) -> Iterator[None]:
    """Cython as it is in a new process: its options, its objects, and no cached look-ups."""
    global _objects, _is_pristine
    if _objects is None:
        _objects = Pristine()
    else:
        restore()
    _is_pristine = False
    with _options_of(request):
        yield


@contextmanager
def _options_of(request: TranspileRequest) -> Iterator[None]:
    """Cython's own options and caches as they are in a new process."""
    from Cython import Utils
    from Cython.Compiler import Options

    defaults = _option_defaults(Options.__file__)
    found = {name: getattr(Options, name) for name in defaults}
    Utils.clear_function_caches()
    for name, value in copy.deepcopy(defaults).items():
        setattr(Options, name, value)
    try:
        with _forced(request.forced):
            yield
    finally:
        for name, value in found.items():
            setattr(Options, name, value)
        Utils.clear_function_caches()


def _option_defaults(path: str) -> dict[str, Any]:
    """The literal defaults in the text of ``Cython/Compiler/Options.py``."""
    path = os.path.join(os.path.dirname(path), "Options.py")
    if path not in _defaults:
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        _defaults[path] = dict(_literals(tree))
    return _defaults[path]


_defaults: dict[str, dict[str, Any]] = {}


def _literals(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                yield node.targets[0].id, ast.literal_eval(node.value)
            except ValueError:
                pass  # not a literal: a table of functions, which nobody sets


@contextmanager
def _forced(directives: dict[str, object]) -> Iterator[None]:
    """Make directives hold over headers, decorators and ``with`` blocks."""
    if not directives:
        yield
        return
    from Cython.Compiler import Pipeline

    original = Pipeline.create_pipeline

    def create_pipeline(context: Any, mode: str, exclude_classes: Any = ()) -> Any:
        from Cython.Compiler.ParseTreeTransforms import InterpretCompilerDirectives

        return Pipeline.insert_into_pipeline(
            original(context, mode, exclude_classes=exclude_classes),
            _force_transform(context, directives),
            after=InterpretCompilerDirectives,
        )

    Pipeline.create_pipeline = create_pipeline
    try:
        yield
    finally:
        Pipeline.create_pipeline = original


def _force_transform(context: Any, directives: dict[str, object]) -> Any:
    from Cython.Compiler.Visitor import CythonTransform

    class ForceDirectives(CythonTransform):  # type: ignore[misc]
        """Sees the tree when headers, decorators and ``with`` blocks have become nodes."""

        def _force(self, node: Any) -> Any:
            node.directives = {**node.directives, **directives}
            self.visitchildren(node)
            return node

        visit_ModuleNode = visit_CompilerDirectivesNode = _force

    return ForceDirectives(context)
