cimport cython

from outboard.gpu.command cimport Command
from outboard.gpu.state cimport Cursor, Gpu

cdef int OK, INVALID_SCANOUT_ID, SCANOUT_ID, X, Y, RESOURCE_ID

@cython.locals(words=cython.uint[::1], scanout_id=cython.uint, cursor=Cursor)
cpdef int move_cursor(Gpu gpu, Command command) except -1
