"""Settings: what there is, and where each value came from.

Later wins over earlier: defaults, ``[tool.cyhot]`` in the nearest pyproject.toml, its
``[[tool.cyhot.module]]`` tables whose ``match`` fits, ``CYHOT_*`` variables, what `install` or the
command line says. (A source's own header and its ``.pyxbld`` come last; they are read when it is
built.) A wrong key or type is an error that names the nearest right one.

On the warm path: parsing TOML and wording errors happen elsewhere, and only when needed.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Layer = tuple[str, Mapping[str, object]]
    """Where the values come from, and the values."""
    Tables = tuple[dict[str, object], tuple[tuple[tuple[str, ...], dict[str, object]], ...]]
    """[tool.cyhot] and, of each [[tool.cyhot.module]], the patterns and the values."""

PROFILES = ("dev", "release", "debug", "trace")

# name: (type, default). A type is a word, or the tuple of the values that are allowed.
BUILD: dict[str, tuple[object, object]] = {
    "profile": (PROFILES, "dev"),
    "language_level": ((2, 3, "3str"), 3),
    "language": (("c", "c++"), None),
    "directives": ("table", {}),
    "compile_time_env": ("table", {}),
    "include_path": ("paths", ()),
    "sources": ("paths", ()),
    "include_dirs": ("paths", ()),
    "library_dirs": ("paths", ()),
    "runtime_library_dirs": ("paths", ()),
    "extra_objects": ("paths", ()),
    "depends": ("paths", ()),
    "libraries": ("strings", ()),
    "define_macros": ("macros", ()),
    "undef_macros": ("strings", ()),
    "extra_compile_args": ("arguments", ()),
    "extra_link_args": ("arguments", ()),
    "standalone": ("bool", False),
    "optimize": ("bool", True),
}
"""Settings that change what is built: they are part of an image's identity."""

PROCESS: dict[str, tuple[object, object]] = {
    "build_dir": ("path", None),
    "inplace": ("bool", False),
    "keep_c": ("bool or path", None),
    "launcher": ("string", None),
    "py": ("strings", ()),
    "include": ("strings", ()),
    "exclude": ("strings", ()),
    "pyx": ("bool", True),
    "py_fallback": ("bool", False),
    "verbose": ((0, 1, 2), 1),
    "jobs": ("count", None),
    "cache_size": ("size", 2 * 2**30),
    "watch": ("bool", True),
    "swap": (("auto", "manual", "cell"), "auto"),
    "settle": ("seconds", 0.05),
    "stages": (("fast-first",), None),
    "worker": ("bool", True),
}
"""Settings that change how cyhot goes about it, never what comes out."""

FIELDS = {**BUILD, **PROCESS}
# Variables of cyhot's own that are no settings.
OTHER_VARIABLES = frozenset({"CYHOT_DISABLE", "CYHOT_EVENTS"})


class Settings:
    """The values that hold for one module (or for the process) and the origin of each."""

    __slots__ = ("origins", "values")

    def __init__(self, values: dict[str, object], origins: dict[str, str]) -> None:
        self.values = values
        self.origins = origins

    def __getitem__(self, name: str) -> object:
        return self.values.get(name, FIELDS[name][1])

    def origin(self, name: str) -> str:
        """Where a setting's value comes from."""
        return self.origins.get(name, "default")

    def text(self, name: str) -> str | None:
        """A setting that is a string, or None."""
        value = self[name]
        return None if value is None else str(value)

    def strings(self, name: str) -> tuple[str, ...]:
        """A setting that is a list of strings."""
        value = self[name]
        return value if isinstance(value, tuple) else ()

    def flag(self, name: str) -> bool:
        """A setting that is on or off."""
        return bool(self[name])

    def of_build(self) -> dict[str, object]:
        """The values that are part of an image's identity, where they are not the defaults."""
        chosen = {n: v for n, v in self.values.items() if n in BUILD and v != BUILD[n][1]}
        return {**chosen, "standalone": True} if self.standalone else chosen

    @property
    def standalone(self) -> bool:
        """Whether what is built has to work without cyhot's store."""
        return any(self.values.get(name) for name in ("standalone", "inplace", "keep_c"))


def resolve(layers: Iterable[Layer]) -> Settings:
    """Put layers on top of each other, the later over the earlier.

    Args:
        layers: Checked layers (see `check`).
    """
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for name, value in layer.items():
            values[name] = value
            origins[name] = origin
    return Settings(values, origins)


def check(origin: str, raw: Mapping[str, object], base: str) -> dict[str, object]:
    """The values of a layer, each of its setting's type, paths absolute.

    Args:
        origin: Where they come from, for messages.
        raw: Names and values as a user wrote them.
        base: The folder that relative paths are relative to.

    Raises:
        SettingsError: For all wrong names and values at once.
    """
    values: dict[str, object] = {}
    wrong: list[tuple[str, object]] = []
    for name, value in raw.items():
        field = FIELDS.get(name)
        good = _coerce(field[0], value, base) if field else None
        if good is None and not (field and value is None and field[1] is None):
            wrong.append((name, value))
        else:
            values[name] = good
    if wrong:
        from .settings_errors import report

        report(origin, wrong)
    return values


def _coerce(kind: object, value: object, base: str) -> object:
    """`value` as its setting's type; None where it is not of that type."""
    if isinstance(kind, tuple):
        if isinstance(value, str) and value.isdecimal() and value not in kind:
            value = int(value)  # language_level="3", as Cython takes it
        return value if value in kind and type(value) in map(type, kind) else None
    return _COERCE[str(kind)](value, base)


def _bool(value: object, base: str) -> object:
    return value if isinstance(value, bool) else None


def _string(value: object, base: str) -> object:
    return value if isinstance(value, str) and value else None


def _path(value: object, base: str) -> object:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        return None
    path = os.path.expanduser(os.fspath(value))
    return os.path.abspath(os.path.join(base, path)) if isinstance(path, str) else None


def _strings(value: object, base: str) -> object:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None


def _arguments(value: object, base: str) -> object:
    words = _strings(value, base)
    if not isinstance(words, tuple):
        return None
    return placed_folders(
        words, lambda path: str(_path(path, base)), lambda path: placed_header(path, base)
    )


# Those that begin with another one come before it.
_FOLDER_OPTIONS = (
    *("-iquote", "-isystem-after", "-isystem", "-idirafter", "-I", "-L"),
    *("--include-directory-after=", "--include-directory-after"),
    *("--include-directory=", "--include-directory"),
)
_FILE_OPTIONS = ("-include-pch", "-include", "-imacros")
_PLACED = (*_FOLDER_OPTIONS, *_FILE_OPTIONS)
AS_WRITTEN = f"{os.sep}.{os.sep}"
"""Between a folder and the name of a header that need not be there (see `placed_header`)."""


def placed_folders(
    words: Iterable[str], place: Callable[[str], str], header: Callable[[str], str]
) -> tuple[str, ...]:
    """Arguments for a compiler, with the folders and headers that they name absolute.

    Args:
        words: The arguments.
        place: Makes a folder's path absolute.
        header: The same for that of a header, which the compiler may find elsewhere.
    """
    placed: list[str] = []
    waits: Callable[[str], str] | None = None
    for word in words:
        option = None
        if word.startswith(_PLACED):  # few are, and every look at the environment asks
            option = next(name for name in _PLACED if word.startswith(name))
        if waits:
            placed.append(waits(word))
            waits = None
        elif option is None or word.startswith("=", len(option)):
            placed.append(word)  # "=" starts a folder below the compiler's sysroot
        else:
            how = header if option in _FILE_OPTIONS else place
            waits = how if word == option else None  # it is the next word
            placed.append(word if waits else option + how(word[len(option) :]))
    return tuple(placed)


def placed_header(path: str, base: str) -> str:
    """The path of a header that an option names.

    Whether it is there is found out when it is compiled (`building.options.located`): settings are
    read once, and a header may come later.
    """
    return path if os.path.isabs(path) else f"{base.rstrip(os.sep)}{AS_WRITTEN}{path}"


def _paths(value: object, base: str) -> object:
    many = value if isinstance(value, (list, tuple)) else (value,)
    paths = tuple(_path(item, base) for item in many)
    return None if None in paths else paths


def _macros(value: object, base: str) -> object:
    """``{"A": "1"}``, ``["A", "B=2"]`` or ``[("A", "1"), ("B", None)]``."""
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, dict):
        value = tuple(value.items())
    if not isinstance(value, (list, tuple)):
        return None
    macros = tuple(_macro(item) for item in value)
    return None if None in macros else macros


def _macro(item: object) -> tuple[str, str | None] | None:
    if isinstance(item, str) and item:
        name, equals, text = item.partition("=")
        return name, text if equals else None
    if isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str):
        return item[0], None if item[1] is None or item[1] is True else str(item[1])
    return None


def _table(value: object, base: str) -> object:
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return dict(sorted(value.items()))
    return None


def _seconds(value: object, base: str) -> object:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    return value if good else None


def _count(value: object, base: str) -> object:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _size(value: object, base: str) -> object:
    """Bytes, or ``"500 MB"``, ``"2 GB"``."""
    if isinstance(value, str):
        number, unit = value.strip()[:-2].strip(), value.strip()[-2:].upper()
        powers = {"KB": 2**10, "MB": 2**20, "GB": 2**30}
        if not number.replace(".", "", 1).isdecimal() or unit not in powers:
            return None
        return int(float(number) * powers[unit])
    return _count(value, base)


def _bool_or_path(value: object, base: str) -> object:
    return value if isinstance(value, bool) else _path(value, base)


_COERCE: dict[str, Callable[[object, str], object]] = {
    "bool": _bool,
    "string": _string,
    "path": _path,
    "strings": _strings,
    "arguments": _arguments,
    "paths": _paths,
    "macros": _macros,
    "table": _table,
    "seconds": _seconds,
    "count": _count,
    "size": _size,
    "bool or path": _bool_or_path,
}


def from_environment(environ: Mapping[str, str], base: str) -> dict[str, object]:
    """The layer of ``CYHOT_*`` variables, in which a value is text.

    Args:
        environ: The environment.
        base: The folder that relative paths are relative to.

    Raises:
        SettingsError: As `check` does.
    """
    raw: dict[str, object] = {}
    for variable, text in environ.items():
        if variable.startswith("CYHOT_") and variable not in OTHER_VARIABLES and text:
            name = variable[len("CYHOT_") :].lower()
            raw[name] = _parse(FIELDS[name][0], text, variable) if name in FIELDS else text
    return check("the environment (CYHOT_*)", raw, base) if raw else {}


_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS.update({"0": False, "false": False, "no": False, "off": False})


def words_of(variable: str, text: str) -> list[str]:
    """The words in an environment variable, as in a shell.

    Raises:
        SettingsError: If a quotation does not end.
    """
    from shlex import split

    try:
        return split(text)
    except ValueError as error:
        from .errors import SettingsError

        raise SettingsError(f"{variable}: {str(error).lower()} in {text!r}") from None


def _parse(kind: object, text: str, variable: str) -> object:
    if isinstance(kind, tuple) and any(isinstance(choice, int) for choice in kind):
        return int(text) if text.isdecimal() else text
    if kind in ("bool", "bool or path"):
        return _WORDS.get(text.lower(), text)
    if kind == "paths":
        return text.split(os.pathsep)
    if kind in ("strings", "arguments", "macros"):
        return words_of(variable, text)
    if kind in ("count", "size"):
        return int(text) if text.isdecimal() else text
    if kind == "seconds":
        return float(text) if text.replace(".", "", 1).isdecimal() else text
    if kind == "table":
        return dict(item.partition("=")[::2] for item in text.split(",")) if "=" in text else text
    return text


def pyproject_places(folder: str) -> tuple[str, ...]:
    """Where the pyproject.toml that holds for a folder may be, the nearest place first."""
    places = []
    while True:
        places.append(os.path.join(folder, "pyproject.toml"))
        parent = os.path.dirname(folder)
        if parent == folder:
            return tuple(places)
        folder = parent


def read_pyproject(path: str, cached: Callable[[bytes], Tables | None]) -> Tables:
    """The settings in a pyproject.toml.

    Args:
        path: The file.
        cached: Gives what was parsed from the same bytes before, or parses them.

    Raises:
        SettingsError: If they are wrong, or the file is not TOML.
        FileNotFoundError: If there is none any more.
    """
    with open(path, "rb") as file:
        data = file.read()
    return (cached(data) if b"cyhot" in data else None) or ({}, ())


def matches(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a module's dotted name fits one of the fnmatch patterns."""
    if not patterns:
        return False
    if name in patterns or "*" in patterns:
        return True
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, pattern) for pattern in patterns)


def module_layers(path: str, tables: Tables, name: str) -> list[Layer]:
    """The layers of a pyproject.toml that hold for a module."""
    common, modules = tables
    layers: list[Layer] = [(f"{path} [tool.cyhot]", common)] if common else []
    for patterns, values in modules:
        if matches(patterns, name):
            layers.append((f"{path} [[tool.cyhot.module]] {', '.join(patterns)}", values))
    return layers
