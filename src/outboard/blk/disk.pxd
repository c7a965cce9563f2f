cdef class Disk:
    cdef readonly object options
    cdef public unsigned long long capacity
    cdef readonly bint read_only
    cdef readonly unsigned long long block_mask
    cdef readonly bytes serial
    cdef readonly unsigned long long features
    cdef readonly bint writeback
