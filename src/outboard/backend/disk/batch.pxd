cimport cython

cimport outboard.host.vectored as vectored
from outboard.host.transfers cimport Transfers

cdef Py_ssize_t MAX_SEGMENTS
cdef unsigned long long BYTES_MAX, SPREAD, LARGE

@cython.final
cdef class Batch:
    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t room
    cdef readonly Transfers transfers
    cdef unsigned int[::1] heads
    cdef unsigned int[::1] written
    cdef unsigned char[::1] moves
    cdef unsigned char[::1] far
    cdef unsigned char[::1] done
    cdef unsigned long long[::1] statuses
    cdef public list slow
    cdef public unsigned long long bytes
    cdef public Py_ssize_t carried
    cdef public Py_ssize_t stopped
    cdef public list pinned

    cpdef split(self, Py_ssize_t row, Batch one)
    cpdef bint is_full(self) except -1 nogil
    @cython.locals(chosen=cython.int, last=Py_ssize_t, row=Py_ssize_t, far=cython.bint)
    cpdef bint sort_out(self, bint stable) except -1 nogil
    @cython.locals(done=cython.ulonglong)
    cpdef Py_ssize_t near_end(self, Py_ssize_t row) except -1 nogil
    cpdef clear(self)
