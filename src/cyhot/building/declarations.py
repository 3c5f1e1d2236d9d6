"""What C text declares: all of it that can say how values are laid out, and nothing else. Pure.

Two versions of a header that differ in comments, functions or prototypes alone lay out the same.
What is not understood is kept: it makes two texts differ that need not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .observe import digest

_NO_CODE = re.compile(
    r"""//(?:\\\n|[^\n])*|/\*.*?\*/|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""", re.S
)
_DIRECTIVE = re.compile(r"^[ \t]*(#(?:\\\n|[^\n])*)", re.M)
_TRANSPARENT = re.compile(r'(?:extern\s*"C"|(?:inline\s+)?namespace\b[\w:\s]*)$')
_TYPE = re.compile(r"(?:typedef|using|struct|union|enum|class|template)\b")
_FUNCTION = re.compile(r"\)(?:\s*(?:const|noexcept|override|final))*$")
_VERBATIM = re.compile(
    r"^[ \t]*cdef[ \t]+extern[ \t]+from\b[^\n]*:[ \t]*(?:\#[^\n]*)?\n(?:\s*\#[^\n]*\n)*\s*"
    r'(?P<quote>"""|\'\'\')(?P<text>.*?)(?P=quote)',
    re.S | re.M,
)


def layouts(texts: Iterable[str]) -> str:
    """What decides how values of the types in some C texts are laid out, as a digest.

    Args:
        texts: The texts; their order does not matter.
    """
    return digest("\n".join(sorted("\n".join(_declared(text)) for text in texts)).encode())


def verbatim(source: str) -> list[str]:
    """The C that a Cython source has in its ``cdef extern from`` blocks.

    Args:
        source: The text of a ``.pyx``, ``.pxd`` or ``.pxi``.
    """
    return [found["text"] for found in _VERBATIM.finditer(source)]


def _declared(text: str) -> Iterator[str]:
    plain = _NO_CODE.sub(lambda found: found[1] or " ", text)
    for found in _DIRECTIVE.finditer(plain):
        yield " ".join(found[1].replace("\\\n", " ").split())
    for statement in _statements(_DIRECTIVE.sub("", plain)):
        told = " ".join(statement.split())
        head = told.partition("{")[0].strip()
        is_type = _TYPE.match(told) is not None
        if "{" in told and _FUNCTION.search(head) and not told.startswith("typedef"):
            continue  # a function's body
        if "{" not in told and "(" in told and not re.match(r"typedef\b|using\b", told):
            continue  # a prototype
        if told and (is_type or "{" in told or "=" in told):
            yield told


def _statements(text: str) -> Iterator[str]:
    """Statements outside of all braces; what stands in ``extern "C" {}`` counts as outside."""
    start = depth = opened = 0
    for found in re.finditer(r'[{};]|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', text):
        mark, at = found[0], found.start()
        if mark == "{":
            if depth == 0 and _TRANSPARENT.search(text[start:at].strip()):
                start, opened = at + 1, opened + 1
            else:
                depth += 1
        elif mark == "}" and depth == 0:
            start, opened = at + 1, opened - 1
        elif mark == "}":
            depth -= 1
            if depth == 0 and _FUNCTION.search(text[start:at].partition("{")[0].strip()):
                yield text[start : at + 1]
                start = at + 1
        elif mark == ";" and depth == 0:
            yield text[start:at]
            start = at + 1
    yield text[start:]
