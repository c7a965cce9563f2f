"""A peer that truncates the file behind memory it shared."""

import fcntl
import os
import subprocess
import sys

import pytest

from outboard import core
from outboard.errors import LocalError
from outboard.host.mapping import map_shared

READ_AFTER_TRUNCATION = """
import os
from outboard.host import mapping
fd = os.memfd_create("peer")
os.ftruncate(fd, 16 * 4096)
kept, gone = mapping.map_shared(fd, 0, 4096), mapping.map_shared(fd, 4096, 8 * 4096)
kept[0] = 7
gone[3 * 4096] = 9
os.ftruncate(fd, 4096)
print(kept[0], gone[3 * 4096], bytes(gone[:8 * 4096]) == bytes(8 * 4096), mapping.lost_pages())
"""


@pytest.mark.skipif(core() == "plain", reason="plain Python cannot mend a fault: the compiled form does")
def test_lost_pages_read_as_zero_and_are_counted():
    done = subprocess.run([sys.executable, "-c", READ_AFTER_TRUNCATION], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["7", "0", "True", "8"]), done.stderr


@pytest.mark.skipif(core() == "plain", reason="plain Python has no handler to hand back")
def test_other_faults_still_end_the_process():
    other = "import mmap, os; f = os.memfd_create('x'); os.ftruncate(f, 4096); m = mmap.mmap(f, 4096); "
    code = READ_AFTER_TRUNCATION + other + "os.ftruncate(f, 0); m[0]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -7, done


def test_a_file_that_allows_seals_cannot_be_truncated_any_more():
    fd = os.memfd_create("peer", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 8192)
    view = map_shared(fd, 4096, 4096)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 4096)
    view[4095] = 1
    assert os.pread(fd, 1, 8191) == b"\x01"
    os.close(fd)


@pytest.mark.parametrize(("offset", "size"), [(0, 8193), (4096, 4097), (8192, 1), (0, 0), (-4096, 4096), (1 << 63, 1)])
def test_more_than_the_file_holds_is_refused_when_it_is_mapped(offset, size):
    fd = os.memfd_create("peer")
    os.ftruncate(fd, 8192)
    with pytest.raises(LocalError, match="holds 8192 bytes"):
        map_shared(fd, offset, size)
    os.close(fd)


def test_an_offset_between_pages_is_mapped_from_the_page_below():
    fd = os.memfd_create("peer")
    os.pwrite(fd, bytes(4096) + b"here", 0)
    assert bytes(map_shared(fd, 4097, 3)) == b"ere"
    os.close(fd)
