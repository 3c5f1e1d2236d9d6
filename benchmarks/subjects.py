"""What is edited and imported: four modules and a package, each with a program that tells which
state of the source ran.

A state is a number that goes into the source where an edit would: the program's answer moves with
it, so an answer proves that this very state was compiled. State 0 is the source as it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import large


@dataclass(frozen=True)
class Extension:
    """One extension module, as build systems want to know it."""

    name: str
    numpy: bool = False
    cplus: bool = False

    @property
    def path(self) -> str:
        """Its source."""
        return self.name.replace(".", "/") + ".pyx"


@dataclass(frozen=True)
class Subject:
    """Sources in some state, and a program that uses them.

    Attributes:
        name: What it is called on the command line and in tables.
        extensions: Its extension modules.
        files: The text of each file in a state.
        expression: What the program prints, given the imported modules and `np`.
        answer: Its value in state 0.
        weight: How much the answer grows with each state.
        rebuilt: The extension modules that an edit makes stale.
        flows: What is worth measuring with it.
    """

    name: str
    extensions: tuple[Extension, ...]
    files: Callable[[int], dict[str, str]]
    expression: str
    answer: int
    weight: int
    rebuilt: tuple[str, ...]
    flows: tuple[str, ...] = ("first", "cold", "unchanged", "edited", "reverted")

    @property
    def numpy(self) -> bool:
        """Whether any of it needs NumPy."""
        return any(extension.numpy for extension in self.extensions)

    @property
    def cplus(self) -> bool:
        """Whether any of it is C++."""
        return any(extension.cplus for extension in self.extensions)

    def imports(self) -> str:
        """Returns the program's import statements."""
        return "".join(f"import {extension.name}\n" for extension in self.extensions)

    def program(self, imports: str | None = None) -> str:
        """Returns the program; `imports` stands for other ways of getting the modules."""
        first = "import numpy as np\n" if self.numpy else ""
        body = self.imports() if imports is None else imports
        return f"{first}{body}print('answer', int({self.expression}))\n"

    def expected(self, state: int) -> str:
        """Returns what the program has to print."""
        return f"answer {self.answer + self.weight * state}"


FOO = """\
cpdef int sqr(int x):
    return x * x{edit}
"""

MATMUL = """\
# cython: boundscheck=False, wraparound=False
import numpy as np

cimport numpy as np


def matmul(
    np.ndarray[dtype=np.float64_t, ndim=2] left,
    np.ndarray[dtype=np.float64_t, ndim=2] right,
):
    cdef Py_ssize_t rows = left.shape[0]
    cdef Py_ssize_t inner = left.shape[1]
    cdef Py_ssize_t columns = right.shape[1]
    cdef np.ndarray[dtype=np.float64_t, ndim=2] result = np.zeros((rows, columns))
    cdef np.float64_t[:, :] a = left
    cdef np.float64_t[:, :] b = right
    cdef np.float64_t[:, :] c = result
    cdef Py_ssize_t i, j, k
    with nogil:
        for i in range(rows):
            for k in range(inner):
                for j in range(columns):
                    c[i, j] += a[i, k] * b[k, j]{edit}
    return result
"""

WORDS = '''\
# distutils: language = c++
from cython.operator cimport dereference, preincrement

from libcpp.map cimport map
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from *:
    """
    #include <string>

    class Accent {{
    public:
        explicit Accent(int weight) : weight(weight), seen(0) {{}}
        int of(const std::string& word) {{ ++seen; return weight * (int)word.size(); }}
        int times() const {{ return seen; }}
    private:
        int weight;
        int seen;
    }};
    """
    cdef cppclass Accent:
        Accent(int weight) except +
        int of(const string& word)
        int times() const


cdef class Tally:
    """Counts words, and weighs them by their length."""

    cdef map[string, int] counts
    cdef vector[string] order
    cdef Accent* accent

    def __cinit__(self, int weight):
        self.accent = new Accent(weight)

    def __dealloc__(self):
        del self.accent

    def add(self, string word):
        if self.counts.find(word) == self.counts.end():
            self.order.push_back(word)
        self.counts[word] += 1

    def counted(self):
        cdef map[string, int].iterator place = self.counts.begin()
        cdef list found = []
        while place != self.counts.end():
            found.append((dereference(place).first, dereference(place).second))
            preincrement(place)
        return found

    def weigh(self):
        cdef int total = 0
        cdef string word
        for word in self.order:
            total += self.counts[word] * self.accent.of(word)
        return total


cdef pair[int, int] extent(vector[int]& values):
    cdef pair[int, int] found = pair[int, int](values[0], values[0])
    cdef int value
    for value in values:
        found.first = min(found.first, value)
        found.second = max(found.second, value)
    return found


def spread(vector[int] values):
    cdef pair[int, int] found = extent(values)
    return found.second - found.first{edit}


def weigh(words, int weight):
    tally = Tally(weight)
    for word in words:
        tally.add(word)
    return tally.weigh() + len(tally.counted())
'''

PACKAGE = "bundle"
PER_KIND = 10
DEPENDENT = 3  # modules of each kind that cimport the .pxd

SHARED = """\
cdef inline int shift(int x) noexcept nogil:
    return x{edit}
"""
SMALL = """\
{cimport}
cpdef int sqr(int x):
    return {result}
"""


def _edit(state: int) -> str:
    return f" + {state}" if state else ""


def _single(name: str, text: str) -> Callable[[int], dict[str, str]]:
    return lambda state: {f"{name}.pyx": text.format(edit=_edit(state))}


def _foo() -> Subject:
    files = _single("foo", FOO)
    return Subject("foo", (Extension("foo"),), files, "foo.sqr(7)", 49, 1, ("foo",))


def _matmul() -> Subject:
    product = "matmul.matmul(np.ones((2, 3)), np.ones((3, 2)))[1, 1]"
    extension = Extension("matmul", numpy=True)
    return Subject("matmul", (extension,), _single("matmul", MATMUL), product, 3, 3, ("matmul",))


def _large() -> Subject:
    return Subject(
        "large",
        (Extension("large"),),
        lambda state: {"large.pyx": large.source(_edit(state))},
        "large.check()",
        large.ANSWER,
        1,
        ("large",),
    )


def _words() -> Subject:
    expression = "words.spread([5, 2, 9]) + words.weigh([b'to', b'be', b'to'], 2)"
    extension = Extension("words", cplus=True)
    return Subject("words", (extension,), _single("words", WORDS), expression, 21, 1, ("words",))


def _small(cimports: bool) -> str:
    return SMALL.format(
        cimport=f"from {PACKAGE}.shared cimport shift\n\n" if cimports else "",
        result="shift(x * x)" if cimports else "x * x",
    )


def _heavy(cimports: bool) -> str:
    if not cimports:
        return MATMUL.format(edit="")
    plain, shifted = "a[i, k] * b[k, j]{edit}", "shift(<int>(a[i, k] * b[k, j]))"
    cimported = f"cimport numpy as np\n\nfrom {PACKAGE}.shared cimport shift\n"
    return MATMUL.replace(plain, shifted).replace("cimport numpy as np\n", cimported)


def _package_files(state: int) -> dict[str, str]:
    files = {
        f"{PACKAGE}/__init__.py": "",
        f"{PACKAGE}/__init__.pxd": "",
        f"{PACKAGE}/shared.pxd": SHARED.format(edit=_edit(state)),
    }
    for number in range(PER_KIND):
        cimports = number < DEPENDENT
        files[f"{PACKAGE}/small{number}.pyx"] = _small(cimports)
        files[f"{PACKAGE}/heavy{number}.pyx"] = _heavy(cimports)
    return files


def _package_extensions() -> Iterator[Extension]:
    for number in range(PER_KIND):
        yield Extension(f"{PACKAGE}.small{number}")
        yield Extension(f"{PACKAGE}.heavy{number}", numpy=True)


def _package() -> Subject:
    """Ten modules like foo, ten like matmul; an edit is one of the .pxd that some cimport."""
    numbers = range(PER_KIND)
    squares = " + ".join(f"{PACKAGE}.small{number}.sqr(7)" for number in numbers)
    ones = "np.ones((2, 3)), np.ones((3, 2))"
    products = " + ".join(f"{PACKAGE}.heavy{number}.matmul({ones})[1, 1]" for number in numbers)
    return Subject(
        "package",
        tuple(_package_extensions()),
        _package_files,
        f"{squares} + {products}",
        answer=PER_KIND * (49 + 3),
        weight=DEPENDENT * (1 + 3),
        rebuilt=tuple(
            f"{PACKAGE}.{kind}{number}"
            for number in range(DEPENDENT)
            for kind in ("small", "heavy")
        ),
        flows=("cold", "one core", "unchanged", "edited"),
    )


SUBJECTS = {
    subject.name: subject for subject in (_foo(), _matmul(), _large(), _words(), _package())
}
