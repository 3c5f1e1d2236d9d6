"""One tool's folder for one subject, and the home of the user who works in it."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from environment import Environment
from harness import BenchmarkError, Run, Sample, run_less_bare, wait_for_next_second
from subjects import Subject
from tools import PYTHON, Commands, Cyhot, Tool

# A state is used once in a whole run: no cache that goes by contents has seen it before.
_new_state = itertools.count(1).__next__


@dataclass(frozen=True)
class Ran:
    """A command that cyhot ran."""

    args: tuple[str, ...]
    folder: str
    seconds: float


@dataclass(frozen=True)
class Built:
    """What cyhot told of one module that it built."""

    module: str
    image: Path
    phases: Mapping[str, float]
    commands: tuple[Ran, ...]


@dataclass
class Project:
    """Sources in some state, and what the tool makes of them.

    Attributes:
        states: What the sources were so far, the present state last.
        built: What the last run built, if it was one that tells.
    """

    tool: Tool
    subject: Subject
    folder: Path
    home: Path
    environment: Environment
    states: list[int] = field(default_factory=list)
    built: list[Built] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environ = self.tool.variables(self.home, self.environment)

    def create(self) -> None:
        """Writes the project as it is before anything was ever built."""
        self.folder.mkdir(parents=True)
        (self.home / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in self.tool.files(self.subject).items():
            self._save(name, text)
        self.edit()
        self.tool.prepare(self.folder, self.environment)

    def edit(self) -> None:
        """Saves the sources in a state that nobody has seen before."""
        self._write(_new_state())

    def revert(self) -> None:
        """Saves the sources as they were before they last changed."""
        self._write(self.states[-2])

    def _write(self, state: int) -> None:
        wait_for_next_second()
        before = self.subject.files(self.states[-1]) if self.states else {}
        for name, text in self.subject.files(state).items():
            if before.get(name) != text:
                self._save(name, text)
        self.states.append(state)

    def _save(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def measure(self, flow: str, number: int) -> Sample:
        """Runs the program as this tool's user would, and checks that the present state ran."""
        commands = self.tool.commands(self.folder, first=flow == "cold")
        return self._sample(self.tool.name, commands, flow, number)

    def report(self, flow: str, number: int) -> None:
        """Runs, for cyhot, a program that also tells what was built: see `built`.

        It may be only what is stale: all of it, or after an edit what that edit affects.
        """
        self._sample(self.tool.name, [[PYTHON, "reporting.py"]], flow, number)
        extensions = [extension.name for extension in self.subject.extensions]
        stale = sorted(self.subject.rebuilt if flow == "edited" else extensions)
        built = sorted(one.module for one in self.built)
        if built != stale:
            raise BenchmarkError(f"{self._where(flow, number)}: built {built}, not {stale}")

    def measure_plain(self, flow: str, number: int) -> Sample:
        """Runs the program with what is already built beside it."""
        return self._sample("plain", [[PYTHON, "main.py"]], flow, number)

    def _sample(self, name: str, commands: Commands, flow: str, number: int) -> Sample:
        done, idle = run_less_bare(commands, self.folder, self.environ, PYTHON, self.tool.one_core)
        self._check(done, flow, number)
        self.built = [_parse(line) for line in done.output.splitlines() if _tells(line)]
        return Sample(name, self.subject.name, flow, number, done.seconds, done.cpu, idle)

    def _check(self, done: Run, flow: str, number: int) -> None:
        # What a tool shows of the compiler's warnings need not end with a line's end.
        lines = done.output.splitlines()
        answers = [line[line.index("answer ") :] for line in lines if "answer " in line]
        expected = self.subject.expected(self.states[-1])
        if answers != [expected]:
            raise BenchmarkError(
                f"wrong answer: {self._where(flow, number)}: {answers or done.output!r}, "
                f"not {expected!r}"
            )

    def _where(self, flow: str, number: int) -> str:
        return f"{self.tool.name}, {self.subject.name}, {flow}, round {number}"

    @property
    def reports(self) -> bool:
        """Whether its tool can tell what it built."""
        return isinstance(self.tool, Cyhot)


def _tells(line: str) -> bool:
    return line.startswith("built ")


def _parse(line: str) -> Built:
    module, image, phases, commands = ast.literal_eval(line.partition(" ")[2])
    return Built(module, Path(image), phases, tuple(Ran(*command) for command in commands))
