# distutils: language = c
# distutils: extra_compile_args = -O3
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""Huffman's algorithm on sorted weights, with two queues: linear in the number of symbols."""

cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

cnp.import_array()


def sorted_lengths(ascending, Py_ssize_t arity):
    """Lengths of an optimal prefix code's words.

    Args:
        ascending: Weights, float64, shape (n,), contiguous, in ascending order, not negative,
            whose sum is finite. One of 0 has a word like any other.
        arity: How many digits there are.

    Returns:
        How many digits each symbol's word has, int64, shape (n,).
    """
    cdef Py_ssize_t n = ascending.size
    # Each merger takes arity nodes for one, so empty leaves come first until it comes out even.
    cdef Py_ssize_t empty = -(n - 1) % (arity - 1)
    if empty < 0:
        empty += arity - 1
    cdef Py_ssize_t leaves = empty + n, mergers = (leaves - 1) // (arity - 1)
    weights = np.zeros(leaves + mergers)
    weights[empty:leaves] = ascending
    depths = np.zeros(leaves + mergers, np.int64)
    cdef double* weight = <double*> cnp.PyArray_DATA(weights)
    cdef int64_t* parent = <int64_t*> cnp.PyArray_DATA(depths)
    with nogil:
        join(weight, parent, leaves, mergers, arity)
        measure(parent, leaves + mergers)
    return depths[empty:leaves]


cdef void join(
    double* weight, int64_t* parent, Py_ssize_t leaves, Py_ssize_t mergers, Py_ssize_t arity
) noexcept nogil:
    """Merge the lightest nodes into the next one. Leaves come in ascending order, and so do merged
    nodes: the lightest is first in one of two queues.
    """
    cdef Py_ssize_t leaf = 0, merged = leaves, new, i, lightest
    cdef double total
    for new in range(leaves, leaves + mergers):
        total = 0.0
        for i in range(arity):
            if leaf < leaves and (merged == new or weight[leaf] <= weight[merged]):
                lightest = leaf
                leaf += 1
            else:
                lightest = merged
                merged += 1
            total += weight[lightest]
            parent[lightest] = new
        weight[new] = total


cdef void measure(int64_t* parent, Py_ssize_t nodes) noexcept nogil:
    """Put each node's depth where its parent stood; parents come after their children."""
    cdef Py_ssize_t i = nodes - 1
    parent[i] = 0
    while i > 0:
        i -= 1
        parent[i] = parent[parent[i]] + 1
