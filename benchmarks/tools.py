"""How a user of each tool sets a project up, runs it, and runs it again after an edit.

Each tool writes the files that its documentation asks for and gets nothing that a user would not
have: no option that makes it slower, none that makes it skip a check.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from environment import Environment, create_venv, packages_of, scripts_of
from harness import child_environment
from subjects import PACKAGE, Subject

PYTHON = "python"  # of the environment that is activated for the tool
FLOWS = ("first", "cold", "unchanged", "edited", "reverted")

Commands = Sequence[Sequence[str]]


class Tool:
    """One way of getting from a .pyx to a running program.

    Attributes:
        name: What it is called on the command line and in tables.
        requires: Modules that it cannot do without, each in the extra `bench`.
        flows: What it is measured in.
        quick: Whether an edit costs so little that it is measured several times a round.
        one_core: Whether all that it starts has one core of the machine.
    """

    name: str
    requires: tuple[str, ...] = ("Cython", "setuptools")
    flows: tuple[str, ...] = FLOWS[1:]
    quick = False
    one_core = False

    def covers(self, subject: Subject) -> bool:
        """Whether it can do this at all."""
        return True

    def files(self, subject: Subject) -> dict[str, str]:
        """Returns what a user writes besides the sources: main.py, build files."""
        raise NotImplementedError

    def variables(self, home: Path, environment: Environment) -> dict[str, str]:
        """Returns the variables of a user whose home is empty but for this tool's caches."""
        # Ninja's and CMake's wheels put their programs into the second one.
        scripts = [environment.scripts, Path(sysconfig.get_path("scripts"))]
        return child_environment(home, scripts=scripts)

    def prepare(self, folder: Path, environment: Environment) -> None:
        """Does what a user did long before, untimed."""

    def commands(self, folder: Path, first: bool) -> Commands:
        """Returns what a user types to run the program as its sources now are."""
        return [[PYTHON, "main.py"]]


class Cyhot(Tool):
    """This project: as installed, or with some variables set; `main.py` reports the builds."""

    requires = ("cyhot",)

    def __init__(
        self,
        name: str,
        flows: tuple[str, ...],
        variables: Mapping[str, str] | None = None,
        quick: bool = False,
        one_core: bool = False,
    ) -> None:
        self.name = name
        self.flows = flows
        self.more_variables = dict(variables or {})
        self.quick = quick
        self.one_core = one_core

    def files(self, subject: Subject) -> dict[str, str]:
        """Returns main.py, and one that tells what was built as well."""
        install = "import cyhot\ncyhot.install()\n"
        program = subject.program()
        paths = ", ".join(repr(extension.path) for extension in subject.extensions)
        return {
            "main.py": install + program,
            "reporting.py": f"{install}{_LISTEN.format(paths)}{program}{_REPORT}",
        }

    def variables(self, home: Path, environment: Environment) -> dict[str, str]:
        """Returns a user's variables and this variant's."""
        return super().variables(home, environment) | self.more_variables


# An import does not tell of builds that were asked for ahead and done before it came to them.
_LISTEN = "events = []\ncyhot.subscribe(events.append)\ncyhot.build({})\n"
_REPORT = """\
for e in events:
    if type(e).__name__ == "BuildFinished":
        commands = [(c.args, c.folder, c.seconds) for c in e.commands]
        print("built", repr((e.name, e.image, e.phases, commands)))
"""


class Pyximport(Tool):
    """Cython's own import hook."""

    name = "pyximport"

    def files(self, subject: Subject) -> dict[str, str]:
        """Returns main.py, and the .pyxdep files that pyximport needs for noticing a .pxd."""
        arguments = "language_level=3"
        if subject.numpy:
            arguments += ", setup_args={'include_dirs': numpy.get_include()}"
        prepare = "import numpy\n" if subject.numpy else ""
        install = f"{prepare}import pyximport\npyximport.install({arguments})\n"
        files = {"main.py": install + subject.program()}
        if len(subject.extensions) > 1:
            files |= {
                f"{name.replace('.', '/')}.pyxdep": "shared.pxd\n" for name in subject.rebuilt
            }
        return files


class SetupPy(Tool):
    """`setup.py build_ext --inplace` and a program that imports what it made."""

    name = "setup.py"

    def files(self, subject: Subject) -> dict[str, str]:
        """Returns main.py and setup.py."""
        return {"main.py": subject.program(), "setup.py": _setup_py(subject)}

    def commands(self, folder: Path, first: bool) -> Commands:
        """Returns the build and the run."""
        return [[PYTHON, "setup.py", "build_ext", "--inplace"], [PYTHON, "main.py"]]


def _setup_py(subject: Subject) -> str:
    include = ", include_dirs=[numpy.get_include()]" if subject.numpy else ""
    extensions = "".join(
        f"    Extension({e.name!r}, [{e.path!r}]{include if e.numpy else ''}),\n"
        for e in subject.extensions
    )
    return (
        ("import numpy\n" if subject.numpy else "")
        + "from Cython.Build import cythonize\nfrom setuptools import Extension, setup\n\n"
        + f"extensions = [\n{extensions}]\n"
        + f"setup(name={subject.name!r}, packages=[], "
        + "ext_modules=cythonize(extensions, language_level=3))\n"
    )


class Editable(Tool):
    """An editable install that builds what is stale when the program imports it.

    It is made in a virtual environment of its own, which sees the packages of the other tools'.
    Cold is `pip install --editable`, and the run.
    """

    def files(self, subject: Subject) -> dict[str, str]:
        """Returns main.py and the build system's files."""
        return {"main.py": subject.program(), **self.build_files(subject)}

    def build_files(self, subject: Subject) -> dict[str, str]:
        """Returns pyproject.toml and whatever its backend reads."""
        raise NotImplementedError

    def packages(self, environment: Environment) -> list[Path]:
        """Returns the folders with the packages that it sees."""
        return [environment.packages]

    def prepare(self, folder: Path, environment: Environment) -> None:
        """Makes the virtual environment."""
        venv = _venv_of(folder)
        create_venv(environment.scripts / PYTHON, venv)
        seen = "".join(f"{path}\n" for path in self.packages(environment))
        (packages_of(venv) / "packages.pth").write_text(seen)

    def commands(self, folder: Path, first: bool) -> Commands:
        """Returns the run, the first time after the installation."""
        python = str(scripts_of(_venv_of(folder)) / PYTHON)
        install = [PYTHON, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        install += ["install", "--no-build-isolation", "--no-deps", "--no-index", "--editable", "."]
        return [*([install] if first else []), [python, "main.py"]]


def _venv_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-venv")


def _pyproject(subject: Subject, backend: str, requires: Sequence[str], rest: str = "") -> str:
    return (
        f'[build-system]\nrequires = {json.dumps(requires)}\nbuild-backend = "{backend}"\n\n'
        f'[project]\nname = "bench-{subject.name}"\nversion = "1"\n{rest}'
    )


class MesonPython(Editable):
    """meson-python's editable install: ninja runs at import."""

    name = "meson-python"
    requires = ("Cython", "mesonpy", "mesonbuild", "ninja")

    def build_files(self, subject: Subject) -> dict[str, str]:
        """Returns pyproject.toml and meson.build."""
        languages = ["c", *(["cpp"] if subject.cplus else []), "cython"]
        lines = [
            f"project({_quoted(f'bench-{subject.name}', *languages)}, version: '1')",
            "py = import('python').find_installation(pure: false)",
        ]
        if subject.numpy:
            lines.append("numpy = dependency('numpy')")
        for extension in subject.extensions:
            package, _, tail = extension.name.rpartition(".")
            arguments = [_quoted(tail, extension.path), "install: true", f"subdir: '{package}'"]
            if extension.numpy:
                arguments.append("dependencies: numpy")
            if extension.cplus:
                arguments.append("override_options: ['cython_language=cpp']")
            lines.append(f"py.extension_module({', '.join(arguments)})")
        if _is_package(subject):
            init = f"{PACKAGE}/__init__.py"
            lines.append(f"py.install_sources({_quoted(init)}, subdir: '{PACKAGE}')")
        pyproject = _pyproject(subject, "mesonpy", ["meson-python"])
        return {"pyproject.toml": pyproject, "meson.build": "\n".join(lines) + "\n"}


def _quoted(*words: str) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _is_package(subject: Subject) -> bool:
    return any("." in extension.name for extension in subject.extensions)


_CMAKE_HEAD = """\
cmake_minimum_required(VERSION 3.20)
project({name} LANGUAGES {languages})
find_package(Python REQUIRED COMPONENTS {components})
"""
_CMAKE_EXTENSION = """
add_custom_command(
  OUTPUT {c}
  COMMAND Python::Interpreter -m cython -3 -M {plus}
          ${{CMAKE_CURRENT_SOURCE_DIR}}/{path} -o ${{CMAKE_CURRENT_BINARY_DIR}}/{c}
  DEPENDS ${{CMAKE_CURRENT_SOURCE_DIR}}/{path}
  DEPFILE ${{CMAKE_CURRENT_BINARY_DIR}}/{c}.dep
  VERBATIM)
python_add_library({target} MODULE WITH_SOABI ${{CMAKE_CURRENT_BINARY_DIR}}/{c})
{numpy}install(TARGETS {target} DESTINATION {destination})
"""


class ScikitBuildCore(Editable):
    """scikit-build-core's editable install with `editable.rebuild`: CMake runs at import."""

    name = "scikit-build-core"
    requires = ("Cython", "scikit_build_core", "cmake", "ninja")

    def packages(self, environment: Environment) -> list[Path]:
        """Returns the folders with the packages that it sees."""
        return [environment.packages, environment.apart]

    def build_files(self, subject: Subject) -> dict[str, str]:
        """Returns pyproject.toml and CMakeLists.txt."""
        settings = '\n[tool.scikit-build]\nbuild-dir = "build"\neditable.rebuild = true\n'
        settings += f"wheel.packages = {json.dumps([PACKAGE] if _is_package(subject) else [])}\n"
        requires = ["scikit-build-core", "cython"]
        return {
            "pyproject.toml": _pyproject(subject, "scikit_build_core.build", requires, settings),
            "CMakeLists.txt": _cmake_lists(subject),
        }


def _cmake_lists(subject: Subject) -> str:
    head = _CMAKE_HEAD.format(
        name=subject.name,
        languages="C CXX" if subject.cplus else "C",
        components="Interpreter Development.Module" + (" NumPy" if subject.numpy else ""),
    )
    parts = [head]
    for extension in subject.extensions:
        package, _, target = extension.name.rpartition(".")
        link = f"target_link_libraries({target} PRIVATE Python::NumPy)\n"
        parts.append(
            _CMAKE_EXTENSION.format(
                c=f"{target}.{'cpp' if extension.cplus else 'c'}",
                plus="--cplus" if extension.cplus else "",
                path=extension.path,
                target=target,
                numpy=link if extension.numpy else "",
                destination=package or ".",
            )
        )
    return "".join(parts)


_CELL = """\
from types import SimpleNamespace

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "Cython")
with open("{path}") as file:
    cell = file.read()
shell.run_cell_magic("cython", {line}, cell)
{name} = SimpleNamespace(**shell.user_ns)
"""


class CythonMagic(Tool):
    """IPython's `%%cython`, in a script that runs the cell as a notebook would."""

    name = "%%cython"
    requires = ("Cython", "setuptools", "IPython")

    def covers(self, subject: Subject) -> bool:
        """Whether it is one module: a cell has no package to cimport from."""
        return not _is_package(subject)

    def files(self, subject: Subject) -> dict[str, str]:
        """Returns main.py."""
        extension = subject.extensions[0]
        words = "'-3" + (" --cplus" if extension.cplus else "")
        line = f"{words} -I ' + np.get_include()" if extension.numpy else f"{words}'"
        cell = _CELL.format(path=extension.path, line=line, name=extension.name)
        return {"main.py": subject.program(imports=cell)}


PEERS: dict[str, Tool] = {
    tool.name: tool
    for tool in (Pyximport(), SetupPy(), MesonPython(), ScikitBuildCore(), CythonMagic())
}


def cyhot_variants(before: Path | None) -> list[Cyhot]:
    """Returns cyhot as it is measured against the others, and against itself.

    Args:
        before: The `src` folder of another cyhot, to compare a first import with.
    """
    variants = [
        Cyhot("cyhot", FLOWS[1:], quick=True),
        Cyhot("cyhot (one core)", ("one core",), one_core=True),
        Cyhot("cyhot (default)", ("first",)),
        Cyhot("cyhot (worker off)", ("first",), {"CYHOT_WORKER": "0"}),
    ]
    if before:
        variants.append(Cyhot("cyhot (before)", ("first",), {"PYTHONPATH": str(before)}))
    return variants
