cimport cython

cimport outboard.guest.copies as copies
from outboard.gpu.command cimport Command
from outboard.gpu.state cimport Gpu
from outboard.virtio.split_queue cimport SplitQueue

cdef unsigned long long WORK_MAX
cdef int HEADER_SIZE, FENCE, FLUSH, FIRST_ERROR, UNSPEC, INVALID_PARAMETER, NONE

cdef class Verb:
    cdef readonly unsigned int size
    cdef readonly unsigned long long features
    cdef readonly object function

cdef class CommandLoop:
    cdef readonly Gpu gpu
    cdef readonly SplitQueue queue
    cdef readonly dict verbs
    cdef readonly object when_dry
    cdef readonly Command command
    cdef readonly bint waiting
    cdef readonly unsigned int head
    cdef public unsigned long long executed
    cdef unsigned char[::1] response
    cdef unsigned int[::1] response_words

    @cython.locals(head=cython.int)
    cpdef int run(self, int budget) except -1
    @cython.locals(command=Command, size=Py_ssize_t, verb=Verb, code=cython.int)
    cpdef _execute(self)
    @cython.locals(words=cython.uint[::1], response=cython.uint[::1], fenced=cython.uint, length=Py_ssize_t, reply=bytes)
    cpdef _respond(self, int code)
