cimport cython

from outboard.spapr.bus cimport Bus
from outboard.xive.presenter cimport Presenter

cdef unsigned int _EXTERNAL
cdef unsigned long long _ALL_ONES

@cython.final
cdef class Cpu:
    cdef readonly object xive
    cdef readonly unsigned int index
    cdef readonly unsigned int vcpu_id
    cdef readonly Bus bus
    cdef readonly Presenter presenter
    cdef public bint problem_state

    @cython.final
    cdef unsigned long long _load(self, unsigned long long addr, int size) except? 0xdeadbeef
    @cython.final
    cdef int _store(self, unsigned long long addr, int size, unsigned long long value) except -1
    cpdef bint irq(self)
