cimport cython

cimport outboard.guest.atomics as atomics

cdef unsigned int NO_STATUS, SAMPLES_MAX, _INTERRUPT

cdef class Load:
    cdef readonly unsigned int depth
    cdef readonly unsigned int size
    cdef readonly bint writes
    cdef readonly object queue
    cdef readonly object poll
    cdef readonly object data
    cdef int kick_fd
    cdef int call_fd
    cdef unsigned int ring_mask
    cdef bint event_idx
    cdef unsigned int used_event
    cdef unsigned int avail_event
    cdef unsigned short[::1] avail16
    cdef unsigned short[::1] used16
    cdef unsigned int[::1] used32
    cdef unsigned long long[::1] header64
    cdef unsigned char[::1] status
    cdef unsigned long long[::1] sectors
    cdef Py_ssize_t place
    cdef unsigned long long[::1] started
    cdef unsigned int[::1] latency_ns
    cdef readonly Py_ssize_t samples
    cdef int[::1] slot_of
    cdef unsigned short[::1] heads
    cdef unsigned int avail_idx
    cdef unsigned int published
    cdef unsigned int last_used
    cdef readonly unsigned int in_flight
    cdef readonly unsigned long long sleeps
    cdef readonly unsigned long long kicks

    @cython.locals(slot=Py_ssize_t, began=cython.ulonglong, now=cython.ulonglong, done=cython.ulonglong, limit=cython.ulonglong)
    cpdef run(self, unsigned long long duration_ns)
    cpdef issue(self, Py_ssize_t slot, unsigned long long now)
    @cython.locals(old=cython.uint, new=cython.uint, wanted=cython.bint)
    cpdef publish(self)
    @cython.locals(new=cython.uint, count=cython.uint, head=cython.uint, slot=Py_ssize_t)
    cpdef unsigned int reap(self, unsigned long long now, bint again) except? 0xFFFFFFFF
    @cython.locals(now=cython.ulonglong, slot=Py_ssize_t)
    cpdef fill(self)
    cdef unsigned int _back(self)
    cdef _want_interrupt(self, unsigned int count)
    cpdef sleep(self, unsigned int count=*)
