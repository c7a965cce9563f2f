"""Which requests are carried out, and which status refuses the others. Statuses: 0 OK, 1 IOERR, 2 UNSUPP."""

import random
import struct

import pytest

from outboard.blk.disk import Disk, Options
from outboard.blk.requests import judge, ranges

IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
F_DISCARD, F_WRITE_ZEROES = 1 << 13, 1 << 14


def disk(capacity=100, features=F_DISCARD | F_WRITE_ZEROES, **options):
    made = Disk(Options(**options), capacity)
    made.set_features(features)
    return made


def segment(sector, count, flags=0):
    return struct.pack("<QII", sector, count, flags)


@pytest.mark.parametrize(
    ("sector", "length", "status"),
    [
        (0, 512, 0),
        (99, 512, 0),
        (0, 51200, 0),
        (0, 0, 0),
        (100, 0, 0),
        (101, 0, 1),
        (100, 512, 1),
        (99, 1024, 1),
        (0, 51712, 1),
        (0, 511, 1),
        (0, 513, 1),
        (1 << 63, 512, 1),
        ((1 << 64) - 1, 512, 1),
        ((1 << 64) - 1, 1024, 1),
        (0, 2048 * 0xFFFFFFFF, 1),
    ],
)
@pytest.mark.parametrize("kind", [IN, OUT])
def test_reads_and_writes_stay_on_the_disk(kind, sector, length, status):
    readable, writable = (0, length) if kind == IN else (length, 0)
    assert judge(disk(), kind, sector, readable, writable) == status


@pytest.mark.parametrize(("sector", "length", "status"), [(8, 4096, 0), (8, 512, 1), (4, 4096, 1), (1, 0, 1)])
def test_reads_and_writes_are_whole_blocks(sector, length, status):
    large = disk(logical_block_size=4096)
    assert judge(large, IN, sector, 0, length) == status
    assert judge(large, OUT, sector, length, 0) == status


@pytest.mark.parametrize(("kind", "status"), [(IN, 0), (OUT, 1), (FLUSH, 0), (GET_ID, 0)])
def test_a_read_only_disk_is_not_written(kind, status):
    assert judge(disk(read_only=True), kind, 0, 512 * (kind == OUT), 512 * (kind == IN)) == status


@pytest.mark.parametrize("kind", [DISCARD, WRITE_ZEROES])
def test_what_needs_a_feature_is_not_supported_without(kind):
    assert judge(disk(), kind, 0, 16, 0) == 0
    assert judge(disk(features=0), kind, 0, 16, 0) == 2
    assert judge(disk(features=0, read_only=True), kind, 0, 16, 0) == 2
    assert judge(disk(read_only=True), kind, 0, 16, 0) == 1


@pytest.mark.parametrize("kind", [2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFF])
def test_other_types_are_not_supported(kind):
    assert judge(disk(), kind, 0, 512, 512) == 2


def test_ranges_of_a_request():
    data = segment(0, 1) + segment(99, 1) + segment(50, 0)
    assert [tuple(one) for one in ranges(disk(), DISCARD, data)] == [
        (0, 512, False),
        (50688, 512, False),
        (25600, 0, False),
    ]
    assert [tuple(one) for one in ranges(disk(), WRITE_ZEROES, segment(2, 3, 1))] == [(1024, 1536, True)]
    assert [tuple(one) for one in ranges(disk(), WRITE_ZEROES, segment(2, 3, 0))] == [(1024, 1536, False)]


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        (DISCARD, b"", 1),
        (DISCARD, bytes(15), 1),
        (DISCARD, bytes(17), 1),
        (DISCARD, segment(0, 1) * 33, 1),
        (DISCARD, segment(100, 1), 1),
        (DISCARD, segment((1 << 64) - 1, 2), 1),
        (DISCARD, segment(0, 0xFFFFFFFF), 1),
        (DISCARD, segment(0, 1, 1), 2),
        (DISCARD, segment(0, 1, 2), 2),
        (WRITE_ZEROES, segment(0, 1, 2), 2),
        (WRITE_ZEROES, segment(0, 1, 0x80000001), 2),
        (WRITE_ZEROES, segment(0, 1) + segment(100, 1), 1),
        (WRITE_ZEROES, segment(0, 1) + segment(0, 1, 4), 2),
    ],
)
def test_ranges_that_are_refused(kind, data, status):
    assert ranges(disk(), kind, data) == status


def test_a_range_has_at_most_so_many_sectors():
    large = disk(capacity=1 << 40)
    assert ranges(large, DISCARD, segment(0, 1 << 22)) == [(0, 1 << 31, False)]
    assert ranges(large, DISCARD, segment(0, (1 << 22) + 1)) == 1


def test_ranges_are_whole_blocks():
    large = disk(logical_block_size=1024)
    assert ranges(large, DISCARD, segment(2, 2)) == [(1024, 1024, False)]
    assert ranges(large, DISCARD, segment(1, 2)) == ranges(large, DISCARD, segment(2, 1)) == 1


def test_random_ranges_never_leave_the_disk():
    rng = random.Random(5)
    for _ in range(2000):
        capacity = rng.choice([1, 8, 100, 1 << 30, (1 << 55) - 1])
        near = [0, 1, capacity - 1, capacity, capacity + 1, (1 << 64) - 1, rng.getrandbits(64)]
        sector, length = rng.choice(near) & ((1 << 64) - 1), 512 * rng.choice([0, 1, 2, capacity, rng.getrandbits(40)])
        inside = sector + length // 512 <= capacity
        assert judge(disk(capacity), IN, sector, 0, length) == (0 if inside else 1)
