# inline: cimported, never compiled
# The compiled form of unlocked.py.
from outboard.backend.disk.batch cimport Batch
from outboard.backend.disk.request_loop cimport RequestLoop
from outboard.host.transfers cimport Transfers

cdef inline int turn(RequestLoop loop, Batch batch) except -1:
    cdef int status
    with nogil:
        status = loop.turn(batch)
    return status

cdef inline int begin(RequestLoop loop, Batch batch) except -1:
    with nogil:
        loop.begin(batch)
    return 0

cdef inline int carry(RequestLoop loop, Batch batch, Py_ssize_t end) except -1:
    with nogil:
        loop.carry(batch, end)
    return 0

cdef inline int run(Transfers transfers, int fd, Py_ssize_t row, int read_flags, int write_flags) except -1:
    with nogil:
        transfers.run(fd, row, row + 1, read_flags, write_flags)
    return 0
