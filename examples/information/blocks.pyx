# distutils: language = c
# distutils: extra_compile_args = -O3 -fno-trapping-math
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""Sums over blocks of weights, vectorized; see blocks.pxd.

Weights are scaled by powers of two, which is exact: a block's largest becomes 1 at most. So neither
w log w nor the sums can overflow, and all terms w log w have the same sign.
"""

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint64_t

from examples.simd cimport (
    DoubleBits, inlined_always, log_1_plus, log_normal, log_quotient, log_scaled, prefetch, vector_clones,
)



cdef enum:
    GROUP = 8  # so many rows are added up before that is added to the rest


# What lanes are made of -----------------------------------------------------------------------


cdef inline inlined_always fill(double* lane, double value) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LANES):
        lane[j] = value


cdef inline double folded_sum(double* lane) noexcept nogil:
    """The lanes' sum, added pairwise in this order on every machine."""
    cdef Py_ssize_t j
    for j in range(32):
        lane[j] += lane[j + 32]
    for j in range(16):
        lane[j] += lane[j + 16]
    for j in range(8):
        lane[j] += lane[j + 8]
    for j in range(4):
        lane[j] += lane[j + 4]
    return (lane[0] + lane[2]) + (lane[1] + lane[3])


cdef inline double folded_high(double* lane) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(32):
        lane[j] = lane[j + 32] if lane[j + 32] > lane[j] else lane[j]
    for j in range(16):
        lane[j] = lane[j + 16] if lane[j + 16] > lane[j] else lane[j]
    for j in range(8):
        lane[j] = lane[j + 8] if lane[j + 8] > lane[j] else lane[j]
    cdef double high = lane[0]
    for j in range(1, 8):
        high = lane[j] if lane[j] > high else high
    return high


cdef inline inlined_always add(double* lane, const double* other) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LANES):
        lane[j] += other[j]


cdef inline inlined_always negate(double* lane) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LANES):
        lane[j] = -lane[j]


cdef inline double folded_low(double* lane) noexcept nogil:
    negate(lane)
    return -folded_high(lane)


cdef inline inlined_always extremes(
    const double* x, Py_ssize_t rows, double* low, double* high, double* total
) noexcept nogil:
    """Each lane's least and largest number, nan passed over, and its plain sum."""
    cdef Py_ssize_t i, j
    cdef double v
    for i in range(rows):
        for j in range(LANES):
            v = x[i * LANES + j]
            low[j] = v if v < low[j] else low[j]
            high[j] = v if v > high[j] else high[j]
            total[j] += v


cdef inline inlined_always fetch_row(const double* row) noexcept nogil:
    """Have a row of the next block brought from memory while this one is computed."""
    cdef Py_ssize_t line
    for line in range(LANES // 8):
        prefetch(row + 8 * line)


cdef inline inlined_always scales(const double* high, double* scale, double* exponent) noexcept nogil:
    """2**-exponent and exponent = ceil(log2(high)); at most 1022, so that the scale is normal."""
    cdef Py_ssize_t j
    cdef DoubleBits top, number
    cdef uint64_t biased
    for j in range(LANES):
        top.real = high[j] if high[j] < 4.49423283715579e307 else 4.49423283715579e307
        biased = <uint64_t>(top.bits + 0x000FFFFFFFFFFFFFLL) >> 52
        number.bits = <int64_t>((<uint64_t>2046 - biased) << 52)
        scale[j] = number.real
        number.bits = <int64_t>(biased | 0x4338000000000000ULL)
        exponent[j] = number.real - (6755399441055744.0 + 1023.0)


# Entropy: sums of w and w log w ---------------------------------------------------------------


cdef inline inlined_always mass_terms(
    const double* x, Py_ssize_t rows, const double* scale, double* sums, double* logs
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef double w
    for i in range(rows):
        fetch_row(x + BLOCK + i * LANES)
        for j in range(LANES):
            w = x[i * LANES + j] * scale[j]
            sums[j] += w
            logs[j] += w * log_normal(w)  # a weight of 0 gives 0 times a finite number


cdef void mass_block(const double* x, Py_ssize_t rows, Mass* out) noexcept nogil:
    mass_block_clones(x, rows, out)


cdef vector_clones mass_block_clones(const double* x, Py_ssize_t rows, Mass* out) noexcept nogil:
    cdef double low[LANES]
    cdef double high[LANES]
    cdef double sums[LANES]
    cdef double logs[LANES]
    cdef double scale[LANES]
    cdef double exponent[LANES]
    fill(low, 0.0)
    fill(high, 0.0)
    fill(sums, 0.0)
    extremes(x, rows, low, high, sums)
    cdef double top = folded_high(high)
    cdef double bottom = folded_low(low)
    fill(high, top)
    scales(high, scale, exponent)
    fill(sums, 0.0)
    fill(logs, 0.0)
    mass_terms(x, rows, scale, sums, logs)
    out.top = top * scale[0]
    out.exponent = exponent[0]
    out.sum = folded_sum(sums)
    out.logs = folded_sum(logs)
    out.bad = not ((bottom >= 0.0) & (top < INFINITY) & (out.sum == out.sum))


cdef void mass_lanes(const double* x, Py_ssize_t rows, double* entropy, bint* bad) noexcept nogil:
    mass_lanes_clones(x, rows, entropy, bad)


cdef vector_clones mass_lanes_clones(
    const double* x, Py_ssize_t rows, double* entropy, bint* bad
) noexcept nogil:
    cdef double low[LANES]
    cdef double high[LANES]
    cdef double sums[LANES]
    cdef double logs[LANES]
    cdef double tops[LANES]
    cdef double scale[LANES]
    cdef double exponent[LANES]
    cdef double some[LANES]
    cdef double some_logs[LANES]
    cdef double wrong[LANES]
    cdef double top, rest, rest_logs
    cdef Py_ssize_t group, i, j
    fill(low, 0.0)
    fill(high, 0.0)
    fill(sums, 0.0)
    extremes(x, rows, low, high, sums)
    scales(high, scale, exponent)
    fill(sums, 0.0)
    fill(logs, 0.0)
    fill(tops, 0.0)
    for group in range((rows + GROUP - 1) // GROUP):
        i = group * GROUP
        fill(some, 0.0)
        fill(some_logs, 0.0)
        terms_but_tops(
            x + i * LANES, GROUP if i + GROUP < rows else rows - i, high, scale,
            some, some_logs, tops,
        )
        add(sums, some)
        add(logs, some_logs)
    for j in range(LANES):
        top = high[j] * scale[j]
        rest = sums[j] + (tops[j] - 1.0) * top
        rest_logs = logs[j] + (tops[j] - 1.0) * (top * log_normal(top))
        entropy[j] = entropy_of_parts(top, rest, rest_logs)
        top = 0.0 if low[j] >= 0.0 else 1.0
        top = top if high[j] < INFINITY else 1.0
        top = top if high[j] > 0.0 else 1.0
        wrong[j] = top if sums[j] == sums[j] else 1.0
    bad[0] = folded_high(wrong) > 0.0


cdef inline inlined_always terms_but_tops(
    const double* x, Py_ssize_t rows, const double* high, const double* scale,
    double* sums, double* logs, double* tops,
) noexcept nogil:
    """As mass_terms, but weights that are the lane's largest are only counted."""
    cdef Py_ssize_t i, j
    cdef double w, v
    for i in range(rows):
        for j in range(LANES):
            v = x[i * LANES + j]
            w = v * scale[j]
            w = 0.0 if v == high[j] else w
            sums[j] += w
            logs[j] += w * log_normal(w)
            tops[j] += 1.0 if v == high[j] else 0.0


cdef inline double entropy_of_parts(double top, double rest, double rest_logs) noexcept nogil:
    """H = log S - (1/S) sum w log w with S = top + rest, rearranged: as top's own share may be all
    but the whole of S, and cancel with log S, the two are taken together.
    """
    cdef double total = top + rest
    cdef double value = (
        top * log_1_plus(rest / top) + (rest * log_normal(total) - rest_logs)
    ) / total
    return value if value > 0.0 else 0.0


cdef double entropy_without_top(double top, double rest, double rest_logs) noexcept nogil:
    return entropy_of_parts(top, rest, rest_logs)


# Two distributions: sums of p log(p / q), q log(p / q), p log q --------------------------------


cdef inline inlined_always shifts(const double* p, const double* q, double* shift) noexcept nogil:
    """log2(p / q), rounded: what is taken off each logarithm lest much cancels at the end."""
    cdef Py_ssize_t j
    cdef DoubleBits above, below, number
    for j in range(LANES):
        above.real = p[j]
        below.real = q[j]
        number.bits = <int64_t>(
            ((<uint64_t>above.bits - <uint64_t>below.bits + 0x8008000000000000ULL) >> 52)
            | 0x4338000000000000ULL
        )
        shift[j] = number.real - (6755399441055744.0 + 2048.0)


cdef inline inlined_always pair_terms(
    Kind kind, bint careful, bint product,
    const double* x, const double* y, Py_ssize_t rows,
    const double* p_scale, const double* q_scale, const double* p_exponent, const double* shift,
    double* p_sum, double* q_sum, double* logs, double* back, double* infinite,
) noexcept nogil:
    """Add up the terms. Not careful is for q that are all normal numbers; product is for q that
    vanish only with p, or because so small a product is no number: these terms count nothing.
    """
    cdef Py_ssize_t i, j
    cdef double c, d, term, off
    cdef double unbounded = 0.0 if product else 1.0
    cdef DoubleBits p, q, raw
    for i in range(rows):
        fetch_row(x + BLOCK + i * LANES)
        fetch_row(y + BLOCK + i * LANES)
        for j in range(LANES):
            p.real = x[i * LANES + j]
            q.real = y[i * LANES + j]
            c = p.real * p_scale[j]
            d = q.real * q_scale[j]
            p_sum[j] += c
            q_sum[j] += d
            off = shift[j]
            if careful:
                term = 1.0 if q.real == 0.0 else 0.0
                infinite[j] += unbounded * (term if p.real > 0.0 else 0.0)
                term = unbounded * c
                c = term if q.real == 0.0 else c
                if kind == BOTH:
                    term = 1.0 if p.real == 0.0 else 0.0
                    infinite[j] += term if q.real > 0.0 else 0.0
                q = normalised(q, &raw)
                off = off - raw.real if kind != CROSS else off + raw.real
            if kind == CROSS:
                term = log_scaled(q.bits, off)
            elif kind == BOTH:  # small p count: they have their weight in the other sum
                p = normalised(p, &raw)
                term = log_quotient(p.bits, q.bits, off + raw.real)
            else:
                p.real = c
                term = log_quotient(p.bits, q.bits, off - p_exponent[j])
            logs[j] += c * term
            if kind == BOTH:
                back[j] += d * term


cdef inline DoubleBits normalised(DoubleBits x, DoubleBits* shift) noexcept nogil:
    """2**shift x, with shift = 54 for subnormal x (and 0), else 0."""
    cdef DoubleBits factor
    cdef int64_t small = -<int64_t>(<uint64_t>(x.bits - 0x0010000000000000LL) >> 63)
    factor.bits = 0x3FF0000000000000LL + (small & 0x0360000000000000LL)
    shift.bits = small & 0x404B000000000000LL  # 54.0 or 0.0
    x.real = x.real * factor.real
    return x


cdef inline double finished(
    Kind kind, double p, double q, double logs, double back,
    double p_exponent, double q_exponent, double shift, double infinite,
) noexcept nogil:
    """The measure, from all sums (see Pair)."""
    cdef DoubleBits above, below
    cdef double value
    above.real = p
    below.real = q
    if kind == CROSS:
        value = log_scaled(below.bits, shift - q_exponent) - logs / p
        return INFINITY if infinite > 0.0 else value
    if kind == MEAN:
        value = logs / p
        return INFINITY if infinite > 0.0 else value
    if kind == BOTH:
        value = logs / p - back / q
    else:
        value = logs / p - log_quotient(above.bits, below.bits, shift + q_exponent - p_exponent)
    value = value if value > 0.0 else 0.0  # rounding only makes it negative
    return INFINITY if infinite > 0.0 else value


cdef inline inlined_always pair_block_body(
    Kind kind, const double* x, const double* y, Py_ssize_t rows, bint product, Pair* out
) noexcept nogil:
    cdef double p_low[LANES]
    cdef double p_high[LANES]
    cdef double p_sum[LANES]
    cdef double q_low[LANES]
    cdef double q_high[LANES]
    cdef double q_sum[LANES]
    cdef double p_scale[LANES]
    cdef double q_scale[LANES]
    cdef double p_exponent[LANES]
    cdef double q_exponent[LANES]
    cdef double shift[LANES]
    cdef double logs[LANES]
    cdef double back[LANES]
    cdef double infinite[LANES]
    fill(p_low, 0.0)
    fill(p_high, 0.0)
    fill(p_sum, 0.0)
    fill(q_low, INFINITY)
    fill(q_high, 0.0)
    fill(q_sum, 0.0)
    extremes(x, rows, p_low, p_high, p_sum)
    extremes(y, rows, q_low, q_high, q_sum)
    cdef double p_top = folded_high(p_high)
    cdef double q_top = folded_high(q_high)
    cdef double p_bottom = folded_low(p_low)
    cdef double q_bottom = folded_low(q_low)
    fill(p_high, p_top)
    fill(q_high, q_top)
    fill(p_sum, folded_sum(p_sum))
    fill(q_sum, folded_sum(q_sum))
    scales(p_high, p_scale, p_exponent)
    scales(q_high, q_scale, q_exponent)
    choose_shifts(kind, p_sum, q_sum, q_exponent, shift)
    fill(p_sum, 0.0)
    fill(q_sum, 0.0)
    fill(logs, 0.0)
    fill(back, 0.0)
    fill(infinite, 0.0)
    if kind != BOTH and q_bottom >= 2.2250738585072014e-308:
        pair_terms(
            kind, False, product, x, y, rows, p_scale, q_scale, p_exponent, shift,
            p_sum, q_sum, logs, back, infinite,
        )
    else:
        pair_terms(
            kind, True, product, x, y, rows, p_scale, q_scale, p_exponent, shift,
            p_sum, q_sum, logs, back, infinite,
        )
    out.p = folded_sum(p_sum)
    out.q = folded_sum(q_sum)
    out.logs = folded_sum(logs)
    out.back = folded_sum(back)
    out.p_exponent = p_exponent[0]
    out.q_exponent = q_exponent[0]
    out.shift = shift[0]
    out.infinite = folded_sum(infinite)
    out.bad = not (
        (p_bottom >= 0.0) & (q_bottom >= 0.0) & (p_top < INFINITY) & (q_top < INFINITY)
        & (out.p == out.p) & (out.q == out.q)
    )


cdef inline inlined_always choose_shifts(
    Kind kind, const double* p, const double* q, const double* q_exponent, double* shift
) noexcept nogil:
    cdef Py_ssize_t j
    if kind == MEAN:
        fill(shift, 0.0)
    elif kind == CROSS:
        for j in range(LANES):
            shift[j] = q_exponent[j]
    else:
        shifts(p, q, shift)


cdef inline inlined_always pair_lanes_body(
    Kind kind, const double* x, const double* y, Py_ssize_t rows, bint product,
    double* value, bint* bad,
) noexcept nogil:
    cdef double p_low[LANES]
    cdef double p_high[LANES]
    cdef double p_sum[LANES]
    cdef double q_low[LANES]
    cdef double q_high[LANES]
    cdef double q_sum[LANES]
    cdef double p_scale[LANES]
    cdef double q_scale[LANES]
    cdef double p_exponent[LANES]
    cdef double q_exponent[LANES]
    cdef double shift[LANES]
    cdef double logs[LANES]
    cdef double back[LANES]
    cdef double infinite[LANES]
    cdef double wrong[LANES]
    cdef double some_p[LANES]
    cdef double some_q[LANES]
    cdef double some_logs[LANES]
    cdef double some_back[LANES]
    cdef double right
    cdef Py_ssize_t group, i, j
    fill(p_low, 0.0)
    fill(p_high, 0.0)
    fill(p_sum, 0.0)
    fill(q_low, 0.0)
    fill(q_high, 0.0)
    fill(q_sum, 0.0)
    extremes(x, rows, p_low, p_high, p_sum)
    extremes(y, rows, q_low, q_high, q_sum)
    scales(p_high, p_scale, p_exponent)
    scales(q_high, q_scale, q_exponent)
    choose_shifts(kind, p_sum, q_sum, q_exponent, shift)
    fill(p_sum, 0.0)
    fill(q_sum, 0.0)
    fill(logs, 0.0)
    fill(back, 0.0)
    fill(infinite, 0.0)
    for group in range((rows + GROUP - 1) // GROUP):
        i = group * GROUP
        fill(some_p, 0.0)
        fill(some_q, 0.0)
        fill(some_logs, 0.0)
        fill(some_back, 0.0)
        pair_terms(
            kind, True, product,
            x + i * LANES, y + i * LANES, GROUP if i + GROUP < rows else rows - i,
            p_scale, q_scale, p_exponent, shift,
            some_p, some_q, some_logs, some_back, infinite,
        )
        add(p_sum, some_p)
        add(q_sum, some_q)
        add(logs, some_logs)
        add(back, some_back)
    for j in range(LANES):
        value[j] = finished(
            kind, p_sum[j], q_sum[j], logs[j], back[j], p_exponent[j], q_exponent[j], shift[j],
            infinite[j],
        )
    for j in range(LANES):
        right = 1.0 if p_low[j] >= 0.0 else 0.0
        right = right if q_low[j] >= 0.0 else 0.0
        right = right if p_high[j] < INFINITY else 0.0
        right = right if q_high[j] < INFINITY else 0.0
        right = right if p_sum[j] > 0.0 else 0.0
        wrong[j] = 1.0 - (right if q_sum[j] > 0.0 else 0.0)
    bad[0] = folded_high(wrong) > 0.0


# One vectorized function for each measure, so that each is compiled without the others' work.


cdef vector_clones kl_block(
    const double* x, const double* y, Py_ssize_t rows, bint product, Pair* out
) noexcept nogil:
    pair_block_body(KL, x, y, rows, product, out)


cdef vector_clones both_block(
    const double* x, const double* y, Py_ssize_t rows, bint product, Pair* out
) noexcept nogil:
    pair_block_body(BOTH, x, y, rows, product, out)


cdef vector_clones cross_block(
    const double* x, const double* y, Py_ssize_t rows, bint product, Pair* out
) noexcept nogil:
    pair_block_body(CROSS, x, y, rows, product, out)


cdef vector_clones mean_block(
    const double* x, const double* y, Py_ssize_t rows, bint product, Pair* out
) noexcept nogil:
    pair_block_body(MEAN, x, y, rows, product, out)


cdef vector_clones kl_lanes(
    const double* x, const double* y, Py_ssize_t rows, bint product, double* value, bint* bad
) noexcept nogil:
    pair_lanes_body(KL, x, y, rows, product, value, bad)


cdef vector_clones both_lanes(
    const double* x, const double* y, Py_ssize_t rows, bint product, double* value, bint* bad
) noexcept nogil:
    pair_lanes_body(BOTH, x, y, rows, product, value, bad)


cdef vector_clones cross_lanes(
    const double* x, const double* y, Py_ssize_t rows, bint product, double* value, bint* bad
) noexcept nogil:
    pair_lanes_body(CROSS, x, y, rows, product, value, bad)


cdef vector_clones mean_lanes(
    const double* x, const double* y, Py_ssize_t rows, bint product, double* value, bint* bad
) noexcept nogil:
    pair_lanes_body(MEAN, x, y, rows, product, value, bad)


cdef void pair_block(
    Kind kind, const double* x, const double* y, Py_ssize_t rows, bint product, Pair* out
) noexcept nogil:
    if kind == KL:
        kl_block(x, y, rows, product, out)
    elif kind == BOTH:
        both_block(x, y, rows, product, out)
    elif kind == CROSS:
        cross_block(x, y, rows, product, out)
    else:
        mean_block(x, y, rows, product, out)


cdef void pair_lanes(
    Kind kind, const double* x, const double* y, Py_ssize_t rows, bint product,
    double* value, bint* bad,
) noexcept nogil:
    if kind == KL:
        kl_lanes(x, y, rows, product, value, bad)
    elif kind == BOTH:
        both_lanes(x, y, rows, product, value, bad)
    elif kind == CROSS:
        cross_lanes(x, y, rows, product, value, bad)
    else:
        mean_lanes(x, y, rows, product, value, bad)


cdef double pair_value(Kind kind, const Pair* sums) noexcept nogil:
    return finished(
        kind, sums.p, sums.q, sums.logs, sums.back, sums.p_exponent, sums.q_exponent, sums.shift,
        sums.infinite,
    )


# Single logarithms ----------------------------------------------------------------------------


cdef void log_quotients(
    const double* x, const double* y, Py_ssize_t n, double shift, double rest, double factor,
    double* out,
) noexcept nogil:
    log_quotients_clones(x, y, n, shift, rest, factor, out)


cdef vector_clones log_quotients_clones(
    const double* x, const double* y, Py_ssize_t n, double shift, double rest, double factor,
    double* out,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef DoubleBits p, q, p_shift, q_shift
    cdef double value, edge
    for i in range(n):
        p.real = x[i]
        q.real = y[i]
        p = normalised(p, &p_shift)
        q = normalised(q, &q_shift)
        value = (
            log_quotient(p.bits, q.bits, shift + p_shift.real - q_shift.real) - rest
        ) * factor
        edge = INFINITY if p.real > 0.0 else NAN
        value = edge if q.real == 0.0 else value
        edge = -INFINITY if q.real > 0.0 else NAN
        value = edge if p.real == 0.0 else value
        out[i] = value
