"""Random virtio-gpu commands: whole ones against the tests' own device, broken ones against the rules for answers."""

import random
import struct
import zlib

import pytest

from outboard.gpu.command_loop import BUSY, WAITING
from tests.gpu.model import Model
from tests.gpu.rig import (
    ALL,
    FAR,
    HIGH,
    LOW,
    OK,
    RESPONSE,
    SCRATCH,
    SCRATCH_SIZE,
    USER,
    Device,
    assign_uuid,
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
from tests.gpu.test_pictures import any_request

CODES = {0x1100, 0x1101, 0x1104, 0x1105, 0x1200, 0x1201, 0x1202, 0x1203, 0x1205}
BODIES = {0x1101: 384, 0x1104: 1032, 0x1105: 16}
EDGES = [0, 1, 2, 15, 16, 17, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
MAX_HOSTMEM = 4 << 20


class Bench:
    """A device and its model, used for many cases; after each it is reset and must draw rightly."""

    def __init__(self):
        self.device = Device(far_size=0x1000, num_scanouts=3, max_hostmem=MAX_HOSTMEM)
        self.device.fill(LOW, random.Random(0).randbytes(0x10_000) * 32)
        self.device.fill(HIGH, random.Random(1).randbytes(0x10_000) * 32)
        self.sums = self.checksums()

    def checksums(self):
        return {base: zlib.crc32(self.device.views[base]) for base in (LOW, HIGH, FAR)}

    def recover(self):
        device = self.device
        device.answers.late = False
        device.gpu.features = ALL
        for loop in device.loops:
            loop.answer(bytes(384))
        device.run()
        device.gpu.reset()
        assert device.gpu.hostmem == 0
        device.display.sizes.clear()
        device.do(create(), attach(), transfer(), set_scanout(), flush())
        assert bytes(device.display.pictures[0]) == bytes(device.views[LOW][:192])
        device.gpu.reset()
        device.display.sizes.clear()
        device.display.take()
        assert self.checksums() == self.sums, "guest memory was written that nobody offered for writing"


def well_formed(rng, bench):
    """A series of whole commands: codes and pictures are the model's."""
    device = bench.device
    model = Model(device.memory, 3)
    for _ in range(rng.randint(5, 25)):
        request = any_request(rng)
        assert device.code(request) == model.send(request), request.hex()
    for at, screen in enumerate(model.screens):
        size = device.display.sizes.get(at, (0, 0))
        assert size == (screen[:2] if screen else (0, 0))
        assert screen is None or bytes(device.display.pictures[at]) == screen[2]


def mangle(rng, request):
    """Return a request with something wrong."""
    data = bytearray(request)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        kind = rng.randrange(6)
        if kind == 0 and len(data) >= 4:
            at = rng.randrange(len(data) // 4) * 4
            struct.pack_into("<I", data, at, rng.choice([*EDGES, rng.getrandbits(32)]))
        elif kind == 1 and data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[rng.randint(0, len(data)) :]
        elif kind == 3:
            data += rng.randbytes(rng.randrange(64))
        elif kind == 4 and len(data) >= 4:
            struct.pack_into("<I", data, 0, rng.choice([*range(0x100, 0x10F), *range(0x200, 0x20A), 0x300, 0x301, 0]))
        elif kind == 5 and len(data) >= 8:
            struct.pack_into("<I", data, 4, rng.choice([0, 1, 2, 3, 0xFFFFFFFF]))
    return bytes(data)


def any_other(rng):
    """Return a command that the model does not know."""
    return rng.choice(
        [
            lambda: req(0x100),
            lambda: get_edid(rng.randrange(5)),
            lambda: assign_uuid(rng.randrange(5)),
            lambda: update_cursor(rng.randrange(4), rng.randrange(5), rng.getrandbits(32), rng.getrandbits(32)),
            lambda: move_cursor(rng.randrange(4), rng.randrange(5), rng.getrandbits(32), 0),
            lambda: req(rng.getrandbits(16)) + rng.randbytes(rng.randrange(100)),
            lambda: rng.randbytes(rng.randrange(120)),
            lambda: create(rng.randrange(1, 9), rng.choice([1, 2, 3, 67]), 64, 64),
        ]
    )()


def malformed(rng, bench):
    """A series of mangled commands on both queues: the answer is one that may be, and nothing else is written."""
    device = bench.device
    for _ in range(rng.randint(3, 20)):
        request = mangle(rng, any_request(rng) if rng.random() < 0.6 else any_other(rng))
        queue = int(rng.random() < 0.2)
        room = rng.choice([4096, 4096, 4096, 24, 23, 1, 0, 408])
        device.answers.late = rng.random() < 0.1
        device.gpu.features = rng.choice([0xE, 0xE, 0])
        pieces = cut(rng, len(request)) if rng.random() < 0.3 else None
        device.offer(request, room, queue, pieces)
        status, response = device.run(queue)
        if response is None:
            assert status == WAITING
            device.loops[queue].answer(rng.randbytes(1032 if request[:4] == b"\x0a\x01\0\0" else 384))
            status, response = device.run(queue)
        judge(request, response, room)
        assert device.gpu.hostmem <= MAX_HOSTMEM + 1024
        if rng.random() < 0.02:
            shuffle_memory(device)


def judge(request, response, room):
    """Check what holds for any answer."""
    header = struct.pack("<IIQII", *struct.unpack_from("<IIQII", request.ljust(24, b"\0")))
    fenced = len(request) >= 24 and request[4] & 1
    whole = response.ljust(24, b"\0")
    code = struct.unpack_from("<I", whole)[0]
    if room >= 4:
        assert code in CODES, response.hex()
        assert len(response) == min(24 + BODIES.get(code, 0), room)
    else:
        assert len(response) == room
    if len(response) >= 24:
        flags, fence, ctx, pad = struct.unpack_from("<IQII", response, 4)
        assert flags == (1 if fenced else 0)
        assert (fence, ctx) == (struct.unpack_from("<QI", header, 8) if fenced else (0, 0))
        assert pad == 0


def cut(rng, length):
    """Return lengths of descriptors that make up `length` bytes."""
    pieces = []
    while length and len(pieces) < 50:
        pieces.append(rng.randint(0, length))
        length -= pieces[-1]
    return [*pieces, length]


def shuffle_memory(device):
    """Take a region away and give it back, as a front-end may at any time."""
    for region in list(device.memory.regions):
        if region.guest_addr == HIGH:
            device.memory.remove(HIGH, region.size, region.user_addr)
            device.memory.add(region)


def pipelined(rng, bench):
    """Many commands at once, as drivers queue them; then one picture must be exact."""
    device = bench.device
    model = Model(device.memory, 3)
    requests = [any_request(rng) for _ in range(rng.randint(2, 20))]
    at, answers = 0, []
    for request in requests:
        if at + len(request) > RESPONSE - SCRATCH:
            break
        device.views[SCRATCH][at : at + len(request)] = request
        device.drivers[0].add([(SCRATCH + at, len(request))], [(RESPONSE + 32 * len(answers), 24)])
        answers.append(model.send(request))
        at += (len(request) + 15) & ~15
    device.drivers[0].publish()
    while device.loops[0].run(rng.choice([1, 3, 256])) == BUSY:
        pass
    device.gpu.catch_up()
    device.loops[0].queue.publish()
    assert [written for _, written in device.drivers[0].collect()] == [24] * len(answers)
    for number, code in enumerate(answers):
        assert struct.unpack("<I", device.peek(RESPONSE + 32 * number, 4)) == (code,)
    for number, bound in enumerate(model.bound):
        size = device.display.sizes.get(number, (0, 0))
        assert size == (bound[1][2:] if bound else (0, 0))
    # What was flushed before the last transfer may be shown either way; flush again and all must agree.
    for number in list(model.resources):
        resource = model.resources[number]
        everything = (0, 0, resource.width or 33, resource.height or 20)
        assert device.code(flush(number, everything)) == model.send(flush(number, everything)) == OK
    for number, screen in enumerate(model.screens):
        assert screen is None or bytes(device.display.pictures[number]) == screen[2]


KINDS = [well_formed, malformed, malformed, pipelined]


@pytest.fixture
def one():
    bench = Bench()

    def case(rng):
        nonlocal bench
        try:
            rng.choice(KINDS)(rng, bench)
            bench.recover()
        except BaseException:
            bench = Bench()
            raise

    return case


@pytest.mark.timeout(0)
def test_commands(campaign, one):
    campaign.run("commands", one)


def test_the_rig_s_own_memory_is_what_it_says():
    device = Device(far_size=0x1000)
    assert {base: len(view) for base, view in device.views.items()}[SCRATCH] == SCRATCH_SIZE
    assert device.memory.user_range(USER, 16) is not None
