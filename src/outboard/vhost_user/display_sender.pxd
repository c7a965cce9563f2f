cimport cython

from outboard.vhost_user.outbox cimport Outbox

cdef unsigned int UPDATE_ID
cdef Py_ssize_t HEADER, UPDATE_HEAD, CURSOR_POS, DIRECT_MIN, HIGH_WATER, BYTES_PER_PIXEL, PIECE, BAND, STAGING

cdef class DisplaySender:
    cdef readonly Outbox outbox
    cdef readonly bint connected
    cdef readonly object features
    cdef object _connection
    cdef object _jobs
    cdef object _questions
    cdef object _asked
    cdef object _late
    cdef list _unsent
    cdef Py_ssize_t _due
    cdef unsigned int[::1] _words

    @cython.locals(size=Py_ssize_t)
    cpdef update(self, unsigned int scanout_id, object surface, unsigned int x, unsigned int y, unsigned int width,
                 unsigned int height)
    @cython.locals(size=Py_ssize_t, at=Py_ssize_t, words=cython.uint[::1])
    cpdef Py_ssize_t _head(self, unsigned int scanout_id, unsigned int x, unsigned int y, unsigned int width,
                           unsigned int height)
    @cython.locals(size=Py_ssize_t)
    cpdef _gather(self, unsigned int scanout_id, object surface, unsigned int x, unsigned int y, unsigned int width,
                  unsigned int height)
    @cython.locals(outbox=Outbox, at=Py_ssize_t, words=cython.uint[::1])
    cpdef _cursor(self, unsigned int req, unsigned int scanout_id, unsigned int x, unsigned int y)
    cpdef cursor_pos(self, unsigned int scanout_id, unsigned int x, unsigned int y)
