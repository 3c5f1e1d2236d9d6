"""The example's command: tables, and a picture where one is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.information.__main__ import main
from examples.information.study import bayes, coin, correlation, simplex


def test_command_prints_tables_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "information.png"
    main(["--samples", "500", "--bins", "6", "--plot", str(picture)])
    shown = capsys.readouterr().out
    assert "  0.75    0.8113             0.1887                     0.8229" in shown
    assert "heads tell +0.585, tails -1.000" in shown
    assert "500 samples, 6 bins each" in shown
    assert str(picture) in shown
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_command_refuses_what_it_cannot_study(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--bins", "0"])
    assert "expected 10 samples or more, and 1 bin or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bins", "5000000"], "--bins 5000000: bins is 5000000, expected 1 to 4194304"),
        (["--bins", "4000000"], "4000000 x 4000000 bins are too many for 500 samples"),
        (["--samples", "100000000000000000"], "--bins 40: Unable to allocate"),
        (["--samples", "9" * 30], "--bins 40: "),
        (["--plot", "/nonexistent/x.png"], "there is no folder /nonexistent"),
        (["--plot", "x.such"], "--plot x.such: Format 'such' is not supported"),
        (["--plot", "picture"], "--plot picture: expected a suffix that says the format"),
    ],
)
def test_command_says_in_a_line_what_it_cannot_draw_or_count(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--samples", "500", *arguments])
    assert told in capsys.readouterr().err


def test_command_says_where_a_folder_is_in_the_pictures_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(SystemExit, match="2"):
        main(["--samples", "500", "--plot", str(tmp_path / "x.png")])
    assert "x.png: [Errno 21] Is a directory" in capsys.readouterr().err


def test_fair_coins_and_equal_outcomes_have_most_entropy() -> None:
    coins = coin(np.linspace(0, 1, 21))
    assert coins.heads[np.argmax(coins.entropy)] == 0.5
    np.testing.assert_allclose(coins.entropy + coins.divergence, 1, atol=1e-14)
    assert (coins.digits >= coins.entropy - 1e-14).all()
    triangle = simplex(30)
    top = np.argmax(triangle.entropy)
    assert (triangle.x[top], triangle.y[top]) == pytest.approx((0.5, np.sqrt(3) / 6))
    assert triangle.entropy[top] == pytest.approx(np.log2(3), rel=1e-15)


def test_estimates_follow_the_correlation_and_the_correction_brings_them_closer() -> None:
    found = correlation(np.array([-0.8, 0, 0.8]), samples=5000, bins=20, seed=3)
    bias = np.abs([found.plain - found.exact, found.corrected - found.exact])
    assert (bias < 0.1).all()
    assert bias[1].sum() < bias[0].sum()


def test_tosses_add_what_they_tell_to_the_log_odds() -> None:
    found = bayes(0.75, 0.2, np.array([0, 1]))
    assert found.log_odds[0] == pytest.approx(np.log2(0.2 / 0.8))
    assert found.log_odds[2] == pytest.approx(np.log2(0.2 * 0.75 * 0.25 / (0.8 * 0.25)))
