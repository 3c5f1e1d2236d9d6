"""Dependency files of compilers and linkers, with every name that they escape."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyhot.building.depfile import parse

AWKWARD = ["with space.h", "dol$lar.h", "hash#.h", "a\\b.h", "two  spaces.h", "ünï.h", "co:lon.h"]
names = st.lists(
    st.text("ab $#\\:é", min_size=1, max_size=8).filter(
        # make has no way to write these: a trailing backslash or blanks around a backslash
        lambda name: name.strip() == name and "\\" not in name and name.strip(".") == name
    ),
    min_size=1,
    max_size=4,
)


def escaped(path: str) -> str:
    return path.replace(" ", "\\ ").replace("#", "\\#").replace("$", "$$")


@given(names, st.sampled_from([" ", " \\\n ", " \\\r\n "]))
def test_what_is_escaped_is_read_as_it_was(found: list[str], between: str) -> None:
    paths = [f"/folder/{name}" for name in found]

    text = f"out.o:{between}{between.join(map(escaped, paths))}\n"

    assert parse(text, "/elsewhere") == list(dict.fromkeys(paths))


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert all(os.path.isabs(path) for path in parse(text, "/folder"))


def test_rules_without_prerequisites_and_relative_paths() -> None:
    text = "a.o b.o: /x/one.h \\\n  two.h\n\n/x/one.h:\nC:\\x.o: three.h\n"

    assert parse(text, "/work") == ["/x/one.h", "/work/two.h", "/work/three.h"]


@pytest.mark.parametrize("name", AWKWARD)
def test_what_gcc_writes_is_read(tmp_path: Path, name: str) -> None:
    header, source = tmp_path / name, tmp_path / "x.c"
    header.write_text("#define N 1", encoding="utf-8")
    source.write_text(f'#include "{name}"\n', encoding="utf-8")
    depfile = tmp_path / "x.d"
    command = ["gcc", "-fsyntax-only", "-MD", "-MF", str(depfile), str(source)]
    subprocess.run(command, check=True)

    found = parse(depfile.read_text(encoding="utf-8"), "/")
    assert [path for path in found if path.startswith(str(tmp_path))] == [str(source), str(header)]


def test_a_header_above_a_linked_folder_is_the_one_that_was_read(tmp_path: Path) -> None:
    """link/../n.h is beside the folder that link leads to, not beside the link."""
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/sub")
    (tmp_path / "real" / "n.h").write_text("#define N 1", encoding="utf-8")

    (path,) = parse(f"x.o: {tmp_path}/link/../n.h", "/")

    assert os.path.samefile(path, tmp_path / "real" / "n.h")
