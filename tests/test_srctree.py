"""Cython's own tests of pyximport, passed by cyhot under pyximport's interface."""

from __future__ import annotations

from pathlib import Path

import pytest
import srctree
from support import Project

# Named one by one: a test that vanishes from a later Cython is something to know about.
TREES = [
    "pyximport_basic",
    "pyximport_errors",
    "pyximport_namespace",
    "pyximport_pyimport",
    "pyximport_pyimport_only",
    "pyximport_pythonpath",
    "pyximport_pyxbld",
]


@pytest.mark.parametrize("name", TREES)
def test_srctree_of_pyximport(sdist: Path, project: Project, name: str) -> None:
    text = (sdist / "tests" / "pyximport" / f"{name}.srctree").read_text(encoding="utf-8")
    tree = srctree.parse(srctree.rename_module(text, "pyximport", project.tool))

    done = srctree.run(tree, project.root, project.environment())

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_no_srctree_is_left_out(sdist: Path) -> None:
    assert sorted(path.stem for path in (sdist / "tests" / "pyximport").glob("*.srctree")) == TREES


def test_renaming_spares_the_keyword_and_longer_names() -> None:
    text = """\
PYTHON -c "import pyximport_test; pyximport_test.test()"

######## pyximport_test.py ########

import pyximport.pyxbuild, pyximport
pyximport.DEBUG_IMPORT = True
pyximport.install(pyximport=False, pyimport=True)
"""

    tree = srctree.parse(srctree.rename_module(text, "pyximport", "cyhot"))

    assert tree.commands == (("PYTHON", "-c", "import pyximport_test; pyximport_test.test()"),)
    assert tree.files["pyximport_test.py"] == (
        "\nimport cyhot.pyxbuild, cyhot\ncyhot.DEBUG_IMPORT = True\n"
        "cyhot.install(pyximport=False, pyimport=True)\n"
    )
