# distutils: language = c
# distutils: extra_compile_args = -O3
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""Counting labels, and pairs of labels, in one pass over them.

The table's sides are powers of two, so an index is a shift and an or, and one or over all labels of
a block tells whether any is outside. Each thread counts in a table of its own; counts are whole
numbers, so their sum does not depend on the threads.
"""

cimport numpy as cnp
from cython.parallel cimport prange
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from examples.simd cimport prefetch, vector_clones

import numpy as np

cnp.import_array()

cdef enum:
    BLOCK = 2048
    SMALL = 4096  # tables up to so many cells are kept in COPIES copies
    COPIES = 4
    SEGMENT = 1 << 30  # so many labels a thread's 32-bit counts can take

ctypedef fused Number:
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    float
    double

cdef struct Column:
    const char* data
    Py_ssize_t stride
    int type
    int64_t low  # the label of the first row
    int bits  # there are 2**bits rows
    const double* edges  # of bins, for samples
    Py_ssize_t bins


def tally(list arrays, list lows, list bits, list edges, int threads):
    """Count labels, pairs of labels, or the bins that samples fall into.

    Args:
        arrays: One array of n labels or samples, or two.
        lows: For each, the least label that the table has a place for.
        bits: For each, the logarithm to base 2 of how many labels it has a place for.
        edges: For each, the bins' edges, float64, where it has samples; they lie inside.
        threads: How many threads count.

    Returns:
        Counts, int64, shape (2**bits,) for each; or None if a label has no place in the table.
    """
    cdef Column columns[2]
    cdef cnp.ndarray array
    cdef int k, count = len(arrays)
    for k in range(count):
        array = arrays[k]
        columns[k].data = cnp.PyArray_BYTES(array)
        columns[k].stride = cnp.PyArray_STRIDE(array, 0)
        columns[k].type = cnp.PyArray_TYPE(array)
        columns[k].low = lows[k]
        columns[k].bits = bits[k]
        columns[k].edges = NULL
        if edges[k] is not None:
            columns[k].edges = <const double*> cnp.PyArray_DATA(edges[k])
            columns[k].bins = edges[k].size - 1
    cdef Py_ssize_t n = cnp.PyArray_DIM(arrays[0], 0)
    cdef Py_ssize_t cells = (<Py_ssize_t> 1) << sum(bits)
    cdef Py_ssize_t size = cells * (COPIES if cells <= SMALL else 1)
    counts = np.zeros(cells, np.int64)
    cdef int64_t* total = <int64_t*> cnp.PyArray_DATA(counts)
    cdef Py_ssize_t start, stop, i, j
    cdef int outside = 0
    cdef uint32_t* tables
    with nogil:
        tables = <uint32_t*> calloc(threads * size, sizeof(uint32_t))
        start = 0
        while tables != NULL and start < n and not outside:
            stop = n if n - start < SEGMENT else start + SEGMENT
            if threads == 1:
                outside |= count_labels(columns, count, start, stop, tables, cells, size)
            else:
                for i in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                    outside |= count_labels(
                        columns, count, start + (stop - start) * i // threads,
                        start + (stop - start) * (i + 1) // threads,
                        tables + i * size, cells, size,
                    )
            for i in range(threads * size // cells):
                for j in range(cells):
                    total[j] += tables[i * cells + j]
            memset(tables, 0, threads * size * sizeof(uint32_t))
            start = stop
        free(tables)
    if tables == NULL:
        raise MemoryError()
    return None if outside else counts.reshape([1 << b for b in bits])


cdef int count_labels(
    const Column* columns, int count, Py_ssize_t start, Py_ssize_t stop,
    uint32_t* table, Py_ssize_t cells, Py_ssize_t size,
) noexcept nogil:
    """Count labels start to stop; 1 if a label is outside."""
    cdef int64_t x_buffer[BLOCK]
    cdef int64_t y_buffer[BLOCK]
    cdef int32_t index[BLOCK]
    cdef const int64_t* x
    cdef const int64_t* y
    cdef Py_ssize_t length, i
    cdef uint64_t outside
    while start < stop:
        length = BLOCK if stop - start > BLOCK else stop - start
        x = labels(&columns[0], start, length, x_buffer)
        if count == 2:
            y = labels(&columns[1], start, length, y_buffer)
            pair_cells(
                x, columns[0].low, columns[0].bits, y, columns[1].low, columns[1].bits,
                length, index, &outside,
            )
        else:
            single_cells(x, columns[0].low, columns[0].bits, length, index, &outside)
        if outside:
            return 1
        if size == cells:
            for i in range(length):
                table[index[i]] += 1
        else:  # a count is not waited for where the same label comes again at once
            for i in range(length):
                table[(i % COPIES) * cells + index[i]] += 1
        start += length
    return 0


cdef vector_clones pair_cells(
    const int64_t* x, int64_t x_low, int x_bits, const int64_t* y, int64_t y_low, int y_bits,
    Py_ssize_t n, int32_t* index, uint64_t* outside,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t u, v, beyond = 0
    for i in range(n):
        u = <uint64_t> x[i] - <uint64_t> x_low
        v = <uint64_t> y[i] - <uint64_t> y_low
        beyond |= (u >> x_bits) | (v >> y_bits)
        index[i] = <int32_t> ((u << y_bits) | v)
    outside[0] = beyond


cdef vector_clones single_cells(
    const int64_t* x, int64_t low, int bits, Py_ssize_t n, int32_t* index, uint64_t* outside
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t u, beyond = 0
    for i in range(n):
        u = <uint64_t> x[i] - <uint64_t> low
        beyond |= u >> bits
        index[i] = <int32_t> u
    outside[0] = beyond


# Labels, of any integer type, and samples' bins ------------------------------------------------


cdef const int64_t* labels(
    const Column* column, Py_ssize_t start, Py_ssize_t n, int64_t* buffer
) noexcept nogil:
    cdef const char* data = column.data + start * column.stride
    cdef Py_ssize_t i
    if column.stride == sizeof(int64_t) and column.type in (cnp.NPY_INT64, cnp.NPY_UINT64):
        for i in range(0, n, 8):
            prefetch(<const int64_t*> data + BLOCK + i)
        return <const int64_t*> data
    if column.type == cnp.NPY_INT8:
        convert[int8_t](column, data, n, buffer)
    elif column.type == cnp.NPY_INT16:
        convert[int16_t](column, data, n, buffer)
    elif column.type == cnp.NPY_INT32:
        convert[int32_t](column, data, n, buffer)
    elif column.type == cnp.NPY_INT64:
        convert[int64_t](column, data, n, buffer)
    elif column.type == cnp.NPY_UINT8:
        convert[uint8_t](column, data, n, buffer)
    elif column.type == cnp.NPY_UINT16:
        convert[uint16_t](column, data, n, buffer)
    elif column.type == cnp.NPY_UINT32:
        convert[uint32_t](column, data, n, buffer)
    elif column.type == cnp.NPY_UINT64:
        convert[uint64_t](column, data, n, buffer)
    elif column.type == cnp.NPY_FLOAT32:
        convert[float](column, data, n, buffer)
    else:
        convert[double](column, data, n, buffer)
    return buffer


cdef void convert(
    const Column* column, const char* data, Py_ssize_t n, int64_t* out, Number* kind=NULL
) noexcept nogil:
    cdef Py_ssize_t i, bin
    cdef Number value
    cdef double width
    if Number is float or Number is double:
        width = (column.edges[column.bins] - column.edges[0]) / column.bins
        for i in range(n):
            value = (<const Number*> (data + i * column.stride))[0]
            # The quotient may be off by one bin; the edges decide. The last bin has its right edge.
            bin = <Py_ssize_t> ((value - column.edges[0]) / width)
            bin = bin if bin < column.bins else column.bins - 1
            bin -= bin > 0 and value < column.edges[bin]
            bin += bin < column.bins - 1 and value >= column.edges[bin + 1]
            out[i] = bin
    else:
        for i in range(n):
            out[i] = <int64_t> (<const Number*> (data + i * column.stride))[0]
