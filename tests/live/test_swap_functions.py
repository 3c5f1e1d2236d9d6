"""Functions that are held from before a swap run the new code."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from swapping import Live, version

FUNCTIONS = """
    import functools

    calls = []

    def logged(f):
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            calls.append(VERSION)
            return f(*args, **kwargs)
        return wrapper

    def plain(x, k=VERSION, *, only="kw VERSION") -> "result VERSION":
        "Docstring VERSION."
        return VERSION, x, k, only

    cpdef int fast(int x, int y=VERSION):
        return x * 100 + y

    cpdef double area(double r) except -1.0 nogil:
        return VERSION * r

    @logged
    def decorated(x):
        return VERSION, x

    def takes(f, *args):
        return f(*args)

    def adder(n, m=10):
        def inner(x=n):
            return VERSION, n, m, x
        return inner

    def counter():
        n = 0
        def step():
            nonlocal n
            n += VERSION
            return n
        return step

    twice = lambda x: (VERSION, x)
    lambdas = [lambda: (VERSION, 0), lambda: (VERSION, 1)]
    made = [(lambda n: (lambda: (VERSION, n)))(n) for n in range(3)]

    def recursive(n):
        return [VERSION] if n == 0 else [VERSION] + recursive(n - 1)

    def mutable(x, seen=[]):
        seen.append(VERSION)
        return list(seen)

    def starred(*args, **kwargs):
        return VERSION, args, kwargs

    @functools.lru_cache(maxsize=None)
    def cached(x):
        return VERSION, x

    @functools.singledispatch
    def shown(x):
        return "object VERSION"

    @shown.register
    def _(x: int):
        return "int VERSION"

    def helper():
        return VERSION

    def calls_helper():
        return helper(), [helper() for _ in range(2)]

    handlers = {"plain": plain, "twice": twice}
    partial_inside = functools.partial(plain, 0)
    # TAIL
"""


def test_functions(live: Live, language: str) -> None:
    m = live.load(m=version(FUNCTIONS, 1, tail="def gone(): return 1"))
    from m import adder, counter, decorated, fast, mutable, plain, twice

    registry = {"f": plain, ("key", plain): 1, plain: 2}
    listed, in_tuple, in_set = [plain, fast], (plain, (twice,)), {plain}
    partial = functools.partial(plain, 5, k=6)
    wrapped = functools.wraps(plain)(lambda x: [*plain(x)])
    bound = plain.__call__
    ten, step, made = adder(10), counter(), list(m.made)
    lambdas, shown, cached, area = list(m.lambdas), m.shown, m.cached, m.area
    handlers, inside = m.handlers, m.partial_inside
    gone, recursive, starred, uses = m.gone, m.recursive, m.starred, m.calls_helper
    here = weakref.ref(plain)
    plain.mark = "mine"
    name_of = {f: f.__name__ for f in (plain, fast, twice)}
    assert (cached(3), mutable(0), step()) == ((1, 3), [1], 1)

    report = live.swap(m=version(FUNCTIONS, 2))

    assert m.plain is plain is registry["f"] is listed[0] is in_tuple[0] is here()
    assert plain in in_set and registry[plain] == 2 and registry["key", plain] == 1
    assert name_of[plain] == "plain"
    expected = (2, 1, 2, "kw 2")
    assert plain(1) == m.plain(1) == registry["f"](1) == bound(1) == tuple(wrapped(1)) == expected
    assert plain(1, 5, only=3) == (2, 1, 5, 3)
    assert partial() == (2, 5, 6, "kw 2")
    assert inside(7) == m.partial_inside(7) == (2, 0, 7, "kw 2")
    assert handlers["plain"](1) == expected
    assert (fast(3), fast(3, 4), fast(x=1, y=1), area(2.0)) == (302, 304, 101, 4.0)
    assert decorated(1) == (2, 1) and m.calls == [2] and m.decorated.__wrapped__(1) == (2, 1)
    assert m.takes(plain, 1) == m.takes(m.plain, 1) == expected
    assert ten() == (2, 10, 10, 10) and adder(4, 5)() == (2, 4, 5, 4)
    assert (step(), step()) == (3, 5)
    assert twice(1) == (2, 1) and [f() for f in lambdas] == [(2, 0), (2, 1)]
    assert [f() for f in made] == [(2, 0), (2, 1), (2, 2)]
    assert recursive(2) == [2, 2, 2] and starred(1, a=2) == (2, (1,), {"a": 2})
    assert mutable(0) == [2], "the default is data of the new body"
    assert cached(3) == m.cached(3) == (2, 3)
    assert (shown("x"), shown(1), m.shown("x"), m.shown(1)) == ("object 2", "int 2") * 2
    assert uses() == (2, [2, 2])
    assert gone() == 1 and not hasattr(m, "gone") and report.swapped[0].removed == ("gone",)

    assert (plain.__defaults__, plain.__kwdefaults__) == ((2,), {"only": "kw 2"})
    assert plain.__annotations__ == {"return": "'result 2'"}
    assert plain.__doc__ == inspect.getdoc(plain) == "Docstring 2."
    assert (plain.__name__, plain.__qualname__, plain.__module__) == ("plain", "plain", "m")
    assert plain.mark == "mine" and plain.__globals__ is vars(m)
    assert plain.__code__.co_name == "plain"
    assert str(inspect.signature(plain)) == "(x, k=2, *, only='kw 2') -> \"'result 2'\""
    assert inspect.getmodule(plain) is m
    for f in (plain, fast, twice, m.calls_helper):
        if f is not twice:
            assert pickle.loads(pickle.dumps(f)) is f
        assert copy.deepcopy(f) is f
    m.helper = lambda: "monkey"
    assert uses() == ("monkey", ["monkey"] * 2), "one set of globals"
    vars(m)["helper"] = m.plain
    m.helper = lambda: 0
    assert plain.__globals__["helper"]() == 0


def test_functions_over_many_versions(live: Live) -> None:
    text = """
        def f(x=VERSION, *, y=(VERSION,)): return VERSION, x, y
        def make(n):
            def inner(): return VERSION, n
            return inner
        class P:
            def meth(self): return VERSION
        cdef class C:
            def meth(self): return VERSION
            cpdef int cp(self): return VERSION
    """
    m = live.load(m=version(text, 1))
    f, ten, p, c = m.f, m.make(10), m.P(), m.C()
    meth, bound, cm = m.P.meth, p.meth, c.meth
    for number in (2, 3, 4, 3, 1):
        live.swap(m=version(text, number))
        assert f() == (number, number, (number,)) and ten() == (number, 10)
        assert meth(p) == bound() == p.meth() == c.meth() == cm() == c.cp() == number
        twenty = m.make(20)
        assert twenty() == (number, 20)
        assert m.f is f and m.P.meth is meth
        del twenty
        gc.collect()


FUSED = """
    cimport cython
    ctypedef fused number:
        int
        double
        # KIND

    def fused(number x):
        return VERSION, cython.typeof(x), x

    cpdef cfused(number x, k=VERSION):
        return VERSION, cython.typeof(x), k

    def two(number x, cython.floating y):
        return VERSION, cython.typeof(x), cython.typeof(y)

    class P:
        def meth(self, number x):
            return VERSION, cython.typeof(x)

    cdef class C:
        cdef public int a
        def meth(self, number x):
            return VERSION, self.a, cython.typeof(x)
        cpdef cp(self, number x):
            return VERSION, self.a, cython.typeof(x)
"""


def test_fused_functions(live: Live) -> None:
    m = live.load(m=version(FUSED, 1))
    from m import C, P, cfused, fused, two

    c, p = C(), P()
    c.a = 7
    of_int, of_c = fused["int"], cfused["double"]
    cmeth, pmeth, ccp, cmeth_int = c.meth, p.meth, c.cp, C.meth["int"]
    assert fused(1) == of_int(1) == (1, "int", 1) and cmeth_int(c, 1) == (1, 7, "int")

    live.swap(m=version(FUSED, 2))
    for number, more in ((2, None), (3, "long long"), (4, None)):
        if number > 2:
            live.swap(m=version(FUSED, number, **({"kind": more} if more else {})))
        assert m.fused is fused and m.cfused is cfused and m.C is C
        assert fused["int"](1) == of_int(1), number
        assert fused(1.5) == (number, "double", 1.5)
        assert of_int(1) == (number, "int", 1)
        assert cfused(1.5) == of_c(1.5) == (number, "double", number)
        assert two(1, 1.5)[0] == number
        assert pmeth(1.5) == p.meth(1.5) == (number, "double")
        assert c.meth(1.5) == cmeth(1.5) == (number, 7, "double")
        assert c.cp(1.5) == ccp(1.5) == (number, 7, "double")
        assert cmeth_int(c, 1) == C.meth["int"](c, 1) == (number, 7, "int")
        assert set(fused.__signatures__) == {"int", "double"} | ({more} if more else set())
        if more:
            assert fused[more](1) == (3, more, 1)


def test_fused_and_plain(live: Live) -> None:
    m = live.load(m="cimport cython\ndef f(cython.floating x): return 1\n")
    f = m.f
    text = live.refused("refused", m="def f(x): return 2\n")
    assert "it was a fused function and is a plain one" in text
    assert f(1.0) == m.f(1.0) == 1


RUNNING = """
    import asyncio

    def gen(n):
        for i in range(n):
            yield VERSION, i

    def delegating(n):
        x = VERSION
        got = yield from gen(n)
        return x

    async def sleeps(event):
        before = VERSION
        await event.wait()
        return before, VERSION, helper()

    async def agen(n):
        for i in range(n):
            yield VERSION, i
            await asyncio.sleep(0)

    async def consumes():
        return [x async for x in agen(2)]

    def helper():
        return VERSION

    class P:
        def gen(self):
            while True:
                yield VERSION, self.x
        async def co(self):
            return VERSION

    cdef class C:
        cdef public int a
        def gen(self):
            while True:
                yield VERSION, self.a

    def captures(n):
        def inner():
            while True:
                yield VERSION, n
        return inner
"""


DEFAULTS = """
    def view(double[:] x=None, *, int n=VERSION):
        return VERSION, x is None, n

    def integral(long k=2 ** 40 + VERSION, double d=VERSION):
        return VERSION, k, d
"""


def test_defaults_that_are_c_values(live: Live) -> None:
    """They lie in an object that the collector does not know: reloading such a module crashed."""
    m = live.load(m=version(DEFAULTS, 1))
    view, integral = m.view, m.integral
    for number in range(2, 12):
        live.swap(m=version(DEFAULTS, number))
        assert (view(), integral()) == (
            (number, True, number),
            (number, 2**40 + number, float(number)),
        )
        gc.collect()


def test_frames_in_flight(live: Live) -> None:
    m = live.load(m=version(RUNNING, 1))
    from m import C, P, agen, captures, delegating, gen, sleeps

    p, c = P(), C()
    p.x, c.a = "x", 5
    running = [gen(3), delegating(3), p.gen(), c.gen(), captures(9)(), (x for x in gen(3))]
    inner = captures(8)
    firsts = [next(one) for one in running]
    assert firsts == [(1, 0), (1, 0), (1, "x"), (1, 5), (1, 9), (1, 0)]

    async def main() -> None:
        event = asyncio.Event()
        tasks = [asyncio.create_task(sleeps(event)) for _ in range(3)]
        asynchronous = agen(3)
        assert await anext(asynchronous) == (1, 0)
        consumer = asyncio.create_task(m.consumes())
        await asyncio.sleep(0)
        live.swap(m=version(RUNNING, 2))
        event.set()
        assert await asyncio.gather(*tasks) == [(1, 1, 2)] * 3, "the frame is old, its calls new"
        assert await sleeps(event) == (2, 2, 2)
        assert await anext(asynchronous) == (1, 1)
        assert await consumer == [(1, 0), (1, 1)]
        assert await m.consumes() == [(2, 0), (2, 1)]
        assert await p.co() == 2
        await asynchronous.aclose()

    asyncio.run(main())
    assert [next(one) for one in running] == [(1, 1), (1, 1), (1, "x"), (1, 5), (1, 9), (1, 1)]
    assert next(gen(1)) == next(delegating(1)) == (2, 0)
    assert [next(one) for one in (p.gen(), c.gen(), inner())] == [(2, "x"), (2, 5), (2, 8)]
    with pytest.raises(StopIteration) as stopped:
        running[1].send(None)
        running[1].send(None)
    assert stopped.value.value == 1
    for one in running:
        one.close()


METHODS = """
    def deco(f):
        f.tag = VERSION
        return f

    class P:
        def __init__(self, x=VERSION): self.x = x
        def meth(self, k=VERSION): return VERSION, self.x, k
        @staticmethod
        def static(a=VERSION): return VERSION, a
        @classmethod
        def klass(cls): return VERSION, cls.__name__
        @deco
        def tagged(self): return VERSION
        @property
        def prop(self): return VERSION, self.x
        @prop.setter
        def prop(self, value): self.x = VERSION, value
        lam = lambda self: VERSION

    cdef class C:
        cdef public object x
        def __init__(self, x=VERSION): self.x = x
        def meth(self, k=VERSION): return VERSION, self.x, k
        @staticmethod
        def static(a=VERSION): return VERSION, a
        @classmethod
        def klass(cls): return VERSION, cls.__name__
        @property
        def prop(self): return VERSION, self.x
        @prop.setter
        def prop(self, value): self.x = VERSION, value
        lam = lambda self: VERSION
"""


@pytest.mark.parametrize("binding", [True, False])
def test_methods_that_are_held(live: Live, binding: bool) -> None:
    header = f"# cython: binding={binding}\n"
    m = live.load(m=header + version(METHODS, 1))
    checks = [hold_methods(m, kind) for kind in ("P", "C")]
    live.swap(m=header + version(METHODS, 2))
    for check in checks:
        check()


def hold_methods(m: Any, kind: str) -> Callable[[], None]:
    """Hold a class's methods in all ways; gives what is true of them after the swap."""
    cls: Any = getattr(m, kind)

    class Sub(cls):  # type: ignore[misc]
        def meth(self, k: int = 0) -> Any:
            return "sub", super().meth(k)

    one, sub = cls(5), Sub(6)
    bound, unbound, static, klass = one.meth, cls.meth, cls.static, cls.klass
    sub_bound, sub_klass, prop, lam = sub.meth, sub.klass, cls.prop, one.lam
    partial = functools.partial(one.meth, k=3)
    callbacks = {"a": one.meth, "b": cls.static}

    def check() -> None:
        assert getattr(m, kind) is cls
        assert bound() == unbound(one) == one.meth() == callbacks["a"]() == (2, 5, 2)
        assert static() == callbacks["b"]() == one.static() == (2, 2)
        assert klass() == cls.klass() == (2, kind) and sub_klass() == (2, "Sub")
        assert sub_bound(4) == sub.meth(4) == ("sub", (2, 6, 4))
        assert partial() == (2, 5, 3) and prop.__get__(one) == one.prop == (2, 5)
        assert lam() == one.lam() == 2
        one.prop = 9
        assert one.x == (2, 9)
        assert cls().x == 2
        assert pickle.loads(pickle.dumps(cls.meth)) is cls.meth or kind == "C"
        if kind == "P":
            assert one.tagged.tag == 2 and one.tagged() == 2

    return check


def test_without_binding(live: Live) -> None:
    text = """
        # cython: binding=False
        def f(x, k=VERSION): "doc VERSION"; return VERSION, x, k
        def g(): return VERSION
        cpdef h(int x): return VERSION, x
        def make(n):
            def inner(): return VERSION, n
            return inner
        table = {"f": f}
        # MORE
    """
    m = live.load(m=version(text, 1, more="def gone(): return 1"))
    f, g, h, ten, table, gone = m.f, m.g, m.h, m.make(10), m.table, m.gone
    partial = functools.partial(f, 7)
    live.swap(m=version(text, 2))
    assert f(1) == table["f"](1) == (2, 1, 2) and partial() == (2, 7, 2)
    assert (g(), h(3), ten(), m.make(1)()) == (2, (2, 3), (2, 10), (2, 1))
    assert m.f is f and pickle.loads(pickle.dumps(f)) is f
    assert f.__doc__.endswith("doc 2")
    assert gone() == 1 and not hasattr(m, "gone")
    live.swap(m=version(text, 3))
    assert (f(1), g(), ten()) == ((3, 1, 3), 3, (3, 10))


def test_signatures_change(live: Live) -> None:
    m = live.load(m="def f(): return 1\ndef g(x): return 1\ndef h(*a): return a\n")
    f, g, h = m.f, m.g, m.h
    live.swap(
        m="""
        def f(x, y=3, *, z: int = 4) -> tuple:
            return x, y, z
        def g(): return 2
        async def h(x): return x
        """
    )
    assert f(1) == (1, 3, 4) and g() == 2
    assert str(inspect.signature(f)) == "(x, y=3, *, z: 'int' = 4) -> 'tuple'"
    with pytest.raises(TypeError):
        g(1)
    assert asyncio.run(h(6)) == 6
    assert inspect.iscoroutinefunction(h) or asyncio.iscoroutinefunction(h)
    live.swap(m="def f(): return 3\ndef g(x, /): yield x\ndef h(x=f): return x()\n")
    assert f() == 3 and list(g(4)) == [4] and h() == 3 and h.__defaults__ == (f,)


def test_captured_variables_change(live: Live) -> None:
    m = live.load(
        m="""
        def make(a):
            def inner(): return 1, a
            return inner
        """
    )
    old = m.make("a")
    report = live.swap(
        m="""
        def make(a, b="b"):
            def inner(): return 2, a, b
            return inner
        """
    )
    assert "captures other variables now" in str(report)
    assert old() == (1, "a") and m.make("a")() == (2, "a", "b")


def test_calls_cost_what_they_did(live: Live) -> None:
    """The function object has the new code itself: there is no detour to be paid for."""
    m = live.load(m="def f(x): return x\n")
    f = m.f
    kind, call = type(f), type(f).__call__
    live.swap(m="def f(x): return [x]\n")
    assert m.f is f and type(f) is kind and type(f).__call__ is call and f(1) == [1]
    assert not hasattr(f, "__wrapped__")
