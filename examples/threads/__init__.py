"""Does releasing the GIL release the cores? The article's matrix product, and what comes next.

>>> from examples.threads import matmul, pi
>>> matmul([[1, 2], [3, 4]], [[5, 6], [7, 8]])
array([[19., 22.],
       [43., 50.]])

``python -m examples.threads.scaling`` measures how kernels scale with threads, with the GIL held
and released, without and with ``prange``.
"""

from .functions import available_threads, matmul, pi, triad

__all__ = ["available_threads", "matmul", "pi", "triad"]
