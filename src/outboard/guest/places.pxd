# inline: cimported, never compiled
# The compiled form of places.py.
cimport cython

from libc.string cimport memcpy

cdef inline object table(list buffers):
    cdef object made = memoryview(bytearray(8 * max(1, len(buffers)))).cast("Q")
    cdef unsigned long long[::1] places = made
    cdef unsigned char[::1] buffer
    for row, each in enumerate(buffers):
        buffer = each
        places[row] = <unsigned long long><size_t>&buffer[0]
    return made

cdef inline void fetch(const unsigned long long[::1] places, Py_ssize_t row, unsigned long long offset,
                       unsigned char[::1] into, Py_ssize_t at, Py_ssize_t length) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        memcpy(&into[at], <const char *><size_t>(places[row] + offset), length)
