"""What each wrong command is answered with, and that it changes nothing (VIRTIO-1.2 5.7.6.7, as drivers know it)."""

import struct

import pytest

from tests.gpu.rig import (
    BAD_PARAMETER,
    BAD_RESOURCE,
    BAD_SCANOUT,
    EDID,
    HIGH,
    HOLE,
    LOW,
    NO_MEMORY,
    OK,
    RESOURCE_BLOB,
    RESOURCE_UUID,
    UNSPEC,
    Device,
    assign_uuid,
    attach,
    create,
    create_blob,
    detach,
    flush,
    get_edid,
    move_cursor,
    req,
    set_scanout,
    set_scanout_blob,
    transfer,
    unref,
    update_cursor,
)

BIG = 0xFFFFFFFF
MADE = [create()]
BACKED = [create(), attach()]
SHOWN = [create(), attach(), set_scanout()]
BLOB = [create_blob()]

REFUSED = [
    ("create: id 0", [], create(0), BAD_RESOURCE),
    ("create: id exists", MADE, create(), BAD_RESOURCE),
    ("create: id exists as blob", BLOB, create(), BAD_RESOURCE),
    ("create: format 0", [], create(fmt=0), BAD_PARAMETER),
    ("create: format 5", [], create(fmt=5), BAD_PARAMETER),
    ("create: format 66", [], create(fmt=66), BAD_PARAMETER),
    ("create: format 135", [], create(fmt=135), BAD_PARAMETER),
    ("create: format beyond all", [], create(fmt=BIG), BAD_PARAMETER),
    ("create: 0 wide", [], create(width=0), BAD_PARAMETER),
    ("create: 0 high", [], create(height=0), BAD_PARAMETER),
    ("create: more than 256 MiB", [], create(width=8192, height=8192), NO_MEMORY),
    ("create: 4 GiB and more", [], create(width=65536, height=65536), NO_MEMORY),
    ("create: as large as can be said", [], create(width=BIG, height=BIG), NO_MEMORY),
    ("create: one long row", [], create(width=BIG, height=1), NO_MEMORY),
    ("unref: unknown", [], unref(), BAD_RESOURCE),
    ("unref: id 0", MADE, unref(0), BAD_RESOURCE),
    ("unref: twice", [create(), unref()], unref(), BAD_RESOURCE),
    ("flush: unknown", [], flush(), BAD_RESOURCE),
    ("flush: id 0", SHOWN, flush(0), BAD_RESOURCE),
    ("flush: too wide", SHOWN, flush(rect=(0, 0, 9, 6)), BAD_PARAMETER),
    ("flush: too high", SHOWN, flush(rect=(0, 0, 8, 7)), BAD_PARAMETER),
    ("flush: shifted out", SHOWN, flush(rect=(1, 0, 8, 6)), BAD_PARAMETER),
    ("flush: x wraps", SHOWN, flush(rect=(BIG, 0, 2, 1)), BAD_PARAMETER),
    ("flush: y wraps", SHOWN, flush(rect=(0, BIG, 1, 2)), BAD_PARAMETER),
    ("flush: outside, on no output", MADE, flush(rect=(0, 0, 9, 6)), BAD_PARAMETER),
    ("transfer: unknown", [], transfer(), BAD_RESOURCE),
    ("transfer: no backing", MADE, transfer(), BAD_RESOURCE),
    ("transfer: backing of no entries", [create(), attach(ranges=())], transfer(), BAD_RESOURCE),
    ("transfer: detached", [*BACKED, detach()], transfer(), BAD_RESOURCE),
    ("transfer: too wide", BACKED, transfer(rect=(0, 0, 9, 6)), BAD_PARAMETER),
    ("transfer: too high", BACKED, transfer(rect=(0, 0, 8, 7)), BAD_PARAMETER),
    ("transfer: x outside", BACKED, transfer(rect=(9, 0, 0, 0)), BAD_PARAMETER),
    ("transfer: y outside", BACKED, transfer(rect=(0, 7, 0, 0)), BAD_PARAMETER),
    ("transfer: x wraps", BACKED, transfer(rect=(BIG, 0, 2, 1)), BAD_PARAMETER),
    ("transfer: y wraps", BACKED, transfer(rect=(0, BIG, 1, 2)), BAD_PARAMETER),
    ("transfer: offset behind the end", BACKED, transfer(offset=193), BAD_PARAMETER),
    ("transfer: offset of 64 bits", BACKED, transfer(offset=(1 << 64) - 1), BAD_PARAMETER),
    ("transfer: offset behind the end, empty", BACKED, transfer(rect=(0, 0, 0, 0), offset=193), BAD_PARAMETER),
    ("attach: unknown", [], attach(), BAD_RESOURCE),
    ("attach: id 0", MADE, attach(0), BAD_RESOURCE),
    ("attach: twice", BACKED, attach(), UNSPEC),
    ("attach: 16385 entries", MADE, attach(ranges=[(LOW, 1)] * 16385), UNSPEC),
    ("attach: 16385 entries announced", MADE, attach(count=16385), UNSPEC),
    ("attach: 4 Gi entries announced", MADE, attach(count=BIG), UNSPEC),
    ("attach: an entry is missing", MADE, attach(count=2), UNSPEC),
    ("attach: a byte of an entry is missing", MADE, attach()[:-1], UNSPEC),
    ("attach: in a hole", MADE, attach(ranges=[(HOLE, 1)]), UNSPEC),
    ("attach: into a hole", MADE, attach(ranges=[(HOLE - 1, 2)]), UNSPEC),
    ("attach: good and bad", MADE, attach(ranges=[(LOW, 8), (HOLE, 8)]), UNSPEC),
    ("attach: at the end of the address space", MADE, attach(ranges=[((1 << 64) - 1, 2)]), UNSPEC),
    ("attach: 4 GiB", MADE, attach(ranges=[(LOW, BIG)]), UNSPEC),
    ("attach: length 0", MADE, attach(ranges=[(LOW, 0)]), UNSPEC),
    ("attach: length 0 among others", MADE, attach(ranges=[(LOW, 8), (LOW, 0), (LOW, 8)]), UNSPEC),
    ("detach: unknown", [], detach(), BAD_RESOURCE),
    ("detach: no backing", MADE, detach(), BAD_RESOURCE),
    ("detach: twice", [*BACKED, detach()], detach(), BAD_RESOURCE),
    ("set_scanout: output 16", BACKED, set_scanout(16), BAD_SCANOUT),
    ("set_scanout: output far out", BACKED, set_scanout(BIG), BAD_SCANOUT),
    ("set_scanout: output 16, no resource", [], set_scanout(16, 0), BAD_SCANOUT),
    ("set_scanout: unknown", [], set_scanout(), BAD_RESOURCE),
    ("set_scanout: too wide", MADE, set_scanout(rect=(0, 0, 9, 6)), BAD_PARAMETER),
    ("set_scanout: too high", MADE, set_scanout(rect=(0, 0, 8, 7)), BAD_PARAMETER),
    ("set_scanout: shifted out", MADE, set_scanout(rect=(1, 1, 8, 6)), BAD_PARAMETER),
    ("set_scanout: x wraps", MADE, set_scanout(rect=(BIG, 0, 2, 1)), BAD_PARAMETER),
    ("set_scanout: y wraps", MADE, set_scanout(rect=(0, BIG, 1, 2)), BAD_PARAMETER),
    ("set_scanout: a blob", BLOB, set_scanout(), BAD_PARAMETER),
    (
        "set_scanout: wider than 16384",
        [create(width=16385, height=1)],
        set_scanout(rect=(0, 0, 16385, 1)),
        BAD_PARAMETER,
    ),
    ("get_edid: output 16", [], get_edid(16), BAD_SCANOUT),
    ("assign_uuid: unknown", [], assign_uuid(), BAD_RESOURCE),
    ("create_blob: id 0", [], create_blob(0), BAD_RESOURCE),
    ("create_blob: id exists", MADE, create_blob(), BAD_RESOURCE),
    ("create_blob: of the host", [], create_blob(mem=2), BAD_PARAMETER),
    ("create_blob: of both", [], create_blob(mem=3), BAD_PARAMETER),
    ("create_blob: of nobody", [], create_blob(mem=0), BAD_PARAMETER),
    ("create_blob: no bytes", [], create_blob(size=0), BAD_PARAMETER),
    ("create_blob: backing too short", [], create_blob(size=4097), UNSPEC),
    ("create_blob: in a hole", [], create_blob(ranges=[(HOLE, 4096)]), UNSPEC),
    ("create_blob: 16385 entries", [], create_blob(count=16385), UNSPEC),
    ("create_blob: an entry is missing", [], create_blob(count=2), UNSPEC),
    ("attach: shorter than its blob", [create_blob(ranges=())], attach(ranges=[(LOW, 4095)]), UNSPEC),
    ("set_scanout_blob: output 16", BLOB, set_scanout_blob(16), BAD_SCANOUT),
    ("set_scanout_blob: unknown", [], set_scanout_blob(), BAD_RESOURCE),
    ("set_scanout_blob: no blob", BACKED, set_scanout_blob(), BAD_PARAMETER),
    ("set_scanout_blob: no backing", [create_blob(ranges=())], set_scanout_blob(), BAD_PARAMETER),
    ("set_scanout_blob: format 5", BLOB, set_scanout_blob(fmt=5), BAD_PARAMETER),
    ("set_scanout_blob: 0 wide", BLOB, set_scanout_blob(width=0, rect=(0, 0, 0, 0)), BAD_PARAMETER),
    ("set_scanout_blob: 0 high", BLOB, set_scanout_blob(height=0, rect=(0, 0, 0, 0)), BAD_PARAMETER),
    ("set_scanout_blob: stride below a row", BLOB, set_scanout_blob(stride=31), BAD_PARAMETER),
    ("set_scanout_blob: behind the end", BLOB, set_scanout_blob(offset=4096 - 6 * 32 + 1), BAD_PARAMETER),
    ("set_scanout_blob: stride out", BLOB, set_scanout_blob(stride=BIG), BAD_PARAMETER),
    ("set_scanout_blob: rect outside", BLOB, set_scanout_blob(rect=(1, 0, 8, 6)), BAD_PARAMETER),
    ("set_scanout_blob: rect wraps", BLOB, set_scanout_blob(rect=(BIG, 0, 2, 1)), BAD_PARAMETER),
]


@pytest.mark.parametrize(("before", "request_", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_wrong_command_has_its_code_and_no_effect(before, request_, code):
    device = Device()
    device.do(*before)
    device.display.take()
    state = device.state()
    assert device.code(request_) == code
    assert device.state() == state
    assert device.display.take() == []


LENIENT = [
    ("attach: no entries", MADE, attach(ranges=())),
    ("attach: after no entries", [create(), attach(ranges=())], attach()),
    ("attach: entries of one byte", MADE, attach(ranges=[(LOW + at, 1) for at in range(192)])),
    ("attach: 16384 entries", MADE, attach(ranges=[(LOW, 1)] * 16384)),
    ("attach: over neighbouring regions", MADE, attach(ranges=[(HIGH - 96, 192)])),
    ("attach: the same memory again and again", MADE, attach(ranges=[(LOW, 8)] * 24)),
    ("attach: after detach", [*BACKED, detach()], attach()),
    ("attach: bytes behind the entries", MADE, attach() + b"more"),
    ("transfer: nothing wide", BACKED, transfer(rect=(0, 0, 0, 6))),
    ("transfer: nothing high", BACKED, transfer(rect=(0, 0, 8, 0))),
    ("transfer: nothing at the corner", BACKED, transfer(rect=(8, 6, 0, 0))),
    ("transfer: from the end of the backing", BACKED, transfer(offset=192)),
    ("transfer: more than the backing has", [create(), attach(ranges=[(LOW, 5)])], transfer()),
    ("transfer: a blob", BLOB, transfer(rect=(100, 100, 100, 100))),
    ("flush: on no output", MADE, flush()),
    ("flush: nothing", SHOWN, flush(rect=(0, 0, 0, 0))),
    ("flush: nothing at the corner", SHOWN, flush(rect=(8, 6, 0, 0))),
    ("set_scanout: smaller than 16x16", MADE, set_scanout(rect=(7, 5, 1, 1))),
    ("set_scanout: no resource, no rect", [], set_scanout(0, 0, (0, 0, 0, 0))),
    ("set_scanout: no resource, any rect", [], set_scanout(0, 0, (1, 2, 1280, 800))),
    ("set_scanout: no resource, wild rect", [], set_scanout(15, 0, (BIG, BIG, BIG, BIG))),
    ("set_scanout: empty rect", SHOWN, set_scanout(rect=(0, 0, 0, 0))),
    ("set_scanout: flat rect", SHOWN, set_scanout(rect=(0, 0, 8, 0))),
    ("create_blob: no entries", [], create_blob(ranges=())),
    ("create_blob: all flags", [], create_blob(flags=7)),
    ("set_scanout_blob: up to the end", BLOB, set_scanout_blob(offset=4096 - 6 * 32)),
    ("create: bytes behind the request", [], create() + bytes(100)),
]


@pytest.mark.parametrize(("before", "request_"), [row[1:] for row in LENIENT], ids=[row[0] for row in LENIENT])
def test_what_looks_odd_and_is_right(before, request_):
    device = Device()
    device.do(*before)
    assert device.code(request_) == OK


@pytest.mark.parametrize(
    "code",
    [0, 1, 0xFF, 0x108, 0x109, 0x10E, 0x1FF, *range(0x200, 0x20B), 0x2FF, 0x300, 0x301, 0x302, 0x1100, 0x1200, BIG],
)
def test_commands_that_a_2d_device_does_not_have_are_unspecified(code):
    device = Device()
    assert device.code(req(code) + bytes(100)) == UNSPEC
    assert device.code(req(code)) == UNSPEC


@pytest.mark.parametrize("request_", [create(), req(0x100), flush(), get_edid(), req(0x302), req(0)])
def test_the_cursor_queue_has_its_own_commands(request_):
    assert Device().code(request_, queue=1) == UNSPEC


@pytest.mark.parametrize(
    ("missing", "request_"),
    [
        (EDID, get_edid()),
        (RESOURCE_UUID, assign_uuid()),
        (RESOURCE_BLOB, create_blob()),
        (RESOURCE_BLOB, set_scanout_blob()),
    ],
)
def test_a_command_needs_its_feature(missing, request_):
    device = Device()
    device.gpu.features &= ~missing
    device.do(create())
    assert device.code(request_) == UNSPEC
    bare = Device(features=0)
    bare.do(create())
    assert bare.code(request_) == UNSPEC


@pytest.mark.parametrize("count", [1, 2, 15])
def test_only_the_outputs_that_are_there_exist(count):
    device = Device(num_scanouts=count)
    device.do(create(), set_scanout(count - 1))
    assert device.code(set_scanout(count)) == BAD_SCANOUT
    assert device.code(get_edid(count)) == BAD_SCANOUT
    assert device.code(update_cursor(count), queue=1) == BAD_SCANOUT
    assert device.code(move_cursor(count), queue=1) == BAD_SCANOUT


COMPLETE = [
    (0, req(0x100)),
    (0, create()),
    (0, unref()),
    (0, set_scanout()),
    (0, flush()),
    (0, transfer()),
    (0, attach()[:32]),
    (0, detach()),
    (0, get_edid()),
    (0, assign_uuid()),
    (0, create_blob()[:56]),
    (0, set_scanout_blob()),
    (1, update_cursor()),
    (1, move_cursor()),
]


@pytest.mark.parametrize(
    ("queue", "request_"), COMPLETE, ids=[f"{request[1]:x}{request[0]:02x}" for _, request in COMPLETE]
)
def test_a_request_cut_anywhere_is_a_wrong_parameter(queue, request_):
    device = Device()
    device.do(create(), attach(), set_scanout())
    state, _ = device.state(), device.display.take()
    for length in range(len(request_)):
        assert device.code(request_[:length], queue) == BAD_PARAMETER, length
    assert device.state() == state
    assert device.display.take() == []


def test_a_cut_header_has_no_fence():
    response = Device().send(req(0x100, flags=1, fence=7, ctx=9)[:23])
    assert response == struct.pack("<IIQII", BAD_PARAMETER, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("queue", "request_"), COMPLETE, ids=[f"{request[1]:x}{request[0]:02x}" for _, request in COMPLETE]
)
@pytest.mark.parametrize("room", [0, 1, 4, 23, 24, 25])
def test_a_response_is_cut_to_its_room_and_the_command_still_counts(queue, request_, room):
    whole = Device().send(request_, queue=queue)
    response = Device().send(request_, room, queue)
    assert response == whole[:room]


def test_a_command_without_room_has_its_effect():
    device = Device()
    assert device.send(create(), room=0) == b""
    assert device.code(create()) == BAD_RESOURCE


def test_hostile_commands_do_not_grow_the_device():
    device = Device(max_hostmem=1 << 20)
    made = 0
    while device.code(create(made + 1, width=1, height=1)) == OK:
        made += 1
        assert made <= 1024
    assert made >= 512
    assert device.code(create_blob(made + 1)) == NO_MEMORY
    assert device.code(attach(1, [(LOW, 1)] * 16384)) == NO_MEMORY
    device.do(*(unref(at + 1) for at in range(made)))
    assert device.gpu.hostmem == 0
    device.do(create(width=400, height=400))


def test_memory_is_limited_in_all_and_comes_back():
    device = Device(max_hostmem=1 << 20)
    device.do(*(create(at, width=256, height=250) for at in (1, 2, 3, 4)))
    assert device.code(create(5, width=256, height=250)) == NO_MEMORY
    device.do(unref(2), create(5, width=256, height=250), create(6, width=16, height=16))
    for at in (1, 3, 4, 5, 6):
        device.do(attach(at, [(LOW, 4)] * 3), detach(at), attach(at, [(LOW, 4)]), unref(at))
    assert device.gpu.hostmem == 0


def test_memory_that_the_host_does_not_have_is_refused():
    device = Device(max_hostmem=1 << 63)
    assert device.code(create(width=0x7FFF_FFFF, height=0x0FFF_FFFF)) == NO_MEMORY
    device.do(create(1))


def test_reset_forgets_everything():
    device = Device()
    device.do(create(), attach(), set_scanout(), create(2), create_blob(3))
    device.gpu.reset()
    assert device.gpu.hostmem == 0
    assert device.code(flush()) == BAD_RESOURCE
    device.do(create(), create(2), create(3), set_scanout())
