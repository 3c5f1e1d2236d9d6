"""What of a header counts for how values are laid out."""

from __future__ import annotations

import pytest

from cyhot.building.declarations import layouts, verbatim

HEADER = """\
#ifndef POINT_H
#define POINT_H 1
#include <math.h>
#define MANY 3
#ifdef __cplusplus
extern "C" {
#endif
// a comment
typedef struct { int x; double y; } point;  /* another */
struct inner { int a[MANY]; };
static inline double norm(point p) { if (p.x) { return 1; } return p.y; }
double other(point *p);
struct inner make(void);
enum color { RED, GREEN };
typedef void (*callback)(int);
static const int N = 3;
#ifdef __cplusplus
}
namespace shapes {
class Circle { double r; public: double area() const { return 3 * r * r; } };
template <class T> T twice(T x) { return x + x; }
}
#endif
#endif
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return 1", "return 2"),
        ("a comment", "struct { int it; } speaks;"),
        ("double other(point *p)", "float other(point *p, int n)"),
        ("x + x", "2 * x"),
        ("struct inner make", "struct inner made"),
        ("  /* another */", "\n\n"),
        ("int x; double y", "int x;\n    double   y"),
    ],
)
def test_functions_and_comments_do_not_count(before: str, after: str) -> None:
    assert before in HEADER
    assert layouts([HEADER.replace(before, after)]) == layouts([HEADER])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("int x; double y", "double y; int x"),
        ("a[MANY]", "a[MANY + 1]"),
        ("MANY 3", "MANY 4"),
        ("GREEN", "GREEN = 5"),
        ("N = 3", "N = 4"),
        ("double r;", "float r;"),
        ("callback)(int)", "callback)(long)"),
        ("<math.h>", '"other.h"'),
        ("#ifdef __cplusplus\nextern", "#ifndef __cplusplus\nextern"),
    ],
)
def test_types_and_what_they_are_made_of_count(before: str, after: str) -> None:
    assert before in HEADER
    assert layouts([HEADER.replace(before, after)]) != layouts([HEADER])


def test_several_headers_count_together_in_any_order() -> None:
    assert layouts([HEADER, "struct a { int x; };"]) == layouts(["struct a { int x; };", HEADER])
    assert layouts([HEADER]) != layouts([HEADER, "struct a { int x; };"])


def test_c_in_a_cython_source_is_found() -> None:
    source = '''
cdef extern from *:  # our own
    # C
    """
    typedef struct { int a; } pair;
    """
    ctypedef struct pair:
        int a
cdef extern from "x.h":
    int f()
def g():
    """no C"""
'''
    assert [text.strip() for text in verbatim(source)] == ["typedef struct { int a; } pair;"]
