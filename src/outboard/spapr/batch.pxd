cimport cython

cimport outboard.guest.columns as columns
from outboard.spapr.bus cimport Bus
from outboard.xive.presenter cimport Presenter

cdef unsigned int _LOAD, _STORE, _IRQ, _SET_IRQ, _HCALL, _EXTERNAL, _SIZES

@cython.final
cdef class Batch:
    cdef readonly Py_ssize_t length
    cdef readonly Py_ssize_t rows
    cdef const unsigned char[::1] ops
    cdef const unsigned short[::1] cpus
    cdef const unsigned char[::1] sizes
    cdef const unsigned long long[::1] addrs
    cdef const unsigned long long[::1] values
    cdef unsigned long long[::1] registers
    cdef unsigned char[::1] plugged

    @cython.locals(at=size_t, op=cython.uint, size=cython.uint, cpu=cython.uint, threads=cython.uint, known=cython.uint,
                   ops='const unsigned char[::1]', cpus='const unsigned short[::1]', sizes='const unsigned char[::1]',
                   values='const unsigned long long[::1]', plugged='unsigned char[::1]')
    cpdef int _check(self, object xive) except -1
    @cython.final
    @cython.locals(at=size_t, op=cython.uint, cpu=cython.uint, addr=cython.ulonglong,
                   ops='const unsigned char[::1]', cpus='const unsigned short[::1]', sizes='const unsigned char[::1]',
                   addrs='const unsigned long long[::1]', values='const unsigned long long[::1]')
    cdef int _run(self, object xive, Bus bus, Presenter presenter, unsigned long long[::1] answers) except -1
    @cython.final
    cdef unsigned long long _hcall(self, object xive, unsigned int cpu, Py_ssize_t at) except? 0xdeadbeef
