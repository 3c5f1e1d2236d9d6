"""New processes that need not import Cython first: forks of one that has.

A test about staleness asks a new process after each edit, and most of such a process's time would
go into importing Cython. The server has imported and warmed it up, but never cyhot: all that
cyhot knows it has to find out anew in each fork, as in any other new process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from support import Project, Run, clean_environment

_SERVER = """\
import json, os, sys, tempfile, traceback

from Cython.Build import Dependencies
from Cython.Compiler.Main import compile_single, default_options
from Cython.Compiler.Options import CompilationOptions
import filelock, runpy, shutil, subprocess, sysconfig

with tempfile.TemporaryDirectory() as folder:
    source = os.path.join(folder, "warm.pyx")
    with open(source, "w") as file:
        file.write("cdef class C:\\n    cdef int x\\ndef f(int a): return [a for _ in 'ab']\\n")
    options = CompilationOptions(default_options, language_level=3, annotate="default",
                                 output_file=os.path.join(folder, "warm.c"))
    compile_single(source, options, "warm")

base_path = sys.path[1:]


def run(request):
    for number, name in ((1, "stdout"), (2, "stderr")):
        descriptor = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    extra = os.environ.get("PYTHONPATH", "")
    sys.path[:] = ["", *(extra.split(os.pathsep) if extra else ()), *base_path]
    sys.argv[:] = ["-c"]
    try:
        exec(compile(request["code"], "<string>", "exec"), sys.modules["__main__"].__dict__)
    except SystemExit as exit:
        return exit.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


assert not any(name.partition(".")[0] == "cyhot" for name in sys.modules)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        status = run(json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class ForkServer:
    """Runs programs of projects in forks of one warm process.

    Args:
        base: An empty folder for what the programs print.
    """

    def __init__(self, base: Path) -> None:
        self._out, self._err = base / "stdout", base / "stderr"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
            cwd=base,
        )
        assert self._reply() == "ready"

    def _reply(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(
        self,
        project: Project,
        program: str,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        check: bool = True,
    ) -> Run:
        """Run a program as `Project.run` does, in a fork."""
        before = len(project.events())
        request = {
            "code": textwrap.dedent(program),
            "env": project.environment(env),
            "cwd": str(cwd or project.root),
            "stdout": str(self._out),
            "stderr": str(self._err),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = int(self._reply())
        out, err = (path.read_text(encoding="utf-8") for path in (self._out, self._err))
        run = Run(out, err, status, tuple(project.events()[before:]))
        assert not check or status == 0, str(run)
        return run

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
