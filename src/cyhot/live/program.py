"""The program's side of ``cyhot run``: runs it as ``python`` would.

Invariant: the program finds what plain ``python`` gives it: ``__main__``, ``sys.argv``,
``sys.path``, tracebacks, signals and exit status.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.machinery import SourceFileLoader

from ..hook import install
from .reporting import Imports, Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

BOOT = (
    "import sys; sys.flags.safe_path or sys.path.pop(0); "
    "from cyhot.live.program import main; main()"
)
"""What the program's interpreter is started with, by ``-c``."""
_OURS = (__file__, "<string>", "<frozen runpy>", "<frozen importlib")


def main() -> None:
    """Run the program that the command line names; see `cyhot.live.child`."""
    _, encoded, *args = sys.argv
    pipe, blocked, settings, is_module = marshal.loads(bytes.fromhex(encoded))
    _unblock(blocked)
    swaps = bool(settings.get("watch", True))
    if not swaps:
        import threading  # noqa: F401  # looking imports it, and the first to do so is "main" to it
    reporter = Reporter(_opened(pipe), swaps)
    sys.meta_path.insert(0, Imports(reporter, settings))
    install(**settings)
    reporter.begin()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=reporter.pause, after_in_parent=reporter.begin)
    try:
        _run(args[0], args[1:], is_module)
    except BaseException as error:
        reporter.failed(error)
        _hide_our_frames()
        raise


def _unblock(numbers: list[int]) -> None:
    """Let signals through: cyhot waits for them blocked, and a new process inherits that."""
    if numbers:
        import _signal  # type: ignore[import-not-found]

        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, numbers)


def _opened(pipe: int) -> int:
    """The pipe's end, which the program's own children do not get."""
    if sys.platform == "win32":
        import msvcrt

        os.set_handle_inheritable(pipe, False)
        return msvcrt.open_osfhandle(pipe, os.O_WRONLY)
    os.set_inheritable(pipe, False)
    return pipe


def _run(target: str, args: list[str], is_module: bool) -> None:
    main = vars(sys.modules["__main__"])
    for name in ("sys", "main"):  # what BOOT left
        main.pop(name, None)
    sys.argv = ["-m" if is_module else target, *args]
    if is_module or _is_container(target):
        import runpy

        if not is_module:
            sys.path.insert(0, os.path.join(os.getcwd(), target))
        elif not sys.flags.safe_path:
            sys.path.insert(0, os.getcwd())
        # What `python -m` itself calls.
        runpy._run_module_as_main(target if is_module else "__main__", is_module)  # type: ignore[attr-defined]
        return
    _run_script(target, main)


def _is_container(path: str) -> bool:
    """Whether it is a folder or an archive, with a ``__main__.py``."""
    if path.endswith(".py"):
        return os.path.isdir(path)
    from pkgutil import get_importer

    return get_importer(path) is not None


def _run_script(script: str, main: dict[str, object]) -> None:
    path = os.path.join(os.getcwd(), script)  # as Python spells it
    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(script)))
    loader = SourceFileLoader("__main__", path)
    main |= {"__file__": path, "__cached__": None, "__loader__": loader}
    try:
        text = loader.get_data(path)
    except OSError as error:
        print(
            f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    exec(compile(text, path, "exec", dont_inherit=True), main)


def _hide_our_frames() -> None:
    """Have the exception that ends the program shown as if Python had run it."""
    shown_by = sys.excepthook

    def show(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        while traceback and traceback.tb_frame.f_code.co_filename.startswith(_OURS):
            traceback = traceback.tb_next
        shown_by(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = show
