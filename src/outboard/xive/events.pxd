cdef class Events:
    cdef readonly object known
    cdef readonly list hooks
    cdef readonly bint on
