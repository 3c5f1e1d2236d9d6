"""The C and C++ compilers: which ones, who they are, and the command lines for them.

Flags are sysconfig's, as setuptools would use them, changed by the profile. Compilers come from
``CC``/``CXX``, sysconfig, the usual names on PATH, and last from the ``ziglang`` wheel.
"""

from __future__ import annotations

import functools
import marshal
import os
import re
import shlex
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CompileError, Diagnostic
from ..settings import placed_folders, placed_header, words_of
from .commands import Finished, run
from .observe import (
    LAUNCHERS,
    FileSig,
    digest,
    file_sig,
    find_package,
    find_program,
    hash_file,
    is_young,
)
from .recipe import HEADER_LISTS
from .store import Store

ZIG = ("package", "ziglang/__init__.py")


@dataclass(frozen=True)
class Compiler:
    """One compiler driver.

    Attributes:
        command: How to call it.
        tools: (kind, request) of what stands for it in a record, the candidates before it that
            are not there included.
        ident: What it says of itself.
    """

    command: tuple[str, ...]
    tools: tuple[tuple[str, str], ...]
    ident: str

    @property
    def family(self) -> str:
        """``gcc``, ``clang``, ``zig``, or ``setuptools`` for what that knows to call."""
        if self.command[0] == "setuptools":
            return "setuptools"
        if "ziglang" in self.command:
            return "zig"
        return "clang" if "clang" in self.ident else "gcc"


@dataclass(frozen=True)
class Abilities:
    """What a compiler can do, found out once.

    Attributes:
        system_dirs: Folders that it searches for headers by itself.
        link_depfile: Whether its linker can list what it reads.
        quick_to_load: Whether its linker takes `QUICK_TO_LOAD`.
    """

    system_dirs: tuple[str, ...]
    link_depfile: bool
    quick_to_load: bool


def identify(kind: str, request: str, path: str) -> str:
    """What a tool is, independent of where it lies.

    Args:
        kind: ``program`` or ``package``.
        request: As in `Observer.tool`.
        path: Where it is, `""` for nowhere.
    """
    if not path:
        return ""
    content = _settled_hash(path)
    if kind == "package":
        package = request.partition("/")[0]
        version = _package_version(package, path, content)
        installed = _installed_files(package, path.removesuffix(request.replace("/", os.sep)))
        if installed:
            content = digest(f"{content}{installed}".encode())
        return f"{package} {version} {content}"
    return _program_ident(path, content)


_VERSION = re.compile(r"^__version__ = [\"'](.+?)[\"']", re.MULTILINE)


@functools.cache
def _package_version(package: str, path: str, content: str) -> str:
    """The version of a package, which the file at `path` changes with."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = _VERSION.search(file.read())
    return found[1] if found else _installed_version(package)


def _installed_files(package: str, folder: str) -> str:
    """The content hash of the list of a package's files, which has theirs; `""` if there is none.

    A development version is installed again and again under one version.
    """
    start = f"{package.casefold()}-"
    try:
        names = sorted(name for name in os.listdir(folder) if name.casefold().startswith(start))
    except OSError:
        return ""
    found = (os.path.join(folder, name, "RECORD") for name in names if name.endswith(".dist-info"))
    return "".join(map(_settled_hash, found))


_hashes: dict[tuple[str, FileSig], str] = {}
"""Of files that were not changed within a clock tick of being hashed; programs are large."""


def _settled_hash(path: str) -> str:
    sig, now = file_sig(path), time.time_ns()
    if sig is None or is_young(sig[1:3], now):
        return hash_file(path)
    if (path, sig) not in _hashes:
        _hashes[path, sig] = hash_file(path)
    return _hashes[path, sig]


def _installed_version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@functools.cache
def _program_ident(path: str, content: str) -> str:
    with tempfile.TemporaryDirectory(prefix="cyhot-") as folder:
        try:
            told = run([path, "--version"], folder)
        except OSError:
            return content
    return told.output.strip() if told.status == 0 and told.output.strip() else content


def find_compiler(cplus: bool, environ: Mapping[str, str]) -> Compiler | None:
    """The C or C++ compiler to use, None if there is none at all, or not the one that was named."""
    if sys.platform == "win32" and not _named(cplus, environ):
        from .msvc import setuptools_compiler

        if found := setuptools_compiler():
            return found
    missing: list[tuple[str, str]] = []
    for command in _candidates(cplus, environ):
        program = next((w for w in command if os.path.basename(w) not in LAUNCHERS), command[0])
        path = find_program(program)
        missing.append(("program", program))
        if path and find_program(command[0]):
            return Compiler(command, tuple(missing), identify("program", program, path))
    folder = "" if _named(cplus, environ) else find_package("ziglang")
    if folder:
        command = (sys.executable, "-m", "ziglang", "c++" if cplus else "cc")
        ident = identify(*ZIG, os.path.join(folder, "__init__.py"))
        return Compiler(command, (*missing, ZIG), ident)
    return None


def _candidates(cplus: bool, environ: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    name = _variable(cplus)
    if named := _named(cplus, environ):
        words = map(_placed_program, words_of(name, named))
        yield placed_folders(words, os.path.abspath, _placed_program)
        return
    configured = sysconfig.get_config_var(name)
    if configured:
        yield tuple(shlex.split(configured))
    for usual in ("c++", "g++", "clang++") if cplus else ("cc", "gcc", "clang"):
        yield (usual,)


def _placed_program(word: str) -> str:
    """A program's path absolute: it is called in another folder. Other words as they are."""
    relative = os.sep in word and not os.path.isabs(word)
    return os.path.abspath(word) if relative and os.path.isfile(word) else word


def _variable(cplus: bool) -> str:
    return "CXX" if cplus else "CC"


def _named(cplus: bool, environ: Mapping[str, str]) -> str:
    return environ.get(_variable(cplus), "").strip()


def no_compiler(path: str, name: str, cplus: bool, environ: Mapping[str, str]) -> CompileError:
    """The error for a machine without a compiler, or without the one that was named."""
    language, package = ("C++", "g++") if cplus else ("C", "gcc")
    variable = _variable(cplus)
    message = (
        f"there is no {language} compiler: none in {variable}, in Python's configuration or on PATH"
    )
    hint = (
        "pip install 'cyhot[compiler]' brings one as a wheel; or install "
        f"{package} or clang (Debian, Ubuntu: apt install {package})"
    )
    if _named(cplus, environ):
        message = f"{variable} names a compiler that is not there: {environ[variable]}"
        hint = f"unset {variable} to have one looked for, or set it to one that is installed"
    return CompileError(
        [Diagnostic(
            path=path, line=None, column=None, severity="error", stage="compiler", excerpt="",
            message=message, hint=hint,
        )],
        name=name, path=path,
    )  # fmt: skip


def abilities(compiler: Compiler, store: Store) -> Abilities:
    """Find out what a compiler can do; the store remembers it."""
    name = f"abilities-3-{digest(_name(compiler))}"
    system_dirs, link_depfile, quick = _remembered(store, name, lambda: _ask(compiler))
    return Abilities(tuple(system_dirs), link_depfile, quick)


def openmp_flags(
    compiler: Compiler, store: Store
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The options with which OpenMP compiles and links, None if the compiler has none."""
    found = _remembered(store, f"openmp-{digest(_name(compiler))}", lambda: _try_openmp(compiler))
    return (tuple(found[0]), tuple(found[1])) if found else None


def _name(compiler: Compiler) -> bytes:
    return repr((compiler.command, compiler.ident)).encode()


def _remembered(store: Store, name: str, ask: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    data = store.read("cache", name)
    if data:
        try:
            return marshal.loads(data)  # type: ignore[no-any-return]
        except (ValueError, EOFError, TypeError):
            pass
    answer = ask()
    store.keep(f"cache/{name}", marshal.dumps(answer))
    return answer


def _ask(compiler: Compiler) -> tuple[tuple[str, ...], bool, bool]:
    with tempfile.TemporaryDirectory(prefix="cyhot-") as folder:
        source = os.path.join(folder, "empty.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write("int main(void) { return 0; }\n")
        # What is remembered of a compiler is not what the variables of today add to it.
        told = run([*compiler.command, "-E", "-v", "-x", "c", os.devnull], folder, HEADER_LISTS)
        depfile = os.path.join(folder, "link.d")
        listing = f"-Wl,--dependency-file={depfile}"

        is_elf = sys.platform.startswith("linux")

        def link(*options: str) -> Finished:
            return run([*compiler.command, source, "-o", "a.out", *options], folder)

        def is_quick(*more: str) -> bool:
            done = link(*more, *QUICK_TO_LOAD) if is_elf else None
            return done is not None and not done.status and not done.output

        # Nearly all linkers can do both: they are asked once.
        both = is_quick(listing)
        lists = (both or link(listing).status == 0) and os.path.exists(depfile)
        return tuple(_search_list(told.output)), lists, both or is_quick()


def _search_list(output: str) -> Iterator[str]:
    inside = False
    for line in output.splitlines():
        if line.startswith("#include <...>"):
            inside = True
        elif line.startswith("End of search list"):
            return
        elif inside and line.startswith(" "):
            yield os.path.normpath(line.strip().removesuffix(" (framework directory)"))


_OPENMP = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
_OPENMP_FLAGS = (
    (("-fopenmp",), ("-fopenmp",)),
    (("-Xpreprocessor", "-fopenmp"), ("-lomp",)),  # Apple's clang with Homebrew's libomp
)


def _try_openmp(compiler: Compiler) -> tuple[tuple[str, ...], ...]:
    with tempfile.TemporaryDirectory(prefix="cyhot-") as folder:
        with open(os.path.join(folder, "openmp.c"), "w", encoding="utf-8") as file:
            file.write(_OPENMP)
        for flags, libs in _OPENMP_FLAGS:
            args = [*compiler.command, "-x", "c", *flags, "openmp.c", "-x", "none", *libs]
            if run([*args, "-o", "a.out"], folder).status == 0:
                return flags, libs
    return ()


# Command lines ------------------------------------------------------------------------------


def compile_flags(
    profile: str, compiler: Compiler, cplus: bool, environ: Mapping[str, str]
) -> list[str]:
    """Options for compiling position-independent code for this Python, without includes."""
    config = sysconfig.get_config_vars()
    flags = shlex.split(f"{config.get('CFLAGS') or ''} {config.get('CCSHARED') or ''}")
    flags = _for_profile(flags, profile, compiler)
    return [*flags, *_own_flags(cplus, environ)]


def _own_flags(cplus: bool, environ: Mapping[str, str]) -> list[str]:
    """The user's own options; for C++ those for C, where there are none."""
    own = "CXXFLAGS" if cplus and environ.get("CXXFLAGS") else "CFLAGS"
    return [*_options_in(own, environ), *_options_in("CPPFLAGS", environ)]


def _options_in(variable: str, environ: Mapping[str, str]) -> list[str]:
    """The options in a variable. Compilers run in a folder of ours, not in the user's."""
    words = words_of(variable, environ.get(variable, ""))
    return list(placed_folders(words, os.path.abspath, lambda p: placed_header(p, os.getcwd())))


_OPTIMIZED = re.compile(r"-O.*")
_SLOW = re.compile(r"-flto.*|-ffat-lto-objects|-fuse-linker-plugin|-g.*")


_WARNINGS = {"-Wall", "-Wextra", "-Wsign-compare", "-Wstrict-prototypes"}

# What runs once, when a module is imported, need not be fast: a tenth of gcc's time for a small
# module. Cython puts this macro before those functions, and before none of the user's. (Before its
# other helpers it would do harm: what always calls a cold function is cold itself to gcc, so the
# user's functions would be optimized for size.)
SMALL_CODE = '-DCYTHON_SMALL_CODE=__attribute__((cold,optimize("O0")))'


def _for_profile(flags: list[str], profile: str, compiler: Compiler) -> list[str]:
    """Sysconfig's options as a profile has them.

    ``dev`` drops what only costs compile time: debug information, link-time optimization, the
    step from -O2 to -O3, which changes no result, and warnings of Cython's C that nobody wrote,
    5% of gcc's time.
    """
    if profile == "release":
        return flags
    kept = [flag for flag in flags if not _SLOW.fullmatch(flag) and not _OPTIMIZED.fullmatch(flag)]
    level = {"dev": ["-O2"], "trace": ["-O1"], "debug": ["-O0", "-g"]}[profile]
    if profile == "dev" and not any(flag.startswith("-Werror") for flag in kept):
        kept = [flag for flag in kept if flag not in _WARNINGS]
    if profile == "dev" and compiler.family == "gcc":
        level = [*level, SMALL_CODE, "-pipe"]  # the assembler works beside the compiler
    if compiler.family == "zig" and profile == "debug":
        level = [*level, "-fno-sanitize=all"]  # zig's -O0 turns on UBSan otherwise
    # Macros that ask for optimization (glibc's _FORTIFY_SOURCE) warn without it.
    if profile == "debug":
        kept = [flag for flag in kept if "_FORTIFY_SOURCE" not in flag]
    return [*kept, *level]


QUICK_TO_LOAD = ("-Wl,-z,norelro", "-Wl,-z,noseparate-code")
"""Two parts of an image to map instead of four, and none to write-protect after relocation: loading
a small one takes three quarters of the time. It is how images were linked until 2018; what the
other way is for, to make an attacker's work harder, is for what is released."""


def link_command(
    profile: str,
    compiler: Compiler,
    cplus: bool,
    environ: Mapping[str, str],
    can: Abilities | None = None,
) -> list[str]:
    """The start of the command that links a shared object for this Python.

    Args:
        profile: The profile.
        compiler: The compiler, which calls the linker.
        cplus: Whether C++ is linked.
        environ: The environment, with the user's own options.
        can: What the linker can do, if that is known.
    """
    config = sysconfig.get_config_vars()
    name = "LDCXXSHARED" if cplus else "LDSHARED"
    given = environ.get(name)
    words = words_of(name, given or config.get(name) or config.get("LDSHARED") or "cc -shared")
    options = words if given else [*compiler.command, *_link_options(words)]
    if profile == "dev":
        options = [word for word in options if not _SLOW.fullmatch(word)]
    own = [*_options_in("LDFLAGS", environ), *_own_flags(cplus, environ)]
    if profile == "dev" and not given and can is not None and can.quick_to_load:
        options += QUICK_TO_LOAD
    return [*options, *own]


def _link_options(words: list[str]) -> list[str]:
    """The options in ``gcc -pthread -shared ...``: all after the program."""
    start = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    return words[start:]


def python_include_dirs() -> list[str]:
    """The folders of Python.h and pyconfig.h."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys((paths["include"], paths["platinclude"])))
