"""Mapping memory that another process shares by fd."""

import fcntl
import mmap
import os
import stat
import weakref

import outboard.host.sigbus as sigbus
from outboard.errors import LocalError


def map_shared(fd: int, offset: int, size: int) -> memoryview:
    """Map `size` bytes of a file at `offset`, readable, writable and shared; the caller keeps the fd.

    Raises LocalError when the file is smaller, or is none that can be mapped. The memory is unmapped when the last view
    of it is gone. A peer that truncates its file later must not end this process with SIGBUS: a file that allows seals
    is sealed against shrinking, and where the core is compiled, lost pages of any file read as zero; see `lost_pages`.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise LocalError("fd is no file that can be mapped: share guest memory with a memfd or a file (share=on)")
    if size <= 0 or offset < 0 or offset + size > status.st_size:
        raise LocalError(f"fd holds {status.st_size} bytes, not the {size} at offset {offset} that were announced")
    _seal(fd)
    start = offset % mmap.ALLOCATIONGRANULARITY
    try:
        mapping = mmap.mmap(fd, size + start, offset=offset - start)
    except (OSError, ValueError, OverflowError) as error:
        raise LocalError(f"fd cannot be mapped at offset {offset}, {size} bytes: {error}") from error
    slot = sigbus.guard(memoryview(mapping))
    weakref.finalize(mapping, _forget, slot)
    _slots[mapping] = slot
    return memoryview(mapping)[start:]


_slots: weakref.WeakKeyDictionary[mmap.mmap, int] = weakref.WeakKeyDictionary()


def _forget(slot: int) -> None:
    sigbus.forget(slot)


def lost_pages() -> int:
    """Return how many pages peers have taken away under our reads so far, in this process."""
    return sigbus.mended()


def is_lost(view: memoryview) -> bool:
    """Whether pages under `view`, or another view of what `map_shared` mapped with it, were taken away."""
    slot = _slots.get(view.obj) if isinstance(view.obj, mmap.mmap) else None
    return slot is not None and sigbus.lost(slot) > 0


def _seal(fd: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except OSError:
        pass  # no memfd, or its owner forbade more seals
