"""The cursor queue (VIRTIO-1.2 5.7.6.10)."""

import random

import pytest

from tests.gpu.model import NAMES, shown
from tests.gpu.rig import (
    BAD_SCANOUT,
    FAR,
    LOW,
    OK,
    Device,
    attach,
    create,
    create_blob,
    detach,
    move_cursor,
    transfer,
    unref,
    update_cursor,
)

FULL = (0, 0, 64, 64)
IMAGE = random.Random(1).randbytes(64 * 64 * 4)
CLEAR = bytes(64 * 64 * 4)


@pytest.fixture
def device():
    made = Device()
    made.fill(LOW, IMAGE)
    made.do(create(1, 2, 64, 64), attach(1, [(LOW, 16384)]), transfer(1, FULL))
    return made


def cursor(device, request):
    assert device.code(request, queue=1) == OK
    return device.display.take()


@pytest.mark.parametrize("fmt", NAMES)
def test_the_image_s_four_bytes_arrive_whatever_the_format(fmt):
    device = Device()
    device.fill(LOW, IMAGE)
    device.do(create(1, fmt, 64, 64), attach(1, [(LOW, 16384)]), transfer(1, FULL))
    expected = b"".join(shown(fmt, IMAGE[at : at + 4]) for at in range(0, 16384, 4))
    assert cursor(device, update_cursor(2, 1, 10, 20, 3, 4)) == [("cursor", 2, 10, 20, 3, 4, expected)]


def test_the_image_is_the_one_of_that_moment(device):
    ((*_, first),) = cursor(device, update_cursor())
    assert first == IMAGE
    device.fill(LOW, CLEAR)
    device.do(transfer(1, FULL))
    assert cursor(device, move_cursor(0, 1, 5, 6)) == [("move", 0, 5, 6)]
    assert device.gpu.cursors[0].image == IMAGE
    ((*_, second),) = cursor(device, update_cursor())
    assert second == CLEAR


@pytest.mark.parametrize("request_", [update_cursor(3, 0, 7, 8), move_cursor(3, 0, 7, 8)])
def test_resource_0_hides_the_cursor(device, request_):
    cursor(device, update_cursor(3, 1))
    assert cursor(device, request_) == [("hide", 3, 7, 8)]
    assert not device.gpu.cursors[3].visible
    assert cursor(device, move_cursor(3, 1, 9, 9)) == [("move", 3, 9, 9)]
    assert device.gpu.cursors[3].visible


@pytest.mark.parametrize(("x", "y"), [(-10, -1), (0, 0), (1, 2), (-(1 << 31), (1 << 31) - 1)])
def test_positions_are_passed_on_as_they_come(device, x, y):
    assert cursor(device, move_cursor(0, 1, x, y)) == [("move", 0, x & 0xFFFFFFFF, y & 0xFFFFFFFF)]
    ((_, _, *place, _, _, _),) = cursor(device, update_cursor(0, 1, x, y))
    assert place == [x & 0xFFFFFFFF, y & 0xFFFFFFFF]


@pytest.mark.parametrize(("width", "height"), [(64, 63), (63, 64), (128, 32), (32, 128), (1, 4096), (65, 65)])
def test_another_size_is_transparent(device, width, height):
    device.do(create(2, 2, width, height))
    assert cursor(device, update_cursor(0, 2)) == [("cursor", 0, 0, 0, 0, 0, CLEAR)]


def test_an_unknown_resource_is_transparent(device):
    assert cursor(device, update_cursor(0, 99)) == [("cursor", 0, 0, 0, 0, 0, CLEAR)]
    device.do(unref(1))
    assert cursor(device, update_cursor(0, 1)) == [("cursor", 0, 0, 0, 0, 0, CLEAR)]


def test_a_blob_is_read_when_it_is_set(device):
    device.fill(FAR, IMAGE)
    device.do(create_blob(2, [(FAR + 8192, 8192), (FAR, 8192)], 16384), create_blob(3, [(FAR, 16383)], 16383))
    assert cursor(device, update_cursor(0, 2)) == [("cursor", 0, 0, 0, 0, 0, IMAGE[8192:] + IMAGE[:8192])]
    assert cursor(device, update_cursor(0, 3)) == [("cursor", 0, 0, 0, 0, 0, CLEAR)]
    device.do(detach(2))
    assert cursor(device, update_cursor(0, 2)) == [("cursor", 0, 0, 0, 0, 0, CLEAR)]


def test_the_cursor_outlives_its_resource(device):
    cursor(device, update_cursor())
    device.do(unref(1))
    assert device.display.take() == []
    assert cursor(device, move_cursor(0, 1, 4, 4)) == [("move", 0, 4, 4)]


@pytest.mark.parametrize("request_", [update_cursor(16, 1), move_cursor(16, 1), update_cursor(0xFFFFFFFF, 0)])
def test_an_output_that_is_not_there_has_no_cursor(device, request_):
    assert device.code(request_, queue=1) == BAD_SCANOUT
    assert device.display.take() == []


def test_without_room_for_an_answer_the_cursor_moves_all_the_same(device):
    assert device.send(move_cursor(0, 1, 3, 4), room=0, queue=1) == b""
    assert device.display.take() == [("move", 0, 3, 4)]
