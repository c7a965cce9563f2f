cimport cython

cdef class Region:
    cdef readonly unsigned long long guest_addr
    cdef readonly unsigned long long user_addr
    cdef readonly unsigned long long size
    cdef readonly object buffer
    cdef unsigned char[::1] bytes

cdef class GuestMemory:
    cdef readonly list regions
    cdef readonly unsigned long long generation
    cdef readonly Region last

    @cython.locals(region=Region)
    cpdef Region find(self, unsigned long long guest_addr)
