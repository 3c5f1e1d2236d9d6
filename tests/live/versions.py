"""Random versions of three modules that cimport one another, and a model of what each answers.

Each function answers with its version's number, so that the model is a few lines for each kind of
thing. The pool of versions is small, and what a version's text is depends on nothing but the seed:
the images are built once, and the sequences are walks over their combinations.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

MODULES = ("alpha", "beta", "gamma")
CLASSES = {"alpha": "Base", "beta": "Sub", "gamma": "Subsub"}
"""Each module's cdef class; each derives from the one before."""
FACTORS = {"alpha": (10, 100, 0), "beta": (7, 70, 3), "gamma": (11, 110, 5)}
"""What c1, c2 and own give for a version's number, by the module whose class defines them."""
SPECIAL = {
    "__len__": ("(self)", len),
    "__getitem__": ("(self, i)", lambda one: one[3]),
    "__call__": ("(self)", lambda one: one()),
    "__contains__": ("(self, one)", lambda one: _contains(one)),
    "__neg__": ("(self)", lambda one: -one),
    "__add__": ("(self, other)", lambda one: one + 1),
    "__iter__": ("(self)", lambda one: next(iter(one))),
    "__str__": ("(self)", str),
}
GOOD, SYNTAX, RAISES, LAYOUT = "good", "syntax", "raises", "layout"
DATA = ("d0", "d1", "d2", "d3")
GUARDED = ("g0", "g1")
FRESH = object()


@dataclass(frozen=True)
class Version:
    """One text of a module.

    Attributes:
        module: The module's name.
        number: What its functions answer with.
        kind: Whether it is good, or what is wrong with it.
        has: The optional things that it has.
        keep: Its ``__cyhot_keep__``.
    """

    module: str
    number: int
    kind: str
    has: frozenset[str]
    keep: tuple[str, ...]

    @property
    def data(self) -> dict[str, Any]:
        """The data that its body binds, guarded names too."""
        names = [name for name in (*DATA, *GUARDED) if name in self.has]
        return {name: (name, self.module, self.number) for name in names}

    @property
    def variables(self) -> dict[str, tuple[str, Any]]:
        """Its cdef globals: the type and the first value of each."""
        found: dict[str, tuple[str, Any]] = {
            "ci": ("long" if "long" in self.has else "int", self.number)
        }
        if "co" in self.has:
            found["co"] = ("object", ("co", self.number))
        if self.module == "alpha":
            found["ratio"] = ("double", self.number + 0.5)
        if self.module == "beta":
            found["bvar"] = ("int", self.number * 2)
        return found

    @property
    def functions(self) -> set[str]:
        """The optional functions that it has."""
        return {name for name in ("extra0", "extra1", "lam1") if name in self.has}

    @property
    def bound(self) -> set[str]:
        """All names that its body binds, but for those with underscores."""
        always = {
            "f", "g", "deco", "make", "adder", "lam0", "gen", "P", "Q", "cp", "look", "state",
            "poke", "Leaf", "on", CLASSES[self.module],
        }  # fmt: skip
        if self.module != "alpha":
            always |= {"cross", "INIT", "amod", "alpha_f"}
        if self.module == "gamma":
            always |= {"fused"}
        return always | self.functions | set(self.data)


def make_version(seed: str, module: str, index: int, kind: str) -> Version:
    """The version of a module at a place of the pool."""
    chance = random.Random(f"{seed} {module} {index}")
    optional = [
        *DATA, *GUARDED, "long", "co", "extra0", "extra1", "lam1", "two", "kwonly", "opt", "P.opt",
        "P.len", "c4", "c1", "c2", "own", *SPECIAL,
    ]  # fmt: skip
    has = {name for name in optional if chance.random() < 0.5}
    keep = [n for n in (*DATA, *GUARDED, "ci", "co", "ratio", "bvar") if chance.random() < 0.3]
    return Version(module, index + 1, kind, frozenset(has), tuple(keep))


# The texts --------------------------------------------------------------------------------------


def pxd(module: str, variants: tuple[int, int]) -> str:
    """What a module exports; the variants have another signature each."""
    if module == "alpha":
        more = ", int y=*" if variants[0] else ""
        return f"""\
cdef int twice(int x{more}) noexcept
cdef double ratio
cdef class Base:
    cdef public int n
    cdef public object tag
    cdef int c1(self)
    cpdef int c2(self)
"""
    if module == "beta":
        more = ", int y=*" if variants[1] else ""
        return f"""\
from alpha cimport Base
cdef int thrice(int x{more}) noexcept
cdef int bvar
cdef class Sub(Base):
    cdef public int s
    cdef int own(self)
"""
    return ""


def text(one: Version, variants: tuple[int, int]) -> str:
    """A version's source."""
    m, v, has = one.module, one.number, one.has
    lines: list[str] = []
    add = lines.append
    add(f"__cyhot_keep__ = {one.keep!r}")
    if m != "alpha":
        add("cimport alpha\nfrom alpha cimport Base, twice")
        add("import alpha as amod\nfrom alpha import f as alpha_f")
    if m == "gamma":
        add("cimport beta\nfrom beta cimport Sub, thrice\ncimport cython")
    for name, value in one.data.items():
        if name == "g0":
            add(f"try:\n    g0\nexcept NameError:\n    g0 = {value!r}")
        elif name == "g1":
            add(f"if 'g1' not in globals():\n    g1 = {value!r}")
        else:
            add(f"{name} = {value!r}")
    for name, (kind, value) in one.variables.items():
        declared = name not in ("ratio", "bvar")
        add(f"cdef {kind} {name} = {value!r}" if declared else f"{name} = {value!r}")
    add(
        f"""
def deco(function):
    def wrapper(x):
        return ("deco", {v}, function(x))
    return wrapper
def f(x, {"*, " * ("kwonly" in has)}k={v}):
    "f of {v}"
    return ("f", {v}, x, k)
@deco
def g(x): return ("g", {v}, x)
def make(n, m={v}):
    def inner(x=n): return ("inner", {v}, n, x{", m" * ("two" in has)})
    return inner
adder = make(1)
lam0 = lambda x: ("lam", {v}, 0, x)
def gen():
    yield {v}
    yield {v}
class P:
    attr = {v}
    def __init__(self, x): self.x = x
    def meth(self, k={v}): return ("P", {v}, self.x, k)
    @property
    def prop(self): return ("prop", {v}, self.x)
    @staticmethod
    def sm(): return ("sm", {v})
    @classmethod
    def cm(cls): return ("cm", {v}, cls.__name__)
    def __repr__(self): return "<P {v}>"
class Q(P):
    def meth(self, k={v}): return ("Q", {v}, super().meth(k))
cpdef int cp(int x): return {v} * 100 + x
cdef class Leaf:
    cdef {"double" if one.kind == LAYOUT else "int"} z
    cdef int c3(self): return {v}
"""
    )
    if "c4" in has:
        add(f"    cdef int c4(self): return {v} + 1000")
    add(f"    def call(self): return ({v}, self.c3(), {'self.c4()' if 'c4' in has else None})")
    at = next(i for i, line in enumerate(lines) if "class P:" in line)
    members = []
    if "P.opt" in has:
        members.append(f"    def opt(self): return ('P.opt', {v}, self.x)")
    if "P.len" in has:
        members.append(f"    def __len__(self): return {v}")
    lines[at] = lines[at].replace("class Q(P)", "\n".join([*members, "class Q(P)"]))
    for name in ("extra0", "extra1"):
        if name in has:
            add(f"def {name}(x): return ({name!r}, {v}, x)")
    if "lam1" in has:
        add(f"lam1 = lambda x: ('lam', {v}, 1, x)")
    add(f"def look(): return [{', '.join(one.data)}]")
    add("def state(): return {" + ", ".join(f"{n!r}: {n}" for n in one.variables) + "}")
    add(f"def poke(k):\n    global {', '.join(one.variables)}")
    lines += [
        f"    {name} = ('poked', k)" if kind == "object" else f"    {name} = k"
        for name, (kind, _) in one.variables.items()
    ]
    _add_class(lines, one, variants)
    if m == "alpha":
        # The shared part's functions come first: this one has its place behind them.
        more = f", int y={v}" if variants[0] else ""
        add(
            f"cdef int twice(int x{more}) noexcept: return {v} * 1000 + x * 2"
            + " + y" * variants[0]
        )
    if m == "beta":
        more = f", int y={v}" if variants[1] else ""
        add(
            f"cdef int thrice(int x{more}) noexcept: return {v} * 100000 + twice(x)"
            + " + y" * variants[1]
        )
        add(f"def cross(int x): return ({v}, twice(x), alpha.ratio)")
        add("INIT = (twice(1), amod.f(1), alpha_f(1), Base(3).meth(), Base().via())")
    if m == "gamma":
        add(f"def cross(int x): return ({v}, twice(x), thrice(x), alpha.ratio, beta.bvar)")
        add("INIT = (twice(1), amod.f(1), alpha_f(1), Sub(3).meth(), Sub().via(), thrice(2))")
        add(f"def fused(cython.floating x): return ({v}, sizeof(cython.floating))")
    if one.kind == SYNTAX:
        add("def broken(:")
    if one.kind == RAISES:
        add(f"raise RuntimeError('the body of {m} {v}')")
    return "\n".join(lines) + "\n"


def _add_class(lines: list[str], one: Version, variants: tuple[int, int]) -> None:
    m, v, has = one.module, one.number, one.has
    name = CLASSES[m]
    factors = FACTORS[m]
    base = {"alpha": "", "beta": "(Base)", "gamma": "(Sub)"}[m]
    lines.append(f"cdef class {name}{base}:")
    if m == "alpha":
        lines.append(
            f"""\
    def __init__(self, n=0):
        self.n = n
        self.tag = {v}
    def meth(self, k={v}): return ("meth", {v}, self.n, k)
    def via(self): return ({v}, self.c1(), self.c2())
    @property
    def prop(self): return ("prop", {v}, self.n)"""
        )
    lines.append(f"    def of_{name}(self): return ({v}, self.n)")
    if m == "alpha" or "c1" in has:
        lines.append(f"    cdef int c1(self): return {v * factors[0]}")
    if m == "alpha" or "c2" in has:
        lines.append(f"    cpdef int c2(self): return {v * factors[1]}")
    if m == "beta" or (m == "gamma" and "own" in has):
        lines.append(f"    cdef int own(self): return {v * factors[2]}")
    if "opt" in has:
        lines.append(f"    def opt(self): return ('opt', {name!r}, {v})")
    for special, (signature, _) in SPECIAL.items():
        if special in has:
            lines.append(f"    def {special}{signature}: return {_special(special, one)!r}"
                         if special != "__iter__" else
                         f"    def __iter__(self): return iter([{v}])")  # fmt: skip
    lines.append(
        f"def on({name} one): return ({v}, one.c1(), one.c2()"
        + (", one.own())" if m != "alpha" else ")")
    )


def _special(special: str, one: Version) -> Any:
    if special == "__len__":
        return one.number
    if special == "__contains__":
        return bool(one.number % 2)
    if special == "__str__":
        return f"{CLASSES[one.module]} {one.number}"
    return (special, one.module, one.number)


# The model --------------------------------------------------------------------------------------


@dataclass
class Modelled:
    """What a model knows of one module: the version that runs, and the state."""

    version: Version
    data: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    init: Any = None


class World:
    """The three modules together."""

    def __init__(self, versions: dict[str, Version], variants: tuple[int, int]) -> None:
        self.variants = variants
        self.of: dict[str, Modelled] = {}
        for name in MODULES:
            one = self.of[name] = Modelled(versions[name])
            one.data = dict(one.version.data)
            one.variables = {n: value for n, (_, value) in one.version.variables.items()}
        for name in MODULES:
            self.of[name].init = self._init(name, self)

    def v(self, name: str) -> Version:
        return self.of[name].version

    def swap(
        self, versions: dict[str, Version], variants: tuple[int, int], built: set[str]
    ) -> None:
        """New versions take the place of the old ones.

        Args:
            versions: Those that are on the disk.
            variants: Of the pxds.
            built: The modules whose images are new.
        """
        before = copy.deepcopy(self)
        self.variants = variants
        for name in built:
            one, new = self.of[name], versions[name]
            old = one.version
            data = {n: x for n, x in one.data.items() if n not in old.bound or n in new.bound}
            for n, value in new.data.items():
                if n in one.data and (n in GUARDED or n in new.keep):
                    continue
                data[n] = value
            variables = {}
            for n, (kind, value) in new.variables.items():
                was = old.variables.get(n)
                stays = n in new.keep and was is not None and was[0] == kind
                variables[n] = one.variables[n] if stays else value
            one.version, one.data, one.variables = new, data, variables
        for name in built:
            # A body that runs in the shadow sees modules that are not rebuilt as they were.
            self.of[name].init = self._init(name, self if "beta" in built else before)

    def twice(self, x: int) -> int:
        v = self.v("alpha").number
        return v * 1000 + x * 2 + v * self.variants[0]

    def thrice(self, x: int) -> int:
        v = self.v("beta").number
        return v * 100000 + self.twice(x) + v * self.variants[1]

    def _init(self, name: str, of_beta: World) -> Any:
        a = self.v("alpha").number
        f = ("f", a, 1, a)
        if name == "alpha":
            return None
        if name == "beta":
            return (self.twice(1), f, f, ("meth", a, 3, a), self.via("alpha"))
        was = of_beta.v("alpha").number
        meth = ("meth", was, 3, was)
        return (self.twice(1), f, f, meth, of_beta.via("beta"), of_beta.thrice(2))

    def _definer(self, kind: str, what: str) -> Version:
        """Whose method an instance of a module's class has."""
        for name in reversed(MODULES[: MODULES.index(kind) + 1]):
            if what in self.v(name).has or (name, what) in _ALWAYS:
                return self.v(name)
        raise LookupError

    def c(self, kind: str, what: str) -> int:
        one = self._definer(kind, what)
        return one.number * FACTORS[one.module][("c1", "c2", "own").index(what)]

    def via(self, kind: str) -> Any:
        return (self.v("alpha").number, self.c(kind, "c1"), self.c(kind, "c2"))

    def special(self, kind: str, what: str) -> Any:
        try:
            one = self._definer(kind, what)
        except LookupError:
            if what == "__iter__":  # a sequence can be iterated over as well
                return self.special(kind, "__getitem__")
            return Raised("TypeError")
        return one.number if what == "__iter__" else _special(what, one)

    def opt(self, kind: str) -> Any:
        try:
            one = self._definer(kind, "opt")
        except LookupError:
            return Raised("AttributeError")
        return ("opt", CLASSES[one.module], one.number)


_ALWAYS = {("alpha", "c1"), ("alpha", "c2"), ("beta", "own")}


def _contains(one: Any) -> Any:
    """Without that method `in` would look through an object that has no end."""
    return 1 in one if hasattr(type(one), "__contains__") else Raised("TypeError")


@dataclass(frozen=True)
class Raised:
    """An exception as an answer."""

    name: str


def answer(ask: Callable[[], Any]) -> Any:
    """What something answers, an exception included."""
    try:
        return ask()
    except Exception as error:
        return Raised(type(error).__name__)


Check = tuple[str, Callable[[], Any], Any]
"""What is asked, how, and what must come out."""


def function_checks(world: World, name: str, of: Any) -> Iterator[Check]:
    """Functions and Python classes of a module, or the same things held by someone."""
    one = world.v(name)
    v = one.number
    yield "f", lambda: of["f"](1), ("f", v, 1, v)
    yield "f(k=)", lambda: of["f"](1, k=5), ("f", v, 1, 5)
    yield "f(1, 2)", lambda: of["f"](1, 2), (
        Raised("TypeError") if "kwonly" in one.has else ("f", v, 1, 2)
    )  # fmt: skip
    yield "f.__doc__", lambda: of["f"].__doc__, f"f of {v}"
    yield "g", lambda: of["g"](2), ("deco", v, ("g", v, 2))
    m = (v,) if "two" in one.has else ()
    yield "make", lambda: of["make"](7)(), ("inner", v, 7, 7, *m)
    yield "gen", lambda: list(of["gen"]()), [v, v]
    yield "cp", lambda: of["cp"](3), v * 100 + 3
    yield "P.attr", lambda: of["P"].attr, v
    yield from python_checks(world, name, lambda: of["P"](4), 4, "P")
    yield from python_checks(world, name, lambda: of["Q"](5), 5, "Q")
    yield "Leaf", lambda: of["Leaf"]().call(), (v, v, v + 1000 if "c4" in one.has else None)
    yield "state", lambda: of["state"](), world.of[name].variables
    data = world.of[name].data
    missing = [n for n in one.data if n not in data]
    yield "look", lambda: of["look"](), (
        Raised("NameError") if missing else [data[n] for n in one.data]
    )  # fmt: skip
    if name == "beta":
        yield (
            "cross",
            lambda: of["cross"](2),
            (v, world.twice(2), world.of["alpha"].variables["ratio"]),
        )
    if name == "gamma":
        yield "cross", lambda: of["cross"](2), (
            v, world.twice(2), world.thrice(2), world.of["alpha"].variables["ratio"],
            world.of["beta"].variables["bvar"],
        )  # fmt: skip
        yield "fused", lambda: of["fused"](1.0), (v, 8)
        yield "fused[]", lambda: of["fused"]["float"](1.0), (v, 4)


def python_checks(
    world: World, name: str, get: Callable[[], Any], x: int, kind: str
) -> Iterator[Check]:
    """An instance of a Python class."""
    one = world.v(name)
    v = one.number
    meth: Any = ("P", v, x, v)
    if kind == "Q":
        meth = ("Q", v, meth)
    yield f"{kind}.meth", lambda: get().meth(), meth
    yield f"{kind}.prop", lambda: get().prop, ("prop", v, x)
    yield f"{kind}.sm", lambda: get().sm(), ("sm", v)
    yield f"{kind}.cm", lambda: get().cm(), ("cm", v, kind)
    yield f"{kind}.repr", lambda: repr(get()), f"<P {v}>"
    has = one.has
    yield f"{kind}.opt", lambda: get().opt(), (
        ("P.opt", v, x) if "P.opt" in has else Raised("AttributeError")
    )  # fmt: skip
    yield f"{kind}.len", lambda: len(get()), v if "P.len" in has else Raised("TypeError")


def instance_checks(
    world: World, kind: str, get: Callable[[], Any], n: int, modules: dict[str, ModuleType]
) -> Iterator[Check]:
    """An instance of a module's cdef class; ``kind`` is the module."""
    a = world.v("alpha").number
    label = CLASSES[kind]
    yield f"{label}.meth", lambda: get().meth(), ("meth", a, n, a)
    yield f"{label}.via", lambda: get().via(), world.via(kind)
    yield f"{label}.c2", lambda: get().c2(), world.c(kind, "c2")
    yield f"{label}.prop", lambda: get().prop, ("prop", a, n)
    yield f"{label}.opt", lambda: get().opt(), world.opt(kind)
    yield f"{label}.of", lambda: getattr(get(), f"of_{label}")(), (world.v(kind).number, n)
    for what, (_, use) in SPECIAL.items():
        expected = world.special(kind, what)
        if what == "__str__" and isinstance(expected, Raised):
            continue
        yield f"{label}.{what}", lambda use=use: use(get()), expected
    for name in MODULES[: MODULES.index(kind) + 1]:
        expected = (world.v(name).number, world.c(kind, "c1"), world.c(kind, "c2"))
        expected = expected if name == "alpha" else (*expected, world.c(kind, "own"))
        yield f"{name}.on({label})", lambda name=name: modules[name].on(get()), expected


def module_checks(world: World, modules: dict[str, ModuleType]) -> Iterator[Check]:
    """All that new references to the modules answer."""
    for name in MODULES:
        of, one = vars(modules[name]), world.of[name]
        v = one.version.number
        for label, ask, expected in function_checks(world, name, of):
            yield f"{name}.{label}", ask, expected
        m = (v,) if "two" in one.version.has else ()
        yield f"{name}.adder", lambda of=of: of["adder"](), ("inner", v, 1, 1, *m)
        for at in (0, 1):
            if at == 0 or "lam1" in one.version.has:
                lam = f"lam{at}"
                yield f"{name}.{lam}", lambda of=of, lam=lam: of[lam](9), ("lam", v, at, 9)
        for extra in ("extra0", "extra1"):
            if extra in one.version.has:
                yield f"{name}.{extra}", lambda of=of, x=extra: of[x](9), (extra, v, 9)
        yield f"{name}.INIT", lambda of=of: of.get("INIT"), one.init
        yield (
            f"{name} data",
            lambda of=of: {n: of[n] for n in (*DATA, *GUARDED, "user") if n in of},
            one.data,
        )
        yield (
            f"names of {name}",
            lambda of=of: sorted(n for n in of if not n.startswith("_")),
            sorted(one.version.bound - (set(one.version.data) - set(one.data)) | set(one.data)),
        )
        get = lambda name=name: getattr(modules[name], CLASSES[name])(6)
        yield from instance_checks(world, name, get, 6, modules)
