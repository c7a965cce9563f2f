"""Advisory locks on image files, the same that QEMU takes: who opens an image that is written elsewhere is told.

Source: QEMU 4.1, block/file-posix.c (raw_apply_lock_bytes, raw_check_lock_bytes); fcntl(2), F_OFD_SETLK.
A permission that is used holds a read lock on one byte of the file; one that others must not use holds another.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from outboard.errors import LocalError

USED, UNSHARED = 100, 200
"""First byte of the locks that say what is used, and of those that say what others must not use."""
PERMISSIONS = ("consistent read", "write", "write unchanged", "resize", "change children")
READ, WRITE, RESIZE = 0, 1, 3
_FLOCK = "hhqqi4x"


def lock(fd: int, path: str, *, read_only: bool, share_rw: bool = False) -> None:
    """Take the locks of a user of an image; they last until the file is closed. share_rw: others may write.

    Raises LocalError that says who has it. A file system without locks is used without.
    """
    used = (READ,) if read_only else (READ, WRITE, RESIZE)
    unshared = () if share_rw else (WRITE, RESIZE)
    try:
        for byte in _bytes(used, unshared):
            _fcntl(fd, fcntl.F_OFD_SETLK, fcntl.F_RDLCK, byte)
        for byte, words in _conflicts(used, unshared):
            if _fcntl(fd, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, byte) != fcntl.F_UNLCK:
                raise LocalError(f"Failed to get {words} lock: {_holders(fd, path)}")
    except OSError:
        pass


def _bytes(used: tuple[int, ...], unshared: tuple[int, ...]) -> Iterator[int]:
    yield from (USED + one for one in used)
    yield from (UNSHARED + one for one in unshared)


def _conflicts(used: tuple[int, ...], unshared: tuple[int, ...]) -> Iterator[tuple[int, str]]:
    """List the bytes that must be free, and what is in the way otherwise, in QEMU's words."""
    yield from ((UNSHARED + one, f'"{PERMISSIONS[one]}"') for one in used)
    yield from ((USED + one, f'shared "{PERMISSIONS[one]}"') for one in unshared)


def _fcntl(fd: int, command: int, kind: int, byte: int) -> int:
    asked = struct.pack(_FLOCK, kind, os.SEEK_SET, byte, 1, 0)
    return int(struct.unpack(_FLOCK, fcntl.fcntl(fd, command, asked))[0])


def _holders(fd: int, path: str) -> str:
    """Say which processes have an image open with locks."""
    found = sorted(set(_holding(os.fstat(fd), fd)))
    if not found:
        return f"Is another process using the image [{path}]?"
    return f"image [{path}] is in use by {', '.join(found)}"


def _holding(image: os.stat_result, fd: int) -> Iterator[str]:
    for info in Path("/proc").glob("[0-9]*/fdinfo/*"):
        process = info.parts[2]
        if (process, info.name) == (str(os.getpid()), str(fd)):
            continue
        try:
            opened = os.stat(f"/proc/{process}/fd/{info.name}")
            if (opened.st_dev, opened.st_ino) == (image.st_dev, image.st_ino) and "OFDLCK" in info.read_text():
                yield f"process {process} ({Path(f'/proc/{process}/comm').read_text().strip()})"
        except OSError:
            pass
