"""Swap a module again and again while threads use it; run as a program.

``python soak.py FOLDER --swaps 2000``: some images are built, then swapped in by turns, each time
from a copy of its own, as the loader makes them. Prints one line of JSON with what was measured;
an answer that is no version's ends it with an error.
"""

from __future__ import annotations

import argparse
import collections
import gc
import itertools
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = """
cimport cython
import functools
__cyhot_keep__ = ("kept",)
kept = {v}
cdef object current = {v}
cdef int c_value(int x) noexcept nogil:
    return {v} + 0 * x
def f(x, k={v}):
    return ({v}, k)
def g(*args, **kwargs):
    return ({v}, {v})
def make(n):
    def inner(): return ({v}, {v})
    return inner
def pair():
    return (c_value(1), {v})
lam = lambda: ({v}, {v})
def gen():
    yield {v}
    yield {v}
def spin(long n):
    cdef long i
    cdef int least = 1000, most = 0, found
    with nogil:
        for i in range(n):
            found = c_value(i)
            if found < least: least = found
            if found > most: most = found
    return (least, most)
cdef class Point:
    cdef public int x
    cdef object note
    def __init__(self, x=0):
        self.x = x
        self.note = [x]
    cdef int own(self):
        return {v}
    cpdef int shown(self):
        return {v}
    def meth(self):
        return (self.own(), {v})
    def __len__(self):
        return {v}
    def __getitem__(self, i):
        return ({v}, {v})
    def __repr__(self):
        return "{v} {v}"
    @property
    def prop(self):
        return ({v}, {v})
cdef class Deep(Point):
    cdef int y
    cdef int own(self):
        return {v}
@cython.freelist(8)
cdef class Plain:
    cdef double d
    def meth(self):
        return ({v}, {v})
cdef class Buffer:
    cdef double data[64]
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]
    def __cinit__(self):
        for i in range(64):
            self.data[i] = 1
    def __getbuffer__(self, Py_buffer *buffer, int flags):
        self.shape[0], self.strides[0] = 64, sizeof(double)
        buffer.buf = self.data
        buffer.format = 'd'
        buffer.internal = NULL
        buffer.itemsize = sizeof(double)
        buffer.len = 64 * sizeof(double)
        buffer.ndim = 1
        buffer.obj = self
        buffer.readonly = 0
        buffer.shape, buffer.strides, buffer.suboffsets = self.shape, self.strides, NULL
    def __releasebuffer__(self, Py_buffer *buffer):
        pass
def total(double[:] view):
    cdef double found = 0
    cdef Py_ssize_t i
    for i in range(view.shape[0]):
        found += view[i]
    return found
class P:
    attr = {v}
    def meth(self):
        return ({v}, {v})
class Q(P):
    def meth(self):
        return super().meth()
TABLE = {{"f": f, "P": P, "Point": Point}}
INSTANCES = [Point(1), Deep(2), P(), Plain()]
"""
IMAGES = 10
SAME = 1.03
"""Calls that differ by less take the same time."""


def build(folder: Path) -> list[str]:
    """The images of ten versions of ``worked``, and one of ``twin``; in a process of its own."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        from cyhot.building.request import Source
        from cyhot.hook import current_session
        from cyhot.hook.commands import build_sources
        from cyhot.live.swap.patcher import patcher

        images = []
        try:
            patcher()
            (folder / "twin.pyx").write_text(SOURCE.format(v=1))
            for version in [*range(2, IMAGES + 1), 1]:
                (folder / "worked.pyx").write_text(SOURCE.format(v=version))
                session = current_session()
                session.recent.forget()
                paths = [folder / f"{name}.pyx" for name in ("worked", "twin")]
                sources = [Source(str(path), path.stem, False) for path in paths]
                report = build_sources(sources, None, session)
                images += [one.image for one in report.modules if one.name == "worked"]
            os.write(write, json.dumps(images).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        images = json.load(file)
    os.waitpid(pid, 0)
    assert len(images) == IMAGES and all(images), images
    return [images[-1], *images[:-1]]


class Load:
    """Threads that use the module without an end, and what they saw that no version answers."""

    def __init__(self, module: Any, threads: int) -> None:
        self.wrong: list[str] = []
        self.rounds: collections.Counter[str] = collections.Counter()
        self._run = threading.Event()
        self._run.set()
        self._done = False
        self._idle = threading.Semaphore(0)
        works = [
            self._functions(module), self._methods(module), self._allocate(module),
            self._views(module),
        ]  # fmt: skip
        some = [works[at % len(works)] for at in range(threads)]
        some.append(("nogil", lambda: self._same(module.spin(200_000))))
        self._threads = [threading.Thread(target=self._loop, args=one) for one in some]
        for thread in self._threads:
            thread.start()

    def _loop(self, name: str, work: Callable[[], None]) -> None:
        while not self._done:
            if not self._run.is_set():
                self._idle.release()
                self._run.wait()
                continue
            try:
                for _ in range(20):
                    work()
            except Exception as error:
                self.wrong.append(f"{name}: {type(error).__name__}: {error}")
            self.rounds[name] += 1
            time.sleep(0.001)

    def pause(self) -> None:
        """Until `go_on`, no thread calls anything."""
        self._run.clear()
        for _ in self._threads:
            self._idle.acquire()

    def go_on(self) -> None:
        self._run.set()

    def end(self) -> None:
        self._done = True
        self._run.set()
        for thread in self._threads:
            thread.join()

    def _same(self, found: Any) -> None:
        """Both halves of an answer are one version's."""
        one, other = found
        if one != other or not 1 <= int(one) <= IMAGES:
            self.wrong.append(repr(found))

    def _functions(self, module: Any) -> tuple[str, Callable[[], None]]:
        f, g, lam, make = module.f, module.g, module.lam, module.make
        inner, callbacks = make(1), {"f": module.f}

        def work() -> None:
            for found in (f(1), g(1, a=2), lam(), make(1)(), inner(), callbacks["f"](1), f(x=3)):
                self._same(found)
            self._same(tuple(module.gen()))

        return "functions", work

    def _methods(self, module: Any) -> tuple[str, Callable[[], None]]:
        point, deep, python = module.Point(1), module.Deep(2), module.Q()
        user = type("User", (module.Deep,), {})()
        bound = point.meth

        def work() -> None:
            for one in (point, user):
                self._same(one[3])
                self._same(one.prop)
                self._same(repr(one).split())
                if not 1 <= len(one) <= IMAGES or not 1 <= one.shown() <= IMAGES:
                    self.wrong.append("len")
            for one in (point, deep, user):
                found = one.meth()  # its C method may be newer than itself, never older
                if not all(1 <= half <= IMAGES for half in found):
                    self.wrong.append(repr(found))
            bound()
            self._same(python.meth())

        return "methods", work

    def _allocate(self, module: Any) -> tuple[str, Callable[[], None]]:
        def work() -> None:
            some = [module.Point(at) for at in range(10)] + [module.Deep() for _ in range(10)]
            some += [module.Plain() for _ in range(10)] + [module.P() for _ in range(5)]
            for one in some:
                if not isinstance(one, (module.Point, module.Plain, module.P)):
                    self.wrong.append(f"a {type(one)}")
            self._same(some[0].prop)
            self._same(some[-1].meth())

        return "allocating", work

    def _views(self, module: Any) -> tuple[str, Callable[[], None]]:
        buffer = module.Buffer()
        view = memoryview(buffer)
        other = memoryview(bytearray(8 * 64)).cast("d")

        def work() -> None:
            if sum(view) != 64 or module.total(buffer) != 64 or module.total(view) != 64:
                self.wrong.append("a sum over a memoryview")
            if sum(memoryview(module.Buffer())) != 64 or module.total(other) != 0:
                self.wrong.append("a sum over a new memoryview")

        return "views", work


def status() -> dict[str, int]:
    """Memory in bytes, descriptors, and objects that the collector knows."""
    for _ in range(3):
        gc.collect()
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        rows = dict(line.split(":", 1) for line in file if ":" in line and "kB" in line)
    return {
        "rss": int(rows["Rss"].split()[0]) * 1024,
        "objects": len(gc.get_objects()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "blocks": sys.getallocatedblocks(),
        "subclasses": len(object.__subclasses__()),
    }


def mapped() -> int:
    """The bytes that the image mapped last takes."""
    sizes: collections.Counter[str] = collections.Counter()
    with open("/proc/self/maps", encoding="utf-8") as file:
        for line in file:
            where, _, _, _, _, *path = line.split(maxsplit=5)
            if path and "/cyhot-" in path[0] and "worked" in path[0]:
                start, end = (int(one, 16) for one in where.split("-"))
                sizes[path[0]] += end - start
    return max(sizes.values(), default=0)


def asks(one: Any, name: str) -> Callable[[], Any]:
    """Looks something up in an instance, and calls a method."""
    if name == "meth":
        return lambda: one.meth()  # noqa: PLW0108  (looked up each time)
    return (lambda: one.attr) if name == "attr" else (lambda: one.prop)


def call_ratios(one: Any, twin: Any) -> list[float]:
    """How much longer calls take than those of a module that was never swapped; 1 is equal.

    Whatever else runs on the machine only ever makes a call longer: so the shortest counts.
    """
    ratios = []
    for kind in (
        lambda m: m.f, lambda m: m.pair, lambda m: m.Point(1).meth, lambda m: m.P().meth,
        lambda m: m.Point, lambda m: asks(m.P(), "meth"), lambda m: asks(m.P(), "attr"),
        lambda m: asks(m.Point(1), "prop"),
    ):  # fmt: skip
        a, b = kind(one), kind(twin)
        best = [1.0, 1.0]
        for turn in range(60):
            for at, call in ((0, a), (1, b))[:: 1 if turn % 2 else -1]:
                args = (1,) if call.__name__ == "f" else ()
                began = time.perf_counter()
                for _ in range(2000):
                    call(*args)
                best[at] = min(best[at], time.perf_counter() - began)
        ratios.append(best[0] / best[1])
    return ratios


def ratio_of_images(one: Any, twin: Any, swap_next: Callable[[], None]) -> float:
    """The ratio of the kind of call that is slowest compared with its twin's.

    Where an image happens to lie in memory makes some calls faster or slower by several percent,
    swapped or not. What swapping costs, it costs with every image: so a few are tried.
    """
    best = call_ratios(one, twin)
    for _ in range(IMAGES):
        if max(best) <= SAME:
            break
        swap_next()
        best = [*map(min, best, call_ratios(one, twin))]
    return max(best)


def what_grew(before: collections.Counter[str]) -> dict[str, int]:
    now = collections.Counter(type(one).__name__ for one in gc.get_objects())
    now.subtract(before)
    return {name: many for name, many in now.most_common(12) if many}


def main() -> int:
    global IMAGES
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--swaps", type=int, default=60)
    parser.add_argument("--warm", type=int, default=20)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--images", type=int, default=IMAGES)
    options = parser.parse_args()
    IMAGES = options.images
    sys.path.insert(0, str(options.folder))
    options.folder.mkdir(parents=True, exist_ok=True)
    import cyhot

    cyhot.install(verbose=0, watch=False)
    images = build(options.folder)
    import twin
    import worked

    from cyhot.live.swap.lineage import loaded_modules
    from cyhot.live.swap.transaction import Target, swap

    def swap_to(number: int) -> Any:
        return swap([Target(loaded_modules()["worked"], images[(number + 1) % IMAGES])])

    sys.setswitchinterval(0.0005)
    fresh_ratio = max(call_ratios(worked, twin))
    worked.kept = "kept"
    load = Load(worked, options.threads)
    times: list[float] = []
    critical: list[float] = []
    first: dict[str, int] = {}
    kinds: collections.Counter[str] = collections.Counter()
    for number in range(options.warm + options.swaps):
        if number == options.warm:
            load.pause()
            first = status()
            kinds = collections.Counter(type(one).__name__ for one in gc.get_objects())
            load.go_on()
        began = time.thread_time()
        report = swap_to(number)
        times.append(time.thread_time() - began)
        critical.append(report.critical)
        assert report.ok, str(report)
        expected = (number + 1) % IMAGES + 1
        assert worked.f(1) == (expected, expected), (number, worked.f(1))
        assert worked.kept == "kept" and worked.TABLE["f"] is worked.f
        assert all(type(a) is b for a, b in zip(
            worked.INSTANCES, (worked.Point, worked.Deep, worked.P, worked.Plain), strict=True
        ))  # fmt: skip
        if load.wrong:
            break
    load.pause()
    last = status()
    grew = what_grew(kinds)
    size = mapped()
    turn = itertools.count(options.warm + options.swaps).__next__

    def swap_next() -> None:
        assert swap_to(turn()).ok

    ratio = ratio_of_images(worked, twin, swap_next)
    load.go_on()
    load.end()
    quarter = max(1, options.swaps // 4)
    middle = lambda some: sorted(some)[len(some) // 2]  # noqa: E731
    measured = times[options.warm :]
    print(json.dumps({
        "swaps": options.swaps,
        "wrong": load.wrong[:5],
        "rounds": dict(load.rounds),
        "mapped": size,
        "memory": (last["rss"] - first["rss"]) / options.swaps,
        "objects": (last["objects"] - first["objects"]) / options.swaps,
        "blocks": (last["blocks"] - first["blocks"]) / options.swaps,
        "descriptors": last["descriptors"] - first["descriptors"],
        "subclasses": last["subclasses"] - first["subclasses"],
        "ratio": ratio,
        "fresh ratio": fresh_ratio,
        "first quarter": middle(measured[:quarter]),
        "last quarter": middle(measured[-quarter:]),
        "critical": middle(critical),
        "critical most": max(critical),
        "grew": grew,
    }))  # fmt: skip
    return bool(load.wrong)


if __name__ == "__main__":
    sys.exit(main())
