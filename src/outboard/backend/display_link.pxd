cimport cython

from outboard.vhost_user.display_sender cimport DisplaySender
from outboard.vhost_user.outbox cimport Outbox

cdef class DisplayLink:
    cdef object _loop
    cdef DisplaySender _sender
    cdef object _on_reply
    cdef object _on_room
    cdef object _on_lost
    cdef object _socket
    cdef bint _full

    @cython.locals(sender=DisplaySender, outbox=Outbox)
    cpdef bint flush(self) except -1
