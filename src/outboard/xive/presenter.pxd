cimport cython

cimport outboard.guest.words as words
from outboard.xive.events cimport Events

cdef unsigned int _NSR, _CPPR, _IPB, _PIPR, _W2, _USER, _OS, _POOL, _PHYS, _VALID, _CAM, _SERVER
cdef unsigned int _SIZE, _RING, _PRIORITY_MAX, _NOTIFIES_OS, _NOTIFIES_PHYS, _HASH, _WORD
cdef unsigned int _CAM_BLOCK_SHIFT
cdef unsigned int _EXTERNAL, _HYPERVISOR
cdef int _NONE, _NOWHERE, _SEVERAL

@cython.final
cdef class Presenter:
    cdef readonly unsigned int threads
    cdef readonly Events events
    cdef readonly bint says_undispatched
    cdef unsigned char[::1] rings
    cdef unsigned char[::1] lines
    cdef unsigned char[::1] enabled
    cdef unsigned int[::1] hw_cams
    cdef unsigned int _hash_shift
    cdef int[::1] _heads
    cdef int[::1] _next
    cdef int[::1] _previous
    cdef unsigned int[::1] _keys
    cdef unsigned char[::1] _linked
    cdef unsigned char[::1] _piprs
    cdef unsigned char[::1] _bits
    cdef readonly bint pipr_follows_cppr
    cdef unsigned int _kept
    cdef unsigned int _takes_os
    cdef unsigned int _takes_phys
    cdef unsigned int _group
    cdef unsigned int _pool
    cdef unsigned int _elsewhere

    cpdef int enable(self, unsigned int thread, bint enabled) except -1
    cpdef bint is_enabled(self, unsigned int thread) except -1
    cpdef unsigned int w2(self, unsigned int thread, unsigned int ring) except? 0xdeadbeef
    cpdef int set_w2(self, unsigned int thread, unsigned int ring, unsigned int value) except -1
    cpdef int reindex(self, unsigned int thread) except -1
    @cython.final
    @cython.locals(wanted=cython.bint)
    cdef int _place(self, unsigned int entry, unsigned int cam, unsigned int w2) except -1
    @cython.final
    @cython.locals(slot=cython.uint, first=cython.int)
    cdef int _link(self, unsigned int entry, unsigned int cam) except -1
    @cython.final
    @cython.locals(before=cython.int, after=cython.int)
    cdef int _unlink(self, unsigned int entry) except -1
    @cython.locals(cam=cython.uint, found=cython.int, ring=cython.int, entry=cython.int)
    cpdef int match(self, bint user, unsigned int nvt_blk, unsigned int nvt_idx, unsigned int log_server_id) except -9
    @cython.final
    @cython.locals(w2=cython.uint)
    cdef bint _serves(self, unsigned int entry, unsigned int log_server_id) except -1
    @cython.locals(at=cython.int)
    cpdef bint present(self, bint user, unsigned int nvt_blk, unsigned int nvt_idx, bint cam_ignore,
                       unsigned int priority, unsigned int log_server_id) except -1
    @cython.locals(at=cython.uint)
    cpdef int ipb_update(self, unsigned int thread, unsigned int ring, unsigned int bits) except -1
    cpdef int set_pending(self, unsigned int thread, unsigned int ring, unsigned int priority) except -1
    @cython.locals(at=cython.uint)
    cpdef int notify(self, unsigned int thread, unsigned int ring) except -1
    @cython.locals(at=cython.uint)
    cdef int _notify_pool(self, unsigned int thread) except -1
    cdef int _tell(self, str event, unsigned int thread, unsigned int ring, unsigned int cppr) except -1
    cpdef int lower(self, unsigned int thread, unsigned int ring) except -1
    @cython.locals(at=cython.uint, nsr=cython.uint, taken=cython.uint, cppr=cython.uint)
    cpdef unsigned int accept(self, unsigned int thread, unsigned int ring) except? 0xdeadbeef
    @cython.locals(at=cython.uint)
    cpdef int set_cppr(self, unsigned int thread, unsigned int ring, unsigned int cppr) except -1
    @cython.locals(at=cython.uint, pipr=cython.uint, pool=cython.uint)
    cdef int _recompute(self, unsigned int thread, unsigned int ring) except -1
    cdef unsigned int _take_elsewhere(self, unsigned int thread, unsigned int ring, unsigned int nsr,
                                      unsigned int cppr) except? 0xdeadbeef
