# The natural logarithm in plain arithmetic, for loops that the C compiler turns into SIMD code.
#
# No branch, no table, no call, no conversion that SSE2 or AVX2 lack: a loop around it vectorizes
# with gcc and clang for every instruction set. It takes -O3, and -fno-trapping-math for log_any
# and logf_any: without it gcc may keep their comparisons as branches. No result depends on that
# option. -ffast-math is not needed, and would break what is said here of nan and inf.
#
# With m the mantissa in [sqrt(1/2), sqrt(2)), f = m - 1 and s = f / (2 + f),
#     log(2**e m) = e log 2 + f - f**2 / 2 + s (f**2 / 2 + R(s**2)),
# where R(z) = log((1 + s) / (1 - s)) / s - 2. The polynomials for R / z are minimax fits (Remez's
# exchange), for double of degree 6 with R's error at most 2**-57.6, for float of degree 3 with
# 2**-35.9. log 2 is split so that e times its upper part is exact.
# Worst errors found: 0.74 ulp (double), 0.74 ulp (float).
#
# VECTOR_CLONES is the return type void of a function that gcc compiles three times: for AVX-512, for
# AVX2 with FMA and for the baseline; the loader picks what the processor has. Elsewhere it is void.
# Keep the loop in such a function of its own, and prange outside: the choice does not reach the
# bodies that OpenMP outlines. Nor does it reach a function that is called and not inlined: long
# inline functions that are shared by several take inlined_always for void.

cimport cython
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) \\
        && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
    #define VECTOR_CLONES \\
        __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"))) void
    #else
    #define VECTOR_CLONES void
    #endif
    #if defined(__GNUC__)
    #define INLINED_ALWAYS __attribute__((always_inline)) void
    #define PREFETCH(address) __builtin_prefetch(address)
    #else
    #define INLINED_ALWAYS void
    #define PREFETCH(address)
    #endif
    """
    ctypedef void vector_clones "VECTOR_CLONES"
    ctypedef void inlined_always "INLINED_ALWAYS"
    void prefetch "PREFETCH" (const void* address) noexcept nogil  # any address will do

cdef union DoubleBits:
    double real
    int64_t bits

cdef union FloatBits:
    float real
    int32_t bits


cdef inline double log_normal(double x) noexcept nogil:
    """log x for positive, normal, finite x; some finite number for 0, subnormal and negative x."""
    cdef DoubleBits number
    number.real = x
    return log_scaled(number.bits, 0.0)


@cython.cdivision(True)
cdef inline double log_1_plus(double x) noexcept nogil:
    """log(1 + x) for x from 0 to 1e300: what 1 + x has lost is added again."""
    cdef double y = 1.0 + x
    return log_normal(y) + (x - (y - 1.0)) / y


cdef inline double log_any(double x) noexcept nogil:
    """log x for every x: -inf for 0, nan below 0 and for nan, inf for inf; right for subnormal x."""
    cdef DoubleBits number, factor, shift
    number.real = x
    # All ones for 0 and subnormal numbers, which are multiplied by 2**54.
    cdef int64_t small = -<int64_t>((<uint64_t>(number.bits - 0x0010000000000000LL)) >> 63)
    factor.bits = 0x3FF0000000000000LL + (small & 0x0360000000000000LL)
    number.real = x * factor.real
    shift.bits = small & 0x404B000000000000LL  # 54.0 or 0.0
    cdef double value = log_scaled(number.bits, shift.real)
    value = value if x < INFINITY else x
    value = -INFINITY if x == 0.0 else value
    return NAN if x < 0.0 else value


@cython.cdivision(True)
cdef inline double log_scaled(int64_t bits, double shift) noexcept nogil:
    """log x - shift log 2, with x the number with these bits; shift is a whole number."""
    cdef DoubleBits exponent, mantissa
    bits += 0x3FF0000000000000LL - 0x3FE6A09E667F3BCDLL  # so that e changes at sqrt(1/2)
    # e + 1023 in the low bits of 1.5 * 2**52 (as a double), without a conversion.
    exponent.bits = ((bits >> 52) & 0x7FF) | 0x4338000000000000LL
    mantissa.bits = (bits & 0x000FFFFFFFFFFFFFLL) + 0x3FE6A09E667F3BCDLL
    cdef double e = exponent.real - (6755399441055744.0 + 1023.0 + shift)
    cdef double f = mantissa.real - 1.0
    cdef double s = f / (2.0 + f)
    cdef double z = s * s
    cdef double half = 0.5 * f * f
    return e * 0.6931471803691238 + (
        f - (half - (s * (half + z * log_series(z)) + e * 1.9082149292705877e-10))
    )


cdef inline double log_series(double z) noexcept nogil:
    """(log((1 + s) / (1 - s)) - 2 s) / s**3 with z = s**2, for z up to 0.02944."""
    cdef double w = z * z
    return (
        (0.666666666666671 + z * 0.39999999999519825)
        + w * (
            (0.28571428729284787 + z * 0.2222219909089342)
            + w * (
                (0.18183571541169416 + z * 0.15313164375076815) + w * 0.1481051999082406
            )
        )
    )


@cython.cdivision(True)
cdef inline double log_quotient(int64_t a, int64_t b, double shift) noexcept nogil:
    """log(x / y) - shift log 2 for positive, normal, finite x and y with the bits a and b; shift is
    a whole number.

    The error is relative to the logarithm, however close x and y are: with y's mantissa in [1, 2),
    x's is scaled to within a factor of 1.5 of it, so their difference is exact. The polynomial is
    of degree 7, R's error at most 2**-60.8.
    The quotient itself need not be a number: 1e300 and 1e-300 will do. For other x and y some
    finite number comes out.
    """
    cdef DoubleBits exponent, above, below
    # The difference of the bits is about 2**52 log2(x / y); its nearest multiple of 2**52 is taken.
    cdef uint64_t apart = <uint64_t>a - <uint64_t>b + 0x8008000000000000ULL
    exponent.bits = <int64_t>((apart >> 52) | 0x4338000000000000ULL)
    below.bits = (b & 0x000FFFFFFFFFFFFFLL) | 0x3FF0000000000000LL
    above.bits = below.bits + <int64_t>(apart & 0x000FFFFFFFFFFFFFULL) - 0x0008000000000000LL
    cdef double e = exponent.real - (6755399441055744.0 + 2048.0 + shift)
    cdef double s = (above.real - below.real) / (above.real + below.real)
    cdef double z = s * s
    cdef double w = z * z
    cdef double series = (
        (0.6666666666666663 + z * 0.40000000000042685)
        + w * (0.2857142855790552 + z * 0.2222222416225681)
        + (w * w) * (
            (0.18181669668493797 + z * 0.15391087772724907)
            + w * (0.13172781933898164 + z * 0.13854693703113494)
        )
    )
    return e * 0.6931471803691238 + (2.0 * s + (s * (z * series) + e * 1.9082149292705877e-10))


cdef inline float logf_normal(float x) noexcept nogil:
    """log x for positive, normal, finite x; some finite number for 0, subnormal and negative x."""
    cdef FloatBits number
    number.real = x
    return logf_scaled(number.bits, 0)


cdef inline float logf_any(float x) noexcept nogil:
    """log x for every x: -inf for 0, nan below 0 and for nan, inf for inf; right for subnormal x."""
    cdef FloatBits number, factor
    number.real = x
    # All ones for 0 and subnormal numbers, which are multiplied by 2**25.
    cdef int32_t small = -<int32_t>((<uint32_t>(number.bits - 0x00800000)) >> 31)
    factor.bits = 0x3F800000 + (small & 0x0C800000)
    number.real = x * factor.real
    cdef float value = logf_scaled(number.bits, small & 25)
    value = value if x < <float>INFINITY else x
    value = <float>-INFINITY if x == <float>0.0 else value
    return <float>NAN if x < <float>0.0 else value


@cython.cdivision(True)
cdef inline float logf_scaled(int32_t bits, int32_t shift) noexcept nogil:
    """log x - shift log 2, with x the number with these bits."""
    cdef FloatBits mantissa
    bits += 0x3F800000 - 0x3F3504F3
    cdef float e = <float>(((bits >> 23) & 0xFF) - 127 - shift)
    mantissa.bits = (bits & 0x007FFFFF) + 0x3F3504F3
    cdef float f = mantissa.real - <float>1.0
    cdef float s = f / (<float>2.0 + f)
    cdef float z = s * s
    cdef float half = <float>0.5 * f * f
    cdef float series = (
        <float>0.6666666575753212 + z * <float>0.40000338917521494
        + z * z * (<float>0.2853605212727848 + z * <float>0.23617416468363854)
    )
    return e * <float>0.69314575 + (
        f - (half - (s * (half + z * series) + e * <float>1.4286068e-06))
    )
