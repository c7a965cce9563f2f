cimport cython

from outboard.host.transfers cimport Transfers

cdef Py_ssize_t BYTES_MAX, MAX_SEGMENTS

cdef class Batch:
    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t room
    cdef readonly Transfers transfers
    cdef unsigned int[::1] heads
    cdef unsigned int[::1] written
    cdef unsigned char[::1] moves
    cdef unsigned char[::1] far
    cdef unsigned char[::1] done
    cdef unsigned long long[::1] status_offsets
    cdef list status_regions
    cdef public list slow
    cdef public unsigned long long bytes
    cdef public list pinned

    cpdef split(self, Py_ssize_t row, Batch one)
    @cython.locals(transfers=Transfers)
    cpdef bint is_full(self) except -1
    @cython.locals(transfers=Transfers, chosen=cython.int, last=Py_ssize_t, row=Py_ssize_t, far=cython.bint)
    cpdef bint sort_out(self, unsigned long long spread, unsigned long long large, bint stable) except -1
    @cython.locals(transfers=Transfers, done=cython.ulonglong)
    cpdef Py_ssize_t near_end(self, Py_ssize_t row, unsigned long long enough) except -1
    cpdef clear(self)
