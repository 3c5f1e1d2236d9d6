"""``python -m examples.threads``: the same as ``python -m examples.threads.scaling``."""

import sys

from .scaling import main

if __name__ == "__main__":
    sys.exit(main())
