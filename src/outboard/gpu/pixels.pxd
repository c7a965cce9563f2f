# inline: cimported, never compiled
# The compiled form of pixels.py. A pixel is one little-endian word, so each order is a swap or a rotation.
cimport cython

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    __attribute__((optimize("O3")))
    static void outboard_reorder(unsigned char *at, Py_ssize_t pixels, int first) {
        for (Py_ssize_t i = 0; i < pixels; i++, at += 4) {
            uint32_t w;
            memcpy(&w, at, 4);
            if (first == 3) w = (w >> 24) | ((w >> 8) & 0xff00u) | ((w << 8) & 0xff0000u) | (w << 24);
            else if (first == 2) w = (w & 0xff00ff00u) | ((w >> 16) & 0xffu) | ((w & 0xffu) << 16);
            else w = (w >> 8) | (w << 24);
            memcpy(at, &w, 4);
        }
    }
    """
    void outboard_reorder(unsigned char *at, Py_ssize_t pixels, int first) noexcept nogil

cdef inline void reorder_rows(unsigned char[::1] pixels, Py_ssize_t start, Py_ssize_t stride, Py_ssize_t width,
                              Py_ssize_t rows, tuple order):
    cdef int first = order[0]
    cdef Py_ssize_t row
    with cython.boundscheck(False), cython.wraparound(False):
        for row in range(rows):
            outboard_reorder(&pixels[start + row * stride], width, first)
