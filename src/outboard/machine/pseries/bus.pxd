cimport cython

from outboard.guest.memory cimport GuestMemory, Region
from outboard.spapr.bus cimport Bus
from outboard.xive.events cimport Events

cdef unsigned long long _ESB_BASE

@cython.final
cdef class MachineBus:
    cdef readonly GuestMemory memory
    cdef readonly Bus controller
    cdef readonly object phb
    cdef readonly Events events
    cdef readonly bint unaligned_in_pieces

    @cython.locals(region=Region)
    cpdef unsigned long long load(self, int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    cpdef int store(self, int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    @cython.final
    cdef int _store_elsewhere(self, int cpu, unsigned long long addr, int size, unsigned long long value) except -1
