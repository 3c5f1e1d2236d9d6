"""Fixtures for all tests; what they are made of is in support.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import FOO, Project, SdistUnavailable, cython_sdist


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tool",
        default="cyhot",
        help="the module that the tests' programs import: with --tool pyximport, "
        "test_pyximport_faults.py shows each fault by failing",
    )


@pytest.fixture
def project(tmp_path: Path, pytestconfig: pytest.Config) -> Project:
    """An empty project with a store of its own."""
    return Project(tmp_path, tool=pytestconfig.getoption("tool"))


@pytest.fixture
def projects(tmp_path: Path, pytestconfig: pytest.Config) -> Callable[[str], Project]:
    """Make projects, by name, that share one store."""
    tool = pytestconfig.getoption("tool")
    return lambda name: Project(tmp_path / name, store=tmp_path / "store", tool=tool)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose foo.pyx (``sqr``) is built: for tests that only need some built module.

    It is one for all of them (an image belongs to its source's path): change nothing in it.
    """
    project = Project(tmp_path_factory.mktemp("built"))
    project.write("foo.pyx", FOO)
    project.run("import cyhot; cyhot.install(); import foo")
    return project


@pytest.fixture(scope="session")
def sdist() -> Path:
    """Cython's own source distribution, unpacked."""
    try:
        return cython_sdist()
    except SdistUnavailable as error:
        if "CI" in os.environ or "CYTHON_SDIST" in os.environ:
            pytest.fail(str(error))
        pytest.skip(f"needs Cython's sdist (set CYTHON_SDIST, or go online): {error}")
