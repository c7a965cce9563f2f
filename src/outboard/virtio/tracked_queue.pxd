cimport cython

cimport outboard.guest.atomics as atomics
from outboard.virtio.split_queue cimport SplitQueue

cdef int _STATE, _STATES, _INFLIGHT, _INFLIGHT16, _NEXT, _COUNTER, _STATE16, _STATE64, _LAST_BATCH_HEAD, _USED_IDX
cdef unsigned long long _MASK64

cdef class TrackedQueue(SplitQueue):
    cdef readonly list again
    cdef list _batch
    cdef unsigned long long _counter
    cdef unsigned int _room
    cdef object _region
    cdef bint _tracks
    cdef unsigned char[::1] _cells8
    cdef unsigned short[::1] _cells16
    cdef unsigned long long[::1] _cells64

    @cython.locals(head=cython.int)
    cpdef int pop(self)
    cpdef int _pop_again(self)
    cpdef add_used(self, unsigned int head, unsigned int written)
    @cython.locals(wanted=cython.bint, head=cython.uint)
    cpdef bint publish(self)
