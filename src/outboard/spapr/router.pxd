cimport cython

cimport outboard.guest.words as words
cimport outboard.xive.end_words as end_words
from outboard.xive.router cimport End, Router
from outboard.xive.source cimport Source

cdef unsigned int _NVT_BASE, _NVT_VALID
cdef Py_ssize_t _EAS_SIZE, _END_SIZE

cdef class SpaprRouter(Router):
    cdef readonly unsigned int nr_irqs
    cdef readonly unsigned int nr_servers
    cdef readonly unsigned int nr_ends
    cdef unsigned char[::1] eat
    cdef unsigned char[::1] endt
    cdef unsigned char[::1] targets
    cdef public Source source

    cpdef bint get_eas(self, unsigned int blk, unsigned int idx) except -1
    cpdef unsigned long long read_eas(self, unsigned int lisn) except? 0xdeadbeef
    cpdef int set_eas(self, unsigned int lisn, unsigned long long eas) except -1
    cpdef unsigned int get_pq(self, unsigned int blk, unsigned int idx) except? 255
    cpdef object set_pq(self, unsigned int blk, unsigned int idx, unsigned int pq)
    cpdef bint get_end(self, unsigned int blk, unsigned int idx, End end) except -1
    cpdef object write_end_w1(self, unsigned int blk, unsigned int idx, unsigned int w1)
    cpdef bint get_nvt(self, unsigned int blk, unsigned int idx) except -1
