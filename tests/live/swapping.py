"""What the tests of swapping are made of.

A test that takes the fixture ``live`` runs in a process of its own, a pytest with that one test. In
it `Live` writes sources, imports them and swaps them: the test holds on to all it can get, swaps,
and looks at what it holds.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import filelock
import pytest
from support import FOO, clean_environment

APART = "LIVE_TESTS_APART"
"""Is set where a test is in the process of its own."""
TESTS = Path(__file__).parent.parent


_PREPARE = """
import ready
ready.build("foo")
from cyhot.live.swap.patcher import patcher
patcher()
"""


def prepared(store: Path) -> Path:
    """Have in a store what the worker prepares for later builds, and the patcher."""
    with filelock.FileLock(f"{store}.lock"):
        if not (mark := store / "ready").exists():
            folder = store.with_name(f"{store.name}-sources")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "foo.pyx").write_text(FOO)
            environment = {**_environment(store, folder), "PYTHONPATH": str(TESTS)}
            command = [sys.executable, "-c", _PREPARE]
            subprocess.run(command, cwd=folder, env=environment, check=True)
            mark.touch()
    return store


def _environment(store: Path, home: Path) -> dict[str, str]:
    return {
        **{k: v for k, v in clean_environment().items() if not k.startswith("PYTEST_")},
        APART: "1",
        "CFLAGS": "-O0",
        "CXXFLAGS": "-O0",
        "CYHOT_BUILD_DIR": str(store),
        "CYHOT_WATCH": "0",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
    }


def run_apart(test: pytest.Function, store: Path, folder: Path) -> None:
    """Run a test in a process of its own, and fail with what it said if it failed there."""
    command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-o", "addopts=", "-q"]
    command += ["-p", "no:cacheprovider", "-p", "pytest_timeout", "--timeout=200", "--tb=short"]
    command += ["--basetemp", str(folder / "apart"), test.nodeid]
    home = folder / "home"
    home.mkdir()
    done = subprocess.run(
        command,
        cwd=test.config.rootpath,
        env={**_environment(store, home), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        pytest.fail(f"exit status {done.returncode}\n{done.stdout}", pytrace=False)
    if " skipped" in done.stdout:
        pytest.skip(done.stdout)


def version(text: str, number: int, **parts: str) -> str:
    """A version of a source: ``VERSION`` in it is a number, ``# NAME`` what is given for ``name``.

    What is given is indented as the line that it takes the place of.
    """
    lines = []
    for line in textwrap.dedent(text).replace("VERSION", str(number)).splitlines():
        part = parts.get(line.strip().removeprefix("# ").lower()) if "# " in line else None
        indent = line[: len(line) - len(line.lstrip())]
        lines.append(line if part is None else textwrap.indent(textwrap.dedent(part), indent))
    return "\n".join(lines) + "\n"


class Live:
    """This process, as a program that is being worked on.

    Args:
        folder: Where its sources are.
        language: What they are translated to, ``c`` or ``c++``.
    """

    def __init__(self, folder: Path, language: str = "c") -> None:
        self.folder = folder
        self.language = language

    def __enter__(self) -> Live:
        import cyhot
        from cyhot.hook import current_session
        from cyhot.live.update import Updater

        sys.path.insert(0, str(self.folder))
        cyhot.install(watch=False, verbose=0)
        self.updater = Updater(current_session)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import cyhot

        cyhot.uninstall()

    def write(self, **sources: str) -> None:
        """Write sources: ``m=...`` is m.pyx, ``pkg__m_pxd=...`` is pkg/m.pxd."""
        for name, text in sources.items():
            stem, _, suffix = name.rpartition("_")
            if not stem or suffix not in ("pxd", "pxi", "py", "h"):
                stem, suffix = name, "pyx"
            path = self.folder / f"{stem.replace('__', '/')}.{suffix}"
            if stem.endswith("__init"):
                path = self.folder / stem.removesuffix("__init").replace("__", "/")
                path = path / f"__init__.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cplus = self.language == "c++" and suffix == "pyx"
            head = "# distutils: language = c++\n" if cplus else ""
            path.write_text(head + textwrap.dedent(text))

    def load(self, name: str = "m", **sources: str) -> Any:
        """Write sources, and import a module."""
        self.write(**sources)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def build(self, **versions: Iterable[str]) -> None:
        """Have images of further versions of sources: no compiler is to run later on."""
        for name, texts in versions.items():
            for text in texts:
                self.write(**{name: text})
                assert not self.updater.stage(None).failed, text

    def save(self, **sources: str) -> Any:
        """Write sources, build what is stale, and try to swap it in."""
        self.write(**sources)
        from cyhot.live.report import SwapReport

        staged = self.updater.stage(None)
        if staged.failed:
            return SwapReport(unswapped=staged.failed)
        return self.updater.commit(staged)

    def swap(self, **sources: str) -> Any:
        """Write sources that must go in; the report."""
        report = self.save(**sources)
        assert report.ok, str(report.unswapped)
        assert report.swapped, "nothing was stale"
        return report

    def refused(self, kind: str, **sources: str) -> str:
        """Write sources that must not go in; why they did not."""
        report = self.save(**sources)
        assert not report.ok, str(report)
        assert not report.swapped
        assert {one.kind for one in report.unswapped} == {kind}, str(report.unswapped)
        return str(report)


def modules(*names: str) -> list[ModuleType]:
    """Loaded modules."""
    return [sys.modules[name] for name in names]
