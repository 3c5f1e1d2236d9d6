"""Matrix products, and loops of four shapes, in any number of threads."""

from __future__ import annotations

import gc
import math
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.threads import available_threads, matmul, pi, shapes, tiled, triad
from examples.threads.functions import PRODUCTS
from examples.threads.kernels import KERNELS

SIZES = st.integers(0, 40)
every_kernel = pytest.mark.parametrize("kernel", PRODUCTS)


def matrices(m: int, k: int, n: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(m, k)), random.normal(size=(k, n))


def assert_is_product(found: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Each sum of k products is off by at most k roundings of what was added."""
    bound = (a.shape[1] + 2) * np.finfo(float).eps * (abs(a) @ abs(b))
    assert (abs(found - a @ b) <= bound).all()


@every_kernel
@settings(max_examples=40, deadline=None)
@given(m=SIZES, k=SIZES, n=SIZES, threads=st.integers(1, 3))
def test_the_product_is_numpys(kernel: str, m: int, k: int, n: int, threads: int) -> None:
    a, b = matrices(m, k, n)
    found = matmul(a, b, kernel=kernel, threads=threads)
    assert found.shape == (m, n)
    assert_is_product(found, a, b)


@pytest.mark.parametrize("shape", [(197, 513, 50), (9, 3, 3100), (1, 600, 1), (8, 256, 24)])
def test_matrices_of_several_blocks(shape: tuple[int, int, int]) -> None:
    a, b = matrices(*shape)
    assert_is_product(matmul(a, b, threads=1), a, b)


def test_the_product_is_right_on_processors_with_few_registers() -> None:
    a, b = matrices(197, 300, 50)
    out = np.empty((197, 50))
    tiled.tiled(a, b, out, narrow=True)
    assert_is_product(out, a, b)


@every_kernel
def test_the_result_is_the_same_bit_for_bit_in_any_number_of_threads(kernel: str) -> None:
    a, b = matrices(205, 300, 61)
    one = matmul(a, b, kernel=kernel, threads=1)
    for threads in (2, 3, 5, None):
        assert (matmul(a, b, kernel=kernel, threads=threads) == one).all()


@every_kernel
def test_strides_do_not_matter(kernel: str) -> None:
    a, b = matrices(40, 60, 50)
    views = a[::-2, 1::3], b[::3].T[::-1][::2].T
    copies = [np.ascontiguousarray(view) for view in views]
    assert (matmul(*views, kernel=kernel) == matmul(*copies, kernel=kernel)).all()


@every_kernel
def test_nan_and_inf_go_where_they_belong(kernel: str) -> None:
    a, b = matrices(30, 20, 25)
    a[3, 4], b[7, 11] = np.nan, np.inf
    found = matmul(a, b, kernel=kernel)
    assert (np.isnan(found) == np.isnan(a @ b)).all()
    assert (np.isinf(found) == np.isinf(a @ b)).all()


def test_lists_integers_and_float32_are_taken() -> None:
    assert matmul([[1, 2], [3, 4]], [[5, 6], [7, 8]]).tolist() == [[19, 22], [43, 50]]
    a, b = (matrix.astype(np.float32) for matrix in matrices(5, 6, 7))
    assert_is_product(matmul(a, b), a.astype(float), b.astype(float))
    assert_is_product(matmul(a.astype(">f4"), b), a.astype(float), b.astype(float))


def test_the_result_goes_where_it_is_asked_for() -> None:
    a, b = matrices(5, 6, 7)
    out = np.empty((5, 7))
    assert matmul(a, b, out=out) is out
    assert_is_product(out, a, b)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"a": np.ones((2, 3))}, ValueError, "a has 3 columns and b 2 rows"),
        ({"a": np.ones(2)}, ValueError, r"a must have 2 dimensions, not shape \(2,\)"),
        ({"b": np.ones((2, 2, 2))}, ValueError, "b must have 2 dimensions"),
        ({"a": np.ones((2, 2), complex)}, TypeError, "a must have real numbers.*complex128"),
        ({"b": [["x", "y"], ["z", "w"]]}, TypeError, "b must have real numbers"),
        ({"threads": 0}, ValueError, "threads must be at least 1, not 0"),
        ({"threads": 1.5}, TypeError, "threads must be an integer or None, not 1.5"),
        ({"kernel": "fast"}, ValueError, "one of ijk, ikj, tiled, not 'fast'"),
        ({"out": np.ones((2, 3))}, ValueError, r"out must be a float64 array of shape \(2, 2\)"),
        ({"out": np.ones((2, 2), int)}, ValueError, "out must be a float64 array"),
        ({"out": np.ones((2, 2)).T[:, ::-1]}, ValueError, "C-contiguous"),
    ],
)
def test_what_cannot_be_multiplied_is_said(
    given: dict[str, object], error: type[Exception], told: str
) -> None:
    arguments = {"a": np.ones((2, 2)), "b": np.ones((2, 2)), **given}
    with pytest.raises(error, match=told):
        matmul(**arguments)  # type: ignore[arg-type]


def test_a_result_over_an_input_is_refused() -> None:
    a, b = matrices(4, 4, 4)
    with pytest.raises(ValueError, match="must not share memory"):
        matmul(a, b, out=b)


def test_the_number_of_threads_follows_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert available_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert available_threads() >= 1


# Shapes of scaling ---------------------------------------------------------------------------


@given(n=st.integers(0, 40_000), threads=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_the_triad_is_numpys(n: int, threads: int) -> None:
    b, c = np.random.default_rng(n).normal(size=(2, n))
    np.testing.assert_allclose(triad(b, c, 3.0, threads=threads), b + 3 * c, rtol=1e-15, atol=1e-15)


def test_arrays_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, not \(2,\) and \(3,\)"):
        triad([1, 2], [1, 2, 3], 1.0)


@pytest.mark.parametrize("terms", [1, 1_000_000])
def test_pi_is_as_near_as_the_terms_allow(terms: int) -> None:
    summed = -(-terms // 8192) * 8192
    assert math.pi - pi(terms) == pytest.approx(1 / summed, rel=1e-3)


def test_pi_is_the_same_bit_for_bit_in_any_number_of_threads() -> None:
    assert pi(1_000_000, threads=1) == pi(1_000_000, threads=2) == pi(1_000_000, threads=3)


def test_no_terms_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        pi(0)


def test_blocks_of_memory_are_the_same_for_any_team() -> None:
    sums = np.zeros((3, 40), np.int64)
    for team, row in enumerate(sums):
        shapes.allocate(row, team=team)
    assert (sums[0] > 0).all()
    assert (sums == sums[0]).all()
    later = np.zeros(10, np.int64)
    shapes.allocate(later, 30)
    assert (later == sums[0, 30:]).all()


@pytest.mark.parametrize(
    "how", [{"release": False}, {}, {"team": 1}, {"team": 2}, {"team": 2, "release": False}]
)
def test_python_is_called_for_each_unit(how: dict[str, int]) -> None:
    told: list[int] = []
    sums = np.zeros(50)
    shapes.call_back(told.append, sums, 100, **how)
    assert sorted(told) == list(range(50))
    np.testing.assert_allclose(sums, math.sqrt(2), rtol=1e-15)


@pytest.mark.parametrize("how", [{"release": False}, {}, {"team": 2}])
def test_what_the_called_function_raises_is_raised(how: dict[str, int]) -> None:
    def stop(unit: int) -> None:
        if unit == 7:
            raise KeyError(unit)

    with pytest.raises(KeyError, match="7"):
        shapes.call_back(stop, np.zeros(20), 10, **how)


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_refuses_a_team_of_less_than_nothing(name: str) -> None:
    problem = KERNELS[name].problem(24, 1)
    with pytest.raises(ValueError, match="team must be 0"):
        problem.run(0, 1, release=True, team=-1)


# The GIL -------------------------------------------------------------------------------------


@pytest.fixture
def unhurried() -> Iterator[None]:
    """Threads give the GIL up only where they wait or release it."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("there is no GIL to hold")
    interval = sys.getswitchinterval()
    gc.collect()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)


class Other:
    """Another thread, that runs once when it is let go and gets the GIL."""

    def __init__(self) -> None:
        self._turn, self._ran = threading.Lock(), threading.Event()
        self._turn.acquire()
        self.let_go = self._turn.release
        self.has_run = self._ran.is_set
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.join = self._thread.join

    def _run(self) -> None:
        with self._turn:
            self._ran.set()


WITHOUT_PYTHON = [name for name in KERNELS if name != "callback"]


@pytest.mark.parametrize("name", WITHOUT_PYTHON)
def test_no_other_thread_runs_while_the_gil_is_held(unhurried: None, name: str) -> None:
    problem, other = KERNELS[name].problem(150, 1), Other()
    other.let_go()
    end = time.perf_counter() + 0.3  # in that time, the other would run if it could
    while time.perf_counter() < end:
        problem.run(0, problem.units, release=False, team=0)
    ran = other.has_run()
    other.join()
    assert not ran


@pytest.mark.parametrize(
    ("release", "team"), [(True, 0), (True, 2), (False, 2)], ids=["released", "team", "held team"]
)
@pytest.mark.parametrize("name", WITHOUT_PYTHON)
def test_another_thread_runs_while_the_gil_is_released_as_it_always_is_by_a_team(
    unhurried: None, name: str, release: bool, team: int
) -> None:
    problem, other = KERNELS[name].problem(60, 1), Other()
    other.let_go()
    for _ in range(20_000):
        problem.run(0, problem.units, release=release, team=team)
        if other.has_run():
            break
    ran = other.has_run()
    other.join()
    assert ran


def test_a_build_without_a_gil_keeps_it_off() -> None:
    """The kernels say that they need none: importing them would turn it on otherwise."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this Python has a GIL")
    assert not sys._is_gil_enabled()
