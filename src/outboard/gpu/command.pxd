from outboard.virtio.split_queue cimport SplitQueue

cdef int REQUEST_MAX

cdef class Command:
    cdef readonly SplitQueue queue
    cdef readonly object request
    cdef unsigned char[::1] view
    cdef unsigned int[::1] words
    cdef unsigned long long[::1] longs
    cdef public bytes reply

    cpdef Py_ssize_t fetch(self)
