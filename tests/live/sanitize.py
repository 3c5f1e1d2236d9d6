"""The swap tests on interpreters that look for damage; a step of ``.ci/run``, run as a program.

``python tests/live/sanitize.py [debug] [malloc] [address] [--soak N] [--sequences N] [--tests K]``
runs, by default all three:

- ``debug``: Debian's debug build of Python, which checks reference counts and the
  collector's lists;
- ``malloc``: this Python with ``PYTHONMALLOC=debug``, which checks what is written around blocks;
- ``address``: this Python with AddressSanitizer loaded, and images that are compiled for it.

A tool that is not there is installed with apt-get; if that is not possible, the step fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGES = ["cython>=3.1", "setuptools", "filelock>=3.12", "platformdirs>=4", "click>=8.1"]
PACKAGES += ["rich>=13", "watchdog>=7.1", "pytest>=8", "pytest-timeout", "pytest-xdist"]
PACKAGES += ["hypothesis>=6.100", "pyte>=0.8"]


def apt_get(*packages: str) -> None:
    """Install Debian packages.

    Raises:
        SystemExit: If that fails: a tool that is absent fails the step.
    """
    if shutil.which("apt-get") is None:
        sys.exit(f"sanitize: {' '.join(packages)} cannot be installed: there is no apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", *packages]):
        done = subprocess.run(
            ["apt-get", "-qq", *command], env=environment, capture_output=True, text=True
        )
        if done.returncode and command[0] == "install":
            sys.exit(f"sanitize: {' '.join(packages)} cannot be installed:\n{done.stderr}")


def debug_python(scratch: Path) -> str:
    """Debian's debug build, in an environment with what the tests need."""
    if shutil.which("python3-dbg") is None:
        apt_get("python3-dbg", "python3-dev", "python3-venv")
    made = subprocess.run(["python3-dbg", "-m", "venv", str(scratch / "debug")])
    if made.returncode:
        apt_get("python3-venv")
        subprocess.run(["python3-dbg", "-m", "venv", str(scratch / "debug")], check=True)
    python = str(scratch / "debug" / "bin" / "python")
    pip = [python, "-W", "ignore", "-m", "pip", "install", "-q"]
    subprocess.run([*pip, *PACKAGES], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True, stderr=subprocess.DEVNULL)
    there = "import sys; sys.exit(not hasattr(sys, 'gettotalrefcount'))"
    if subprocess.run([python, "-c", there]).returncode:
        sys.exit("sanitize: python3-dbg is no debug build")
    return python


def address_sanitizer() -> dict[str, str]:
    """The environment in which everything is looked at by AddressSanitizer."""
    if shutil.which("gcc") is None:
        apt_get("gcc", "libc6-dev")
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True)
    library = found.stdout.strip()
    if not os.path.isabs(library) or not os.path.exists(library):
        sys.exit("sanitize: gcc has no libasan")
    # The C++ library goes first too, or its exceptions cannot be intercepted.
    plus = subprocess.run(["gcc", "-print-file-name=libstdc++.so"], capture_output=True, text=True)
    loaded = [os.path.realpath(library)]
    loaded += [os.path.realpath(plus.stdout.strip())] * os.path.isabs(plus.stdout.strip())
    return {
        "LD_PRELOAD": " ".join(loaded),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=99:handle_segv=1"
        ":allocator_may_return_null=1:detect_stack_use_after_return=0",
        "CFLAGS": "-O1 -g -fno-omit-frame-pointer -fsanitize=address",
        "LDFLAGS": "-fsanitize=address",
        "CC": "gcc",
        "CXX": "g++",
    }


def passes(label: str, python: str, own: dict[str, str], options: argparse.Namespace) -> bool:
    """Run the proofs, and the swap tests, in an environment."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("CYHOT_", "PYTHON"))}
    with tempfile.TemporaryDirectory(prefix="sanitize-") as folder:
        base = {"CFLAGS": "-O0", "CYHOT_WORKER": "0", "CYHOT_BUILD_DIR": f"{folder}/store"}
        environment = {**kept, **base, **own}
        edits = [str(HERE / "edits.py"), f"{folder}/edits", "--versions", "2", "--seed", "10"]
        edits += ["--sequences", str(options.sequences), "--steps", "10", "--no-shrink"]
        soak = [str(HERE / "soak.py"), f"{folder}/soak", "--swaps", str(options.soak)]
        commands = [["-X", "faulthandler", *edits], ["-X", "faulthandler", *soak, "--warm", "5"]]
        if options.tests:
            selection = ["-m", "not slow", "-n", "0", "-p", "no:cacheprovider", "-k", options.tests]
            commands.append(["-m", "pytest", *selection, str(HERE)])
        for command in commands:
            done = subprocess.run(
                [python, *command], env=environment, cwd=ROOT, capture_output=True, text=True
            )
            words = " ".join(Path(word).name for word in command[:4] if not word.startswith("-"))
            told = (done.stdout.strip().splitlines() or [""])[-1]
            print(
                f"sanitize: {label}: {words}: exit status {done.returncode}: {told[:200]}",
                flush=True,
            )
            if done.returncode or "AddressSanitizer" in done.stderr:
                print(f"{done.stdout[-6000:]}\n{done.stderr[-12000:]}")
                return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", choices=["debug", "malloc", "address", []])
    parser.add_argument("--sequences", type=int, default=10)
    parser.add_argument("--soak", type=int, default=30)
    parser.add_argument("--tests", default="", help="also tests/live with this -k of pytest's")
    options = parser.parse_args()
    fine = True
    for kind in options.kinds or ["malloc", "address", "debug"]:
        if kind == "debug":
            with tempfile.TemporaryDirectory(prefix="sanitize-") as scratch:
                fine &= passes(kind, debug_python(Path(scratch)), {}, options)
        elif kind == "malloc":
            fine &= passes(kind, sys.executable, {"PYTHONMALLOC": "debug"}, options)
        else:
            fine &= passes(kind, sys.executable, address_sanitizer(), options)
    print("sanitize: clean" if fine else "sanitize: NOT clean")
    return not fine


if __name__ == "__main__":
    sys.exit(main())
