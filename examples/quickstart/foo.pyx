cpdef int sqr(int x):
    return x * x
