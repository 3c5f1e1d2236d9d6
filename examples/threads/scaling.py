"""How do kernels scale with threads, with the GIL held and released, without and with prange?

    python -m examples.threads.scaling --kernel ijk,tiled --threads 1,2,4 --plot scaling.png

The article's experiment (each thread multiplies matrices of its own), strong scaling (the same
work, shared), weak scaling (each worker has work of its own), Amdahl's serial part, the roofline,
and other ways to the same product. All setups of a kernel take turns in each round. Ctrl-C ends it
and shows what has been measured so far. With --watch it goes on: save a kernel's .pyx, and it is
measured anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from threadpoolctl import threadpool_limits

from ..team import available_processors, most_threads
from . import experiment, machine, tables, watch
from .experiment import Sample, Setup, Times
from .kernels import KERNELS, Kernel
from .peers import PEERS, Timed, compare
from .results import Results

OUT = Console()
SAID = Console(stderr=True)
INTERRUPTED = 130
PICTURES = (".png", ".svg", ".pdf", ".jpg")


class Meter:
    """Says on stderr how far we are.

    A thread that redraws the bar would ask for the GIL while a kernel is measured: it is redrawn
    between measurements alone.
    """

    def __init__(self, total: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=SAID, auto_refresh=False, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Meter:
        if SAID.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def done(self, what: str, steps: int = 1) -> None:
        """Says what was measured last."""
        if SAID.is_terminal:
            self._bar.update(self._task, description=what, advance=steps, refresh=True)
        else:
            print(what, file=sys.stderr, flush=True)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's values; `kernel` as kernels, `threads` as numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.threads.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cores = available_processors()
    counts = sorted({1, 2, cores})
    parser.add_argument(
        "--kernel", type=_kernels, default=list(KERNELS.values()), metavar="A,B",
        help=f"of {','.join(KERNELS)}; default: all",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=_counts, default=counts, metavar="P,Q",
        help=f"numbers of workers, at most {most_threads()}; "
        f"default: {','.join(map(str, counts))}",
    )  # fmt: skip
    parser.add_argument(
        "--n", type=_positive, default=1200,
        help="the matrices' order; the other kernels' sizes follow it; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--rounds", type=_positive, default=3, help="default: %(default)s")
    parser.add_argument("--plot", type=_picture, metavar="FILE", help="draw the curves there")
    parser.add_argument("--json", type=_file, metavar="FILE", help="write every sample there")
    parser.add_argument(
        "--no-peers", action="store_true", help=f"leave out {', '.join(p.name for p in PEERS)}"
    )
    parser.add_argument(
        "--watch", action="store_true", help="go on, and measure a kernel anew when it is saved"
    )
    return parser.parse_args(arguments)


def _kernels(text: str) -> list[Kernel]:
    unknown = [name for name in text.split(",") if name not in KERNELS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(unknown)}; known: {', '.join(KERNELS)}"
        )
    return [KERNELS[name] for name in dict.fromkeys(text.split(","))]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def _counts(text: str) -> list[int]:
    # All that is told is told relative to one worker.
    counts = sorted({1, *map(_positive, text.split(","))})
    if counts[-1] > most_threads():
        raise argparse.ArgumentTypeError(
            f"expected at most {most_threads()} on this machine, not {counts[-1]}"
        )
    return counts


def _file(text: str) -> Path:
    # Told before anything is measured, not after.
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder")
    return path


def _picture(text: str) -> Path:
    path = _file(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(
            f"expected a name that ends in {', '.join(PICTURES)}, not {text!r}"
        )
    return path


def setups_of(kernel: Kernel, results: Results) -> list[Setup]:
    """Returns all the ways in which a kernel is measured."""
    chosen = experiment.strong(results.counts) + experiment.weak(results.counts)
    if kernel.name == "ijk":
        chosen += experiment.article(results.counts, results.cores)
    return list(dict.fromkeys(chosen))


class Driver:
    """Measures, and adds to `results` as it goes, so that they are there when it is interrupted."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.results = Results(options.n, available_processors(), options.threads, machine.facts())
        self.swaps = watch.Swaps(options.kernel) if options.watch else None

    def measure(self) -> None:
        """Measures all that was asked for.

        Raises:
            AssertionError: an answer is wrong.
        """
        options, results = self.options, self.results
        total = sum(options.rounds * len(setups_of(k, results)) for k in options.kernel)
        total += len(results.counts) * (1 + options.rounds * len(PEERS) * self._with_peers)
        with Meter(total) as meter:
            for threads in results.counts:
                if threads <= results.cores:
                    results.roofs.append(machine.roof(threads))
                meter.done(f"what {threads} threads can do at most")
            for kernel in options.kernel:
                self._kernel(kernel, meter)
            if self._with_peers:
                for one in compare(options.n, self._peer_counts, options.rounds):
                    if isinstance(one, Timed):
                        results.timed.append(one)
                        meter.done(f"{one.peer}, {one.threads}: {tables.seconds(one.seconds)}")
                    else:
                        results.absent.append(one)

    @property
    def _with_peers(self) -> bool:
        products = {"ijk", "ikj", "tiled"} & {kernel.name for kernel in self.options.kernel}
        return bool(products) and not self.options.no_peers

    @property
    def _peer_counts(self) -> list[int]:
        return [count for count in self.results.counts if count <= self.results.cores]

    def _kernel(self, kernel: Kernel, meter: Meter) -> None:
        setups = setups_of(kernel, self.results)

        def measure() -> Iterator[Sample]:
            for sample in experiment.sweep(kernel, self.options.n, setups, self.options.rounds):
                meter.done(f"{kernel.name}: {tables.seconds(sample.seconds)}")
                if not self.swaps:
                    self.results.samples.append(sample)
                yield sample

        if not self.swaps:
            list(measure())
            return
        for samples in watch.steady(kernel, self.swaps, measure):
            self.results.samples += samples
            if not samples:
                SAID.print(f"{kernel.name} was saved meanwhile: measuring it again", style="yellow")

    def watch(self) -> None:
        """Measures anew what is swapped in; ends by Ctrl-C."""
        assert self.swaps
        last = {k.name: self.results.times(k.name) for k in self.options.kernel}
        seen = {k.module: self.swaps.number(k.module) for k in self.options.kernel}
        OUT.print("Watching: save a kernel's .pyx and it is measured anew; Ctrl-C ends it.")
        while True:
            self.swaps.wait()
            for kernel in self.options.kernel:
                if self.swaps.number(kernel.module) != seen[kernel.module]:
                    self._again(kernel, last)
            seen = {k.module: self.swaps.number(k.module) for k in self.options.kernel}

    def _again(self, kernel: Kernel, last: dict[str, Times]) -> None:
        options = self.options
        assert self.swaps
        setups = watch.setups(options.threads)

        def measure() -> Iterator[Sample]:
            return experiment.sweep(kernel, options.n, setups, options.rounds)

        try:
            for samples in watch.steady(kernel, self.swaps, measure):
                now = Times(samples)
        except Exception as error:  # whatever a half-finished kernel does: it is being worked on
            OUT.print(f"{kernel.name}: not measured: {type(error).__name__}: {error}", markup=False)
            return
        before = last[kernel.name]
        OUT.print(watch.compared(kernel, before, now, options.threads, self.results.cores))
        last[kernel.name] = now


def show(results: Results, options: argparse.Namespace) -> None:
    """Prints the tables; writes the numbers and the picture where they were asked for."""
    for table in tables.every(results):
        OUT.print(table)
    if options.json:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
        OUT.print(f"Numbers: {options.json}", markup=False)
    if options.plot and results.samples:
        from .picture import draw

        draw(results, options.plot)
        OUT.print(f"Picture: {options.plot}", markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the driver; returns 0, 1 for a wrong answer, 2 for wrong usage, 130 for Ctrl-C."""
    options = parse_arguments(arguments)
    try:
        driver = Driver(options)
    except watch.NotLive as error:
        print(error, file=sys.stderr)
        return 2
    for name, value in driver.results.facts.items():
        OUT.print(f"{name}: {value}", markup=False, highlight=False)
    status = 0
    # A library that starts threads of its own would take the cores that we count.
    with threadpool_limits(1, "blas"):
        try:
            driver.measure()
        except AssertionError as error:
            print(f"wrong answer: {error}", file=sys.stderr)
            status = 1
        except KeyboardInterrupt:
            print("interrupted: what there is", file=sys.stderr)
            status = INTERRUPTED
        show(driver.results, options)
        if options.watch and not status:
            try:
                driver.watch()
            except KeyboardInterrupt:
                status = INTERRUPTED
    return status


if __name__ == "__main__":
    sys.exit(main())
