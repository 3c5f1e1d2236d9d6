"""Tests of swapping run in processes of their own: what crashes is a test that failed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from swapping import APART, Live, prepared, run_apart


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that wants `live` in a process of its own."""
    funcargs = pyfuncitem.funcargs
    if APART in os.environ or not isinstance(store := funcargs.get("live"), Path):
        return None
    run_apart(pyfuncitem, store, funcargs["tmp_path"])
    return True


@pytest.fixture
def live(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live | Path]:
    """A program with cyhot's hook in it; where no test runs yet, the store that it is to use.

    All processes of a run share the store: the patcher is compiled once, and Cython's helpers are,
    as they are in a user's store. (The random sequences and the soak run without shared helpers.)
    """
    if APART not in os.environ:
        base = tmp_path_factory.getbasetemp()
        shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        yield prepared(Path(os.environ.get("LIVE_TESTS_STORE") or shared / "live-store"))
        return
    language = request.getfixturevalue("language") if "language" in request.fixturenames else "c"
    with Live(tmp_path, language) as program:
        yield program


@pytest.fixture(params=["c", pytest.param("c++", marks=pytest.mark.slow)])
def language(request: pytest.FixtureRequest) -> str:
    """What the test's modules are translated to."""
    return str(request.param)
