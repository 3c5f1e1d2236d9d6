"""A swap: all modules of it, or none."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import CompileError, SwapError
from ..report import Swapped, SwapReport, Unswapped
from .bodies import Bodies
from .commitment import Changing, Heap, make_plan, pointer_entries
from .compare import in_order, refusals
from .lineage import (
    Lineage,
    Loaded,
    Unknown,
    lineage_of,
    loaded_modules,
    read_facts,
)
from .pairs import module_pairs
from .patcher import patcher, refusal
from .shadow import Shadow


@dataclass(frozen=True, slots=True)
class Target:
    """A loaded module, and the image that is to be its code.

    Attributes:
        loaded: The module.
        image: The image's path in the store.
    """

    loaded: Loaded
    image: str


def swap(targets: Sequence[Target]) -> SwapReport:
    """Give loaded modules new code.

    The caller holds the swap lock: nobody else swaps meanwhile.

    Args:
        targets: What is to be swapped, together.

    Returns:
        What happened: either all of it, or nothing, with the reasons.

    Raises:
        CompileError: If the part that patches memory does not compile.
    """
    if reason := refusal():
        return _refused(targets, {one.loaded.name: reason for one in targets})
    try:
        patcher()
    except SwapError as error:
        return _refused(targets, {one.loaded.name: str(error) for one in targets})
    except CompileError as error:
        text = f"cyhot's own patcher does not compile: {error}"
        return _refused(targets, {one.loaded.name: text for one in targets})
    return _Swap(targets).run()


def swap_or_raise(target: Target) -> SwapReport:
    """Give a loaded module new code, as `swap` does.

    Raises:
        Unknown: If this interpreter, or how the module was built, rules swapping out.
        SwapError: If the new code cannot take the place of the old.
        Exception: Whatever the new body raises.
    """
    if reason := refusal():
        raise Unknown(reason)
    lineage_of(target.loaded)
    read_facts(target.image, target.image)
    under_way = _Swap([target])
    report = under_way.run()
    if under_way.raised is not None:
        raise under_way.raised
    if not report.ok:
        raise SwapError(f"{target.loaded.name} cannot be reloaded: {report.unswapped[0].reason}")
    return report


def _refused(
    targets: Sequence[Target], reasons: dict[str, str], kind: str = "refused"
) -> SwapReport:
    return SwapReport(
        unswapped=tuple(
            Unswapped(
                one.loaded.name, one.loaded.loader.source.path, kind, reasons[one.loaded.name]
            )
            for one in targets
            if one.loaded.name in reasons
        )
    )


class _Swap:
    """One swap, from facts to report."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = {one.loaded.name: one for one in targets}
        self.reasons: dict[str, list[str]] = {}
        self.lineages: dict[str, Lineage] = {}
        self.shadows: dict[str, Shadow] = {}
        self.bodies = Bodies({})
        self.redirected: tuple[str, ...] = ()
        self.raised: BaseException | None = None

    def run(self) -> SwapReport:
        self._open()
        if self.reasons:
            return self._refuse()
        states = self._before()
        if isinstance(states, SwapReport):
            return states
        failed = self._run_bodies()
        if failed is not None:
            return failed
        done, critical = self._exchange()
        if done is None:
            return self._refuse()
        self._after(states)
        return SwapReport(
            tuple(self._told(one) for one in done), redirected=self.redirected, critical=critical
        )

    # Before anything runs -------------------------------------------------------------------------

    def _open(self) -> None:
        for name, target in self.targets.items():
            try:
                lineage = self.lineages[name] = lineage_of(target.loaded)
                shadow = self.shadows[name] = Shadow(target.loaded, target.image)
            except (Unknown, ImportError) as error:
                self._note(name, str(error))
                continue
            old = lineage.last.facts
            if old.cython != shadow.facts.cython:
                self._note(
                    name,
                    f"it was compiled by Cython {old.cython} and is by {shadow.facts.cython}, "
                    "whose functions have another layout. Restart the program",
                )
                continue
            for reason in refusals(old, shadow.facts, lineage.methods, lineage.rooms):
                self._note(name, f"{reason}. Restart the program")

    def _note(self, name: str, reason: str) -> None:
        self.reasons.setdefault(name, []).append(reason)

    def _refuse(self) -> SwapReport:
        reasons = {name: "\n  ".join(dict.fromkeys(some)) for name, some in self.reasons.items()}
        return _refused(list(self.targets.values()), reasons)

    def _before(self) -> dict[str, Any] | SwapReport:
        """What the modules' own ``__cyhot_before__`` functions hand over."""
        states = {}
        for name, target in self.targets.items():
            hook = vars(target.loaded.module).get("__cyhot_before__")
            if hook is None:
                continue
            try:
                states[name] = hook()
            except Exception as error:
                reason = f"its __cyhot_before__() raised {type(error).__name__}: {error}"
                return _refused([target], {name: reason}, "body")
        return states

    # The new bodies -------------------------------------------------------------------------------

    def _run_bodies(self) -> SwapReport | None:
        bodies = self.bodies = Bodies(self.shadows)
        failed = bodies.run()
        if failed is None:
            return None
        name, failure = failed
        patcher().take_tracked()
        self.raised = failure.__cause__
        told = _refused([self.targets[name]], {name: str(failure)}, "body")
        unswapped = tuple(replace(one, imports=bodies.imports[name]) for one in told.unswapped)
        return replace(told, unswapped=unswapped)

    # The exchange ---------------------------------------------------------------------------------

    def _exchange(self) -> tuple[list[Changing] | None, float]:
        collecting = gc.isenabled()
        gc.disable()  # what is planned for must be there when it is done
        try:
            return self._exchange_now()
        finally:
            if collecting:
                gc.enable()

    def _exchange_now(self) -> tuple[list[Changing] | None, float]:
        # Before anything of ours holds new objects: it would be taken for a user's.
        heap = Heap(gc.get_objects())
        tracked = patcher().take_tracked()
        # Those that others cimport from come first, since their classes are the others' bases.
        order = in_order({name: one.facts.cimports for name, one in self.shadows.items()})
        changing = [Changing(self.lineages[name], self.shadows[name]) for name in order]
        olds: dict[int, Any] = {id(made): live for made, live in self.bodies.packages.values()}
        for one in changing:
            olds |= module_pairs(one.shadow)
            one.pairs.find_classes(olds, [two.shadow for two in changing if two is not one])
        for one in changing:
            one.pairs.find_functions(heap.functions, olds)
            one.pairs.find_references(olds)
            for reason in one.pairs.refusals:
                self._note(one.name, f"{reason}. Restart the program")
        others = self._others()
        entries, redirected, problems = pointer_entries(changing, others)
        self.redirected = tuple(sorted(redirected))
        for name, problem in problems:
            self._note(name, f"{problem}. Restart the program")
        if self.reasons:
            return None, 0.0
        plan = make_plan(changing, olds, heap, tracked, others)
        plan.entries += entries
        try:
            held = {address for _, address in heap.functions} | heap.builtins
            critical = self._commit(plan, changing, held)
        except patcher().UnfitBases as error:
            kind, text = error.args
            for one in changing:
                if any(kind is old for old, _ in one.pairs.python):
                    reason = f"class {kind.__qualname__}: its bases cannot be changed so ({text})"
                    self._note(one.name, f"{reason}. Restart the program")
            return None, 0.0
        except Exception as error:
            for one in changing:
                self._note(one.name, f"{type(error).__name__}: {error}. Restart the program")
            return None, 0.0
        _clear_caches(heap, changing)
        for one in changing:
            patcher().retire(one.shadow.image, olds, heap.objects)
        return changing, critical

    def _commit(self, plan: Any, changing: list[Changing], held: set[int]) -> float:
        began = time.perf_counter()
        # A module without functions does not say how they are laid out; all are of one Cython.
        image = max((one.shadow.image for one in changing), key=lambda image: image.function_size)
        journal = patcher().commit(plan, image)
        critical = time.perf_counter() - began
        for one in changing:
            self._settle(one, held)
            patcher().silence([displaced for _, displaced in one.pairs.references])
        del journal  # what was displaced may go, and run its destructors, only now
        for one in changing:
            vars(one.shadow.module).clear()  # else a circle of garbage would wait for the collector
        return critical

    def _others(self) -> dict[str, Lineage]:
        """The lineages of all other loaded modules that have one."""
        found = {}
        for name, loaded in loaded_modules().items():
            if name in self.targets:
                continue
            try:
                found[name] = lineage_of(loaded)
            except Unknown:
                continue  # no pointers of its are known; it can have got none but by its own build
        return found

    def _settle(self, one: Changing, held: set[int]) -> None:
        """Note what runs now."""
        shadow, module = one.shadow, one.shadow.loaded.module
        for facts, kind, row in zip(
            shadow.facts.types, shadow.image.types, patcher().tables_of(shadow.image), strict=True
        ):
            name = str(facts["name"])
            if name in one.lineage.tables and type.__subclasses__(kind):
                # Instances of a subclass that the body made may point to the new table itself.
                one.lineage.tables[name].append(row[0])
        one.lineage.displaced.update(new for _, new in one.pairs.functions)
        one.lineage.follow(shadow.generation, held)
        shadow.loaded.loader.mapped = shadow.loader.mapped
        module.__dict__["__cached__"] = shadow.path
        if module.__spec__ is not None:
            module.__spec__.cached = shadow.path

    # Afterwards -----------------------------------------------------------------------------------

    def _after(self, states: dict[str, Any]) -> None:
        for name, target in self.targets.items():
            hook: Callable[[Any], object] | None = vars(target.loaded.module).get("__cyhot_after__")
            if hook is None:
                continue
            try:
                hook(states.get(name))
            except Exception:
                sys.excepthook(*sys.exc_info())

    def _told(self, one: Changing) -> Swapped:
        classes = [old.__qualname__ for old, _ in (*one.pairs.classes, *one.pairs.python)]
        notes = dict.fromkeys((*one.notes, *one.pairs.notes))
        return Swapped(
            one.name,
            one.shadow.loaded.loader.source.path,
            one.shadow.path,
            len({id(new) for _, new in one.pairs.all_functions if not _is_cythons(new)}),
            tuple(classes),
            tuple(one.kept),
            tuple(one.removed),
            tuple(notes),
        )


def _is_cythons(function: Any) -> bool:
    """Whether it is one of those that Cython adds, for pickling."""
    name = str(function.__name__)
    return name.startswith("__pyx_") or name in ("__reduce_cython__", "__setstate_cython__")


def _clear_caches(heap: Heap, changing: list[Changing]) -> None:
    """Forget what old code computed: results that ``functools.lru_cache`` kept."""
    changed = {id(old) for one in changing for old, _ in one.pairs.functions}
    for cache in heap.caches:
        if id(getattr(cache, "__wrapped__", None)) in changed:
            cache.cache_clear()
