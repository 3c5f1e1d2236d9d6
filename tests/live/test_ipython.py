"""A notebook: what was saved runs in the next cell, and what is wrong is said there."""

from __future__ import annotations

from held import PATIENCE
from support import Project
from test_session import FAKE

SHELL = (
    FAKE
    + """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
source = pathlib.Path("a.pyx")
source.write_text("1")
def cell(text):
    print(f"In: {text}", flush=True)
    print(f"In: {text}", flush=True, file=sys.stderr)
    result = shell.run_cell(text)
    assert result.success, text
def load():
    fake_update.Updater.last.load(source.absolute())
    cell("runs = sys.modules['fake_update'].Updater.last.runs")
cell("import sys")
"""
)


def cells(project: Project, program: str) -> tuple[dict[str, str], dict[str, str]]:
    """What each cell of a program wrote to standard output and to standard error."""
    run = project.run(SHELL + program, timeout=PATIENCE)
    return _by_cell(run.stdout), _by_cell(run.stderr)


def _by_cell(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split("In: ")[1:]:
        name, _, rest = part.partition("\n")
        found[name] = found.get(name, "") + rest
    return found


EXTENSION = """
cell("%load_ext cyhot")
cell("import cyhot; cyhot.status()")
load()
"""


def test_the_extension_swaps_before_each_cell_and_shows_errors_there(project: Project) -> None:
    out, err = cells(
        project,
        EXTENSION
        + """
source.write_text("2")
cell("print(runs, 1)")
source.write_text("bad")
cell("print(runs, 2)")
cell("print(runs, 3)")
source.write_text("4")
cell("print(runs, 4)")
cell("print(runs, 5)")
""",
    )
    assert out["print(runs, 1)"] == "{'a': '2'} 1\n"
    assert err["print(runs, 1)"].startswith("cyhot: a swapped in ")
    assert out["print(runs, 2)"] == "{'a': '2'} 2\n"
    assert "a.pyx:3:5: error: no such thing" in err["print(runs, 2)"]
    assert out["print(runs, 3)"] == "{'a': '2'} 3\n"
    assert err["print(runs, 3)"].count("\n") == 1 and "does not compile" in err["print(runs, 3)"]
    assert out["print(runs, 4)"] == "{'a': '4'} 4\n"
    assert not err["print(runs, 5)"]


def test_the_magic_command(project: Project) -> None:
    out, err = cells(
        project,
        EXTENSION
        + """
cell("%cyhot")
cell("%cyhot refresh")
source.write_text("2")
cell("'the swap'")
cell("%cyhot rollback")
cell("print(runs)")
cell("%cyhot why nowhere.pyx")
cell("%cyhot dance")
""",
    )
    assert (
        "a (" in out["%cyhot"] and "before the next cell" in out["%cyhot"] + "before the next cell"
    )
    assert out["%cyhot refresh"] == "cyhot: all code is up to date\n"
    assert err["%cyhot rollback"].startswith("cyhot: a rolled back")
    assert out["print(runs)"] == "{'a': '1'}\n"
    assert err["%cyhot why nowhere.pyx"].startswith("cyhot: error: ")
    assert out["%cyhot dance"].startswith("usage: %cyhot status")


def test_unloading_takes_everything_away(project: Project) -> None:
    out, _ = cells(
        project,
        EXTENSION
        + """
before = len(sys.meta_path)
cell("%unload_ext cyhot")
source.write_text("2")
cell("print(runs)")
print(before - len(sys.meta_path), "cyhot" in shell.magics_manager.magics["line"])
print(sys.modules["cyhot"].status().watching)
cell("%load_ext cyhot")
cell("print(runs)")
""",
    )
    assert out["print(runs)"].splitlines() == ["{'a': '1'}", "1 False", "False", "{'a': '2'}"]


def test_a_plain_install_swaps_before_the_next_cell(project: Project) -> None:
    out, err = cells(
        project,
        """
cell("import cyhot; cyhot.install()")
wait_for(lambda: "cyhot.live.session" in sys.modules and sys.modules["cyhot"].status().watching)
load()
wait_for(lambda: shell.events.callbacks["pre_run_cell"])
import cyhot
print(cyhot.status().swap)
source.write_text("2")
from cyhot.hook import loader
loader._loaded.add("a")
wait_for(lambda: cyhot.status().pending)
print(fake_update.Updater.last.runs)
cell("print(runs)")
cyhot.install(swap="auto")
print(cyhot.status().swap)
cyhot.uninstall()
source.write_text("3")
cell("print(runs, 2)")
""",
    )
    first = out["runs = sys.modules['fake_update'].Updater.last.runs"]
    assert first.splitlines() == ["cell", "{'a': '1'}"]
    assert out["print(runs)"].splitlines() == ["{'a': '2'}", "auto"]
    assert err["print(runs)"].startswith("cyhot: a swapped in ")
    assert out["print(runs, 2)"] == "{'a': '2'} 2\n"
