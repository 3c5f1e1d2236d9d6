# distutils: language = c
# distutils: extra_compile_args = -O3 -fno-trapping-math
# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The logarithms of simd.pxd, applied to arrays."""

from cython cimport floating

from examples.simd cimport log_any, log_normal, logf_any, logf_normal, vector_clones


def log(const floating[::1] x, floating[::1] out, *, bint normal=False):
    """Write the natural logarithm of each number into out.

    Args:
        x: Numbers, shape (n,), float32 or float64.
        out: Where the logarithms go: shape (n,), same dtype.
        normal: All of x are positive, normal and finite; what is written for others is finite,
            and has no meaning.

    Raises:
        ValueError: The shapes differ.
    """
    cdef Py_ssize_t n = x.shape[0]
    if out.shape[0] != n:
        raise ValueError(f"out has {out.shape[0]} elements, expected {n}, as many as x")
    if n == 0:
        return
    with nogil:
        if floating is double:
            if normal:
                normal_double(&x[0], &out[0], n)
            else:
                any_double(&x[0], &out[0], n)
        else:
            if normal:
                normal_float(&x[0], &out[0], n)
            else:
                any_float(&x[0], &out[0], n)


cdef vector_clones normal_double(const double* x, double* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = log_normal(x[i])


cdef vector_clones any_double(const double* x, double* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = log_any(x[i])


cdef vector_clones normal_float(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = logf_normal(x[i])


cdef vector_clones any_float(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = logf_any(x[i])
