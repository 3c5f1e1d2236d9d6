"""A cache that machines share: what one has compiled, the others do not compile again.

Two checkouts at different paths, each with a store of its own and a cache server of its own, stand
for two machines; a Redis server on loopback is what they share.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Project, clean_environment

MANY = 20
BUILD = "import cyhot; report = cyhot.build(); print(len(report.built), len(report.failed))"

pytestmark = pytest.mark.timeout(1200)


def tool(name: str) -> str:
    """The path of a program that is here, or next to this interpreter."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"needs {name}")
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis server."""
    port = free_port()
    command = [tool("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    options = ["--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as server:
        try:
            while "Ready to accept connections" not in (line := server.stdout.readline()):
                assert line, "the Redis server did not start"
            yield port
        finally:
            server.kill()


class Machine:
    """A checkout, a store, and an sccache server that uses the Redis server."""

    def __init__(self, folder: Path, redis: int, **settings: str) -> None:
        self.project = Project(folder)
        self._sccache = tool("sccache")
        self.env = {
            "CYHOT_LAUNCHER": self._sccache,
            "SCCACHE_REDIS_ENDPOINT": f"tcp://127.0.0.1:{redis}",
            "SCCACHE_SERVER_PORT": str(free_port()),
            "CFLAGS": "-O0",
            **settings,
        }

    def check_out(self) -> None:
        """Write a package: plain modules, one with a header of its own, and one in C++."""
        self.project.write("pk/__init__.py", "")
        self.project.write("pk/core.pxd", "cdef inline int one(int x): return x + 1\n")
        self.project.write("pk/scale.h", "#define SCALE 3\n")
        for number in range(MANY - 2):
            text = f"from pk.core cimport one\ncpdef int f(int x):\n    return one(x) * {number}\n"
            self.project.write(f"pk/m{number}.pyx", text)
        scaled = 'cdef extern from "scale.h":\n    int SCALE\ndef scale(): return SCALE\n'
        self.project.write("pk/scaled.pyx", scaled)
        cplus = "# distutils: language = c++\nfrom libcpp.vector cimport vector\n"
        counts = "def count(values):\n    cdef vector[int] v = values\n    return v.size()\n"
        self.project.write("pk/counted.pyx", cplus + counts)

    def build(self) -> str:
        """Build all; gives how many were built and how many failed."""
        return self.project.run(BUILD, env=self.env).stdout.strip()

    def stats(self) -> dict[str, Any]:
        """What sccache did so far."""
        told = self._ask("--show-stats", "--stats-format", "json")
        return dict(json.loads(told)["stats"])

    def hits_and_misses(self) -> tuple[int, int]:
        stats = self.stats()
        assert not stats["cache_errors"]["counts"]
        assert not stats["not_cached"]
        counts = (stats[name]["counts"].values() for name in ("cache_hits", "cache_misses"))
        hits, misses = map(sum, counts)
        return hits, misses

    def compiles_by_hand(self, compiler: str) -> bool:
        """Whether sccache's server, which a build of ours started, serves others as well."""
        source = self.project.write("by_hand.c", "int x;\n")
        command = [self._sccache, compiler, "-c", str(source), "-o", os.devnull]
        return not subprocess.run(command, env=self._environment(), capture_output=True).returncode

    def _ask(self, *words: str) -> str:
        done = subprocess.run(
            [self._sccache, *words], env=self._environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**clean_environment(), **self.env}

    def stop(self) -> None:
        subprocess.run([self._sccache, "--stop-server"], env=self._environment(),
                       capture_output=True)  # fmt: skip


@pytest.fixture
def machines(tmp_path: Path, redis: int) -> Iterator[tuple[Machine, Machine]]:
    both = Machine(tmp_path / "one", redis), Machine(tmp_path / "another" / "place", redis)
    for machine in both:
        machine.check_out()
    yield both
    for machine in both:
        machine.stop()


@pytest.mark.slow
def test_what_one_machine_compiled_the_other_gets_from_the_shared_cache(
    machines: tuple[Machine, Machine],
) -> None:
    first, second = machines
    assert first.build() == f"{MANY} 0"
    assert first.hits_and_misses() == (0, MANY)
    assert second.build() == f"{MANY} 0"
    assert second.hits_and_misses() == (MANY, 0)
    program = """
        import cyhot
        cyhot.install()
        from pk import m7, scaled, counted
        print(m7.f(1), scaled.scale(), counted.count([1, 2]))
    """
    run = second.project.run(program, env=second.env)
    assert (run.stdout, run.compiles) == ("14 3 2\n", [])


@pytest.mark.slow
def test_an_image_from_the_shared_cache_knows_its_headers(
    machines: tuple[Machine, Machine],
) -> None:
    program = "import cyhot; cyhot.install(); from pk import scaled; print(scaled.scale())"
    for machine in machines:
        machine.project.run(program, env=machine.env)
    _, second = machines
    assert second.hits_and_misses() == (1, 0)
    second.project.write("pk/scale.h", "#define SCALE 5\n")
    assert second.project.run(program, env=second.env).stdout == "5\n"


@pytest.mark.slow
def test_release_builds_are_shared_by_machines_with_the_same_paths(
    tmp_path: Path, redis: int
) -> None:
    """Debug information has paths in it: those of another machine would be wrong."""
    first = Machine(tmp_path, redis, CYHOT_PROFILE="release", CFLAGS="-O0 -g")
    program = "import cyhot; cyhot.install(); from pk import m3; print(m3.f(1))"
    first.check_out()
    first.project.run(program, env=first.env)
    first.stop()
    shutil.rmtree(first.project.store)
    second = Machine(tmp_path, redis, CYHOT_PROFILE="release", CFLAGS="-O0 -g")
    try:
        run = second.project.run(program, env=second.env)
        assert (run.stdout, run.compiles) == ("6\n", ["pk.m3"])
        assert second.hits_and_misses() == (1, 0)
    finally:
        second.stop()


@pytest.mark.slow
def test_a_server_that_a_build_started_goes_on_serving_others(
    machines: tuple[Machine, Machine],
) -> None:
    first, _ = machines
    first.project.run("import cyhot; cyhot.install(); import pk.m1", env=first.env)
    assert first.compiles_by_hand(tool("clang"))  # it tries a compiler that it did not know


@pytest.mark.slow
def test_ccache_finds_what_another_store_compiled(tmp_path: Path, redis: int) -> None:
    def machine(name: str) -> tuple[Project, dict[str, str]]:
        env = {
            "CYHOT_LAUNCHER": tool("ccache"),
            "CCACHE_DIR": str(tmp_path / name / "ccache"),
            "CCACHE_REMOTE_STORAGE": f"redis://127.0.0.1:{redis}",
            "CCACHE_BASEDIR": str(tmp_path),
            "CFLAGS": "-O0",
        }
        project = Project(tmp_path / name)
        project.write("pk/__init__.py", "")
        project.write("pk/scale.h", "#define SCALE 3\n")
        scaled = 'cdef extern from "scale.h":\n    int SCALE\ndef scale(): return SCALE\n'
        project.write("pk/scaled.pyx", scaled)
        return project, env

    for name, hits in (("one", 0), ("two", 1)):
        project, env = machine(name)
        project.run(BUILD, env=env)
        told = subprocess.run(
            [tool("ccache"), "--print-stats"],
            env={**clean_environment(), **env},
            capture_output=True,
            text=True,
        ).stdout
        stats = dict(line.split("\t") for line in told.splitlines())
        found = int(stats["direct_cache_hit"]) + int(stats["preprocessed_cache_hit"])
        assert (found, int(stats["cache_miss"])) == (hits, 1 - hits)
