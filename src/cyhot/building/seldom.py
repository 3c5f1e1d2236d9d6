"""Telling the compiler which functions run so seldom that optimizing them is a waste. Pure.

Cython's helpers that run once, while a module is imported, or only where an exception has been
raised already, take a tenth of gcc's time for a module of 25 lines, a sixth for one of two. They
are compiled at -O0. They are not said to be cold: what always calls a cold function is cold itself
to gcc, so the user's functions would be optimized for size.

None of the user's functions is meant, and none of the helpers that those call in a normal run.
"""

from __future__ import annotations

import re

from .ctext import SECTION, at_lines

VERSION = 1
"""Of what is marked."""

_NAMES = (
    "__Pyx_Init",
    "__Pyx_init_",
    "__Pyx_modinit_",
    "__Pyx_CreateCodeObject",
    "__Pyx_CreateStringTab",
    "__Pyx_PyCode_New",
    "__Pyx_ImportFromPxd",
    "__Pyx_ImportFunction",
    "__Pyx_ImportType",
    "__Pyx_ImportVoidPtr",
    "__Pyx_VerifyCachedType",
    "__Pyx_check_binary_version",
    "__Pyx_AddTraceback",
    "__Pyx_CLineForTraceback",
    "__pyx_bisect_code_objects",
    "__pyx_find_code_object",
    "__pyx__find_code_object",
    "__pyx_insert_code_object",
    "__pyx__insert_code_object",
)
_DEFINED = re.compile(
    r"^static (?!CYTHON_INLINE |CYTHON_SMALL_CODE )(?=[^;={(\n]*\b(\w+)\([^;{]*\) ?\{\n)", re.M
)
_MACRO = "CYHOT_SELDOM"
_DEFINITION = f"""\
#if defined(__GNUC__) && !defined(__clang__)
  #define {_MACRO} __attribute__((optimize("O0")))
#else
  #define {_MACRO}
#endif
"""


def mark(text: str) -> str:
    """Have gcc not optimize what runs seldom.

    Args:
        text: Generated C.

    Returns:
        The same with a macro before those functions' definitions; as it was if it is not the C
        that is known here.
    """
    if text.count(SECTION) != 1:
        return text
    start = text.index(SECTION)
    defined = (m for m in at_lines(_DEFINED, text, "static ") if m[1].startswith(_NAMES))
    changes = [(m.end(), f"{_MACRO} ") for m in defined if m.start() > start]
    pieces, done = [], 0
    for place, new in [(start, _DEFINITION), *changes]:
        pieces += [text[done:place], new]
        done = place
    return "".join([*pieces, text[done:]])
