"""What a disk offers and shows, and what its driver may set."""

import pytest

from outboard.blk.disk import Disk, Options
from outboard.errors import LocalError

# Bits as numbers of the document, 5.2.3.
SIZE_MAX, SEG_MAX, RO, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE, MQ, DISCARD, WRITE_ZEROES = (
    1 << bit for bit in (1, 2, 5, 6, 9, 10, 11, 12, 13, 14)
)
ALWAYS = SEG_MAX | BLK_SIZE | FLUSH | TOPOLOGY | CONFIG_WCE


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({}, ALWAYS | DISCARD | WRITE_ZEROES),
        ({"read_only": True}, ALWAYS | RO),
        ({"num_queues": 2}, ALWAYS | DISCARD | WRITE_ZEROES | MQ),
        ({"size_max": 65536}, ALWAYS | DISCARD | WRITE_ZEROES | SIZE_MAX),
    ],
)
def test_what_is_offered(options, bits):
    assert Disk(Options(**options), 8).offered == bits


def test_the_config_space_of_a_plain_disk():
    config = Disk(Options(num_queues=3, size_max=8192), 2048).config()
    assert (config.capacity, config.size_max, config.seg_max, config.blk_size) == (2048, 8192, 254, 512)
    assert (config.writeback, config.num_queues) == (1, 3)
    assert (config.max_discard_sectors, config.max_discard_seg, config.discard_sector_alignment) == (1 << 22, 32, 1)
    assert (config.max_write_zeroes_sectors, config.max_write_zeroes_seg) == (1 << 22, 32)
    assert config.write_zeroes_may_unmap == 1
    assert (config.unused0, config.unused1) == (0, (0, 0, 0))


def test_a_disk_that_cannot_be_written_has_no_limits_for_what_it_does_not_do():
    config = Disk(Options(read_only=True), 8).config()
    assert (config.max_discard_sectors, config.max_discard_seg, config.max_write_zeroes_seg) == (0, 0, 0)


@pytest.mark.parametrize(
    ("logical", "physical", "exponent", "minimum"),
    [(512, 0, 3, 8), (4096, 0, 0, 1), (512, 512, 0, 1), (512, 65536, 7, 128), (1024, 4096, 2, 4)],
)
def test_the_topology_says_how_blocks_lie_on_the_medium(logical, physical, exponent, minimum):
    topology = Disk(Options(logical_block_size=logical, physical_block_size=physical), 128).config().topology
    assert (topology.physical_block_exp, topology.alignment_offset) == (exponent, 0)
    assert (topology.min_io_size, topology.opt_io_size) == (minimum, 0)


@pytest.mark.parametrize(("queue_size", "segments"), [(4, 2), (64, 62), (256, 254), (1024, 254)])
def test_requests_have_no_more_segments_than_the_queue_can_hold(queue_size, segments):
    assert Disk(Options(queue_size=queue_size), 8).config().seg_max == segments


@pytest.mark.parametrize("on", [0, 1])
def test_the_driver_sets_the_cache_and_nothing_else(on):
    disk = Disk(Options(writeback=not on), 8)
    assert disk.write_config(32, bytes([on]))
    assert (disk.writeback, disk.config().writeback) == (bool(on), on)
    for offset, data in ((32, b"\2"), (32, b""), (32, b"\0\0"), (31, b"\1"), (33, b"\0"), (0, bytes(60))):
        assert not disk.write_config(offset, data)
    assert disk.writeback == bool(on)


@pytest.mark.parametrize(
    ("features", "writeback", "stable"),
    [
        (FLUSH | CONFIG_WCE, True, False),
        (FLUSH | CONFIG_WCE, False, True),
        (FLUSH, True, False),
        (FLUSH, False, True),
        (0, True, True),  # who can neither flush nor ask takes the cache for writethrough
        (CONFIG_WCE, True, True),
    ],
)
def test_when_writes_wait_for_the_medium(features, writeback, stable):
    disk = Disk(Options(writeback=writeback), 8)
    disk.set_features(features)
    assert disk.stable is stable


def test_a_driver_that_can_ask_but_not_flush_is_told_writethrough():
    disk = Disk(Options(), 8)
    disk.set_features(CONFIG_WCE)
    assert disk.config().writeback == 0


def test_a_reset_forgets_what_the_driver_has_set():
    disk = Disk(Options(), 8)
    disk.set_features(FLUSH | CONFIG_WCE)
    disk.write_config(32, b"\0")
    disk.reset()
    assert (disk.features, disk.writeback) == (0, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_queues": 0}, "0 queues: a disk has 1 to 64"),
        ({"num_queues": 65}, "65 queues"),
        ({"queue_size": 100}, "queue size 100: it is a power of two, 4 to 1024"),
        ({"queue_size": 2}, "queue size 2"),
        ({"queue_size": 2048}, "queue size 2048"),
        ({"logical_block_size": 100}, "logical block size 100: it is one of 512, 1024, 2048, 4096"),
        ({"logical_block_size": 8192}, "logical block size 8192"),
        ({"serial": "x" * 21}, "at most 20 printable ASCII"),
        ({"serial": "ä"}, "at most 20 printable ASCII"),
        ({"serial": "a\nb"}, "at most 20 printable ASCII"),
        ({"physical_block_size": 3000}, "physical block size 3000"),
        ({"logical_block_size": 4096, "physical_block_size": 512}, "physical block size 512"),
        ({"size_max": 1}, "size_max 1"),
    ],
)
def test_disks_that_cannot_be(options, words):
    with pytest.raises(LocalError, match=words):
        Disk(Options(**options), 8)


@pytest.mark.parametrize("text", ["", "x" * 20, "disk 7"])
def test_the_serial_is_padded_with_nul(text):
    assert Disk(Options(serial=text), 8).serial == text.encode() + bytes(20 - len(text))
