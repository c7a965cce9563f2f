cimport cython

cimport outboard.gpu.pixels as pixels
cimport outboard.guest.copies as copies
from outboard.gpu.backing cimport Backing
from outboard.guest.memory cimport GuestMemory

cdef class Resource:
    cdef readonly unsigned int resource_id
    cdef readonly unsigned int width
    cdef readonly unsigned int height
    cdef readonly unsigned long long stride
    cdef readonly tuple order
    cdef public unsigned long long blob_size
    cdef readonly object buffer
    cdef unsigned char[::1] pixels
    cdef public Backing backing
    cdef public bytes uuid
    cdef public unsigned long long cost
    cdef unsigned long long due_at
    cdef unsigned int due_x
    cdef unsigned int due_width
    cdef unsigned int due_row
    cdef unsigned int due_end

    cpdef transfer(self, unsigned long long at, unsigned int x, unsigned int y, unsigned int width, unsigned int height)
    @cython.locals(rows=cython.longlong, row=cython.longlong, start=cython.ulonglong, have=cython.longlong,
                   width=cython.longlong, stride=cython.longlong)
    cpdef catch_up(self, long long end)
    cpdef _copy(self, unsigned long long at, unsigned long long start, long long width, long long rows)

cdef class Scanout:
    cdef readonly unsigned int scanout_id
    cdef public Resource resource
    cdef public unsigned long long x
    cdef public unsigned long long y
    cdef public unsigned long long width
    cdef public unsigned long long height
    cdef public unsigned long long offset
    cdef public unsigned long long stride
    cdef public tuple order

    cpdef disable(self)
    @cython.locals(resource=Resource, start=cython.ulonglong)
    cpdef object contiguous(self, unsigned long long x, unsigned long long y, unsigned long long width,
                            unsigned long long rows)
    @cython.locals(resource=Resource, row_bytes=cython.ulonglong, at=cython.ulonglong)
    cpdef gather(self, unsigned char[::1] into, Py_ssize_t start, unsigned long long x, unsigned long long y,
                 unsigned long long width, Py_ssize_t rows)

cdef class Cursor:
    cdef public bytes image
    cdef public unsigned int hot_x
    cdef public unsigned int hot_y
    cdef public unsigned int x
    cdef public unsigned int y
    cdef public bint visible

cdef class Gpu:
    cdef readonly GuestMemory memory
    cdef public object displays
    cdef public object output
    cdef readonly unsigned int num_scanouts
    cdef readonly unsigned long long max_hostmem
    cdef readonly object new_uuid
    cdef public unsigned long long features
    cdef public unsigned long long work
    cdef readonly dict resources
    cdef readonly list scanouts
    cdef readonly list cursors
    cdef public unsigned int stale
    cdef public unsigned long long hostmem
    cdef public Resource pending

    cpdef catch_up(self)
