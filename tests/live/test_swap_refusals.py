"""What cannot be swapped says so, and the old code goes on, whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from swapping import Live

TEXT = """
    # distutils: define_macros = MACRO
    cdef class C:
        cdef int c(self): return VERSION
        def meth(self): return VERSION, self.c()
    def f(): return VERSION
"""


MACROS = [
    "CYTHON_PEP489_MULTI_PHASE_INIT=0", "CYTHON_USE_MODULE_STATE=1", "CYTHON_USE_TYPE_SPECS=1",
    "Py_LIMITED_API=0x030B0000",
]  # fmt: skip


def test_macros(live: Live) -> None:
    def text(number: int, macro: str = "") -> str:
        line = "    # distutils: define_macros = MACRO\n"
        special = TEXT.replace("MACRO", macro) if macro else TEXT.replace(line, "")
        return special.replace("VERSION", str(number))

    def refused(m: Any, name: str, changed: str) -> None:
        f, c = m.f, m.C()
        told = live.refused("refused", **{name: changed})
        assert "compiled without what live swapping needs" in told and "Restart the program" in told
        assert f() == m.f() == 1 and c.meth() == m.C().meth() == (1, 1)

    for at, macro in enumerate(MACROS):  # what runs was built so
        name = f"old{at}"
        refused(live.load(name, **{name: text(1, macro)}), name, text(2))
        live.write(**{name: text(1, macro)})
    m = live.load(m=text(1))
    for macro in MACROS:  # what is to run is
        refused(m, "m", text(2, macro))


def test_c_that_is_not_known(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    from cyhot.building import instrument

    m = live.load(m="def f(): return 1\n")
    f = m.f
    monkeypatch.setattr(instrument, "_BODIES", "/* no such section */")
    told = live.refused("refused", m="def f(): return 2\n")
    assert "generated C that cyhot does not know" in told and "sections" in told
    assert f() == m.f() == 1
    monkeypatch.undo()
    live.swap(m="def f(): return 3\n")
    assert f() == 3


def test_another_cython(live: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cyhot.building import instrument

    m = live.load(m="def f(): return 1\n")
    f = m.f
    monkeypatch.setattr(instrument, "_cython", lambda text: "9.9")
    told = live.refused("refused", m="def f(): return 2\n")
    assert "and is by 9.9" in told and "Restart the program" in told
    assert f() == m.f() == 1
