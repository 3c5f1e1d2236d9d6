"""A module of two thousand lines, as a library's might be: written here in parts, each several
times over with another number in its names.

`source` puts the parts together; the module's own `check()` calls every one of them and returns a
number that is `ANSWER` for the source without an edit.
"""

from __future__ import annotations

from string import Template

COPIES = 8

HEAD = """\
# cython: language_level=3
cimport cython

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport cos, sin, sqrt
from libc.string cimport memset

import array

ctypedef fused number:
    int
    double

ctypedef fused sequence:
    list
    tuple
"""

CLASSES = '''

cdef class Account$n:
    """Something with attributes, properties, C methods and operators."""

    cdef public str owner
    cdef readonly double balance
    cdef list entries
    cdef dict tags

    def __init__(self, str owner, double balance=0.0, **tags):
        self.owner = owner
        self.balance = balance
        self.entries = []
        self.tags = tags

    cdef int _book(self, double amount) except -1:
        if amount != amount:
            raise ValueError(f"{self.owner}: not an amount: {amount!r}")
        self.balance += amount
        self.entries.append(amount)
        return 0

    cpdef double deposit(self, double amount):
        self._book(amount)
        return self.balance

    cpdef double withdraw(self, double amount) except? -1:
        if amount > self.balance:
            raise ValueError("{} has only {:.2f}".format(self.owner, self.balance))
        self._book(-amount)
        return self.balance

    @property
    def last(self):
        return self.entries[-1] if self.entries else None

    @last.setter
    def last(self, value):
        if not self.entries:
            raise IndexError("nothing was booked")
        self.balance += value - self.entries[-1]
        self.entries[-1] = value

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, index):
        return self.entries[index]

    def __iter__(self):
        for entry in self.entries:
            yield entry

    def __eq__(self, other):
        if not isinstance(other, Account$n):
            return NotImplemented
        return self.owner == (<Account$n>other).owner and self.entries == (<Account$n>other).entries

    def __hash__(self):
        return hash(self.owner)

    def __repr__(self):
        return f"Account$n({self.owner!r}, {self.balance:.2f})"


cdef class Savings$n(Account$n):
    """A subclass that overrides a C method."""

    cdef double rate

    def __init__(self, str owner, double rate):
        super().__init__(owner, kind="savings")
        self.rate = rate

    cdef int _book(self, double amount) except -1:
        return Account$n._book(self, amount * (1.0 + self.rate))


class Ledger$n:
    """A Python class around them."""

    limit = 100

    def __init__(self, *accounts):
        self.accounts = {account.owner: account for account in accounts}

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.accounts.clear()
        return False

    @classmethod
    def of(cls, *owners):
        return cls(*[Account$n(owner) for owner in owners])

    @staticmethod
    def total(accounts):
        return sum(account.balance for account in accounts)


def use_classes$n():
    savings = Savings$n("b", 0.5)
    with Ledger$n.of("a", "c") as ledger:
        ledger.accounts["a"].deposit(4.0)
        ledger.accounts["b"] = savings
        savings.deposit(2.0)
        savings.last = 5.0
        try:
            ledger.accounts["c"].withdraw(1.0)
        except ValueError:
            ledger.accounts["c"].deposit(1.0)
        found = Ledger$n.total(ledger.accounts.values())
    return int(found) + len(savings)
'''

MEMORYVIEWS = '''

@cython.boundscheck(False)
@cython.wraparound(False)
cdef double smooth$n(double[::1] values, double[::1] result) noexcept nogil:
    """A stencil over contiguous memory, without the GIL."""
    cdef Py_ssize_t i, size = values.shape[0]
    cdef double total = 0
    for i in range(size):
        if 0 < i < size - 1:
            result[i] = (values[i - 1] + 2 * values[i] + values[i + 1]) / 4
        else:
            result[i] = values[i]
        total += result[i]
    return total


cdef int fill$n(double[:] values, double start) except -1:
    cdef Py_ssize_t i
    if values.shape[0] == 0:
        raise ValueError("nothing to fill")
    for i in range(values.shape[0]):
        values[i] = start + i
    return 0


def norm$n(double[:] values):
    cdef double total = 0
    cdef double value
    for value in values:
        total += value * value
    return sqrt(total)


def use_memoryviews$n():
    cdef double[::1] values = array.array("d", bytes(8 * 16))
    cdef double[::1] result = array.array("d", bytes(8 * 16))
    cdef double total
    cdef unsigned char* raw = <unsigned char*>PyMem_Malloc(16)
    if not raw:
        raise MemoryError()
    try:
        memset(raw, 1, 16)
        fill$n(values, raw[3])
        with nogil:
            total = smooth$n(values, result)
        return int(total) + int(norm$n(result[::4]))
    finally:
        PyMem_Free(raw)
'''

CLOSURES = '''

def counter$n(int start, step=1):
    """Inner functions that share and change what they enclose."""
    cdef int now = start
    history = []

    def advance(*more, by=None):
        nonlocal now
        now += step if by is None else by
        history.append((now, *more))
        return now

    def undo():
        nonlocal now
        if history:
            now -= step
            history.pop()
        return now

    return advance, undo, lambda: len(history)


def pipeline$n(*stages):
    def run(values):
        for stage in stages:
            values = map(stage, values)
        return list(values)
    return run


def windows$n(values, int size=2):
    """A generator that holds state between its steps."""
    held = []
    for value in values:
        held.append(value)
        if len(held) == size:
            yield tuple(held)
            del held[0]


def use_closures$n():
    advance, undo, count = counter$n(10, step=2)
    advance()
    advance("again", by=5)
    undo()
    run = pipeline$n(lambda x: x + 1, lambda x: x * x, abs)
    squares = {value: index for index, value in enumerate(run(range(4)))}
    pairs = [a * b for a, b in windows$n(sorted(squares), size=2) if a or b]
    return advance() + count() + sum(pairs)
'''

FUSED = '''

cdef number clamp$n(number value, number low, number high):
    """One text, a C function for each type."""
    if value < low:
        return low
    return high if value > high else value


def limited$n(number value, sequence bounds):
    cdef number low = bounds[0]
    cdef number high = bounds[1]
    if number is int:
        return clamp$n(value, low, high)
    else:
        return clamp$n(value, low, high) / 2


cpdef double wave$n(double x, int terms=3) noexcept:
    cdef double total = 0
    cdef int k
    for k in range(1, terms + 1):
        total += sin(k * x) / k if k % 2 else cos(k * x) / k
    return total


def use_fused$n():
    whole = limited$n(70, [0, 9])
    real = limited$n(7.0, (0.0, 4.0))
    return whole + int(real) + (1 if wave$n(0.5) > 0 else 0)
'''

PARTS = (
    ("classes", CLASSES),
    ("memoryviews", MEMORYVIEWS),
    ("closures", CLOSURES),
    ("fused", FUSED),
)

ANSWER = COPIES * (11 + 152 + 203 + 12)  # classes, memoryviews, closures, fused


def source(edit: str = "") -> str:
    """Returns the module's text; `edit` is added to what `check()` returns."""
    copies = [Template(text).substitute(n=n) for n in range(COPIES) for _, text in PARTS]
    calls = [f"    total += use_{name}{n}()\n" for n in range(COPIES) for name, _ in PARTS]
    check = ["\n\ndef check():\n    cdef long total = 0\n", *calls, f"    return total{edit}\n"]
    return "".join([HEAD, *copies, *check])
