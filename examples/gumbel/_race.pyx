# distutils: language = c
# distutils: extra_compile_args = -O3 -ffp-contract=off -fno-trapping-math
# cython: language_level = 3, boundscheck = False, wraparound = False, cdivision = True
# cython: initializedcheck = False, freethreading_compatible = True
"""Who wins: the largest of log a + G, or the k largest in order.

Scores are compared exactly. score + rest is the sum of log a and G without rounding (Knuth's TwoSum),
so that G decides between equal logits of 1e300, too; of equal sums the first wins.

For one winner of many categories there are two stages (*screened*). Category j's score is
log a - log E with E = -log(1 - v) >= v, thus at most log a - log v, and v is at least what its upper
16 bits say. Read as an integer, a positive floating-point number is its own logarithm to base 2,
linear between the powers of 2, so never above it and at most 0.0861 below. So integer arithmetic
bounds each score from above, and that is all that most categories need. The one with the best bound
gets its lower bits and its two logarithms; then each other whose bound reaches that score. There are
few: bounds are off by a factor 1.06 in E (1.13 for weights), and by one in the upper bits. Nothing is
approximate: whoever is passed over could not have won.

Otherwise (*dense*: few categories, or several winners) all scores are computed, in vectors that span
rows.
"""

from cython.parallel cimport prange
from libc.math cimport INFINITY, fabs
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from examples.gumbel._stream cimport (
    CHUNK, GROUP, Key, expanded, fill_gumbel, fill_upper, uniform_of,
)
from examples.simd cimport inlined_always, log_any, log_normal, prefetch, vector_clones

ctypedef fused floating:
    float
    double

cdef enum:
    BLOCK = 64              # lanes of the running minimum
    FOLDED = 8              # what it is folded to
    AHEAD = 24              # blocks that are asked for before they are needed
    FEW = 48                # up to so many categories, dense is faster
    SEGMENT = 65536         # categories of a long row that one thread takes at a time
    OK = -1
    SUSPECT = -2            # dense has to say whether a row is invalid
    OUT_OF_MEMORY = -3

cdef struct Entry:
    double score
    double rest
    int64_t index

cdef struct Job:
    Key key
    uint64_t first          # index in the stream of the first row's first category
    Py_ssize_t distributions
    Py_ssize_t stride       # from one distribution to the next, in elements
    Py_ssize_t n
    Py_ssize_t k
    bint weighted           # weights, otherwise logits


# ---- Keeping the best k: a heap with the worst of them on top ----------------------------------

cdef inline bint is_worse(const Entry* a, const Entry* b) noexcept nogil:
    if a.score != b.score:
        return a.score < b.score
    if a.rest != b.rest:
        return a.rest < b.rest
    return a.index > b.index


cdef inline void sift_down(Entry* heap, Py_ssize_t size, Py_ssize_t at, Entry entry) noexcept nogil:
    cdef Py_ssize_t child
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and is_worse(&heap[child + 1], &heap[child]):
            child += 1
        if is_worse(&entry, &heap[child]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry


cdef inline void offer(Entry* heap, Py_ssize_t k, Entry entry) noexcept nogil:
    """Keep the entry in place of the worst of the k, if it is better."""
    if is_worse(&heap[0], &entry):
        sift_down(heap, k, 0, entry)


cdef inline void clear(Entry* heap, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(k):
        heap[i].score = -INFINITY
        heap[i].rest = 0.0
        heap[i].index = -1      # not taken


cdef inline bint is_full(const Entry* heap) noexcept nogil:
    return heap[0].index >= 0


cdef void write_sorted(Entry* heap, Py_ssize_t k, int64_t* index, double* score) noexcept nogil:
    """Empty the heap, its worst entry goes to the end."""
    cdef Py_ssize_t size
    for size in range(k - 1, -1, -1):
        index[size] = heap[0].index
        score[size] = heap[0].score
        sift_down(heap, size, 0, heap[size])


# ---- Screened -----------------------------------------------------------------------------------

# A bound is 2**20 (log2(E / a) + const), rounded down: 2**20 steps are a factor 2.

cdef inline int32_t steps_of_upper(uint16_t upper) noexcept nogil:
    """2**20 (127 + 16 + log2 v) from the upper bits of v, rounded down; 0 if they are 0."""
    cdef float x = <float><int32_t>upper
    cdef int32_t bits
    memcpy(&bits, &x, sizeof(bits))
    return bits >> 3


cdef inline int32_t steps_of_weight(floating weight) noexcept nogil:
    """2**20 (1023 + log2 a) or, for float, 2**20 (127 + log2 a), at most 0.0861 * 2**20 lower.

    Higher for subnormal weights: then more categories are looked at.
    """
    cdef int32_t single
    cdef int64_t bits
    if floating is float:
        memcpy(&single, &weight, sizeof(single))
        return single >> 3
    else:
        memcpy(&bits, &weight, sizeof(bits))
        return <int32_t>(bits >> 32)


cdef inline int32_t top_of(floating weight) noexcept nogil:
    """Its sign is set for what is no weight: inf, nan, everything with a sign (even -0)."""
    cdef int32_t steps = steps_of_weight(weight)
    if floating is float:
        return steps | <int32_t>(<uint32_t>steps + 0x70100000U)     # 2**31 - (255 << 20)
    else:
        return steps | <int32_t>(<uint32_t>steps + 0x00100000U)


cdef inline double bound_by_weight(uint16_t upper, floating weight) noexcept nogil:
    # Of unsigned numbers, since what is no weight may overflow.
    return <double><int32_t>(<uint32_t>steps_of_upper(upper) - <uint32_t>steps_of_weight(weight))


cdef inline double bound_by_logit(uint16_t upper, floating logit) noexcept nogil:
    return <double>steps_of_upper(upper) - <double>logit * 1512775.3951951856      # 2**20 / log 2


cdef inline double bound_of(uint16_t upper, floating value, bint weighted) noexcept nogil:
    return bound_by_weight(upper, value) if weighted else bound_by_logit(upper, value)


cdef double highest_bound(double score, bint weighted, bint is_float) noexcept nogil:
    """The bound that a category with this score can at most have."""
    cdef double bias = 143.0
    if weighted:
        bias = (143.0 - 127.0 if is_float else 143.0 - 1023.0) + 0.0862
    # Rounding: the bits of a weight that steps_of_weight drops, and logits far from 0.
    return 1048576.0 * bias - score * 1512775.3951951856 + 16.0 + 1e-9 * fabs(score)


cdef inline inlined_always fold(const double* lowest, double* folded) noexcept nogil:
    cdef int i, j
    for j in range(FOLDED):
        folded[j] = lowest[j]
    for i in range(1, BLOCK // FOLDED):
        for j in range(FOLDED):
            folded[j] = (lowest[FOLDED * i + j] if lowest[FOLDED * i + j] < folded[j]
                         else folded[j])


cdef inline inlined_always fetch_block(const floating* values) noexcept nogil:
    """Have a block brought from memory; past a row's end, it is the next row's."""
    cdef int line
    for line in range(<int>(BLOCK * sizeof(floating) // 64)):
        prefetch(<const char*>values + 64 * line)


cdef inline inlined_always lower_by_logit(const floating* logits, const uint16_t* upper, int n,
                                          double* lowest) noexcept nogil:
    cdef double bound
    cdef int j
    for j in range(n):
        bound = bound_by_logit(upper[j], logits[j])
        bound = bound if logits[j] < <floating>INFINITY else -INFINITY
        lowest[j] = bound if bound < lowest[j] else lowest[j]


cdef inline inlined_always lower_by_weight(const floating* weights, const uint16_t* upper, int n,
                                           double* lowest, int32_t* tops) noexcept nogil:
    cdef double bound
    cdef int32_t top = 0
    cdef int j
    for j in range(n):
        top |= top_of(weights[j])
        bound = bound_by_weight(upper[j], weights[j])
        lowest[j] = bound if bound < lowest[j] else lowest[j]
    tops[0] |= top


cdef vector_clones lowest_by_logit(const floating* values, const uint16_t* upper, Py_ssize_t n,
                                   double* lowest, double* folded) noexcept nogil:
    """Lane-wise minima of n categories' bounds; -inf among them if a logit is nan or inf."""
    cdef double lanes[BLOCK]        # no pointer of the caller's: nothing to check for overlaps
    cdef Py_ssize_t block
    cdef Py_ssize_t blocks = n // BLOCK
    for block in range(BLOCK):
        lanes[block] = INFINITY
    for block in range(blocks):
        fetch_block(values + BLOCK * (block + AHEAD))
        lower_by_logit(values + BLOCK * block, upper + BLOCK * block, BLOCK, lanes)
    lower_by_logit(values + BLOCK * blocks, upper + BLOCK * blocks, n % BLOCK, lanes)
    fold(lanes, folded)
    memcpy(lowest, lanes, sizeof(lanes))


cdef vector_clones lowest_by_weight(const floating* values, const uint16_t* upper, Py_ssize_t n,
                                    double* lowest, double* folded) noexcept nogil:
    """The same for weights; -inf if one is perhaps negative, nan or inf."""
    cdef double lanes[BLOCK]
    cdef Py_ssize_t block
    cdef Py_ssize_t blocks = n // BLOCK
    cdef int32_t tops = 0
    for block in range(BLOCK):
        lanes[block] = INFINITY
    for block in range(blocks):
        fetch_block(values + BLOCK * (block + AHEAD))
        lower_by_weight(values + BLOCK * block, upper + BLOCK * block, BLOCK, lanes, &tops)
    lower_by_weight(values + BLOCK * blocks, upper + BLOCK * blocks, n % BLOCK, lanes, &tops)
    fold(lanes, folded)
    memcpy(lowest, lanes, sizeof(lanes))
    if tops < 0:
        folded[0] = -INFINITY


cdef inline void add_exactly(Entry* entry, double a, double b) noexcept nogil:
    """score + rest = a + b without rounding (Knuth, TAOCP 2, section 4.2.2, theorem B)."""
    cdef double total = a + b
    cdef double part = total - a
    entry.score = total
    entry.rest = (a - (total - part)) + (b - part)


cdef Entry entry_of(const Job* job, uint64_t element, uint16_t upper, double value,
                    int64_t index) noexcept nogil:
    cdef Entry entry
    cdef double g = -log_normal(-log_normal(1.0 - uniform_of(element, upper, &job.key)))
    add_exactly(&entry, log_any(value) if job.weighted else value, g)
    entry.index = index
    return entry


cdef inline void take(const Job* job, Entry* best, uint64_t element, uint16_t upper, double value,
                      int64_t index) noexcept nogil:
    cdef Entry entry = entry_of(job, element, upper, value, index)
    if entry.score > -INFINITY:
        offer(best, 1, entry)


cdef bint race_piece(const Job* job, const floating* values, const uint16_t* upper,
                     uint64_t element, Py_ssize_t n, int64_t index, Entry* best) noexcept nogil:
    """Let n categories, the first of which is element of the stream, run against the best so far.

    Returns whether all of them are certainly valid.
    """
    cdef double lowest[BLOCK]
    cdef double folded[FOLDED]
    cdef double least = INFINITY
    cdef double limit = INFINITY
    cdef bint weighted = job.weighted
    cdef bint is_float = sizeof(floating) == sizeof(float)
    cdef Py_ssize_t fold, lane, j
    cdef int stage
    if weighted:
        lowest_by_weight(values, upper, n, lowest, folded)
    else:
        lowest_by_logit(values, upper, n, lowest, folded)
    for lane in range(FOLDED):
        least = folded[lane] if folded[lane] < least else least
    if least == -INFINITY:
        return False
    if is_full(best):
        limit = highest_bound(best.score, weighted, is_float)
        if least > limit:
            return True
    # The best bound first: its score keeps nearly all others out.
    for stage in range(2):
        if stage == 0:
            limit = least
        else:
            limit = highest_bound(best.score, weighted, is_float) if is_full(best) else INFINITY
        for fold in range(FOLDED):
            if folded[fold] > limit:
                continue
            for lane in range(fold, BLOCK, 8):      # FOLDED
                if lowest[lane] > limit:
                    continue
                for j in range(lane, n, 64):        # BLOCK
                    if bound_of(upper[j], values[j], weighted) <= limit and index + j != best.index:
                        take(job, best, element + <uint64_t>j, upper[j], values[j], index + j)
    return True


cdef Py_ssize_t race_screened(const Job* job, const floating* values, Py_ssize_t row,
                              Py_ssize_t end_row, Py_ssize_t column, Py_ssize_t width,
                              Entry* entries) noexcept nogil:
    """The winners of rows among columns column, ..., column + width - 1; the first invalid row."""
    cdef uint16_t upper[CHUNK]
    cdef uint64_t element = job.first + <uint64_t>(row * job.n + column)
    cdef Py_ssize_t left = (end_row - row) * width      # categories to come
    cdef Py_ssize_t ready = 0                           # elements in upper
    cdef Py_ssize_t offset = 0
    cdef Py_ssize_t done, size
    cdef const floating* distribution
    cdef Entry* best = entries
    while row < end_row:
        clear(best, 1)
        distribution = values + (row % job.distributions) * job.stride + column
        done = 0
        while done < width:
            if offset == ready:
                offset = <Py_ssize_t>(element % GROUP)
                ready = min(<Py_ssize_t>CHUNK, (offset + left + GROUP - 1) // GROUP * GROUP)
                fill_upper(upper, element // GROUP, ready // GROUP, &job.key)
            size = min(width - done, ready - offset)
            if not race_piece(job, distribution + done, upper + offset, element, size,
                              column + done, best):
                return SUSPECT
            done += size
            left -= size
            offset += size
            element += <uint64_t>size
        row += 1
        best += 1
    return OK


# ---- Dense --------------------------------------------------------------------------------------

cdef vector_clones add_logits(const double* logits, double* noise, double* rest, Py_ssize_t n,
                              int64_t* invalid) noexcept nogil:
    """Replace noise by scores; how many logits are nan or inf."""
    cdef Entry entry
    cdef Py_ssize_t j
    cdef int64_t bad = 0
    for j in range(n):
        bad += not logits[j] < INFINITY
        add_exactly(&entry, logits[j], noise[j])
        noise[j] = entry.score
        rest[j] = entry.rest
    invalid[0] = bad


cdef vector_clones take_logs(double* weights, Py_ssize_t n) noexcept nogil:
    """Replace weights by logits; by nan where they are negative, nan or inf."""
    cdef Py_ssize_t j
    for j in range(n):
        weights[j] = log_any(weights[j])


cdef void gather(const Job* job, const floating* values, Py_ssize_t row, Py_ssize_t column,
                 Py_ssize_t width, double* out, Py_ssize_t n) noexcept nogil:
    """Copy n elements from row and column on, over as many rows (or of one row, a segment)."""
    cdef bint dense = job.stride == width       # rows follow each other without a gap
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t distribution, part, j
    cdef const floating* source
    if job.distributions == 1 and width == job.n:
        done = min(n, width)
        for j in range(done):
            out[j] = <double>values[column]
            column = column + 1 if column + 1 < width else 0
        while done < n:         # done is a multiple of width
            part = min(done, n - done)
            memcpy(out + done, out, part * sizeof(double))
            done += part
        return
    while done < n:
        distribution = row % job.distributions
        part = (job.distributions - distribution if dense else 1) * width - column
        if width < job.n or part > n - done:
            part = n - done
        source = values + distribution * job.stride + column
        for j in range(part):
            out[done + j] = <double>source[j]
        done += part
        row += (column + part) // width if dense else 1
        column = 0


cdef void offer_to_many(Entry* heap, Py_ssize_t k, const double* score, const double* rest,
                        Py_ssize_t n, int64_t index) noexcept nogil:
    cdef Entry entry
    cdef Py_ssize_t j
    for j in range(n):
        entry.score = score[j]
        if entry.score >= heap.score and entry.score > -INFINITY:
            entry.rest = rest[j]
            entry.index = index + j
            offer(heap, k, entry)


cdef inline void offer_to_one(Entry* best, const double* score, const double* rest, Py_ssize_t n,
                       int64_t index) noexcept nogil:
    """The same for k = 1. No branch depends on who leads, which nobody could predict."""
    cdef double top = best.score
    cdef Py_ssize_t at = -1
    cdef bint tied = False
    cdef bint better
    cdef Py_ssize_t j
    for j in range(n):
        better = score[j] > top
        tied |= score[j] == top
        at = j if better else at
        top = score[j] if better else top
    if tied:
        offer_to_many(best, 1, score, rest, n, index)
    elif at >= 0:
        best.score = top
        best.rest = rest[at]
        best.index = index + at


cdef Py_ssize_t race_dense(const Job* job, const floating* values, Py_ssize_t row,
                           Py_ssize_t end_row, Py_ssize_t column, Py_ssize_t width,
                           Entry* entries) noexcept nogil:
    """The k best of each row, as a heap each; otherwise as race_screened."""
    cdef double score[CHUNK]
    cdef double logits[CHUNK]
    cdef double rest[CHUNK]
    cdef uint64_t element = job.first + <uint64_t>(row * job.n + column)
    cdef Py_ssize_t left = (end_row - row) * width
    cdef Py_ssize_t done = 0        # categories of this row
    cdef Py_ssize_t k = job.k
    cdef Py_ssize_t skip, size, filled, part, j
    cdef int64_t invalid = 0
    cdef Entry* heap = entries
    clear(heap, (end_row - row) * k)
    while left > 0:
        skip = <Py_ssize_t>(element % GROUP)
        size = min(left, CHUNK - skip)
        fill_gumbel(score, element // GROUP, (skip + size + GROUP - 1) // GROUP, &job.key)
        gather(job, values, row, column + done, width, logits, size)
        if job.weighted:
            take_logs(logits, size)
        add_logits(logits, score + skip, rest, size, &invalid)
        if invalid:
            for j in range(size):
                if not logits[j] < INFINITY:
                    return row + (done + j) // width
        filled = 0
        while filled < size:
            part = min(width - done, size - filled)
            if k == 1:
                offer_to_one(heap, score + skip + filled, rest + filled, part, column + done)
            else:
                offer_to_many(heap, k, score + skip + filled, rest + filled, part, column + done)
            filled += part
            done += part
            if done == width:
                done = 0
                row += 1
                heap += k
        left -= size
        element += <uint64_t>size
    return OK


# ---- All rows -----------------------------------------------------------------------------------

cdef Py_ssize_t run(const Job* job, const floating* values, Py_ssize_t row, Py_ssize_t end_row,
                    Py_ssize_t column, Py_ssize_t width, Entry* entries) noexcept nogil:
    cdef Py_ssize_t problem = SUSPECT
    if job.k == 1 and width > FEW:
        problem = race_screened(job, values, row, end_row, column, width, entries)
    if problem != SUSPECT:
        return problem
    return race_dense(job, values, row, end_row, column, width, entries)


cdef Py_ssize_t run_rows(const Job* job, const floating* values, Py_ssize_t row, Py_ssize_t end_row,
                         int64_t* index, double* score) noexcept nogil:
    """Whole rows: their winners, or the first row that is invalid or has too few categories."""
    cdef Py_ssize_t k = job.k
    cdef Entry* entries = <Entry*>malloc((end_row - row) * k * sizeof(Entry))
    cdef Py_ssize_t problem, i
    if entries == NULL:
        return OUT_OF_MEMORY
    problem = run(job, values, row, end_row, 0, job.n, entries)
    if problem == OK:
        for i in range(end_row - row):
            if not is_full(entries + i * k):
                problem = row + i
                break
            write_sorted(entries + i * k, k, index + (row + i) * k, score + (row + i) * k)
    free(entries)
    return problem


cdef Py_ssize_t merge(Entry* entries, Py_ssize_t segments, Py_ssize_t k, Py_ssize_t row,
                      int64_t* index, double* score) noexcept nogil:
    """The best of a long row's segments, in the first one's heap."""
    cdef Py_ssize_t i
    for i in range(k, segments * k):
        if entries[i].index >= 0:
            offer(entries, k, entries[i])
    if not is_full(entries):
        return row
    write_sorted(entries, k, index, score)
    return OK


def race(const floating[:, :] values, bint weighted, Py_ssize_t draws, Py_ssize_t k, uint64_t first,
         const uint64_t[::1] words, int64_t[:, ::1] index, double[:, ::1] score, int threads):
    """Find the k best of log a + G, draws times for each distribution.

    Row r = draw * m + i is the draw of distribution i; its category j has element first + r * n + j
    of the stream.

    Args:
        values: Logits or weights, shape (m, n), float32 or float64, rows contiguous.
        weighted: Whether they are weights.
        draws: How many draws of each distribution.
        k: How many winners, 1 to n.
        first: Index in the stream of the first row's first category.
        words: The stream's key, shape (4,).
        index: For the winners in order, shape (draws * m, k).
        score: For their scores, the same shape.
        threads: How many threads to use.

    Returns:
        -1, or the first row which is invalid or in which less than k categories are possible.

    Raises:
        MemoryError: There is no memory for the k best of a row.
    """
    cdef Job job
    cdef Py_ssize_t rows = draws * values.shape[0]
    cdef Py_ssize_t segments = 1
    cdef Py_ssize_t rows_each, parts, part
    cdef Py_ssize_t problem = rows
    cdef Py_ssize_t* problems
    cdef Entry* entries = NULL
    cdef const floating* data = &values[0, 0]
    job.key = expanded(words)
    job.first = first
    job.distributions = values.shape[0]
    job.stride = values.strides[0] // <Py_ssize_t>sizeof(floating)
    job.n = values.shape[1]
    job.k = k
    job.weighted = weighted
    if job.n >= 2 * SEGMENT and rows < 64 and k <= 1024:
        segments = (job.n + SEGMENT - 1) // SEGMENT
    rows_each = max(<Py_ssize_t>1, min(SEGMENT // 2 // job.n, (rows + threads - 1) // threads))
    parts = rows * segments if segments > 1 else (rows + rows_each - 1) // rows_each
    problems = <Py_ssize_t*>malloc(parts * sizeof(Py_ssize_t))
    if segments > 1:
        entries = <Entry*>malloc(parts * k * sizeof(Entry))
    if problems == NULL or (segments > 1 and entries == NULL):
        free(problems)
        free(entries)
        raise MemoryError(f"no memory for the {k} best of {rows} rows")
    if segments > 1:
        for part in prange(parts, nogil=True, num_threads=threads, schedule="dynamic"):
            problems[part] = run(&job, data, part // segments, part // segments + 1,
                                 part % segments * SEGMENT,
                                 min(<Py_ssize_t>SEGMENT, job.n - part % segments * SEGMENT),
                                 entries + part * k)
    else:
        for part in prange(parts, nogil=True, num_threads=threads, schedule="dynamic"):
            problems[part] = run_rows(&job, data, part * rows_each,
                                      min(rows, (part + 1) * rows_each), &index[0, 0], &score[0, 0])
    for part in range(parts):
        if problems[part] != OK:
            problem = problems[part]
            break
    if segments > 1 and problem == rows:
        for part in range(rows):
            problem = merge(entries + part * segments * k, segments, k, part, &index[part, 0],
                            &score[part, 0])
            if problem != OK:
                break
        else:
            problem = rows
    free(problems)
    free(entries)
    if problem == OUT_OF_MEMORY:
        raise MemoryError(f"no memory for the {k} best of a row")
    return -1 if problem == rows else problem
