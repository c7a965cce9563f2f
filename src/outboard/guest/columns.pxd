# inline: cimported, never compiled
# The compiled form of columns.py.
cimport cython

cdef inline unsigned int u8(const unsigned char[::1] column, size_t at) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        return column[at]

cdef inline unsigned int u16(const unsigned short[::1] column, size_t at) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        return column[at]

cdef inline unsigned long long u64(const unsigned long long[::1] column, size_t at) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        return column[at]

cdef inline void set_u64(unsigned long long[::1] column, size_t at, unsigned long long value) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        column[at] = value
