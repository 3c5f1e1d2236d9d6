"""What a swap did, as values that word themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from ..errors import Diagnostic


@dataclass(frozen=True)
class Swapped:
    """One module whose new code runs now.

    Attributes:
        name: The module's full name.
        path: Its source.
        image: The image that runs now.
        functions: How many functions have new code.
        classes: The classes whose instances have new methods.
        kept: The names whose values were kept.
        removed: The names that the new source no longer has.
        notes: What stays on the old code, and why, in sentences.
        stage: ``""``, or ``"first"`` where an optimized image is to follow.
    """

    name: str
    path: str
    image: str
    functions: int = 0
    classes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stage: str = ""


@dataclass(frozen=True)
class Unswapped:
    """One module that goes on with its old code.

    Attributes:
        name: The module's full name.
        path: Its source.
        kind: ``"build"`` (it does not compile), ``"body"`` (its new body raised) or ``"refused"``
            (its new code cannot take the place of the old in this process: restart).
        reason: Why, in words; of a body, with the traceback.
        diagnostics: What the compilers said.
        imports: The modules that its new body imported before it raised.
    """

    name: str
    path: str
    kind: str
    reason: str
    diagnostics: tuple[Diagnostic, ...] = ()
    imports: tuple[str, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class SwapReport:
    """What `cyhot.refresh`, `cyhot.rollback` or a save did: all of it, or nothing.

    Attributes:
        swapped: The modules whose new code runs now; empty if one of them could not be swapped.
        unswapped: The modules that stand in the way of a swap.
        redirected: Loaded modules that were not rebuilt, whose C pointers lead to the new code.
        seconds: From the save (or the call) until the new code ran.
        critical: Seconds for which no other thread could run.
    """

    swapped: tuple[Swapped, ...] = ()
    unswapped: tuple[Unswapped, ...] = ()
    redirected: tuple[str, ...] = ()
    seconds: float = 0.0
    critical: float = 0.0
    words: str = field(default="swapped", compare=False)

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.unswapped

    @property
    def restart(self) -> tuple[Unswapped, ...]:
        """The modules for which the program has to be restarted."""
        return tuple(one for one in self.unswapped if one.kind == "refused")

    def __str__(self) -> str:
        """One line for each module, as it is shown to the user."""
        return "\n".join([*map(self._told, self.swapped), *map(_refusal, self.unswapped)])

    def _told(self, one: Swapped) -> str:
        parts = [f"{one.functions} function{'s' * (one.functions != 1)}"] * bool(one.functions)
        if one.classes:
            noun = "class" if len(one.classes) == 1 else "classes"
            parts.append(f"{noun} {', '.join(one.classes)} adopted")
        if one.kept:
            parts.append(f"kept {', '.join(one.kept)}")
        if self.redirected:
            many = len(self.redirected)
            parts.append(f"{many} live dependent{'s' * (many != 1)} redirected")
        stage = {"": "", "first": " (unoptimized; the optimized code follows)"}[one.stage]
        text = f"cyhot: {one.name} {self.words} in {self.seconds:.2f} s{stage}"
        told = f"{text} ({'; '.join(parts)})" if parts else text
        return "\n".join([told, *(f"  {note}" for note in one.notes)])

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"ok": self.ok, **asdict(self)}


def _refusal(one: Unswapped) -> str:
    if one.kind == "refused":
        return (
            f"cyhot: {one.name} not swapped, the old code runs: {one.reason}\n"
            f"  or replace the module: cyhot.load({one.path!r}) imports the new one, and what is "
            "held of the old one stays old"
        )
    if one.kind == "body":
        return f"cyhot: {one.name}: its new body raised, the old code runs:\n{one.reason}"
    return f"cyhot: {one.name} does not compile, the old code runs"
