# Arrays of weights as the kernels read them: rows of n numbers, wherever they lie in memory.
#
# The leading axes count the rows, the others make up a row; neighbouring axes that one stride can
# walk are joined. What is not a run of float64 is copied, block by block, never as a whole.

cimport cython
from libc.string cimport memcpy, memset

from examples.information.blocks cimport LANES

cdef enum:
    MOST_AXES = 64  # as in NumPy

cdef struct Walk:
    int axes
    Py_ssize_t shape[MOST_AXES]
    Py_ssize_t strides[MOST_AXES]  # in bytes

cdef struct Weights:
    const char* data
    bint single  # float32, not float64
    Walk rows
    Walk row


cdef inline void join_axes(
    const Py_ssize_t* shape, const Py_ssize_t* strides, int axes, Walk* out
) noexcept nogil:
    cdef int i
    out.axes = 0
    for i in range(axes):
        if shape[i] == 1:
            continue
        if out.axes and out.strides[out.axes - 1] == shape[i] * strides[i]:
            out.shape[out.axes - 1] *= shape[i]
            out.strides[out.axes - 1] = strides[i]
        else:
            out.shape[out.axes] = shape[i]
            out.strides[out.axes] = strides[i]
            out.axes += 1


@cython.cdivision(True)
cdef inline Py_ssize_t offset(const Walk* walk, Py_ssize_t index) noexcept nogil:
    """Bytes to the element with this index, counted with the last axis fastest."""
    cdef Py_ssize_t found = 0
    cdef int i = walk.axes
    while i > 0:
        i -= 1
        found += index % walk.shape[i] * walk.strides[i]
        index //= walk.shape[i]
    return found


cdef inline void copy_run(
    const char* run, bint single, Py_ssize_t stride, Py_ssize_t count, double* out
) noexcept nogil:
    cdef Py_ssize_t i
    cdef const float* floats = <const float*> run
    if single and stride == sizeof(float):
        for i in range(count):
            out[i] = floats[i]
    elif single:
        for i in range(count):
            out[i] = (<const float*> (run + i * stride))[0]
    elif stride == sizeof(double):
        memcpy(out, run, count * sizeof(double))
    else:
        for i in range(count):
            out[i] = (<const double*> (run + i * stride))[0]


@cython.cdivision(True)
cdef inline void copy_part(
    const Weights* weights, const char* row, Py_ssize_t start, Py_ssize_t count, double* out
) noexcept nogil:
    """Copy elements start to start + count of a row."""
    cdef const Walk* walk = &weights.row
    cdef Py_ssize_t length, stride, run
    if walk.axes == 0:
        copy_run(row, weights.single, 0, count, out)
        return
    length = walk.shape[walk.axes - 1]
    stride = walk.strides[walk.axes - 1]
    while count > 0:
        run = length - start % length
        run = run if run < count else count
        copy_run(row + offset(walk, start), weights.single, stride, run, out)
        out += run
        start += run
        count -= run


@cython.cdivision(True)
cdef inline Py_ssize_t whole_lanes(Py_ssize_t count) noexcept nogil:
    """The next multiple of LANES."""
    return (count + LANES - 1) // LANES * LANES


cdef inline const double* block(
    const Weights* weights, const char* row, Py_ssize_t start, Py_ssize_t count, double* buffer
) noexcept nogil:
    """A row's elements start to start + count, as they lie or copied, zeros up to whole lanes."""
    cdef const Walk* walk = &weights.row
    cdef Py_ssize_t short = whole_lanes(count) - count
    if (
        short == 0 and not weights.single
        and walk.axes == 1 and walk.strides[0] == sizeof(double)
    ):
        return <const double*> (row + start * sizeof(double))
    copy_part(weights, row, start, count, buffer)
    memset(buffer + count, 0, short * sizeof(double))
    return buffer


cdef inline void side_by_side(
    const Weights* weights, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t n, double* buffer
) noexcept nogil:
    """Lay rows side by side, each in a lane; lanes without a row are all 1."""
    cdef const Walk* walk = &weights.rows
    cdef Py_ssize_t i, k
    cdef double row[LANES]
    cdef const char* start = weights.data + offset(walk, first)
    if walk.axes == 1 and rows > 1:
        for k in range(n):
            copy_run(
                start + offset(&weights.row, k), weights.single, walk.strides[0], rows,
                buffer + k * LANES,
            )
    else:
        for i in range(rows):
            copy_part(weights, weights.data + offset(walk, first + i), 0, n, row)
            for k in range(n):
                buffer[k * LANES + i] = row[k]
    for k in range(n):
        for i in range(rows, LANES):
            buffer[k * LANES + i] = 1.0
