"""``python -m examples.information``: three studies, as tables and as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from examples.information import differential_entropy, normal_entropy
from examples.information.study import Coin, Correlation, bayes, coin, correlation, simplex

SEED = 1948


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, and draw the picture if one is asked for.

    Raises:
        SystemExit: With status 2: an argument is wrong, or the picture cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m examples.information",
        description="Entropy of a coin, odds of hypotheses, information of correlated variables.",
        epilog="example: python -m examples.information --plot information.png",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture, too")
    parser.add_argument(
        "--samples", type=int, default=20_000, help="pairs drawn for each correlation (20000)"
    )
    parser.add_argument("--bins", type=int, default=40, help="bins for each variable (40)")
    given = parser.parse_args(arguments)
    if given.samples < 10 or given.bins < 1:
        parser.error("expected 10 samples or more, and 1 bin or more")
    if given.plot and not given.plot.parent.is_dir():
        parser.error(f"--plot {given.plot}: there is no folder {given.plot.parent}")
    if given.plot and not given.plot.suffix:
        parser.error(f"--plot {given.plot}: expected a suffix that says the format, such as .png")

    right = np.array([0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99])
    values = np.concatenate([-right[::-1], [0], right])
    try:
        found = correlation(values, given.samples, given.bins, SEED)
    except (ValueError, MemoryError) as error:
        parser.error(f"--samples {given.samples} --bins {given.bins}: {error}")
    show_coins(coin(np.array([0.5, 0.6, 0.75, 0.9, 0.99, 1.0])))
    show_odds()
    show_correlations(found)
    if given.plot:
        from examples.information.picture import draw

        try:
            draw(given.plot, coin(np.linspace(0, 1, 301)), simplex(), found)
        except (OSError, ValueError) as error:
            parser.error(f"--plot {given.plot}: {error}")
        print(f"\nThe picture is in {given.plot}.")


def show_coins(coins: Coin) -> None:
    """Print what a coin's bias does."""
    print("A coin, in bits a toss")
    print("     p   entropy   from a fair coin   Huffman, 3 tosses a word")
    for heads, bits, apart, digits in zip(*coins, strict=True):
        print(f"  {heads:4.2f}   {bits:7.4f}   {apart:16.4f}   {digits:24.4f}")


def show_odds() -> None:
    """Print how tosses move the odds of two hypotheses."""
    tosses = np.array([0, 0, 1, 0, 0, 0, 1, 0, 0, 0])
    found = bayes(0.75, 0.5, tosses)
    print("\nIs the coin biased (p = 0.75) or fair? Log-odds in bits, from even odds")
    print(f"  heads tell {found.tells[0]:+.3f}, tails {found.tells[1]:+.3f}")
    print("  toss     " + "".join(f"{'HT'[side]:>7}" for side in tosses))
    print("  log-odds " + "".join(f"{odds:+7.3f}" for odds in found.log_odds[1:]))


def show_correlations(found: Correlation) -> None:
    """Print estimates of mutual information beside the truth."""
    print(f"\nTwo normal variables, in nats; {found.samples:,} samples, {found.bins} bins each")
    print("  correlation    exact   in bins   corrected")
    for row in zip(*found[:4], strict=True):
        print("  {:11.2f}  {:7.4f}   {:7.4f}   {:9.4f}".format(*row))
    samples = np.random.default_rng(SEED).normal(size=found.samples)
    print(
        f"  One alone has {normal_entropy(1.0):.4f} nats; "
        f"by nearest neighbours {differential_entropy(samples):.4f}."
    )


if __name__ == "__main__":
    main()
