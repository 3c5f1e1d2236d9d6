"""What is added to the generated C; on C of the installed Cython."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cyhot.building.instrument import Facts, declared, facts_of, guards, instrument

SOURCE = """
cdef int number = 1
cdef double[:] view
cdef list things = []
cdef class Base:
    cdef int n
    cdef int one(self): return 1
cdef class Derived(Base):
    cdef object o
    cdef int two(self): return 2
def plain(x, k=1): return x, view[0]
def make(n):
    def inner(): return n
    return inner
class P:
    label = 1
    def meth(self): pass
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The C of a module in a package."""
    folder = tmp_path_factory.mktemp("instrument")
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").touch()
    (folder / "pkg" / "m.pyx").write_text(SOURCE)
    command = [sys.executable, "-m", "cython", "-3", "pkg/m.pyx"]
    subprocess.run(command, cwd=folder, check=True)
    return (folder / "pkg" / "m.c").read_text()


def facts(text: str, *sources: str) -> Facts:
    written = instrument(text, "pkg.m", sources)
    start = written.index("cyhot_facts[] =")
    literal = written[start : written.index(";\n", start)].partition("=")[2]
    found = facts_of(eval(f"({literal})").replace('?""', "?").encode() + b"\0")
    assert found is not None
    return found


def test_facts(generated: str) -> None:
    found = facts(generated, SOURCE)
    assert (found.name, found.refusal) == ("pkg.m", "")
    assert [one["name"] for one in found.types] == ["Base", "Derived"]
    assert "int n;" in found.types[0]["layout"] and "PyObject *o;" in found.types[1]["layout"]
    assert [len(one["table"]) for one in found.types] == [1, 2]
    holds = {one["name"]: one["holds"] for one in found.variables}
    assert holds == {"number": "plain", "view": "slice", "things": "object"}
    assert [one["closure"] for one in found.functions].count(True) == 1
    assert any("v_n" in one["captured"] for one in found.functions)
    assert Facts.parse(found.dump()) == found


def test_a_module_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.pyx").write_text("X = 1\n")
    subprocess.run([sys.executable, "-m", "cython", "-3", "m.pyx"], cwd=tmp_path, check=True)
    written = instrument((tmp_path / "m.c").read_text(), "m")
    assert "__cyhot_image" in written


@pytest.mark.parametrize(
    ("text", "other", "unknown"),
    [
        ("Code section: numeric_typedefs", "Code section: numbers", "sections"),
        ("__Pyx_CyFunction_New(&", "__Pyx_CyFunction_New( & ", ""),
        (
            "static PyMethodDef __pyx_mdef",
            "static  PyMethodDef __pyx_mdef",
            "is defined in another",
        ),
        (
            "__pyx_ptype_3pkg_1m_Base = &__pyx_type",
            "__pyx_ptype_3pkg_1m_Base = & __pyx_type",
            "Base",
        ),
    ],
)
def test_c_that_is_not_known(generated: str, text: str, other: str, unknown: str) -> None:
    assert text in generated
    changed = generated.replace(text, other)
    found = facts(changed)
    if unknown:
        assert "generated C that cyhot does not know" in found.refusal and unknown in found.refusal
        assert "__cyhot_image" not in instrument(changed, "pkg.m")
    else:
        assert len(found.functions) == 0


def test_guards() -> None:
    text = """
try: a
except NameError: a = 1
try:
    b  # kept
except (NameError, KeyError):
    b = 1
if "c" not in globals(): c = 1
d = globals().get("d", 1)
globals().setdefault("e", 1)
try: no
except KeyError: no = 1
"""
    assert sorted(guards(text)) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("cdef int x", "int"),
        ("cdef double[:] x = None", "double[:]"),
        ("cdef public list x = []", "list"),
        ("cdef int a, x", "int"),
        ("cdef:\n    dict x", "dict"),
        ("x = 1", ""),
        ("cdef int x()", ""),
    ],
)
def test_declared(line: str, kind: str) -> None:
    assert declared(line + "\n", "x") == kind
