cimport cython

from outboard.guest.memory cimport GuestMemory
from outboard.xive.events cimport Events
from outboard.xive.source cimport Source
from outboard.xive.tima cimport Tima

cdef unsigned long long _ESB_BASE, _TIMA_BASE, _TIMA_SIZE, _ALL_ONES
cdef int _ESB_ACCESS

@cython.final
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
    cpdef int store(self, unsigned int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    @cython.final
    @cython.locals(value=cython.ulonglong)
    cdef unsigned long long _load_memory(self, unsigned long long addr, int size) except? 0xdeadbeef
    @cython.final
    cdef int _store_memory(self, unsigned long long addr, int size, unsigned long long value) except -1
    @cython.final
    @cython.locals(shift=cython.int, low=cython.ulonglong, first=cython.ulonglong, second=cython.ulonglong,
                   kept=cython.ulonglong)
    cdef unsigned long long _load_unaligned(self, unsigned int cpu, unsigned long long addr,
                                            int size) except? 0xdeadbeef
    @cython.final
    @cython.locals(value=cython.ulonglong)
    cdef unsigned long long _load_mmio(self, unsigned int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    @cython.final
    @cython.locals(value=cython.ulonglong)
    cdef unsigned long long _load_end(self, unsigned int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    @cython.final
    cdef int _store_mmio(self, unsigned int cpu, unsigned long long addr, int size,
                         unsigned long long value) except -1
    @cython.final
    cdef int _store_esb(self, unsigned int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    @cython.final
    cdef int _store_end(self, unsigned int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    @cython.final
    cdef int _tell_read(self, unsigned int cpu, unsigned long long addr, int size, unsigned long long value,
                        str name) except -1
    @cython.final
    cdef int _tell_write(self, unsigned int cpu, unsigned long long addr, int size, unsigned long long value,
                         str name) except -1
    @cython.final
    cdef unsigned int _refuse_size(self, str direction, unsigned long long offset, int size, str name) except? 255
    cpdef int refuse_unassigned(self, str direction, unsigned long long addr, int size) except -1
