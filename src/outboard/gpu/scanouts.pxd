cimport cython

from outboard.gpu.command cimport Command
from outboard.gpu.state cimport Gpu, Resource, Scanout

cdef int OK, INVALID_SCANOUT_ID, INVALID_RESOURCE_ID, INVALID_PARAMETER, FLUSH_RECT, FLUSH_RESOURCE

@cython.locals(words=cython.uint[::1], resource=Resource, scanout=Scanout, x=cython.ulonglong, y=cython.ulonglong,
               width=cython.ulonglong, height=cython.ulonglong)
cpdef int resource_flush(Gpu gpu, Command command) except -1
@cython.locals(left=cython.ulonglong, top=cython.ulonglong, right=cython.ulonglong, bottom=cython.ulonglong)
cpdef _show(Gpu gpu, Scanout scanout, unsigned long long x, unsigned long long y, unsigned long long width,
            unsigned long long height)
@cython.locals(resource=Resource)
cpdef bint _readable(Gpu gpu, Scanout scanout) except -1
