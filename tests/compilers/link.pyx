cdef extern from "elsewhere.h":
    int elsewhere(int x)

def f(int x):
    return elsewhere(x)
