# inline: cimported, never compiled
# The compiled form of words.py.
cimport cython

cdef extern from *:
    """
    #include <string.h>
    #include <stdint.h>
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define OUTBOARD_BE32(v) __builtin_bswap32(v)
    #define OUTBOARD_BE64(v) __builtin_bswap64(v)
    #else
    #define OUTBOARD_BE32(v) (v)
    #define OUTBOARD_BE64(v) (v)
    #endif
    static inline uint32_t outboard_load_be32(const unsigned char *p) {
        uint32_t v;
        memcpy(&v, p, 4);
        return OUTBOARD_BE32(v);
    }
    static inline void outboard_store_be32(unsigned char *p, uint32_t v) {
        v = OUTBOARD_BE32(v);
        memcpy(p, &v, 4);
    }
    static inline uint64_t outboard_load_be64(const unsigned char *p) {
        uint64_t v;
        memcpy(&v, p, 8);
        return OUTBOARD_BE64(v);
    }
    static inline void outboard_store_be64(unsigned char *p, uint64_t v) {
        v = OUTBOARD_BE64(v);
        memcpy(p, &v, 8);
    }
    static inline uint64_t outboard_load_be(const unsigned char *p, int size) {
        uint64_t v = 0;
        if (size == 4)
            return outboard_load_be32(p);
        if (size == 8)
            return outboard_load_be64(p);
        while (size-- > 0)
            v = v << 8 | *p++;
        return v;
    }
    static inline void outboard_store_be(unsigned char *p, int size, uint64_t v) {
        if (size == 4) {
            outboard_store_be32(p, (uint32_t)v);
            return;
        }
        while (size-- > 0) {
            p[size] = (unsigned char)v;
            v >>= 8;
        }
    }
    static inline uint64_t outboard_swap(uint64_t v, int size) {
        return __builtin_bswap64(v) >> (64 - 8 * size);
    }
    """
    unsigned int outboard_load_be32(const unsigned char *) noexcept nogil
    void outboard_store_be32(unsigned char *, unsigned int) noexcept nogil
    unsigned long long outboard_load_be64(const unsigned char *) noexcept nogil
    void outboard_store_be64(unsigned char *, unsigned long long) noexcept nogil
    unsigned long long outboard_load_be(const unsigned char *, int) noexcept nogil
    void outboard_store_be(unsigned char *, int, unsigned long long) noexcept nogil
    unsigned long long outboard_swap(unsigned long long, int) noexcept nogil

cdef inline unsigned int load_be32(const unsigned char[::1] cells, Py_ssize_t offset) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        return outboard_load_be32(&cells[offset])

cdef inline void store_be32(unsigned char[::1] cells, Py_ssize_t offset, unsigned int value) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        outboard_store_be32(&cells[offset], value)

cdef inline unsigned long long load_be64(const unsigned char[::1] cells, Py_ssize_t offset) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        return outboard_load_be64(&cells[offset])

cdef inline void store_be64(unsigned char[::1] cells, Py_ssize_t offset, unsigned long long value) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        outboard_store_be64(&cells[offset], value)

cdef inline unsigned long long load_be(const unsigned char[::1] cells, Py_ssize_t offset, int size) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        return outboard_load_be(&cells[offset], size)

cdef inline void store_be(unsigned char[::1] cells, Py_ssize_t offset, int size,
                          unsigned long long value) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        outboard_store_be(&cells[offset], size, value)

cdef inline unsigned long long swap(unsigned long long value, int size) noexcept nogil:
    return outboard_swap(value, size)
