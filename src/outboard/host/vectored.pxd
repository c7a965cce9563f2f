# inline: cimported, never compiled
# The compiled form of vectored.py.
cimport cython

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <stdint.h>
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <unistd.h>
    #define OUTBOARD_PIECES_MAX 1024

    /* glibc's own preadv2 needs _GNU_SOURCE before the first header, and Python.h came before this. */
    static long outboard_vectored(int write, int fd, const struct iovec *vectors, long pieces, unsigned long long offset,
                                  int flags) {
        long number = write ? SYS_pwritev2 : SYS_preadv2;
        return syscall(number, fd, vectors, pieces, (long)offset, (long)((offset >> 16) >> 16), flags);
    }
    static int outboard_transfer_row(int fd, int write, unsigned long long *offset, unsigned long long *left,
                                     unsigned int *first, unsigned int *pieces, void *memory, int flags) {
        struct iovec *vectors = memory;
        while (*left) {
            long some = *pieces < OUTBOARD_PIECES_MAX ? *pieces : OUTBOARD_PIECES_MAX;
            long done = outboard_vectored(write, fd, vectors + *first, some, *offset, flags);
            if (done < 0) {
                if (errno == EINTR)
                    continue;
                return errno;
            }
            if (done == 0)
                return ENODATA;
            *offset += done;
            *left -= done;
            while (done) {
                struct iovec *vector = vectors + *first;
                if ((size_t)done < vector->iov_len) {
                    vector->iov_base = (char *)vector->iov_base + done;
                    vector->iov_len -= done;
                    break;
                }
                done -= vector->iov_len;
                ++*first;
                --*pieces;
            }
        }
        return 0;
    }
    """
    int outboard_transfer_row(int, int, unsigned long long *, unsigned long long *, unsigned int *, unsigned int *,
                              void *, int) noexcept nogil

cdef inline object table(Py_ssize_t pieces):
    return memoryview(bytearray(16 * pieces)).cast("Q")

cdef inline void point(unsigned long long[::1] table, size_t at, const unsigned long long[::1] places, size_t row,
                       unsigned long long start, unsigned long long length) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        table[2 * at] = places[row] + start
        table[2 * at + 1] = length

cdef inline void move(unsigned long long[::1] into, size_t at, const unsigned long long[::1] table,
                      size_t piece) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        into[2 * at] = table[2 * piece]
        into[2 * at + 1] = table[2 * piece + 1]

cdef inline void forget(unsigned long long[::1] table, size_t count) noexcept nogil:
    pass

cdef inline void set_byte(const unsigned long long[::1] table, size_t at, unsigned char value) noexcept nogil:
    with cython.boundscheck(False), cython.wraparound(False):
        (<unsigned char *><size_t>table[2 * at])[0] = value

cdef inline void transfer(int fd, const unsigned char[::1] writes, unsigned long long[::1] offsets,
                          unsigned long long[::1] left, unsigned int[::1] first, unsigned int[::1] pieces,
                          int[::1] errors, unsigned long long[::1] table, Py_ssize_t row, Py_ssize_t end,
                          int read_flags, int write_flags) noexcept nogil:
    cdef Py_ssize_t at
    with cython.boundscheck(False), cython.wraparound(False):
        for at in range(row, end):
            errors[at] = outboard_transfer_row(fd, writes[at], &offsets[at], &left[at], &first[at], &pieces[at],
                                               &table[0], write_flags if writes[at] else read_flags)
