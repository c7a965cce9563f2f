cimport cython

cimport outboard.guest.words as words
cimport outboard.xive.end_words as end_words
from outboard.guest.memory cimport GuestMemory, Region
from outboard.xive.router cimport End, Router
from outboard.xive.source cimport Source

cdef unsigned int _EAT, _ENDT, _NVTT, _END_W1, _NVT_W4, _OFF
cdef unsigned long long _EAS_SIZE, _END_SIZE, _NVT_SIZE

cdef class RamRouter(Router):
    cdef public Source source
    cdef unsigned long long[::1] _addrs
    cdef unsigned long long[::1] _entries
    cdef unsigned char[::1] _shifts

    cpdef unsigned long long entry(self, unsigned int table, unsigned int blk, unsigned int idx) except? 0xdeadbeef
    @cython.locals(addr=cython.ulonglong, region=Region)
    cpdef bint get_eas(self, unsigned int blk, unsigned int idx) except -1
    cpdef unsigned int get_pq(self, unsigned int blk, unsigned int idx) except? 255
    cpdef object set_pq(self, unsigned int blk, unsigned int idx, unsigned int pq)
    @cython.locals(addr=cython.ulonglong, region=Region)
    cpdef bint get_end(self, unsigned int blk, unsigned int idx, End end) except -1
    @cython.locals(addr=cython.ulonglong)
    cpdef object write_end_w1(self, unsigned int blk, unsigned int idx, unsigned int w1)
    @cython.locals(addr=cython.ulonglong, region=Region)
    cpdef bint get_nvt(self, unsigned int blk, unsigned int idx) except -1
    @cython.locals(addr=cython.ulonglong)
    cpdef object write_nvt_w4(self, unsigned int blk, unsigned int idx, unsigned int w4)
