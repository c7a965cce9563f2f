cimport cython

from outboard.gpu.backing cimport Backing
from outboard.gpu.command cimport Command
from outboard.gpu.state cimport Gpu, Resource

cdef int OK, INVALID_RESOURCE_ID, INVALID_PARAMETER, OUT_OF_MEMORY, UNSPEC
cdef int TRANSFER_RECT, TRANSFER_OFFSET, TRANSFER_RESOURCE, BYTES_PER_PIXEL, LAZY_MIN

@cython.locals(words=cython.uint[::1], resource=Resource, backing=Backing, x=cython.uint, y=cython.uint,
               width=cython.ulonglong, height=cython.ulonglong, at=cython.ulonglong)
cpdef int transfer_to_host_2d(Gpu gpu, Command command) except -1
