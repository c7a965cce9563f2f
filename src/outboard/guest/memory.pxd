cimport cython

cimport outboard.guest.words as words

cdef unsigned int _PAGE_SHIFT, _PAGE_MASK, _PAGE_SIZE

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

    @cython.locals(region=Region)
    cpdef Region find(self, unsigned long long guest_addr)
    @cython.locals(region=Region)
    cpdef unsigned long long load(self, unsigned long long guest_addr, int size) except? 0xdeadbeef
    @cython.locals(region=Region, offset=cython.ulonglong)
    cpdef bint store(self, unsigned long long guest_addr, int size, unsigned long long value) except -1
