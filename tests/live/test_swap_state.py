"""What happens to the data of a module; failures change nothing; going back."""

from __future__ import annotations

from swapping import Live, version

STATE = """
    data = {"VERSION": VERSION}
    K = VERSION
    kept = [VERSION]
    one_name = VERSION
    try:
        guarded
    except NameError:
        guarded = [VERSION]
    if "in_globals" not in globals():
        in_globals = [VERSION]
    got = globals().get("got", VERSION)
    cdef int c_plain = VERSION
    cdef int c_kept = VERSION
    cdef double[3] c_array
    cdef list c_list = [VERSION]
    cdef dict c_kept_dict = {"n": VERSION}
    cdef struct Pos:
        int x
        int y
    cdef Pos c_pos = Pos(VERSION, 0)
    __cyhot_keep__ = ("kept", "c_kept", "c_kept_dict", "c_pos", "no_such")

    def bump():
        global c_plain, c_kept, K
        c_plain += 100; c_kept += 100; c_pos.y += 100; K += 100
        c_list.append("bumped"); c_kept_dict["n"] += 100
        kept.append("bumped"); guarded.append("bumped"); in_globals.append("bumped")
    def state():
        return VERSION, K, c_plain, c_kept, c_list, c_kept_dict, (c_pos.x, c_pos.y)
    # TAIL
"""


def test_state(live: Live, language: str) -> None:
    m = live.load(m=version(STATE, 1, tail="gone = 1\ndef gone_too(): pass"))
    m.bump()
    m.mine = "set from outside"
    m.K += 5
    state, namespace, kept = m.state, vars(m), m.kept
    assert state() == (1, 106, 101, 101, [1, "bumped"], {"n": 101}, (1, 100))
    report = live.swap(m=version(STATE, 2))
    assert state() == m.state() == (2, 2, 2, 101, [2], {"n": 101}, (1, 100))
    assert m.kept is kept and kept == [1, "bumped"] and m.guarded == [1, "bumped"]
    assert m.in_globals == [1, "bumped"] and m.got == 1
    assert vars(m) is namespace and m.data == {"2": 2} and m.mine == "set from outside"
    assert not hasattr(m, "gone") and not hasattr(m, "gone_too")
    assert set(report.swapped[0].removed) == {"gone", "gone_too"}
    assert {"kept", "c_kept", "c_kept_dict", "c_pos"} == set(report.swapped[0].kept)
    m.K = 99
    assert state()[1] == 99 and namespace["K"] == 99, "one set of globals"
    m.bump()
    live.swap(m=version(STATE, 3))
    assert state() == (3, 3, 3, 201, [3], {"n": 201}, (1, 200))
    changed = version(STATE, 4).replace("cdef int c_kept", "cdef long c_kept")
    report = live.swap(m=changed)
    assert "c_kept starts anew: its type changed" in str(report)
    assert state()[3] == 4
    assert m.__name__ == "m" and m.__spec__.name == "m" and m.__file__.endswith("m.pyx")


HOOKS = """
    VALUE = VERSION
    heard = []
    def __cyhot_before__():
        return {"handed": VERSION, "heard": heard}
    def __cyhot_after__(state):
        heard.extend(state["heard"])
        heard.append((VERSION, state["handed"]))
        # AFTER
    # TAIL
"""


def test_hooks(live: Live) -> None:
    m = live.load(m=version(HOOKS, 1))
    live.swap(m=version(HOOKS, 2))
    live.swap(m=version(HOOKS, 3))
    assert m.heard == [(2, 1), (3, 2)]
    live.write(m=version(HOOKS, 4))
    m.__cyhot_before__ = lambda: 1 / 0
    text = live.refused("body", m=version(HOOKS, 5))
    assert "__cyhot_before__() raised ZeroDivisionError" in text and m.VALUE == 3


def test_failures_change_nothing(live: Live, language: str) -> None:
    text = """
        log = []
        cdef int count = VERSION
        cdef class C:
            cdef public object x
            cdef int c(self): return VERSION
            def meth(self): return VERSION, self.c(), count
        class P:
            label = VERSION
            def meth(self): return VERSION
        def f(k=VERSION): return VERSION, k, count
        data = {"v": VERSION}
        # TAIL
    """
    m = live.load(m=version(text, 1))
    f, c, p, data = m.f, m.C(), m.P(), m.data

    def unchanged(v: int) -> None:
        assert f() == m.f() == (v, v, v) and c.meth() == (v, v, v) and p.meth() == v
        assert m.data == {"v": v} and m.P.label == v and m.C().meth() == (v, v, v)

    told = live.refused("body", m=version(text, 2, tail="int('what it said')"))
    assert "ValueError: " in told and "what it said" in told and "m.pyx" in told
    unchanged(1)
    assert m.data is data
    assert "does not compile" in live.refused("build", m="def f(:\n")
    unchanged(1)
    assert "does not compile" in live.refused("build", m="def f(): return undeclared_x\n")
    unchanged(1)
    told = live.refused("body", m=version(text, 3, tail="import no_such_module"))
    assert "ModuleNotFoundError" in told
    unchanged(1)
    told = live.refused("body", m=version(text, 3, tail="C().x.y"))
    assert "AttributeError" in told
    unchanged(1)
    live.swap(m=version(text, 4))
    unchanged(4)

    live.swap(m=version(text, 5))
    report = live.updater.rollback()
    assert report.ok and "rolled back" in str(report)
    unchanged(4)
    assert live.updater.rollback().ok
    unchanged(1)
    live.swap(m=version(text, 6))
    unchanged(6)
