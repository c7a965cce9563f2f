"""`VirtioGpu` beside QEMU 10's vhost-user-gpu-pci, with the same back-end: configuration space, registers, node."""

import random
from contextlib import ExitStack

import pytest

from outboard.machine.pseries import PseriesMachine, VirtioGpu
from tests.machine.guest.conftest import OURS, c_helper, qemu, serve
from tests.machine.pseries.rig import address, change_msi, config, load_le, place, read, store_le, write

pytestmark = pytest.mark.alike

SLOT = 2
TABLE, STRUCTURES = 0, 0x100000
COMMON = (0, 4, 8, 12, 16, 18, 20, 21, 22, 24, 26, 28, 30, *range(32, 56, 4))
SIZES = dict.fromkeys(COMMON, 4) | dict.fromkeys((16, 18, 22, 24, 26, 28, 30), 2) | {20: 1, 21: 1}
RESOURCE_UUID, EDID, RING_RESET = 1 << 2, 1 << 1, 1 << 40 - 32
NOT_OURS = RESOURCE_UUID, RING_RESET, 0
"""Features of QEMU's device that ours has not: RESOURCE_UUID, which QEMU 7.2 lacks too, and RING_RESET."""


class Both:
    """Both machines; `same` does a thing on both."""

    def __init__(self, real, ours):
        self.cpus = real.cpus[0], ours.cpus[0]
        self.real, self.ours = real, ours

    def same(self, call, *arguments):
        real, ours = (call(cpu, *arguments) for cpu in self.cpus)
        assert real == ours, f"{call.__name__}{arguments}: QEMU {real!r}, ours {ours!r}"
        return ours


@pytest.fixture(params=["ours", "c"])
def command(request):
    return OURS if request.param == "ours" else [c_helper(), "--fd={fd}"]


@pytest.fixture
def both(command, socket_dir):
    """`both(...)`: a GPU with these options of QEMU's and ours."""
    from outboard.qemu.live import LiveMachine

    with ExitStack() as stack:

        def make(words="", **options):
            socket = socket_dir / "gpu.sock"
            serve(stack, command, socket)
            gpu = f"vhost-user-gpu-pci,chardev=vgpu,addr=02.0{words}"
            extra = ["-chardev", f"socket,id=vgpu,path={socket}", "-device", gpu]
            real = LiveMachine(qemu((10,)), 1, "xics", extra=extra, machine="pseries-7.2")
            ours = PseriesMachine(1, "xics", [(SLOT, VirtioGpu(command, [(640, 480)], **options))], ram_size=256 << 20)
            return Both(stack.enter_context(real), stack.enter_context(ours))

        yield make


def features(cpu, at):
    """All words of what is offered, without what our device never has."""
    words = []
    for word in range(3):
        store_le(cpu, at, 4, word)
        words.append(load_le(cpu, at + 4, 4) & ~NOT_OURS[word])
    return words


@pytest.mark.parametrize(("words", "options"), [("", {}), (",edid=on", {"edid": True}), (",edid=off", {"edid": False})])
def test_what_is_offered(both, words, options):
    pair = both(words, **options)
    pair.same(config, SLOT)
    pair.same(place, SLOT, TABLE, 0x14)
    at = pair.same(place, SLOT, STRUCTURES, 0x20)
    real, ours = (features(cpu, at) for cpu in pair.cpus)
    if options == {"edid": False}:  # QEMU offers what its back-end does
        assert not ours[0] & EDID
        real[0] &= ~EDID
    assert real == ours
    for offset in COMMON:
        if offset != 4:
            pair.same(load_le, at + offset, SIZES[offset])
    for queue in range(4):
        pair.same(store_le, at + 22, 2, queue)
        for offset in (22, 24, 26, 28, 30):
            pair.same(load_le, at + offset, 2)
    for offset in range(0, 32, 4):
        pair.same(load_le, at + 0x2000 + offset, 4)
    pair.same(load_le, at + 0x1000, 1)


def test_every_register_of_configuration_space(both):
    pair = both()
    for at in range(0, 256, 4):
        for value in (0xFFFFFFFF, 0):
            pair.same(write, SLOT, at, 4, value)
            pair.same(read, SLOT, at, 4)


@pytest.mark.parametrize("seed", range(3))
def test_random_accesses(both, seed):
    """Registers but the status, which starts the device; its table of messages, its configuration."""
    pair, choice = both(), random.Random(seed)
    pair.same(change_msi, SLOT, 4, 3)
    table = pair.same(place, SLOT, TABLE, 0x14)
    at = pair.same(place, SLOT, STRUCTURES, 0x20)
    for _ in range(300):
        start = choice.choice((table, at, at, at, at + 0x2000, at + 0x3000))
        size = choice.choice((1, 2, 4))
        where = start + choice.randrange(0, 64, size)
        if where == at + 4:
            continue
        if where == at + 20 or start == at + 0x2000 or choice.random() < 0.5:
            pair.same(load_le, where, size)
        else:
            pair.same(store_le, where, size, choice.getrandbits(8 * size))
    pair.same(config, SLOT)


def test_the_node(both):
    pair = both()
    nodes = [one.device_tree().find("/pci@800000020000000").children for one in (pair.real, pair.ours)]
    real, ours = ([node for node in children if node.name == "display@2"] for children in nodes)
    assert real == ours and address(SLOT) == 0x1000
