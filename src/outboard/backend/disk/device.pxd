cimport cython

cimport outboard.backend.disk.unlocked as unlocked
from outboard.backend.disk.batch cimport Batch
from outboard.backend.disk.request_loop cimport RequestLoop
from outboard.backend.rings cimport Ring
from outboard.blk.disk cimport Disk
from outboard.guest.memory cimport GuestMemory
from outboard.host.transfers cimport Transfers

cdef int AGAIN, UNTOLD, NOWAIT, DSYNC, BROKEN, BUSY, ODD, IOERR, OK

cdef class DiskDevice:
    cdef readonly object loop
    cdef readonly object backend
    cdef readonly Disk disk
    cdef readonly unsigned long long offered
    cdef readonly object protocol_features
    cdef readonly object requests
    cdef public object memory_lost
    cdef readonly GuestMemory memory
    cdef public list regions
    cdef readonly int queue_size_max
    cdef readonly list loops
    cdef readonly list rings
    cdef object _channel
    cdef int _fd
    cdef int _read_flags
    cdef int _write_flags
    cdef object _finished
    cdef bint _admitted
    cdef int _quieting
    cdef object _lost_pages

    @cython.locals(live=list, ring=Ring, busy=cython.bint, progress=cython.bint)
    cpdef pump(self)
    @cython.locals(loop=RequestLoop, batch=Batch, status=cython.int)
    cpdef bint _run(self, Ring ring) except -1
    @cython.locals(status=cython.int)
    cpdef int _take(self, RequestLoop loop, Batch batch) except -1
    cpdef bint _admit(self) except -1
    cpdef _release(self)
    @cython.locals(loop=RequestLoop)
    cpdef bint _busy(self) except -1
    cpdef _aim(self, RequestLoop loop)
    @cython.locals(count=Py_ssize_t, row=Py_ssize_t, start=Py_ssize_t)
    cpdef _carry(self, Ring ring, RequestLoop loop, Batch batch)
    @cython.locals(transfers=Transfers, row=Py_ssize_t, error=cython.int)
    cpdef _look_after(self, RequestLoop loop, Batch batch, Py_ssize_t start)
    cpdef _answer(self, RequestLoop loop, Batch batch, Py_ssize_t row, int error)
    @cython.locals(one=Batch)
    cpdef _leave(self, RequestLoop loop, Batch batch, Py_ssize_t row)
    cpdef _work(self, RequestLoop loop, Batch one, int fd, int write_flags)
    @cython.locals(loop=RequestLoop, one=Batch)
    cpdef _collect(self)
