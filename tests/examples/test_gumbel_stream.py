"""A stream's numbers are the published generator's, and Gumbel variates have their distribution."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats

from examples.gumbel import Gumbel, Stream, gumbel, stream, threefry4x64

PI = 0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89
MORE_PI = 0x452821E638D01377, 0xBE5466CF34E90C6C, 0xBE5466CF34E90C6C, 0xC0AC29B7C97C50DD


# The generator


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    # threefry4x64 with 20 rounds, in kat_vectors of the authors' library Random123.
    [
        (
            (0,) * 4, (0,) * 4,
            (0x09218EBDE6C85537, 0x55941F5266D86105, 0x4BD25E16282434DC, 0xEE29EC846BD2E40B),
        ),
        (
            (2**64 - 1,) * 4, (2**64 - 1,) * 4,
            (0x29C24097942BBA1B, 0x0371BBFB0F6F4E11, 0x3C231FFA33F83A1C, 0xCD29113FDE32D168),
        ),
        (
            PI, MORE_PI,
            (0xA7E8FDE591651BD9, 0xBAAFD0C30138319B, 0x84A5C1A729E685B9, 0x901D406CCEBC1BA4),
        ),
    ],
)  # fmt: skip
def test_published_vectors_come_out(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    assert threefry4x64([counter], key).tolist() == [list(words)]


def uniform_by_definition(source: Stream, index: int) -> float:
    """What _stream.pyx says that element index is."""
    group, i = divmod(source.start + index, 512)
    upper = threefry4x64([(32 * group + i % 32, 0, 0, 0)], source.key)[0, i // 32 % 4]
    lower = threefry4x64([(128 * group + i % 128, 1, 0, 0)], source.key)[0, i // 128]
    bits = (int(upper) >> 16 * (i // 128) & 0xFFFF) << 36 | int(lower) >> 28
    return (2 * bits + 1) * 2.0**-53


def test_uniforms_are_made_of_the_words_that_belong_to_their_index() -> None:
    source = Stream(PI, 2**63 - 600)
    numbers = source.uniform(3000)
    for index in [*range(0, 3000, 37), 599, 600, 2999]:
        assert numbers[index] == uniform_by_definition(source, index)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_parts_and_threads_give_the_same_numbers(threads: int) -> None:
    whole = stream(1).gumbel(20_000, threads=1)
    assert (stream(1).gumbel(20_000, threads=threads) == whole).all()
    assert (stream(1).skip(777).gumbel((3, 2100), threads=threads).ravel() == whole[777:7077]).all()


def test_uniforms_are_uniform_and_independent() -> None:
    u = stream(2).uniform(400_000)
    assert 0 < u.min() < u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    for lag in (1, 32, 128, 512):  # where lanes, words, quarters and groups are next to each other
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 4 / np.sqrt(len(u))
    # Each of the 52 bits is set half of the time, and so is its change from one to the next.
    bits = ((u * 2.0**53).astype(np.uint64) >> np.uint64(1))[:, None] >> np.arange(
        52, dtype=np.uint64
    ) & np.uint64(1)
    for each in (bits, bits[1:] ^ bits[:-1]):
        assert abs(each.mean(0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(len(u))


# Seeds


def test_a_seed_gives_the_same_stream_again() -> None:
    assert stream(5) == stream(np.int64(5)) == stream(np.random.SeedSequence(5))
    assert stream(5) != stream(6)
    assert stream(None) != stream(None)
    assert stream(stream(5)) == stream(5)


def test_a_generator_gives_another_stream_each_time_that_its_own_seed_determines() -> None:
    rng = np.random.default_rng(1)
    first, second = stream(rng), stream(rng)
    assert first != second
    again = np.random.PCG64(1)
    assert (stream(again), stream(again)) == (first, second)
    spawned = [stream(child) for child in np.random.default_rng(1).spawn(2)]
    assert len({first, second, *spawned}) == 4


@pytest.mark.parametrize("seed", ["1", 1.5, [1]])
def test_what_is_no_seed_is_refused(seed: object) -> None:
    with pytest.raises(TypeError, match=r"expected a Stream, a numpy\.random\.Generator"):
        stream(seed)  # type: ignore[arg-type]


def test_keys_and_starts_are_64_bits() -> None:
    with pytest.raises(ValueError, match="expected four integers"):
        Stream((0, 0, 0, 2**64))
    with pytest.raises(ValueError, match=r"start = -1"):
        stream(1).skip(-1)
    with pytest.raises(ValueError, match=r"expected \(n, 4\) and \(4,\)"):
        threefry4x64([[1, 2]], [1, 2, 3, 4])


# The distribution


def test_samples_are_gumbel_to_the_last_bits() -> None:
    source = stream(3)
    u, g = source.uniform(600), source.gumbel(600)
    with mpmath.workprec(100):
        for v, found in zip(u.tolist(), g.tolist(), strict=True):
            e = -mpmath.log1p(-mpmath.mpf(v))
            # E is rounded once, which is an absolute error in its logarithm.
            assert abs(-mpmath.log(e) - found) < 4e-16 + 2.3e-16 * abs(found)


@pytest.mark.parametrize(("loc", "scale"), [(0, 1), (-3, 0.2), (1e3, 50)])
def test_samples_have_the_distribution(loc: float, scale: float) -> None:
    distribution = Gumbel(loc, scale)
    x = distribution.samples(50_000, rng=4)
    assert stats.kstest(x, stats.gumbel_r(loc, scale).cdf).pvalue > 1e-3
    assert abs(x.mean() - distribution.mean()) < 4.5 * distribution.std() / np.sqrt(len(x))


def test_density_distribution_and_quantile_are_scipys() -> None:
    x = np.concatenate([np.linspace(-8, 40, 500), [-np.inf, -1e308, -800, 800, 1e308, np.inf]])
    for loc, scale in [(0.0, 1.0), (2.0, 3.0)]:
        ours, scipys = Gumbel(loc, scale), stats.gumbel_r(loc, scale)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(ours.cdf(x), scipys.cdf(x), rtol=1e-13)
            np.testing.assert_allclose(ours.pdf(x[:500]), scipys.pdf(x[:500]), rtol=1e-12)
        assert ours.pdf(x[-6:]).tolist()[:2] == [0, 0]
        assert ours.pdf(np.inf) == 0
        q = np.linspace(0, 1, 101)
        np.testing.assert_allclose(ours.quantile(q), scipys.ppf(q), rtol=1e-13)
        assert ours.mean() == pytest.approx(scipys.mean())
        assert ours.std() == pytest.approx(scipys.std())


def test_lists_of_modes_and_scales_are_arrays_in_each_function() -> None:
    lists, arrays = Gumbel(0, [1.0, 2.0]), Gumbel(0, np.array([1.0, 2.0]))
    for function in ("pdf", "cdf", "quantile"):
        np.testing.assert_array_equal(getattr(lists, function)(0.5), getattr(arrays, function)(0.5))
    np.testing.assert_array_equal(
        Gumbel([3, 4], 2.0).quantile([0.5, 0.25]),
        [Gumbel(3, 2.0).quantile(0.5), Gumbel(4, 2.0).quantile(0.25)],
    )
    np.testing.assert_array_equal(lists.samples(rng=1), arrays.samples(rng=1))


@pytest.mark.parametrize(
    ("loc", "scale", "shape"),
    [(0.0, 1.0, ()), (np.zeros(3), 1.0, (3,)), (0, [1, 2], (2,)), ([[1], [2]], [1, 2, 3], (2, 3))],
)
def test_mean_and_deviation_have_the_shape_of_a_sample(
    loc: Any, scale: Any, shape: tuple[int, ...]
) -> None:
    distribution = Gumbel(loc, scale)
    assert np.shape(distribution.mean()) == np.shape(distribution.std()) == shape
    assert distribution.samples(rng=1).shape == shape
    np.testing.assert_allclose(
        distribution.std(), np.broadcast_to(scale, shape) * np.pi / 6**0.5, rtol=1e-15
    )


def test_points_farther_than_any_number_are_at_the_ends() -> None:
    """Without a warning, which pytest would turn into an error."""
    far = Gumbel([1e308, -1e308])
    assert far.cdf([-1e308, 1e308]).tolist() == [0, 1]
    assert far.pdf([-1e308, 1e308]).tolist() == [0, 0]


def test_quantile_inverts_the_distribution() -> None:
    q = np.linspace(0.001, 0.999, 500)
    np.testing.assert_allclose(gumbel.cdf(gumbel.quantile(q)), q, rtol=1e-13)
    with pytest.raises(ValueError, match="expected numbers from 0 to 1"):
        gumbel.quantile([0.5, 1.5])


def test_float32_samples_are_the_float64_ones_rounded() -> None:
    exact = gumbel.samples((50, 40), rng=5)
    rounded = gumbel.samples((50, 40), rng=5, dtype=np.float32)
    assert rounded.dtype == np.float32
    assert (rounded == exact.astype(np.float32)).all()
    with pytest.raises(TypeError, match="expected float32 or float64"):
        gumbel.samples(3, dtype=np.int32)


def test_samples_of_an_array_of_distributions_have_its_shape() -> None:
    x = Gumbel(np.array([[0.0], [100.0]]), np.array([1.0, 2.0, 3.0])).samples(rng=1)
    assert x.shape == (2, 3)
    assert (x[1] > 50).all()
    assert gumbel.samples(rng=1).shape == ()
    with pytest.raises(ValueError, match="scale = 0"):
        Gumbel(0, 0)
