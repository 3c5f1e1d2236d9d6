"""``cyhot doctor``: what this machine has to build with."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

import click

from ..building.observe import CYTHON, Observer
from ..building.publish import find_fault
from ..building.toolchain import find_compiler, openmp_flags, python_include_dirs
from ..errors import StoreError
from ..hook import current_session
from ..worker import client
from ..worker.protocol import BrokenLine
from .base import Command, json_option


@dataclass(frozen=True)
class Finding:
    """One thing that a build needs.

    Attributes:
        what: Its name.
        ok: Whether it is there and usable.
        detail: Which one it is, or what to do about it.
    """

    what: str
    ok: bool
    detail: str


def examine() -> list[Finding]:
    """Look at everything that a build needs."""
    return [_python(), _headers(), _cython(), *_compilers(), _openmp(), _store(), _worker()]


def _python() -> Finding:
    return Finding("Python", True, f"{sys.version.split()[0]} ({sys.executable})")


def _headers() -> Finding:
    for folder in python_include_dirs():
        if os.path.isfile(os.path.join(folder, "Python.h")):
            return Finding("Python.h", True, folder)
    return Finding("Python.h", False, "missing; Debian and Ubuntu: apt install python3-dev")


def _cython() -> Finding:
    ident = Observer().ident(*CYTHON)
    return Finding("Cython", bool(ident), ident.rpartition(" ")[0] or "pip install cython")


def _compilers() -> list[Finding]:
    found = []
    for cplus, what in ((False, "C compiler"), (True, "C++ compiler")):
        compiler = find_compiler(cplus, os.environ)
        if compiler is None:
            found.append(Finding(what, False, "none; pip install 'cyhot[compiler]' brings one"))
        else:
            version = compiler.ident.splitlines()[0]
            found.append(Finding(what, True, f"{' '.join(compiler.command)}: {version}"))
    return found


def _openmp() -> Finding:
    compiler = find_compiler(False, os.environ)
    flags = compiler and openmp_flags(compiler, current_session().default_store())
    detail = " ".join(flags[0]) if flags else "none: prange runs on one thread"
    return Finding("OpenMP", bool(flags), detail)


def _store() -> Finding:
    store = current_session().default_store()
    try:
        fault = find_fault(store)
    except StoreError as error:
        fault = str(error)
    if fault:
        return Finding("store", False, fault)
    return Finding("store", True, store.root + ("" if store.trusted() else _NOT_YET))


_NOT_YET = " (made by the first build)"


def _worker() -> Finding:
    settings = current_session().process_settings()
    if not client.is_on(settings):
        return Finding("worker", True, "off (worker = false, or CI=true)")
    try:
        answer = client.ask("status")
    except BrokenLine as fault:
        return Finding("worker", False, f"does not answer: {fault}")
    told = f"process {answer[1]['pid']}" if answer else "none; the next build starts one"
    return Finding("worker", True, told)


@click.command("doctor", cls=Command)
@json_option
def doctor(as_json: bool) -> None:
    """Show what this machine has to build with, and what is missing.

    Example: cyhot doctor
    """
    found = examine()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found]))
    else:
        for finding in found:
            mark = "ok     " if finding.ok else "missing"
            click.echo(f"{mark} {finding.what}: {finding.detail}")
    needed = {"Python.h", "Cython", "C compiler", "store"}
    sys.exit(0 if all(finding.ok for finding in found if finding.what in needed) else 1)
