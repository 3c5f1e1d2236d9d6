"""A program that goes on while its walker.pyx is edited: python main.py, then save a change."""

import time

import cyhot

cyhot.install()

from walker import Walker  # noqa: E402 (cyhot must be installed first: it is walker.pyx)

walker = Walker()
while True:
    walker.step()
    print(walker, flush=True)
    time.sleep(0.25)
