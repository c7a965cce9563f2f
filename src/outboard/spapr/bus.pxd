cimport cython

from outboard.guest.memory cimport GuestMemory, Region
from outboard.xive.events cimport Events
from outboard.xive.source cimport Source
from outboard.xive.tima cimport Tima

cdef unsigned long long _ESB_BASE, _TIMA_BASE, _TIMA_SIZE, _ALL_ONES
cdef int _ESB_ACCESS

cdef class Bus:
    cdef readonly Source source
    cdef readonly Tima tima
    cdef readonly object ends
    cdef readonly GuestMemory memory
    cdef readonly Events events
    cdef public bint esb_on
    cdef public bint tima_on
    cdef public bint end_esb_on
    cdef public bint fault
    cdef readonly unsigned long long end_base
    cdef unsigned long long mmio_end

    cpdef unsigned long long load(self, unsigned int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    cpdef void store(self, unsigned int cpu, unsigned long long addr, int size, unsigned long long value) except *
    @cython.locals(region=Region)
    cdef unsigned long long _load_memory(self, unsigned long long addr, int size) except? 0xdeadbeef
    cdef void _store_memory(self, unsigned long long addr, int size, unsigned long long value) except *
    @cython.locals(shift=cython.int, low=cython.ulonglong, first=cython.ulonglong, second=cython.ulonglong,
                   kept=cython.ulonglong)
    cdef unsigned long long _load_unaligned(self, unsigned int cpu, unsigned long long addr,
                                            int size) except? 0xdeadbeef
    @cython.locals(value=cython.ulonglong)
    cdef unsigned long long _load_mmio(self, unsigned int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    cdef unsigned long long _load_end(self, unsigned int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    cdef void _store_mmio(self, unsigned int cpu, unsigned long long addr, int size,
                         unsigned long long value) except *
    cdef void _store_end(self, unsigned int cpu, unsigned long long addr, int size, unsigned long long value) except *
    cdef unsigned int _refuse_size(self, str direction, unsigned long long offset, int size, str name) except? 255
    cpdef void refuse_unassigned(self, str direction, unsigned long long addr, int size) except *
