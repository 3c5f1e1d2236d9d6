"""Why something is stale, in words: differences and settings become reasons.

Pure: values in, values out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from .recipe import KeyParts
from .record import Difference, Record


@dataclass(frozen=True)
class Reason:
    """Why an image is built, or why it need not be.

    Attributes:
        kind: ``up-to-date``, ``new``, ``changed``, ``removed``, ``appeared``, ``vanished``,
            ``search``, ``tool``, ``setting``, ``environment``, ``python``, ``lost``, ``built``.
        subject: The path, setting or tool that it is about.
        text: The reason as a clause: ``core.pxd changed (cimported by helpers.pxd)``.
    """

    kind: str
    subject: str
    text: str

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


_VERBS = {"changed": "changed", "removed": "was removed"}


def explain(
    found: Iterable[Difference], record: Record, system: Callable[[str], str]
) -> list[Reason]:
    """Say what each difference means, and how the module depends on it.

    Args:
        found: The differences between a record and the world.
        record: That record.
        system: Gives the relation of a system file that the record does not list itself.
    """
    return [_reason(difference, record, system) for difference in found]


def _reason(difference: Difference, record: Record, system: Callable[[str], str]) -> Reason:
    kind, subject, before, after = difference
    short = os.path.basename(subject)
    if kind in _VERBS:
        how = _chain(subject, record) or system(subject)
        text = f"{short} {_VERBS[kind]}{f' ({how})' if how else ''}"
    elif kind == "appeared":
        text = f"{subject} appeared, where a search had found nothing"
    elif kind == "vanished":
        text = f"{subject} vanished, where a search had found something"
    elif kind == "search":
        text = f"{subject} is now found as {after or 'nothing'}, before as {before or 'nothing'}"
    elif kind == "glob":
        text = f"{subject} names other files than before"
    elif kind == "tool":
        text = _tool_text(subject, before, after)
    elif kind == "variable":
        kind = "environment"
        was, is_ = (value.removeprefix("=") for value in (before, after))
        text = f"environment variable {subject} is {is_}, before {was}"
    else:
        text = f"{subject} was lost from the store"
    return Reason(kind, subject, text)


def _tool_text(request: str, before: str, after: str) -> str:
    """``gcc is now gcc 13.2, before gcc 12.2``; or that only its file is another."""
    package = not os.path.isabs(request) and "/" in request
    name = request.partition("/")[0] if package else os.path.basename(request)
    was, is_ = (_version(ident, package) for ident in (before, after))
    if was == is_:
        return f"{name} is another file, of the same version ({is_})"
    return f"{name} is now {is_ or 'gone'}, before {was or 'not there'}"


def _version(ident: str, package: bool) -> str:
    """What a tool says of itself, without the content hash that follows."""
    first = ident.partition("\n")[0]
    return " ".join(first.split(" ")[:2]) if package else first


def _chain(path: str, record: Record) -> str:
    """How a file was reached: ``cimported by helpers.pxd, cimported by kernels.pyx``."""
    reached = {row[0]: (row[3], row[4]) for row in record.files}
    links: list[str] = []
    seen = {path}
    while path in reached:
        relation, via = reached[path]
        if not relation or via in seen:
            break
        links.append(f"{relation} {os.path.basename(via)}".strip())
        seen.add(via)
        path = via
    if len(links) > 1 and reached.get(path, ("", ""))[0] == "":
        links.pop()  # that it ends at the module itself goes without saying
    return ", ".join(links)


def other_recipe(before: KeyParts | None, now: KeyParts) -> list[Reason]:
    """Why there is no record under the present key.

    Args:
        before: The key's parts at the module's last build, None if it was never built.
        now: The key's parts now.
    """
    if before is None:
        return [Reason("new", "", "it was never built here")]
    old = {(group, name): value for group, rows in before for name, value in rows}
    new = {(group, name): value for group, rows in now for name, value in rows}
    changed = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    reasons = [_parts_reason(k, old.get(k), new.get(k)) for k in changed]
    return reasons or [Reason("lost", "", "its record was removed from the store")]


def _parts_reason(where: tuple[str, str], before: str | None, now: str | None) -> Reason:
    group, name = where
    was, is_ = (value if value is not None else "unset" for value in (before, now))
    label = {"setting": f"setting {name}", "environment": f"environment variable {name}"}
    text = f"{label.get(group, f'{group} {name}')} is {is_}, before {was}"
    return Reason(group if group in label else "python", name, text)
