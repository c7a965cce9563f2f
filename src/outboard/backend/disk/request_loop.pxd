cimport cython

cimport outboard.guest.atomics as atomics
from outboard.backend.disk.batch cimport Batch
from outboard.blk.disk cimport Disk
from outboard.blk.requests cimport judge
from outboard.guest.memory cimport Region
from outboard.host.transfers cimport Transfers
from outboard.virtio.tracked_queue cimport TrackedQueue

cdef int HEADER_SIZE, _SECTOR_BITS
cdef unsigned int IN, OUT, GET_ID
cdef int OK, IOERR

cdef class RequestLoop:
    cdef readonly Disk disk
    cdef readonly TrackedQueue queue
    cdef readonly bint direct
    cdef readonly unsigned long long base
    cdef readonly unsigned int in_flight
    cdef readonly unsigned long long served
    cdef unsigned char[::1] header
    cdef unsigned int[::1] words
    cdef unsigned long long[::1] longs
    cdef Batch _batch
    cdef list _spare

    cpdef aim(self, bint direct, unsigned long long base)
    @cython.locals(queue=TrackedQueue)
    cpdef bint pending(self) except -1
    cpdef Batch batch(self)
    @cython.locals(pieces=Py_ssize_t, one=Batch)
    cpdef Batch split(self, Batch batch, Py_ssize_t row)
    cpdef give_back(self, Batch one)
    @cython.locals(queue=TrackedQueue, head=cython.int)
    cpdef int fill(self, Batch batch) except -1
    @cython.locals(queue=TrackedQueue, last=Py_ssize_t, row=Py_ssize_t, kind=cython.uint, readable=cython.ulonglong,
                   writable=cython.ulonglong, status=cython.int)
    cpdef _begin(self, Batch batch, unsigned int head)
    @cython.locals(queue=TrackedQueue, transfers=Transfers, size=cython.ulonglong, step=cython.ulonglong, region=Region)
    cpdef _point(self, Batch batch, Py_ssize_t row, bint write, Py_ssize_t at, Py_ssize_t end, unsigned long long skip,
                 unsigned long long total)
    @cython.locals(region=Region)
    cpdef answer(self, Batch batch, Py_ssize_t row, int status)
