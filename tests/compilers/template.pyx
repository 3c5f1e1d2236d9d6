# distutils: language=c++
from libcpp.vector cimport vector
cdef extern from *:
    """
    struct NoCopy { NoCopy() {} NoCopy(const NoCopy&) = delete; };
    """
    cppclass NoCopy:
        NoCopy()

def f(int x):
    cdef vector[NoCopy] v
    cdef NoCopy c
    v.push_back(c)
    return x
