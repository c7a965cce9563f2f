cimport cython

from outboard.guest.memory cimport GuestMemory
from outboard.xive.events cimport Events
from outboard.xive.presenter cimport Presenter
from outboard.xive.source cimport Notifier, triggered

cdef unsigned int _BLOCK_SHIFT, _INDEX
cdef unsigned long long _EAS_VALID, _EAS_MASKED, _EAS_DATA, _EAS_BLOCK, _EAS_INDEX
cdef unsigned int _EAS_BLOCK_SHIFT, _EAS_INDEX_SHIFT
cdef unsigned int _VALID, _ENQUEUE, _UCOND, _BACKLOG, _ESCALATE, _UNCOND, _SILENT, _QSIZE, _QSIZE_SHIFT
cdef unsigned int _ESN, _ESN_SHIFT, _ESE, _ESE_SHIFT, _GENERATION, _PAGE_OFF
cdef unsigned long long _EQ_HI
cdef unsigned int _ESC_BLOCK, _ESC_BLOCK_SHIFT, _ESC_INDEX, _ESC_DATA
cdef unsigned int _FORMAT, _NVT_BLOCK, _NVT_BLOCK_SHIFT, _NVT_INDEX, _IGNORE, _PRIORITY, _PRIORITY_SHIFT, _LOG_SERVER
cdef unsigned int _NVT_VALID, _NVT_IPB, _NVT_IPB_SHIFT, _ENTRY_GENERATION, _ENTRY_DATA
cdef unsigned int _ENTRY_SIZE, _QUEUE_SHIFT, _NO_PRIORITY, _RESET

@cython.final
cdef class End:
    cdef public unsigned int w0
    cdef public unsigned int w1
    cdef public unsigned int w2
    cdef public unsigned int w3
    cdef public unsigned int w4
    cdef public unsigned int w5
    cdef public unsigned int w6
    cdef public unsigned int w7

    cpdef unsigned long long eq_addr(self) noexcept
    cpdef unsigned int eq_entries(self) noexcept

cdef class Router(Notifier):
    cdef readonly Presenter presenter
    cdef readonly GuestMemory memory
    cdef readonly Events events
    cdef readonly unsigned int block_id
    cdef public unsigned long long eas
    cdef public unsigned int nvt_w0
    cdef public unsigned int nvt_w4
    cdef End _end

    cpdef bint get_eas(self, unsigned int blk, unsigned int idx) except -1
    cpdef unsigned int get_pq(self, unsigned int blk, unsigned int idx) except? 255
    cpdef object set_pq(self, unsigned int blk, unsigned int idx, unsigned int pq)
    cpdef bint get_end(self, unsigned int blk, unsigned int idx, End end) except -1
    cpdef object write_end_w1(self, unsigned int blk, unsigned int idx, unsigned int w1)
    cpdef bint get_nvt(self, unsigned int blk, unsigned int idx) except -1
    cpdef object write_nvt_w4(self, unsigned int blk, unsigned int idx, unsigned int w4)

    @cython.locals(blk=cython.uint, idx=cython.uint)
    cpdef object notify(self, unsigned int lisn, bint pq_checked)
    @cython.final
    @cython.locals(pq=cython.uint)
    cdef bint _trigger(self, unsigned int blk, unsigned int idx) except -1
    @cython.final
    cdef int _route(self, unsigned int lisn, unsigned long long eas) except -1
    @cython.locals(end=End, mark_blk=cython.uint, mark_idx=cython.uint, returns=cython.uint, hops=cython.ulonglong,
                   lap=cython.ulonglong, to_blk=cython.uint, to_idx=cython.uint)
    cpdef int end_notify(self, unsigned int blk, unsigned int idx, unsigned int data) except -1
    @cython.final
    cdef bint _notify_one(self, unsigned int blk, unsigned int idx, unsigned int data, End end) except -1
    @cython.locals(index=cython.uint, addr=cython.ulonglong, generation=cython.uint)
    cpdef int enqueue(self, End end, unsigned int data) except -1
    @cython.final
    @cython.locals(pq=cython.uint)
    cdef bint _coalesce(self, unsigned int blk, unsigned int idx, End end, unsigned int mask,
                        unsigned int shift) except -1
    @cython.final
    @cython.locals(user=cython.bint, priority=cython.uint, nvt_blk=cython.uint, nvt_idx=cython.uint,
                   cam_ignore=cython.bint, log_server_id=cython.uint)
    cdef bint _wants_escalation(self, unsigned int blk, unsigned int idx, End end) except -1
    @cython.final
    cdef bint _nvt(self, unsigned int blk, unsigned int idx) except -1
    @cython.final
    @cython.locals(bit=cython.uint)
    cdef bint _record(self, unsigned int blk, unsigned int idx, unsigned int nvt_blk, unsigned int nvt_idx, bint user,
                      unsigned int priority) except -1
    @cython.locals(ipb=cython.uint)
    cpdef int resend(self, unsigned int blk, unsigned int idx) except -9
