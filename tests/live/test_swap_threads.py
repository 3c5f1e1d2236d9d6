"""Other threads go on while code is swapped: they see the old program, or the new one."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from swapping import Live, version

BUSY = """
    import time
    cdef int table[64]
    cdef object marker = ("VERSION",) * 3
    WORDS = {"a": "VERSION", "b": "VERSION"}
    for index in range(64):
        table[index] = VERSION
    # SLEEP

    def spin(long n):
        cdef long i, total = 0
        cdef int seen = 0
        with nogil:
            for i in range(n):
                total += table[i & 63]
        return VERSION, total

    def call(k=VERSION):
        words = WORDS
        return VERSION, k, words["a"], words["b"], marker

    cdef class Item:
        cdef public object payload
        cdef double[:] view
        def __cinit__(self): self.payload = ["VERSION"]
        def get(self): return VERSION, self.version()
        cdef int version(self): return VERSION
        def __iter__(self):
            for x in (1, 2, 3): yield x

    def view_sum(double[:] view):
        cdef double total = 0
        for x in view: total += x
        return VERSION, total

    async def tick(n):
        import asyncio
        found = []
        for _ in range(n):
            found.append(call()[0])
            await asyncio.sleep(0)
        return found
"""


def test_threads(live: Live) -> None:
    texts = {number: version(BUSY, number, sleep="time.sleep(0.1)") for number in range(2, 6)}
    m = live.load(m=version(BUSY, 1))
    live.build(m=texts.values())
    import array

    numbers = array.array("d", range(50))
    call, Item, view_sum, spin, tick = m.call, m.Item, m.view_sum, m.spin, m.tick
    stop, errors = threading.Event(), []

    def worker(work: Any) -> None:
        while not stop.is_set():
            try:
                work()
            except BaseException as error:
                errors.append(error)
                raise

    def calling() -> None:
        assert call()[0] in range(1, 6)

    def allocating() -> None:
        items = [Item() for _ in range(50)]
        assert all(one.get()[0] in range(1, 6) for one in items)

    def viewing() -> None:
        assert view_sum(numbers)[1] == 1225.0 and list(Item()) == [1, 2, 3]

    def spinning() -> None:
        number, total = spin(300_000)
        assert total % number == 0 or total

    def loop() -> None:
        found = asyncio.run(tick(20))
        assert set(found) <= set(range(1, 6))

    pool = ThreadPoolExecutor(2)
    threads = [
        threading.Thread(target=worker, args=(work,), daemon=True)
        for work in (calling, allocating, viewing, spinning, loop)
    ]
    for one in threads:
        one.start()
    for number in range(2, 6):
        futures = [pool.submit(call) for _ in range(50)]
        live.swap(m=texts[number])
        assert call()[:2] == (number, number) and Item().get() == (number, number)
        assert {future.result(timeout=60)[0] for future in futures} <= {number - 1, number}
        time.sleep(0.05)
    stop.set()
    for one in threads:
        one.join(60)
        assert not one.is_alive()
    pool.shutdown()
    assert not errors, errors
    assert call()[0] == 5


def test_a_body_that_sleeps(live: Live) -> None:
    """While a new body runs its C globals are NULL: nobody can reach code that reads them."""
    text = version(BUSY, 2, sleep="time.sleep(0.3)")
    m = live.load(m=version(BUSY, 1))
    live.build(m=[text])
    call, item = m.call, m.Item()
    seen, stop = set(), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.add((call(), m.call(), m.Item().get(), item.get()))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    live.swap(m=text)
    assert call()[0] == 2
    time.sleep(0.05)
    stop.set()
    thread.join(60)
    for answers in seen:
        for one in answers[:2]:
            v = str(one[0])
            assert one[2:] == (v, v, (v,) * 3), "no torn state within a call"
    assert {one[1][0] for one in seen} == {1, 2}
