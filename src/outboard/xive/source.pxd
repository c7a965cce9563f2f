cimport cython

from outboard.xive.events cimport Events

cdef unsigned int _RESET, _OFF, _PENDING, _QUEUED, _PQ, _ASSERTED, _TRIGGER, _EOI
cdef unsigned int _LOAD_GET, _LOAD_SET, _STORE_EOI, _STORE_INJECT, _STORE_SET
cdef unsigned int _HAS_STORE_EOI, _PQ_DISABLE, _OFFSET_MASK
cdef unsigned long long _ALL_ONES

cpdef unsigned int triggered(unsigned int pq) noexcept
cpdef unsigned int ended(unsigned int pq) noexcept

cdef class Notifier:
    cpdef object notify(self, unsigned int lisn, bint pq_checked)

@cython.final
cdef class Source:
    cdef readonly Notifier notifier
    cdef readonly unsigned int nr_irqs
    cdef readonly Events events
    cdef readonly unsigned int shift
    cdef public unsigned int flags
    cdef readonly unsigned long long size
    cdef unsigned char[::1] status
    cdef unsigned char[::1] lsi
    cdef unsigned long long page_bit

    cpdef bint is_lsi(self, unsigned int srcno) except -1
    cpdef unsigned int pq(self, unsigned int srcno) except? 255
    @cython.locals(old=cython.uint)
    cpdef unsigned int set_pq(self, unsigned int srcno, unsigned int pq) except? 255
    @cython.final
    cdef bint _unchecked(self, unsigned int srcno) except -1
    cpdef int forward(self, unsigned int srcno) except -1
    @cython.locals(old=cython.uint)
    cpdef bint trigger(self, unsigned int srcno) except -1
    @cython.locals(old=cython.uint)
    cpdef bint eoi(self, unsigned int srcno) except -1
    @cython.final
    cdef bint _present_level(self, unsigned int srcno) except -1
    cpdef int set_irq(self, unsigned int srcno, bint level) except -1
    @cython.locals(srcno=cython.uint, offset=cython.uint, value=cython.ulonglong)
    cpdef unsigned long long load(self, unsigned long long addr) except? 0xdeadbeef
    @cython.locals(srcno=cython.uint, offset=cython.uint)
    cpdef int store(self, unsigned long long addr, unsigned long long value) except -1
    @cython.final
    cdef int _store_eoi(self, unsigned int srcno) except -1
