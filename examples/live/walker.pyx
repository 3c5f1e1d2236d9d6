cdef class Walker:
    """Walks along a line, and remembers how far it came."""

    cdef readonly double position
    cdef readonly long steps

    cpdef void step(self):
        self.position += 1
        self.steps += 1

    def __repr__(self):
        return f"{self.steps} steps, at {self.position:g}"
