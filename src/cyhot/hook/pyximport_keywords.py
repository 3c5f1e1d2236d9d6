"""pyximport's ``install`` keywords, as settings. Off the warm path."""

from __future__ import annotations

from typing import Any

from ..building.setup_args import to_settings
from .warn import no_meaning


def translate(keywords: dict[str, Any]) -> dict[str, object]:
    """Settings for what pyximport's users wrote.

    Args:
        keywords: Keywords of `install`; pyximport's own and cyhot's may be mixed.

    Returns:
        Settings of cyhot's. ``reload_support`` needs none: reloading works.
    """
    values = dict(keywords)
    setup_args = values.pop("setup_args", None) or {}
    settings, unknown = to_settings(setup_args)
    if unknown:
        no_meaning(unknown)
    values.pop("reload_support", None)
    if "pyximport" in values:
        settings["pyx"] = bool(values.pop("pyximport"))
    if values.pop("pyimport", False):
        settings["py"] = ("*",)
    if "load_py_module_on_import_failure" in values:
        settings["py_fallback"] = bool(values.pop("load_py_module_on_import_failure"))
    if values.pop("build_in_temp", True) is False:
        settings["keep_c"] = True  # "will produce the C files locally"
    level = values.get("language_level")
    if isinstance(level, str) and level.isdecimal():
        values["language_level"] = int(level)
    return {**settings, **{name: value for name, value in values.items() if value is not None}}
