"""Change to running process: what is saved is noticed, settled and handed on.

Only this package imports watchdog. It knows nothing of the command line.
"""
