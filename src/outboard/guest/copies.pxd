# inline: cimported, never compiled
# The compiled form of copies.py.
cimport cython

from libc.string cimport memcpy

cdef inline void copy(unsigned char[::1] dst, Py_ssize_t dst_offset,
                      const unsigned char[::1] src, Py_ssize_t src_offset, Py_ssize_t length) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        memcpy(&dst[dst_offset], &src[src_offset], length)

cdef extern from *:
    """
    /* Processors fetch ahead by themselves, but not across pages, nor from one short row to the next. */
    #define OUTBOARD_LINE 64
    #define OUTBOARD_AHEAD 1024
    static void outboard_copy_ahead(unsigned char *dst, const unsigned char *src, Py_ssize_t length,
                                    const unsigned char *next) {
        Py_ssize_t at = 0;
        for (; at + OUTBOARD_LINE <= length; at += OUTBOARD_LINE) {
            __builtin_prefetch(next + at);
            memcpy(dst + at, src + at, OUTBOARD_LINE);
        }
        memcpy(dst + at, src + at, length - at);
    }
    static void outboard_copy_rows(unsigned char *dst, Py_ssize_t dst_stride, const unsigned char *src,
                                   Py_ssize_t src_stride, Py_ssize_t row_bytes, Py_ssize_t rows) {
        Py_ssize_t ahead = row_bytes < OUTBOARD_AHEAD ? row_bytes : OUTBOARD_AHEAD;
        for (; rows > 0; rows--, dst += dst_stride, src += src_stride) {
            for (Py_ssize_t at = 0; at < ahead; at += OUTBOARD_LINE) {
                __builtin_prefetch(src + src_stride + at);
                __builtin_prefetch(dst + dst_stride + at, 1);
            }
            memcpy(dst, src, row_bytes);
        }
    }
    """
    void outboard_copy_ahead(unsigned char *, const unsigned char *, Py_ssize_t, const unsigned char *) noexcept nogil
    void outboard_copy_rows(unsigned char *, Py_ssize_t, const unsigned char *, Py_ssize_t, Py_ssize_t,
                            Py_ssize_t) noexcept nogil

cdef inline void copy_ahead(unsigned char[::1] dst, Py_ssize_t dst_offset,
                            const unsigned char[::1] src, Py_ssize_t src_offset, Py_ssize_t length,
                            const unsigned char[::1] next_src, Py_ssize_t next_offset) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        outboard_copy_ahead(&dst[dst_offset], &src[src_offset], length, &next_src[next_offset])

cdef inline void copy_rows(unsigned char[::1] dst, Py_ssize_t dst_offset, Py_ssize_t dst_stride,
                           const unsigned char[::1] src, Py_ssize_t src_offset, Py_ssize_t src_stride,
                           Py_ssize_t row_bytes, Py_ssize_t rows) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        outboard_copy_rows(&dst[dst_offset], dst_stride, &src[src_offset], src_stride, row_bytes, rows)
