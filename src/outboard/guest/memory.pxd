cimport cython

cimport outboard.guest.places as places
cimport outboard.guest.words as words

cdef unsigned int _PAGE_SHIFT, _PAGE_MASK, _PAGE_SIZE
cdef unsigned long long _MASK64

@cython.final
cdef class Region:
    cdef readonly unsigned long long guest_addr
    cdef readonly unsigned long long user_addr
    cdef readonly unsigned long long size
    cdef readonly object buffer
    cdef unsigned char[::1] bytes
    cdef unsigned char[::1] written

@cython.final
cdef class GuestMemory:
    cdef readonly list regions
    cdef readonly unsigned long long generation
    cdef readonly Region last
    cdef Py_ssize_t _last_row
    cdef unsigned long long[::1] _starts
    cdef unsigned long long[::1] _sizes
    cdef readonly unsigned long long[::1] hosts

    @cython.locals(region=Region)
    cpdef Region find(self, unsigned long long guest_addr)
    @cython.locals(at=Py_ssize_t)
    cpdef Py_ssize_t row(self, unsigned long long guest_addr) except -2 nogil
    cpdef unsigned long long offset(self, Py_ssize_t row, unsigned long long guest_addr) except? 0xffffffffffffffff nogil
    cpdef unsigned long long room(self, Py_ssize_t row, unsigned long long offset) except? 0xffffffffffffffff nogil
    @cython.locals(row=Py_ssize_t, step=cython.ulonglong)
    cpdef bint holds(self, unsigned long long guest_addr, unsigned long long length) except -1 nogil
    @cython.locals(row=Py_ssize_t, done=cython.ulonglong, offset=cython.ulonglong, step=cython.ulonglong)
    cpdef bint fetch(self, unsigned long long guest_addr, unsigned char[::1] into,
                     unsigned long long length) except -1 nogil
    @cython.locals(region=Region)
    cpdef unsigned long long load(self, unsigned long long guest_addr, int size) except? 0xdeadbeef
    @cython.locals(region=Region, offset=cython.ulonglong)
    cpdef bint store(self, unsigned long long guest_addr, int size, unsigned long long value) except -1
