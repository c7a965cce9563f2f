cimport cython

from outboard.guest.memory cimport GuestMemory
from outboard.xive.events cimport Events
from outboard.xive.source cimport Source
from outboard.xive.tima cimport Tima

cdef unsigned long long _ESB_BASE, _TIMA_BASE, _ALL_ONES
cdef int _ESB_ACCESS, _PAGE

@cython.locals(bits=cython.ulonglong, page=cython.int)
cpdef int piece(unsigned long long addr, int left) except -1

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
    cdef readonly bint esb_of_any_size
    cdef readonly bint unaligned_in_pieces
    cdef readonly unsigned long long end_base
    cdef unsigned long long mmio_end

    cpdef unsigned long long load(self, int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    cpdef int store(self, int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    @cython.final
    @cython.locals(value=cython.ulonglong)
    cdef unsigned long long _load_memory(self, int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    @cython.final
    cdef int _store_nowhere(self, int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    @cython.locals(bits=cython.int, low=cython.ulonglong, first=cython.ulonglong, second=cython.ulonglong)
    cdef unsigned long long _load_unaligned(self, int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    @cython.locals(value=cython.ulonglong, size=cython.int)
    cdef unsigned long long _load_pieces(self, int cpu, unsigned long long addr, int left) except? 0xdeadbeef
    @cython.locals(size=cython.int)
    cdef int _store_unaligned(self, int cpu, unsigned long long addr, int left, unsigned long long value) except -1
    cdef str _name(self, unsigned long long addr)
    @cython.final
    @cython.locals(value=cython.ulonglong)
    cdef unsigned long long _load_mmio(self, int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    @cython.final
    @cython.locals(value=cython.ulonglong)
    cdef unsigned long long _load_end(self, int cpu, unsigned long long addr, int size) except? 0xdeadbeef
    @cython.final
    cdef int _store_mmio(self, int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    @cython.final
    cdef int _store_end(self, int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    cdef int _tell(self, str event, int cpu, unsigned long long addr, int size, unsigned long long value) except -1
    cdef unsigned int _refuse_size(self, str direction, unsigned long long offset, int size, str name) except? 255
    cdef int _refuse_unassigned(self, str direction, unsigned long long addr, int size) except -1
