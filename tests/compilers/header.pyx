# the header is not there
cdef extern from "thing.h" nogil:
    int thing(int x)
