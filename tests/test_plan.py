"""Reasons, in the words that users see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyhot.building.plan import explain, other_recipe
from cyhot.building.recipe import (
    KeyParts,
    Surroundings,
    build_environment,
    image_digest,
    key,
    key_parts,
)
from cyhot.building.record import Difference, Record

FILES = (
    ("/p/kernels.pyx", "", ""),
    ("/p/helpers.pxd", "cimported by", "/p/kernels.pyx"),
    ("/p/core.pxd", "cimported by", "/p/helpers.pxd"),
    ("/p/deep.pxi", "included by", "/p/core.pxd"),
    ("/p/n.h", "C header of", "/p/core.pxd"),
    ("/p/k.h", "included by", "/p/n.h"),
    ("/p/a.txt", "listed by", "/p/kernels.pyxdep"),
    ("/p/loop1.h", "included by", "/p/loop2.h"),
    ("/p/loop2.h", "included by", "/p/loop1.h"),
)


def words(*difference: str) -> str:
    """What is said of a difference."""
    record = Record.unpack(tuple(() for _ in Record.__slots__))
    record.files = tuple((p, (0, 0, 0, 0), "", relation, via) for p, relation, via in FILES)
    found: Difference = (*difference, *[""] * (4 - len(difference)))  # type: ignore[assignment]
    system = "a file of the installation"
    (reason,) = explain([found], record, lambda path: system if "/usr/" in path else "")
    assert str(reason) == reason.text == reason.to_dict()["text"]
    return reason.text


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (("changed", "/p/kernels.pyx"), "kernels.pyx changed"),
        (("changed", "/p/helpers.pxd"), "helpers.pxd changed (cimported by kernels.pyx)"),
        (("changed", "/p/core.pxd"), "core.pxd changed (cimported by helpers.pxd)"),
        (
            ("removed", "/p/deep.pxi"),
            "deep.pxi was removed (included by core.pxd, cimported by helpers.pxd)",
        ),
        (
            ("changed", "/p/k.h"),
            "k.h changed (included by n.h, C header of core.pxd, cimported by helpers.pxd)",
        ),
        (("changed", "/p/a.txt"), "a.txt changed (listed by kernels.pyxdep)"),
        (("changed", "/p/loop1.h"), "loop1.h changed (included by loop2.h)"),
        (("changed", "/usr/include/x.h"), "x.h changed (a file of the installation)"),
        (("appeared", "/p/x.pxd"), "/p/x.pxd appeared, where a search had found nothing"),
        (("vanished", "/p/x.py"), "/p/x.py vanished, where a search had found something"),
        (
            ("search", "core.pxd", "/p/core.pxd", "/q/core.pxd"),
            "core.pxd is now found as /q/core.pxd, before as /p/core.pxd",
        ),
        (
            ("search", "core.pxd", "", "/q/core.pxd"),
            "core.pxd is now found as /q/core.pxd, before as nothing",
        ),
        (("glob", "/p/*.txt"), "/p/*.txt names other files than before"),
        (
            ("tool", "gcc", "gcc 12\nmore\nabc", "gcc 13\nmore\ndef"),
            "gcc is now gcc 13, before gcc 12",
        ),
        (
            ("tool", "/usr/bin/gcc", "gcc 12\nabc", "gcc 12\ndef"),
            "gcc is another file, of the same version (gcc 12)",
        ),
        (("tool", "clang", "", "clang 16"), "clang is now clang 16, before not there"),
        (
            ("tool", "Cython/Shadow.py", "Cython 3.1.0 abc", "Cython 3.2.0 def"),
            "Cython is now Cython 3.2.0, before Cython 3.1.0",
        ),
        (("lost", "ab/cd/m.so"), "ab/cd/m.so was lost from the store"),
    ],
)
def test_words_of_a_difference(difference: tuple[str, ...], said: str) -> None:
    assert words(*difference) == said


# --- what is known before a source is read ----------------------------------------------------


def parts_and_key(**changed: object) -> tuple[KeyParts, str]:
    values: dict[str, object] = {
        "path": "/p/m.pyx",
        "name": "m",
        "is_package": False,
        "python": {"version": "3.13", "ABI": "x.so", "prefix": "/usr"},
        "environ": {"CFLAGS": "-O2", "HOME": "/root"},
        "settings": {"directives": {"cdivision": True}},
    }
    values.update(changed)
    python, environ, settings = (values.pop(n) for n in ("python", "environ", "settings"))
    around = Surroundings(python, build_environment(environ), settings)  # type: ignore[arg-type]
    values["around"] = around
    return key_parts(**values), key(**values)  # type: ignore[arg-type]


def parts(**changed: object) -> KeyParts:
    return parts_and_key(**changed)[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"environ": {}}, "environment variable CFLAGS is unset, before -O2"),
        ({"environ": {"CFLAGS": "-O0"}}, "environment variable CFLAGS is -O0, before -O2"),
        ({"settings": {}}, "setting directives is unset, before {'cdivision': True}"),
        ({"python": {"version": "3.14", "ABI": "x.so", "prefix": "/usr"}},
         "python version is 3.14, before 3.13"),
        ({"path": "/q/m.pyx"}, "module path is /q/m.pyx, before /p/m.pyx"),
        ({"environ": {"CFLAGS": "-O2", "HOME": "/home"}}, "its record was removed from the store"),
    ],
)  # fmt: skip
def test_words_of_another_key(changed: dict[str, object], said: str) -> None:
    (reason,) = other_recipe(parts(), parts(**changed))

    assert reason.text == said
    same = "removed from the store" in said
    assert (parts_and_key()[1] == parts_and_key(**changed)[1]) == same


def test_words_of_a_first_build() -> None:
    (reason,) = other_recipe(None, parts())

    assert (reason.kind, reason.text) == ("new", "it was never built here")


texts = st.text("ab/", max_size=3)
files = st.lists(st.tuples(texts, texts), max_size=3)
tools = st.lists(st.tuples(texts, texts), max_size=3)
steps = st.lists(st.lists(texts, max_size=3).map(tuple), max_size=3)


@given(st.tuples(tools, steps, files), st.tuples(tools, steps, files))
def test_images_of_other_recipes_have_other_digests(one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    same = (sorted(one[0]), one[1], sorted(set(one[2]))) == (
        sorted(other[0]), other[1], sorted(set(other[2]))
    )  # fmt: skip
    assert (image_digest((), *one) == image_digest((), *other)) == same
