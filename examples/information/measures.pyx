# distutils: language = c
# distutils: extra_compile_args = -O3
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""Entropy and the divergences of weights: blocks are summed in parallel, and merged in a fixed order.

A vector is cut into blocks, whatever the number of threads. Blocks' sums are merged pairwise,
neighbour with neighbour, so the result is the same to the bit for any number of threads.
"""

cimport numpy as cnp
from cython.parallel cimport prange
from libc.math cimport ldexp
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

from examples.information.blocks cimport (
    BLOCK, BOTH, CROSS, KL, LANES, MEAN, Kind, Mass, Pair,
    entropy_without_top, log_quotients, mass_block, mass_lanes, pair_block, pair_lanes, pair_value,
)
from examples.information.weights cimport (
    Weights, block, join_axes, offset, side_by_side, whole_lanes,
)
from examples.simd cimport DoubleBits, log_normal, log_quotient

import numpy as np

from examples.information.arguments import (
    as_weights, axes_of, delivered, last, refuse, thread_count, unit,
)

cnp.import_array()

cdef enum:
    BLOCKS = 16  # in a chunk, which is one thread's at a time
    CHUNK = 16384  # BLOCK * BLOCKS

cdef double LOG_2 = 0.6931471805599453

cdef object float64 = np.float64

ctypedef fused Sums:
    Mass
    Pair


def entropy(weights, *, axis=-1, base=None, out=None, threads=None):
    """Shannon's entropy, H = -sum p log p, of distributions given as weights.

    Args:
        weights: Weights or counts, shape (..., n); they need not add up to 1. float32 and float64
            are read where they lie, with any strides; what else is a real number is converted.
        axis: The axis, or axes, to sum over; None for all.
        base: The logarithm's base: None for nats, 2 for bits, 10 for hartleys.
        out: Where the results go, shape (...).
        threads: How many threads to use; None for all that are worth it. The result is the same
            to the bit for any number.

    Returns:
        Entropies, shape (...), a scalar for one distribution; float32 for float32 weights, which
        are summed up in float64. The error is at most 4 ulp, for weights from 1e-300 to 1e300.

    Raises:
        ValueError: A weight is negative, infinite or nan; all weights of a distribution are zero,
            or there are none; the axis, base, number of threads or out's shape is wrong.
        TypeError: The weights are no real numbers; or the axis or the number of threads is no
            integer.

    Reference:
        C. E. Shannon, "A Mathematical Theory of Communication", Bell System Technical Journal 27
        (1948), section 6.
    """
    cdef double factor = 1.0 if base is None else unit(base)
    cdef Weights w
    cdef double value
    if out is None and type(axis) is int and axis == -1 and is_plain(weights):
        n = cnp.PyArray_DIM(weights, 0)
        describe(weights, 0, &w)
        count = 1 if threads is None and n < 2 * CHUNK else thread_count(threads, n)
        if not entropies(&w, 1, n, count, &value):
            value *= factor
            return float64(value)
    array, left = last("weights", as_weights("weights", weights), axis)
    nats, bad = sum_masses(array, left, threads)
    if bad:
        refuse("weights", array, left)
    return delivered(nats, factor, array.dtype, out)


def kl_divergence(p, q, *, axis=-1, base=None, out=None, threads=None):
    """Kullback-Leibler divergence (relative entropy), D(p || q) = sum p log(p / q).

    It is the expectation under p of the discrimination information for p over q. It is not symmetric.

    Args:
        p: Weights of the one distribution, shape (..., n); they need not add up to 1.
        q: Weights of the other. Shapes are broadcast; along the axis they must be equal.
        axis: The axis, or axes, to sum over; None for all.
        base: The logarithm's base: None for nats, 2 for bits.
        out: Where the results go, shape (...).
        threads: How many threads to use, see `entropy`.

    Returns:
        Divergences, shape (...): zero where p and q are proportional, inf where q has a zero and p
        has not. Never negative.

    Raises:
        ValueError: As for `entropy`; or the shapes do not fit.
        TypeError: The weights are no real numbers.

    Reference:
        S. Kullback and R. A. Leibler, "On Information and Sufficiency", Annals of Mathematical
        Statistics 22 (1951), section 2.
    """
    return compare(KL, p, q, axis, base, out, threads)


def j_divergence(p, q, *, axis=-1, base=None, out=None, threads=None):
    """The symmetrised divergence, J = D(p || q) + D(q || p) = sum (p - q) log(p / q).

    Args, returns and raises are `kl_divergence`'s; inf where one has a zero and the other has not.

    Reference:
        H. Jeffreys, "An Invariant Form for the Prior Probability in Estimation Problems",
        Proceedings of the Royal Society A 186 (1946); Kullback and Leibler (1951), section 2.
    """
    return compare(BOTH, p, q, axis, base, out, threads)


def cross_entropy(p, q, *, axis=-1, base=None, out=None, threads=None):
    """Cross-entropy, -sum p log q = H(p) + D(p || q): the mean length of a code made for q.

    Args, returns and raises are `kl_divergence`'s; inf where q has a zero and p has not.
    """
    return compare(CROSS, p, q, axis, base, out, threads)


def discrimination_information(p2, p1, *, axis=-1, base=None, out=None, threads=None):
    """What each symbol tells for hypothesis 2 against hypothesis 1: log(p2 / p1).

    By Bayes' theorem it is what seeing the symbol adds to the log-odds of the hypotheses,
    log P(H2 | x) / P(H1 | x) - log P(H2) / P(H1); see `posterior_log_odds`. Its expectation under
    hypothesis 2 is `kl_divergence(p2, p1)`.

    Args:
        p2: Weights of the symbols under hypothesis 2, shape (..., n); they need not add up to 1.
        p1: The same under hypothesis 1. Shapes are broadcast; along the axis they must be equal.
        axis: The axis, or axes, along which a distribution lies; None for all.
        base: The logarithm's base: None for nats, 2 for bits.
        out: Where the results go, shape of p2 and p1 together.
        threads: How many threads add up the weights.

    Returns:
        One number for each symbol: inf where only hypothesis 2 allows it, -inf where only
        hypothesis 1 does, nan where neither does.

    Raises:
        ValueError: As for `kl_divergence`.
        TypeError: The weights are no real numbers.

    Reference:
        Kullback and Leibler (1951), section 2.
    """
    factor = unit(base)
    x, y, left = together(as_weights("p2", p2), as_weights("p1", p1), "p2", "p1", axis)
    quotients = each_quotient(x, y, left, factor, threads)
    quotients = np.moveaxis(quotients, range(left, x.ndim), axes_of(axis, x.ndim))
    return delivered(quotients, 1.0, np.result_type(x, y), out)


# Arrays ---------------------------------------------------------------------------------------


cdef bint is_plain(object array):
    """Whether it is one vector of float64 as it should lie."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_TYPE(array) == cnp.NPY_DOUBLE
        and cnp.PyArray_NDIM(array) == 1
        and cnp.PyArray_DIM(array, 0) > 0
        and cnp.PyArray_ISCARRAY_RO(array)
    )


cdef void describe(cnp.ndarray array, int left, Weights* out):
    cdef Py_ssize_t* shape = <Py_ssize_t*> cnp.PyArray_DIMS(array)
    cdef Py_ssize_t* strides = <Py_ssize_t*> cnp.PyArray_STRIDES(array)
    out.data = cnp.PyArray_BYTES(array)
    out.single = cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT
    join_axes(shape, strides, left, &out.rows)
    join_axes(shape + left, strides + left, cnp.PyArray_NDIM(array) - left, &out.row)


cdef object together(object p, object q, str p_name, str q_name, object axis):
    """Both arrays, broadcast to each other's shape, with the axes to sum over last."""
    if p.shape != q.shape:
        axes = range(-1, -1 - p.ndim, -1) if axis is None else axes_of(axis, p.ndim)
        try:
            if p.ndim == 0 or q.ndim == 0 or any(p.shape[i] != q.shape[i] for i in axes):
                raise ValueError
            p, q = np.broadcast_arrays(p, q)
        except (ValueError, IndexError):
            raise ValueError(
                f"{p_name} has shape {p.shape} and {q_name} {q.shape}, expected as many weights "
                f"in both along axis {axis}, and shapes that can be broadcast"
            ) from None
    p, left = last(p_name, p, axis)
    q, left = last(q_name, q, axis)
    return p, q, left


cdef object compare(Kind kind, object p, object q, object axis, object base, object out, object threads):
    cdef double factor = 1.0 if base is None else unit(base)
    cdef Weights w[2]
    cdef double value
    if (
        out is None and type(axis) is int and axis == -1 and is_plain(p) and is_plain(q)
        and cnp.PyArray_DIM(p, 0) == cnp.PyArray_DIM(q, 0)
    ):
        n = cnp.PyArray_DIM(p, 0)
        describe(p, 0, &w[0])
        describe(q, 0, &w[1])
        count = 1 if threads is None and n < 2 * CHUNK else thread_count(threads, n)
        if not divergences(kind, w, 2, 1, n, count, &value):
            value *= factor
            return float64(value)
    x, y, left = together(as_weights("p", p), as_weights("q", q), "p", "q", axis)
    nats, bad = sum_pairs(kind, (x, y), left, threads)
    if bad:
        refuse_either(x, y, "p", "q", left)
    return delivered(nats, factor, np.result_type(x, y), out)


cdef object refuse_either(object x, object y, str x_name, str y_name, int left):
    from examples.information.arguments import fault

    if fault(x_name, x, left):
        refuse(x_name, x, left)
    refuse(y_name, y, left)


cdef object sum_masses(object array, int left, object threads):
    """Entropies in nats, and whether any weights were bad."""
    shape = array.shape[:left]
    nats = np.empty(shape)
    cdef Weights w
    cdef Py_ssize_t m = nats.size, n
    if m == 0:
        return nats, False
    n = array.size // m
    describe(array, left, &w)
    bad = entropies(&w, m, n, thread_count(threads, m * n), <double*> cnp.PyArray_DATA(nats))
    return nats, bool(bad)


cdef object sum_pairs(Kind kind, tuple arrays, int left, object threads):
    """The measure in nats, and whether any weights were bad."""
    nats = np.empty(arrays[0].shape[:left])
    cdef Weights w[4]
    cdef Py_ssize_t m = nats.size, n
    cdef int i, count = len(arrays)
    if m == 0:
        return nats, False
    n = arrays[0].size // m
    for i in range(count):
        describe(arrays[i], left, &w[i])
    bad = divergences(
        kind, w, count, m, n, thread_count(threads, m * n), <double*> cnp.PyArray_DATA(nats)
    )
    return nats, bool(bad)


def dependence(weights, factors, left, *, mean=False, threads=None):
    """D(p || q) with q a product of marginal weights: of two, or of two over a third.

    Args:
        weights: p, axes that are summed over last.
        factors: One to three arrays, broadcast to p's shape; they vanish only where p does.
        left: The number of leading axes, which are not summed over.
        mean: Give sum p log(p / q) / sum p, without normalising q.
        threads: See `entropy`.

    Returns:
        Nats, shape of the leading axes; and whether any weights were bad.
    """
    return sum_pairs(MEAN if mean else KL, (weights, *factors), left, threads)


# Entropies ------------------------------------------------------------------------------------


cdef int entropies(
    const Weights* w, Py_ssize_t m, Py_ssize_t n, int threads, double* out
) except -1:
    """Entropies of m rows of n weights. Returns whether any weights were bad."""
    cdef Py_ssize_t tasks, chunks = (n + CHUNK - 1) // CHUNK, i
    cdef int bad = 0
    cdef Mass* parts
    if n < LANES:
        tasks = (m + LANES - 1) // LANES
        with nogil:
            if threads == 1:
                for i in range(tasks):
                    bad |= entropies_in_lanes(w, m, n, i, out)
            else:
                for i in prange(tasks, num_threads=threads, schedule="guided"):
                    bad |= entropies_in_lanes(w, m, n, i, out)
        return bad != 0
    if chunks == 1:
        with nogil:
            if threads == 1:
                for i in range(m):
                    bad |= entropy_of_row(w, n, i, out)
            else:
                for i in prange(m, num_threads=threads, schedule="guided"):
                    bad |= entropy_of_row(w, n, i, out)
        return bad != 0
    with nogil:
        parts = <Mass*> malloc(m * chunks * sizeof(Mass))
        if parts != NULL:
            if threads == 1:
                for i in range(m * chunks):
                    mass_of_chunk(w, i // chunks, i % chunks, n, -1.0, parts + i)
            else:
                for i in prange(m * chunks, num_threads=threads, schedule="dynamic"):
                    mass_of_chunk(w, i // chunks, i % chunks, n, -1.0, parts + i)
            for i in range(m):
                merge_all(KL, parts + i * chunks, chunks)
                bad |= mass_entropy(w, i, n, parts + i * chunks, out + i)
            free(parts)
    if parts == NULL:
        raise MemoryError()
    return bad != 0


cdef int entropies_in_lanes(
    const Weights* w, Py_ssize_t m, Py_ssize_t n, Py_ssize_t task, double* out
) noexcept nogil:
    cdef double buffer[BLOCK * 4]
    cdef double values[LANES]
    cdef bint bad
    cdef Py_ssize_t first = task * LANES, i
    cdef Py_ssize_t rows = m - first if m - first < LANES else LANES
    side_by_side(w, first, rows, n, buffer)
    mass_lanes(buffer, n, values, &bad)
    for i in range(rows):
        out[first + i] = values[i]
    return bad


cdef int entropy_of_row(const Weights* w, Py_ssize_t n, Py_ssize_t row, double* out) noexcept nogil:
    cdef Mass sums
    mass_of_chunk(w, row, 0, n, -1.0, &sums)
    return mass_entropy(w, row, n, &sums, out + row)


cdef void mass_of_chunk(
    const Weights* w, Py_ssize_t row, Py_ssize_t chunk, Py_ssize_t n, double without, Mass* out
) noexcept nogil:
    """Sum up a chunk, without the weights that are equal to the given one."""
    cdef double buffer[BLOCK]
    cdef Mass parts[BLOCKS]
    cdef const char* start = w.data + offset(&w.rows, row)
    cdef const double* x
    cdef Py_ssize_t first = chunk * CHUNK, count, i = 0, k
    cdef Py_ssize_t stop = first + CHUNK if first + CHUNK < n else n
    while first < stop:
        count = BLOCK if first + BLOCK < stop else stop - first
        x = block(w, start, first, count, buffer)
        if without > 0.0:
            for k in range(whole_lanes(count)):
                buffer[k] = 0.0 if x[k] == without else x[k]
            x = buffer
        mass_block(x, whole_lanes(count) // LANES, &parts[i])
        first += BLOCK
        i += 1
    merge_all(KL, parts, i)
    out[0] = parts[0]


cdef int mass_entropy(
    const Weights* w, Py_ssize_t row, Py_ssize_t n, const Mass* sums, double* out
) noexcept nogil:
    if sums.bad or not sums.sum > 0.0:
        return 1
    if 2.0 * sums.top > sums.sum:
        out[0] = dominated_entropy(w, row, n, sums)
    else:
        out[0] = log_normal(sums.sum) - sums.logs / sums.sum
    return 0


cdef double dominated_entropy(
    const Weights* w, Py_ssize_t row, Py_ssize_t n, const Mass* sums
) noexcept nogil:
    """One weight is more than all others, and would drown them: they are summed up without it."""
    cdef Mass levels[64]  # sums of 1, 2, 4, ... chunks, as the bits of their number are set
    cdef Mass part
    cdef Py_ssize_t chunk, bit, depth = 0
    cdef double top = ldexp(sums.top, <int> sums.exponent), apart, scale
    for chunk in range((n + CHUNK - 1) // CHUNK):
        mass_of_chunk(w, row, chunk, n, top, &part)
        bit = chunk
        while bit & 1:
            depth -= 1
            part = merged_mass(&levels[depth], &part)
            bit >>= 1
        levels[depth] = part
        depth += 1
    part = levels[depth - 1]
    while depth > 1:
        depth -= 1
        part = merged_mass(&levels[depth - 1], &part)
    apart = part.exponent - sums.exponent
    scale = ldexp(1.0, <int> apart)
    return entropy_without_top(
        sums.top, scale * part.sum, scale * (part.logs + apart * LOG_2 * part.sum)
    )


# Divergences ----------------------------------------------------------------------------------


cdef int divergences(
    Kind kind, const Weights* w, int arrays, Py_ssize_t m, Py_ssize_t n, int threads, double* out
) except -1:
    """The measure for m rows of n weights: w[0] against w[1], or the product w[1] w[2] / w[3].
    Returns whether any weights were bad.
    """
    cdef Py_ssize_t tasks, chunks = (n + CHUNK - 1) // CHUNK, i
    cdef int bad = 0
    cdef Pair* parts
    if n < LANES:
        tasks = (m + LANES - 1) // LANES
        with nogil:
            if threads == 1:
                for i in range(tasks):
                    bad |= divergences_in_lanes(kind, w, arrays, m, n, i, out)
            else:
                for i in prange(tasks, num_threads=threads, schedule="guided"):
                    bad |= divergences_in_lanes(kind, w, arrays, m, n, i, out)
        return bad != 0
    if chunks == 1:
        with nogil:
            if threads == 1:
                for i in range(m):
                    bad |= divergence_of_row(kind, w, arrays, n, i, out)
            else:
                for i in prange(m, num_threads=threads, schedule="guided"):
                    bad |= divergence_of_row(kind, w, arrays, n, i, out)
        return bad != 0
    with nogil:
        parts = <Pair*> malloc(m * chunks * sizeof(Pair))
        if parts != NULL:
            if threads == 1:
                for i in range(m * chunks):
                    pair_of_chunk(kind, w, arrays, i // chunks, i % chunks, n, parts + i)
            else:
                for i in prange(m * chunks, num_threads=threads, schedule="dynamic"):
                    pair_of_chunk(kind, w, arrays, i // chunks, i % chunks, n, parts + i)
            for i in range(m):
                merge_all(kind, parts + i * chunks, chunks)
                bad |= pair_divergence(kind, parts + i * chunks, out + i)
            free(parts)
    if parts == NULL:
        raise MemoryError()
    return bad != 0


cdef void load_second(
    const Weights* w, int arrays, Py_ssize_t row, Py_ssize_t first, Py_ssize_t count,
    double* out, double* other,
) noexcept nogil:
    """A block of the product that is compared with; a quotient with the third comes before it."""
    cdef Py_ssize_t i, padded = whole_lanes(count)
    cdef const double* factor = block(&w[1], w[1].data + offset(&w[1].rows, row), first, count, out)
    for i in range(padded):
        out[i] = factor[i]
    if arrays > 3:
        factor = block(&w[3], w[3].data + offset(&w[3].rows, row), first, count, other)
        divide(out, factor, padded)
    factor = block(&w[2], w[2].data + offset(&w[2].rows, row), first, count, other)
    for i in range(padded):
        out[i] *= factor[i]


cdef inline void divide(double* out, const double* by, Py_ssize_t n) noexcept nogil:
    """Divide; 0 / 0 is 0."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = out[i] / by[i] if by[i] > 0.0 else 0.0


cdef int divergences_in_lanes(
    Kind kind, const Weights* w, int arrays, Py_ssize_t m, Py_ssize_t n, Py_ssize_t task, double* out
) noexcept nogil:
    cdef double p[LANES * LANES]
    cdef double q[LANES * LANES]
    cdef double factor[LANES * LANES]
    cdef double values[LANES]
    cdef bint bad
    cdef Py_ssize_t first = task * LANES, i
    cdef Py_ssize_t rows = m - first if m - first < LANES else LANES
    side_by_side(&w[0], first, rows, n, p)
    side_by_side(&w[1], first, rows, n, q)
    if arrays > 3:
        side_by_side(&w[3], first, rows, n, factor)
        divide(q, factor, n * LANES)
    if arrays > 2:
        side_by_side(&w[2], first, rows, n, factor)
        for i in range(n * LANES):
            q[i] *= factor[i]
    pair_lanes(kind, p, q, n, arrays > 2, values, &bad)
    for i in range(rows):
        out[first + i] = values[i]
    return bad


cdef int divergence_of_row(
    Kind kind, const Weights* w, int arrays, Py_ssize_t n, Py_ssize_t row, double* out
) noexcept nogil:
    cdef Pair sums
    pair_of_chunk(kind, w, arrays, row, 0, n, &sums)
    return pair_divergence(kind, &sums, out + row)


cdef void pair_of_chunk(
    Kind kind, const Weights* w, int arrays,
    Py_ssize_t row, Py_ssize_t chunk, Py_ssize_t n, Pair* out,
) noexcept nogil:
    cdef double buffer[BLOCK]
    cdef double second[BLOCK]
    cdef double third[BLOCK]
    cdef Pair parts[BLOCKS]
    cdef const double* p
    cdef const double* q
    cdef const char* p_start = w[0].data + offset(&w[0].rows, row)
    cdef const char* q_start = w[1].data + offset(&w[1].rows, row)
    cdef Py_ssize_t first = chunk * CHUNK, count, i = 0
    cdef Py_ssize_t stop = first + CHUNK if first + CHUNK < n else n
    while first < stop:
        count = BLOCK if first + BLOCK < stop else stop - first
        p = block(&w[0], p_start, first, count, buffer)
        if arrays > 2:
            load_second(w, arrays, row, first, count, second, third)
            q = second
        else:
            q = block(&w[1], q_start, first, count, second)
        pair_block(kind, p, q, whole_lanes(count) // LANES, arrays > 2, &parts[i])
        first += BLOCK
        i += 1
    merge_all(kind, parts, i)
    out[0] = parts[0]


cdef int pair_divergence(Kind kind, const Pair* sums, double* out) noexcept nogil:
    if sums.bad or not (sums.p > 0.0 and sums.q > 0.0):
        return 1
    out[0] = pair_value(kind, sums)
    return 0


cdef object each_quotient(object x, object y, int left, double factor, object threads):
    """log(p / q) for each symbol, both normalised, times factor."""
    quotients = np.empty(x.shape)
    cdef Py_ssize_t size = quotients.size, m = 1, n, chunks, i
    cdef Weights w[2]
    cdef Pair* parts
    cdef double* out = <double*> cnp.PyArray_DATA(quotients)
    cdef int count, bad = 0
    if size == 0:
        return quotients
    for length in x.shape[:left]:
        m *= length
    n = size // m
    chunks = (n + CHUNK - 1) // CHUNK
    count = thread_count(threads, size)
    describe(x, left, &w[0])
    describe(y, left, &w[1])
    with nogil:
        parts = <Pair*> malloc(m * chunks * sizeof(Pair))
        if parts != NULL:
            for i in prange(m * chunks, num_threads=count, schedule="dynamic"):
                pair_of_chunk(KL, w, 2, i // chunks, i % chunks, n, parts + i)
            for i in range(m):
                merge_all(KL, parts + i * chunks, chunks)
                parts[i] = parts[i * chunks]
                bad |= parts[i].bad or not (parts[i].p > 0.0 and parts[i].q > 0.0)
            for i in prange(m * chunks, num_threads=count, schedule="dynamic"):
                quotients_of_chunk(w, i // chunks, i % chunks, n, parts + i // chunks, factor, out)
            free(parts)
    if parts == NULL:
        raise MemoryError()
    if bad:
        refuse_either(x, y, "p2", "p1", left)
    return quotients


cdef void quotients_of_chunk(
    const Weights* w, Py_ssize_t row, Py_ssize_t chunk, Py_ssize_t n, const Pair* sums,
    double factor, double* out,
) noexcept nogil:
    cdef double buffer[BLOCK]
    cdef double second[BLOCK]
    cdef const char* p_start = w[0].data + offset(&w[0].rows, row)
    cdef const char* q_start = w[1].data + offset(&w[1].rows, row)
    cdef Py_ssize_t first = chunk * CHUNK, count
    cdef Py_ssize_t stop = first + CHUNK if first + CHUNK < n else n
    cdef DoubleBits p, q
    p.real = sums.p
    q.real = sums.q
    # log(P / Q) in two parts: a whole number of log 2, and the rest.
    cdef double rest = log_quotient(
        p.bits, q.bits, sums.shift - sums.p_exponent + sums.q_exponent
    )
    while first < stop:
        count = BLOCK if first + BLOCK < stop else stop - first
        log_quotients(
            block(&w[0], p_start, first, count, buffer), block(&w[1], q_start, first, count, second),
            count, sums.shift, rest, factor, out + row * n + first,
        )
        first += BLOCK


# Merging --------------------------------------------------------------------------------------


cdef void merge_all(Kind kind, Sums* parts, Py_ssize_t count) noexcept nogil:
    """Merge neighbours, and neighbours of those, into the first."""
    cdef Py_ssize_t i
    while count > 1:
        for i in range(count // 2):
            parts[i] = merged(kind, parts + 2 * i, parts + 2 * i + 1)
        if count % 2:
            parts[count // 2] = parts[count - 1]
        count = (count + 1) // 2


cdef Sums merged(Kind kind, const Sums* a, const Sums* b) noexcept nogil:
    if Sums is Mass:
        return merged_mass(a, b)
    else:
        return merged_pair(kind, a, b)


cdef Mass merged_mass(const Mass* a, const Mass* b) noexcept nogil:
    cdef Mass out
    out.exponent = larger(a.exponent, b.exponent)
    cdef double left = a.exponent - out.exponent, right = b.exponent - out.exponent
    cdef double scale_left = ldexp(1.0, <int> left), scale_right = ldexp(1.0, <int> right)
    out.sum = scale_left * a.sum + scale_right * b.sum
    out.logs = (
        scale_left * (a.logs + left * LOG_2 * a.sum)
        + scale_right * (b.logs + right * LOG_2 * b.sum)
    )
    out.top = larger(scale_left * a.top, scale_right * b.top)
    out.bad = a.bad | b.bad
    return out


cdef Pair merged_pair(Kind kind, const Pair* a, const Pair* b) noexcept nogil:
    cdef Pair out
    out.p_exponent = larger(a.p_exponent, b.p_exponent)
    out.q_exponent = larger(a.q_exponent, b.q_exponent)
    cdef double p_left = ldexp(1.0, <int> (a.p_exponent - out.p_exponent))
    cdef double p_right = ldexp(1.0, <int> (b.p_exponent - out.p_exponent))
    cdef double q_left = ldexp(1.0, <int> (a.q_exponent - out.q_exponent))
    cdef double q_right = ldexp(1.0, <int> (b.q_exponent - out.q_exponent))
    out.p = p_left * a.p + p_right * b.p
    out.q = q_left * a.q + q_right * b.q
    if kind == MEAN:
        out.shift = 0.0
    elif kind == CROSS:
        out.shift = out.q_exponent
    else:
        out.shift = nearest_power(out.p, out.q) + out.p_exponent - out.q_exponent
    cdef double left = (a.shift - out.shift) * LOG_2, right = (b.shift - out.shift) * LOG_2
    out.logs = p_left * (a.logs + left * a.p) + p_right * (b.logs + right * b.p)
    out.back = q_left * (a.back + left * a.q) + q_right * (b.back + right * b.q)
    out.infinite = a.infinite + b.infinite
    out.bad = a.bad | b.bad
    return out


cdef inline double larger(double a, double b) noexcept nogil:
    return a if a > b else b


cdef inline double nearest_power(double x, double y) noexcept nogil:
    """About log2(x / y), a whole number."""
    cdef DoubleBits above, below
    above.real = x
    below.real = y
    return <double> <int64_t> (
        (<uint64_t> above.bits - <uint64_t> below.bits + 0x8008000000000000ULL) >> 52
    ) - 2048.0
