cimport cython

cimport outboard.guest.atomics as atomics
cimport outboard.guest.copies as copies
from outboard.guest.memory cimport GuestMemory, Region

cdef int NEXT, WRITE, INDIRECT, DESC_SIZE, NO_INTERRUPT

cdef class SplitQueue:
    cdef readonly GuestMemory memory
    cdef readonly unsigned int size
    cdef public bint event_idx
    cdef readonly str broken
    cdef readonly unsigned int last_avail
    cdef readonly unsigned int used_idx
    cdef readonly unsigned int published
    cdef public bint interrupt_next
    cdef Region desc_region
    cdef list seg_regions
    cdef unsigned long long[::1] seg_offset
    cdef unsigned long long[::1] seg_length
    cdef readonly Py_ssize_t segments
    cdef readonly Py_ssize_t readable
    cdef readonly unsigned long long readable_bytes
    cdef readonly unsigned long long writable_bytes
    cdef unsigned char[::1] descriptor
    cdef unsigned short[::1] descriptor16
    cdef unsigned int[::1] descriptor32
    cdef unsigned long long[::1] descriptor64
    cdef unsigned short[::1] avail16
    cdef unsigned short[::1] used16
    cdef unsigned int[::1] used32

    cpdef int fail(self, str why)
    @cython.locals(pending=cython.uint, head=cython.uint)
    cpdef int pop(self)
    cpdef rewind(self)
    @cython.locals(table=Region, limit=cython.uint, index=cython.uint, seen=cython.uint, flags=cython.uint)
    cpdef bint _walk(self, unsigned int head)
    @cython.locals(region=Region, offset=cython.ulonglong)
    cpdef Region _indirect(self, unsigned long long addr, unsigned int length)
    @cython.locals(region=Region, offset=cython.ulonglong, step=cython.ulonglong, wraps=cython.bint)
    cpdef bint _collect(self, unsigned long long addr, unsigned long long length, int write)
    @cython.locals(done=Py_ssize_t, at=Py_ssize_t, size=cython.ulonglong, step=cython.ulonglong, region=Region)
    cpdef Py_ssize_t read(self, unsigned long long start, unsigned char[::1] into, Py_ssize_t length)
    @cython.locals(done=Py_ssize_t, at=Py_ssize_t, step=cython.ulonglong, region=Region)
    cpdef Py_ssize_t write(self, unsigned char[::1] data, Py_ssize_t length)
    @cython.locals(slot=cython.uint)
    cpdef add_used(self, unsigned int head, unsigned int written)
    @cython.locals(old=cython.uint, new=cython.uint, used_event=cython.uint)
    cpdef bint publish(self)
    cpdef bint arm(self)
