cimport cython

cimport outboard.host.vectored as vectored

@cython.final
cdef class Transfers:
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t used
    cdef unsigned char[::1] writes
    cdef unsigned long long[::1] offsets
    cdef unsigned long long[::1] left
    cdef unsigned int[::1] first
    cdef unsigned int[::1] pieces
    cdef int[::1] errors
    cdef unsigned long long[::1] table

    cpdef clear(self)
    @cython.locals(row=Py_ssize_t)
    cpdef Py_ssize_t add(self) except -1 nogil
    @cython.locals(row=Py_ssize_t)
    cpdef int aim(self, bint write, unsigned long long offset) except -1 nogil
    @cython.locals(row=Py_ssize_t)
    cpdef int point(self, const unsigned long long[::1] places, size_t place, unsigned long long start,
                    unsigned long long length) except -1 nogil
    @cython.locals(first=Py_ssize_t, pieces=Py_ssize_t, at=Py_ssize_t)
    cpdef split(self, Py_ssize_t row, Transfers one)
    cpdef int error(self, Py_ssize_t row) except? -1
    cpdef int run(self, int fd, Py_ssize_t row, Py_ssize_t end, int read_flags, int write_flags) except -1 nogil
