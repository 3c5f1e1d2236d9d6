# distutils: language = c
# distutils: extra_compile_args = -O3 -ffp-contract=off -fno-trapping-math
# cython: language_level = 3, boundscheck = False, wraparound = False, cdivision = True
# cython: initializedcheck = False, freethreading_compatible = True
"""softmax((logits + G) / temperature) by rows, and its vector-Jacobian product.

Everything is computed in float64. Sums have eight accumulators, whatever the processor's vectors
hold, so that each processor and any number of threads give the same bits.
"""

from cython.parallel cimport prange
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from examples.gumbel._stream cimport Key, expanded, fill_range
from examples.simd cimport vector_clones

ctypedef fused floating:
    float
    double

cdef enum:
    LANES = 8
    PART = 4096             # elements that one thread takes at a time, if rows are shorter
    OK = -1
    OUT_OF_MEMORY = -2


cdef inline double exp_negative(double x) noexcept nogil:
    """exp x for x <= 0, within 1 ulp; 0 below -708, where numbers begin to be subnormal.

    exp x = 2**n exp r with n = round(x / log 2) and |r| <= log(2) / 2; of exp r the Taylor series
    up to r**13, whose rest is below 2**-57.
    """
    cdef double kept = x if x > -708.0 else -708.0
    cdef double shifted = kept * 1.4426950408889634 + 6755399441055744.0    # 1.5 * 2**52: rounds
    cdef double n = shifted - 6755399441055744.0
    cdef double r = (kept - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    cdef double r2 = r * r
    cdef double r4 = r2 * r2
    cdef double low = (0.5 + r * 0.16666666666666666) + r2 * (
        0.041666666666666664 + r * 0.008333333333333333)
    cdef double middle = (0.001388888888888889 + r * 0.0001984126984126984) + r2 * (
        2.48015873015873e-05 + r * 2.7557319223985893e-06)
    cdef double high = (2.755731922398589e-07 + r * 2.505210838544172e-08) + r2 * (
        2.08767569878681e-09 + r * 1.6059043836821613e-10)
    cdef double value = 1.0 + (r + r2 * (low + r4 * (middle + r4 * high)))
    cdef uint64_t bits
    memcpy(&bits, &shifted, sizeof(bits))
    bits = (bits + 1023) << 52
    memcpy(&n, &bits, sizeof(n))
    return value * n if x > -708.0 else 0.0


cdef inline double largest(const double* lanes) noexcept nogil:
    cdef double top = lanes[0]
    cdef int i
    for i in range(1, LANES):
        top = lanes[i] if lanes[i] > top else top
    return top


cdef inline double total(const double* lanes) noexcept nogil:
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + (
        (lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))


cdef vector_clones relax_row(double* z, const floating* logits, floating* out, Py_ssize_t n,
                             double temperature, bint* valid) noexcept nogil:
    """z holds G, and may be where out is; it is overwritten."""
    cdef double lanes[LANES]
    cdef double high, scale
    cdef int64_t invalid = 0
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t block, i
    cdef int j
    for j in range(LANES):
        lanes[j] = -INFINITY
    for i in range(n):
        invalid += not logits[i] < <floating>INFINITY
    for block in range(blocks):
        for j in range(LANES):
            high = <double>logits[LANES * block + j]
            lanes[j] = high if high > lanes[j] else lanes[j]
    for i in range(LANES * blocks, n):
        lanes[0] = <double>logits[i] if logits[i] > lanes[0] else lanes[0]
    high = largest(lanes)
    valid[0] = invalid == 0 and high > -INFINITY
    if not valid[0]:
        return
    # The largest logit first, then G: of logits near 1e300, G would be lost in the sum.
    for j in range(LANES):
        lanes[j] = -INFINITY
    for i in range(n):
        z[i] += <double>logits[i] - high
    for block in range(blocks):
        for j in range(LANES):
            high = z[LANES * block + j]
            lanes[j] = high if high > lanes[j] else lanes[j]
    for i in range(LANES * blocks, n):
        lanes[0] = z[i] if z[i] > lanes[0] else lanes[0]
    high = largest(lanes)
    for i in range(n):
        z[i] = exp_negative((z[i] - high) / temperature)
    for j in range(LANES):
        lanes[j] = 0.0
    for block in range(blocks):
        for j in range(LANES):
            lanes[j] += z[LANES * block + j]
    for i in range(LANES * blocks, n):
        lanes[0] += z[i]
    scale = 1.0 / total(lanes)
    for i in range(n):
        out[i] = <floating>(z[i] * scale)


cdef vector_clones pull_row(const floating* y, const floating* cotangent, floating* out,
                            Py_ssize_t n, double temperature) noexcept nogil:
    cdef double lanes[LANES]
    cdef double mean
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t block, i
    cdef int j
    for j in range(LANES):
        lanes[j] = 0.0
    for block in range(blocks):
        for j in range(LANES):
            i = LANES * block + j
            lanes[j] += <double>y[i] * <double>cotangent[i]
    for i in range(LANES * blocks, n):
        lanes[0] += <double>y[i] * <double>cotangent[i]
    mean = total(lanes)
    for i in range(n):
        out[i] = <floating>(<double>y[i] * (<double>cotangent[i] - mean) / temperature)


cdef Py_ssize_t relax_rows(const floating[:, :] logits, floating[:, ::1] out, Py_ssize_t row,
                           Py_ssize_t end_row, double temperature, uint64_t first,
                           const Key* key) noexcept nogil:
    """OK, OUT_OF_MEMORY or the first row that is invalid."""
    cdef Py_ssize_t n = logits.shape[1]
    cdef Py_ssize_t begin = row
    cdef Py_ssize_t count = (end_row - row) * n
    cdef double* z
    cdef bint valid = True
    if floating is double:
        z = &out[row, 0]
    else:
        z = <double*>malloc(count * sizeof(double))
        if z == NULL:
            return OUT_OF_MEMORY
    fill_range(z, first + <uint64_t>(row * n), count, key)
    while row < end_row and valid:
        relax_row(z + (row - begin) * n, &logits[row % logits.shape[0], 0], &out[row, 0], n,
                  temperature, &valid)
        row += 1
    if floating is float:
        free(z)
    return OK if valid else row - 1


def relax(const floating[:, :] logits, double temperature, uint64_t first,
          const uint64_t[::1] words, floating[:, ::1] out, int threads):
    """Fill out with softmax((logits + G) / temperature).

    Args:
        logits: Shape (m, n), rows contiguous.
        temperature: Positive and finite.
        first: Index in the stream of the first row's first category.
        words: The stream's key, shape (4,).
        out: Shape (draws * m, n); row r is of distribution r % m.
        threads: How many threads to use.

    Returns:
        -1, or the first row with nan or inf in it or nothing but -inf.

    Raises:
        MemoryError: There is no memory for a row in float64.
    """
    cdef Key key = expanded(words)
    cdef Py_ssize_t rows = out.shape[0]
    cdef Py_ssize_t rows_each = max(<Py_ssize_t>1, PART // logits.shape[1])
    cdef Py_ssize_t parts = (rows + rows_each - 1) // rows_each
    cdef Py_ssize_t problem = rows
    cdef Py_ssize_t part
    cdef Py_ssize_t* problems = <Py_ssize_t*>malloc(parts * sizeof(Py_ssize_t))
    if problems == NULL:
        raise MemoryError(f"no memory for {parts} parts")
    for part in prange(parts, nogil=True, num_threads=threads, schedule="dynamic"):
        problems[part] = relax_rows(logits, out, part * rows_each, min(rows, (part + 1) * rows_each),
                                    temperature, first, &key)
    for part in range(parts):
        if problems[part] != OK:
            problem = problems[part]
            break
    free(problems)
    if problem == OUT_OF_MEMORY:
        raise MemoryError(f"no memory for a row of {logits.shape[1]} categories in float64")
    return -1 if problem == rows else problem


def pull_back(const floating[:, ::1] y, const floating[:, ::1] cotangent, double temperature,
              floating[:, ::1] out, int threads):
    """Fill out with y * (cotangent - sum(y * cotangent)) / temperature by rows, all shape (m, n)."""
    cdef Py_ssize_t row
    for row in prange(y.shape[0], nogil=True, num_threads=threads, schedule="static"):
        pull_row(&y[row, 0], &cotangent[row, 0], &out[row, 0], y.shape[1], temperature)
