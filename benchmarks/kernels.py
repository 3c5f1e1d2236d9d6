"""The example packages' kernels against others' ways to the same answer.

    pip install -e '.[bench]'
    python benchmarks/kernels.py --rounds 7 --json kernels.json --update-docs

The cases are in kernels_information.py, kernels_gumbel.py and kernels_threads.py. All of a case's
ways run in this process and take turns: in each round ours on one thread, each peer, ours on two
threads, each as often as fills a twentieth of a second. Times are medians, ratios are medians of
the rounds' own ratios. BLAS and OpenMP are held to one thread, where a peer would use more; ours
uses as many as it is told.

A peer that is not installed, and an answer that is not the peer's, end the run with status 1, and
so does a missed bar, after the tables.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import (
    BenchmarkError,
    Cell,
    Sample,
    cells,
    fill,
    machine,
    markdown_table,
    paired_ratio,
    progress,
    show_ratio,
    show_seconds,
)
from kernel_case import Case
from tables import facts_list
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
FAMILIES = ("information", "gumbel", "threads")
DISTRIBUTIONS = (
    *("cyhot", "cython", "numpy", "scipy", "scikit-learn", "infomeasure", "numba"),
    "threadpoolctl",
)
OURS = {1: "ours", 2: "ours, 2 threads"}
FILL_SECONDS = 0.05  # quick ways are repeated until a clock's tick is nothing


@dataclass(frozen=True)
class Verdict:
    """A promised ratio and the one that was measured.

    Attributes:
        of: Whose time is divided: a peer's, or ours on one thread.
        to: By whose: ours, on one thread or on two.
        ratio: The median of the rounds' own ratios.
        bar: What it has to be at least, None if nothing is promised.
    """

    of: str
    to: str
    ratio: float
    bar: float | None

    @property
    def missed(self) -> bool:
        """Whether it is promised more than what was measured."""
        return self.bar is not None and self.ratio < self.bar


@dataclass(frozen=True)
class Measured:
    """What the samples of one case come to."""

    family: str
    name: str
    size: str
    cells: Mapping[str, Cell]
    verdicts: Sequence[Verdict]
    samples: Sequence[Sample]


# Cases ---------------------------------------------------------------------------------------


def cases_of(family: str) -> Iterator[Case]:
    """Yields the cases of a family, one after another: only one's data is there at a time.

    Raises:
        BenchmarkError: something that a case needs is not installed.
    """
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # for the examples: a script's own folder is all there is
    try:
        yield from importlib.import_module(f"kernels_{family}").cases()
    except ModuleNotFoundError as error:
        raise _missing(family, error) from error


def _missing(what: str, error: ModuleNotFoundError) -> BenchmarkError:
    return BenchmarkError(f"{what} needs {error.name}; pip install -e '.[bench]'")


def ways_of(case: Case) -> dict[str, Callable[[], object]]:
    """Returns all that takes turns in a round, by name: ours on one thread first.

    Raises:
        BenchmarkError: a bar is promised against a peer that the case does not have.
    """
    if unknown := [peer for peer in case.bars if peer not in case.peers]:
        raise BenchmarkError(
            f"{title(case)} has a bar against {', '.join(unknown)}, "
            f"and only these peers: {', '.join(case.peers) or 'none'}"
        )
    return {
        OURS[1]: lambda: case.ours(1),
        **case.peers,
        OURS[2]: lambda: case.ours(2),
    }


def title(case: Case | Measured) -> str:
    """Returns what a case is called in messages."""
    return f"{case.family} {case.name} ({case.size})"


def check(case: Case) -> None:
    """Computes every way once and compares each of our answers with each peer's.

    Raises:
        BenchmarkError: an answer differs, or a peer is not installed.
    """
    answers = {OURS[1]: case.ours(1), OURS[2]: case.ours(2)}
    for peer, compute in case.peers.items():
        try:
            expected = compute()
        except ModuleNotFoundError as error:
            raise _missing(title(case), error) from error
        for ours, answer in answers.items():
            if case.check:
                try:
                    case.check(answer, expected)
                except AssertionError as error:
                    raise BenchmarkError(
                        f"wrong answer: {title(case)}, {ours}, is not what {peer} says: {error}"
                    ) from error


# Time ----------------------------------------------------------------------------------------


def measure(case: Case, rounds: int) -> Measured:
    """Checks a case's answers, then times its ways in turn.

    Raises:
        BenchmarkError: an answer is wrong, a peer is missing.
    """
    ways = ways_of(case)
    check(case)
    # Only now are all their libraries loaded: those that are loaded later would not be limited.
    with threadpool_limits(1):
        numbers = {name: _repeats(way) for name, way in ways.items()}
        samples = [
            _sample(case, name, way, number, numbers[name])
            for number in range(rounds)
            for name, way in ways.items()
        ]
    return summed_up(case, samples)


def _repeats(way: Callable[[], object]) -> int:
    return max(1, round(FILL_SECONDS / max(timeit.timeit(way, number=1), 1e-9)))


def _sample(case: Case, name: str, way: Callable[[], object], number: int, repeats: int) -> Sample:
    used = time.process_time()
    seconds = timeit.timeit(way, number=repeats) / repeats
    cpu = (time.process_time() - used) / repeats
    return Sample(name, case.name, case.size, number, seconds, cpu, bare=0.0)


def summed_up(case: Case, samples: Sequence[Sample]) -> Measured:
    """Returns medians, ratios and whether they are what the case promises: pure."""
    found = {tool: cell for (_module, _flow, tool), cell in cells(samples).items()}

    def verdict(of: str, to: str, bar: float | None) -> Verdict:
        ratio = paired_ratio(samples, case.name, case.size, of, to)
        assert ratio is not None  # every way is in every round
        return Verdict(of, to, ratio, bar)

    verdicts = [verdict(peer, OURS[1], case.bars.get(peer)) for peer in case.peers]
    verdicts.append(verdict(OURS[1], OURS[2], case.scaling))
    return Measured(case.family, case.name, case.size, found, verdicts, samples)


# Tables --------------------------------------------------------------------------------------


def table(measured: Sequence[Measured]) -> str:
    """Returns the medians and ratios in markdown, a row for each peer and one for two threads."""
    head = ["", "of", "ours", "against", "its time", "ratio", "at least", ""]
    rows = []
    for one in measured:
        for verdict in one.verdicts:
            two = verdict.to == OURS[2]
            rows.append([
                one.name,
                one.size,
                show_seconds(one.cells[verdict.to].median) + (" (2 threads)" if two else ""),
                "ours, 1 thread" if two else verdict.of,
                show_seconds(one.cells[verdict.of].median),
                show_ratio(verdict.ratio),
                *_shown_bar(verdict),
            ])  # fmt: skip
    return markdown_table(head, rows)


def _shown_bar(verdict: Verdict) -> tuple[str, str]:
    if verdict.bar is None:
        return "-", ""
    return show_ratio(verdict.bar), "**missed**" if verdict.missed else "met"


def spread(measured: Sequence[Measured]) -> str:
    """Returns every median with its extremes, processor time and sample count."""
    rows = [
        [
            one.name, one.size, name,
            *map(show_seconds, (cell.low, cell.median, cell.high, cell.cpu)), str(cell.count),
        ]
        for one in measured
        for name, cell in one.cells.items()
    ]  # fmt: skip
    return markdown_table(["", "of", "way", "min", "median", "max", "cpu", "n"], rows)


def report(measured: Sequence[Measured], facts: Mapping[str, object]) -> str:
    """Returns the tables with what they were measured on, in markdown."""
    details = f"<details><summary>Extremes</summary>\n\n{spread(measured)}\n\n</details>"
    return "\n\n".join([table(measured), facts_list(facts), details]) + "\n"


def results(measured: Sequence[Measured], facts: Mapping[str, object]) -> dict[str, object]:
    """Returns everything, for a program to read; times in seconds."""
    return {
        "facts": dict(facts),
        "cases": [
            {
                "family": one.family,
                "name": one.name,
                "size": one.size,
                "medians": {name: asdict(cell) for name, cell in one.cells.items()},
                "ratios": [asdict(v) | {"missed": v.missed} for v in one.verdicts],
                "samples": [*map(asdict, one.samples)],
            }
            for one in measured
        ],
    }


# The command line ----------------------------------------------------------------------------


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's values; `only` as a list of families."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", choices=FAMILIES, metavar="FAMILY",
        help=f"one of {', '.join(FAMILIES)}; may be given again; default: all",
    )  # fmt: skip
    parser.add_argument("--rounds", type=_count, default=7, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument(
        "--update-docs", action="store_true",
        help="fill each measured family's part of docs/performance.md",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    options.only = options.only or list(FAMILIES)
    return options


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number of at least 1, not {text!r}")
    return int(text)


def run(options: argparse.Namespace, measured: list[Measured]) -> None:
    """Adds to `measured` as it goes, so that the caller has it if this is interrupted.

    Raises:
        BenchmarkError: a peer is missing or an answer is wrong.
    """
    for family in options.only:
        for case in cases_of(family):
            done = measure(case, options.rounds)
            measured.append(done)
            times = (f"{name} {show_seconds(c.median)}" for name, c in done.cells.items())
            progress(f"{title(done)}: {', '.join(times)}")


def publish(
    measured: Sequence[Measured], options: argparse.Namespace, facts: Mapping[str, object]
) -> None:
    """Prints the tables, and writes them and the numbers where they were asked for."""
    for family in dict.fromkeys(one.family for one in measured):
        text = report([one for one in measured if one.family == family], facts)
        print(f"{family}\n\n{text}")
        if options.update_docs:
            fill(DOCUMENT, f"kernels: {family}", text)
    if options.json:
        options.json.write_text(json.dumps(results(measured, facts), indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, 1 for a failure or a missed bar, 130 for an interruption."""
    options = parse_arguments(arguments)
    facts = machine(DISTRIBUTIONS) | {"rounds": options.rounds}
    measured: list[Measured] = []
    status = 0
    try:
        run(options, measured)
    except BenchmarkError as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        status = 130
        facts["interrupted"] = True
    publish(measured, options, facts)
    missed = [(one, v) for one in measured for v in one.verdicts if v.missed]
    for one, verdict in missed:
        print(
            f"missed: {title(one)}: {verdict.of} / {verdict.to} is {show_ratio(verdict.ratio)}, "
            f"not {show_ratio(verdict.bar)}",
            file=sys.stderr,
        )
    return status or bool(missed)


if __name__ == "__main__":
    sys.exit(main())
