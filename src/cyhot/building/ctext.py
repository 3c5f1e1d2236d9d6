"""Finding things in generated C fast. Pure.

A module's C is half a megabyte and more. To look for a word in it takes a tenth of a millisecond,
to try a pattern at each place in it up to ten: so a pattern is tried only where a word stands that
all its hits have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SECTION = "/* #### Code section: numeric_typedefs ### */"
"""Stands once in what Cython generates, before the module's own declarations."""


def at_words(pattern: re.Pattern[str], text: str, *words: str) -> Iterator[re.Match[str]]:
    """A pattern's hits that begin at a word; those of one word after those of another."""
    for word in words:
        at = text.find(word)
        while at >= 0:
            found = pattern.match(text, at)
            if found:
                yield found
            at = text.find(word, found.end() if found else at + 1)


def at_lines(
    pattern: re.Pattern[str], text: str, start: str = "", *, within: str = ""
) -> Iterator[re.Match[str]]:
    """A pattern's hits that begin at a line that starts with a word, or has it within."""
    word = within or f"\n{start}"
    at = 0 if start and text.startswith(start) else text.find(word)
    done = 0
    while at >= 0:
        line = text.rfind("\n", 0, at + 1) + 1
        found = pattern.match(text, line) if line >= done else None
        if found:
            yield found
        done = found.end() if found else max(done, line + 1)
        at = text.find(word, max(done, at + 1))
