# inline: cimported, never compiled
# The compiled form of copies.py.
cimport cython

from libc.string cimport memcpy

cdef inline void copy(unsigned char[::1] dst, Py_ssize_t dst_offset,
                      const unsigned char[::1] src, Py_ssize_t src_offset, Py_ssize_t length) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        memcpy(&dst[dst_offset], &src[src_offset], length)

cdef inline void copy_rows(unsigned char[::1] dst, Py_ssize_t dst_offset, Py_ssize_t dst_stride,
                           const unsigned char[::1] src, Py_ssize_t src_offset, Py_ssize_t src_stride,
                           Py_ssize_t row_bytes, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t row
    with cython.boundscheck(False), cython.wraparound(False):
        for row in range(rows):
            memcpy(&dst[dst_offset + row * dst_stride], &src[src_offset + row * src_stride], row_bytes)
