"""Names for what makes builds and imports faster and is made in the background (`prepare`).

On the warm path.
"""

from __future__ import annotations

from .observe import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Want = tuple[str, str, str, tuple[tuple[str, tuple[str, ...]], ...]]
"""Kind (``shared``, ``header`` or ``look``), the store's root, name, parameters. Marshal can write
it."""


def make_want(kind: str, root: str, parameters: Mapping[str, Sequence[str]]) -> Want:
    """A want, named after its parameters."""
    rows = tuple((name, tuple(values)) for name, values in parameters.items())
    return kind, root, digest(repr((kind, rows)).encode()), rows
