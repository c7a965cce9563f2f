cimport cython

cimport outboard.guest.words as words
from outboard.xive.events cimport Events
from outboard.xive.presenter cimport Presenter
from outboard.xive.router cimport Router

cdef unsigned int _OFFSET_MASK, _SPECIAL, _SIZE, _OS, _POOL, _PHYS, _W2, _VALID
cdef unsigned int _CAM_BLOCK, _CAM_BLOCK_SHIFT, _CAM_INDEX, _RAW_MIN
cdef unsigned long long _ALL_ONES
cdef unsigned int _SET_OS_CPPR, _PUSH_OS_CTX, _SET_HV_CPPR, _VT_PUSH, _SET_OS_PENDING
cdef unsigned int _ACCEPT_OS, _ACCEPT_HV, _VT_POLL, _PULL_OS_CTX, _PULL_POOL_CTX, _PULL_PHYS_CTX

@cython.final
cdef class Tima:
    cdef readonly Presenter presenter
    cdef readonly Router router
    cdef readonly Events events
    cdef readonly bint swaps
    cdef readonly bint pull_clears_first
    cdef unsigned char[::1] rings
    cdef unsigned char[::1] _readable
    cdef unsigned char[::1] _writable
    cdef unsigned char[::1] _loads
    cdef unsigned char[::1] _stores

    @cython.locals(op=cython.uint, value=cython.ulonglong)
    cpdef unsigned long long load(self, unsigned int thread, unsigned int offset, int size) except? 0xdeadbeef
    @cython.locals(op=cython.uint)
    cpdef int store(self, unsigned int thread, unsigned int offset, int size, unsigned long long value) except -1
    @cython.final
    cdef unsigned long long _perform_load(self, unsigned int op, unsigned int thread, int size) except? 0xdeadbeef
    @cython.final
    cdef int _perform_store(self, unsigned int op, unsigned int thread, unsigned int value) except -1
    @cython.final
    cdef unsigned int _pulled(self, unsigned int w2) except? 0xdeadbeef
    @cython.locals(w2=cython.uint)
    cpdef unsigned int pull_os(self, unsigned int thread) except? 0xdeadbeef
    @cython.locals(w2=cython.uint)
    cpdef unsigned int pull_pool(self, unsigned int thread) except? 0xdeadbeef
    @cython.locals(w2=cython.uint)
    cpdef unsigned int pull_phys(self, unsigned int thread) except? 0xdeadbeef
    @cython.locals(ipb=cython.int)
    cpdef int push_os(self, unsigned int thread, unsigned int w2) except -1
    @cython.final
    cdef unsigned long long _permitted(self, unsigned char[::1] view_map, unsigned int offset, int size) except? 0
    @cython.final
    @cython.locals(mask=cython.ulonglong)
    cdef unsigned long long _raw_load(self, unsigned int thread, unsigned int offset, int size) except? 0xdeadbeef
    @cython.final
    @cython.locals(mask=cython.ulonglong, old=cython.ulonglong, at=cython.uint)
    cdef int _raw_store(self, unsigned int thread, unsigned int offset, int size,
                        unsigned long long value) except -1
