"""Where images are kept: whose it is, and what happens where it is full or cannot be written."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from held import CHEAP, python_with_mounts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import FOO, Project

from cyhot.building.store import default_root

USES = "import cyhot; cyhot.install(); import foo; print(foo.sqr(3))"


# A full disk ---------------------------------------------------------------------------------


def test_a_full_disk_is_a_clear_error_at_every_stage_and_nothing_is_corrupt(
    project: Project, tmp_path: Path
) -> None:
    project.write("foo.pyx", FOO)
    project.write("bar.pyx", FOO)
    project.store.mkdir()
    program = """
        import os, subprocess, sys
        import cyhot
        cyhot.install(verbose=0)
        store = os.environ["CYHOT_BUILD_DIR"]
        import bar
        ballast = os.path.join(store, "ballast")
        def leave(bytes_left):
            with open(ballast, "ab", buffering=0) as file:
                free = os.statvfs(store)
                file.write(bytes(max(0, free.f_bavail * free.f_bsize - bytes_left)))
        told = []
        for left in (0, 40, 200, 300, 360, 400, 440, 480):
            leave(0)
            os.truncate(ballast, os.path.getsize(ballast) - left * 1024)
            try:
                import foo
            except cyhot.StoreError as error:
                told.append(str(error))
            else:
                break
            check = "import sys, cyhot; cyhot.install(); import bar; sys.exit(bar.sqr(2) != 4)"
            assert subprocess.run([sys.executable, "-c", check]).returncode == 0
        os.unlink(ballast)
        import foo
        print(foo.sqr(3), len(told))
        for text in sorted(set(told)):
            print(text)
        check = "import cyhot; cyhot.install(); import foo, bar; print(foo.sqr(4), bar.sqr(5))"
        print(subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout)
    """
    python = python_with_mounts(
        tmp_path, 'mount -t tmpfs -o size=4m,mode=700 none "$CYHOT_BUILD_DIR"'
    )
    run = project.run(program, env=CHEAP, python=python)
    result, *told = run.stdout.split("\n", 1)[0], *run.stdout.splitlines()[1:]
    assert result.startswith("9 ")
    assert int(result.split()[1]) >= 3, run
    assert told[0] == (
        f"{project.store}: no space left for the image. Free some (cyhot cache clean removes "
        "images), or choose another store with build_dir= or CYHOT_BUILD_DIR."
    )
    assert told[1] == "16 25"
    assert run.stderr == ""


# A store that cannot be written ---------------------------------------------------------------


READ_ONLY = (
    'mount --bind "$CYHOT_BUILD_DIR" "$CYHOT_BUILD_DIR" && '
    'mount -o remount,bind,ro "$CYHOT_BUILD_DIR"'
)


def test_a_read_only_store_loads_what_matches_without_a_word(
    project: Project, tmp_path: Path
) -> None:
    project.write("foo.pyx", FOO)
    project.run(USES, env=CHEAP)
    run = project.run(USES, env=CHEAP, python=python_with_mounts(tmp_path, READ_ONLY))
    assert (run.stdout, run.stderr, run.compiles) == ("9\n", "", [])


def test_with_a_read_only_store_a_stale_module_is_built_for_this_process(
    project: Project, tmp_path: Path
) -> None:
    for name in ("foo", "bar", "same"):
        project.write(f"{name}.pyx", FOO)
    project.run("import cyhot; cyhot.install(); import foo, bar, same", env=CHEAP)
    before = tree(project.store)
    for name in ("foo", "bar"):
        project.write(f"{name}.pyx", FOO.replace("x * x", "x * x * x"))
    (tmp_path / "tmp").mkdir()
    run = project.run(
        """
        import os, sys, cyhot
        cyhot.install()
        import foo, bar, same
        print(foo.sqr(3), bar.sqr(3), same.sqr(3))
        print(foo.__cached__)
        print(stat := oct(os.stat(os.path.dirname(foo.__cached__)).st_mode & 0o777))
        """,
        env={**CHEAP, "TMPDIR": str(tmp_path / "tmp")},
        python=python_with_mounts(tmp_path, READ_ONLY),
    )
    results, image, mode = run.stdout.splitlines()
    assert results == "27 27 9"
    assert image.startswith(str(tmp_path / "tmp"))
    assert mode == "0o700"
    said = [line for line in run.stderr.splitlines() if "compiling" not in line]
    assert said == [
        f"cyhot: {project.store} cannot be written (Read-only file system); what is built is "
        "kept for this process only. Choose another store with build_dir= or CYHOT_BUILD_DIR."
    ]
    assert tree(project.store) == before
    assert list((tmp_path / "tmp").iterdir()) == []  # it went with the process


@pytest.mark.parametrize(
    ("home", "said"),
    [
        (None, "there is no home folder to keep images in"),
        ("/proc", "/proc/.cache/cyhot cannot be written (No such file or directory)"),
        (os.devnull, f"{os.devnull}/.cache/cyhot cannot be written (Not a directory)"),
    ],
    ids=["no home at all", "unwritable", "no folder"],
)
def test_without_a_writable_home_it_is_said_once_and_the_import_works(
    project: Project, tmp_path: Path, home: str | None, said: str
) -> None:
    project.write("foo.pyx", FOO)
    (tmp_path / "tmp").mkdir()
    run = project.run(
        """
        import os, pwd, sys
        def nobody(uid):
            raise KeyError(uid)
        if "HOME" not in os.environ:
            pwd.getpwuid = nobody  # as in a container that runs with an arbitrary user id
        import cyhot
        cyhot.install()
        import foo
        print(foo.sqr(3), os.listdir("."))
        """,
        env={**CHEAP, "TMPDIR": str(tmp_path / "tmp"), **environment_without_store(home)},
        python=without_variables(tmp_path, home),
    )
    assert run.stdout == "9 ['foo.pyx']\n"
    assert [line for line in run.stderr.splitlines() if "compiling" not in line] == [
        f"cyhot: {said}; what is built is kept for this process only. "
        "Choose another store with build_dir= or CYHOT_BUILD_DIR."
    ]
    assert list((tmp_path / "tmp").iterdir()) == []


def environment_without_store(home: str | None) -> dict[str, str]:
    return {"CYHOT_BUILD_DIR": "", "XDG_CACHE_HOME": ""} | ({"HOME": home} if home else {})


def without_variables(folder: Path, home: str | None) -> str:
    """An interpreter that is started without HOME, if that is to be missing."""
    if home is not None:
        return sys.executable
    path = folder / "python-without-home"
    path.write_text(f'#!/bin/sh\nexec env -u HOME {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


NO_STORE = {"CYHOT_BUILD_DIR": "/proc/nowhere"}


def test_a_forked_child_leaves_its_parents_temporary_store_alone(
    project: Project, tmp_path: Path
) -> None:
    project.write("foo.pyx", FOO)
    project.write("bar.pyx", FOO)
    (tmp_path / "tmp").mkdir()
    run = project.run(
        """
        import os, sys, cyhot
        cyhot.install()
        import foo
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            import bar
            sys.exit(bar.sqr(2) != 4)
        assert os.waitpid(pid, 0)[1] == 0
        print(os.path.exists(foo.__cached__))
        import bar
        print(bar.sqr(3))
        """,
        env={**CHEAP, **NO_STORE, "TMPDIR": str(tmp_path / "tmp")},
    )
    assert run.stdout == "True\n9\n"
    assert run.compiles == ["foo", "bar"]  # the child's bar serves its parent
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_child_that_outlives_its_parents_temporary_store_makes_its_own(
    project: Project, tmp_path: Path
) -> None:
    project.write("foo.pyx", FOO)
    project.write("bar.pyx", FOO)
    (tmp_path / "tmp").mkdir()
    program = """
        import os, sys, cyhot
        cyhot.install()
        import foo
        reader, writer = os.pipe()
        pid = os.fork()
        if pid:
            sys.exit()  # a daemon's parent; its end closes the pipe
        os.close(writer)
        os.read(reader, 1)
        while os.path.exists(foo.__cached__):
            pass
        import bar
        print(foo.sqr(2), bar.sqr(3))
    """
    run = project.run(program, env={**CHEAP, **NO_STORE, "TMPDIR": str(tmp_path / "tmp")})
    assert run.stdout == "4 9\n"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_killed_process_temporary_store_goes_with_the_next(
    project: Project, tmp_path: Path
) -> None:
    project.write("foo.pyx", FOO)
    (tmp_path / "tmp").mkdir()
    env = {**CHEAP, **NO_STORE, "TMPDIR": str(tmp_path / "tmp")}
    project.run(USES + "; import os; os.kill(os.getpid(), 9)", env=env, check=False)
    (left,) = (tmp_path / "tmp").iterdir()
    os.utime(left, (1e9, 1e9))
    project.run(USES, env=env)
    assert list((tmp_path / "tmp").iterdir()) == []


# Whose it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_store_that_others_can_write_to_is_refused(project: Project, mode: int) -> None:
    project.write("foo.pyx", FOO)
    project.store.mkdir()
    project.store.chmod(mode)
    run = project.run(USES, env=CHEAP, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        f"cyhot.errors.StoreError: {project.store}: others can write to it (mode {mode:o}); a "
        f"store holds code that will run. Close it with: chmod go-w {project.store}"
    )
    assert run.compiles == []
    assert list(project.store.iterdir()) == []
    if mode == 0o777:  # the advice helps
        subprocess.run(["chmod", "go-w", str(project.store)], check=True)
        assert project.run(USES, env=CHEAP).stdout == "9\n"


def test_a_store_that_was_opened_to_others_is_refused_even_if_its_images_match(
    project: Project,
) -> None:
    project.write("foo.pyx", FOO)
    project.run(USES, env=CHEAP)
    project.store.chmod(0o777)
    run = project.run(USES, env=CHEAP, check=False)
    assert "StoreError" in run.stderr
    assert run.stdout == ""


def test_a_store_of_another_user_is_refused(project: Project) -> None:
    project.write("foo.pyx", FOO)
    if os.geteuid() == 0:
        project.store.mkdir(mode=0o755)
        os.chown(project.store, 65534, 65534)
        owner = 65534
    else:
        project.store = Path("/usr")
        owner = 0
    before = sorted(os.listdir(project.store))
    run = project.run(USES, env=CHEAP, check=False)
    assert run.stderr.splitlines()[-1] == (
        f"cyhot.errors.StoreError: {project.store}: belongs to another user (uid {owner}); a "
        "store holds code that will run, so it must be your own. Choose another with build_dir= "
        "or CYHOT_BUILD_DIR."
    )
    cleaned = project.run("from cyhot.cli import main; main()", "cache", "clean", check=False)
    assert cleaned.returncode == 2
    assert "belongs to another user" in cleaned.stderr
    assert sorted(os.listdir(project.store)) == before


def test_a_store_that_is_a_file_is_a_clear_error(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.store.write_text("")
    run = project.run(USES, env=CHEAP, check=False)
    assert run.stderr.splitlines()[-1] == (
        f"cyhot.errors.StoreError: {project.store}: is no folder, so it cannot hold images. Choose "
        "another store with build_dir= or CYHOT_BUILD_DIR."
    )


def test_nobody_else_can_read_what_is_in_the_store(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write("pyproject.toml", '[tool.cyhot]\nprofile = "dev"\n')
    project.run("import os; os.umask(0); " + USES, env=CHEAP)
    for path in [project.store, *project.store.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == 0o700 if path.is_dir() else not mode & 0o077, (path, oct(mode))


# Where it is ---------------------------------------------------------------------------------

folders = st.sampled_from(["", " ", "/c", "/c/", "/c d", "rel", "~/c", "./c", "//c", "/ü", None])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(xdg=folders, home=folders.filter(lambda folder: folder is None or folder[:1] == "/"))
def test_the_default_is_what_platformdirs_says(
    monkeypatch: pytest.MonkeyPatch, xdg: str | None, home: str | None
) -> None:
    for name, value in (("XDG_CACHE_HOME", xdg), ("HOME", home)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert default_root() == platformdirs.user_cache_dir("cyhot", appauthor=False)


def test_without_build_dir_images_are_in_the_users_cache(project: Project) -> None:
    project.write("foo.pyx", FOO)
    run = project.run(
        "import cyhot; cyhot.install(); import foo; print(foo.__cached__)",
        env={**CHEAP, "CYHOT_BUILD_DIR": "", "XDG_CACHE_HOME": ""},
    )
    assert run.stdout.startswith(f"{project.home}/.cache/cyhot/")


def test_two_projects_with_a_module_of_the_same_name_never_meet(
    projects: Callable[[str], Project],
) -> None:
    one, other = projects("one"), projects("other")
    one.write("m.pyx", "WHO = 'one'\n")
    other.write("m.pyx", "WHO = 'other'\n")
    program = "import cyhot; cyhot.install(); import m; print(m.WHO)"
    for _ in range(2):
        assert one.run(program, env=CHEAP).stdout == "one\n"
        assert other.run(program, env=CHEAP).stdout == "other\n"
    assert one.compiles() == other.compiles() == ["m"]


# Eviction and `cyhot cache` --------------------------------------------------------------------


def cyhot_cache(project: Project, *args: str) -> str:
    return project.run("from cyhot.cli import main; main()", "cache", *args).stdout


def info(project: Project) -> dict[str, object]:
    return json.loads(cyhot_cache(project, "info", "--json"))


def tree(folder: Path) -> dict[str, int]:
    """Every file below a folder, with when it was changed."""
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def days_pass(project: Project, days: float) -> None:
    """Make all that is in the store older."""
    for path in project.store.rglob("*"):
        st = path.stat()
        os.utime(path, (st.st_atime - days * 86400, st.st_mtime - days * 86400))


def test_the_images_that_were_not_used_for_the_longest_time_go_first(project: Project) -> None:
    names = ("a", "b", "c", "d")
    for name in names:
        project.write(f"{name}.pyx", FOO)
    images = {}
    for name in names[:3]:
        run = project.run(
            f"import cyhot; cyhot.install(); import {name}; print({name}.__cached__)", env=CHEAP
        )
        images[name] = Path(run.stdout.strip())
        days_pass(project, 2)
    one = sum(path.stat().st_size for path in images["a"].parent.iterdir())
    project.run("import cyhot; cyhot.install(); import a", env=CHEAP)  # a is in use again
    limit = {**CHEAP, "CYHOT_CACHE_SIZE": str(int(one * 3.5))}
    keeps_b = project.start(
        """
        import sys, cyhot
        cyhot.install()
        sys.path.append("elsewhere")
        import c
        print("mapped", flush=True)
        sys.stdin.readline()
        print(c.sqr(7))
        """,
        env=limit,
    )
    assert keeps_b.stdout.readline() == "mapped\n"
    days_pass(project, 1.5)
    project.run("import cyhot; cyhot.install(); import a", env=limit)
    # c was built last, so b is the oldest; the limit is kept with a fifth to spare: c goes, too.
    project.run("import cyhot; cyhot.install(); import d", env=limit)
    assert images["a"].exists()
    assert not images["b"].exists()
    assert info(project)["images"] == 2
    assert keeps_b.communicate("\n", timeout=60)[0] == "49\n"
    again = project.run("import cyhot; cyhot.install(); import b; print(b.sqr(3))", env=CHEAP)
    assert (again.stdout, again.compiles) == ("9\n", ["b"])


def test_a_limit_smaller_than_one_module_still_lets_it_be_imported(project: Project) -> None:
    project.write("foo.pyx", FOO)
    assert project.run(USES, env={**CHEAP, "CYHOT_CACHE_SIZE": "1000"}).stdout == "9\n"


def test_cache_info_counts_images_and_clean_removes_them(project: Project) -> None:
    assert info(project) == {"path": str(project.store), "images": 0, "bytes": 0, "limit": 2**31}
    project.write("foo.pyx", FOO)
    project.run(USES, env=CHEAP)
    found = info(project)
    assert found["images"] == 1
    size = sum(path.stat().st_size for path in project.store.rglob("*") if path.is_file())
    assert found["bytes"] == size
    assert cyhot_cache(project, "info") == (
        f"{project.store}: 1 images, {size / 2**20:.1f} MB of at most 2048.0 MB\n"
    )
    assert cyhot_cache(project, "path") == f"{project.store}\n"
    assert json.loads(cyhot_cache(project, "clean", "--json"))["images"] == 1
    assert (info(project)["images"], info(project)["bytes"]) == (0, 0)
    assert cyhot_cache(project, "clean") == f"{project.store}: 0 images removed\n"
    assert project.run(USES, env=CHEAP).compiles == ["foo"]


def test_cleaning_keeps_off_other_files_in_a_folder_that_is_shared_with_a_store(
    project: Project,
) -> None:
    kept = {}
    for name in (
        "images/ab/photo.png",
        "images/2026/holiday/beach.jpg",
        "cache/data.bin",
        "records/2026/notes.txt",
        "tmp/draft.txt",
        "parsed/x",
        "origins/y",
        "closures/z",
    ):
        path = project.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        kept[path] = name
    project.store.chmod(0o700)
    project.write("foo.pyx", FOO)
    project.write("bar.pyx", FOO)
    project.run(USES, env={**CHEAP, "CYHOT_CACHE_SIZE": "1"})
    days_pass(project, 100)
    project.run("import cyhot; cyhot.install(); import bar", env={**CHEAP, "CYHOT_CACHE_SIZE": "1"})
    assert info(project)["images"] == 1
    cyhot_cache(project, "clean")
    assert info(project)["images"] == 0
    assert {path: path.read_text() for path in kept if path.exists()} == kept


def test_an_image_that_is_evicted_just_before_it_is_loaded_is_built_again(
    project: Project,
) -> None:
    project.write("foo.pyx", FOO)
    project.run(USES, env=CHEAP)
    run = project.run(
        """
        import os, shutil, sys, cyhot
        cyhot.install()
        def evict(event, arguments):  # the moment between the look into the store and dlopen
            if event == "import" and str(arguments[1]).endswith(".so") and not evicted:
                if os.sep + "images" + os.sep in arguments[1]:
                    evicted.append(arguments[1])
                    shutil.rmtree(os.path.dirname(arguments[1]))
        evicted = []
        sys.addaudithook(evict)
        import foo
        print(foo.sqr(3), len(evicted))
        """,
        env=CHEAP,
    )
    assert run.stdout == "9 1\n"
    assert run.compiles == ["foo"]


def test_a_store_that_is_removed_while_a_program_runs_is_made_again(project: Project) -> None:
    project.write("foo.pyx", FOO)
    project.write("bar.pyx", FOO)
    run = project.run(
        """
        import os, shutil, cyhot
        cyhot.install()
        import foo
        shutil.rmtree(os.environ["CYHOT_BUILD_DIR"])
        import bar
        print(foo.sqr(2), bar.sqr(3))
        """,
        env=CHEAP,
    )
    assert run.stdout == "4 9\n"
