"""pyximport's ``install`` keywords, as settings. On the warm path of who uses them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def translate(keywords: dict[str, Any]) -> dict[str, object]:
    """Settings for what pyximport's users wrote.

    Args:
        keywords: Keywords of `install`; pyximport's own and cyhot's may be mixed.

    Returns:
        Settings of cyhot's. ``reload_support`` needs none: reloading works.
    """
    values = dict(keywords)
    settings = _of_setup_args(values.pop("setup_args", None) or {})
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


def _of_setup_args(setup_args: dict[str, Any]) -> dict[str, object]:
    if not setup_args:
        return {}
    from ..building.setup_args import to_settings

    settings, unknown = to_settings(setup_args)
    if unknown:
        from .warn import no_meaning

        no_meaning(unknown)
    return settings
