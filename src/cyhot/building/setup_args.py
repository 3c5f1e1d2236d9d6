"""setuptools' ``Distribution`` arguments, as pyximport's users give them, as settings."""

from __future__ import annotations

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
            *_listed(setup_args["include_dirs"]),
            *_listed(options.get("include_dirs", ())),
        ]
    values = {_BUILD_EXT[n]: _value(n, v) for n, v in options.items() if n in _BUILD_EXT}
    if "--verbose" in setup_args.get("script_args", ()):
        values["verbose"] = 2
    if values.get("profile") is None:
        values.pop("profile", None)
    unknown = sorted(set(setup_args) - _TOP - _NEUTRAL) + sorted(set(options) - _BUILD_EXT.keys())
    return values, unknown


def _value(name: str, value: Any) -> object:
    if name == "debug":
        return "debug" if value else None
    if name in ("define", "undef") and isinstance(value, str):
        return tuple(value.split(","))
    return tuple(_listed(value))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
