# distutils: language = c
# distutils: extra_compile_args = -O3
# cython: boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Four loops whose scaling curves have different shapes, and the processor's peak to hold beside.

What a loop runs out of decides what a second thread brings: memory's bandwidth (`triad`),
arithmetic units (`pi_blocks`, `multiply_add`), the allocator's locks (`allocate`), or the GIL
(`call_back`). All work is cut into units of one size, whose results do not depend on who computes
them, or in which order.
"""

from cython.parallel cimport prange
from libc.stdlib cimport free, malloc

from examples.simd cimport vector_clones

cdef enum:
    CHUNK = 1 << 14     # elements of a unit of `triad`: 3 x 128 KiB
    LANES = 32          # sums that run side by side, so that none waits for its last addition
    PAIRS = 1 << 12     # pairs of terms in a unit of `pi_blocks`
    LIVE = 64           # blocks that a unit of `allocate` holds at a time
    ROUNDS = 1 << 10    # blocks that it allocates in all
    LARGEST = 1 << 12   # bytes
    CHAINS = 96         # doubles: 12 registers of AVX-512, and each addition takes 4 cycles

PAIRS_PER_BLOCK = PAIRS
BLOCKS_PER_ROUND = ROUNDS
DOUBLES_PER_STEP = CHAINS


cdef int _check_team(int team) except -1:
    if team < 0:
        raise ValueError(f"team must be 0 (no prange) or a number of threads, not {team}")
    return 0


# Memory ------------------------------------------------------------------------------------------


def triad(
    const double[::1] b, const double[::1] c, double factor, double[::1] out, *,
    bint release=True, int team=0,
):
    """Computes ``out = b + factor * c``: two flops for each 24 bytes (McCalpin's STREAM).

    Args:
        b, c, out: Arrays of one length.
        factor: Any number.
        release: Whether the GIL is released meanwhile; with a team it always is (`prange` does so).
        team: How many OpenMP threads share the work (`prange`); 0 for a plain loop.
    """
    if not b.shape[0] == c.shape[0] == out.shape[0]:
        raise ValueError(
            f"expected arrays of one length, not {b.shape[0]}, {c.shape[0]} and {out.shape[0]}"
        )
    _check_team(team)
    if release:
        with nogil:
            _triad(b, c, factor, out, team)
    else:
        _triad(b, c, factor, out, team)


cdef void _triad(
    const double[::1] b, const double[::1] c, double factor, double[::1] out, int team
) noexcept nogil:
    cdef Py_ssize_t chunk, chunks = (out.shape[0] + CHUNK - 1) // CHUNK
    if team:
        for chunk in prange(chunks, num_threads=team, schedule="guided"):
            _triad_chunk(b, c, factor, out, chunk * CHUNK)
    else:
        for chunk in range(chunks):
            _triad_chunk(b, c, factor, out, chunk * CHUNK)


cdef void _triad_chunk(
    const double[::1] b, const double[::1] c, double factor, double[::1] out, Py_ssize_t first
) noexcept nogil:
    cdef Py_ssize_t n = min(out.shape[0] - first, <Py_ssize_t>CHUNK)
    _triad_loop(n, &b[first], &c[first], factor, &out[first])


cdef vector_clones _triad_loop(
    Py_ssize_t n, const double* b, const double* c, double factor, double* out
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = b[i] + factor * c[i]


# Arithmetic --------------------------------------------------------------------------------------


def pi_blocks(double[::1] sums, Py_ssize_t first=0, *, bint release=True, int team=0):
    """Computes blocks of Leibniz's series 1 - 1/3 + 1/5 - ..., which comes to pi / 4.

    Args:
        sums: Where the sum of each block of `PAIRS_PER_BLOCK` pairs of terms goes.
        first: Which block of the series `sums[0]` is.
        release, team: As of `triad`.
    """
    _check_team(team)
    if first < 0:
        raise ValueError(f"first must be the number of a block, not {first}")
    if release:
        with nogil:
            _pi_blocks(sums, first, team)
    else:
        _pi_blocks(sums, first, team)


cdef void _pi_blocks(double[::1] sums, Py_ssize_t first, int team) noexcept nogil:
    cdef Py_ssize_t block
    if team:
        for block in prange(sums.shape[0], num_threads=team, schedule="guided"):
            _leibniz(first + block, &sums[block])
    else:
        for block in range(sums.shape[0]):
            _leibniz(first + block, &sums[block])


cdef vector_clones _leibniz(Py_ssize_t block, double* result) noexcept nogil:
    cdef double lanes[LANES]
    cdef double start = 4.0 * PAIRS * <double>block + 1.0
    cdef double x, total = 0
    cdef Py_ssize_t step
    cdef int lane
    for lane in range(LANES):
        lanes[lane] = 0
    for step in range(PAIRS // LANES):
        for lane in range(LANES):
            x = start + 4.0 * lane
            lanes[lane] += 1.0 / x - 1.0 / (x + 2.0)
        start += 4.0 * LANES
    for lane in range(LANES):
        total += lanes[lane]
    result[0] = total


def multiply_add(double[::1] sums, Py_ssize_t steps, *, bint release=True, int team=0):
    """Multiplies and adds in registers alone: what the processor can do at most.

    Args:
        sums: Where each unit's sum goes; a unit is `steps` times `DOUBLES_PER_STEP` times a
            multiplication and an addition.
        steps: How many steps in each unit.
        release, team: As of `triad`.
    """
    _check_team(team)
    if release:
        with nogil:
            _multiply_add(sums, steps, team)
    else:
        _multiply_add(sums, steps, team)


cdef void _multiply_add(double[::1] sums, Py_ssize_t steps, int team) noexcept nogil:
    cdef Py_ssize_t unit
    if team:
        for unit in prange(sums.shape[0], num_threads=team, schedule="guided"):
            _chains(steps, 0.999999, 1e-6, &sums[unit])
    else:
        for unit in range(sums.shape[0]):
            _chains(steps, 0.999999, 1e-6, &sums[unit])


cdef vector_clones _chains(
    Py_ssize_t steps, double factor, double term, double* result
) noexcept nogil:
    cdef double values[CHAINS]
    cdef double total = 0
    cdef Py_ssize_t step
    cdef int i
    for i in range(CHAINS):
        values[i] = i
    for step in range(steps):
        for i in range(CHAINS):
            values[i] = values[i] * factor + term
    for i in range(CHAINS):
        total += values[i]
    result[0] = total


# The allocator -----------------------------------------------------------------------------------


def allocate(long long[::1] sums, Py_ssize_t first=0, *, bint release=True, int team=0):
    """Allocates and frees `BLOCKS_PER_ROUND` blocks for each unit, of 16 bytes to 4 KiB.

    Args:
        sums: Where each unit's number of allocated bytes goes.
        first: The number of the unit `sums[0]`: the blocks' sizes follow from it.
        release, team: As of `triad`.

    Raises:
        MemoryError: there was no memory for a block.
    """
    cdef Py_ssize_t unit
    _check_team(team)
    if release:
        with nogil:
            _allocate(sums, first, team)
    else:
        _allocate(sums, first, team)
    for unit in range(sums.shape[0]):
        if sums[unit] < 0:
            raise MemoryError("no memory for a block of at most 4 KiB")


cdef void _allocate(long long[::1] sums, Py_ssize_t first, int team) noexcept nogil:
    cdef Py_ssize_t unit
    if team:
        for unit in prange(sums.shape[0], num_threads=team, schedule="guided"):
            sums[unit] = _allocations(first + unit)
    else:
        for unit in range(sums.shape[0]):
            sums[unit] = _allocations(first + unit)


cdef long long _allocations(Py_ssize_t unit) noexcept nogil:
    """Returns the bytes of all blocks, -1 if there was no memory for one."""
    cdef char* live[LIVE]
    # Knuth's MMIX generator, The Art of Computer Programming 2, 3.3.4.
    cdef unsigned long long state = <unsigned long long>unit
    cdef long long total = 0
    cdef size_t size
    cdef int i, place
    for i in range(LIVE):
        live[i] = NULL
    for i in range(ROUNDS):
        state = state * 6364136223846793005ULL + 1442695040888963407ULL
        size = 16 + (state >> 33) % (LARGEST - 15)
        place = (state >> 27) % LIVE
        free(live[place])
        live[place] = <char*>malloc(size)
        if not live[place]:
            total = -1
            break
        live[place][0] = live[place][size - 1] = 1
        total += size
    for i in range(LIVE):
        free(live[i])
    return total


# The GIL -----------------------------------------------------------------------------------------


def call_back(
    report, double[::1] sums, Py_ssize_t every, *, bint release=True, int team=0
):
    """Computes without the GIL, and takes it once in each unit to call a Python function.

    Args:
        report: Called with the number of each unit when that is done.
        sums: Where each unit's result goes.
        every: How many steps a unit has: so many are computed for each call.
        release, team: As of `triad`.

    Raises:
        Exception: what `report` raises.
    """
    cdef Py_ssize_t unit
    _check_team(team)
    if team:
        for unit in prange(sums.shape[0], nogil=True, num_threads=team, schedule="guided"):
            sums[unit] = _heron(every)
            with gil:
                report(unit)
    elif release:
        with nogil:
            for unit in range(sums.shape[0]):
                sums[unit] = _heron(every)
                with gil:
                    report(unit)
    else:
        for unit in range(sums.shape[0]):
            sums[unit] = _heron(every)
            report(unit)


cdef double _heron(Py_ssize_t steps) noexcept nogil:
    """Steps of Heron's rule for the root of 2, each of which needs the one before."""
    cdef double x = 2.0
    cdef Py_ssize_t step
    for step in range(steps):
        x = 0.5 * (x + 2.0 / x)
    return x
