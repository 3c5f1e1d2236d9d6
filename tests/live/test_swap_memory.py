"""Memory that outlives a swap: NumPy's arrays, buffers, and members that only C++ knows."""

from __future__ import annotations

import gc

from swapping import Live, version

ARRAYS = """
    cimport numpy as cnp
    import numpy as np
    cnp.import_array()
    __cyhot_keep__ = ("table", "kept")
    cdef double[:, ::1] table = np.zeros((2, 3))
    kept = np.arange(3.0)
    made = np.full(2, VERSION)

    cdef class Grid:
        cdef double[:, :] cells
        cdef cnp.ndarray whole
        def __init__(self, cnp.ndarray whole):
            self.whole, self.cells = whole, whole
        def at(self, int i, int j): return VERSION, self.cells[i, j]
        def shape(self): return VERSION, self.whole.shape[0], self.cells.shape[1]
        def view(self): return self.cells[1:]
        def fill(self, double x): self.cells[:, :] = x + VERSION

    cdef class Buffer:
        cdef double data[4]
        cdef Py_ssize_t shape[1]
        cdef Py_ssize_t strides[1]
        def __getbuffer__(self, Py_buffer *buffer, int flags):
            cdef int i
            self.shape[0], self.strides[0] = 4, sizeof(double)
            for i in range(4):
                self.data[i] = VERSION
            buffer.buf = self.data
            buffer.format, buffer.internal, buffer.itemsize = 'd', NULL, sizeof(double)
            buffer.len, buffer.ndim, buffer.obj, buffer.readonly = sizeof(self.data), 1, self, 0
            buffer.shape, buffer.strides, buffer.suboffsets = self.shape, self.strides, NULL
        def __releasebuffer__(self, Py_buffer *buffer):
            released.append(VERSION)
    released = []

    def total(double[:] x):
        cdef double found = 0
        cdef Py_ssize_t i
        for i in range(x.shape[0]):
            found += x[i]
        return VERSION, found
    def legacy(cnp.ndarray[cnp.float64_t, ndim=2] x): return VERSION, x[0, 0], x.shape[1]
    def put(int i, int j, double x): table[i, j] = x
    def get(int i, int j): return VERSION, table[i, j]
    def whole(): return table
    def pieces(double[:] x):
        cdef Py_ssize_t i
        for i in range(x.shape[0]):
            yield VERSION, x[i]
"""


def test_arrays_and_buffers(live: Live) -> None:
    import numpy as np

    m = live.load(m=version(ARRAYS, 1))
    array = np.arange(12.0).reshape(3, 4)
    grid, buffer, total, legacy = m.Grid(array), m.Buffer(), m.total, m.legacy
    view, table, kept = grid.view(), m.whole(), m.kept
    seen, again = memoryview(buffer), np.asarray(buffer)
    pieces = m.pieces(array[0])
    assert next(pieces) == (1, 0.0) and total(buffer) == (1, 4.0)
    m.put(1, 2, 7.5)
    released = m.released

    live.swap(m=version(ARRAYS, 2))

    assert total(array[0]) == (2, 6.0) and total(view[0]) == (2, 22.0) and total(again) == (2, 4.0)
    assert legacy(array) == m.legacy(array) == (2, 0.0, 4)
    assert grid.at(1, 1) == (2, 5.0) and grid.shape() == (2, 3, 4)
    grid.fill(3)
    assert (array == 5).all() and np.asarray(view).tolist() == [[5.0] * 4] * 2
    assert np.asarray(view[0]).base is not None and view.shape == (2, 4) and view[1, 1] == 5.0
    assert np.asarray(grid.view()).tolist() == [[5.0] * 4] * 2
    assert list(pieces) == [(1, 5.0)] * 3, "a running generator ends as it began"
    assert m.get(1, 2) == (2, 7.5) and m.kept is kept and m.made.tolist() == [2, 2]
    m.put(0, 0, 1.5)
    assert (
        np.asarray(table).tolist() == np.asarray(m.whole()).tolist() == [[1.5, 0, 0], [0, 0, 7.5]]
    )
    assert seen.tolist() == again.tolist() == [1.0] * 4
    assert np.asarray(m.Buffer()).tolist() == [2.0] * 4
    before = len(m.released)
    del again
    seen.release()
    assert released == [1] and m.released[before:] == [2, 2], "released by the new code"

    live.swap(m=version(ARRAYS, 3))
    del view, table, grid
    gc.collect()
    assert m.get(1, 2) == (3, 7.5) and total(array[0]) == (3, 20.0)
    assert total(np.asarray(buffer)) == (3, 12.0)


MEMBERS = """
    # distutils: language = c++
    from libcpp.map cimport map as cmap
    from libcpp.memory cimport unique_ptr, make_unique
    from libcpp.string cimport string
    from libcpp.vector cimport vector
    cdef extern from *:
        '''
        static int alive = 0;
        struct Counted {
            int n;
            Counted() : n(0) { alive++; }
            ~Counted() { alive--; }
        };
        '''
        int alive
        cdef cppclass Counted:
            int n
    counts = []
    cdef class Store:
        cdef vector[int] numbers
        cdef cmap[string, double] named
        cdef unique_ptr[string] owned
        cdef Counted counted
        def __cinit__(self):
            self.owned = make_unique[string](b"one")
        def add(self, int x):
            self.numbers.push_back(x * VERSION)
            self.named[b"last"] = x
            self.counted.n += VERSION
        def told(self):
            return VERSION, list(self.numbers), dict(self.named), self.owned.get()[0].size()
        def count(self): return VERSION, self.counted.n
        def __dealloc__(self):
            counts.append(VERSION)
    cdef class More(Store):
        cdef vector[vector[double]] rows
        def grow(self): self.rows.resize(self.rows.size() + VERSION); return self.rows.size()
    def living(): return alive
    def passed(vector[double] x): return VERSION, x.size()
"""


def test_cplusplus_members(live: Live) -> None:
    m = live.load(m=version(MEMBERS, 1))
    store, more, living, passed = m.Store(), m.More(), m.living, m.passed
    user = type("User", (m.More,), {})()
    for one in (store, more, user):
        one.add(5)
    assert more.grow() == 1 and living() == 3

    live.swap(m=version(MEMBERS, 2))

    for one in (store, more, user):
        one.add(6)
        assert one.told() == (2, [5, 12], {b"last": 6.0}, 3) and one.count() == (2, 3)
    assert more.grow() == 3 and passed([1, 2, 3]) == (2, 3)
    fresh = m.Store()
    assert fresh.told() == (2, [], {}, 3) and type(store) is m.Store
    told = live.refused(
        "refused", m=version(MEMBERS, 3).replace("vector[int] numbers", "vector[long] numbers")
    )
    assert "cdef class Store: its fields changed" in told and store.count() == (2, 3)
    changed = version(MEMBERS, 3).replace("int n;\n", "unsigned n;\n")
    told = live.refused("refused", m=changed)
    assert "cdef class Store: what a header says" in told and "Counted" in told
    live.swap(m=version(MEMBERS, 4))
    counts = m.counts
    del store, more, user, fresh, one
    gc.collect()
    assert counts == [4] * 4, "the new code takes them down"
