cdef extern from "bad.h":
    int bad(int)

def f(int x):
    return bad(x)
