"""The benchmarks' own arithmetic and checks: numbers that mislead are worse than none.

What they measure is not repeated here; a missing tool, a wrong answer and a stale build have to
fail them.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import edit_rerun
import floor
import kernels
import pytest
import speed
import tables
from environment import Environment
from harness import BenchmarkError, Sample, child_environment, fill, paired_ratio
from kernel_case import Case
from project import Built, Ran
from project import Project as Measured
from subjects import SUBJECTS, Subject
from support import Project
from tables import Build
from tools import PEERS, Pyximport, Tool

ROOT = Path(__file__).parent.parent
ENVIRONMENT = Environment(Path(sys.executable).parent, Path(), Path())


def sample(tool: str, number: int, seconds: float, flow: str = "edited") -> Sample:
    return Sample(tool, "foo", flow, number, seconds, cpu=seconds, bare=0.02)


def build(seconds: float, floor: float, **phases: float) -> Build:
    return Build("foo", "edited", 0, seconds, 1, phases, commands=0.5, floor=floor)


def rows(table: str) -> list[list[str]]:
    """The cells of a markdown table's rows, its head first."""
    lines = [line for line in table.splitlines() if not line.startswith("| -")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    # The machine was ten times slower in the last round: the medians' ratio would be 20.
    slow = [("pyximport", 0, 4.0), ("pyximport", 1, 6.0), ("pyximport", 2, 60.0)]
    fast = [("cyhot", 0, 2.0), ("cyhot", 1, 0.3), ("cyhot", 2, 20.0)]
    samples = [sample(*one) for one in slow + fast]
    assert paired_ratio(samples, "foo", "edited", "pyximport", "cyhot") == 3.0


def test_a_ratio_needs_both_tools_in_one_round() -> None:
    samples = [sample("pyximport", 0, 4.0), sample("cyhot", 1, 2.0)]
    assert paired_ratio(samples, "foo", "edited", "pyximport", "cyhot") is None


def test_the_table_has_times_and_how_many_times_the_first_tools_they_are() -> None:
    samples = [
        sample("cyhot", 0, 0.5),
        sample("pyximport", 0, 3.5),
        sample("cyhot", 0, 0.5, "cold"),
    ]
    assert rows(tables.flows_table(samples, ["cyhot", "pyximport"])) == [
        ["module", "flow", "cyhot", "pyximport"],
        ["foo", "edited", "500 ms", "3.50 s (7.00x)"],
        ["foo", "cold", "500 ms", "-"],
    ]


def test_what_is_above_the_floor() -> None:
    measured = tables.Measured(
        samples=[sample("plain", 0, 0.1, "unchanged")],
        builds=[
            build(1.0, 0.4, transpile=0.2, compile=0.5),
            build(3.0, 2.0, compile=0.5, swap=1.0),
        ],
    )
    head, row = rows(tables.phases_table(measured))
    told = dict(zip(head, row, strict=True))
    assert (told["total"], told["floor"], told["total / floor"]) == ("2.00 s", "1.20 s", "2.00x")
    assert (told["compile"], told["swap"]) == ("500 ms", "500 ms")
    assert told["other"] == "900 ms"  # of 0.3 s and 1.5 s
    assert told["own"] == "1.50 s"  # of 0.5 s and 2.5 s
    assert told["total - 1.25 floor"] == "500 ms"  # of 0.5 s twice
    assert told["less plain"] == "400 ms"


def test_phases_of_modules_built_side_by_side_are_not_taken_off_the_total() -> None:
    many = Build("package", "cold", 0, 4.0, 20, {"compile": 7.0}, commands=7.0, floor=3.0)
    head, row = rows(tables.phases_table(tables.Measured(builds=[many])))
    told = dict(zip(head, row, strict=True))
    assert (told["compile"], told["other"], told["own"]) == ("7.00 s", "-", "-")


def test_cyhot_is_compared_with_itself() -> None:
    samples = [
        sample("cyhot (default)", 0, 2.2, "first"),
        sample("cyhot (worker off)", 0, 2.0, "first"),
        sample("cyhot (one core)", 0, 9.0, "one core"),
        sample("cyhot", 0, 5.0, "cold"),
    ]
    _head, first, jobs = rows(tables.comparisons_table(samples))
    assert first[2:] == ["2.20 s", "2.00 s", "1.10x"]
    assert jobs[2:] == ["9.00 s", "5.00 s", "1.80x"]


def test_quick_tools_take_turns_with_slow_ones() -> None:
    turns = list(speed.turns(["cyhot"], ["pyximport", "setup.py"]))  # type: ignore[list-item]
    assert turns == ["cyhot", "pyximport", "cyhot", "setup.py", "cyhot"]
    assert list(speed.turns(["cyhot"], [])) == ["cyhot"] * 3  # type: ignore[list-item]


def test_the_results_fill_the_marked_part_of_the_document(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    shutil.copy(ROOT / "docs" / "performance.md", path)
    before, _, rest = path.read_text().partition("<!-- speed -->\n")
    after = rest.partition("<!-- end of speed -->")[2]
    fill(path, "speed", "| a table |\n\n")
    assert path.read_text() == (
        f"{before}<!-- speed -->\n| a table |\n<!-- end of speed -->{after}"
    )


def test_a_document_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("mine\n")
    with pytest.raises(BenchmarkError, match="no lines '<!-- speed -->'"):
        fill(path, "speed", "| a table |")
    assert path.read_text() == "mine\n"


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
def test_an_edit_changes_one_file(subject: Subject) -> None:
    before, after = subject.files(1), subject.files(2)
    changed = [name for name in before if before[name] != after[name]]
    assert changed == (
        ["bundle/shared.pxd"] if subject.name == "package" else [f"{subject.name}.pyx"]
    )
    assert subject.expected(1) != subject.expected(2)


def test_the_large_module_is_large() -> None:
    (text,) = SUBJECTS["large"].files(0).values()
    assert 2000 <= text.count("\n") < 2100


def test_every_peer_says_how_it_builds_every_module() -> None:
    for tool in PEERS.values():
        for subject in SUBJECTS.values():
            assert not tool.covers(subject) or "print('answer'" in tool.files(subject)["main.py"]


def test_the_short_benchmark_asks_for_what_there_is() -> None:
    options = speed.parse_arguments([*edit_rerun.CHOSEN, "--flows", "edited"])
    assert options.tools == ["cyhot", "pyximport", "setup.py"]
    assert options.modules == ["foo", "matmul"]
    assert options.flows == ["edited"]  # what is said last holds


def test_a_missing_peer_ends_the_run_and_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pyximport, "requires", ("no_such_peer",))
    assert speed.main(["--tools", "pyximport", "--modules", "foo"]) == 1
    told = capsys.readouterr()
    assert "pyximport needs no_such_peer" in told.err
    assert "pip install -e '.[bench]'" in told.err
    assert told.out == ""


def test_a_peer_that_fails_late_costs_no_number_that_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(options: object, measured: tables.Measured, facts: object) -> None:
        measured.samples.append(sample("cyhot", 0, 0.5))
        raise BenchmarkError("pyximport: wrong answer")

    monkeypatch.setattr(speed, "run_bench", fails)
    kept, table = tmp_path / "speed.json", tmp_path / "performance.md"
    assert speed.main(["--json", str(kept), "--table", str(table)]) == 1
    told = json.loads(kept.read_text())
    assert told["facts"]["failed"] == "pyximport: wrong answer"
    assert [one["seconds"] for one in told["samples"]] == [0.5]
    assert not table.exists()


class Stale(Tool):
    """A tool that runs the code before the edit."""

    name = "stale"
    flows = ("unchanged",)

    def files(self, subject: Subject) -> dict[str, str]:
        return {"main.py": "print('answer', 49)\n"}


def test_the_answer_of_the_code_before_the_edit_fails_the_run(tmp_path: Path) -> None:
    project = Measured(Stale(), SUBJECTS["foo"], tmp_path / "p", tmp_path / "home", ENVIRONMENT)
    project.create()
    with pytest.raises(BenchmarkError, match="wrong answer: stale, foo, edited, round 3"):
        project.measure("edited", 3)


def test_the_floor_runs_the_commands_that_cyhot_ran(built: Project, tmp_path: Path) -> None:
    (event,) = (event for event in built.events() if event["event"] == "BuildFinished")
    commands = tuple(
        Ran(tuple(told["args"]), told["folder"], told["seconds"]) for told in event["commands"]
    )
    assert sum(command.seconds for command in commands) < event["seconds"]
    foo = Built("foo", Path(event["image"]), event["phases"], commands)
    environ = child_environment(tmp_path)
    assert floor.seconds([foo], tmp_path / "floor", environ) > 0

    broken = tuple(Ran((*c.args, "--no-such-option"), c.folder, c.seconds) for c in commands)
    with pytest.raises(BenchmarkError, match="--no-such-option"):
        floor.seconds([Built("foo", foo.image, {}, broken)], tmp_path / "broken", environ)


def test_a_build_that_tells_of_no_command_has_no_floor(tmp_path: Path) -> None:
    silent = Built("foo", tmp_path / "foo.so", {}, ())
    with pytest.raises(BenchmarkError, match="no command that built foo"):
        floor.seconds([silent], tmp_path / "floor", {})


def case(**changes: object) -> Case:
    """Twice 21, by us and by a peer, both in no time."""
    given: dict[str, object] = {
        "family": "threads",
        "name": "twice",
        "size": "n = 21",
        "ours": lambda threads: 42,
        "peers": {"adding": lambda: 21 + 21},
        "check": _is_equal,
    }
    return Case(**(given | changes))  # type: ignore[arg-type]


def _is_equal(ours: object, expected: object) -> None:
    assert ours == expected, f"{ours} != {expected}"


def timed(tool: str, *seconds: float) -> list[Sample]:
    return [
        Sample(tool, "twice", "n = 21", number, one, cpu=one, bare=0.0)
        for number, one in enumerate(seconds)
    ]


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has these cases be the family "threads"."""

    def have(*some: Case) -> None:
        module = SimpleNamespace(cases=lambda: iter(some))
        monkeypatch.setitem(sys.modules, "kernels_threads", module)  # type: ignore[arg-type]

    return have


Have = Callable[..., None]


def test_a_bar_is_held_against_the_median_of_the_rounds_own_ratios() -> None:
    # The machine was ten times slower in the last round.
    samples = timed("ours", 1.0, 1.0, 10.0) + timed("adding", 4.0, 6.0, 50.0)
    samples += timed("ours, 2 threads", 0.5, 0.8, 5.0)
    promised = case(bars={"adding": 5.0}, scaling=2.1)
    adding, two = kernels.summed_up(promised, samples).verdicts
    assert (adding.ratio, adding.missed) == (5.0, False)
    assert (two.ratio, two.missed) == (2.0, True)
    head, *told = rows(kernels.table([kernels.summed_up(promised, samples)]))
    assert head == ["", "of", "ours", "against", "its time", "ratio", "at least", ""]
    assert told == [
        ["twice", "n = 21", "1.00 s", "adding", "6.00 s", "5.00x", "5.00x", "met"],
        ["twice", "n = 21", "800 ms (2 threads)", "ours, 1 thread", "1.00 s",
         "2.00x", "2.10x", "**missed**"],
    ]  # fmt: skip


def test_all_ways_take_turns_and_each_round_has_all(cases: Have, tmp_path: Path) -> None:
    asked: list[int] = []
    cases(case(ours=lambda threads: asked.append(threads) or 42))
    path = tmp_path / "kernels.json"
    assert kernels.main(["--only", "threads", "--rounds", "3", "--json", str(path)]) == 0
    (told,) = json.loads(path.read_text())["cases"]
    turns = [(one["round"], one["tool"]) for one in told["samples"]]
    ways = ["ours", "adding", "ours, 2 threads"]
    assert turns == [(number, way) for number in range(3) for way in ways]
    assert set(asked) == {1, 2}
    assert [(one["of"], one["to"]) for one in told["ratios"]] == [
        ("adding", "ours"),
        ("ours", "ours, 2 threads"),
    ]


def test_a_peer_that_is_not_installed_fails_the_run_of_kernels(
    cases: Have, capsys: pytest.CaptureFixture[str]
) -> None:
    cases(case(peers={"lost": lambda: importlib.import_module("no_such_peer")}))
    assert kernels.main(["--only", "threads"]) == 1
    told = capsys.readouterr()
    assert "threads twice (n = 21) needs no_such_peer" in told.err
    assert "pip install -e '.[bench]'" in told.err
    assert told.out == ""


@pytest.mark.parametrize("threads", [1, 2])
def test_an_answer_that_is_not_the_peers_fails_the_run_of_kernels(
    cases: Have, capsys: pytest.CaptureFixture[str], threads: int
) -> None:
    cases(case(ours=lambda given: 41 if given == threads else 42))
    assert kernels.main(["--only", "threads"]) == 1
    told = capsys.readouterr()
    assert "wrong answer: threads twice (n = 21), ours" in told.err
    assert "is not what adding says: 41 != 42" in told.err
    assert told.out == ""


def test_a_bar_against_nobody_fails_the_run_of_kernels(
    cases: Have, capsys: pytest.CaptureFixture[str]
) -> None:
    cases(case(bars={"ading": 2.0}))
    assert kernels.main(["--only", "threads"]) == 1
    assert "a bar against ading, and only these peers: adding" in capsys.readouterr().err


def test_a_missed_bar_is_told_after_the_table_and_in_the_exit_status(
    cases: Have, capsys: pytest.CaptureFixture[str]
) -> None:
    cases(case(bars={"adding": 1e9}))
    assert kernels.main(["--only", "threads", "--rounds", "1"]) == 1
    told = capsys.readouterr()
    assert "**missed**" in told.out
    assert "missed: threads twice (n = 21): adding / ours is" in told.err


def test_an_interrupted_run_of_kernels_shows_what_it_has(
    cases: Have, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(threads: int) -> object:
        raise KeyboardInterrupt

    cases(case(), case(name="never", ours=interrupt))
    assert kernels.main(["--only", "threads", "--rounds", "1"]) == 130
    told = capsys.readouterr().out
    assert "| twice |" in told
    assert "- interrupted: True" in told
    assert "never" not in told


def test_each_family_of_kernels_has_its_part_of_the_document(
    cases: Have, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "performance.md"
    shutil.copy(ROOT / "docs" / "performance.md", path)
    for family in kernels.FAMILIES:
        assert f"<!-- kernels: {family} -->\n" in path.read_text()
    monkeypatch.setattr(kernels, "DOCUMENT", path)
    cases(case())
    assert kernels.main(["--only", "threads", "--rounds", "1", "--update-docs"]) == 0
    part = path.read_text().partition("<!-- kernels: threads -->\n")[2]
    assert part.startswith("|")
    assert "| twice |" in part.partition("<!-- end of kernels: threads -->")[0]
