# distutils: language = c
# distutils: extra_compile_args = -O2
# cython: boundscheck=False, wraparound=False, freethreading_compatible=True
"""The article's matrix product: three loops in the order i, j, k, as one writes them down.

Each row of the result can be computed by itself, so the loop over rows is where threads share the
work: with `range` one thread takes them all, with `prange` a team of OpenMP threads does. Whether
other Python threads can run meanwhile is another question, and the caller's: `release`. But a
`prange` gives the GIL up in any case, whoever called: Cython generates it so.

-O2, since -O3 allows gcc to exchange loops, and then they would no longer be the article's.
"""

from cython.parallel cimport prange


def ijk(
    const double[:, :] a, const double[:, :] b, double[:, :] out, *, bint release=True, int team=0
):
    """Computes ``out = a @ b``.

    Args:
        a: A matrix of shape (m, k).
        b: A matrix of shape (k, n).
        out: Where the product goes, of shape (m, n); it shares no memory with `a` or `b`.
        release: Whether the GIL is released meanwhile; with a team it always is.
        team: How many OpenMP threads share the rows (`prange`); 0 for a plain loop (`range`).
    """
    check_shapes(a, b, out)
    if team < 0:
        raise ValueError(f"team must be 0 (no prange) or a number of threads, not {team}")
    if release:
        with nogil:
            _multiply(a, b, out, team)
    else:
        _multiply(a, b, out, team)


def check_shapes(const double[:, :] a, const double[:, :] b, double[:, :] out):
    """Raises ValueError unless ``out = a @ b`` can be computed."""
    if a.shape[1] != b.shape[0] or out.shape[0] != a.shape[0] or out.shape[1] != b.shape[1]:
        raise ValueError(
            "expected shapes (m, k), (k, n) and out (m, n), not "
            f"{a.shape[0], a.shape[1]}, {b.shape[0], b.shape[1]} and {out.shape[0], out.shape[1]}"
        )


cdef void _multiply(
    const double[:, :] a, const double[:, :] b, double[:, :] out, int team
) noexcept nogil:
    cdef Py_ssize_t i
    if team:
        for i in prange(a.shape[0], num_threads=team, schedule="guided"):
            _row(a, b, out, i)
    else:
        for i in range(a.shape[0]):
            _row(a, b, out, i)


cdef void _row(
    const double[:, :] a, const double[:, :] b, double[:, :] out, Py_ssize_t i
) noexcept nogil:
    cdef Py_ssize_t j, k
    for j in range(b.shape[1]):
        out[i, j] = 0
        for k in range(a.shape[1]):
            out[i, j] += a[i, k] * b[k, j]
