"""Modules that cimport from one another."""

from __future__ import annotations

import importlib

from swapping import Live, version

PXD = """
    cdef int twice(int x) nogil
    cdef double ratio
    cdef object thing
    cdef class Base:
        cdef public int n
        cdef int c1(self)
        cpdef int c2(self)
"""
EXPORTER = """
    cdef int twice(int x) nogil: return VERSION * x
    cdef double ratio = VERSION + 0.5
    cdef object thing = ["VERSION"]
    cdef class Base:
        cdef int c1(self): return VERSION
        cpdef int c2(self): return VERSION * 10
        def __repr__(self): return "Base VERSION"
    def number(): return VERSION
    K = VERSION
"""
IMPORTER = """
    cimport a
    from a cimport Base, twice
    from a import K, number
    import a as module
    cdef class Sub(Base):
        cdef int own(self): return VERSION
        cpdef int c2(self): return 7
    class PySub(Base):
        def py(self): return VERSION, self.c2()
    def g(int x): return VERSION, twice(x), a.ratio, a.thing
    def h(Base b): return b.c1(), b.c2()
    cdef int apply(int (*f)(int) noexcept nogil, int x): return f(x)
    INIT = twice(1), number(), K, module.K, Base().c2(), a.ratio
"""


def test_cimports(live: Live, language: str) -> None:
    b = live.load("b", a=version(EXPORTER, 1), a_pxd=PXD, b=version(IMPORTER, 1))
    import a

    g, h, number = b.g, b.h, b.number
    base, sub, py = a.Base(), b.Sub(), b.PySub()
    user = type("User", (b.Sub,), {})()
    assert (g(3), h(base), h(sub)) == ((1, 3, 1.5, ["1"]), (1, 10), (1, 7))

    report = live.swap(a=version(EXPORTER, 2))
    assert [one.name for one in report.swapped] == ["a"] and report.redirected == ("b",)
    assert g(3) == (1, 6, 2.5, ["2"]) and h(base) == h(py) == (2, 20)
    assert h(sub) == h(user) == (2, 7) and py.py() == (1, 20) and number() == b.number() == 2
    assert repr(sub) == repr(user) == "Base 2" and b.INIT == (1, 1, 1, 1, 10, 1.5)
    assert isinstance(sub, a.Base) and b.Sub.__base__ is a.Base

    live.swap(b=version(IMPORTER, 3))
    assert g(3) == (3, 6, 2.5, ["2"]) and b.INIT == (2, 2, 2, 2, 20, 2.5)
    assert type(sub) is b.Sub and h(sub) == h(b.Sub()) == (2, 7) and py.py() == (3, 20)

    changed_pxd = PXD.replace("twice(int x) nogil", "twice(int x, int y=*) nogil")
    changed = version(EXPORTER, 4).replace(
        "twice(int x) nogil: return 4 * x", "twice(int x, int y=5) nogil: return 4 * x + y"
    )
    report = live.swap(a=changed, a_pxd=changed_pxd)
    assert {one.name for one in report.swapped} == {"a", "b"}, "both, as their signature changed"
    assert g(3) == (3, 17, 4.5, ["4"]) and h(base) == (4, 40) and h(sub) == h(user) == (4, 7)
    assert b.INIT == (9, 4, 4, 4, 40, 4.5) and b.number() == 4
    assert type(sub) is b.Sub and isinstance(sub, a.Base) and py.py() == (3, 40)

    layout = changed_pxd.replace("cdef public int n", "cdef public long n")
    told = live.refused("refused", a=changed, a_pxd=layout)
    assert "cdef class Base: its fields changed" in told
    assert g(3) == (3, 17, 4.5, ["4"]) and h(sub) == (4, 7)
    live.refused("build", a=changed, a_pxd=PXD.replace("twice", "thrice"))
    assert g(3) == (3, 17, 4.5, ["4"]) and h(sub) == (4, 7)


def test_packages(live: Live) -> None:
    sources = {
        "pkg__init": "from .sub.mod import f\ndef top(): return VERSION, f()\n",
        "pkg__shared_pxd": "cdef int share(int x)\ncdef class Part:\n    cdef public int n\n",
        "pkg__shared": "cdef int share(int x): return VERSION * x\ncdef class Part:\n"
        "    def get(self): return VERSION, self.n\n",
        "pkg__sub__init": "WHO = VERSION\n",
        "pkg__sub__mod": "from ..shared cimport share, Part\nfrom .. import shared\n"
        "def f(): return VERSION, share(10)\ndef part(): return Part()\n",
    }

    def at(v: int) -> dict[str, str]:
        return {name: text.replace("VERSION", str(v)) for name, text in sources.items()}

    pkg = live.load("pkg", **at(1))
    importlib.import_module("pkg.sub.mod")

    top, f, part = pkg.top, pkg.f, pkg.sub.mod.part()
    assert top() == (1, (1, 10)) and part.get() == (1, 0)
    live.swap(pkg__shared=at(2)["pkg__shared"])
    assert top() == (1, (1, 20)) and part.get() == (2, 0)
    report = live.swap(**at(3))
    assert len(report.swapped) == 4
    assert top() == (3, (3, 30)) and f() == pkg.f() == (3, 30) and part.get() == (3, 0)
    assert pkg.sub.WHO == 3 and type(part) is pkg.shared.Part and pkg.sub.mod.f is f


def test_modules_that_cimport_each_other_call_each_others_new_code(live: Live) -> None:
    def circle(v: int, pxd: str = "") -> dict[str, str]:
        return {
            "xa": f"cimport xb\ncdef int ka = {v}\ncdef int fa(int x): return x + {v}\n"
            f"def go(): return xb.fb(0), xb.kb\n",
            "xb": f"cimport xa\ncdef int kb = {v}\ncdef int fb(int x): return xa.fa(x)  # {v}\n"
            f"def go(): return xa.fa(0), xa.ka\ndef long():\n    for _ in range(9):\n"
            f"        yield {v}, xa.fa(0), xa.ka\n",
            "xa_pxd": f"cdef int fa(int x)\ncdef int ka\n{pxd}",
            "xb_pxd": "cdef int fb(int x)\ncdef int kb\n",
        }

    live.load("xa", **circle(1))
    import xa
    import xb

    go, under_way = xb.go, xb.long()
    assert next(under_way) == (1, 1, 1) and xa.go() == xb.go() == (1, 1)
    for v in (100, 200):
        report = live.swap(**circle(v))
        assert {one.name for one in report.swapped} == {"xa", "xb"}
        assert xa.go() == xb.go() == go() == (v, v)
        if v == 100:
            assert next(under_way) == (1, 100, 100), "the old code calls new code"
    live.swap(xa=circle(300)["xa"])
    assert xa.go() == (300, 200) and xb.go() == go() == (300, 300)
    live.updater.rollback()
    live.updater.rollback()
    assert xa.go() == xb.go() == go() == (100, 100)
    more = circle(400, "cdef int more(int x)\n")  # needs what the other's old version has not
    more["xa"] += "cdef int more(int x): return 7\n"
    more["xb"] += "def use(): return xa.more(0)\n"
    live.swap(**more)
    assert xb.use() == 7 and xa.go() == go() == (400, 400)
    raised = circle(500) | {"xb": circle(500)["xb"] + "1 / 0\n"}
    told = live.refused("body", **raised)
    assert (
        "xb: its new body raised" in told and "xa: " not in told and xa.go() == go() == (400, 400)
    )


def test_modules_that_import_each_other_see_each_others_new_names(live: Live) -> None:
    def at(v: int, names: str) -> dict[str, str]:
        return {
            "app": f"from util import {names}\nimport zed\nfrom pkg.sub import C\n"
            "from pkg import top\nimport pkg.sub as ps\n"
            f"GOT = {names}, zed.Z, C, top.T, ps.C\ndef g(): return GOT, {v}\n",
            "util": "import app\n" + "".join(f"{one} = {v}\n" for one in names.split(", ")),
            "zed": f"Z = {v}\n",
            "pkg__init": f"from . import sub\nP = sub.C, {v}\n",
            "pkg__sub": f"C = {v}\n",
            "pkg__top": f"from . import sub\nfrom .sub import C\nT = sub.C, C, {v}\n",
        }

    app = live.load("app", **at(1, "a"))
    g = app.g
    assert g() == ((1, 1, 1, (1, 1, 1), 1), 1)
    report = live.swap(**at(2, "a, b"))
    assert len(report.swapped) == 6
    assert g() == ((2, 2, 2, 2, (2, 2, 2), 2), 2) and live.load("pkg").P == (2, 2)
    told = live.refused(
        "body", util="a = 3\nb = 3\nimport app\nraise KeyError\n", app=at(3, "b")["app"]
    )
    assert "util: its new body raised" in told and "app: its" not in told and g()[1] == 2
    live.write(util="import app\na = 4\nb = 4\n", app=at(3, "b")["app"])
    importlib.reload(live.load("util"))  # (importlib moves it to the end of sys.modules)
    importlib.reload(app)
    assert g() == ((4, 2, 2, (2, 2, 2), 2), 3)
    importlib.reload(live.load("util"))
    live.swap(**at(5, "a, b"))
    assert g() == ((5, 5, 5, 5, (5, 5, 5), 5), 5)


def test_submodules_that_are_saved_with_who_reads_them_through_their_package(live: Live) -> None:
    def at(v: int) -> dict[str, str]:
        return {
            "app": "import old.sub\nimport new.sub, new.other\nimport new\nHELD = [old, (new,)]\n"
            f"GOT = old.sub.C, new.sub.C, new.P, new.other.O, {v}\nold.note = {v}\nnew.note = {v}\n"
            "def g(): return old.sub.C, new.sub.C, old.note, new.note\n"
            "def mods(): return old, new\n",
            "old__sub": f"C = {v}\n",
            "new__init": f"from new.other import O\nimport new.other\nP = new.other.O, {v}\n",
            "new__sub": f"C = {v}\n",
        }

    live.write(old__init_py="", new__other="O = 1\n")
    app = live.load("app", **at(1))
    g, packages = app.g, app.mods()
    for v in (2, 3):
        report = live.swap(**at(v))
        assert len(report.swapped) == 4
        assert (v, v, (1, v), 1, v) == app.GOT and g() == (v, v, v, v)
        assert app.mods() == packages == (live.load("old"), live.load("new"))
        assert [packages[0], (packages[1],)] == app.HELD
    live.swap(new__other="O = 4\n")
    live.swap(app=at(5)["app"])
    assert app.GOT == (3, 3, (1, 3), 4, 5) and app.mods() == packages and g() == (3, 3, 5, 5)


def test_circles_that_functions_close_are_entered_where_the_program_entered_them(
    live: Live,
) -> None:
    def at(v: int) -> dict[str, str]:
        return {
            "oa": f"def late():\n    from ob import B\n    return B\nGOT = late(), {v}\n",
            "ob": f"import oa\nB = {v}\n",
            "pa": f"K = {v}\nfrom pb import B\nGOT = B, {v}\n",
            "pb": f"from pa import K\nB = K, {v}\n",
            "px": f"import pa\nfrom pb import B\ndef never():\n    import pw\nGOT = B, {v}\n",
            "pw": f"from pb import B\ndef never():\n    import px\nGOT = B, {v}\n",
        }

    live.load("oa", **at(1))
    for name in ("pa", "pw", "px"):
        live.load(name)
    for v in (2, 3):
        assert len(live.swap(**at(v)).swapped) == 6
        got = [live.load(name).GOT for name in ("oa", "pa", "px", "pw")]
        assert got == [(v, v), ((v, v), v), ((v, v), v), ((v, v), v)]
    told = live.refused("body", **at(4) | {"ob": "raise ImportError('no')\n"})
    assert "ob: its new body raised" in told and "oa: " not in told
    assert live.load("oa").GOT == (3, 3)
