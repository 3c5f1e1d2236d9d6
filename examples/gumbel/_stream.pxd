"""Random numbers by their index, for the kernels of this package: see _stream.pyx."""

from libc.stdint cimport uint16_t, uint64_t

cdef enum:
    GROUP = 512     # elements that are made together: 32 counters of 4 words of 4 quarters
    CHUNK = 2048    # elements that a kernel holds at a time: 16 KiB, in the first-level cache

cdef struct Key:
    uint64_t word[5]    # the four words of the key and their parity

cdef Key expanded(const uint64_t[::1] words)
cdef void fill_upper(uint16_t* out, uint64_t group, Py_ssize_t groups, const Key* key) noexcept nogil
cdef double uniform_of(uint64_t element, uint16_t upper, const Key* key) noexcept nogil
cdef void fill_gumbel(double* out, uint64_t group, Py_ssize_t groups, const Key* key) noexcept nogil
cdef void fill_range(double* out, uint64_t first, Py_ssize_t n, const Key* key) noexcept nogil
