"""Python classes of a .pyx: one class for ever, whose instances have the new methods."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import pickle
import weakref
from typing import Any

import pytest
from swapping import Live, version

CLASSES = """
    import abc
    import dataclasses
    import enum
    import functools
    import typing
    import weakref

    BY_CLASS, LISTED, SEEN, WEAK, BY_TUPLE = {}, [], set(), weakref.WeakSet(), {}

    def register(cls):
        BY_CLASS[cls] = cls.__name__
        LISTED.append(cls)
        SEEN.add(cls)
        WEAK.add(cls)
        BY_TUPLE[cls, "x"] = VERSION
        return cls

    def uses(cls):
        def inner():
            return cls, cls.label
        return inner

    @register
    class Base:
        "Doc VERSION."
        label = VERSION
        subclasses = []
        def __init__(self, x=0): self.x = x
        def __init_subclass__(cls, **kw):
            super().__init_subclass__(**kw)
            Base.subclasses.append(cls.__name__)
        def meth(self): return VERSION, self.x
        def who(self): return __class__
        def __repr__(self): return f"<Base VERSION {self.x}>"
        def __len__(self): return VERSION
        def __call__(self): return VERSION
        def __getitem__(self, i): return VERSION, i
        @property
        def prop(self): return VERSION
        class Inner:
            def meth(self): return VERSION
        # BODY

    class Mixin:
        def mixed(self): return VERSION

    @register
    class Derived(Base, Mixin):
        def meth(self): return ("derived", VERSION) + super().meth()
        def parent(self): return super(Derived, self).meth()

    ask_base = uses(Base)

    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...
        def double(self): return VERSION * self.area()

    class Square(Shape):
        def area(self): return VERSION

    @dataclasses.dataclass
    class Point:
        x: int
        y: int = VERSION
        def total(self): return VERSION, self.x + self.y

    @dataclasses.dataclass(frozen=True, order=True)
    class Frozen:
        x: int
        tags: tuple = dataclasses.field(default_factory=tuple)
        def total(self): return VERSION, self.x

    @dataclasses.dataclass(slots=True)
    class Slotted:
        x: int
        def total(self): return VERSION, self.x

    class Color(enum.Enum):
        RED = 1
        GREEN = 2
        # MEMBERS
        def describe(self): return VERSION, self.name

    class Level(enum.IntEnum):
        LOW = 1
        HIGH = VERSION * 10

    class Bits(enum.Flag):
        A = 1
        B = 2

    class Pair(typing.NamedTuple):
        a: int
        b: int = VERSION
        def total(self): return VERSION, self.a + self.b

    class Failure(ValueError):
        def __init__(self, code): super().__init__(code); self.code = code
        def __str__(self): return f"failure VERSION {self.code}"

    class Slots:
        __slots__ = ("a", "_b")
        def __init__(self, a): self.a = a
        def meth(self): return VERSION, self.a

    class Meta(type):
        made = []
        def __new__(mcls, name, bases, ns, **kw):
            ns["stamp"] = VERSION
            return super().__new__(mcls, name, bases, ns)
        def on_class(cls): return VERSION, cls.__name__
        def __call__(cls, *args):
            one = super().__call__(*args)
            one.called = VERSION
            return one

    class WithMeta(metaclass=Meta):
        def meth(self): return VERSION

    class Described:
        class Descriptor:
            def __set_name__(self, owner, name): self.name = name
            def __get__(self, one, kind=None): return VERSION, self.name
        field = Descriptor()

    class Generic(typing.Generic[typing.TypeVar("T")]):
        def meth(self): return VERSION

    class Protocol(typing.Protocol):
        def meth(self): ...

    class Listing(list):
        def total(self): return VERSION, sum(self)

    class Context:
        def __enter__(self): return VERSION
        def __exit__(self, *exc): return VERSION == 2

    @functools.total_ordering
    class Ordered:
        def __init__(self, x): self.x = x
        def __eq__(self, other): return self.x == other.x
        def __lt__(self, other): return (self.x < other.x) == (VERSION == 1)
        def __hash__(self): return hash(self.x)

    def raises(code):
        raise Failure(code)

    def is_base(x):
        return isinstance(x, Base), type(x) is Derived

    @functools.singledispatch
    def shown(x): return "object VERSION"

    @shown.register(Base)
    def _(x): return "base VERSION"

    DEFAULT = Derived(9)
    BOUND = DEFAULT.meth
    NESTED = {"a": [Base(1), (Derived(2), {Base})]}
    # TAIL
"""


def test_classes(live: Live, language: str) -> None:
    m = live.load(m=version(CLASSES, 1, body="def gone(self): return 1"))
    from m import Base, Derived

    class Sub(Derived):  # type: ignore[misc]
        def meth(self) -> Any:
            return "sub", *super().meth()

    base, derived, sub, inner = Base(1), Derived(2), Sub(3), Base.Inner()
    bound, unbound, caller = base.meth, Base.meth, [derived.meth]
    default, nested, ask = m.DEFAULT, m.NESTED, m.ask_base
    held = {Base: "base", (Derived, 1): "derived"}
    closure = functools.partial(lambda cls: cls(5).meth(), Base)
    registries = m.BY_CLASS, m.LISTED, m.SEEN, m.WEAK, m.BY_TUPLE
    weak = weakref.ref(Base)
    base.extra = "kept"
    Base.patched = lambda self: "patched"
    hot = lambda: (base.meth(), base[1], len(base), base(), base.prop)  # noqa: E731
    for _ in range(50):
        hot()

    report = live.swap(m=version(CLASSES, 2, body="def added(self): return 2, self.x"))
    assert {"Base", "Derived", "Color"} <= set(report.swapped[0].classes)

    assert m.Base is Base is weak() and m.Derived is Derived and held[m.Base] == "base"
    assert held[m.Derived, 1] == "derived"
    assert hot() == ((2, 1), (2, 1), 2, 2, 2)
    assert bound() == unbound(base) == (2, 1) and repr(base) == "<Base 2 1>"
    assert derived.meth() == caller[0]() == ("derived", 2, 2, 2)
    assert sub.meth() == ("sub", "derived", 2, 2, 3) and sub.parent() == (2, 3)
    assert base.who() is Base and derived.mixed() == sub.mixed() == 2 and inner.meth() == 2
    assert closure() == (2, 5) and ask() == m.ask_base() == (Base, 2)
    assert base.added() == (2, 1) and sub.added() == (2, 3) and not hasattr(base, "gone")
    assert base.extra == "kept" and Base.patched(base) == "patched"
    assert (Base.__doc__, Base.label, sub.label) == ("Doc 2.", 2, 2)
    assert m.is_base(base) == (True, False) and m.is_base(derived) == (True, True)
    assert m.is_base(sub) == (True, False) and isinstance(sub, m.Base)
    assert m.shown(sub) == "base 2" and m.shown(1) == "object 2"
    assert type(m.DEFAULT) is type(default) is Derived and default.meth()[1] == 2
    assert m.BOUND() == ("derived", 2, 2, 9)
    a, (d, s) = m.NESTED["a"][0], m.NESTED["a"][1]
    assert (type(a), type(d), s) == (Base, Derived, {Base}) and Base in s
    assert type(nested["a"][0]) is Base and nested["a"][0].meth() == (2, 1)
    assert {Base: "Base", Derived: "Derived"} == m.BY_CLASS and [Base, Derived] == m.LISTED
    assert {Base, Derived} == m.SEEN and set(m.WEAK) == {Base, Derived} and Base in m.WEAK
    assert {(Base, "x"): 2, (Derived, "x"): 2} == m.BY_TUPLE and m.BY_TUPLE[Base, "x"] == 2
    assert registries[1] == [Base, Derived] and Base in registries[2] and Base in registries[3]
    assert registries[4][Derived, "x"] == 1
    assert {one.__name__ for one in Base.__subclasses__()} == {"Derived"}
    assert Derived.__subclasses__() == [Sub]
    assert Derived.__mro__ == (Derived, Base, m.Mixin, object)
    for one in (base, derived, default):
        again = pickle.loads(pickle.dumps(one))
        assert type(again) is type(one) and again.x == one.x
        assert type(copy.deepcopy(one)) is type(one)
    assert pickle.loads(pickle.dumps(Base)) is Base
    assert inspect.getmodule(Base) is m and str(inspect.signature(Base)) == "(x=0)"
    assert inspect.getmro(Sub) == (Sub, *Derived.__mro__)
    gc.collect()  # what was discarded is garbage in a circle
    for name in list(vars(m)):
        if isinstance(vars(m)[name], type) and vars(m)[name].__module__ == "m":
            alike = [k for k in gc.get_objects() if isinstance(k, type) and k.__module__ == "m"]
            assert [k for k in alike if k.__qualname__ == name] == [vars(m)[name]], name


def test_kinds_of_classes(live: Live) -> None:
    m = live.load(m=version(CLASSES, 1))
    square, point, frozen, slotted = m.Square(), m.Point(1, 2), m.Frozen(3), m.Slotted(4)
    red, green, pair, slots = m.Color.RED, m.Color.GREEN, m.Pair(1, 2), m.Slots(5)
    meta, low, bits = m.WithMeta(), m.Level.LOW, m.Bits.A | m.Bits.B
    listing, context, described = m.Listing([1, 2]), m.Context(), m.Described()
    Failure, generic, alias = m.Failure, m.Generic(), m.Generic[int]

    class Virtual:
        def area(self) -> int:
            return 7

    class Complete(m.Shape):  # type: ignore[misc, name-defined]
        def area(self) -> int:
            return 8

    m.Shape.register(Virtual)
    assert isinstance(Virtual(), m.Shape) and issubclass(Virtual, m.Shape)
    names = "Shape Square Point Frozen Slotted Color Pair Failure Slots Meta WithMeta Level Bits"
    classes = {name: vars(m)[name] for name in names.split()}
    by_member = {red: "red", frozen: "frozen"}
    complete = Complete()

    live.swap(m=version(CLASSES, 2))

    assert {name: vars(m)[name] for name in classes} == classes
    assert square.double() == 4 and complete.double() == 16
    assert isinstance(Virtual(), m.Shape) and isinstance(complete, m.Shape)
    assert not isinstance(point, m.Shape)
    with pytest.raises(TypeError, match="abstract"):
        m.Shape()
    assert point.total() == (2, 3) and m.Point(1) == m.Point(1, 2) == point
    assert repr(point) == "Point(x=1, y=2)" and m.dataclasses.replace(point, x=5).x == 5
    assert frozen.total() == (2, 3) and frozen == m.Frozen(3) and by_member[m.Frozen(3)]
    assert m.Frozen(1) < frozen and hash(frozen) == hash(m.Frozen(3))
    with pytest.raises(m.dataclasses.FrozenInstanceError):
        frozen.x = 1
    assert [f.name for f in m.dataclasses.fields(frozen)] == ["x", "tags"]
    assert slotted.total() == (2, 4) and type(slotted) is m.Slotted and m.Slotted(4) == slotted
    assert m.Color.RED is red and m.Color(1) is red and m.Color["GREEN"] is green
    assert list(m.Color) == [red, green] and by_member[m.Color.RED] == "red"
    assert red.describe() == (2, "RED") and isinstance(red, m.Color)
    assert pickle.loads(pickle.dumps(red)) is red and copy.copy(red) is red
    assert m.Level.LOW is low and m.Level.HIGH == 20 and m.Level(20).name == "HIGH"
    assert bits == m.Bits.A | m.Bits.B and m.Bits.A in bits
    assert pair.total() == (2, 3) and m.Pair(1) == (1, 2) and type(pair) is m.Pair
    with pytest.raises(Failure) as caught:
        m.raises(3)
    assert str(caught.value) == "failure 2 3" and type(caught.value) is m.Failure
    assert slots.meth() == (2, 5) and m.Slots(6).meth() == (2, 6) and slots.a == 5
    assert meta.meth() == 2 and m.WithMeta.on_class() == (2, "WithMeta")
    assert type(m.WithMeta) is m.Meta and m.WithMeta.stamp == 2 and m.WithMeta().called == 2
    assert listing.total() == (2, 3) and m.Listing([1]).total() == (2, 1)
    assert described.field == m.Described.field == (2, "field") and generic.meth() == 2
    assert alias is m.Generic[int] or alias == m.Generic[int]
    assert alias().meth() == 2
    with context as entered:
        assert entered == 2
        raise ValueError("the new __exit__ swallows it")
    a, b = m.Ordered(1), m.Ordered(2)
    assert a > b and a == m.Ordered(1)

    live.swap(m=version(CLASSES, 3, members="BLUE = 3"))
    assert m.Color.RED is red and m.Color.BLUE.describe() == (3, "BLUE")
    assert list(m.Color) == [red, green, m.Color.BLUE] and m.Color(3) is m.Color.BLUE
    blue = m.Color.BLUE
    assert isinstance(blue, m.Color) and type(blue) is m.Color
    live.swap(m=version(CLASSES, 4, members="BLUE = 33"))
    assert m.Color.BLUE.value == 33 and list(m.Color)[2] is m.Color.BLUE
    assert m.Color(33) is m.Color.BLUE and red.describe() == (4, "RED")
    live.swap(m=version(CLASSES, 5))
    assert not hasattr(m.Color, "BLUE") and list(m.Color) == [red, green]
    assert blue.describe() == (5, "BLUE")


KINDS = [
    ("class K: pass", "class K(type): pass", "layout"),
    ("class K: pass", "class K(list): pass", "layout"),
    ("class K: __slots__ = ('a',)", "class K: __slots__ = ('a', 'b')", "__slots__"),
    ("class K: pass", "class K: __slots__ = ()", "__slots__"),
    ("class K: pass", "class K(abc.ABC): pass", "metaclass"),
    ("class K: pass", "cdef class K: pass", "was a Python class and is a cdef class"),
    ("cdef class K: pass", "class K: pass", "was a cdef class and is a Python class"),
]


def test_classes_of_another_kind(live: Live) -> None:
    def text(number: int, changed: int = -1) -> str:
        some = [after if at == changed else before for at, (before, after, _) in enumerate(KINDS)]
        named = [one.replace("class K", f"class K{at}") for at, one in enumerate(some)]
        return "\n".join(["import abc", *named, f"def f(): return {number}", ""])

    m = live.load(m=text(1))
    f, kinds = m.f, [vars(m)[f"K{at}"] for at in range(len(KINDS))]
    made = [kind() for kind in kinds]
    for at, (_, _, reason) in enumerate(KINDS):
        told = live.refused("refused", m=text(2, at))
        assert f"class K{at}: " in told and reason in told and "Restart the program" in told, told
        assert vars(m)[f"K{at}"] is kinds[at] is type(made[at]) and f() == m.f() == 1
    live.swap(m=text(3))
    assert f() == 3 and [vars(m)[f"K{at}"] for at in range(len(KINDS))] == kinds


def test_bases_change(live: Live) -> None:
    text = """
        class A:
            def who(self): return "A VERSION"
        class B:
            def who(self): return "B VERSION"
        class C(# BASE
        ):
            def own(self): return VERSION
    """
    m = live.load(m=version(text, 1).replace("# BASE", "A"))
    c, sub = m.C(), type("Sub", (m.C,), {})()
    assert c.who() == "A 1"
    live.swap(m=version(text, 2).replace("# BASE", "B"))
    assert c.who() == sub.who() == "B 2" and isinstance(c, m.B) and not isinstance(c, m.A)
    assert m.C.__bases__ == (m.B,) and m.C in m.B.__subclasses__()
    assert m.C not in m.A.__subclasses__()
    live.swap(m=version(text, 3).replace("# BASE", "A, B"))
    assert sub.who() == "A 3" and m.C.__bases__ == (m.A, m.B)


def test_classes_come_and_go(live: Live) -> None:
    m = live.load(m="class A:\n    def f(self): return 1\n")
    A = m.A
    live.swap(
        m="class A:\n    def f(self): return 2\n"
        "class New(A):\n    def f(self): return super().f() + 10\nONE = New()\n"
    )
    new, New = m.ONE, m.New
    assert new.f() == 12 and New.__bases__ == (A,) and New in A.__subclasses__()
    live.swap(m="class A:\n    def f(self): return 3\n")
    assert not hasattr(m, "New") and new.f() == 13 and isinstance(new, A)
    live.swap(m="class B:\n    pass\n")
    assert not hasattr(m, "A") and new.f() == 13


def test_local_classes(live: Live) -> None:
    text = """
        def make(n):
            class Local:
                def meth(self): return VERSION, n
            return Local
        Made = make("made")
    """
    m = live.load(m=version(text, 1))
    Local, Made = m.make("x"), m.Made
    one, made = Local(), Made()
    live.swap(m=version(text, 2))
    assert one.meth() == (2, "x") and m.make("y")().meth() == (2, "y")
    assert made.meth() == (2, "made") == m.Made().meth()


def test_weak_references_that_a_body_makes(live: Live) -> None:
    text = """
        import weakref
        died = []
        class P:
            def meth(self): return VERSION
            @classmethod
            def cm(cls): return VERSION, cls.__name__
        cdef class C:
            def meth(self): return VERSION
        def f(): return VERSION
        one = P()
        TO_CLASS, TO_FUNCTION = weakref.proxy(P), weakref.proxy(f, died.append)
        TO_C = weakref.proxy(C)
        METHOD, CLASS_METHOD = weakref.WeakMethod(one.meth), weakref.WeakMethod(P.cm, died.append)
        REFS = [weakref.ref(P), weakref.ref(C), weakref.ref(f, died.append)]
    """
    m = live.load(m=version(text, 1))
    for number in (2, 3):
        live.swap(m=version(text, number))
        gc.collect()
        assert m.TO_CLASS.cm() == (number, "P") and m.TO_FUNCTION() == number
        assert m.TO_C.meth(m.C()) == number and m.METHOD()() == number
        assert m.CLASS_METHOD()() == (number, "P") and m.died == []
        assert [one() for one in m.REFS] == [m.P, m.C, m.f]
    died = m.died
    del m.f
    gc.collect()
    assert len(died) == 2, "the proxy and the reference tell of it"


def test_classes_that_a_call_made_stay_what_they_are(live: Live) -> None:
    text = """
        import enum
        from collections import namedtuple
        from decimal import Decimal
        from makes import Made
        class Base:
            def up(self): return VERSION
        NT = namedtuple("NT", "a b")
        Slow = Fast = namedtuple("Fast", "n")
        E = enum.Enum("E", "A B")
        T = type("T", (Base,), {"f": lambda self: VERSION, "own": VERSION})
        def mk(): return NT(VERSION, 0), E.A, T()
    """
    makes = "from collections import namedtuple\nMade = namedtuple('Made', 'VERSION')\n"
    m = live.load(m=version(text, 1), makes=makes.replace("VERSION", "x"))
    import makes as other

    nt, a, t = m.mk()
    made, fast, ask = m.Made(1), m.Fast(1), m.T.f
    for v in (2, 3):
        live.swap(m=version(text, v))
        assert isinstance(nt, m.NT) and isinstance(fast, m.Fast) and a is m.E.A is m.mk()[1]
        assert type(t) is m.T and t.f() == ask(t) == t.own == t.up() == v
        assert isinstance(made, m.Made) and m.Made is other.Made
        assert m.Slow is m.Fast and m.NT.__module__ == type(nt).__module__
    fields = version(text, 4) + "NT = namedtuple('NT', 'c')\n"
    report = live.swap(m=fields, makes=makes.replace("VERSION", "y"))
    assert len(report.swapped) == 2 and m.NT._fields == ("c",)
    assert isinstance(made, m.Made) and m.Made is other.Made and made.y == 1
    was = m.E
    report = live.swap(m=version(text, 5).replace('enum.Enum("E"', 'enum.IntEnum("E"'))
    assert m.E is not was and m.E.A == 1
    told = str(report)
    assert "class E: what is held of it stays as it was" in told, told
    own = version(text, 6).replace("from makes import Made", "Made = namedtuple('Made', 'z')")
    live.swap(m=own)
    assert (
        m.Made is not other.Made and isinstance(made, other.Made) and other.Made._fields == ("y",)
    )


def test_bases_that_cannot_be_changed_are_told_of_their_class_alone(live: Live) -> None:
    m = live.load(m="class A:\n    def f(self): return 1\n", n="def f(): return 1\n")
    n = live.load("n")
    a = m.A()
    changed = "class Z: pass\nclass A(Z):\n    def f(self): return 2\n"
    told = live.refused("refused", m=changed, n="def f(): return 2\n")
    assert "class A: its base class was object and is Z" in told and "cannot be changed so" in told
    assert "n not swapped" not in told and (a.f(), n.f()) == (1, 1)
    live.write(m="class A:\n    def f(self): return 1\n")
    live.swap(n="def f(): return 3\n")
    assert n.f() == 3
    was = "class X:\n    pass\nclass Y:\n    __slots__ = ('s',)\nclass B(X):\n    pass\n"
    k = live.load("k", k=was)
    told = live.refused("refused", k=was.replace("B(X)", "B(Y)"), n="def f(): return 4\n")
    assert "k not swapped" in told and "class B" in told and "n not swapped" not in told, told
    assert k.B.__base__ is k.X and n.f() == 3
