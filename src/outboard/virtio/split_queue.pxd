cimport cython

cimport outboard.guest.atomics as atomics
cimport outboard.guest.copies as copies
cimport outboard.guest.places as places
from outboard.guest.memory cimport GuestMemory, Region

cdef int NEXT, WRITE, INDIRECT, DESC_SIZE, NO_INTERRUPT, _NONE, _BROKEN, _MAX_SEGMENTS
cdef unsigned long long _MASK64
cdef unsigned int _GONE
cdef int SOUND, TOLD, AHEAD, HEAD, NESTED, NEXT_OUT, LOOP, TABLE_LENGTH, TABLE_OUT, ORDER, DATA_OUT

cdef class SplitQueue:
    cdef readonly GuestMemory memory
    cdef readonly unsigned int size
    cdef public bint event_idx
    cdef readonly int fault
    cdef str _told
    cdef unsigned long long _number
    cdef unsigned long long _limit
    cdef readonly unsigned int last_avail
    cdef readonly unsigned int used_idx
    cdef readonly unsigned int published
    cdef public bint interrupt_next
    cdef unsigned char[::1] desc
    cdef unsigned long long generation
    cdef unsigned long long[::1] seg_addr
    cdef unsigned int[::1] seg_rows
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
    cdef int blame(self, int fault, unsigned long long number, unsigned long long limit) noexcept nogil
    cpdef int pop(self) except -3
    @cython.locals(pending=cython.uint, head=cython.uint)
    cdef int take(self) except -3 nogil
    cpdef rewind(self)
    cdef bint gather(self, unsigned int head) except -1 nogil
    @cython.locals(limit=cython.uint, index=cython.uint, table=cython.ulonglong, indirect=cython.bint, seen=cython.uint,
                   flags=cython.uint)
    cdef bint _walk(self, unsigned int head) except -1 nogil
    cdef bint _load(self, bint indirect, unsigned long long table, unsigned int index) except -1 nogil
    cdef bint _is_table(self, unsigned long long addr, unsigned int length) except -1 nogil
    @cython.locals(row=Py_ssize_t, offset=cython.ulonglong, step=cython.ulonglong, wraps=cython.bint)
    cdef bint _collect(self, unsigned long long addr, unsigned long long length, int write) except -1 nogil
    cpdef Py_ssize_t read(self, unsigned long long start, unsigned char[::1] into, Py_ssize_t length) except -1
    @cython.locals(at=Py_ssize_t, row=Py_ssize_t, offset=cython.ulonglong)
    cpdef _find_again(self)
    @cython.locals(done=Py_ssize_t, at=Py_ssize_t, size=cython.ulonglong, step=cython.ulonglong)
    cdef Py_ssize_t fetch(self, unsigned long long start, unsigned char[::1] into, Py_ssize_t length) except -1 nogil
    @cython.locals(done=Py_ssize_t, at=Py_ssize_t, step=cython.ulonglong, region=Region)
    cpdef Py_ssize_t write(self, const unsigned char[::1] data, Py_ssize_t length) except -1
    cpdef add_used(self, unsigned int head, unsigned int written)
    @cython.locals(slot=cython.uint)
    cdef int give(self, unsigned int head, unsigned int written) except -1 nogil
    @cython.locals(old=cython.uint, new=cython.uint, used_event=cython.uint)
    cpdef bint publish(self)
    cpdef bint arm(self)
