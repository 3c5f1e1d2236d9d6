"""Run a race, then many: do categories win with their probabilities, and how long does it take?

python -m examples.gumbel --weights 5,3,1,1 --draws 1000000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from . import gumbel_max, gumbel_softmax, gumbel_top_k, perturb_and_trace, stream
from ._arguments import thread_count

Floats = npt.NDArray[np.float64]


def main(arguments: list[str] | None = None) -> int:
    """Print the tables and write the pictures; returns the exit status."""
    options = _parser().parse_args(arguments)
    source = stream(options.seed)
    weights = options.weights
    try:
        print(
            f"One race (seed {options.seed})\n\n{perturb_and_trace(weights=weights, rng=source)}\n"
        )
        wins, seconds = _run(weights, options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(_table(weights, wins))
    threads = thread_count(options.threads)
    per_category = seconds / (wins.sum() * len(weights))
    print(
        f"\n{wins.sum():,} races of {len(weights)} categories in {seconds * 1e3:.1f} ms on "
        f"{threads} thread{'s' if threads > 1 else ''}: {per_category * 1e9:.2f} ns a category\n"
    )
    print(_variants(weights, options.seed))
    if options.pictures is not None:
        try:
            _draw(weights, wins, options)
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.gumbel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--weights", type=_weights, default=_weights("5,3,2,1,1"), metavar="A,B,...",
        help="unnormalized (default: 5,3,2,1,1)",
    )  # fmt: skip
    parser.add_argument("--draws", type=_count, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--threads", type=_count, help="default: all")
    parser.add_argument(
        "--pictures", type=Path, nargs="?", const=Path(), metavar="FOLDER",
        help="write gumbel-race.png and gumbel-error.png there (default: here)",
    )  # fmt: skip
    return parser


def _weights(text: str) -> Floats:
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"numbers with commas between them, not {text!r}"
        ) from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number of at least 1, not {text!r}")
    return int(text)


def _run(weights: Floats, options: argparse.Namespace) -> tuple[npt.NDArray[np.int64], float]:
    """How often each category won, and how many seconds the races took."""
    source = stream(options.seed)
    started = perf_counter()
    winners = gumbel_max(weights=weights, size=options.draws, rng=source, threads=options.threads)
    seconds = perf_counter() - started
    return np.bincount(winners, minlength=len(weights)), seconds


def _table(weights: Floats, wins: npt.NDArray[np.int64]) -> str:
    total = int(wins.sum())
    probability = weights / weights.sum()
    deviation = np.sqrt(probability * (1 - probability) / total)
    lines = [f"{'k':>4} {'probability':>12} {'frequency':>12} {'error':>10} {'in sigmas':>10}"]
    for k, p in enumerate(probability.tolist()):
        error = wins[k] / total - p
        sigmas = f"{error / deviation[k]:10.2f}" if deviation[k] else f"{'-':>10}"
        lines.append(f"{k:4} {p:12.6f} {wins[k] / total:12.6f} {error:10.2e} {sigmas}")
    return "\n".join(lines)


def _variants(weights: Floats, seed: int) -> str:
    """The same race without replacement, and relaxed."""
    possible = int((weights > 0).sum())
    order = gumbel_top_k(weights=weights, k=possible, rng=seed)
    lines = ["The first race again:", f"  all in order           {' '.join(map(str, order))}"]
    with np.errstate(divide="ignore"):
        logits = np.log(weights)
    for temperature in (0.1, 1.0, 10.0):
        y = gumbel_softmax(logits, temperature, rng=seed)
        shown = " ".join(f"{part:.3f}" for part in y)
        lines.append(f"  softmax, temperature {temperature:<4g} {shown}")
    return "\n".join(lines)


def _draw(weights: Floats, wins: npt.NDArray[np.int64], options: argparse.Namespace) -> None:
    from . import pictures

    source = stream(options.seed)
    options.pictures.mkdir(parents=True, exist_ok=True)
    possible = weights > 0
    paths = [options.pictures / f"gumbel-{name}.png" for name in ("race", "error")]
    pictures.race(weights[possible], source, wins[possible], paths[0])
    pictures.sampling_error(source, paths[1])
    print(f"\nwritten: {', '.join(map(str, paths))}")


if __name__ == "__main__":
    sys.exit(main())
