"""What a ``.pyxbld`` looks at while it runs: files, folders, patterns, environment variables.

What it says depends on them as on its own text, so a change of one has to have it run again, and
the module built. Files that it reads are seen by an audit hook (PEP 578), which nothing can take
away again, and what it only asks for by ``os.stat``: both are meant for the process of its own
that a ``.pyxbld`` runs in. What a program that it starts looks at is not seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .inputs import expand
from .observe import file_sig, hash_file

Noted = tuple[
    tuple[tuple[str, str], ...],
    tuple[tuple[str, bool], ...],
    tuple[tuple[str, tuple[str, ...]], ...],
    tuple[tuple[str, str | None], ...],
]
"""Files and their content hashes; paths and whether there was anything; patterns and what they
named; variables and their values."""

NOTHING: Noted = ((), (), (), ())
_NO_FILES = ("/proc/", "/sys/", "/dev/")


def is_users(path: str) -> bool:
    """Whether a file is neither the standard library's nor an installed package's."""
    path = os.path.abspath(path)
    parts = path.split(os.sep)
    library = os.path.dirname(os.__file__)
    return not {"site-packages", "dist-packages"} & {*parts} and not path.startswith(library)


def changed(noted: Noted) -> str:
    """The first of it that is another than it was, `""` if nothing is."""
    files, paths, patterns, variables = noted
    for path, content in files:
        if hash_file(path) != content:
            return path
    for path, there in paths:
        if os.path.exists(path) != there:
            return path
    for pattern, named in patterns:
        if expand(pattern) != named:
            return pattern
    for name, value in variables:
        if os.environ.get(name) != value:
            return f"the environment variable {name}"
    return ""


class Notes:
    """Takes notes in a process that runs a ``.pyxbld`` and nothing else."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._paths: dict[str, bool] = {}
        self._patterns: dict[str, tuple[str, ...]] = {}
        self._variables: dict[str, str | None] = {}
        self._written: set[str] = set()
        self._acts = False
        self._is_on = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take notes of what happens in between."""
        sys.addaudithook(self._hear)
        real_stat, real_environ = os.stat, os.environ

        def stat(path: Any, *arguments: Any, **keywords: Any) -> os.stat_result:
            try:
                found = real_stat(path, *arguments, **keywords)
            except OSError:
                self._looked(path, False)
                raise
            self._looked(path, True)
            return found

        os.stat = stat
        # It is a view of the same variables, so nothing has to be cleared.
        os.environ = _Variables(real_environ, self._read_variable)  # noqa: B003
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False
            os.stat, os.environ = real_stat, real_environ

    def all(self) -> Noted:
        """What was noted, without what it wrote itself or removed again.

        Where it did such things, or had a program do them, what is there now is what counts: it
        would not be as it was noted by any of the next runs either.
        """
        if self._acts:
            self._written |= {path for path, text in self._files.items() if text != hash_file(path)}
            self._patterns = {pattern: expand(pattern) for pattern in self._patterns}
        own = {path for path, content in self._files.items() if content and not file_sig(path)}
        own |= self._written
        files = {path: content for path, content in self._files.items() if path not in own}
        paths = {
            path: there
            for path, there in self._paths.items()
            if path not in own and path not in files and there == os.path.exists(path)
        }
        missing = {path: False for path, content in files.items() if not content}
        return (
            tuple((path, content) for path, content in files.items() if content),
            tuple({**paths, **missing}.items()),
            tuple(self._patterns.items()),
            tuple(self._variables.items()),
        )

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_on:
            return
        note = _EVENTS.get(event)
        if event in _ACTS:
            self._acts = True
        elif note is not None:
            self._is_on = False  # to look into it is an event as well
            try:
                note(self, *arguments)
            finally:
                self._is_on = True

    def _opened(self, path: Any, mode: str | None, flags: int) -> None:
        text = _absolute(path)
        if not text or "__pycache__" in text:
            return
        reads = "r" in mode and "+" not in mode if mode else flags & 3 == os.O_RDONLY
        if not reads:
            self._written.add(text)
            self._acts = True
        elif text not in self._files and not os.path.isdir(text):
            self._files[text] = hash_file(text) if file_sig(text) else ""

    def _globbed(self, pattern: Any, _recursive: Any, root: Any, *_more: Any) -> None:
        self._named(_absolute(os.path.join(root, pattern) if root else pattern))

    def _path_globbed(self, folder: Any, pattern: Any, *_more: Any) -> None:
        self._named(_absolute(os.path.join(folder, pattern)))

    def _path_globbed_below(self, folder: Any, pattern: Any, *_more: Any) -> None:
        self._named(_absolute(os.path.join(folder, "**", pattern)))

    def _walked(self, folder: Any, *_more: Any) -> None:
        self._named(_absolute(os.path.join(folder, "**")))

    def _listed(self, folder: Any) -> None:
        if _is_asked_by_user():  # glob and the like do it as well
            self._named(_absolute(os.path.join(folder or ".", "*")))

    def _named(self, pattern: str) -> None:
        if pattern and pattern not in self._patterns:
            self._patterns[pattern] = expand(pattern)

    def _looked(self, path: Any, there: bool) -> None:
        text = _absolute(path) if self._is_on else ""
        if text:
            self._paths.setdefault(text, there)

    def _read_variable(self, name: str, value: str | None) -> None:
        if self._is_on and _is_asked_by_user():
            self._variables.setdefault(name, value)


_EVENTS: dict[str, Any] = {
    "open": Notes._opened,
    "glob.glob/2": Notes._globbed,
    "pathlib.Path.glob": Notes._path_globbed,
    "pathlib.Path.rglob": Notes._path_globbed_below,
    "os.walk": Notes._walked,
    "os.listdir": Notes._listed,
    "os.scandir": Notes._listed,
}


_ACTS = {"subprocess.Popen", "os.system", "os.posix_spawn", "os.rename", "os.remove", "os.mkdir"}


def _absolute(path: Any) -> str:
    """A path as text, `""` for what is no file of the user's."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return ""
    text = os.path.abspath(os.fsdecode(path))
    return text if is_users(text) and not text.startswith(_NO_FILES) else ""


def _is_asked_by_user() -> bool:
    """Whether what is being done was asked for by the user's own file, and not by a library."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path not in _OWN:
            return not path.startswith("<") and is_users(path)
        frame = frame.f_back  # type: ignore[assignment]
    return False


_OWN = {__file__, os.__file__, "<frozen os>", "<frozen _collections_abc>"}
"""Through these it is asked."""


class _Variables(os._Environ):  # type: ignore[type-arg]
    """`os.environ` that tells which variables are read one by one.

    Who copies all of them, to hand them on to a program, depends on none.
    """

    def __init__(self, real: os._Environ[str], note: Any) -> None:
        self.__dict__.update(vars(real))
        self._real = real
        self._note = note
        self._given: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        for name in list(super().__iter__()):
            self._given.add(name)
            yield name

    def __getitem__(self, name: str) -> str:
        if name in self._given:
            self._given.discard(name)
        else:
            self._note(name, self._real.get(name))
        return self._real[name]
