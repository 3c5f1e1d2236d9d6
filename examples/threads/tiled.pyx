# distutils: language = c
# distutils: extra_compile_args = -O3
# cython: boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Two better orders for the article's loops: i, k, j, and tiles that stay in registers and caches.

`ikj` runs along the rows of `b` and `out`: consecutive memory, which the compiler vectorises.

`tiled` follows Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (ACM
Transactions on Mathematical Software 34(3), 2008), sections 4 and 5: `b` is cut into blocks of
DEPTH x WIDTH and copied ("packed") in the order in which it will be read; blocks of `a` of HEIGHT x
DEPTH as well, one by each thread; and a micro-kernel adds a ROWS x COLUMNS tile of the result in
registers. Each element of the result is summed in the same order by any number of threads.
"""

from cython.parallel cimport prange, threadid
from libc.stdlib cimport free, malloc

from examples.simd cimport vector_clones

cdef extern from *:
    """
    /* Where `vector_clones` has a version for AVX-512, and the processor has that. */
    #if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) \\
        && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
    #define THREADS_HAVE_AVX512 (__builtin_cpu_supports("avx512f") \\
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    #else
    #define THREADS_HAVE_AVX512 0
    #endif
    """
    bint HAVE_AVX512 "THREADS_HAVE_AVX512"

cdef enum:
    ROWS = 8        # of a tile: 8 x 24 doubles are 24 of the 32 registers of AVX-512
    COLUMNS = 24    # more than gcc unrolls before it vectorises (16)
    FEW = 2         # rows at a time where there are 16 registers (AVX2): 12 of them
    DEPTH = 256     # a panel of `b`, DEPTH x COLUMNS, is 48 KiB: a first-level cache
    HEIGHT = 96     # a block of `a`, HEIGHT x DEPTH, is 192 KiB: a second-level cache
    WIDTH = 3072    # a block of `b`, DEPTH x WIDTH, is 6 MiB: a third-level cache


def ikj(
    const double[:, :] a, const double[:, ::1] b, double[:, ::1] out, *,
    bint release=True, int team=0,
):
    """Computes ``out = a @ b``; arguments as of `article.ijk`, but rows of `b`, `out` contiguous."""
    _check(a, b, out, team)
    if release:
        with nogil:
            _rows(a, b, out, team)
    else:
        _rows(a, b, out, team)


def tiled(
    const double[:, :] a, const double[:, :] b, double[:, ::1] out, *,
    bint release=True, int team=0, bint narrow=False,
):
    """Computes ``out = a @ b``; arguments as of `article.ijk`, but rows of `out` contiguous.

    Args:
        narrow: Whether to do as on a processor without AVX-512.

    Raises:
        MemoryError: there is no memory for packed blocks (6 MiB, and 200 KiB for each thread).
    """
    cdef int status
    cdef bint wide = HAVE_AVX512 and not narrow
    _check(a, b, out, team)
    if release:
        with nogil:
            status = _blocks(a, b, out, team, wide)
    else:
        status = _blocks(a, b, out, team, wide)
    if status:
        raise MemoryError("no memory for packed blocks of the matrices")


cdef int _check(
    const double[:, :] a, const double[:, :] b, double[:, ::1] out, int team
) except -1:
    if a.shape[1] != b.shape[0] or out.shape[0] != a.shape[0] or out.shape[1] != b.shape[1]:
        raise ValueError(
            "expected shapes (m, k), (k, n) and out (m, n), not "
            f"{a.shape[0], a.shape[1]}, {b.shape[0], b.shape[1]} and {out.shape[0], out.shape[1]}"
        )
    if team < 0:
        raise ValueError(f"team must be 0 (no prange) or a number of threads, not {team}")
    return 0


# ikj ---------------------------------------------------------------------------------------------


cdef void _rows(
    const double[:, :] a, const double[:, ::1] b, double[:, ::1] out, int team
) noexcept nogil:
    cdef Py_ssize_t i
    if team:
        for i in prange(a.shape[0], num_threads=team, schedule="guided"):
            _row(a, b, out, i)
    else:
        for i in range(a.shape[0]):
            _row(a, b, out, i)


cdef void _row(
    const double[:, :] a, const double[:, ::1] b, double[:, ::1] out, Py_ssize_t i
) noexcept nogil:
    cdef Py_ssize_t j, k
    if out.shape[1] == 0:
        return
    for j in range(out.shape[1]):
        out[i, j] = 0
    for k in range(a.shape[1]):
        _axpy(out.shape[1], a[i, k], &b[k, 0], &out[i, 0])


cdef vector_clones _axpy(
    Py_ssize_t n, double factor, const double* x, double* y
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        y[j] += factor * x[j]


# tiled -------------------------------------------------------------------------------------------


cdef int _blocks(
    const double[:, :] a, const double[:, :] b, double[:, ::1] out, int team, bint wide
) noexcept nogil:
    """Returns 0, or -1 without memory."""
    cdef Py_ssize_t m = a.shape[0], depth = a.shape[1], n = b.shape[1]
    cdef Py_ssize_t height = _share(m, max(1, team))
    cdef Py_ssize_t width = _up(min(n, <Py_ssize_t>WIDTH), COLUMNS)
    cdef Py_ssize_t over, down
    cdef Py_ssize_t size = DEPTH * width + max(1, team) * height * DEPTH
    cdef void* memory = malloc(size * sizeof(double) + 64)
    if not memory:
        return -1
    # Whole cache lines: a vector of AVX-512 is one.
    cdef double* packed_b = <double*>((<size_t>memory + 63) & ~<size_t>63)
    cdef double* packed_a = packed_b + DEPTH * width
    _clear(out)
    for over in range(_parts(n, WIDTH)):  # (a range of no constant step would be Python's)
        for down in range(_parts(depth, DEPTH)):
            _pack(b, down * DEPTH, over * WIDTH, packed_b, team)
            _multiply(
                a, out, height, down * DEPTH, over * WIDTH, packed_a, packed_b, team, wide
            )
    free(memory)
    return 0


cdef void _pack(
    const double[:, :] b, Py_ssize_t top, Py_ssize_t left, double* packed, int team
) noexcept nogil:
    """Packs a block of `b`."""
    cdef Py_ssize_t panel
    cdef Py_ssize_t panels = _parts(min(b.shape[1] - left, <Py_ssize_t>WIDTH), COLUMNS)
    if team:
        for panel in prange(panels, num_threads=team, schedule="guided"):
            _pack_b(b, top, left, panel, packed)
    else:
        for panel in range(panels):
            _pack_b(b, top, left, panel, packed)


cdef void _multiply(
    const double[:, :] a, double[:, ::1] out, Py_ssize_t height, Py_ssize_t top, Py_ssize_t left,
    double* packed_a, const double* packed_b, int team, bint wide,
) noexcept nogil:
    """Adds to all rows what one block of `b` contributes."""
    cdef Py_ssize_t block
    if team:
        for block in prange(_parts(out.shape[0], height), num_threads=team, schedule="dynamic"):
            _block(
                a, out, block * height, height, top, left,
                packed_a + threadid() * height * DEPTH, packed_b, wide,
            )
    else:
        for block in range(_parts(out.shape[0], height)):
            _block(a, out, block * height, height, top, left, packed_a, packed_b, wide)


cdef inline Py_ssize_t _parts(Py_ssize_t whole, Py_ssize_t part) noexcept nogil:
    return (whole + part - 1) // part


cdef inline Py_ssize_t _up(Py_ssize_t value, Py_ssize_t step) noexcept nogil:
    return _parts(value, step) * step


cdef Py_ssize_t _share(Py_ssize_t m, int team) noexcept nogil:
    """The height of blocks of at most HEIGHT rows that as many threads can take equally many of."""
    cdef Py_ssize_t each = max(<Py_ssize_t>1, _parts(m, <Py_ssize_t>team * HEIGHT))
    return max(<Py_ssize_t>ROWS, _up(_parts(m, team * each), ROWS))


cdef void _clear(double[:, ::1] out) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0


cdef void _pack_b(
    const double[:, :] b, Py_ssize_t top, Py_ssize_t left, Py_ssize_t panel, double* packed
) noexcept nogil:
    """Copies COLUMNS columns of a block, row after row; zeros where `b` ends."""
    cdef Py_ssize_t first = left + panel * COLUMNS
    cdef Py_ssize_t columns = min(b.shape[1] - first, <Py_ssize_t>COLUMNS)
    cdef Py_ssize_t rows = min(b.shape[0] - top, <Py_ssize_t>DEPTH)
    cdef Py_ssize_t k, j
    cdef double* target = packed + panel * COLUMNS * DEPTH
    for k in range(rows):
        for j in range(columns):
            target[k * COLUMNS + j] = b[top + k, first + j]
        for j in range(columns, COLUMNS):
            target[k * COLUMNS + j] = 0


cdef void _pack_a(
    const double[:, :] a, Py_ssize_t first, Py_ssize_t last, Py_ssize_t top, Py_ssize_t columns,
    double* packed,
) noexcept nogil:
    """Copies rows in panels of ROWS, column after column; zeros where the rows end."""
    cdef Py_ssize_t panel, row, i, k, rows
    for panel in range(_parts(last - first, ROWS)):
        row = first + panel * ROWS
        rows = min(last - row, <Py_ssize_t>ROWS)
        for i in range(rows):
            for k in range(columns):
                packed[k * ROWS + i] = a[row + i, top + k]
        for i in range(rows, ROWS):
            for k in range(columns):
                packed[k * ROWS + i] = 0
        packed += ROWS * columns


cdef void _block(
    const double[:, :] a, double[:, ::1] out, Py_ssize_t first, Py_ssize_t height,
    Py_ssize_t top, Py_ssize_t left, double* packed_a, const double* packed_b, bint wide,
) noexcept nogil:
    """Adds to some rows what one block of `b` contributes."""
    cdef Py_ssize_t last = min(out.shape[0], first + height)
    cdef Py_ssize_t columns = min(a.shape[1] - top, <Py_ssize_t>DEPTH)
    cdef Py_ssize_t right = min(out.shape[1], left + WIDTH)
    cdef Py_ssize_t row, column, over, down
    cdef double tile[ROWS * COLUMNS]
    cdef const double* panel_a
    cdef const double* panel_b
    _pack_a(a, first, last, top, columns, packed_a)
    for over in range(_parts(right - left, COLUMNS)):
        column = left + over * COLUMNS
        for down in range(_parts(last - first, ROWS)):
            row = first + down * ROWS
            panel_a = packed_a + down * ROWS * columns
            panel_b = packed_b + over * COLUMNS * DEPTH
            if wide:
                _wide(columns, panel_a, panel_b, tile)
            else:
                _narrow(columns, panel_a, panel_b, tile)
            _add(tile, out, row, min(last, row + ROWS), column, min(right, column + COLUMNS))


cdef void _add(
    const double* tile, double[:, ::1] out,
    Py_ssize_t first, Py_ssize_t last, Py_ssize_t left, Py_ssize_t right,
) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(first, last):
        for j in range(left, right):
            out[i, j] += tile[(i - first) * COLUMNS + j - left]


cdef vector_clones _wide(
    Py_ssize_t depth, const double* a, const double* b, double* tile
) noexcept nogil:
    """A tile of ROWS x COLUMNS: `total` is held in registers of AVX-512."""
    cdef double total[ROWS * COLUMNS]
    cdef Py_ssize_t k
    cdef int i, j
    for i in range(ROWS * COLUMNS):
        total[i] = 0
    for k in range(depth):
        for i in range(ROWS):
            for j in range(COLUMNS):
                total[i * COLUMNS + j] += a[k * ROWS + i] * b[k * COLUMNS + j]
    for i in range(ROWS * COLUMNS):
        tile[i] = total[i]


cdef vector_clones _narrow(
    Py_ssize_t depth, const double* a, const double* b, double* tile
) noexcept nogil:
    """The same tile, FEW rows at a time: they are held in the 16 registers of AVX2."""
    cdef double total[FEW * COLUMNS]
    cdef Py_ssize_t k
    cdef int i, j, group, first
    for group in range(ROWS // FEW):
        first = group * FEW
        for i in range(FEW * COLUMNS):
            total[i] = 0
        for k in range(depth):
            for i in range(FEW):
                for j in range(COLUMNS):
                    total[i * COLUMNS + j] += a[k * ROWS + first + i] * b[k * COLUMNS + j]
        for i in range(FEW * COLUMNS):
            tile[first * COLUMNS + i] = total[i]
