"""``python -m cyhot`` is the ``cyhot`` command."""

from .cli import main

main()
