"""What cannot be swapped says so, and the old code goes on, whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from swapping import Live

TEXT = """
    # distutils: define_macros = MACRO
    cdef class C:
        cdef int c(self): return VERSION
        def meth(self): return VERSION, self.c()
    def f(): return VERSION
"""


@pytest.mark.parametrize(
    "macro",
    ["CYTHON_PEP489_MULTI_PHASE_INIT=0", "CYTHON_USE_MODULE_STATE=1", "CYTHON_USE_TYPE_SPECS=1"],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_macros(live: Live, macro: str, when: str) -> None:
    plain = TEXT.replace("    # distutils: define_macros = MACRO\n", "")
    special = TEXT.replace("MACRO", macro)
    first, second = (special, plain) if when == "before" else (plain, special)
    m = live.load(m=first.replace("VERSION", "1"))
    f, c = m.f, m.C()
    told = live.refused("refused", m=second.replace("VERSION", "2"))
    assert "compiled without what live swapping needs" in told and "Restart the program" in told
    assert f() == m.f() == 1 and c.meth() == m.C().meth() == (1, 1)


def test_c_that_is_not_known(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    from cyhot.building import instrument

    m = live.load(m="def f(): return 1\n")
    f = m.f
    monkeypatch.setattr(instrument, "_SECTION", "/* no such section */")
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
