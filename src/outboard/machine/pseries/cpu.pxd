cimport cython

from outboard.machine.pseries.bus cimport MachineBus

cdef unsigned int _EXTERNAL
cdef unsigned long long _ALL_ONES

@cython.final
cdef class Cpu:
    cdef readonly object machine
    cdef readonly unsigned int index
    cdef readonly unsigned int vcpu_id
    cdef public bint problem_state
    cdef readonly MachineBus bus
    cdef unsigned char[::1] _stopped
    cdef unsigned char[::1] _lines

    @cython.locals(at=cython.ulonglong, count=cython.int)
    cpdef load(self, object addr, object size)
    @cython.locals(at=cython.ulonglong, count=cython.int, data=cython.ulonglong)
    cpdef store(self, object addr, object size, object value)
    cpdef bint irq(self)
