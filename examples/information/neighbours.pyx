# distutils: language = c
# distutils: extra_compile_args = -O3 -fno-trapping-math
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""Distances to the k-th nearest neighbour on a line, and their logarithms' sum."""

cimport numpy as cnp
from cython.parallel cimport prange

from examples.simd cimport log_any, vector_clones

import numpy as np

cnp.import_array()

cdef enum:
    LANES = 64
    BLOCK = 1024


def sum_log_distances(ordered, int k, int threads):
    """Add up the logarithms of the distances from each number to its k-th nearest neighbour.

    Args:
        ordered: float64, contiguous: k times -inf, n numbers in ascending order, k times inf.
        k: Which neighbour, 1 to n - 1.
        threads: How many threads to use; the result is the same to the bit for any number.

    Returns:
        The sum, -inf if k + 1 numbers are equal.
    """
    cdef Py_ssize_t n = ordered.size - 2 * k, blocks = (n + BLOCK - 1) // BLOCK, i
    cdef const double* x = <const double*> cnp.PyArray_DATA(ordered) + k
    sums = np.empty(blocks)
    cdef double* parts = <double*> cnp.PyArray_DATA(sums)
    with nogil:
        for i in prange(blocks, num_threads=threads, schedule="dynamic", chunksize=16):
            sum_block(
                x + i * BLOCK, BLOCK if (i + 1) * BLOCK < n else n - i * BLOCK, k, parts + i
            )
        while blocks > 1:  # neighbours, and neighbours of those
            for i in range(blocks // 2):
                parts[i] = parts[2 * i] + parts[2 * i + 1]
            if blocks % 2:
                parts[blocks // 2] = parts[blocks - 1]
            blocks = (blocks + 1) // 2
    return parts[0]


cdef vector_clones sum_block(const double* x, Py_ssize_t n, int k, double* out) noexcept nogil:
    cdef double distance[BLOCK]
    cdef double lane[LANES]
    cdef double left, right
    cdef Py_ssize_t i, j, row
    for i in range(n):
        distance[i] = x[i + k] - x[i]
    for j in range(1, k + 1):  # j of the k neighbours lie to the left
        for i in range(n):
            left = x[i] - x[i - j]
            right = x[i + k - j] - x[i]
            left = left if left > right else right
            distance[i] = left if left < distance[i] else distance[i]
    for i in range(n, BLOCK):
        distance[i] = 1.0
    for j in range(LANES):
        lane[j] = 0.0
    for row in range(BLOCK // LANES):
        for j in range(LANES):
            lane[j] += log_any(distance[row * LANES + j])
    for j in range(32):
        lane[j] += lane[j + 32]
    for j in range(16):
        lane[j] += lane[j + 16]
    for j in range(8):
        lane[j] += lane[j + 8]
    out[0] = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))
