"""Resources, transfers and outputs: what a display sees, to the byte, against the tests' own device."""

import random
import struct

import pytest

from tests.gpu.model import NAMES, Model, shown
from tests.gpu.rig import (
    FAR,
    HALF,
    HIGH,
    LOW,
    OK,
    OK_UUID,
    RESPONSE,
    UNSPEC,
    USER,
    UUID,
    Device,
    assign_uuid,
    attach,
    create,
    create_blob,
    detach,
    flush,
    req,
    set_scanout,
    set_scanout_blob,
    transfer,
    unref,
)


def noise(length, seed=1):
    return random.Random(seed).randbytes(length)


class Pair:
    """The device and the model side by side: every command goes to both, screens and codes must agree."""

    def __init__(self, **options):
        self.device = Device(**options)
        self.model = Model(self.device.memory, self.device.gpu.num_scanouts)

    def send(self, request):
        expected = self.model.send(request)
        assert self.device.code(request) == expected, request.hex()
        self.compare()
        return expected

    def do(self, *requests):
        for request in requests:
            assert self.send(request) == OK, request.hex()

    def compare(self):
        for at, screen in enumerate(self.model.screens):
            size = self.device.display.sizes.get(at, (0, 0))
            if screen is None:
                assert size == (0, 0), f"output {at} is on"
            else:
                assert size == screen[:2]
                assert bytes(self.device.display.pictures[at]) == screen[2], f"output {at}"


# Pixels


def contiguous(length, rng):
    return [(FAR, length)]


def pages(length, rng):
    """4 KiB pages of FAR in random order."""
    count = -(-length // 4096)
    found = [(FAR + 4096 * page, 4096) for page in rng.sample(range(2 * count), count)]
    return [*found[:-1], (found[-1][0], length - 4096 * (count - 1))]


def single_bytes(length, rng):
    """One byte an entry, each somewhere else; only for images of 16384 bytes at most."""
    return [(FAR + at, 1) for at in rng.sample(range(4 * length), length)]


def ragged(length, rng):
    """Pieces of any length, over the border of neighbouring regions among others."""
    found, done = [(HIGH - 5, 11)], 11
    while done < length:
        step = min(length - done, rng.choice([1, 2, 3, 5, 64, 333, 4096]))
        found.append((FAR + rng.randrange(0x100_0000 - step), step))
        done += step
    return found


@pytest.mark.parametrize("fmt", NAMES)
@pytest.mark.parametrize(
    ("lay", "width", "height"),
    [
        pytest.param(contiguous, 61, 47, id="contiguous"),
        pytest.param(pages, 300, 47, id="pages"),
        pytest.param(single_bytes, 61, 47, id="single bytes"),
        pytest.param(ragged, 61, 47, id="ragged"),
        pytest.param(contiguous, 512, 270, id="contiguous, large"),
        pytest.param(pages, 600, 270, id="pages, large"),
    ],
)
def test_every_format_on_every_backing(fmt, lay, width, height):
    device, rng = Device(), random.Random(f"{fmt} {width}")
    length = 4 * width * height
    ranges = lay(length, rng)
    image = rng.randbytes(length)
    at = 0
    for addr, size in ranges:  # later entries may overwrite earlier ones: the stream is what memory holds in the end
        device.fill(addr, image[at : at + size])
        at += size
    image = b"".join(device.peek(addr, size) for addr, size in ranges)
    device.do(create(1, fmt, width, height), attach(1, ranges), set_scanout(0, 1, (0, 0, width, height)))
    assert not any(device.display.pictures[0]), "new pixels are zero"
    device.do(transfer(1, (0, 0, width, height)), flush(1, (0, 0, width, height)))
    expected = b"".join(shown(fmt, image[at : at + 4]) for at in range(0, length, 4))
    assert bytes(device.display.pictures[0]) == expected


@pytest.mark.parametrize("fmt", NAMES)
@pytest.mark.parametrize("lay", [contiguous, pages, single_bytes, ragged])
def test_every_format_by_rectangles(fmt, lay):
    width, height = 53, 41
    pair, rng = Pair(), random.Random(fmt)
    device = pair.device
    ranges = lay(4 * width * height, rng)
    device.fill(FAR, rng.randbytes(0x2_0000))
    pair.do(create(1, fmt, width, height), attach(1, ranges), set_scanout(0, 1, (0, 0, width, height)))
    for _ in range(30):
        x, y = rng.randrange(width), rng.randrange(height)
        rect = (x, y, rng.randint(1, width - x), rng.randint(1, height - y))
        pair.do(transfer(1, rect, 4 * (y * width + x)), flush(1, rect))
    pair.do(transfer(1, (0, 0, width, height)), flush(1, (0, 0, width, height)))


@pytest.mark.parametrize("offset", [0, 1, 3, 4, 100, 8 * 53 * 4 - 1, 8 * 53 * 4])
def test_a_transfer_takes_any_offset_and_stops_at_the_end(offset):
    pair = Pair()
    pair.device.fill(LOW, noise(8 * 53 * 4))
    pair.do(create(1, 3, 53, 8), attach(1, [(LOW, 53 * 4 * 8)]), set_scanout(0, 1, (0, 0, 53, 8)))
    pair.do(transfer(1, (7, 2, 40, 6), offset), flush(1, (0, 0, 53, 8)))


@pytest.mark.parametrize("have", [4, 8, 212, 216, 424, 1000, 1696])
@pytest.mark.parametrize("fmt", NAMES)
def test_a_backing_that_is_too_short_gives_the_pixels_it_has(fmt, have):
    pair = Pair()
    pair.device.fill(LOW, noise(4096))
    pair.do(create(1, fmt, 53, 8), attach(1, [(LOW, 1696)]), set_scanout(0, 1, (0, 0, 53, 8)))
    pair.do(transfer(1, (0, 0, 53, 8)), detach(1), attach(1, [(LOW + 2000, have)]))
    for _ in range(3):
        pair.do(transfer(1, (0, 0, 53, 8)), flush(1, (0, 0, 53, 8)))
        pair.do(transfer(1, (5, 2, 40, 6), 4 * (2 * 53 + 5) % have), flush(1, (0, 0, 53, 8)))


@pytest.mark.parametrize("have", [1, 2, 3, 5, 211, 213, 1001])
@pytest.mark.parametrize("fmt", NAMES)
def test_a_backing_that_ends_inside_a_pixel_does_not_give_that_pixel(fmt, have):
    pair = Pair()
    pair.device.fill(LOW, noise(4096))
    pair.do(create(1, fmt, 53, 8), attach(1, [(LOW, have)]), set_scanout(0, 1, (0, 0, 53, 8)))
    pair.do(transfer(1, (0, 0, 53, 8)), flush(1, (0, 0, 53, 8)))


def test_a_backing_longer_than_the_image_can_hold_it_anywhere():
    pair = Pair()
    pair.device.fill(LOW, noise(HALF))
    pair.do(create(1, 2, 8, 6), attach(1, [(LOW, HALF)]), set_scanout())
    for offset in (0, 1, 5000, HALF - 192, HALF - 191, HALF - 1, HALF):
        pair.do(transfer(offset=offset), flush())


def test_the_backing_is_read_at_the_transfer_and_never_at_the_flush():
    device = Device()
    device.fill(LOW, b"\1" * 192)
    device.do(create(), attach(), set_scanout(), transfer())
    device.fill(LOW, b"\2" * 192)
    device.do(flush())
    assert bytes(device.display.pictures[0]) == b"\1" * 192


def test_a_large_backing_is_read_before_the_driver_sees_the_answer():
    device = Device()
    width, height = 512, 300
    full, length = (0, 0, 512, 300), 4 * 512 * 300
    device.do(create(1, 2, width, height), attach(1, [(FAR, length)]), set_scanout(0, 1, full))
    for turn in range(1, 4):
        device.fill(FAR, bytes([turn]) * length)
        device.do(transfer(1, full))
        device.fill(FAR, b"\xff" * length)
        device.do(flush(1, full))
        assert bytes(device.display.pictures[0]) == bytes([turn]) * length


@pytest.mark.parametrize(
    "then",
    [
        pytest.param([], id="nothing"),
        pytest.param([flush(1, (0, 0, 512, 300))], id="full flush"),
        pytest.param([flush(1, (5, 10, 500, 20))], id="flush from the middle"),
        pytest.param([flush(1, (5, 10, 500, 20)), flush(1, (0, 250, 512, 50))], id="two flushes"),
        pytest.param([flush(1, (0, 250, 512, 50)), transfer(1, (0, 0, 512, 150), 4)], id="another transfer"),
        pytest.param([detach(1)], id="detach"),
        pytest.param([set_scanout(0, 1, (100, 100, 400, 200))], id="another rectangle"),
        pytest.param([create(2, 2, 512, 300), attach(2, [(FAR, 614400)]), transfer(2, (0, 0, 512, 300))], id="another"),
        pytest.param([unref(1)], id="unref"),
        pytest.param([transfer(9)], id="a refused command"),
    ],
)
def test_commands_right_behind_a_large_transfer_in_one_batch(then):
    """All are available before the device looks: the transfer may be put off, its effect may not."""
    full, length = (0, 0, 512, 300), 4 * 512 * 300
    device = Device()
    device.fill(FAR, noise(length))
    device.do(create(1, 3, 512, 300), attach(1, [(FAR, length)]), set_scanout(0, 1, full))
    model = Model(device.memory)
    for request in (create(1, 3, 512, 300), attach(1, [(FAR, length)]), set_scanout(0, 1, full)):
        model.send(request)
    requests = [transfer(1, full), *then]
    codes = batch(device, *requests)
    device.fill(FAR, bytes(length))
    assert codes == [model_send_before(model, device, request, length) for request in requests]
    if model.screens[0] is None:
        assert device.display.sizes[0] == (0, 0)
        return
    assert bytes(device.display.pictures[0]) == model.screens[0][2]
    if 1 in device.gpu.resources:
        x, y, w, h = model.bound[0][1]
        device.do(flush(1, (x, y, w, h)))
        model.send(flush(1, (x, y, w, h)))
        assert bytes(device.display.pictures[0]) == model.screens[0][2]


def model_send_before(model, device, request, length):
    """Give a request to the model with the backing as it was when the device ran."""
    now = device.peek(FAR, length)
    device.fill(FAR, noise(length))
    code = model.send(request)
    device.fill(FAR, now)
    return code


# Outputs


def test_an_output_shows_a_rectangle_and_updates_are_relative_to_it():
    device = Device()
    width, height = 100, 80
    device.fill(LOW, noise(4 * width * height))
    device.do(create(1, 2, width, height), attach(1, [(LOW, 4 * width * height)]), transfer(1, (0, 0, 100, 80)))
    device.do(set_scanout(0, 1, (32, 16, 48, 40)))
    assert device.display.take() == [("scanout", 0, 48, 40), ("update", 0, 0, 0, 48, 40)]
    for rect, shown_rect in [
        ((0, 0, 100, 80), (0, 0, 48, 40)),
        ((32, 16, 48, 40), (0, 0, 48, 40)),
        ((40, 20, 8, 4), (8, 4, 8, 4)),
        ((0, 0, 33, 17), (0, 0, 1, 1)),
        ((79, 55, 21, 25), (47, 39, 1, 1)),
        ((0, 30, 100, 2), (0, 14, 48, 2)),
    ]:
        device.do(flush(1, rect))
        assert device.display.take() == [("update", 0, *shown_rect)], rect
    for rect in [(0, 0, 32, 80), (0, 0, 100, 16), (80, 0, 20, 80), (0, 56, 100, 24), (0, 0, 32, 16)]:
        device.do(flush(1, rect))
        assert device.display.take() == [], rect
    model = Model(device.memory)
    for request in (create(1, 2, width, height), attach(1, [(LOW, 4 * width * height)]), transfer(1, (0, 0, 100, 80))):
        model.send(request)
    model.send(set_scanout(0, 1, (32, 16, 48, 40)))
    assert bytes(device.display.pictures[0]) == model.screens[0][2]


def test_a_mirrored_resource_is_flushed_on_every_output_in_order():
    device = Device()
    device.do(create(), set_scanout(5), set_scanout(2), set_scanout(9))
    device.display.take()
    device.do(flush(rect=(1, 1, 3, 2)))
    assert device.display.take() == [("update", output, 1, 1, 3, 2) for output in (2, 5, 9)]


def test_two_heads_on_one_framebuffer():
    pair = Pair()
    pair.device.fill(LOW, noise(4 * 64 * 16))
    pair.do(create(1, 2, 64, 16), attach(1, [(LOW, 4 * 64 * 16)]), transfer(1, (0, 0, 64, 16)))
    pair.do(set_scanout(0, 1, (0, 0, 32, 16)), set_scanout(1, 1, (32, 0, 32, 16)))
    pair.device.display.take()
    pair.do(flush(1, (30, 2, 4, 3)))
    assert pair.device.display.take() == [("update", 0, 30, 2, 2, 3), ("update", 1, 0, 2, 2, 3)]
    pair.do(flush(1, (0, 0, 10, 10)))
    assert pair.device.display.take() == [("update", 0, 0, 0, 10, 10)]


def test_the_same_binding_again_says_nothing():
    device = Device()
    device.do(create(), set_scanout(), flush())
    device.display.take()
    device.do(set_scanout(), set_scanout())
    assert device.display.take() == []
    device.do(flush(rect=(1, 1, 2, 2)))
    assert device.display.take() == [("update", 0, 1, 1, 2, 2)]


def test_a_new_binding_shows_itself_without_a_flush():
    device = Device()
    device.fill(LOW, noise(192))
    device.do(create(), attach(), transfer())
    device.do(set_scanout(3))
    assert device.display.take() == [("scanout", 3, 8, 6), ("update", 3, 0, 0, 8, 6)]
    assert bytes(device.display.pictures[3]) == noise(192)


def batch(device, *requests):
    """Make all requests available before the device looks."""
    at = 0
    for request in requests:
        device.views[0x2000_0000][at : at + len(request)] = request
        device.drivers[0].add([(0x2000_0000 + at, len(request))], [(RESPONSE + at, 64)])
        at += (len(request) + 63) & ~63
    device.drivers[0].publish()
    while device.loops[0].run(256) == 1:
        pass
    device.gpu.catch_up()
    device.loops[0].queue.publish()
    codes = []
    for _ in device.drivers[0].collect():
        codes += struct.unpack(
            "<I", device.peek(RESPONSE + sum((len(r) + 63) & ~63 for r in requests[: len(codes)]), 4)
        )
    return codes


def test_a_page_flip_sends_its_pixels_once():
    device = Device()
    device.fill(LOW, noise(384))
    device.do(create(1), attach(1), create(2), attach(2, [(LOW + 192, 192)]), set_scanout(0, 1))
    device.display.take()
    for turn in range(4):
        front = 2 - turn % 2
        assert batch(device, transfer(front), set_scanout(0, front), flush(front)) == [OK] * 3
        assert device.display.take() == [("update", 0, 0, 0, 8, 6)]
        assert bytes(device.display.pictures[0]) == noise(384)[192 * (front - 1) :][:192]


def test_a_partial_flush_behind_a_flip_shows_the_whole_picture():
    device = Device()
    device.fill(LOW, noise(384))
    device.do(create(1), attach(1), create(2), attach(2, [(LOW + 192, 192)]), set_scanout(0, 1), transfer(2))
    device.display.take()
    assert batch(device, set_scanout(0, 2), flush(2, (1, 1, 2, 2))) == [OK] * 2
    assert device.display.take() == [("update", 0, 0, 0, 8, 6)]
    assert bytes(device.display.pictures[0]) == noise(384)[192:]


def test_a_binding_that_is_replaced_at_once_is_shown_once():
    device = Device()
    device.do(create(1), create(2), create(3))
    assert batch(device, set_scanout(0, 1), set_scanout(0, 2), set_scanout(0, 3)) == [OK] * 3
    assert device.display.take() == [("scanout", 0, 8, 6), ("update", 0, 0, 0, 8, 6)]
    assert batch(device, set_scanout(0, 1), set_scanout(0, 0)) == [OK] * 2
    assert device.display.take() == [("scanout", 0, 0, 0)]


def test_another_size_is_announced_and_another_place_is_not():
    device = Device()
    device.do(create(1, 2, 100, 100), set_scanout(0, 1, (0, 0, 50, 50)))
    device.display.take()
    device.do(set_scanout(0, 1, (10, 10, 50, 50)))
    assert device.display.take() == [("update", 0, 0, 0, 50, 50)]
    device.do(set_scanout(0, 1, (10, 10, 50, 51)))
    assert device.display.take() == [("scanout", 0, 50, 51), ("update", 0, 0, 0, 50, 51)]


@pytest.mark.parametrize(
    "disable",
    [
        set_scanout(0, 0),
        set_scanout(0, 0, (1, 2, 3, 4)),
        set_scanout(0, 1, (0, 0, 0, 0)),
        set_scanout(0, 1, (0, 0, 0, 6)),
    ],
)
def test_disabling_says_0x0_once(disable):
    device = Device()
    device.do(create(), disable)
    assert device.display.take() == []
    device.do(set_scanout())
    device.display.take()
    device.do(disable, disable)
    assert device.display.take() == [("scanout", 0, 0, 0)]
    device.do(flush())
    assert device.display.take() == []
    device.do(set_scanout())
    assert device.display.take() == [("scanout", 0, 8, 6), ("update", 0, 0, 0, 8, 6)]


def test_unref_blanks_every_output_that_shows_the_resource():
    device = Device()
    device.do(create(1), create(2), set_scanout(0, 1), set_scanout(1, 2), set_scanout(2, 1))
    device.display.take()
    device.do(unref(1))
    assert device.display.take() == [("scanout", 0, 0, 0), ("scanout", 2, 0, 0)]
    device.do(create(1), flush(1), flush(2))
    assert device.display.take() == [("update", 1, 0, 0, 8, 6)]


def test_detach_keeps_the_pixels():
    device = Device()
    device.fill(LOW, noise(192))
    device.do(create(), attach(), transfer(), detach(), set_scanout(), flush())
    assert bytes(device.display.pictures[0]) == noise(192)


def test_resource_ids_are_any_numbers():
    device = Device()
    for number in (1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        device.do(
            create(number), attach(number), transfer(number), set_scanout(0, number), flush(number), unref(number)
        )


def test_an_output_may_be_16384_pixels_long_and_one_high():
    device = Device()
    device.do(create(1, 2, 16384, 1), set_scanout(0, 1, (0, 0, 16384, 1)), flush(1, (16383, 0, 1, 1)))
    assert device.display.take()[-1] == ("update", 0, 16383, 0, 1, 1)


# Memory that changes


def test_a_backing_follows_its_addresses_when_memory_is_replaced():
    device = Device()
    device.do(create(), attach(), set_scanout())
    region = next(r for r in device.memory.regions if r.guest_addr == LOW)
    device.memory.remove(LOW, region.size, region.user_addr)
    del device.views[LOW]
    device.add_memory(LOW, HALF, USER + 0x8000_0000)
    device.fill(LOW, noise(192, 5))
    device.do(transfer(), flush())
    assert bytes(device.display.pictures[0]) == noise(192, 5)


def test_a_backing_whose_memory_is_gone_cannot_be_read_and_keeps_its_pixels():
    device = Device()
    device.fill(LOW, noise(192))
    device.do(create(), attach(), set_scanout(), transfer())
    region = next(r for r in device.memory.regions if r.guest_addr == LOW)
    device.memory.remove(LOW, region.size, region.user_addr)
    assert device.code(transfer()) == UNSPEC
    device.do(flush())
    assert bytes(device.display.pictures[0]) == noise(192)
    device.memory.add(region)
    device.do(transfer(), detach())


def test_more_memory_does_not_disturb_a_backing():
    device = Device()
    device.do(create(1, 2, 300, 300), attach(1, [(HIGH - 100, 360000)]), set_scanout(0, 1, (0, 0, 300, 300)))
    device.add_memory(0x8000_0000, 0x1000, USER + 0x9000_0000)
    device.fill(HIGH - 100, noise(360000, 6))
    device.do(transfer(1, (0, 0, 300, 300)), flush(1, (0, 0, 300, 300)))
    assert bytes(device.display.pictures[0]) == noise(360000, 6)


def test_a_blob_whose_memory_is_gone_is_not_shown_until_it_is_back():
    device = Device()
    device.fill(LOW, noise(4096))
    device.do(create_blob(), set_scanout_blob())
    region = next(r for r in device.memory.regions if r.guest_addr == LOW)
    device.memory.remove(LOW, region.size, region.user_addr)
    device.display.take()
    device.do(flush())
    assert device.display.take() == []
    device.memory.add(region)
    device.fill(LOW, noise(4096, 2))
    device.do(flush())
    assert bytes(device.display.pictures[0]) == noise(4096, 2)[:192]


# Blobs and uuids


@pytest.mark.parametrize("fmt", NAMES)
def test_a_blob_is_shown_from_guest_memory_in_every_format(fmt):
    pair, rng = Pair(), random.Random(fmt)
    device = pair.device
    width, height, stride, offset = 37, 29, 4 * 37 + 12, 4097
    size = offset + stride * height
    ranges = ragged(size, rng)
    device.fill(FAR, rng.randbytes(0x100_0000 // 64) * 64)
    device.fill(LOW, rng.randbytes(HALF))
    pair.do(create_blob(1, ranges, size))
    pair.do(set_scanout_blob(0, 1, (0, 0, width, height), width, height, fmt, stride, offset))
    pair.do(set_scanout_blob(1, 1, (3, 4, 20, 11), width, height, fmt, stride, offset))
    for seed in range(3):
        device.fill(FAR, random.Random(seed).randbytes(0x100_0000 // 64) * 64)
        pair.do(flush(1, (0, 0, width, height)))
        rect = (rng.randrange(9), rng.randrange(9), 20, 15)
        pair.do(flush(1, rect))


def test_a_blob_framebuffer_may_be_flushed_beyond_itself():
    device = Device()
    device.do(create_blob(), set_scanout_blob())
    device.display.take()
    device.do(flush(rect=(4, 3, 0xFFFFFFFF, 0xFFFFFFFF)))
    assert device.display.take() == [("update", 0, 4, 3, 4, 3)]


def test_a_blob_that_loses_its_backing_is_blanked():
    device = Device()
    device.do(create_blob(), set_scanout_blob(0), set_scanout_blob(1))
    device.display.take()
    device.do(detach())
    assert device.display.take() == [("scanout", 0, 0, 0), ("scanout", 1, 0, 0)]
    device.do(flush(), attach(ranges=[(LOW, 4096)]), set_scanout_blob())


def test_another_framebuffer_in_the_same_blob_is_another_picture():
    device = Device()
    device.fill(LOW, noise(4096))
    device.do(create_blob(), set_scanout_blob(), set_scanout_blob(offset=2048))
    assert bytes(device.display.pictures[0]) == noise(4096)[2048 : 2048 + 192]
    assert [event[0] for event in device.display.take()] == ["scanout", "update", "update"]
    device.do(set_scanout_blob(offset=2048, fmt=67))
    assert device.display.take() == [("update", 0, 0, 0, 8, 6)]


def test_a_resource_has_one_uuid_for_life():
    device = Device()
    device.do(create(), create_blob(2))
    for number in (1, 1, 2):
        response = device.send(assign_uuid(number))
        assert response == struct.pack("<IIQII", OK_UUID, 0, 0, 0, 0) + UUID.bytes


# All of it, at random


@pytest.mark.parametrize("seed", range(12))
def test_any_sequence_shows_what_the_model_shows(seed):
    rng = random.Random(seed)
    pair = Pair(num_scanouts=3)
    pair.device.fill(LOW, rng.randbytes(HALF))
    for _ in range(250):
        pair.send(any_request(rng))
        if rng.random() < 0.1:
            start = rng.randrange(HALF - 4096)
            pair.device.fill(LOW + start, rng.randbytes(4096))


def any_request(rng):
    """Return a request that is right more often than not; ids, sizes and places are few, so that they meet."""
    number = rng.choice([1, 2, 3, 4])
    width, height = rng.choice([(8, 6), (16, 9), (33, 20)])
    x, y = rng.choice([0, 0, 1, 5, 8]), rng.choice([0, 0, 1, 4])
    rect = (x, y, rng.choice([0, 1, 3, 8, 16, 33]), rng.choice([1, 2, 5, 6, 9, 20]))
    fit = (0, 0, *rng.choice([(8, 6), (16, 9), (33, 20)]))
    rect = rng.choice([rect, fit, fit])
    start = LOW + rng.randrange(HALF - 8192)
    ranges = rng.choice(
        [[(start, 2640)], [(start + 7 * at, 7) for at in range(380)], [(HIGH - 99, 2640)], [(start, 5)]]
    )
    return rng.choice(
        [
            lambda: create(number, rng.choice([*NAMES, 5]), width, height),
            lambda: create_blob(number, ranges, rng.choice([2640, 2640, 100, 9000])),
            lambda: unref(number),
            lambda: set_scanout(rng.randrange(4), number, rect),
            lambda: set_scanout(rng.randrange(3), rng.choice([0, number, number]), rect),
            lambda: set_scanout_blob(
                rng.randrange(3),
                number,
                rect,
                width,
                height,
                rng.choice(list(NAMES)),
                4 * width,
                rng.choice([0, 0, 4, 64]),
            ),
            lambda: flush(number, rect),
            lambda: flush(number, rect),
            lambda: transfer(number, rect, rng.choice([0, 4 * (y * width + x), 3, 2640])),
            lambda: transfer(number, rect, 0),
            lambda: attach(number, ranges),
            lambda: attach(number, ranges),
            lambda: detach(number),
        ]
    )()


def test_requests_in_pieces_of_one_byte_are_the_same_requests():
    device = Device()
    for request in (create(), attach(), transfer(), set_scanout(), flush()):
        pieces = [1] * 40 + [len(request) - 40] if len(request) > 40 else [1] * len(request)
        assert device.send(request, pieces=pieces) == device.send(req(0x103, "IIIIII", 0, 0, 0, 0, 9, 0))
    assert device.display.take()[-1] == ("update", 0, 0, 0, 8, 6)
