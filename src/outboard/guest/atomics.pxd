# inline: cimported, never compiled
# The compiled form of atomics.py.
cimport cython

cdef extern from *:
    """
    #define OUTBOARD_LOAD_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define OUTBOARD_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define OUTBOARD_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    unsigned short OUTBOARD_LOAD_ACQUIRE(unsigned short *) noexcept nogil
    void OUTBOARD_STORE_RELEASE(unsigned short *, unsigned short) noexcept nogil
    void OUTBOARD_FENCE() noexcept nogil

cdef inline unsigned short load_acquire(unsigned short[::1] cells, Py_ssize_t index) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        return OUTBOARD_LOAD_ACQUIRE(&cells[index])

cdef inline void store_release(unsigned short[::1] cells, Py_ssize_t index, unsigned short value) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        OUTBOARD_STORE_RELEASE(&cells[index], value)

cdef inline void fence() noexcept nogil:
    OUTBOARD_FENCE()
