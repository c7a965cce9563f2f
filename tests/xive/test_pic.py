"""The monitor's `info pic` of a bare-metal controller, to the letter: tables in guest memory and the text they give.

Source: QEMU 7.2.
"""

import pytest

from outboard.guest.memory import Region
from outboard.spec.xive import EAS, END, NVT
from outboard.xive import pic
from outboard.xive.ram_tables import EAT, ENDT, NVTT
from tests.xive.ram_rig import OS, QUEUE, Rig

SAMPLE = """\
XIVE[0] #0 Source 00000000 .. 00003fff
  00000001 MSI P- 
  00000002 MSI PQ 
  00000003 MSI P- 
XIVE[0] #0 EAT 00000000 .. 00003fff
  00000001   end:00/0000 data:00000055
  00000008   end:00/0005 data:00000098
XIVE[0] #0 ENDT
  00000000 -Q vqn----- prio:6 nvt:00/0100 eq:@14000000     1/ 1024 ^1 [ 00000000 00000000 00000000 00000000 80000055 ^00000000 ]
  00000003 -- vqnbeu-f prio:7 nvt:00/0100 eq:@15000000     0/16384 ^1 [ 00000000 00000000 00000000 00000000 00000000 ^00000000 ]
  00000004 -Q v---e-s- prio:6 nvt:01/0101
XIVE[0] #0 END Escalation EAT
  00000003 -Q VM end:00/0002 data:00000abc
  00000004 P-    end:01/0007 data:00000123
XIVE[0] #0 NVTT 00000000 .. 0007ffff
  00000100 end:00/0000 IPB:00
  00000300 end:00/0000 IPB:81
"""  # noqa: E501, W291


@pytest.fixture
def rig():
    return Rig()


def table(rig, number, layout, last):
    """Return the entries of a table, up to the first that is not there."""
    addrs = (rig.router.entry(number, rig.router.block_id, idx) for idx in range(last))
    return [layout.unpack_from(rig.memory.read(addr, layout.sizeof)) for addr in addrs if addr]


def window(rig, idx):
    """Return what is shown of an END's queue."""
    return pic.queue_window(table(rig, ENDT, END, idx + 1)[idx], rig.memory, rig.events)


def test_a_controller(rig):
    rig.memory.add(Region(0x14000000, 1 << 40, memoryview(bytearray(0x1100000))))
    rig.router.set_table(EAT, 0x10_0000, 0x4000)
    rig.eas(1, 0x8000000000000055)
    rig.eas(2, 0x8000000080000056)
    rig.eas(3, 0x0000000000000057)
    rig.eas(8, 0x8000000500000098)
    rig.poke(0x20_0000 + 0x00, 0xE0000000, 0x40400001, 0, 0x14000000, 0, 0, 0x00000100, 0x00060000)
    rig.poke(0x20_0000 + 0x60, 0xF6048000, 0x10400000, 0, 0x15000000, 0x80000002, 0x80000ABC, 0x00000100, 0x00070000)
    rig.poke(0x20_0000 + 0x80, 0x85000000, 0x60000000, 0, 0, 0x01000007, 0x00000123, 0x00080101, 0x00060000)
    rig.nvt(0x100)
    rig.nvt(0x200, w0=0x7FFFFFFF, w4=0xFF00)
    rig.nvt(0x300, w4=0x8100)
    rig.memory.store(0x14000000, 4, 0x80000055)
    for source, pq in ((1, 2), (2, 3), (3, 2)):
        rig.source.set_pq(source, pq)
    tables = table(rig, EAT, EAS, 0x4001), table(rig, ENDT, END, 0x10), table(rig, NVTT, NVT, 0x80000)
    sources = pic.source_lines(0, rig.source.tables()["status"], [False] * 0x80)
    assert pic.bare_metal(0, 0, 0x4000, sources, *tables, rig.memory, rig.events) == SAMPLE
    assert rig.told() == []


def test_another_chip_and_block_are_named(rig):
    text = pic.bare_metal(0x1A, 7, 3, iter(()), [EAS(0)] * 3, [], [], rig.memory)
    assert text.splitlines() == [
        "XIVE[1a] #7 Source 70000000 .. 70000002",
        "XIVE[1a] #7 EAT 70000000 .. 70000002",
        "XIVE[1a] #7 ENDT",
        "XIVE[1a] #7 END Escalation EAT",
        "XIVE[1a] #7 NVTT 00000000 .. 0007ffff",
    ]


def test_no_sources_end_before_they_begin(rig):
    text = pic.bare_metal(0, 0, 0, iter(()), [], [], [], rig.memory)
    assert text.splitlines()[:2] == ["XIVE[0] #0 Source 00000000 .. ffffffff", "XIVE[0] #0 EAT 00000000 .. ffffffff"]


def test_the_heads_of_other_sources():
    assert pic.psi(0, 14) == "PSIHB Source 00000000 .. 0000000d"
    head = pic.phb(0, 2, 0x1000, 0x800, 0x6030203101000, triggers_by_address=True)
    assert head == "PHB4[0:2] Source 00001000 .. 000017ff ABT @6030203101000"
    head = pic.phb(1, 0, 0, 8, 0x10, triggers_by_address=False)
    assert head == "PHB4[1:0] Source 00000000 .. 00000007  @10"


# Contexts


def test_contexts(rig):
    rig.presenter.set_w2(0, OS, 0x80000400)
    rig.presenter.set_w2(1, OS, 0x80000401)
    rig.presenter.set_w2(1, 0x30, 0x82000001)
    rig.set_ring("80 ff 02 ff ff 00 ff 06")
    assert list(pic.contexts(rig.presenter.tables()["rings"], [0, 1])) == [
        "CPU[0000]:   QW   NSR CPPR IPB LSMFB ACK# INC AGE PIPR  W2",
        "CPU[0000]: USER    00   00  00    00   00  00  00   00  00000000",
        "CPU[0000]:   OS    80   ff  02    ff   ff  00  ff   06  80000400",
        "CPU[0000]: POOL    00   00  00    00   00  00  00   00  00000000",
        "CPU[0000]: PHYS    00   00  00    00   00  00  00   ff  00000000",
        "CPU[0001]:   QW   NSR CPPR IPB LSMFB ACK# INC AGE PIPR  W2",
        "CPU[0001]: USER    00   00  00    00   00  00  00   00  00000000",
        "CPU[0001]:   OS    00   00  00    ff   ff  00  ff   ff  80000401",
        "CPU[0001]: POOL    00   00  00    00   00  00  00   00  00000000",
        "CPU[0001]: PHYS    00   00  00    00   00  00  00   ff  82000001",
    ]


def test_every_register_has_its_column(rig):
    rings = memoryview(bytes(range(0x10, 0x50)) + bytes(64 * 0x1AB))
    assert list(pic.contexts(rings, [0]))[1:3] == [
        "CPU[0000]: USER    10   11  12    13   14  15  16   17  18191a1b",
        "CPU[0000]:   OS    20   21  22    23   24  25  26   27  28292a2b",
    ]
    assert next(pic.contexts(rings, [0x1AB])).startswith("CPU[01ab]:   QW ")


# Sources


@pytest.mark.parametrize(
    ("status", "lsi", "text"),
    [
        (0, False, "MSI -- "),
        (1, False, "MSI -Q "),
        (2, False, "MSI P- "),
        (3, True, "LSI PQ "),
        (6, True, "LSI P-A"),
        (7, True, "LSI PQA"),
        (4, True, "LSI --A"),
    ],
)
def test_source_bits(status, lsi, text):
    assert pic.source_bits(status, lsi) == text


def test_sources_that_are_off_are_left_out():
    lines = pic.source_lines(0x100, memoryview(bytes([0, 1, 2, 5, 6])), [False, True, True, True, True])
    assert list(lines) == ["  00000100 MSI -- ", "  00000102 LSI P- ", "  00000104 LSI P-A"]


# Queues


@pytest.mark.parametrize(
    ("events", "line"),
    [
        (0, "[ 00000000 00000000 00000000 00000000 00000000 ^00000000 ]"),
        (2, "[ 00000000 00000000 00000000 80000010 80000010 ^00000000 ]"),
        (1024, "[ 80000010 80000010 80000010 80000010 80000010 ^80000010 ]"),
        (1025, "[ 80000010 80000010 80000010 80000010 00000010 ^80000010 ]"),
    ],
)
def test_the_caret_marks_the_entry_to_be_written_next(rig, events, line):
    rig.end(0, "vqn")
    for _ in range(events):
        rig.router.end_notify(0, 0, 0x10)
    assert window(rig, 0) == f" {line}"


@pytest.mark.parametrize(
    ("queue", "w1", "text", "addr"),
    [
        (0x4000000, 0x00400000, " [ ", 0x4000FEC),
        (0x3FFFFF8, 0x00400005, " [ 00000000 00000000 ", 0x4000000),
        (0x3FFFFEC, 0x00400005, " [ 00000000 00000000 00000000 00000000 00000000 ", 0x4000000),
    ],
)
def test_a_queue_that_cannot_be_read_is_told(rig, queue, w1, text, addr):
    rig.end(0, "vqn", queue=queue, w1=w1)
    assert window(rig, 0) == text
    assert rig.told() == [f"XIVE: failed to read EQ @0x{addr:x}"]
    assert next(pic.end_lines(table(rig, ENDT, END, 1), rig.memory, rig.events)).endswith(text)
    assert rig.told() == [f"XIVE: failed to read EQ @0x{addr:x}"]


@pytest.mark.parametrize(
    ("qsize", "w1", "place"),
    [
        (0, 0x004000A3, "   163/ 1024 ^1"),
        (4, 0x000000A3, "   163/16384 ^0"),
        (9, 0x0001869F, " 99999/524288 ^0"),
        (9, 0x000186A0, " 100000/524288 ^0"),
        (12, 0x003FFFFF, " 4194303/4194304 ^0"),
    ],
)
def test_the_place_in_a_queue(rig, qsize, w1, place):
    rig.end(0, "vqn", qsize=qsize, w1=w1)
    line = next(pic.end_lines(table(rig, ENDT, END, 1), rig.memory))
    assert line.startswith(f"  00000000 -- vqn----- prio:6 nvt:00/0010 eq:@{QUEUE:08x}{place} [ ")


def test_an_end_that_escalates_is_listed_even_if_not_valid(rig):
    rig.end(0, "e", to=(15, 0xABCDEF, 0x7FFFFFFF), w1=0xF0000000)
    rig.end(1, "v", to=(1, 2, 3))
    ends = table(rig, ENDT, END, 2)
    assert list(pic.escalation_lines(ends)) == ["  00000000 PQ    end:0f/abcdef data:7fffffff"]
    assert [line[:20] for line in pic.end_lines(ends, rig.memory)] == ["  00000001 -- v-----"]
