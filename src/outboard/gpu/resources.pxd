cimport cython

cimport outboard.gpu.pixels as pixels
from outboard.gpu.backing cimport Backing
from outboard.gpu.command cimport Command
from outboard.gpu.state cimport Gpu, Resource

cdef int OK, INVALID_RESOURCE_ID, INVALID_PARAMETER, OUT_OF_MEMORY, UNSPEC
cdef int TRANSFER_RECT, TRANSFER_OFFSET, TRANSFER_RESOURCE, BYTES_PER_PIXEL

@cython.locals(words=cython.uint[::1], resource=Resource, backing=Backing, x=cython.uint, y=cython.uint,
               width=cython.uint, height=cython.uint, at=cython.ulonglong, start=cython.ulonglong,
               row_bytes=cython.ulonglong)
cpdef int transfer_to_host_2d(Gpu gpu, Command command) except -1
