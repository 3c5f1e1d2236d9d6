"""Random edit sequences in a live process, against the model of `versions`; run as a program.

``python edits.py FOLDER --seed 1 --sequences 200``: each sequence is a fork of this process, which
has cyhot installed and none of the modules imported. What a sequence's modules answer is compared
with the model after each save; then new processes (forks again) are asked what they answer for the
same sources. A failing sequence is made shorter and told with its seed.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import functools
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from versions import (
    CLASSES,
    DATA,
    GOOD,
    GUARDED,
    LAYOUT,
    MODULES,
    RAISES,
    SYNTAX,
    Check,
    Version,
    World,
    answer,
    function_checks,
    instance_checks,
    make_version,
    module_checks,
    pxd,
    python_checks,
    text,
)

LIMIT, SECONDS = 4 << 30, 300
"""What a sequence may have of memory and of time (sanitizers map terabytes, and take longer)."""
VARIANTS = [(0, 0), (1, 0), (0, 1), (1, 1)]


class Step(NamedTuple):
    """One save, with what the program does to its state before.

    Attributes:
        chosen: The modules that are saved, each with its place in the pool.
        variants: Of the pxds, from now on.
        deeds: (module, "set", "delete" or "poke", name) each.
    """

    chosen: tuple[tuple[str, int], ...]
    variants: tuple[int, int]
    deeds: tuple[tuple[str, str, str], ...]


class Pool:
    """All versions that sequences are made of, and their files.

    Args:
        folder: Where the sources are written.
        seed: What they are made from.
        many: The number of good versions of each module.
        variants: Those of the pxds; with the first there are broken versions too.
    """

    def __init__(self, folder: Path, seed: str, many: int, variants: list[tuple[int, int]]) -> None:
        self.folder = folder
        self.variants = variants
        self.kinds = [GOOD] * many + [RAISES, LAYOUT, SYNTAX]
        self.many = many
        self.versions = {
            name: [make_version(seed, name, at, kind) for at, kind in enumerate(self.kinds)]
            for name in MODULES
        }

    def at(self, indices: dict[str, int]) -> dict[str, Version]:
        return {name: self.versions[name][index] for name, index in indices.items()}

    def write(self, indices: dict[str, int], variants: tuple[int, int]) -> set[str]:
        """Save the files whose text differs; tells the paths."""
        found = set()
        for name, one in self.at(indices).items():
            for suffix, content in (("pyx", text(one, variants)), ("pxd", pxd(name, variants))):
                path = self.folder / f"{name}.{suffix}"
                if content and (not path.exists() or path.read_text() != content):
                    path.write_text(content)
                    found.add(str(path))
        return found


def steps_of(pool: Pool, seed: str, many: int) -> list[Step]:
    """A random walk."""
    chance = random.Random(seed)
    places = dict.fromkeys(MODULES, 0)
    variants = (0, 0)
    found = []
    for _ in range(many):
        broken = [name for name in MODULES if places[name] >= pool.many]
        chosen = chance.sample(MODULES, chance.choice([1, 1, 1, 2, 3]))
        if broken and chance.random() < 0.7:
            chosen = [*broken, *(name for name in chosen if chance.random() < 0.3)]
        if chance.random() < 0.25 and all(places[name] < pool.many for name in MODULES):
            variants = chance.choice(pool.variants)
        for name in chosen:
            bad = chance.random() < 0.16 and variants == pool.variants[0]
            places[name] = pool.many + chance.randrange(3) if bad else chance.randrange(pool.many)
        deeds = [
            (chance.choice(MODULES), *chance.choice(
                [("poke", ""), ("set", chance.choice([*DATA, *GUARDED, "user"])),
                 ("delete", chance.choice([*DATA, *GUARDED, "user"]))]
            ))
            for _ in range(chance.randrange(4))
        ]  # fmt: skip
        found.append(
            Step(tuple((n, places[n]) for n in dict.fromkeys(chosen)), variants, tuple(deeds))
        )
    return found


class Closure:
    """A closure that someone holds, and whose code it has."""

    def __init__(self, held: Any, one: Version, n: int) -> None:
        self.held, self.two, self.n, self.m = held, "two" in one.has, n, one.number
        self.number = one.number

    def expected(self) -> Any:
        return ("inner", self.number, self.n, self.n, *((self.m,) if self.two else ()))


class Kept:
    """A function that comes and goes, held, and whose code it has."""

    def __init__(self, name: str, held: Any, number: int) -> None:
        self.name, self.held, self.number = name, held, number

    def expected(self) -> Any:
        if self.name.startswith("lam"):
            return ("lam", self.number, int(self.name[3]), 1)
        return (self.name, self.number, 1)


class Live:
    """The modules in this process, all that is held of them, and the model."""

    def __init__(self, pool: Pool, world: World) -> None:
        import importlib

        self.world = world
        self.modules = {name: importlib.import_module(name) for name in reversed(MODULES)}
        self.held: dict[str, dict[str, Any]] = {}
        self.kept: dict[str, list[Kept]] = {name: [] for name in MODULES}
        self.closures: dict[str, list[Closure]] = {name: [] for name in MODULES}
        self.generators: list[tuple[Any, int]] = []
        self.instances: list[tuple[str, str, Any, int, str]] = []
        self.bound: list[Callable[[], Iterator[Check]]] = []
        for name in MODULES:
            of = dict(vars(self.modules[name]))
            self.held[name] = {
                n: of[n]
                for n in ("f", "g", "make", "gen", "P", "Q", "cp", "Leaf", "state", "look",
                          "cross", "fused", "poke", CLASSES[name])
                if n in of
            }  # fmt: skip
            self.closures[name].append(Closure(of["adder"], world.v(name), 1))
            self._hold_bound(name, of)
            self._hold_instances(name, of, "first")
        self.grab()

    def _hold_bound(self, name: str, of: dict[str, Any]) -> None:
        p, leaf = of["P"](8), of["Leaf"]()
        one = of[CLASSES[name]](9)
        meth, unbound, sm, via = p.meth, of["P"].meth, p.sm, one.via
        partial, default = functools.partial(of["f"], 1), {"callback": of["f"]}
        length = getattr(one, "__len__", None)
        self.bound.append(lambda: iter([
            (f"{name} bound P.meth", meth, ("P", self._v(name), 8, self._v(name))),
            (f"{name} P.meth", lambda: unbound(p), ("P", self._v(name), 8, self._v(name))),
            (f"{name} P.sm", sm, ("sm", self._v(name))),
            (f"{name} bound via", via, self.world.via(name)),
            (f"{name} partial", partial, ("f", self._v(name), 1, self._v(name))),
            (f"{name} callback", lambda: default["callback"](1),
             ("f", self._v(name), 1, self._v(name))),
            (f"{name} leaf", leaf.call,
             (self._v(name), self._v(name),
              self._v(name) + 1000 if "c4" in self.world.v(name).has else None)),
        ]))  # fmt: skip
        self._lengths = [*getattr(self, "_lengths", []), length]

    def _v(self, name: str) -> int:
        return self.world.v(name).number

    def _hold_instances(self, name: str, of: dict[str, Any], label: str) -> None:
        kind = of[CLASSES[name]]
        user = type(f"User{kind.__name__}", (kind,), {})
        for label_of, make in (("", kind), (" subclass", user)):
            self.instances.append((name, f"{label}{label_of}", make(20), 20, "c"))
        for python in ("P", "Q"):
            self.instances.append((name, label, of[python](21), 21, python))

    def grab(self) -> None:
        """Hold more: closures and functions of the versions that run now."""
        for name in MODULES:
            of, one = vars(self.modules[name]), self.world.v(name)
            if len(self.closures[name]) < 12:
                self.closures[name].append(Closure(of["make"](10), one, 10))
            self.generators.append((of["gen"](), one.number))
            next(self.generators[-1][0])
            for extra in ("lam0", *sorted(one.functions)):
                if all(kept.held is not of[extra] for kept in self.kept[name]):
                    self.kept[name].append(Kept(extra, of[extra], one.number))

    def swapped(self, old: dict[str, Version], built: set[str]) -> None:
        """Note what the functions that are held must be now."""
        for name in built:
            one = self.world.v(name)
            for closure in self.closures[name]:
                if closure.two == ("two" in one.has):
                    closure.number = one.number
            for kept in self.kept[name]:
                if kept.name.startswith("lam"):
                    unclear = ("lam1" in old[name].has) != ("lam1" in one.has)
                    there = kept.name == "lam0" or "lam1" in one.has
                    if there and not unclear:
                        kept.number = one.number
                elif kept.name in one.functions:
                    kept.number = one.number

    def checks(self) -> Iterator[Check]:
        yield from module_checks(self.world, self.modules)
        for name in MODULES:
            held = self.held[name]
            for label, ask, expected in function_checks(self.world, name, held):
                yield f"held {name}.{label}", ask, expected
            for n, one in held.items():
                if n == "g":  # what a decorator makes is made anew
                    continue
                yield f"{name}.{n} is what it was", (
                    lambda name=name, n=n, one=one: getattr(self.modules[name], n) is one
                ), True  # fmt: skip
            for at, kept in enumerate(self.kept[name]):
                yield f"held {name}.{kept.name} ({at})", (lambda k=kept: k.held(1)), kept.expected()
            for at, closure in enumerate(self.closures[name]):
                yield f"closure {at} of {name}", closure.held, closure.expected()
        for some in self.bound:
            yield from some()
        for name, label, one, n, kind in self.instances:
            if kind == "c":
                found = instance_checks(self.world, name, lambda one=one: one, n, self.modules)
            else:
                found = python_checks(self.world, name, lambda one=one: one, n, kind)
            for what, ask, expected in found:
                yield f"{label} {name} {what}", ask, expected

    def finish_generators(self) -> Iterator[Check]:
        """Those that ran during the swap end as they began."""
        for at, (one, number) in enumerate(self.generators):
            yield f"generator {at}", lambda one=one: list(one), [number]
        self.generators = []

    def do(self, module: str, deed: str, name: str, number: int) -> None:
        of, data = self.modules[module], self.world.of[module]
        if deed == "poke":
            self.held[module]["poke"](number)
            for n, (kind, _) in data.version.variables.items():
                data.variables[n] = ("poked", number) if kind == "object" else number
        elif deed == "set":
            setattr(of, name, ("user", number))
            data.data[name] = ("user", number)
        elif name in data.data:
            delattr(of, name)
            del data.data[name]


class Wrong(Exception):
    """An answer is not the model's."""


def compare(checks: Iterator[Check], where: str) -> int:
    wrong, many = [], 0
    for label, ask, expected in checks:
        many += 1
        found = answer(ask)
        if found != expected:
            wrong.append(f"{label}: {found!r}, not {expected!r}")
    if wrong:
        raise Wrong(
            f"{where}: {len(wrong)} of {many} answers are wrong:\n  " + "\n  ".join(wrong[:12])
        )
    return many


def run_sequence(pool: Pool, steps: list[Step]) -> tuple[set[Any], dict[str, int]]:
    """Drive one sequence; in a process of its own.

    Returns:
        The combinations that ran, and how often what happened.
    """
    import cyhot

    places, variants = dict.fromkeys(MODULES, 0), (0, 0)
    pool.write(places, variants)
    world = World(pool.at(places), variants)
    live = Live(pool, world)
    counted: collections.Counter[str] = collections.Counter()
    counted["answers"] += compare(live.checks(), "at first")
    running = (tuple(places.values()), variants)
    ran = {running}
    for number, step in enumerate(steps):
        for deed in step.deeds:
            live.do(*deed, 100 + number)
        places |= dict(step.chosen)
        variants = step.variants
        saved = pool.write(places, variants)
        report = cyhot.refresh()
        found = f"step {number} {step}: {report}"
        kinds = {pool.kinds[index] for index in places.values()}
        good = kinds == {GOOD}
        counted[min(kinds - {GOOD}, default=GOOD)] += 1
        if saved and report.ok != good:
            raise Wrong(f"{found}\n  ok is {report.ok} for {kinds}")
        wanted = (tuple(places.values()), variants)
        if good and wanted != running:
            old = {name: world.v(name) for name in MODULES}
            built = changed(pool, running, wanted)
            if {one.name for one in report.swapped} != built:
                raise Wrong(f"{found}\n  swapped {report.swapped}, not {built}")
            world.swap(pool.at(places), variants, built)
            live.swapped(old, built)
            running = wanted
            ran.add(running)
        counted["answers"] += compare(live.checks(), found)
        counted["answers"] += compare(live.finish_generators(), found)
        live.grab()
    return ran, dict(counted)


def changed(pool: Pool, before: Any, after: Any) -> set[str]:
    """The modules whose images differ: their text, or a pxd that they cimport."""
    found = set()
    pxd_of_alpha, pxd_of_beta = (before[1][at] != after[1][at] for at in (0, 1))
    for name, old, new in zip(MODULES, before[0], after[0], strict=True):
        affects = pxd_of_alpha or (pxd_of_beta and name != "alpha")
        if old != new or affects:
            found.add(name)
    return found


def run_fresh(pool: Pool, combination: Any) -> int:
    """What a new process answers."""
    import importlib

    world = World(pool.at(dict(zip(MODULES, combination[0], strict=True))), combination[1])
    modules = {name: importlib.import_module(name) for name in reversed(MODULES)}
    return compare(module_checks(world, modules), f"a new process, {combination}")


def build_all(pool: Pool) -> None:
    """Build all images once, and the patcher.

    The first of each module are built with Cython's helpers in them; the later ones share them, as
    those do that are built when the worker has had time to prepare them.
    """
    import ready

    from cyhot.building.prepare import prepare
    from cyhot.building.request import Source
    from cyhot.hook import current_session
    from cyhot.hook.commands import build_sources
    from cyhot.live.swap.patcher import patcher

    ready.watch()
    patcher()
    for variants in pool.variants:
        for at, kind in enumerate(pool.kinds):
            if at == 1 and variants == pool.variants[0]:
                assert all(map(prepare, ready.wants))
            if kind == SYNTAX or (kind != GOOD and variants != pool.variants[0]):
                continue
            pool.write(dict.fromkeys(MODULES, at), variants)
            session = current_session()
            session.recent.forget()
            sources = [Source(str(pool.folder / f"{n}.pyx"), n, False) for n in MODULES]
            report = build_sources(sources, None, session)
            for one in report.modules:
                assert one.outcome != "failed", one.diagnostics


def forked(work: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What something gives, done in a fork; its exception's text as a `Wrong`."""
    import marshal

    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        if "LD_PRELOAD" not in os.environ:
            resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        faulthandler.dump_traceback_later(seconds, exit=True)
        try:
            result = (True, work())
        except Wrong as error:
            result = (False, str(error))
        except BaseException:
            result = (False, traceback.format_exc())
        with os.fdopen(write, "wb") as file:
            file.write(marshal.dumps(result))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        data = file.read()
    status = os.waitpid(pid, 0)[1]
    if status or not data:
        raise Wrong(f"the process died: wait status {status}")
    fine, result = marshal.loads(data)
    if not fine:
        raise Wrong(result)
    return result


def shorter(pool: Pool, steps: list[Step], text_of: str) -> tuple[list[Step], str]:
    """Leave out what a failure does not need."""
    at = len(steps) - 1
    while at >= 0:
        fewer = steps[:at] + steps[at + 1 :]
        try:
            forked(lambda fewer=fewer: run_sequence(pool, fewer)[1])
        except Wrong as error:
            steps, text_of = fewer, str(error)
        at -= 1
    for at, step in enumerate(steps):
        fewer = [*steps[:at], step._replace(deeds=()), *steps[at + 1 :]]
        try:
            forked(lambda fewer=fewer: run_sequence(pool, fewer)[1])
        except Wrong as error:
            steps, text_of = fewer, str(error)
    return steps, text_of


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--sequences", type=int, default=10)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--versions", type=int, default=3)
    parser.add_argument("--variants", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--go-on", action="store_true")
    options = parser.parse_args()
    sys.path[:0] = [str(options.folder), str(Path(__file__).parent.parent)]
    import cyhot
    from cyhot.building import publish
    from cyhot.live import update  # noqa: F401  (imported once, before the forks)
    from cyhot.live.swap.patcher import patcher

    cyhot.install(verbose=0, watch=False)
    options.folder.mkdir(parents=True, exist_ok=True)
    pool = Pool(options.folder, options.seed, options.versions, VARIANTS[: options.variants])
    publish.MOST_RECORDS = 1000  # a pool has more versions than a user goes back to
    began = time.perf_counter()
    forked(lambda: build_all(pool), 1200)
    print(f"built in {time.perf_counter() - began:.1f} s", flush=True)
    patcher()
    totals: collections.Counter[str] = collections.Counter()
    asked: set[Any] = set()
    failures = 0
    for number in range(options.first, options.first + options.sequences):
        steps = steps_of(pool, f"{options.seed} {number}", options.steps)
        try:
            ran, counted = forked(lambda steps=steps: run_sequence(pool, steps))
            totals.update(counted)
            for combination in sorted(ran - asked):
                asked.add(combination)
                indices = dict(zip(MODULES, combination[0], strict=True))
                pool.write(indices, combination[1])
                totals["answers"] += forked(lambda c=combination: run_fresh(pool, c))
        except Wrong as error:
            failures += 1
            found = str(error)
            if not options.no_shrink:
                steps, found = shorter(pool, steps, found)
            print(f"seed {options.seed}, sequence {number}: {found}")
            print("  the steps: " + "\n    ".join(map(repr, steps)), flush=True)
            if not options.go_on:
                return 1
    totals["new processes"] = len(asked)
    took = time.perf_counter() - began
    print(f"{options.sequences} sequences in {took:.1f} s: {dict(totals)}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
