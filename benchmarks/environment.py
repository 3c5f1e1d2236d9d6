"""The Python environment that tools are measured in: this one, without what slows others down.

scikit-build-core registers itself with setuptools, which then imports it whenever it sets up a
distribution: 0.3 s for pyximport, setup.py and %%cython, which their users do not pay. So it lies
in a folder of its own, for the tool that needs it.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

APART = "scikit-build-core"


@dataclass(frozen=True)
class Environment:
    """Where programs and packages are.

    Attributes:
        scripts: What an activated environment puts first on PATH.
        packages: Its site-packages.
        apart: A folder with what those lack.
    """

    scripts: Path
    packages: Path
    apart: Path


def make_environment(folder: Path) -> Environment:
    """Makes a virtual environment with links to this one's packages."""
    venv = folder / "environment"
    create_venv(Path(sys.executable), venv)
    apart = folder / "apart"
    apart.mkdir()
    packages = packages_of(venv)
    hidden = _top_level(APART)
    for path in _installed():
        if path.name in hidden:
            (apart / path.name).symlink_to(path)
        elif not (packages / path.name).exists():
            (packages / path.name).symlink_to(path)
    return Environment(scripts_of(venv), packages, apart)


def create_venv(python: Path, folder: Path) -> None:
    """Makes an empty virtual environment."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)


def scripts_of(venv: Path) -> Path:
    """Returns the folder of a virtual environment's programs."""
    return Path(sysconfig.get_path("scripts", "venv", _places(venv)))


def packages_of(venv: Path) -> Path:
    """Returns the site-packages of a virtual environment."""
    return Path(sysconfig.get_path("purelib", "venv", _places(venv)))


def _places(venv: Path) -> dict[str, str]:
    return {"base": str(venv), "platbase": str(venv)}


def _installed() -> Iterable[Path]:
    for folder in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))):
        yield from sorted(Path(folder).iterdir())


def _top_level(distribution: str) -> set[str]:
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {path.parts[0] for path in files} - {"..", "__pycache__"}
