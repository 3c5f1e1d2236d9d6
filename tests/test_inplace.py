"""What cyhot puts into the user's tree when it is asked to: `inplace` and `keep_c`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from held import CHEAP, python_with_mounts
from support import EXT_SUFFIX, FOO, Project

USES = "import cyhot; cyhot.install(inplace=True); import foo; print(foo.sqr(3), foo.__cached__)"
PLAIN = "import foo; print(foo.sqr(3))"
IMAGE = f"foo{EXT_SUFFIX}"


def cubed(project: Project) -> None:
    """Edit foo.pyx."""
    project.write("foo.pyx", FOO.replace("x * x", "x * x * x"))


def said(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if "compiling" not in line]


def test_inplace_puts_the_image_beside_its_source_and_keeps_it_current(project: Project) -> None:
    project.write("foo.pyx", FOO)
    run = project.run(USES, env=CHEAP)
    assert run.stdout.startswith(f"9 {project.store}")  # it is never what is imported
    assert project.run(PLAIN).stdout == "9\n"
    assert sorted(project.files()) == [IMAGE, "foo.pyx"]
    cubed(project)
    run = project.run(USES, env=CHEAP)
    assert run.stdout.startswith("27 ")
    assert project.run(PLAIN).stdout == "27\n"
    project.write("foo.pyx", FOO)
    run = project.run(USES, env=CHEAP)
    assert (run.compiles, project.run(PLAIN).stdout) == ([], "9\n")
    assert said(run.stderr) == []


def written(image: Path) -> tuple[int, ...]:
    """What every way of writing a file changes; reading it (st_atime) does not count."""
    found = image.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def test_an_image_that_is_up_to_date_is_not_written_again(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.run(USES, env=CHEAP)
    before = written(project / IMAGE)
    project.run(USES, env=CHEAP)
    assert written(project / IMAGE) == before
    os.utime(project / IMAGE)
    before = written(project / IMAGE)
    project.run(USES, env=CHEAP)
    assert written(project / IMAGE) == before


@pytest.mark.parametrize("when", ["before", "instead"])
def test_a_file_that_cyhot_did_not_put_there_stays_with_a_word(project: Project, when: str) -> None:
    project.write("foo.pyx", FOO)
    if when == "instead":
        project.run(USES, env=CHEAP)
    (project / IMAGE).unlink(missing_ok=True)
    (project / IMAGE).write_bytes(b"mine")
    cubed(project)
    run = project.run(USES, env={**CHEAP, "PYTHONWARNINGS": "ignore"})
    assert run.stdout.startswith("27 ")
    assert (project / IMAGE).read_bytes() == b"mine"
    assert said(run.stderr) == [
        f"cyhot: {project / IMAGE} was not put there by cyhot, so it stays as it is"
    ]


def test_a_copy_of_cyhots_is_known_after_touch_and_after_cleaning_the_store(
    project: Project,
) -> None:
    project.write("foo.pyx", FOO)
    project.run(USES, env=CHEAP)
    os.utime(project / IMAGE, (1, 1))
    project.run("from cyhot.cli import main; main()", "cache", "clean")
    cubed(project)
    run = project.run(USES, env=CHEAP)
    assert said(run.stderr) == []
    assert project.run(PLAIN).stdout == "27\n"


def test_a_copy_is_known_if_its_writer_was_killed_right_after_placing_it(
    project: Project,
) -> None:
    project.write("foo.pyx", FOO)
    for program in ("USES", "killed"):
        run = project.run(
            """
            import os, sys, cyhot
            cyhot.install(inplace=True)
            placed = []
            def kill(event, arguments):
                if placed and event != "os.kill":
                    os.kill(os.getpid(), 9)
                if event == "os.rename" and arguments[1].startswith(os.getcwd()):
                    placed.append(1)
            if sys.argv[1] == "killed":
                sys.addaudithook(kill)
            import foo
            """,
            program,
            env=CHEAP,
            check=program == "USES",
        )
        cubed(project)
    assert run.returncode == -9
    assert project.run(PLAIN).stdout == "27\n"
    project.write("foo.pyx", FOO)
    run = project.run(USES, env=CHEAP)
    assert said(run.stderr) == []
    assert project.run(PLAIN).stdout == "9\n"
    assert sorted(project.files()) == [IMAGE, "foo.pyx"]


def test_programs_that_place_a_module_at_once_leave_a_whole_one(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.run(USES.replace("inplace=True", ""), env=CHEAP)
    processes = [project.start(USES, env=CHEAP) for _ in range(4)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert all(out.startswith("9 ") for out, _ in outputs), outputs
    assert sorted(project.files()) == [IMAGE, "foo.pyx"]
    assert project.run(PLAIN).stdout == "9\n"


def test_where_the_source_folder_is_read_only_the_import_works_with_a_word(
    project: Project, tmp_path: Path
) -> None:
    project.write("foo.pyx", FOO)
    root = project.root
    mount = f'mount --bind "{root}" "{root}" && mount -o remount,bind,ro "{root}" && cd "{root}"'
    python = python_with_mounts(tmp_path, mount)
    run = project.run(
        USES.replace("inplace=True", "inplace=True, keep_c=True"), env=CHEAP, python=python
    )
    assert run.stdout.startswith("9 ")
    assert said(run.stderr) == [
        f"cyhot: {project.root}/{name} cannot be written (Read-only file system)"
        for name in (IMAGE, "foo.c", "foo.html")
    ]


def test_files_in_the_tree_have_the_modes_that_the_umask_gives(project: Project) -> None:
    project.write("foo.pyx", FOO)
    program = "import os; os.umask(0o022); " + USES.replace("=True", "=True, keep_c=True")
    project.run(program, env=CHEAP)
    modes = {name: stat.S_IMODE((project / name).stat().st_mode) for name in project.files()}
    del modes["foo.pyx"]
    assert modes == {IMAGE: 0o755, "foo.c": 0o644, "foo.html": 0o644}


# The C file ----------------------------------------------------------------------------------


def test_keep_c_puts_the_c_file_and_the_annotation_beside_the_source(project: Project) -> None:
    project.write("foo.pyx", FOO)
    program = "import cyhot; cyhot.install(keep_c=True); import foo; print(foo.sqr(3))"
    project.run(program, env=CHEAP)
    assert sorted(project.files()) == ["foo.c", "foo.html", "foo.pyx"]
    assert (project / "foo.c").read_text().startswith("/* Generated by Cython")
    cubed(project)
    project.run(program, env=CHEAP)
    assert "x * x * x" in (project / "foo.c").read_text()


def test_keep_c_in_a_folder_keeps_modules_apart(project: Project) -> None:
    project.write("a/__init__.pyx", "")
    project.write("a/m.pyx", FOO)
    project.write("b/m.pyx", FOO)
    project.run(
        'import cyhot; cyhot.install(keep_c="out/c"); import a.m, b.m', env=CHEAP
    )  # fmt: skip
    kept = [name for name in project.files() if name.endswith((".c", ".html"))]
    names = ("a", "a/m", "b/m")
    assert sorted(kept) == sorted(f"out/c/{n}{suffix}" for n in names for suffix in (".c", ".html"))


def test_a_c_file_that_was_written_by_hand_stays_with_a_word(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write("foo.c", "int mine;\n")
    run = project.run(
        "import cyhot; cyhot.install(keep_c=True); import foo; print(foo.sqr(3))", env=CHEAP
    )
    assert run.stdout == "9\n"
    assert project.files()["foo.c"] == b"int mine;\n"
    assert said(run.stderr) == [
        f"cyhot: {project / 'foo.c'} was not generated by Cython, so it stays as it is"
    ]
