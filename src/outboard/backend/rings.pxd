from outboard.virtio.split_queue cimport SplitQueue

cdef class Ring:
    cdef readonly int index
    cdef readonly int size_max
    cdef readonly object commands
    cdef readonly SplitQueue queue
    cdef object _loop
    cdef object _on_kick
    cdef public int size
    cdef public object addr
    cdef public object base
    cdef public bint enabled
    cdef public bint dirty
    cdef readonly object kick
    cdef readonly object call
    cdef readonly object err
    cdef bint _missed

    cpdef bint publish(self) except -1
