# distutils: language = c
# distutils: extra_compile_args = -O3 -ffp-contract=off -fno-trapping-math
# cython: language_level = 3, boundscheck = False, wraparound = False, cdivision = True
# cython: initializedcheck = False, freethreading_compatible = True
"""Element i of a stream is a function of the key and of i, and of nothing else.

The generator is Threefry-4x64 with 20 rounds: Salmon, Moraes, Dror and Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC11 (2011), sections 2.2 and 3.3. It consists of 64-bit additions,
rotations and exclusive ors, so that compilers vectorize it for any instruction set. (Philox needs
the upper half of products, for which most have no vector instruction.)

A uniform has 52 random bits: 16 upper ones, of which a word of the generator has four, and 36 lower
ones from a word of its own. The race (_race.pyx) decides nearly every comparison by the upper bits
and never asks for the lower ones. Element i of group g has its upper bits in counter
(32 g + i % 32, 0, 0, 0), word i // 32 % 4, bits 16 (i // 128) and on, and its lower ones in counter
(128 g + i % 128, 1, 0, 0), word i // 128. Lanes of a register then hold neighbouring elements,
however wide it is, and no shuffle is needed.

No multiplication is fused with an addition (-ffp-contract=off), or processors with such an
instruction would give other numbers than those without.
"""

from cython.parallel cimport prange
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from examples.simd cimport inlined_always, log_normal, vector_clones

ctypedef fused floating:
    float
    double


cdef Key expanded(const uint64_t[::1] words):
    """The key and the parity word that Threefry adds to it (section 3.3)."""
    cdef Key key
    cdef int i
    key.word[4] = 0x1BD11BDAA9FC1A22U
    for i in range(4):
        key.word[i] = words[i]
        key.word[4] ^= words[i]
    return key


cdef inline inlined_always mix(uint64_t* a, uint64_t* b, int bits) noexcept nogil:
    a[0] += b[0]
    b[0] = ((b[0] << bits) | (b[0] >> (64 - bits))) ^ a[0]


cdef inline inlined_always add_key(uint64_t* x, const Key* key, int i) noexcept nogil:
    x[0] += key.word[i % 5]
    x[1] += key.word[(i + 1) % 5]
    x[2] += key.word[(i + 2) % 5]
    x[3] += key.word[(i + 3) % 5] + <uint64_t>i


cdef inline inlined_always rounds_a(uint64_t* x) noexcept nogil:
    mix(&x[0], &x[1], 14)
    mix(&x[2], &x[3], 16)
    mix(&x[0], &x[3], 52)
    mix(&x[2], &x[1], 57)
    mix(&x[0], &x[1], 23)
    mix(&x[2], &x[3], 40)
    mix(&x[0], &x[3], 5)
    mix(&x[2], &x[1], 37)


cdef inline inlined_always rounds_b(uint64_t* x) noexcept nogil:
    mix(&x[0], &x[1], 25)
    mix(&x[2], &x[3], 33)
    mix(&x[0], &x[3], 46)
    mix(&x[2], &x[1], 12)
    mix(&x[0], &x[1], 58)
    mix(&x[2], &x[3], 22)
    mix(&x[0], &x[3], 32)
    mix(&x[2], &x[1], 32)


cdef inline inlined_always threefry(uint64_t* x, const Key* key) noexcept nogil:
    """Replace the counter in x by its four random words."""
    add_key(x, key, 0)
    rounds_a(x)
    add_key(x, key, 1)
    rounds_b(x)
    add_key(x, key, 2)
    rounds_a(x)
    add_key(x, key, 3)
    rounds_b(x)
    add_key(x, key, 4)
    rounds_a(x)
    add_key(x, key, 5)


cdef inline double unit(uint64_t upper, uint64_t lower) noexcept nogil:
    """16 bits and a word's upper 36 as an odd multiple of 2**-53: never 0, never 1, not rounded."""
    cdef uint64_t bits = 0x3FF0000000000000U | (upper << 36) | (lower >> 28)     # in [1, 2)
    cdef double x
    memcpy(&x, &bits, sizeof(x))
    return x - 0.99999999999999988897769753748      # 1 - 2**-53


cdef inline inlined_always words_of(uint64_t* x, uint64_t counter, uint64_t part,
                                    const Key* key) noexcept nogil:
    x[0] = counter
    x[1] = part
    x[2] = x[3] = 0
    threefry(x, key)


cdef inline inlined_always upper_group(uint16_t* out, uint64_t group, const Key* key) noexcept nogil:
    cdef uint32_t halves[256]       # by half, word, lane
    cdef uint64_t x[4]
    cdef int lane, i
    for lane in range(32):
        words_of(x, group * 32 + <uint64_t>lane, 0, key)
        halves[lane] = <uint32_t>x[0]
        halves[32 + lane] = <uint32_t>x[1]
        halves[64 + lane] = <uint32_t>x[2]
        halves[96 + lane] = <uint32_t>x[3]
        halves[128 + lane] = <uint32_t>(x[0] >> 32)
        halves[160 + lane] = <uint32_t>(x[1] >> 32)
        halves[192 + lane] = <uint32_t>(x[2] >> 32)
        halves[224 + lane] = <uint32_t>(x[3] >> 32)
    for i in range(128):
        out[i] = <uint16_t>halves[i]
        out[128 + i] = <uint16_t>(halves[i] >> 16)
        out[256 + i] = <uint16_t>halves[128 + i]
        out[384 + i] = <uint16_t>(halves[128 + i] >> 16)


cdef vector_clones upper_groups(uint16_t* out, uint64_t group, Py_ssize_t groups,
                                const Key* key) noexcept nogil:
    cdef Py_ssize_t g
    for g in range(groups):
        upper_group(out + GROUP * g, group + <uint64_t>g, key)


cdef vector_clones uniform_groups(double* out, uint64_t group, Py_ssize_t groups,
                                  const Key* key) noexcept nogil:
    cdef uint16_t upper[GROUP]
    cdef uint64_t x[4]
    cdef uint64_t first
    cdef double* at
    cdef Py_ssize_t g
    cdef int i
    for g in range(groups):
        upper_group(upper, group + <uint64_t>g, key)
        first = (group + <uint64_t>g) * 128
        at = out + GROUP * g
        for i in range(128):
            words_of(x, first + <uint64_t>i, 1, key)
            at[i] = unit(upper[i], x[0])
            at[128 + i] = unit(upper[128 + i], x[1])
            at[256 + i] = unit(upper[256 + i], x[2])
            at[384 + i] = unit(upper[384 + i], x[3])


cdef vector_clones gumbel_from_uniform(double* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = -log_normal(-log_normal(1.0 - x[i]))


cdef void fill_upper(uint16_t* out, uint64_t group, Py_ssize_t groups,
                     const Key* key) noexcept nogil:
    """Write the upper 16 bits of the uniforms 512 * group and on, 512 * groups of them."""
    upper_groups(out, group, groups, key)


cdef double uniform_of(uint64_t element, uint16_t upper, const Key* key) noexcept nogil:
    """The uniform on (0, 1) of which the upper bits are known."""
    cdef uint64_t x[4]
    cdef uint64_t i = element % GROUP
    words_of(x, element // GROUP * 128 + i % 128, 1, key)
    return unit(upper, x[i // 128])


cdef void fill_gumbel(double* out, uint64_t group, Py_ssize_t groups,
                      const Key* key) noexcept nogil:
    """Write elements 512 * group and on of the stream as standard Gumbel variates.

    They are -log(-log(1 - v)) of the uniforms v, 512 * groups of them.
    """
    uniform_groups(out, group, groups, key)
    gumbel_from_uniform(out, GROUP * groups)


cdef void copy_range(floating* out, uint64_t first, Py_ssize_t n, bint as_gumbel,
                     const Key* key) noexcept nogil:
    """Write elements first, ..., first + n - 1, at most CHUNK - GROUP of them."""
    cdef double buffer[CHUNK]
    cdef Py_ssize_t skip = <Py_ssize_t>(first % GROUP)
    cdef Py_ssize_t groups = (skip + n + GROUP - 1) // GROUP
    cdef Py_ssize_t i
    if as_gumbel:
        fill_gumbel(buffer, first // GROUP, groups, key)
    else:
        uniform_groups(buffer, first // GROUP, groups, key)
    for i in range(n):
        out[i] = <floating>buffer[skip + i]


cdef void fill_range(double* out, uint64_t first, Py_ssize_t n, const Key* key) noexcept nogil:
    """Write elements first, ..., first + n - 1 as standard Gumbel variates."""
    cdef Py_ssize_t step = CHUNK - GROUP
    cdef Py_ssize_t done = 0
    while done < n:
        copy_range(out + done, first + <uint64_t>done, min(step, n - done), True, key)
        done += step


def fill(floating[::1] out, uint64_t first, bint as_gumbel, const uint64_t[::1] words, int threads):
    """Fill out with elements first, first + 1, ... of the stream with this key.

    Args:
        out: What to fill, shape (n,), float32 or float64. float32 has the float64's values, rounded.
        first: Index of the first element.
        as_gumbel: Standard Gumbel variates; otherwise uniforms on (0, 1).
        words: The key, shape (4,).
        threads: How many threads to use.
    """
    cdef Key key = expanded(words)
    cdef Py_ssize_t n = out.shape[0]
    cdef Py_ssize_t step = CHUNK - GROUP
    cdef Py_ssize_t parts = (n + step - 1) // step
    cdef Py_ssize_t part
    for part in prange(parts, nogil=True, num_threads=threads, schedule="static"):
        copy_range(&out[part * step], first + <uint64_t>(part * step), min(step, n - part * step),
                   as_gumbel, &key)


def threefry4x64(const uint64_t[:, ::1] counters, const uint64_t[::1] words,
                 uint64_t[:, ::1] out):
    """Encrypt counters, shape (n, 4), with a key of four words into out, shape (n, 4)."""
    cdef Key key = expanded(words)
    cdef Py_ssize_t row
    cdef uint64_t x[4]
    for row in range(counters.shape[0]):
        memcpy(x, &counters[row, 0], sizeof(x))
        threefry(x, &key)
        memcpy(&out[row, 0], x, sizeof(x))
