cimport cython

cdef class Outbox:
    cdef readonly Py_ssize_t size
    cdef readonly object staging
    cdef readonly object words
    cdef object _parts
    cdef Py_ssize_t _fill
    cdef Py_ssize_t _closed
    cdef readonly bint borrowed

    cpdef Py_ssize_t room(self)
    cpdef Py_ssize_t stage(self, Py_ssize_t length)
    cpdef borrow(self, object data)
    cpdef _close_part(self)
