"""Run Cython's end-to-end tests (.srctree files) with one module name put in another's place.

A .srctree file holds a folder: first commands, then one section for each file, headed by
``######## its/path ########``. It passes if all commands, run in that folder, exit with 0.

    python tests/srctree.py some/test.srctree     (renames pyximport to cyhot, keeps the folder)
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support import clean_environment


@dataclass(frozen=True)
class SourceTree:
    """A parsed .srctree file: the commands to run, and the files they need by relative path."""

    commands: tuple[tuple[str, ...], ...]
    files: Mapping[str, str]


def parse(text: str) -> SourceTree:
    """Split a .srctree file into its commands and its files."""
    commands: list[tuple[str, ...]] = []
    files: dict[str, list[str]] = {}
    section: list[str] | None = None
    for line in text.splitlines(keepends=True):
        if line.startswith("#####"):
            section = files.setdefault(line.strip().strip("#").strip(), [])
        elif section is not None:
            section.append(line)
        elif line.strip(" \n'\"") and not line.lstrip().startswith("#"):
            commands.append(tuple(shlex.split(line)))
    return SourceTree(tuple(commands), {name: "".join(lines) for name, lines in files.items()})


def rename_module(text: str, old: str, new: str) -> str:
    """Put `new` in the place of module `old`; a keyword ``old=`` and longer names stay."""
    return re.sub(rf"\b{old}\b(?!\s*=[^=])", new, text)


def run(tree: SourceTree, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Unpack a tree into a folder and run its commands there, up to the first that fails.

    Returns:
        The last command that ran: its ``returncode`` is 0 if all passed.
    """
    for name, text in tree.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert tree.commands, "a tree without commands tests nothing"
    for program, *arguments in tree.commands:
        assert program == "PYTHON", f"not a command that this runner knows: {program}"
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True
        )
        if done.returncode:
            break
    return done


def main(treefile: str) -> int:
    text = Path(treefile).read_text(encoding="utf-8")
    folder = Path(tempfile.mkdtemp(prefix="srctree-"))
    done = run(parse(rename_module(text, "pyximport", "cyhot")), folder, clean_environment())
    print(f"{folder}\n{done.stdout}{done.stderr}exit status {done.returncode}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
