cimport cython

cimport outboard.guest.atomics as atomics
cimport outboard.host.vectored as vectored
from outboard.backend.disk.batch cimport Batch
from outboard.blk.disk cimport Disk
from outboard.blk.requests cimport judge, judge_transfer
from outboard.virtio.tracked_queue cimport TrackedQueue

cdef int HEADER_SIZE, _SECTOR_BITS
cdef unsigned int IN, OUT, GET_ID, _MASK32
cdef int OK, IOERR, _IDLE, _BUSY, _BROKEN, _ODD, NO_STATUS, CROWDED

@cython.final
cdef class RequestLoop:
    cdef readonly Disk disk
    cdef readonly TrackedQueue queue
    cdef readonly int fd
    cdef unsigned long long _base
    cdef int _read_flags
    cdef int _write_flags
    cdef bint _stable
    cdef readonly unsigned int in_flight
    cdef readonly unsigned long long served
    cdef unsigned char[::1] header
    cdef unsigned int[::1] words
    cdef unsigned long long[::1] longs
    cdef Batch _batch
    cdef list _spare

    cpdef aim(self, int fd, unsigned long long base, int read_flags, int write_flags, bint stable)
    @cython.locals(queue=TrackedQueue)
    cpdef bint pending(self) except -1
    cpdef Batch batch(self)
    @cython.locals(pieces=Py_ssize_t, one=Batch)
    cpdef Batch split(self, Batch batch, Py_ssize_t row)
    cpdef give_back(self, Batch one)
    @cython.locals(status=cython.int)
    cpdef int turn(self, Batch batch) except -1 nogil
    cpdef int begin(self, Batch batch) except -1 nogil
    @cython.locals(head=cython.int)
    cpdef int pop(self, Batch batch) except -1 nogil
    @cython.locals(row=Py_ssize_t, last=Py_ssize_t, status_at=cython.ulonglong, kind=cython.uint, write=cython.bint,
                   length=cython.ulonglong)
    cdef bint _begin(self, Batch batch, unsigned int head) except -1 nogil
    @cython.locals(queue=TrackedQueue, row=Py_ssize_t, kind=cython.uint, writable=cython.ulonglong, status=cython.int)
    cpdef odd(self, Batch batch)
    @cython.locals(row=Py_ssize_t, at=Py_ssize_t)
    cpdef int carry(self, Batch batch, Py_ssize_t end) except -1 nogil
    @cython.locals(size=cython.ulonglong, step=cython.ulonglong, start=cython.ulonglong)
    cdef int _point(self, Batch batch, Py_ssize_t row, bint write, Py_ssize_t at, Py_ssize_t end,
                    unsigned long long skip, unsigned long long total) except -1 nogil
    cpdef int answer(self, Batch batch, Py_ssize_t row, int status) except -1 nogil
