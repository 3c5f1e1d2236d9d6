"""cdef classes whose layout is as it was: live instances run the new code, in every slot."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
from swapping import Live, version

ALL_SLOTS = """
    def __repr__(self): return "repr VERSION"
    def __str__(self): return "str VERSION"
    def __len__(self): return VERSION
    def __bool__(self): return VERSION == 2
    def __getitem__(self, i): return VERSION, i
    def __setitem__(self, i, value): self.note = "set", VERSION, i, value
    def __delitem__(self, i): self.note = "del", VERSION, i
    def __contains__(self, x): return x == VERSION
    def __call__(self, *args, **kwargs): return VERSION, args, kwargs
    def __hash__(self): return VERSION
    def __eq__(self, other): return other == "eq VERSION"
    def __lt__(self, other): return VERSION == 2
    def __iter__(self): self.at = 0; return self
    def __next__(self):
        self.at += 1
        if self.at > VERSION: raise StopIteration
        return VERSION, self.at
    def __add__(self, other): return "add VERSION", other
    def __radd__(self, other): return "radd VERSION", other
    def __iadd__(self, other): self.note = "iadd VERSION"; return self
    def __sub__(self, other): return "sub VERSION"
    def __mul__(self, other): return "mul VERSION"
    def __matmul__(self, other): return "matmul VERSION"
    def __truediv__(self, other): return "truediv VERSION"
    def __floordiv__(self, other): return "floordiv VERSION"
    def __mod__(self, other): return "mod VERSION"
    def __divmod__(self, other): return "divmod VERSION"
    def __pow__(self, other, mod): return "pow VERSION"
    def __lshift__(self, other): return "lshift VERSION"
    def __and__(self, other): return "and VERSION"
    def __or__(self, other): return "or VERSION"
    def __xor__(self, other): return "xor VERSION"
    def __neg__(self): return "neg VERSION"
    def __pos__(self): return "pos VERSION"
    def __abs__(self): return "abs VERSION"
    def __invert__(self): return "invert VERSION"
    def __int__(self): return VERSION
    def __float__(self): return VERSION + 0.5
    def __index__(self): return VERSION
    def __getattr__(self, name):
        if name.startswith("dyn_"): return VERSION, name
        raise AttributeError(name)
    def __await__(self): return iter([VERSION]) and awaited().__await__()
    def __aiter__(self): self.at = 0; return self
    async def __anext__(self):
        self.at += 1
        if self.at > VERSION: raise StopAsyncIteration
        return VERSION
    def __enter__(self): return VERSION
    def __exit__(self, *exc): self.note = "exit VERSION"
    def __reversed__(self): return iter([VERSION])
    def __format__(self, spec): return "format VERSION " + spec
    def __getbuffer__(self, Py_buffer *buffer, int flags):
        self.data[0] = VERSION
        self.shape[0] = 4
        self.strides[0] = 1
        buffer.buf = <void *>self.data
        buffer.format = "b"
        buffer.internal = NULL
        buffer.itemsize = 1
        buffer.len = 4
        buffer.ndim = 1
        buffer.obj = self
        buffer.readonly = 0
        buffer.shape = self.shape
        buffer.strides = self.strides
        buffer.suboffsets = NULL
    def __releasebuffer__(self, Py_buffer *buffer): self.note = "released VERSION"
    def __get__(self, one, kind): return "get VERSION"
    def __set__(self, one, value): self.note = "set VERSION"
"""

SLOTS = """
    log = []

    async def awaited():
        return VERSION

    cdef class X:
        cdef public object note
        cdef int at
        cdef char data[4]
        cdef Py_ssize_t shape[1]
        cdef Py_ssize_t strides[1]
        def __dealloc__(self): log.append(VERSION)
        # SLOTS
"""


def exercise(x: Any, v: int) -> None:
    """All that operators do with an instance."""
    assert (repr(x), str(x), len(x), bool(x)) == (f"repr {v}", f"str {v}", v, v == 2)
    assert x[7] == (v, 7) and (v in x) and 99 not in x
    x[3] = 4
    assert x.note == ("set", v, 3, 4)
    del x[5]
    assert x.note == ("del", v, 5)
    assert x(1, a=2) == (v, (1,), {"a": 2}) and callable(x)
    assert hash(x) == v and x == f"eq {v}" and (x < 1) == (v == 2)
    assert list(x) == [(v, at + 1) for at in range(v)]
    assert (x + 1, 1 + x) == ((f"add {v}", 1), (f"radd {v}", 1))
    y = x
    y += 1
    assert x.note == f"iadd {v}"
    results = x - 1, x * 1, x @ 1, x / 1, x // 1, x % 1, divmod(x, 1), x**2, x << 1, x & 1, x | 1
    words = [
        "sub",
        "mul",
        "matmul",
        "truediv",
        "floordiv",
        "mod",
        "divmod",
        "pow",
        "lshift",
        "and",
        "or",
    ]
    assert results == tuple(f"{word} {v}" for word in words)
    assert (x ^ 1, -x, +x, abs(x), ~x) == tuple(
        f"{w} {v}" for w in ["xor", "neg", "pos", "abs", "invert"]
    )
    assert (int(x), float(x), [0, 1, 2, 3, 4, 5][x]) == (v, v + 0.5, v)
    assert x.dyn_a == (v, "dyn_a") and not hasattr(x, "other")

    async def main() -> Any:
        return await x, [one async for one in x]

    assert asyncio.run(main()) == (v, [v] * v)
    with x as entered:
        assert entered == v
    assert x.note == f"exit {v}" and list(reversed(x)) == [v] and f"{x:a}" == f"format {v} a"
    view = memoryview(x)
    assert view[0] == v and len(view) == 4
    view.release()
    assert x.note == f"released {v}"
    holder = type("Holder", (), {"field": x})()
    assert holder.field == f"get {v}"
    holder.field = 1
    assert x.note == f"set {v}"


def test_every_slot(live: Live, language: str) -> None:
    m = live.load(m=version(SLOTS, 1, slots=ALL_SLOTS.replace("VERSION", "1")))
    X = m.X

    class Sub(X):  # type: ignore[misc, valid-type]
        pass

    class Over(X):  # type: ignore[misc, valid-type]
        def __repr__(self) -> str:
            return "over"

        def __add__(self, other: object) -> Any:
            return "over add"

    x, sub, over = X(), Sub(), Over()
    held = x.__len__, X.__repr__, x.__getitem__, x.__iter__, X.__add__
    exercise(x, 1)
    exercise(sub, 1)
    for v in (2, 3):
        live.swap(m=version(SLOTS, v, slots=ALL_SLOTS.replace("VERSION", str(v))))
        for one in (x, sub, X(), Sub()):
            exercise(one, v)
        assert repr(over) == "over" and over + 1 == "over add" and len(over) == v
        assert (held[0](), held[1](x), held[2](1)) == (v, f"repr {v}", (v, 1))
        assert (
            list(held[3]()) == [(v, at + 1) for at in range(v)] and held[4](x, 1)[0] == f"add {v}"
        )

    live.swap(m=version(SLOTS, 4))  # all removed
    for one in (x, sub, X(), Sub()):
        assert repr(one).startswith("<m") or "object at" in repr(one)
        same = one
        assert not callable(one) and bool(one) and one == same and one != "eq 4"
        for attempt in (
            "len(o)", "iter(o)", "abs(o)", "int(o)", "float(o)", "memoryview(o)", "reversed(o)",
            "o + 1", "1 + o", "o[0]", "o()", "-o", "o < 1", "1 in o", "[1][o]", "o**2", "o @ 1",
        ):  # fmt: skip
            try:
                result = eval(attempt, {"o": one})
            except TypeError:
                continue
            pytest.fail(f"{attempt} is {result!r} for {type(one)}")
        with pytest.raises(TypeError):
            one[0] = 1
        assert isinstance(hash(one), int) and not hasattr(one, "dyn_a")
    assert repr(over) == "over" and over + 1 == "over add"
    m.log.clear()
    del x, one, held
    gc.collect()
    assert m.log and set(m.log) == {4}

    live.swap(m=version(SLOTS, 5, slots=ALL_SLOTS.replace("VERSION", "5")))  # and added again
    exercise(sub, 5)
    exercise(X(), 5)
    assert repr(over) == "over" and over + 1 == "over add" and over[1] == (5, 1)


SHAPES = """
    cimport cython

    dead = []

    cdef class Node:
        cdef public Node next
        cdef public int value
        cdef object __weakref__
        def __init__(self, value=0): self.value = value
        cdef int weight(self): return VERSION * self.value
        cpdef int cp(self): return VERSION * 10 + self.value
        def total(self): return self.weight() + (self.next.total() if self.next is not None else 0)
        @staticmethod
        cdef int helper(int x): return VERSION * x
        def helped(self): return Node.helper(self.value)
        def __dealloc__(self): dead.append(VERSION)

    cdef class Leaf(Node):
        cdef double extra
        cdef int weight(self): return VERSION * 100 + Node.weight(self)
        def kind(self): return "leaf VERSION"

    cdef class Twig(Leaf):
        def kind(self): return "twig VERSION", super().kind()

    @cython.freelist(8)
    cdef class Fast:
        cdef public double x
        def get(self): return VERSION, self.x
        def __repr__(self): return "Fast VERSION"

    @cython.final
    cdef class Final:
        cdef int x
        cdef int q(self): return VERSION
        def call(self): return self.q()

    cdef class Open:
        cdef dict __dict__
        cdef object __weakref__
        def get(self): return VERSION, self.anything

    @cython.total_ordering
    cdef class Ordered:
        cdef public int x
        def __init__(self, x): self.x = x
        def __eq__(self, Ordered other): return self.x == other.x
        def __lt__(self, Ordered other): return self.x * (1 if VERSION == 1 else -1) < other.x * (
            1 if VERSION == 1 else -1)
        def __hash__(self): return self.x

    cdef class MyList(list):
        cdef public int tag
        def total(self): return VERSION, self.tag, sum(self)
        def append(self, x): super().append(x * VERSION)

    cdef class MyDict(dict):
        def __missing__(self, key): return VERSION, key

    cdef class MyError(Exception):
        cdef public int code
        def __init__(self, code): self.code = code; super().__init__(code)
        def __str__(self): return "error VERSION %d" % self.code

    cdef class Props:
        cdef public int plain
        cdef readonly double ro
        cdef int hidden
        @property
        def prop(self): return VERSION, self.hidden
        @prop.setter
        def prop(self, v): self.hidden = v * VERSION
        @prop.deleter
        def prop(self): self.hidden = VERSION * 1000

    @cython.auto_pickle(True)
    cdef class Pickled:
        cdef public int a
        cdef public list b
        def __init__(self, a=0): self.a, self.b = a, [VERSION]

    cdef class Reduced:
        cdef public int a
        def __reduce__(self): return make_reduced, (self.a + VERSION,)

    def make_reduced(a):
        cdef Reduced one = Reduced()
        one.a = a
        return one

    cdef class Gen:
        cdef int n
        def __cinit__(self, n=VERSION): self.n = n
        def __iter__(self):
            for i in range(self.n): yield VERSION, i

    cdef struct Pos:
        int x
        int y

    cdef class Held:
        cdef Pos pos
        cdef double[3] row
        cdef void *pointer
        cdef int (*callback)(int)
        cdef list things
        cdef Node node
        def __cinit__(self):
            self.pos.x = 5; self.row[1] = 2.5; self.things = []; self.node = Node(3)
        def get(self): return VERSION, self.pos.x, self.row[1], self.things, self.node.weight()
        def same(self, Node other): return self.node is other, isinstance(other, Node)

    def weigh(Node node): return node.weight()
    def call_cp(Node node): return node.cp()
    def is_leaf(node): return isinstance(node, Leaf), type(node) is Leaf
    def cast(node): return (<Leaf?>node).weight()

    class PySub(Leaf):
        def kind(self): return "py VERSION", super().kind()
        def cp(self): return -VERSION

    cdef object GLOBAL = Node
    cdef Node NODE = Leaf(50)
    def from_c(): return GLOBAL, NODE.weight(), type(NODE) is Leaf
    ALL = (Node, Leaf, {"twig": Twig}, [Node(7), Leaf(8), PySub(9)])
    # TAIL
"""


def test_kinds_of_cdef_classes(live: Live, language: str) -> None:
    m = live.load(m=version(SHAPES, 1))

    class Sub(m.Leaf):  # type: ignore[misc, name-defined]
        def __repr__(self) -> str:
            return "sub"

    class Over(m.Node):  # type: ignore[misc, name-defined]
        def cp(self) -> int:
            return 77

    node, leaf, twig, sub, over, py = m.Node(1), m.Leaf(2), m.Twig(3), Sub(4), Over(5), m.PySub(6)
    node.next, leaf.next = leaf, twig
    fast, final, opened, ordered = m.Fast(), m.Final(), m.Open(), m.Ordered(1)
    fast.x, opened.anything = 2.5, "any"
    assert not gc.is_tracked(fast)
    freed = [m.Fast() for _ in range(5)]
    del freed
    mylist, mydict, error, props = m.MyList([1, 2]), m.MyDict(), m.MyError(4), m.Props()
    pickled, reduced, gen, held = m.Pickled(3), m.Reduced(), m.Gen(), m.Held()
    weak, weak_open, methods = weakref.ref(node), weakref.ref(opened), [node.total, leaf.kind]
    live_gen = iter(gen)
    members = m.Props.plain, m.Props.prop, m.Props.ro
    dumped = pickle.dumps([pickled, node.value])
    names = [n for n, v in vars(m).items() if isinstance(v, type)]
    classes = {name: vars(m)[name] for name in names}
    old_all = m.ALL
    assert (m.weigh(node), m.weigh(leaf), m.call_cp(over), next(iter(gen))) == (1, 102, 77, (1, 0))

    for v in (2, 3):
        live.swap(m=version(SHAPES, v))
        assert {name: vars(m)[name] for name in names} == classes
        assert (m.weigh(node), m.weigh(leaf), m.weigh(twig)) == (
            v,
            100 * v + 2 * v,
            100 * v + 3 * v,
        )
        assert m.weigh(sub) == m.cast(sub) == 104 * v and m.weigh(over) == 5 * v
        assert node.total() == methods[0]() == v + 102 * v + 103 * v
        assert (node.cp(), m.call_cp(node), m.call_cp(over)) == (10 * v + 1, 10 * v + 1, 77)
        assert m.call_cp(py) == py.cp() == -v and m.weigh(py) == 106 * v
        assert node.helped() == v and m.Node(4).helped() == 4 * v
        assert (leaf.kind(), methods[1](), repr(sub)) == (f"leaf {v}", f"leaf {v}", "sub")
        assert twig.kind() == (f"twig {v}", f"leaf {v}") and py.kind() == (f"py {v}", f"leaf {v}")
        assert m.is_leaf(leaf) == (True, True) and m.is_leaf(sub) == (True, False)
        assert m.is_leaf(node) == (False, False)
        assert weak() is node and weak_open() is opened
        assert fast.get() == (v, 2.5) and repr(fast) == f"Fast {v}" and m.Fast().get() == (v, 0)
        assert final.call() == m.Final().call() == v
        assert opened.get() == (v, "any") and vars(opened) == {"anything": "any"}
        assert (ordered < m.Ordered(2)) == (ordered <= m.Ordered(2)) == (m.Ordered(2) >= ordered)
        assert (ordered < m.Ordered(2)) == (v == 1) and (ordered > m.Ordered(2)) == (v != 1)
        mylist.tag = v
        assert mylist.total() == (v, v, 3) and list(mylist) == [1, 2]
        mylist.append(1)
        assert mylist.pop() == v and type(mylist) is m.MyList
        assert mydict["k"] == (v, "k") and str(error) == f"error {v} 4"
        with pytest.raises(m.MyError, match=f"error {v} 6"):
            raise m.MyError(6)
        props.plain, props.prop = 9, 5
        assert (props.plain, props.prop, props.ro) == (9, (v, 5 * v), 0.0)
        assert (members[0].__get__(props), members[1].__get__(props)) == (9, (v, 5 * v))
        del props.prop
        assert props.prop == (v, 1000 * v)
        assert isinstance(pickle.loads(dumped)[0], m.Pickled) and pickle.loads(dumped)[0].b == [1]
        assert type(copy.deepcopy(pickled)) is m.Pickled and m.Pickled().b == [v]
        assert pickle.loads(pickle.dumps(reduced)).a == v
        assert next(iter(gen)) == (v, 0) and len(list(m.Gen())) == v
        assert held.get() == m.Held().get() == (v, 5, 2.5, [], 3 * v)
        assert held.same(node) == (False, True)
        assert m.from_c() == (m.Node, 150 * v, True)
        assert m.ALL[:2] == (m.Node, m.Leaf) and m.ALL[2]["twig"] is m.Twig
        assert [type(one) for one in m.ALL[3]] == [m.Node, m.Leaf, m.PySub]
        assert [m.weigh(one) for one in m.ALL[3]] == [7 * v, 108 * v, 109 * v]
        assert [m.weigh(one) for one in old_all[3]] == [7 * v, 108 * v, 109 * v]
        assert isinstance(m.Leaf(), m.Node) and m.Twig.__mro__[:3] == (m.Twig, m.Leaf, m.Node)
        assert set(m.Node.__subclasses__()) == {m.Leaf, Over}
        assert set(m.Leaf.__subclasses__()) == {m.Twig, m.PySub, Sub}
        for one in (node, leaf, sub):
            assert type(one)(1).value == 1
    assert list(live_gen) == [(1, 0)]

    gc.collect()  # what earlier versions made
    m.dead.clear()
    del node, leaf, twig, methods, one
    gc.collect()
    assert weak() is None and m.dead == [3, 3, 3]


def test_methods_appended(live: Live) -> None:
    text = """
        cdef class A:
            cdef public int x
            cdef int one(self): return VERSION
            # MORE
            def call(self): return self.one()
        cdef class B(A):
            cdef int two(self): return VERSION * 2
            # SUB
            def call_b(self): return self.one(), self.two()
        def via(A a): return a.one()
    """
    m = live.load(m=version(text, 1))
    a, b, sub = m.A(), m.B(), type("Sub", (m.B,), {})()
    added = (
        "cdef int added(self): return VERSION * 3 + self.x\n"
        "def call_added(self): return self.added()"
    )
    live.swap(m=version(text, 2, sub=added.replace("VERSION", "2")))
    b.x = sub.x = 1
    assert b.call_added() == sub.call_added() == 7 and b.call_b() == sub.call_b() == (2, 4)
    live.swap(m=version(text, 3, sub=added.replace("VERSION", "3")))
    assert b.call_added() == sub.call_added() == 10 and m.via(sub) == m.via(a) == 3
    text_of = live.refused("refused", m=version(text, 4, more=added.replace("VERSION", "4")))
    assert "cdef class B: its C methods changed" in text_of
    assert b.call_added() == 10 and a.call() == 3 and m.via(sub) == 3
    live.swap(m=version(text, 5))  # removed from the end: those there were stay in the table
    assert b.call_b() == (5, 10) and not hasattr(b, "call_added")
    live.swap(m=version(text, 6, sub=added.replace("VERSION", "6")))
    assert b.call_added() == sub.call_added() == 19


def test_the_last_c_methods_can_be_removed_and_no_others(live: Live) -> None:
    def text(number: int, methods: str, told: str) -> str:
        some = (f"    cdef int {name}(self): return {number}\n" for name in methods.split())
        return (
            f"cdef class A:\n{''.join(some)}    def call(self): return {told}\n"
            f"    def calls(self):\n        while True:\n            yield {told}\n"
            "def make(): return A()\n"
        )

    m = live.load(m=text(1, "one two", "self.one(), self.two()"))
    a = m.A()
    calls = a.calls()
    assert next(calls) == a.call() == (1, 1)
    first = live.refused("refused", m=text(2, "two", "self.two()"))
    assert "cdef class A: its C methods changed" in first
    none = live.refused("refused", m=text(2, "", "2"))
    assert "cdef class A: it had C methods and has none" in none
    assert next(calls) == a.call() == (1, 1)
    live.swap(m=text(2, "one", "self.one()"))
    assert a.call() == m.make().call() == 2
    assert next(calls) == (2, 1), "who calls a removed one still, runs its old code"
    live.updater.rollback()
    assert next(calls) == a.call() == m.make().call() == (1, 1)


def test_classes_are_added_and_removed(live: Live) -> None:
    base = "cdef class A:\n    cdef public int x\n    cpdef int cp(self): return VERSION\n"
    more = """
cdef class B(A):
    def up(self): return super().cp(), VERSION
cdef class Alone:
    cdef public list l
    def get(self): return VERSION
cdef class L(list):
    def get(self): return VERSION
cdef class E(Exception):
    def get(self): return VERSION
class P(A):
    def up(self): return self.cp(), VERSION
MADE = B(), Alone(), L(), E(), P()
def call(A a): return a.cp()
"""
    m = live.load(m=version(base, 1))
    A = m.A
    live.swap(m=version(base + more, 2))
    b, alone, li, e, p = made = m.MADE
    assert b.up() == p.up() == (2, 2) and alone.get() == li.get() == e.get() == 2
    assert m.call(b) == m.call(p) == 2 and {m.B, m.P} == set(A.__subclasses__())
    assert m.B.__base__ is A and m.L in list.__subclasses__() and isinstance(e, Exception)
    live.swap(m=version(base + more, 3))
    assert [type(x) for x in made] == [m.B, m.Alone, m.L, m.E, m.P]
    assert b.up() == p.up() == (3, 3) and alone.get() == li.get() == e.get() == 3
    live.swap(m=version(base, 4))
    assert not hasattr(m, "B") and b.cp() == 4 and b.up() == (4, 3) and alone.get() == 3
    live.swap(m=version(base + more, 5))
    assert type(m.MADE[0]) is m.B and m.MADE[0].up() == (5, 5)
    gc.collect()
    assert b.cp() == 5


LAYOUT = """
    cdef struct Inner:
        int a
        double b
    cdef class Part:
        cdef int p
    cdef class Grid:
        cdef int n
        cdef double scale
        cdef object name
        cdef Inner inner
        cdef Part part
        cdef int values[4]
        cdef int go(self): return VERSION
        def call(self): return VERSION, self.go(), self.n, self.scale
        def __cinit__(self): self.n = 7; self.scale = 2.5
    cdef class Fine(Grid):
        cdef int m
    def f(): return VERSION
"""


CHANGES = [
    ("cdef object name", "cdef object name\n        cdef int more", "added 'int more'"),
    ("        cdef double scale\n", "        cdef double scales\n", "'double scale'"),
    ("cdef int n\n", "cdef unsigned int n\n", "removed 'int n'; added 'unsigned int n'"),
    ("cdef double scale", "cdef float scale", "removed 'double scale'; added 'float scale'"),
    (
        "double b",
        "long b",
        "removed 'double b' in struct Inner; added 'long b' in struct Inner",
    ),
    ("cdef int values[4]", "cdef int values[5]", "removed 'int values[4]'"),
    ("cdef object name", "cdef list name", "'object name'"),
    ("cdef int p\n", "cdef double p\n", "removed 'int p'; added 'double p'"),
    (
        "cdef int m\n",
        "def g(self): pass\n",
        "cdef class Fine: its fields changed: removed 'int m'",
    ),
    ("cdef class Fine(Grid)", "cdef class Fine", "cdef class Fine: "),
    ("cdef int go(self): return VERSION", "cdef long go(self): return VERSION", "C methods"),
    ("cdef int n\n        cdef double scale", "cdef double scale\n        cdef int n", "order"),
]


def test_layouts_that_changed(live: Live) -> None:
    m = live.load(m=version(LAYOUT, 1))
    grid, fine, f = m.Grid(), m.Fine(), m.f
    for before, after, said in CHANGES:
        text = version(LAYOUT.replace(before.replace("\n        ", "\n            "), after), 2)
        if text == version(LAYOUT, 2):
            text = version(LAYOUT.replace(before, after), 2)
        assert text != version(LAYOUT, 2), before
        told = live.refused("refused", m=text)
        assert said in told and "cdef class " in told and "Restart the program" in told, told
        assert grid.call() == fine.call() == (1, 1, 7, 2.5) and f() == m.f() == 1, before
        assert type(grid) is m.Grid
    live.swap(m=version(LAYOUT, 3))
    assert grid.call() == fine.call() == (3, 3, 7, 2.5) and f() == 3


HEADER = """
    typedef struct { int x; int y; } point;
    static inline int total(point p) { return p.x + p.y; }
"""
EXTERN = """
    __cyhot_keep__ = ("origin",)
    cdef extern from "point.h":
        ctypedef struct point:
            int x
            int y
        int total(point)
    cdef extern from *:
        '''
        typedef struct { int a; int b; } pair;
        '''
        ctypedef struct pair:
            int a
    cdef point origin
    def move(int x):
        origin.x = x
    def where():
        return VERSION, origin.x
    def make(int x):
        cdef point here
        here.x, here.y = x, 1
        def inner(): return VERSION, total(here)
        return inner
"""
HOLDERS = """
    cdef class Holder:
        cdef point p
        def __cinit__(self): self.p.x, self.p.y = 3, 4
        def get(self): return VERSION, total(self.p)
    cdef class Pair:
        cdef pair *p
        def get(self): return VERSION
"""


def test_structs_that_only_headers_know(live: Live) -> None:
    whole = EXTERN + HOLDERS
    m = live.load(m=version(whole, 1), point_h=HEADER)
    holder, pair, inner = m.Holder(), m.Pair(), m.make(5)
    m.move(9)
    assert holder.get() == (1, 7) and inner() == (1, 6)

    changed = HEADER.replace("p.x + p.y", "p.x * p.y /* a function, and what it says of itself */")
    live.swap(point_h=changed)
    assert holder.get() == m.Holder().get() == (1, 12) and inner() == (1, 5) and m.where() == (1, 9)

    told = live.refused("refused", point_h=changed.replace("int x; int y", "int y; int x"))
    assert (
        "cdef class Holder: what a header says of the types of its fields changed (point)" in told
    )
    assert holder.get() == (1, 12) and m.where() == (1, 9)
    live.write(point_h=changed)
    told = live.refused("refused", m=version(whole, 2).replace("int a; int b", "int a; float b"))
    assert "cdef class Pair: what a header says" in told and "(pair)" in told
    assert pair.get() == 1 and inner() == (1, 5)
    live.swap(m=version(whole, 3))
    assert holder.get() == (3, 12) and pair.get() == 3 and m.where() == (3, 9)


def test_values_of_structs_that_only_headers_know(live: Live) -> None:
    m = live.load(m=version(EXTERN, 1), point_h=HEADER)
    inner = m.make(5)
    m.move(9)
    report = live.swap(m=version(EXTERN, 2), point_h=HEADER.replace("int x; int y", "int y; int x"))
    notes = " ".join(report.swapped[0].notes)
    assert "origin starts anew: its type changed" in notes and m.where() == (2, 0)
    assert inner() == (1, 6), "what was captured is laid out as the old code knows it"
    assert "make.<locals>.inner: those that were made before keep their old code" in notes
    assert m.make(5)() == (2, 6)
