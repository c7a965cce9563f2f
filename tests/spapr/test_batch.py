"""A batch does what its operations do one by one; a wrong one is refused before anything is done."""

import random
from array import array

import numpy
import pytest

from outboard.errors import LocalError
from outboard.spapr import SpaprXive
from outboard.spapr.batch import REGISTERS, Batch, Op
from tests.spapr.machine import CLAIMS
from tests.spapr.operations import HOSTILE, Draws, operations

ONES = (1 << 64) - 1
CLAIMED = {lisn for lisn, _ in CLAIMS}


def machine():
    """Two CPUs of three."""
    return SpaprXive(2, max_cpus=3, vsmt=8, sources=CLAIMS)


def doable(seed, count):
    """Yield operations that a batch can have, as (kind, cpu, size, address, value, registers)."""
    for name, *words in operations(Draws(random.Random(seed), 2, 8), count, HOSTILE):
        if name == "load":
            yield Op.LOAD, words[0], words[2], words[1], 0, None
        elif name == "store":
            yield Op.STORE, words[0], words[2], words[1], words[3], None
        elif name == "irq":
            yield Op.IRQ, words[0], 0, 0, 0, None
        elif name == "set_irq" and words[0] in CLAIMED:
            yield Op.SET_IRQ, 0, 0, words[0], words[1] << 40, None
        elif name == "hcall":
            yield Op.HCALL, words[0], 0, words[1], 0, (words[2:] + [0] * REGISTERS)[:REGISTERS]


def alone(xive, kind, cpu, size, addr, value, registers):
    """Do one operation by its call; return the answer and the registers."""
    thread = xive.cpu(cpu)
    if kind == Op.LOAD:
        return thread.load(addr, size), None
    if kind == Op.STORE:
        return thread.store(addr, size, value) or 0, None
    if kind == Op.IRQ:
        return int(thread.irq()), None
    if kind == Op.SET_IRQ:
        return xive.set_irq(addr, value) or 0, None
    status, *results = thread.hcall(addr, *registers)
    return status & ONES, results + registers[len(results) :]


def columns(rows):
    """Return the columns of a batch of `rows`."""
    calls = [row[5] for row in rows if row[5]]
    at = iter(range(len(calls)))
    values = [next(at) if row[5] else row[4] for row in rows]
    return (
        bytearray(row[0] for row in rows),
        array("H", [row[1] for row in rows]),
        bytearray(row[2] for row in rows),
        array("Q", [row[3] for row in rows]),
        array("Q", values),
        array("Q", [word for call in calls for word in call]) if calls else None,
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_answers_as_its_operations_do(seed):
    one, other, told = machine(), machine(), ([], [])
    for xive, lines in zip((one, other), told, strict=True):
        xive.events.listen(lambda *event, lines=lines: lines.append(event))
    rows = list(doable(seed, 600))
    assert {row[0] for row in rows} == set(Op)
    parts = columns(rows)
    answers = list(Batch(*parts).run(one))
    singly = [alone(other, *row) for row in rows]
    assert answers == [answer for answer, _ in singly]
    assert list(parts[5]) == [word for _, registers in singly if registers for word in registers]
    assert one.snapshot() == other.snapshot()
    assert told[0] == told[1]


def test_a_batch_can_be_run_again_and_cut_anywhere():
    rows = list(doable(99, 200))
    one, other = machine(), machine()
    whole = Batch(*columns(rows))
    answers = list(whole.run(one))
    pieces = [Batch(*columns(rows[at : at + 7])) for at in range(0, len(rows), 7)]
    assert [answer for piece in pieces for answer in piece.run(other)] == answers
    assert one.snapshot() == other.snapshot()
    loads = Batch(bytes(3), array("H", [0] * 3), b"\x08" * 3, array("Q", [0, 8, 16]), array("Q", [0] * 3))
    before = one.snapshot()
    assert list(loads.run(one)) == list(loads.run(one)) == [0, 0, 0]
    assert one.snapshot() == before


def test_numpy_s_arrays_are_columns_too():
    rows = list(doable(5, 100))
    ops, cpus, sizes, addrs, values, registers = columns(rows)
    kinds = ("u1", "u2", "u1", "u8", "u8", "u8")
    there = [numpy.array(column, dtype=kind) for column, kind in zip(columns(rows), kinds, strict=True)]
    one, other = machine(), machine()
    assert list(Batch(*there).run(one)) == list(Batch(ops, cpus, sizes, addrs, values, registers).run(other))
    assert list(there[5]) == list(registers)
    assert one.snapshot() == other.snapshot()


def test_nothing_is_a_batch():
    xive = machine()
    before = xive.snapshot()
    assert list(Batch(b"", array("H"), b"", array("Q"), array("Q")).run(xive)) == []
    assert xive.snapshot() == before


GOOD = [(Op.STORE, 0, 8, 0x100000, 7, None), (Op.SET_IRQ, 0, 0, 0x1300, 1, None)]
WRONG = [
    ((5, 0, 0, 0, 0, None), "no kind 5"),
    ((255, 0, 8, 0, 0, None), "no kind 255"),
    ((Op.LOAD, 2, 8, 0, 0, None), "CPU 2 is not plugged"),
    ((Op.LOAD, 3, 8, 0, 0, None), "CPU 3 is not plugged"),
    ((Op.IRQ, 0xFFFF, 0, 0, 0, None), "CPU 65535 is not plugged"),
    ((Op.SET_IRQ, 2, 0, 0x1300, 1, None), "CPU 2 is not plugged"),
    *[((op, 0, size, 0, 0, None), "1, 2, 4 or 8") for op in (Op.LOAD, Op.STORE) for size in (0, 3, 5, 7, 9, 16, 255)],
    *[((Op.STORE, 0, size, 0, 1 << 8 * size, None), f"does not fit {size} bytes") for size in (1, 2, 4)],
    ((Op.STORE, 0, 1, 0, ONES, None), "does not fit 1 bytes"),
    ((Op.SET_IRQ, 0, 0, 0x1302, 1, None), "LISN 0x1302 is not claimed"),
    ((Op.SET_IRQ, 0, 0, 0x2000, 1, None), "LISN 0x2000 does not exist"),
    ((Op.SET_IRQ, 0, 0, 1 << 32, 1, None), "LISN 0x100000000 does not exist"),
    ((Op.SET_IRQ, 0, 0, ONES, 0, None), "does not exist"),
    ((Op.HCALL, 0, 0, 0x3A8, 0, None), "row 0 of registers; there are 0"),
    ((Op.HCALL, 0, 0, 0x3A8, ONES, None), "of registers; there are 0"),
]


@pytest.mark.parametrize(("row", "says"), WRONG)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_wrong_operation_anywhere_stops_all(row, says, place):
    xive = machine()
    before, told = xive.snapshot(), []
    xive.events.listen(lambda *event: told.append(event))
    rows = [*GOOD[:place], row, *GOOD[place:]]
    with pytest.raises(LocalError, match=says) as caught:
        Batch(*columns(rows)).run(xive)
    assert xive.snapshot() == before
    assert not told
    if "exist" not in says:
        assert f"operation {place}: " in str(caught.value)


def test_a_row_beyond_the_registers_is_refused():
    xive, registers = machine(), array("Q", [0] * 2 * REGISTERS)
    before = xive.snapshot()
    for row in (2, 3, ONES):
        batch = Batch(b"\4", array("H", [0]), b"\0", array("Q", [0x3D0]), array("Q", [row]), registers)
        with pytest.raises(LocalError, match="there are 2"):
            batch.run(xive)
    assert xive.snapshot() == before


H, Q = array("H", [0]), array("Q", [0])
WIDE = array("I", [0])
SHAPES = [
    ((b"\0", H, b"\0", Q, array("Q", [0, 0])), "has 2 values"),
    ((b"\0", array("H"), b"\0", Q, Q), "has 0 cpus"),
    ((b"", H, b"", Q, Q), "has 1 cpus"),
    ((b"\0", H, b"\0\0", Q, Q), "has 2 sizes"),
    ((b"\0", H, b"\0", array("Q"), Q), "has 0 addrs"),
    ((b"\0", H, b"\0", Q, Q, array("Q", [0] * 8)), "rows of 9, got 8"),
    (([0], H, b"\0", Q, Q), "ops of a batch are a buffer, not list"),
    ((None, H, b"\0", Q, Q), "not NoneType"),
    ((WIDE, H, b"\0", Q, Q), "ops of a batch are unsigned numbers of 8 bits"),
    ((b"\0", WIDE, b"\0", Q, Q), "16 bits"),
    ((b"\0", b"\0", b"\0", Q, Q), "16 bits"),
    ((b"\0", array("h", [0]), b"\0", Q, Q), "16 bits"),
    ((b"\0", H, WIDE, Q, Q), "8 bits"),
    ((b"\0", H, b"\0", array("q", [0]), Q), "64 bits"),
    ((b"\0", H, b"\0", Q, array("d", [0])), "64 bits"),
    ((b"\0", H, b"\0", numpy.zeros((1, 1), "u8"), Q), "64 bits"),
    ((b"\0" * 2, array("H", [0, 0]), b"\0" * 2, numpy.zeros(4, "u8")[::2], array("Q", [0, 0])), "in a row"),
    ((b"\0", H, b"\0", Q, Q, bytes(72)), "registers of a batch are unsigned numbers of 64 bits"),
    ((b"\0", H, b"\0", Q, Q, memoryview(bytes(72)).cast("Q")), "registers of a batch are written to"),
]


@pytest.mark.parametrize(("parts", "says"), SHAPES)
def test_columns_that_are_none_are_refused(parts, says):
    with pytest.raises(LocalError, match=says):
        Batch(*parts)


def test_a_cpu_that_left_is_refused_by_a_batch_that_ran_before():
    xive = machine()
    batch = Batch(b"\0", array("H", [1]), b"\x08", array("Q", [0]), array("Q", [0]))
    assert list(batch.run(xive)) == [0]
    xive.unplug(1)
    with pytest.raises(LocalError, match="CPU 1 is not plugged"):
        batch.run(xive)
    xive.plug(1)
    assert list(batch.run(xive)) == [0]
