cimport cython

cimport outboard.guest.atomics as atomics
from outboard.virtio.split_queue cimport SplitQueue

cdef int _STATE, _STATES, _INFLIGHT, _INFLIGHT16, _NEXT, _COUNTER, _STATE16, _STATE64, _LAST_BATCH_HEAD, _USED_IDX, BROKEN
cdef unsigned long long _MASK64

cdef class TrackedQueue(SplitQueue):
    cdef readonly unsigned int waiting
    cdef unsigned short[::1] _heads
    cdef unsigned short[::1] _added
    cdef unsigned char[::1] _is_added
    cdef unsigned int _count
    cdef unsigned long long _counter
    cdef unsigned int _room
    cdef object _region
    cdef bint _tracks
    cdef unsigned char[::1] _cells8
    cdef unsigned short[::1] _cells16
    cdef unsigned long long[::1] _cells64

    @cython.locals(head=cython.int)
    cdef int take(self) except -3 nogil
    @cython.locals(head=cython.uint)
    cdef int _take_again(self) except -3 nogil
    cdef int give(self, unsigned int head, unsigned int written) except -1 nogil
    @cython.locals(wanted=cython.bint, at=Py_ssize_t)
    cpdef bint publish(self)
    @cython.locals(at=Py_ssize_t)
    cpdef _forget_batch(self)
