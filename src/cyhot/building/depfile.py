"""The dependency files that ``cc -MD`` and ``ld --dependency-file`` write.

Pure: text in, paths out.
"""

from __future__ import annotations

import os


def parse(text: str, folder: str) -> list[str]:
    """The prerequisites that a depfile names.

    Args:
        text: Its content: make rules, with ``\\ `` for a space, ``$$`` for a dollar and ``\\#``.
        folder: What relative paths are relative to: where the compiler ran.

    Returns:
        Absolute paths in order, each once. ``..`` stays: after a link it leads elsewhere than the
        text says.
    """
    paths: dict[str, None] = {}
    for rule in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        _target, colon, prerequisites = _split_rule(rule)
        if colon:
            for word in _words(prerequisites):
                paths[_absolute(word, folder)] = None
    return list(paths)


def _absolute(word: str, folder: str) -> str:
    path = os.path.join(folder, word)
    return path if ".." in path.split(os.sep) else os.path.normpath(path)


def _split_rule(rule: str) -> tuple[str, str, str]:
    """At the colon that is followed by white space (a drive letter's is not)."""
    for index, char in enumerate(rule):
        if char == ":" and (index + 1 == len(rule) or rule[index + 1].isspace()):
            return rule[:index], ":", rule[index + 1 :]
    return rule, "", ""


def _words(text: str) -> list[str]:
    words: list[str] = []
    word = ""
    chars = iter(text)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            word += following if following in " #\\:" else char + following
        elif char == "$":
            following = next(chars, "")
            word += "$" if following == "$" else char + following
        elif char.isspace():
            if word:
                words.append(word)
            word = ""
        else:
            word += char
    return [*words, word] if word else words
