"""The scaling driver: what it makes of times, and what it says when something goes wrong."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.team import most_threads
from examples.threads import experiment, laws, machine, peers, scaling, tables
from examples.threads.experiment import MODES, Sample, Setup, Times
from examples.threads.kernels import KERNELS, Problem
from examples.threads.results import Results
from examples.threads.scaling import OUT, main

SMALL = ("--n", "24", "--rounds", "1", "--threads", "1,2")


# Laws ----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(s=st.floats(0, 1), workers=st.sets(st.integers(2, 64), min_size=1, max_size=5))
def test_the_serial_part_of_exact_times_is_found(s: float, workers: set[int]) -> None:
    relative = {1: 1.0} | {p: 1 / laws.amdahl(s, p) for p in workers}
    assert laws.serial_fraction(relative) == pytest.approx(s, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(p=st.integers(2, 64), time=st.floats(0.01, 2))
def test_with_two_points_it_is_karp_and_flatts_metric(p: int, time: float) -> None:
    faster = 1 / time
    metric = (1 / faster - 1 / p) / (1 - 1 / p)
    found = laws.serial_fraction({1: 1.0, p: time})
    assert found == pytest.approx(min(1, max(0, metric)), abs=1e-9)


def test_one_worker_alone_has_no_serial_part() -> None:
    assert laws.serial_fraction({1: 1.0}) is None


def test_speed_up_and_efficiency() -> None:
    relative = {1: 1.0, 2: 0.5, 4: 0.5}
    assert laws.speedup(relative) == {1: 1, 2: 2, 4: 2}
    assert laws.strong_efficiency(relative) == {1: 1, 2: 1, 4: 0.5}
    assert laws.weak_efficiency({1: 1.0, 2: 2.0}) == {1: 1, 2: 0.5}


def test_a_roof_slants_up_to_its_ridge() -> None:
    roof = laws.Roof(1, flops=100.0, bandwidth=20.0)
    assert roof.ridge == 5
    assert [roof.at(x) for x in (0.5, 5, 50, math.inf)] == [10, 100, 100, 100]


# Setups and times ----------------------------------------------------------------------------


class Recorded(Problem):
    """Notes what it is told to compute; raises what it is given."""

    def __init__(self, units: int = 10, wrong: bool = False) -> None:
        super().__init__(units)
        self.parts: list[tuple[int, int, bool, int]] = []
        self.wrong = wrong

    def run(self, first: int, last: int, *, release: bool, team: int) -> None:
        self.parts.append((first, last, release, team))
        if self.wrong == "raises":
            raise OSError(f"{first} to {last}")

    def check(self, units: int) -> None:
        assert not self.wrong, "not the product"


def test_python_threads_share_all_units_once() -> None:
    problem = Recorded()
    assert experiment.run(problem, Setup(3, 0, True, 2)) > 0
    assert sorted(problem.parts) == [(0, 6, True, 0), (6, 13, True, 0), (13, 20, True, 0)]


def test_a_team_gets_all_units_in_one_call() -> None:
    problem = Recorded()
    experiment.run(problem, MODES["prange"](4, 1))
    assert problem.parts == [(0, 10, True, 4)]


def test_what_a_kernel_raises_in_another_thread_is_raised() -> None:
    with pytest.raises(OSError, match="0 to 5"):
        experiment.run(Recorded(wrong="raises"), Setup(2, 0, True, 1))  # type: ignore[arg-type]


def test_the_articles_setups_are_its_table() -> None:
    setups = experiment.article([1, 2], cores=4)
    assert len(set(setups)) == 8
    assert Setup(2, 4, False, 2) in setups  # two threads, held, prange, a product each
    assert {setup.times for setup in setups if setup.threads == 1} == {1}


def test_the_articles_setups_leave_out_crowds_of_thousands_of_threads() -> None:
    setups = experiment.article([1, 2, 256], cores=256)
    assert max(setup.workers for setup in setups) == 512
    assert Setup(256, 0, True, 256) in setups


def sweep(problem: Problem, rounds: int = 2) -> Iterable[Sample]:
    kernel = replace(KERNELS["pi"], problem=lambda n, times: problem)
    return experiment.sweep(kernel, 24, experiment.strong([1, 2]), rounds)


def test_all_setups_take_turns() -> None:
    samples = list(sweep(Recorded()))
    setups = experiment.strong([1, 2])
    assert [(one.round, one.setup) for one in samples] == [(n, s) for n in (0, 1) for s in setups]


def test_a_wrong_answer_is_never_timed() -> None:
    with pytest.raises(AssertionError, match="not the product"):
        next(iter(sweep(Recorded(wrong=True))))


def samples(setup: Setup, *seconds: float, kernel: str = "ijk") -> list[Sample]:
    return [Sample(kernel, setup, number, spent) for number, spent in enumerate(seconds)]


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    one, two = Setup(1, 0, True, 1), Setup(2, 0, True, 1)
    times = Times(samples(one, 4.0, 6.0, 60.0) + samples(two, 2.0, 4.0, 20.0))
    assert times.median(one) == 6
    assert times.relative({1: one, 2: two}) == {1: 1, 2: 0.5}
    assert times.ratio(one, Setup(9, 0, True, 1)) is None


@pytest.fixture
def article() -> Results:
    """Times like the article's: held threads take turns, released ones do not."""
    results = Results(n=1200, cores=2, counts=[1, 2])
    for threads, release, spent in [(1, True, 3.0), (1, False, 3.0), (2, True, 3.3), (2, False, 6)]:
        results.samples += samples(Setup(threads, 0, release, threads), spent)
    return results


def test_the_articles_times_stand_beside_ours(article: Results) -> None:
    rows = [(row[0], row[1], row[3], row[4], row[5]) for row in article.article()]
    assert rows == [
        (1, True, 3.0, 1.0, 3.47),
        (1, False, 3.0, 1.0, 3.51),
        (2, True, 3.3, pytest.approx(1.1), 3.78),
        (2, False, 6, 2.0, 6.96),
    ]


def test_weak_scaling_of_held_threads_is_half_of_use(article: Results) -> None:
    curves = {curve.mode: curve for curve in article.curves("ijk", weak=True)}
    assert laws.weak_efficiency(curves["threads, held"].relative) == {1: 1, 2: 0.5}
    assert curves["threads, held"].flops[2] == 2 * 2 * 1200**3 / 6


def test_the_serial_part_is_fitted_to_as_many_workers_as_there_are_cores() -> None:
    results = Results(n=24, cores=2, counts=[1, 2, 4])
    for workers, spent in [(1, 1.0), (2, 0.6), (4, 0.9)]:
        results.samples += samples(MODES["prange"](workers, 1), spent)
    (curve,) = results.curves("ijk")
    assert results.serial_fraction(curve) == pytest.approx(0.2)


def test_the_roofline_has_each_kernels_best_with_as_many_threads() -> None:
    results = Results(n=1200, cores=2, counts=[1, 2], roofs=[laws.Roof(2, 1e11, 2e10)])
    results.samples += samples(MODES["prange"](2, 1), 0.5, kernel="triad")
    results.samples += samples(MODES["threads, released"](2, 1), 0.25, kernel="triad")
    results.samples += samples(MODES["prange"](2, 1), 0.5, kernel="allocate")
    (dot,) = results.dots()  # allocating is no arithmetic
    flops = KERNELS["triad"].cost(1200).flops / 0.25
    assert (dot.kernel, dot.threads, dot.flops) == ("triad", 2, flops)
    assert dot.intensity == pytest.approx(1 / 12)


# The driver ----------------------------------------------------------------------------------


def test_the_driver_measures_shows_writes_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers, picture = tmp_path / "scaling.json", tmp_path / "scaling.png"
    chosen = ["--kernel", "ijk,triad,callback", "--no-peers"]
    assert main([*SMALL, *chosen, "--json", str(numbers), "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert machine.gil() in shown
    for title in ("each Python thread multiplies", "Strong scaling", "Weak scaling", "Roofline"):
        assert title in shown
    told = json.loads(numbers.read_text())
    assert len(told["article"]) == 8
    assert {curve["mode"] for curve in told["strong"]} == set(MODES)
    assert {sample["kernel"] for sample in told["samples"]} == {"ijk", "triad", "callback"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_tables_fit_into_eighty_columns(article: Results) -> None:
    article.counts = [1, 2, 4]
    for kernel in KERNELS:
        for setup in experiment.strong(article.counts) + experiment.weak(article.counts):
            article.samples += samples(setup, 123e-6, kernel=kernel)
    article.roofs = [laws.Roof(1, 1e11, 2e10)]
    with OUT.capture() as captured:
        for table in tables.every(article):
            OUT.print(table, width=80)
    assert "…" not in captured.get()
    assert "4 threads, released *" in captured.get()


def test_an_interrupted_driver_shows_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(Recorded):
        def run(self, first: int, last: int, *, release: bool, team: int) -> None:
            raise KeyboardInterrupt

    stopped = replace(KERNELS["callback"], problem=lambda n, times: Interrupted())
    monkeypatch.setitem(KERNELS, "callback", stopped)
    assert main([*SMALL, "--kernel", "pi,callback"]) == 130
    told = capsys.readouterr()
    assert "interrupted" in told.err
    assert "prange of 2" in told.out
    assert "callback" not in told.out


def test_a_wrong_answer_ends_the_driver(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(KERNELS["pi"], problem=lambda n, times: Recorded(wrong=True))
    monkeypatch.setitem(KERNELS, "pi", wrong)
    assert main([*SMALL, "--kernel", "pi"]) == 1
    assert "wrong answer: not the product" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--kernel", "ijk,kij"], "unknown: kij; known: ijk, ikj, tiled"),
        (["--threads", "1,0"], "at least 1, not '0'"),
        (["--threads", "2,100000"], f"at most {most_threads()} on this machine, not 100000"),
        (["--n", "-3"], "at least 1, not '-3'"),
        (["--plot", "/nonexistent/x.png"], "--plot: there is no folder /nonexistent"),
        (["--json", "/nonexistent/x.json"], "--json: there is no folder /nonexistent"),
        (["--json", "/"], "--json: / is a folder"),
        (["--plot", "curves"], "--plot: expected a name that ends in .png, .svg, .pdf, .jpg"),
        (["--rounds", "few"], "at least 1, not 'few'"),
    ],
)
def test_wrong_usage_is_said(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*SMALL, "--kernel", "pi", *arguments])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_watching_without_cyhot_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cyhot", None)  # as if it were not installed
    assert main([*SMALL, "--kernel", "pi", "--watch"]) == 2
    assert "--watch needs cyhot" in capsys.readouterr().err


def test_one_worker_is_always_measured_others_are_told_relative_to_it() -> None:
    assert scaling.parse_arguments(["--threads", "4,2,4"]).threads == [1, 2, 4]


def test_others_ways_to_the_product_are_right_and_who_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    told = list(peers.compare(12, [1, 2], rounds=1))
    assert told[0] == "numba, ijk: not measured: numba is not installed: pip install numba"
    assert [(one.peer, one.threads) for one in told[1:]] == [  # type: ignore[union-attr]
        (peer.name, threads)
        for peer in peers.PEERS
        if not peer.name.startswith("numba")
        for threads in (1, 2)
    ]
    results = Results(n=12, cores=2, counts=[1, 2], timed=told[1:], absent=told[:1])  # type: ignore[arg-type]
    with OUT.capture() as captured:
        OUT.print(tables.peers(results))
    assert "numba is not installed" in captured.get()
    assert "pure Python in threads" in captured.get()
