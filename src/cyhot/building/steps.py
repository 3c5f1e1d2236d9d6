"""The steps from a source to an image in a temporary folder, and what they find out.

One `Attempt` is one pass: read the source's own words, transpile, compile, link.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING

from ..errors import CompileError, Diagnostic, read_source
from ..events import CommandRun
from . import pch, publish, seldom, shared
from .assemble import Inputs, probe_headers, probe_libraries
from .cfiles import has_debug_information, note_traced, settle, source_root
from .commands import Command, Finished, run_all
from .declarations import layouts
from .depfile import parse as parse_depfile
from .diagnose import compiler_diagnostics
from .header import read_header, require_language
from .inputs import Prober
from .instrument import FOREIGN, HEADERS, VERSION, instrument
from .noted import Noted
from .observe import LAUNCHERS, FileSig, hash_file
from .options import libraries, library_folders, located
from .packages import cimported_packages, get_include, header_folders, numpy_include
from .prepare import has_failed
from .processors import processors
from .pyxbld import Special, special_build
from .request import Request
from .spec import BuildSpec, from_settings, pyxdep_patterns, transitive, with_header, with_special
from .store import Store, Want
from .toolchain import (
    QUICK_TO_LOAD,
    Abilities,
    Compiler,
    abilities,
    compile_flags,
    find_compiler,
    link_command,
    no_compiler,
    openmp_flags,
    python_include_dirs,
)
from .transpile import (
    NeedsCPlusPlus,
    TranspileRequest,
    TranspileResult,
    cython_version_number,
    transpile,
)

if TYPE_CHECKING:
    from .msvc import SetuptoolsDriver

_UNOPTIMIZED = ("-O0", "-U_FORTIFY_SOURCE")  # glibc's macro warns without optimization
_OUT = 7
"""So many words at the end of a compiler's command line name files."""
_CPLUS = (".cpp", ".cc", ".cxx", ".c++", ".C")
_TEXTS = (".c", ".cpp", ".html")


class Attempt:
    """One pass through all steps.

    Attributes:
        spec: How the module is built, as far as it is known by now.
        asked: What was transpiled, and how.
        result: What transpiling gave.
        image: The image's path in the temporary folder.
        read: Files that the C compiler read.
        linked: Files that the linker read.
        depends: (pattern, what asks for it) of further files.
        packages: (file, what it looked at) of packages that were asked for their include folders.
        special: What the ``.pyxbld`` said.
        steps: Options and command lines, for the image's identity.
        phases: Seconds of each phase.
        warnings: What Cython and the compilers had to say.
        commands: The compilers' and the linker's, as they ran.
        wants: What would have made it faster, and is not there: see `prepare`.
        beside: Files that the image needs beside it.
        unshared: Why it has no shared utility module.
        unheaded: Why it is compiled without a precompiled header.
        known: Signatures and content hashes of what is in that.
        linked_prober: Where the linker looked for libraries.
        finished: Files in the folder that are on the disk, and closed to others.
    """

    asked: TranspileRequest
    result: TranspileResult
    image: str
    can: Abilities

    def __init__(self, request: Request, store: Store, folder: str) -> None:
        self.source = request.source
        self.settings = request.settings
        self.store = store
        self.folder = folder
        self.began = time.time_ns()
        self.stem = os.path.splitext(self.source.path)[0]
        # Before its header is read: what Cython opens later has to be the same.
        self.content = hash_file(self.source.path)
        self.prober = Prober()
        self.spec = from_settings(self.source.path, self.source.name, request.settings)
        self.special = Special()
        self.read: list[str] = []
        self.linked: list[str] = []
        self.depends: list[tuple[str, str]] = []
        self.packages: list[tuple[str, Noted]] = []
        self.steps: list[tuple[str, ...]] = []
        self.phases: dict[str, float] = {}
        self.warnings: list[Diagnostic] = []
        self._said = 0
        self.commands: list[CommandRun] = []
        self.tools: list[tuple[str, str]] = []
        self._compilers: dict[bool, Compiler | None] = {}
        self.wants: list[Want] = []
        self.beside: list[str] = []
        self.unshared = ""
        self.unheaded = ""
        self.known: dict[str, tuple[FileSig, str]] = {}
        self.linked_prober = Prober()
        self.finished: set[str] = set()
        self._is_marked = False

    def run(self, while_compiling: Callable[[], None], while_linking: Callable[[], None]) -> None:
        """Make the image.

        Args:
            while_compiling: Called while the compiler runs, perhaps twice, not by all compilers.
            while_linking: Called once all is known but what the linker reads.

        Raises:
            CompileError: If the source, its ``.pyxbld`` or the generated C has errors.
            StoreError: If the disk is full.
        """
        self._require_cython()
        self._read_own_words()
        with self._phase("transpile"):
            self.result = self._transpile()
        self.c_text = read_source(self.result.c_path) or ""
        self._add_found()
        self._reconsider_shared()
        steps = len(self.steps)
        self._instrument()
        self._mark_seldom()
        if len(self.steps) > steps:
            with open(self.result.c_path, "w", encoding="utf-8") as file:
                file.write(self.c_text)
        self._settle_c()
        objects = self._compile(while_compiling)
        self._note_headers()
        self._link(objects, while_linking)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - began

    def _require_cython(self) -> None:
        try:
            import Cython  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name != "Cython":
                raise
            raise self._failure(
                "it has to be compiled, and Cython is not installed",
                hint=f"pip install cython (into {sys.prefix})",
            ) from None

    # What the source says --------------------------------------------------------------------

    def _read_own_words(self) -> None:
        """Header, .pyxbld and .pyxdep."""
        path, prober, special = self.source.path, self.prober, f"{self.stem}.pyxbld"
        header = read_header(path)
        if prober.exists(special):
            self.special = special_build(special, path, self.source.name, self.store, self.folder)
            header = read_header(path, self.special.aliases)
        require_language(header, path)
        self.warnings.extend(header.warnings)
        self._said = len(self.warnings)
        spec = with_header(self.spec, header, path, prober)
        self.spec = with_special(spec, self.special, special, prober)
        self.depends += [(pattern, path) for pattern in self.spec.depends]
        listing = f"{self.stem}.pyxdep"
        if prober.exists(listing):
            patterns = pyxdep_patterns(listing, read_source(listing) or "")
            self.depends += [(pattern, listing) for pattern in patterns]

    # Transpiling -----------------------------------------------------------------------------

    def _transpile(self) -> TranspileResult:
        """Generate C, or C++ where that turns out to be needed."""
        if self.spec.language != "c++":
            try:
                return self._transpile_as(False)
            except NeedsCPlusPlus:
                self.spec = replace(self.spec, language="c++")
        return self._transpile_as(True)

    def _transpile_as(self, cplus: bool) -> TranspileResult:
        spec = self.spec
        helpers = self._shared(cplus)
        request = TranspileRequest(
            source=spec.path,
            module_name=spec.name,
            output=self._in_folder(f"{os.path.basename(self.stem)}.{'cpp' if cplus else 'c'}"),
            cplus=cplus,
            language_level=spec.language_level,
            directives=spec.directives,
            forced=spec.forced,
            include_path=spec.include_path,
            compile_time_env=spec.compile_time_env,
            annotate=spec.profile != "debug",  # Cython writes no #line where it annotates
            line_directives=spec.profile == "debug",
            shared=helpers,
        )
        result = transpile(request)
        self.asked = request
        self.steps.append(("cython", *request.options()))
        self.warnings.extend(result.warnings)
        return result

    def _shared(self, cplus: bool) -> str:
        """The name of the shared utility module to use, `""` for none."""
        self._detach()
        compiler = self._find_compiler(cplus)
        if compiler is None:
            return ""
        self.unshared = self.unshared or self._refuses_shared(compiler, cplus)
        if self.unshared:
            return ""
        wanted = shared.want(self.store, compiler, cplus, os.environ)
        if path := shared.attach(self.store, wanted, self.folder):
            self.beside = [path]
            return shared.module_name(wanted)
        self._want(wanted)
        return ""

    def _detach(self) -> None:
        """Take back what was decided about the shared module."""
        self.wants = []
        for path in self.beside:
            os.unlink(path)
        self.beside = []

    def _want(self, wanted: Want) -> None:
        if not has_failed(self.store, wanted):
            self.wants.append(wanted)

    def _refuses_shared(self, compiler: Compiler, cplus: bool) -> str:
        spec, path = self.spec, self.source.path
        return (
            shared.refusal_by_settings(
                profile=spec.profile,
                standalone=self.settings.standalone,
                directives=spec.directives,
                cython=cython_version_number(),
                implementation=sys.implementation.name,
                free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            )
            or shared.refusal_by_text(path, read_source(path) or "")
            or shared.refusal_by_compiler(compiler)
            or shared.refusal_by_words(self._options(compiler, cplus))
        )

    def _reconsider_shared(self) -> None:
        """Do without the shared module if a cimported file turns out to rule it out."""
        if not self.beside:
            return
        cplus = self.spec.language == "c++"
        opened = (f.path for f in self.result.opened[1:] if _is_users(f.path, self.result.standard))
        texts = (shared.refusal_by_text(path, read_source(path) or "") for path in opened)
        words = self._options(self._compiler(cplus), cplus)
        self.unshared = next(filter(None, texts), "") or shared.refusal_by_words(words)
        if not self.unshared:
            return
        self.steps = []
        del self.warnings[self._said :]
        with self._phase("transpile"):
            self.result = self._transpile_as(cplus)
        self.c_text = read_source(self.result.c_path) or ""

    def _instrument(self) -> None:
        """Add what live swapping needs; never to what leaves the store, or is to be measured."""
        if self.spec.profile not in ("dev", "debug") or self.settings.standalone:
            return
        inside = {f.path for f in self.result.opened if f.path.endswith((".pyx", ".pxd", ".pxi"))}
        users = (path for path in inside if _is_users(path, self.result.standard))
        texts = [read_source(path) or "" for path in sorted(users)]
        self.c_text = instrument(self.c_text, self.source.name, texts)
        self.steps.append(("instrument", str(VERSION)))

    def _note_headers(self) -> None:
        """Keep what the user's headers say of types, where the C only names them."""
        if FOREIGN not in self.c_text:
            return
        inputs, others = Inputs(self.can.system_dirs), self.spec.sources
        paths = [path for path in self.read if not inputs.is_system(path) and path not in others]
        with open(self._in_folder(HEADERS), "w", encoding="ascii") as file:
            file.write(layouts(read_source(path) or "" for path in paths))

    def _mark_seldom(self) -> None:
        """Have the compiler hurry where that costs nothing, in what does not leave the store."""
        cplus = self.spec.language == "c++"
        hurried = self.spec.profile == "dev" and not self.settings.standalone
        if hurried and self._compiler(cplus).family == "gcc":
            self.c_text = seldom.mark(self.c_text)
            self._is_marked = True
            self.steps.append(("seldom", str(seldom.VERSION)))

    def _in_folder(self, name: str) -> str:
        return os.path.join(self.folder, name)

    # What the generated C needs --------------------------------------------------------------

    def _add_found(self) -> None:
        """What cimported files ask for by themselves: libraries, include folders, OpenMP."""
        result, spec = self.result, self.spec
        cimported = [f.path for f in result.opened[1:] if not f.path.startswith(result.standard)]
        for path in cimported:
            if path.endswith(".pxd"):
                header = read_header(path, self.special.aliases)
                spec = with_header(spec, transitive(header), path, self.prober)
        spec = spec.with_list("include_dirs", header_folders(cimported, self.prober))
        include, version = numpy_include((file.path for file in result.opened), self.c_text)
        if include:
            spec = spec.with_list("include_dirs", [include])
            self.depends.append((version, "numpy"))
        names = [u.name for u in result.lookups if u.suffix == ".pxd" and u.result]
        for package in cimported_packages(names, spec.name):
            folders, files, noted = get_include(package, self.store, self.folder)
            spec = spec.with_list("include_dirs", folders)
            self.depends += [(file, package) for file in files]
            self.packages.append((files[0], noted))
        self.spec = self._with_openmp(spec)

    def _with_openmp(self, spec: BuildSpec) -> BuildSpec:
        if "#pragma omp" not in self.c_text and '"omp.h"' not in self.c_text:
            return spec
        if any("openmp" in word for word in spec.extra_compile_args):
            return spec
        driver = self._driver
        flags = (
            driver.openmp
            if driver
            else openmp_flags(self._compiler(spec.language == "c++"), self.store)
        )
        if flags is None:
            self.warnings.append(_no_openmp(spec.path))
            return spec
        spec = spec.with_list("extra_compile_args", flags[0])
        return spec.with_list("extra_link_args", flags[1])

    def _settle_c(self) -> None:
        """Keep the C file where debuggers and coverage.py look for it later."""
        profile, cplus = self.spec.profile, self.spec.language == "c++"
        if profile == "trace" or has_debug_information(self._options(self._compiler(cplus), cplus)):
            kept = settle(self.store, self.result.c_path)
            self.result = replace(self.result, c_path=kept)
        if profile == "trace":
            for file in self.result.opened:
                if not file.path.startswith(self.result.standard):
                    note_traced(self.store, self.result.c_path, file.path)

    # Compiling -------------------------------------------------------------------------------

    def _find_compiler(self, cplus: bool) -> Compiler | None:
        if cplus not in self._compilers:
            self._compilers[cplus] = find_compiler(cplus, os.environ)
        return self._compilers[cplus]

    def _compiler(self, cplus: bool) -> Compiler:
        compiler = self._find_compiler(cplus)
        if compiler is None:
            raise no_compiler(self.source.path, self.source.name, cplus, os.environ)
        self.tools.extend(compiler.tools)
        return compiler

    def _compile(self, while_compiling: Callable[[], None]) -> list[str]:
        """Compile the C file and further sources; returns the objects."""

        def meanwhile() -> None:
            self._finish_texts()
            while_compiling()

        spec = self.spec
        sources = [self.result.c_path, *spec.sources]
        objects = [self._in_folder(f"{index}.o") for index in range(len(sources))]
        if driver := self._driver:
            self._compile_by(driver, sources, objects)
            return objects
        plain = [self._compile_command(s, o) for s, o in zip(sources, objects, strict=True)]
        self.can = abilities(self._compiler(spec.language == "c++"), self.store)
        header = self._header(plain[0])
        with self._phase("compile"):
            headed = [_with_header(plain[0], header), *plain[1:]] if header else []
            if not (headed and self._runs(headed, meanwhile)):
                header = None
                self._run(plain, meanwhile)
        self.read = [path for target in objects for path in self._depfile(f"{target}.d")]
        if header:
            self.read, self.known = self._with_contents(header), header.read
        return objects

    def _header(self, command: Command) -> pch.Header | None:
        """The precompiled header for the generated C, where one can be used and is there."""
        spec, cplus = self.spec, self.spec.language == "c++"
        compiler = self._compiler(cplus)
        words = command.args[:-_OUT]
        self.unheaded = (
            f"profile {spec.profile} is no hurry" if spec.profile != "dev" else ""
        ) or pch.refusal(compiler, words, os.environ)
        names = () if self.unheaded else pch.headers_first(self.c_text, cplus)
        folders = pch.folders_for(names, words, python_include_dirs())
        if not folders:
            return None
        wanted = pch.want(
            self.store,
            compiler,
            words,
            headers=names,
            folders=folders,
            system=self.can.system_dirs,
        )
        header = pch.find(self.store, wanted)
        if header is None:
            self._want(wanted)
        elif hidden := header.hidden_by(pch.folders_of(words)):
            self.unheaded = f"{hidden} comes before a header in it"
            return None
        return header

    def _finish_texts(self) -> None:
        """See onto the disk what the compilers only read, while they do."""
        for name in os.listdir(self.folder):
            path = self._in_folder(name)
            if name.endswith(_TEXTS) and path not in self.finished:
                publish.finish(path)
                self.finished.add(path)

    def _runs(self, commands: list[Command], meanwhile: Callable[[], None]) -> bool:
        try:
            self._run(commands, meanwhile)
        except CompileError:
            return False  # and again without the header, for what is really wrong
        return True

    def _with_contents(self, header: pch.Header) -> list[str]:
        """What was read, with what the compiler read when it made the header."""
        own = os.path.dirname(header.path) + os.sep
        read = (path for path in self.read if not path.startswith(own))
        return list(dict.fromkeys((*read, *header.read)))

    @cached_property
    def _driver(self) -> SetuptoolsDriver | None:
        """What compiles and links where the compiler is one that only setuptools can call."""
        compiler = self._compiler(self.spec.language == "c++")
        if compiler.family != "setuptools":
            return None
        from .msvc import SetuptoolsDriver

        return SetuptoolsDriver(compiler.command[1], self.folder)

    def _compile_by(self, driver: SetuptoolsDriver, sources: list[str], objects: list[str]) -> None:
        from .msvc import scan_includes

        spec = self.spec
        self.can = Abilities(driver.system_dirs, link_depfile=False, quick_to_load=False)
        pairs = zip(sources, objects, strict=True)
        with self._phase("compile"):
            self._check([driver.compile(spec, source, target) for source, target in pairs])
        self.steps += [self._identity(one.command.args) for one in driver.finished]
        folders = [*driver.quoted(spec), *spec.include_dirs, *python_include_dirs()]
        self.read = self._without_own(scan_includes(sources, [*folders, *self.can.system_dirs]))
        probe_headers(self.prober, self.read, [*folders, *self.can.system_dirs])

    def _compile_command(self, source: str, target: str) -> Command:
        cplus = source.endswith(_CPLUS)
        compiler = self._compiler(cplus)
        options = self._options(compiler, cplus)
        self.steps.append(self._identity((*compiler.command, *options, source)))
        launcher = self.settings.text("launcher")
        words = (*([launcher] if launcher else []), *compiler.command)
        launched = bool(launcher) or os.path.basename(words[0]) in LAUNCHERS
        has_debug = has_debug_information(options)
        folder, own, name, out = self.folder, self.folder, source, target
        if launched:
            # Our folder's name is another one for each build. Were it in the command line or in
            # what the preprocessor gives, sccache and its like would never see the same twice.
            folder = os.path.dirname(self.folder) if has_debug else self.folder
            own = os.path.relpath(self.folder, folder)
            name, out = (path.removeprefix(folder + os.sep) for path in (source, target))
        debug = self._debug_options(folder) if has_debug else []
        if self._is_marked and own != os.curdir:
            # What is not optimized away has the C file's path in it, another one for each build.
            debug.append(f"{pch.MACRO_MAP}{own}=.")
        files = ("-MD", "-MF", f"{out}.d", "-c", name, "-o", out)
        args = (*words, *options, "-iquote", own, *debug, *files)
        return Command(args, folder, own_temporary=not launched)

    def _options(self, compiler: Compiler, cplus: bool) -> list[str]:
        spec = self.spec
        # Quoted includes are looked for beside the source, as if the C file lay there.
        options = [
            *compile_flags(spec.profile, compiler, cplus, os.environ),
            *("-iquote", os.path.dirname(spec.path)),
            *(f"-I{folder}" for folder in (*spec.include_dirs, *python_include_dirs())),
            *(f"-D{n}" if v is None else f"-D{n}={v}" for n, v in spec.define_macros),
            *(f"-U{name}" for name in spec.undef_macros),
            *spec.extra_compile_args,
            *(() if self.settings.flag("optimize") else _UNOPTIMIZED),
        ]
        return located(options, self.prober)

    def _debug_options(self, here: str) -> list[str]:
        """Options for where debuggers look for files that the C names relative to its root."""
        return [f"-fdebug-prefix-map={here}={source_root(self.spec.path, self.spec.name)}"]

    def _identity(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """A command line without the folder and the C file: those are named after contents."""
        plain = (word.replace(self.result.c_path, "$C") for word in words)
        return tuple(word.replace(self.folder, "$OUT") for word in plain)

    def _link(self, objects: list[str], meanwhile: Callable[[], None]) -> None:
        """Link the image."""
        spec = self.spec
        cplus = spec.language == "c++" or any(s.endswith(_CPLUS) for s in spec.sources)
        self.image = self._in_folder(image_name(spec.name))
        if driver := self._driver:
            with self._phase("link"):
                done = driver.link(spec, objects, self.image, cplus)
                self._check([done])
            self.steps.append(self._identity(done.command.args))
            found = probe_libraries(self.linked_prober, spec.library_dirs, spec.libraries)
            self.linked = [*found, *spec.extra_objects]
            meanwhile()
            return
        words = (
            *link_command(spec.profile, self._compiler(cplus), cplus, os.environ, self.can),
            *objects,
            *spec.extra_objects,
            *(f"-L{folder}" for folder in spec.library_dirs),
            *(f"-Wl,-rpath,{folder}" for folder in spec.runtime_library_dirs),
            *(f"-l{library}" for library in spec.libraries),
            *spec.extra_link_args,
        )
        depfile = f"{self.image}.d"
        with self._phase("link"):
            try:
                self._run_linker(words, depfile, meanwhile)
            except CompileError:
                plain = tuple(word for word in words if word not in QUICK_TO_LOAD)
                if plain == words:
                    raise
                # Perhaps it is another linker than the compiler was asked about: -B, --ld-path,
                # COMPILER_PATH and others choose one. If not, this tells what is really wrong.
                self.steps.pop()
                self._run_linker(plain, depfile, lambda: None)
        linked = self._depfile(depfile)
        folders = library_folders(words, os.environ)
        found = probe_libraries(self.linked_prober, folders, libraries(words), linked)
        self.linked = linked or [*found, *spec.extra_objects]

    def _run_linker(
        self, words: tuple[str, ...], depfile: str, meanwhile: Callable[[], None]
    ) -> None:
        self.steps.append(self._identity(words))
        listing = (f"-Wl,--dependency-file={depfile}",) if self.can.link_depfile else ()
        self._run([Command((*words, *listing, "-o", self.image), self.folder)], meanwhile)

    def _depfile(self, path: str) -> list[str]:
        """What a depfile lists, without our own files."""
        return self._without_own(parse_depfile(read_source(path) or "", self.folder))

    def _without_own(self, paths: Iterable[str]) -> list[str]:
        own = self.result.c_path
        return [path for path in paths if not path.startswith(self.folder) and path != own]

    def _run(self, commands: list[Command], meanwhile: Callable[[], None]) -> None:
        is_started = False

        def when_started() -> None:
            nonlocal is_started
            is_started = True
            meanwhile()

        try:
            finished = run_all(commands, processors(), when_started)
        except OSError as error:
            if is_started or error.errno in publish.FULL:
                raise
            raise self._cannot_run(commands[0], error) from error
        self._check(finished)

    def _check(self, finished: list[Finished]) -> None:
        """Take what compilers said.

        Raises:
            CompileError: If one of them failed.
        """
        diagnostics: list[Diagnostic] = []
        for one in finished:
            if not one.status:
                self.commands.append(CommandRun(one.command.args, one.command.folder, one.seconds))
            if one.status and "No space left on device" in one.output:
                raise publish.full(self.store.root)
            diagnostics += self._diagnostics(one)
        if any(one.status for one in finished):
            raise CompileError(diagnostics, name=self.source.name, path=self.source.path)
        self.warnings += [replace(found, severity="note") for found in diagnostics]

    def _diagnostics(self, one: Finished) -> list[Diagnostic]:
        return compiler_diagnostics(
            one.output,
            c_path=self.result.c_path,
            c_text=self.c_text,
            resolve=self._resolve,
            read=read_source,
            failed=one.status != 0,
        )

    def _resolve(self, name: str) -> str:
        """The file that a marker in the C or the compiler names, relative to we know not what."""
        end = os.sep + name
        opened = (file.path for file in self.result.opened if file.path.endswith(end))
        return next(opened, os.path.normpath(os.path.join(self.folder, name)))

    def _cannot_run(self, command: Command, error: OSError) -> CompileError:
        return self._failure(
            f"{command.args[0]} cannot be run: {error.strerror}",
            hint="check the setting launcher and the variables CC and CXX",
        )

    def _failure(self, message: str, *, hint: str) -> CompileError:
        diagnostic = Diagnostic(
            path=self.source.path,
            line=None,
            column=None,
            severity="error",
            message=message,
            stage="compiler",
            hint=hint,
        )
        return CompileError([diagnostic], name=self.source.name, path=self.source.path)


def _with_header(command: Command, header: pch.Header) -> Command:
    args = (*command.args[:-_OUT], *header.options, *command.args[-_OUT:])
    return replace(command, args=args)


def _is_users(path: str, standard: str) -> bool:
    """Whether a file that Cython opened is none of its own."""
    return not path.startswith(os.path.dirname(standard) + os.sep)


def image_name(name: str) -> str:
    """The file name of a module's image."""
    return name.rpartition(".")[2] + EXTENSION_SUFFIXES[0]


def _no_openmp(path: str) -> Diagnostic:
    return Diagnostic(
        path=path,
        line=None,
        column=None,
        severity="warning",
        message="this module uses OpenMP (prange, parallel), and the compiler has none: "
        "it runs on one thread",
        stage="compiler",
        hint="use gcc, or install the compiler's OpenMP runtime (Debian: libomp-dev for clang; "
        "macOS: brew install libomp)",
    )
