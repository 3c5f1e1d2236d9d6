"""Editing and running again: cyhot beside pyximport and `setup.py build_ext --inplace`.

`speed.py` with these tools, the two small modules and the flows of one person's day; it takes the
same options, and the last one given of each holds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import speed

CHOSEN = (
    *("--modules", "foo,matmul"),
    *("--tools", "cyhot,pyximport,setup.py"),
    *("--flows", "install,cold,unchanged,edited,reverted"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns what `speed.main` does."""
    return speed.main([*CHOSEN, *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
