cimport cython

from outboard.backend.display_link cimport DisplayLink
from outboard.backend.rings cimport Ring
from outboard.gpu.command_loop cimport CommandLoop
from outboard.gpu.state cimport Gpu
from outboard.guest.memory cimport GuestMemory
from outboard.vhost_user.display_sender cimport DisplaySender

cdef class Device:
    cdef readonly object loop
    cdef readonly unsigned long long offered
    cdef readonly object protocol_features
    cdef readonly object requests
    cdef public object memory_lost
    cdef readonly GuestMemory memory
    cdef readonly DisplaySender sender
    cdef readonly object displays
    cdef readonly DisplayLink link
    cdef readonly Gpu gpu
    cdef readonly list loops
    cdef readonly list rings
    cdef public unsigned long long features
    cdef public bint suspended
    cdef public bint reset_asked
    cdef bint _announced
    cdef object _lost_pages
    cdef object _mirror

    @cython.locals(live=list, ring=Ring, busy=cython.bint, progress=cython.bint)
    cpdef pump(self)
    @cython.locals(ring=Ring, commands=CommandLoop)
    cpdef bint _arm(self, list rings) except -1
    @cython.locals(commands=CommandLoop, status=cython.int)
    cpdef bint _run(self, Ring ring) except -1
