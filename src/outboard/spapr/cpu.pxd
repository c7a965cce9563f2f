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

    @cython.locals(at=cython.ulonglong, count=cython.int)
    cpdef load(self, object addr, object size)
    @cython.locals(at=cython.ulonglong, count=cython.int, data=cython.ulonglong)
    cpdef store(self, object addr, object size, object value)
    cpdef bint irq(self)
