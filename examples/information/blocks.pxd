# Sums over blocks of weights: all arithmetic on elements is here.
#
# A block is up to ROWS rows of LANES numbers, one after another, padded. Each lane is added up by
# itself, row by row; then, for one long vector, the lanes are added pairwise, or, for short vectors
# side by side, each lane is a vector of its own.

cdef enum:
    LANES = 64
    ROWS = 16
    BLOCK = 1024  # LANES * ROWS

cdef enum Kind:
    KL  # sum p log(p / q)
    BOTH  # that and sum q log(p / q)
    CROSS  # sum p log q
    MEAN  # as KL, of weights that are not to be normalised

cdef struct Mass:
    double sum  # of w = 2**-exponent weight
    double logs  # of w log w
    double top  # the largest w
    double exponent
    bint bad  # a weight is negative, infinite or nan

cdef struct Pair:
    double p  # the sum of c = 2**-p_exponent p
    double q  # the sum of d = 2**-q_exponent q
    double logs  # sum c (L - shift log 2), with L = log(p / q), for CROSS log q
    double back  # sum d (L - shift log 2)
    double p_exponent
    double q_exponent
    double shift
    double infinite  # how many terms are
    bint bad

cdef void mass_block(const double* x, Py_ssize_t rows, Mass* out) noexcept nogil
cdef void mass_lanes(const double* x, Py_ssize_t rows, double* entropy, bint* bad) noexcept nogil
# The entropy of weights, from the largest, and the others' sum w and sum w log w.
cdef double entropy_without_top(double top, double rest, double rest_logs) noexcept nogil
cdef void pair_block(
    Kind kind, const double* x, const double* y, Py_ssize_t rows, bint product, Pair* out
) noexcept nogil
cdef void pair_lanes(
    Kind kind, const double* x, const double* y, Py_ssize_t rows, bint product,
    double* value, bint* bad
) noexcept nogil
cdef double pair_value(Kind kind, const Pair* sums) noexcept nogil
# factor (log(x / y) - shift log 2 - rest), for each
cdef void log_quotients(
    const double* x, const double* y, Py_ssize_t n, double shift, double rest, double factor,
    double* out
) noexcept nogil
