cdef extern from *:
    """
    static int helper(int a) { return a + undeclared_thing; }
    """
    int helper(char *a)
    int nosuch(int x, ...)
    struct pt:
        int a

def f(int x):
    cdef pt p
    p.a = nosuch(x)
    return p.a

def g(int x):
    return nosuch(x, 1) + helper("no")
