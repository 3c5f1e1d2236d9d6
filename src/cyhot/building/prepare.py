"""What makes later builds and imports faster and is made in the background: shared modules,
headers, `looks`.

A build that could have used one and found none says so with a `Want`; whoever has time, and
nobody waiting, hands that to `prepare`. What is made is determined by the want, published as a
whole, and made once: processes that do it at the same time see each other by a lock. What could
not be made is remembered under the same name, which covers compiler and Cython: after an upgrade
it is another want.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from . import looks, publish
from .commands import Command, run_all
from .store import Store, Want

Maker = Callable[[Mapping[str, Sequence[str]], str, str], None]
"""Makes something: parameters, name, the folder to make it in. Raises `Failed`."""


class Failed(Exception):
    """It cannot be made.

    Attributes:
        passing: Whether it may work another time: it was killed, say.
    """

    def __init__(self, told: str, *, passing: bool = False) -> None:
        super().__init__(told)
        self.passing = passing


def run(words: Sequence[str], folder: str) -> None:
    """Run a command of a `Maker`.

    Args:
        words: The command line.
        folder: Where it runs.

    Raises:
        Failed: If it fails.
    """
    (done,) = run_all([Command(tuple(words), folder)], 1)
    if done.status:
        raise Failed(done.output, passing=done.status < 0)


def is_ready(store: Store, want: Want) -> bool:
    """Whether what is wanted is in the store."""
    return os.path.isdir(store.prepared(want[2]))


def has_failed(store: Store, want: Want) -> bool:
    """Whether it was tried, and could not be made."""
    return os.path.exists(store.path(*_failure(want)))


def _failure(want: Want) -> tuple[str, str]:
    return "cache", f"failed-{want[2]}"


def prepare(want: Want) -> bool:
    """Make what is wanted, unless it is there, or made by somebody else at the moment.

    Args:
        want: What an `Attempt` could have used.

    Returns:
        Whether it is there now.

    Raises:
        StoreError: If the store is not the user's alone.
    """
    store = Store(want[1])
    if not store.trusted():
        return False
    if is_ready(store, want) or has_failed(store, want):
        return is_ready(store, want)
    try:
        with publish.if_free(store.path("locks", want[2])) as free:
            if free and not is_ready(store, want):
                _make(store, want)
    except OSError:
        pass  # a full disk, a store that was removed meanwhile: another time
    return is_ready(store, want)


def _make(store: Store, want: Want) -> None:
    kind, _root, name, parameters = want
    with publish.workshop(store, name) as folder:
        try:
            _maker(kind)(dict(parameters), name, folder)
        except Failed as failure:
            if not failure.passing:
                store.keep("/".join(_failure(want)), str(failure).encode())
            return
        publish.publish_image(store, folder, name, kind="prepared")


def _maker(kind: str) -> Maker:
    from . import pch, shared

    makers: dict[str, Maker] = {
        "shared": shared.make, "header": pch.make, looks.KIND: looks.make,
    }  # fmt: skip
    return makers[kind]
