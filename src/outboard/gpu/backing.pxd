cimport cython

cimport outboard.guest.copies as copies
from outboard.guest.memory cimport GuestMemory, Region

cdef class Backing:
    cdef readonly list entries
    cdef readonly unsigned long long total
    cdef readonly long long generation
    cdef readonly Py_ssize_t count
    cdef public unsigned long long cost
    cdef list regions
    cdef const unsigned long long[::1] starts
    cdef const unsigned long long[::1] offsets

    cpdef bint resolve(self, GuestMemory memory) except -1
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t)
    cpdef Py_ssize_t _find(self, unsigned long long at)
    @cython.locals(extent=Py_ssize_t, offset=cython.ulonglong, region=Region, i=Py_ssize_t)
    cpdef read_rows(self, unsigned long long at, unsigned long long step, unsigned char[::1] into, Py_ssize_t start,
                    Py_ssize_t stride, unsigned long long row_bytes, Py_ssize_t rows)
    @cython.locals(step=cython.ulonglong, region=Region, offset=cython.ulonglong, after=Py_ssize_t, ahead=Region)
    cpdef _read_across(self, Py_ssize_t extent, unsigned long long at, unsigned char[::1] into, Py_ssize_t start,
                       unsigned long long length)
