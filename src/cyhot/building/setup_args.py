"""setuptools' ``Distribution`` arguments, as pyximport's users give them, as settings."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Options of setuptools' build_ext command and the settings that they are.
_BUILD_EXT = {
    "include_dirs": "include_dirs",
    "library_dirs": "library_dirs",
    "rpath": "runtime_library_dirs",
    "libraries": "libraries",
    "define": "define_macros",
    "undef": "undef_macros",
    "link_objects": "extra_objects",
    "debug": "profile",
}
_TOP = frozenset({"include_dirs", "options", "script_args", "script_name", "ext_modules"})
_HARMLESS = frozenset({"--verbose", "--quiet", "--force", "build_ext"})
_NEUTRAL = frozenset({"name", "version", "author", "description", "packages", "cmdclass"})


def to_settings(setup_args: Mapping[str, Any]) -> tuple[dict[str, object], list[str]]:
    """Translate ``setup_args``.

    Args:
        setup_args: What pyximport passes to ``Distribution``: ``include_dirs``,
            ``options={"build_ext": {...}}`` and ``script_args`` have a meaning.

    Returns:
        The settings, and the names that have none here.
    """
    options = dict(setup_args.get("options", {}).get("build_ext", {}))
    if "include_dirs" in setup_args:
        options["include_dirs"] = [
            *_paths(setup_args["include_dirs"]),
            *_paths(options.get("include_dirs", ())),
        ]
    values = {_BUILD_EXT[n]: _value(n, v) for n, v in options.items() if n in _BUILD_EXT}
    script_args = list(setup_args.get("script_args", ()))
    if "--verbose" in script_args:
        values["verbose"] = 2
    if values.get("profile") is None:
        values.pop("profile", None)
    unknown = [
        *sorted(set(setup_args) - _TOP - _NEUTRAL),
        *sorted(set(options) - _BUILD_EXT.keys()),
        *(arg for arg in script_args if arg not in _HARMLESS),
    ]
    return values, unknown


def _value(name: str, value: Any) -> object:
    """A value as build_ext reads it: text may be a list."""
    if name == "debug":
        return "debug" if value else None
    if name == "define":
        names = value.split(",") if isinstance(value, str) else value
        return tuple((item, "1") if isinstance(item, str) else tuple(item) for item in names)
    if name == "undef" and isinstance(value, str):
        return tuple(value.split(","))
    if name in ("include_dirs", "library_dirs", "rpath"):
        return _paths(value)
    return tuple(_listed(value))


def _paths(value: Any) -> tuple[Any, ...]:
    return tuple(value.split(os.pathsep) if isinstance(value, str) else _listed(value))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
