"""python -m examples.gumbel prints what it says and writes its pictures where it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.gumbel.__main__ import main
from examples.team import most_threads


def test_prints_a_race_and_its_frequencies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--weights", "1,2,0,1", "--draws", "20000", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = lines.index(next(line for line in lines if "probability" in line)) + 1
    rows = [line.split() for line in lines[first : first + 4]]
    assert [float(row[1]) for row in rows] == [0.25, 0.5, 0, 0.25]
    assert all(abs(float(row[2]) - float(row[1])) < 0.02 for row in rows)
    assert rows[2][4] == "-"
    assert any(line.startswith("20,000 races of 4 categories") for line in lines)


def test_writes_its_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new"
    assert main(["--draws", "1000", "--weights", "3,0,1", "--pictures", str(folder)]) == 0
    written = capsys.readouterr().out
    for name in ("gumbel-race.png", "gumbel-error.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert str(folder / name) in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "0,0"], "no category is possible"),
        (["--weights", "1,-1"], "finite and not negative"),
        (["--weights", "1,x"], "numbers with commas between them, not '1,x'"),
        (["--draws", "0"], "a number of at least 1, not '0'"),
    ],
)
def test_bad_arguments_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as stop:  # argparse's own
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err


def test_a_place_where_no_folder_can_be_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "pictures"
    assert main(["--draws", "1000", "--pictures", str(folder)]) == 2
    assert f"Not a directory: '{folder}'" in capsys.readouterr().err


def test_a_great_number_of_threads_is_bounded_and_the_number_used_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--draws", "1000", "--threads", "1000000"]) == 0
    assert f"on {most_threads()} threads: " in capsys.readouterr().out
