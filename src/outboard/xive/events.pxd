cimport cython

@cython.final
cdef class Events:
    cdef readonly object known
    cdef readonly list hooks
    cdef readonly bint on

    cpdef int tell(self, str event, unsigned long long a=?, unsigned long long b=?, unsigned long long c=?,
                   unsigned long long d=?, unsigned long long e=?, unsigned long long f=?) except -1
