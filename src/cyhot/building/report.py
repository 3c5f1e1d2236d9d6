"""The outcome of `cyhot.build`, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..errors import Diagnostic


@dataclass(frozen=True)
class Built:
    """One module of a `BuildReport`.

    Attributes:
        name: Full module name.
        path: Its source.
        image: The image's path, `""` if it did not compile.
        outcome: ``built``, ``up to date`` or ``failed``.
        reasons: Why it was built.
        seconds: How long it took.
        diagnostics: Errors and warnings.
    """

    name: str
    path: str
    image: str
    outcome: str
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class BuildReport:
    """What `cyhot.build` did.

    Attributes:
        modules: Each module, in the order of its name.
        seconds: How long all of it took.
    """

    modules: tuple[Built, ...]
    seconds: float

    @property
    def built(self) -> tuple[Built, ...]:
        """The modules that were compiled."""
        return self._with("built")

    @property
    def up_to_date(self) -> tuple[Built, ...]:
        """The modules whose image matched."""
        return self._with("up to date")

    @property
    def failed(self) -> tuple[Built, ...]:
        """The modules that did not compile."""
        return self._with("failed")

    @property
    def ok(self) -> bool:
        """Whether every module has an image now."""
        return not self.failed

    def _with(self, outcome: str) -> tuple[Built, ...]:
        return tuple(module for module in self.modules if module.outcome == outcome)

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"ok": self.ok, **asdict(self)}
