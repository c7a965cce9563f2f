"""ibm,client-architecture-support: checks in QEMU's order, its words, what is agreed on. Numbers are typed by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outboard.guest.memory import GuestMemory, Region
from outboard.spapr import fdt, modes, ov5
from outboard.spapr.cas import QemuEnds
from tests.spapr.cas_rig import (
    BUFFER,
    LEVELS,
    LOGICAL_9,
    RAM,
    REAL_POWER9,
    VECTORS,
    Machine,
    area,
    vector,
)

H_PARAMETER, H_HARDWARE, H_MULTI = -4, -1, -9005
SMALL = "SLOF provided insufficient CAS buffer {} (min: 4)"
NO_PVR = "Couldn't negotiate a suitable PVR during CAS"
BOTH_MMUS = "guest requested hash and radix MMU, which is invalid."
BOTH_MODES = "guest requested an invalid interrupt mode"
NO_XIVE = "Guest requested unavailable interrupt mode (XIVE), try the ic-mode=xive or ic-mode=dual machine property"
NO_XICS = (
    "Guest requested unavailable interrupt mode (XICS), "
    "either don't set the ic-mode machine property or try ic-mode=xics or ic-mode=dual"
)
NO_ROOM = "error creating device tree: {}: FDT_ERR_NOSPACE"
NO_TREE = NO_ROOM.format("(fdt_create_empty_tree(fdt, space))")
RADIX = 0x40


# Vectors


def test_vectors():
    bits = [bit for bit in modes.machine_type().offered if bit.byte in (2, 5)]
    assert ov5.make(bits) == bytes([0, 0x20, 0, 0, 0xA0])
    assert ov5.make([]) == b""
    assert ov5.intersect(b"\xff\x0f\1", b"\x80\xff") == b"\x80\x0f"
    assert ov5.intersect(b"\1\2\3", b"\1\2\4") == b"\1\2"


def test_the_property_of_a_vector():
    assert ov5.property_of(b"") == b"\0\0"
    assert ov5.property_of(b"\x80") == b"\0\x80"
    assert ov5.property_of(b"\0\x20\0\0") == b"\1\0\x20"
    assert ov5.property_of(b"\1" * 256) == b"\xff" + b"\1" * 256


def support(**given):
    return ov5.platform_support(**{"has_xics": True, "has_xive": True, "power9": True} | given).hex(" ", 2)


def test_what_the_platform_supports():
    assert support() == "1780 18c0 1900 1a40"
    assert support(has_xive=False) == "1700 18c0 1900 1a40"
    assert support(has_xics=False) == "1740 18c0 1900 1a40"
    assert support(power9=False) == "1700 1800 1900 1a40"


@pytest.mark.parametrize(
    ("machine", "cpu", "mode", "offered"),
    [
        ("pseries-7.2", "power9", "dual", "002000 00a005 000000 000000 000000 000000 000000 804040 0040"),
        ("pseries-7.2", "power9", "xics", "002000 00a005 000000 000000 000000 000000 000000 800040 0040"),
        ("pseries-6.1", "power9", "xive", "002000 008005 000000 000000 000000 000000 000000 804040 0040"),
        ("pseries-2.9", "power8", None, "002000 008004 000000 000000 000000 000000 000000 80"),
    ],
)
def test_what_machines_offer(machine, cpu, mode, offered):
    assert Machine(mode, cpu=cpu, machine=machine).cas.offered == bytes.fromhex(offered)


# Success


@pytest.mark.parametrize(
    ("byte_23", "mode", "negotiated"),
    [
        (0x40, "xive", "19 00 20 00 00 a0 05" + " 00" * 15 + " 80 40 40 00 40"),
        (0x00, "xics", "19 00 20 00 00 a0 05" + " 00" * 15 + " 80 00 40 00 40"),
        (0x7F, "xive", "19 00 20 00 00 a0 05" + " 00" * 15 + " 80 40 40 00 40"),
    ],
)
def test_a_dual_machine_does_as_the_guest_wants(byte_23, mode, negotiated):
    machine = Machine()
    assert machine.call(area(vector(b23=byte_23))) == 0
    assert machine.irq.active == mode
    assert machine.irq.xive_negotiated == (mode == "xive")
    header, data = machine.returned()
    assert header == b"\1\0\0\0"
    tree = fdt.unpack(data)
    assert tree.find("/chosen").properties == {"ibm,architecture-vec-5": bytes.fromhex(negotiated)}
    assert tree == machine.build(machine.cas.agreed)
    size = int.from_bytes(data[4:8], "big")
    assert not any(data[size:]), "nothing is written behind the tree"
    assert machine.told == [
        "spapr_cas_pvr current=0x0, explicit_match=1, new=0xf000005",
        f"spapr_cas_continue Copy changes to the guest: {size + 4} bytes",
    ]


@pytest.mark.parametrize(("length", "mode"), [(1, "xics"), (20, "xics"), (22, "xics"), (23, "xive"), (256, "xive")])
def test_short_vectors(length, mode):
    machine = Machine()
    assert machine.call(area(vector(length, b23=0x40))) == 0
    assert machine.irq.active == mode


def test_nothing_asked_is_nothing_agreed():
    machine = Machine()
    assert machine.call(area(bytes(26))) == 0
    assert fdt.unpack(machine.returned()[1]).find("chosen").properties["ibm,architecture-vec-5"] == b"\0\0"
    assert machine.cas.agreed.negotiated == b""


def test_modes_change_at_once_and_as_often_as_asked():
    machine = Machine()
    for byte_23, mode in ((0x40, "xive"), (0, "xics"), (0x40, "xive"), (0x40, "xive")):
        assert machine.call(area(vector(b23=byte_23))) == 0
        assert machine.irq.active == mode
    machine.reset()
    assert machine.irq.active == "xics"
    assert machine.cas.agreed == (0, b"")
    assert machine.tree_at_reset().find("/chosen").properties["ibm,architecture-vec-5"] == b"\0\0"


def test_big_endian_hosts():
    machine = Machine(host_byteorder="big")
    assert machine.call() == 0
    assert machine.returned()[0] == b"\0\0\0\1"


def test_more_vectors_than_are_looked_at():
    machine = Machine()
    assert machine.call(area(vectors=[bytes(3), bytes(256), bytes(1), bytes(7), vector(b23=0x40), b"\xff" * 9])) == 0
    assert machine.irq.active == "xive"


# Refusals, in their order


@pytest.mark.parametrize("size", [0, 3])
def test_a_buffer_without_room_for_the_header(size):
    machine = Machine()
    assert machine.call(size=size, others_active=True) == SMALL.format(size)
    assert machine.told == [SMALL.format(size)]
    assert machine.cas.call(VECTORS, BUFFER, size) == QemuEnds(SMALL.format(size), 1)


def test_other_cpus_that_run():
    machine = Machine()
    assert machine.call(area(pvrs=[]), others_active=True) == H_MULTI
    assert machine.told == ["warning: guest has multiple active vCPUs at CAS, which is not allowed"]
    assert (machine.irq.active, machine.cas.agreed) == ("xics", (0, b""))


@pytest.mark.parametrize("vectors", [[bytes(1)], [bytes(1)] * 4])
def test_vectors_that_are_missing(vectors):
    machine = Machine()
    assert machine.call(area(vectors=vectors)) == H_PARAMETER
    assert machine.told[1:] == ["warning: guest didn't provide option vector 5"]
    assert machine.cas.agreed == (LEVELS["3.00"], b""), "the level is changed before"
    assert not any(machine.returned()[1])


@pytest.mark.parametrize(
    ("mode", "byte_23", "byte_24", "answer"),
    [
        ("dual", 0xC0, 0x80, BOTH_MMUS),
        ("dual", 0x40, 0xC0, BOTH_MMUS),
        ("xive", 0x80, 0x40, BOTH_MODES),
        ("xics", 0xC0, 0x40, BOTH_MODES),
        ("xics", 0x40, 0x40, NO_XIVE),
        ("xive", 0x00, 0x40, NO_XICS),
        ("xics", 0x00, 0x40, 0),
        ("xive", 0x40, 0x40, 0),
        ("xive", 0x40, 0x00, 0),
    ],
)
def test_modes_that_cannot_be(mode, byte_23, byte_24, answer):
    machine = Machine(mode)
    before = machine.irq.active
    assert machine.call(area(vector(b23=byte_23, b24=byte_24))) == answer
    assert machine.irq.active == before
    if answer:
        assert machine.told[1:] == [answer]
        assert not any(machine.returned()[1])


def test_a_short_vector_asks_for_xics():
    assert Machine("xive").call(area(vector(22))) == NO_XICS


# Processor levels


def agreed_pvr(machine, *pairs, **options):
    """The level after a call with these pairs, or its status."""
    return machine.call(area(pvrs=pairs, **options)) or machine.cas.agreed.compat_pvr


@pytest.mark.parametrize(
    ("cpu", "compat", "usable", "raw"),
    [
        ("power8", None, ("2.05", "2.06", "2.06+", "2.07"), True),
        ("power9", None, ("2.05", "2.06", "2.06+", "2.07", "3.00"), True),
        ("power10", None, ("2.05", "2.06", "2.06+", "2.07", "3.00", "3.1"), True),
        ("power10", "power9", ("2.05", "2.06", "2.06+", "2.07", "3.00"), False),
        ("power9", "power8", ("2.05", "2.06", "2.06+", "2.07"), False),
        ("power9", "power7+", ("2.05", "2.06", "2.06+"), False),
    ],
)
def test_levels(cpu, compat, usable, raw):
    for name, pvr in LEVELS.items():
        machine = Machine("dual", cpu=cpu, compat=compat)
        wanted = pvr if name in usable else H_HARDWARE
        start = machine.cas.max_compat_pvr
        assert agreed_pvr(machine, (0xFFFFFFFF, pvr)) == (
            NO_XIVE if wanted > 0 and machine.irq.xive is None else wanted
        )
        assert machine.cas.agreed.compat_pvr == (pvr if wanted > 0 else start)
    machine = Machine("dual", cpu=cpu, compat=compat)
    answer = machine.call(area(vector(b23=0), pvrs=[(0xFFFFFFFF, machine.cas.model.pvr)]))
    assert answer == (0 if raw else H_HARDWARE)


@pytest.mark.parametrize(
    ("pairs", "answer"),
    [
        ([(0xFFFFFFFF, pvr) for pvr in LEVELS.values()], LEVELS["3.00"]),
        ([(0xFFFFFFFF, pvr) for pvr in reversed(LEVELS.values())], LEVELS["3.00"]),
        ([REAL_POWER9], 0),
        ([REAL_POWER9, (0xFFFFFFFF, LEVELS["2.07"])], LEVELS["2.07"]),
        ([(0, 0)], 0),
        ([(0xFF00FFFF, LEVELS["2.07"])], LEVELS["2.07"]),
        ([(0xFFFFFFFF, 0x004E1201)], H_HARDWARE),
        ([(0xFFFF0000, 0x004D0000)], H_HARDWARE),
        ([], H_HARDWARE),
        ([(0xFFFF0000, LEVELS["3.00"]), REAL_POWER9], H_HARDWARE),
    ],
    ids=str,
)
def test_pvr_lists(pairs, answer):
    machine = Machine()
    assert agreed_pvr(machine, *pairs) == answer
    if answer == H_HARDWARE:
        assert machine.told[1:] == [NO_PVR]


def test_the_real_pvr_brings_the_own_level_back():
    machine = Machine()
    assert agreed_pvr(machine, (0xFFFFFFFF, LEVELS["2.07"])) == LEVELS["2.07"]
    assert machine.irq.active == "xive", "an older level does not keep a guest from XIVE"
    assert agreed_pvr(machine, REAL_POWER9) == 0
    assert machine.told[2].startswith("spapr_cas_pvr current=0xf000004, explicit_match=1, new=0x0")


def test_a_maximum_comes_back_at_reset():
    machine = Machine("dual", cpu="power10", compat="power9")
    assert machine.cas.agreed.compat_pvr == LEVELS["3.00"]
    assert agreed_pvr(machine, (0xFFFFFFFF, LEVELS["2.06"])) == LEVELS["2.06"]
    machine.reset()
    assert machine.cas.agreed == (LEVELS["3.00"], b"")


@pytest.mark.parametrize(("count", "mode"), [(510, "xive"), (598, "xics")])
def test_pairs_are_read_512_times_at_most(count, mode):
    """Without an end, vectors are expected behind 512 pairs; the pairs that are there then are none."""
    machine = Machine()
    data = area(pvrs=[REAL_POWER9, LOGICAL_9] + [(0xFFFFFFFF, 0)] * count, ends=False)
    assert machine.call(data) == 0
    assert machine.irq.active == mode


# Addresses and sizes


def test_high_bits_of_the_address_do_not_count():
    machine = Machine()
    assert machine.call(at=0xF000000000000000 | VECTORS) == 0


def test_vectors_where_no_memory_is():
    """All zeros: any CPU matches, and there is one vector."""
    for at in (0x40000000, (1 << 64) - 8, RAM - 4):
        machine = Machine()
        assert machine.call(at=at) == H_PARAMETER
        assert machine.told[1:] == ["warning: guest didn't provide option vector 5"]
        assert machine.cas.agreed.compat_pvr == 0


@pytest.mark.parametrize("size", [4, 5, 83])
def test_a_buffer_without_room_for_any_tree(size):
    assert Machine().call(size=size) == NO_TREE


def test_a_buffer_without_room_for_the_tree():
    machine = Machine()
    machine.call()
    needed = int.from_bytes(machine.returned()[1][4:8], "big") + 4
    machine = Machine()
    assert machine.call(size=84) == NO_ROOM.format("<the property that does not fit>")
    assert machine.call(size=needed - 1) == NO_ROOM.format("<the property that does not fit>")
    assert not any(machine.returned()[1])
    assert machine.call(size=needed) == 0


@pytest.mark.parametrize(
    ("size", "answer"),
    [(0x80000004, NO_TREE), (1 << 32, NO_TREE), ((1 << 64) - 1, NO_TREE), ((1 << 32) + 0x40000, 0)],
)
def test_sizes_count_in_32_bits_with_sign(size, answer):
    assert Machine().call(size=size) == answer


def test_a_buffer_outside_of_memory():
    machine = Machine()
    before = machine.memory.read(0, RAM)
    for buffer in (RAM, 1 << 60, (1 << 64) - 1):
        assert machine.call(buffer=buffer) == 0
    assert machine.call(buffer=RAM - 16) == 0
    after = machine.memory.read(0, RAM)
    assert after[RAM - 16 :][:8] == b"\1\0\0\0\xd0\r\xfe\xed"
    assert after[VECTORS + 0x1000 : RAM - 16] == before[VECTORS + 0x1000 : RAM - 16]


def test_a_buffer_across_regions():
    machine = Machine()
    memory = GuestMemory()
    memory.add(Region(0, 0, memoryview(bytearray(0x10000))))
    memory.add(Region(0x10000, 1 << 32, memoryview(bytearray(0x10000))))
    machine.cas.memory = memory
    memory.write(VECTORS, area())
    assert machine.cas.call(VECTORS, 0xFFF0, 0x8000) == 0
    assert fdt.unpack(memory.read(0xFFF4, 0x8000)) == machine.build(machine.cas.agreed)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from([0, VECTORS]))
def test_any_guest(data, buffer, size, at):
    """Whatever a guest passes, it gets a status, or QEMU's end is told; nothing raises."""
    machine = Machine()
    machine.memory.write(at, data)
    answer = machine.cas.call(at, buffer, size)
    assert isinstance(answer, QemuEnds) or answer in (0, H_PARAMETER, H_HARDWARE)
    assert machine.told
