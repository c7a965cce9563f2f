cimport cython

from outboard.blk.disk cimport Disk

cdef unsigned int _IN, _OUT
cdef int _OK, _IOERR, _UNSUPP, _SECTOR_BITS
cdef unsigned long long _SECTOR_MASK

@cython.locals(write=cython.bint)
cpdef int judge(Disk disk, unsigned int type_, unsigned long long sector, unsigned long long readable,
                unsigned long long writable) except -1
cpdef int judge_transfer(Disk disk, bint write, unsigned long long sector, unsigned long long length) except -1 nogil
cpdef int judge_range(Disk disk, unsigned long long sector, unsigned long long length) except -1 nogil
cpdef int judge_other(Disk disk, object row) except -1
