"""Responses: fences, queries that are answered late, EDID."""

import shutil
import struct
import subprocess

import pytest

from outboard.display.edid import edid
from outboard.gpu.command_loop import WAITING
from outboard.gpu.scanouts import announce
from tests.gpu.rig import (
    LOW,
    OK,
    OK_EDID,
    OK_INFO,
    UNSPEC,
    Device,
    attach,
    create,
    flush,
    get_edid,
    move_cursor,
    req,
    set_scanout,
    transfer,
    update_cursor,
)

FENCE = 0x1122334455667788
INFO = req(0x100)


# Fences


@pytest.mark.parametrize("flags", [1, 3, 0xFFFFFFFF, 0xFFFFFFFD])
def test_a_fence_is_repeated(flags):
    response = Device().send(req(0x101, "IIII", 1, 2, 4, 2, flags=flags, fence=FENCE, ctx=9, ring_idx=5))
    assert response == struct.pack("<IIQII", OK, 1, FENCE, 9, 0)


@pytest.mark.parametrize("flags", [0, 2, 0xFFFFFFFE])
def test_without_the_flag_nothing_is_repeated(flags):
    response = Device().send(req(0x101, "IIII", 1, 2, 4, 2, flags=flags, fence=FENCE, ctx=9))
    assert response == struct.pack("<IIQII", OK, 0, 0, 0, 0)


def test_errors_repeat_the_fence_too():
    response = Device().send(req(0x777, flags=1, fence=FENCE, ctx=9))
    assert response == struct.pack("<IIQII", UNSPEC, 1, FENCE, 9, 0)


def test_answers_with_a_body_repeat_the_fence_in_front_of_it():
    response = Device().send(req(0x100, flags=1, fence=FENCE, ctx=9))
    assert response == struct.pack("<IIQII", OK_INFO, 1, FENCE, 9, 0) + bytes(range(256)) + bytes(128)


def test_the_cursor_queue_repeats_fences():
    request = req(0x301, "IIIIIIII", 0, 1, 2, 0, 1, 0, 0, 0, flags=1, fence=5)
    assert Device().send(request, queue=1) == struct.pack("<IIQII", OK, 1, 5, 0, 0)


# Queries


def test_display_info_is_what_the_displays_say():
    response = Device().send(INFO)
    assert len(response) == 408
    assert response == struct.pack("<IIQII", OK_INFO, 0, 0, 0, 0) + bytes(range(256)) + bytes(128)


@pytest.mark.parametrize("scanout_id", [0, 1, 15])
def test_edid_is_what_the_displays_say(scanout_id):
    device = Device()
    response = device.send(get_edid(scanout_id))
    assert len(response) == 1056
    assert response[:32] == struct.pack("<IIQIIII", OK_EDID, 0, 0, 0, 0, 128, 0)
    assert response[32:] == bytes([scanout_id]) * 1024
    assert device.answers.edid_of == [scanout_id]


@pytest.mark.parametrize(("request_", "code"), [(INFO, OK_INFO), (get_edid(), OK_EDID)])
def test_a_late_answer_holds_the_commands_behind_it(request_, code):
    device = Device()
    device.answers.late = True
    device.offer(request_)
    assert device.run() == (WAITING, None)
    device.drivers[0].add([(0x2000_0000, 24)], [(0x2000_0000 + 0x7F000, 24)])
    device.drivers[0].publish()
    assert device.run() == (WAITING, None)
    body = b"\x55" * (384 if code == OK_INFO else 1032)
    device.loops[0].answer(body)
    device.loops[0].queue.publish()
    ((_, written),) = device.drivers[0].collect()
    assert device.peek(0x2000_0000 + 0x60_000, written) == struct.pack("<IIQII", code, 0, 0, 0, 0) + body
    device.answers.late = False
    assert device.loops[0].run(256) == 0
    device.loops[0].queue.publish()
    assert len(device.drivers[0].collect()) == 1


def test_a_fence_waits_for_a_late_answer():
    device = Device()
    device.answers.late = True
    device.offer(req(0x100, flags=1, fence=FENCE, ctx=9))
    device.run()
    device.loops[0].answer(bytes(384))
    _, response = device.run()
    assert response[:24] == struct.pack("<IIQII", OK_INFO, 1, FENCE, 9, 0)


def test_an_answer_that_nobody_waits_for_is_dropped():
    device = Device()
    device.loops[0].answer(bytes(384))
    assert device.drivers[0].used_idx == 0
    device.do(create())


def test_a_suspended_query_is_asked_again():
    device = Device()
    device.answers.late = True
    device.offer(INFO)
    device.run()
    device.loops[0].suspend()
    device.loops[0].answer(bytes(384))
    assert device.loops[0].queue.last_avail == 0
    assert device.drivers[0].used_idx == 0
    device.answers.late = False
    _, response = device.run()
    assert response[24:] == device.answers.info


def test_a_congested_display_stops_both_queues():
    device = Device()
    device.do(create(), set_scanout())
    device.display.congested = True
    for queue, request in ((0, flush()), (1, move_cursor())):
        device.offer(request, queue=queue)
        assert device.run(queue)[1] is None
    device.display.congested = False
    for queue in (0, 1):
        assert device.run(queue)[1] is not None


# Everything again, for a new display


def test_a_new_display_is_told_everything():
    device = Device()
    device.fill(LOW, b"\7" * 16384)
    device.do(create(1, 2, 64, 64), attach(1, [(LOW, 16384)]), transfer(1, (0, 0, 64, 64)))
    device.do(set_scanout(0, 1, (0, 0, 64, 64)), set_scanout(2, 1, (8, 8, 16, 16)), set_scanout(4, 1, (0, 0, 1, 1)))
    device.do(set_scanout(4, 0))
    for request in (update_cursor(0, 1, 5, 6, 1, 2), update_cursor(2, 1, 3, 3), move_cursor(2, 0, 4, 4)):
        device.code(request, queue=1)
    device.display.take()
    announce(device.gpu, device.display)
    image = b"\7" * 16384
    assert device.display.take() == [
        ("scanout", 0, 64, 64),
        ("update", 0, 0, 0, 64, 64),
        ("cursor", 0, 5, 6, 1, 2, image),
        ("scanout", 2, 16, 16),
        ("update", 2, 0, 0, 16, 16),
        ("cursor", 2, 4, 4, 0, 0, image),
        ("hide", 2, 4, 4),
    ]


def test_a_device_without_pictures_announces_nothing():
    device = Device()
    device.do(create(), set_scanout(), set_scanout(0, 0))
    device.display.take()
    announce(device.gpu, device.display)
    assert device.display.take() == []


# EDID (VESA Enhanced EDID 1.4)

SIZES = [
    (1280, 800),
    (1024, 768),
    (640, 480),
    (1, 1),
    (4095, 4095),
    (1920, 1080),
    (16384, 16384),
    (3840, 2160),
    (5000, 300),
]


def parse(blob):
    """Read the fields of a base block by their offsets."""
    clock, *t = struct.unpack_from("<H16B", blob, 54)
    return {
        "clock": clock * 10_000,
        "width": t[0] | (t[2] & 0xF0) << 4,
        "h_blank": t[1] | (t[2] & 0x0F) << 8,
        "height": t[3] | (t[5] & 0xF0) << 4,
        "v_blank": t[4] | (t[5] & 0x0F) << 8,
        "h_front": t[6] | (t[9] >> 6) << 8,
        "h_sync": t[7] | (t[9] >> 4 & 3) << 8,
        "v_front": t[8] >> 4 | (t[9] >> 2 & 3) << 4,
        "v_sync": t[8] & 15 | (t[9] & 3) << 4,
        "mm": (t[10] | (t[12] & 0xF0) << 4, t[11] | (t[12] & 0x0F) << 8),
        "border": (t[13], t[14]),
    }


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_edid_is_one_valid_block(width, height):
    blob = edid(width, height)
    assert len(blob) == 128
    assert sum(blob) % 256 == 0
    assert blob[:8] == bytes.fromhex("00ffffffffffff00")
    assert blob[18:20] == b"\1\4"
    assert blob[20] & 0x80, "digital"
    assert blob[24] & 2, "the first detailed timing is preferred"
    assert blob[126] == 0, "no extension"


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_preferred_timing_is_the_wanted_size(width, height):
    timing = parse(edid(width, height))
    assert (timing["width"], timing["height"]) == (min(width, 4095), min(height, 4095))
    assert timing["h_front"] + timing["h_sync"] < timing["h_blank"]
    assert timing["v_front"] + timing["v_sync"] < timing["v_blank"]
    assert timing["border"] == (0, 0)
    total = (timing["width"] + timing["h_blank"]) * (timing["height"] + timing["v_blank"])
    assert timing["clock"] > 0
    assert timing["clock"] <= 655_350_000
    if total * 60 <= 655_350_000:
        assert 59 < timing["clock"] / total <= 60 or total < 20_000


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_other_sizes_are_no_larger_than_the_wanted_one(width, height):
    blob = edid(width, height)
    ratios = {0: (10, 16), 1: (3, 4), 2: (4, 5), 3: (9, 16)}
    for at in range(38, 54, 2):
        if blob[at : at + 2] != b"\1\1":
            wide = (blob[at] + 31) * 8
            up, down = ratios[blob[at + 1] >> 6]
            assert wide <= width
            assert wide * up // down <= height
            assert blob[at + 1] & 63 == 0, "60 Hz"
    for byte, bit, size in ((35, 5, (640, 480)), (35, 0, (800, 600)), (36, 3, (1024, 768))):
        assert bool(blob[byte] & 1 << bit) == (size[0] <= width and size[1] <= height)


def test_edid_names_the_display_and_tells_outputs_apart():
    first, second = edid(1280, 800, serial=0), edid(1280, 800, serial=1)
    assert b"outboard" in first
    assert first != second
    vendor = int.from_bytes(first[8:10], "big")
    assert "".join(chr(64 + (vendor >> shift & 31)) for shift in (10, 5, 0)) == "OUT"
    for at, tag in ((72, 0xFC), (90, 0xFD), (108, 0xFF)):
        assert first[at : at + 5] == bytes((0, 0, 0, tag, 0))


def test_the_range_limits_promise_no_formula():
    """GTF, the default, needs continuous frequencies, which byte 24 does not promise."""
    blob = edid(1280, 800)
    assert blob[24] & 1 == 0
    assert blob[93] == 0xFD
    assert blob[90 + 10] == 1


@pytest.mark.skipif(shutil.which("edid-decode") is None, reason="edid-decode is not installed (Debian: edid-decode)")
@pytest.mark.parametrize(("width", "height"), [size for size in SIZES if min(size) >= 300])
def test_edid_decode_finds_nothing_wrong(width, height):
    told = subprocess.run(["edid-decode", "--check"], input=edid(width, height), capture_output=True, timeout=20)
    text = told.stdout.decode(errors="replace")
    assert "EDID conformity: PASS" in text, text
