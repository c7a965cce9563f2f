"""RTAS: cells in guest memory, the calls of XICS, what is refused and in which order."""

import struct

import pytest

from outboard.spapr import rtas
from tests.xics.rig import CELLS, FREE, LSI, MSI, Machine

pytestmark = pytest.mark.alike

SET_XIVE, GET_XIVE, INT_OFF, INT_ON = CALLS = (0x200A, 0x200B, 0x200C, 0x200D)
UNTOUCHED = 0xEEEEEEEE
PARAMETER, HARDWARE = 0xFFFFFFFD, 0xFFFFFFFF
HANDLERS = {SET_XIVE: "set_xive", GET_XIVE: "get_xive", INT_OFF: "int_off", INT_ON: "int_on"}


def test_a_route_is_set_and_shown():
    machine = Machine((0, 8))
    assert machine.rtas(GET_XIVE, MSI, nret=3) == (0, 0, 0xFF, UNTOUCHED)
    assert machine.rtas(SET_XIVE, MSI, 8, 5) == (0, UNTOUCHED)
    assert machine.rtas(GET_XIVE, MSI, nret=3) == (0, 8, 5, UNTOUCHED)
    assert machine.ics(MSI) == (8, 5, 5, 0, 2)


def test_a_source_is_masked_and_gets_its_priority_back():
    machine = Machine()
    machine.put_ics(MSI, server=1, priority=5, saved=7)
    assert machine.rtas(INT_OFF, MSI) == (0, UNTOUCHED)
    assert machine.ics(MSI)[:3] == (1, 0xFF, 5)
    assert machine.rtas(INT_ON, MSI) == (0, UNTOUCHED)
    assert machine.ics(MSI)[:3] == (1, 5, 5)


def test_masked_twice_the_priority_is_lost():
    machine = Machine()
    machine.put_ics(MSI)
    machine.rtas(INT_OFF, MSI)
    machine.rtas(INT_OFF, MSI)
    machine.rtas(INT_ON, MSI)
    assert machine.ics(MSI)[:3] == (0, 0xFF, 0xFF)


def test_what_came_while_it_was_masked_comes_then():
    machine = Machine()
    machine.put_icp(0xFF000000)
    for number in (MSI, LSI):
        machine.put_ics(number)
        machine.rtas(INT_OFF, number)
        machine.xics.set_irq(number, 1)
        assert machine.icp()[0] == 0xFF000000
        machine.rtas(INT_ON, number)
        assert machine.icp()[0] == 0xFF000000 | number
        machine.hcall(0x74)
        machine.hcall(0x68, 0xFF)


@pytest.mark.parametrize("number", [0, 2, 0xFFF, 0x2000, 0x80001300, 0xFFFFFFFF])
def test_a_number_that_there_is_not(number):
    machine = Machine()
    before = machine.xics.snapshot()
    assert machine.rtas(SET_XIVE, number, 0, 5) == (PARAMETER, UNTOUCHED)
    assert machine.rtas(GET_XIVE, number, nret=3) == (PARAMETER, UNTOUCHED, UNTOUCHED, UNTOUCHED)
    assert machine.rtas(INT_OFF, number) == machine.rtas(INT_ON, number) == (PARAMETER, UNTOUCHED)
    assert machine.xics.snapshot() == before and machine.told == []


@pytest.mark.parametrize("number", [0x1000, FREE, 0x1FFF])
def test_numbers_need_not_be_allocated(number):
    machine = Machine()
    assert machine.rtas(SET_XIVE, number, 1, 0) == (0, UNTOUCHED)
    assert machine.rtas(INT_OFF, number) == (0, UNTOUCHED)
    assert machine.rtas(GET_XIVE, number, nret=3) == (0, 1, 0xFF, UNTOUCHED)
    assert machine.rtas(INT_ON, number) == (0, UNTOUCHED)
    assert machine.ics(number)[:3] == (1, 0, 0)


@pytest.mark.parametrize("priority", [0, 7, 8, 0xFE, 0xFF])
def test_all_priorities_of_8_bits(priority):
    machine = Machine()
    assert machine.rtas(SET_XIVE, MSI, 1, priority) == (0, UNTOUCHED)
    assert machine.ics(MSI)[:3] == (1, priority, priority)


@pytest.mark.parametrize(("server", "priority"), [(2, 5), (0xFFFFFFFF, 5), (0, 0x100), (0, 0xFFFFFFFF), (1, 0x105)])
def test_routes_that_cannot_be(server, priority):
    machine = Machine()
    before = machine.xics.snapshot()
    assert machine.rtas(SET_XIVE, MSI, server, priority) == (PARAMETER, UNTOUCHED)
    assert machine.xics.snapshot() == before


def test_a_server_whose_cpu_is_not_there():
    machine = Machine((0, 1), cpus=1)
    assert machine.rtas(SET_XIVE, MSI, 1, 5) == (PARAMETER, UNTOUCHED)
    machine.xics.plug(1)
    assert machine.rtas(SET_XIVE, MSI, 1, 5) == (0, UNTOUCHED)


@pytest.mark.parametrize("nargs", range(5))
@pytest.mark.parametrize("nret", range(5))
@pytest.mark.parametrize(
    ("token", "wants"), [(SET_XIVE, (3, 1)), (GET_XIVE, (1, 3)), (INT_OFF, (1, 1)), (INT_ON, (1, 1))]
)
def test_numbers_of_cells(token, wants, nargs, nret):
    machine = Machine()
    before = machine.xics.snapshot()
    cells = machine.rtas(token, MSI, 0, 5, nargs=nargs, nret=nret)
    if (nargs, nret) == wants:
        assert cells[0] == 0
    else:
        assert cells[0] == PARAMETER, "stored even where there is no room for it"
        assert machine.xics.snapshot() == before


@pytest.mark.parametrize("token", CALLS)
@pytest.mark.parametrize("nargs", [0, 1, 3, 9])
def test_refused_when_xive_was_negotiated(token, nargs):
    machine = Machine()
    machine.xive_negotiated = True
    before = machine.xics.snapshot()
    assert machine.rtas(token, *[0] * nargs, nret=2) == (HARDWARE, *(UNTOUCHED,) * 2)
    assert machine.xics.snapshot() == before
    assert machine.told == [f"pseries: rtas_{HANDLERS[token]} must only be called for emulated XICS"]


def raw(machine, *cells, at=CELLS, call=None):
    """Make a call; return R3 and the memory from `at` on."""
    machine.memory.write(CELLS, struct.pack(f">{len(cells)}I", *cells).ljust(64, b"\xee"))
    answer = rtas.call(machine, 0, at if call is None else call)
    return answer, struct.unpack(">16I", machine.memory.read(CELLS, 64))


@pytest.mark.parametrize("token", [0, 0xA, 0x1FFF, 0x2009, 0x200E, 0x2100, 0xFFFFFFFF])
def test_a_token_that_there_is_not(token):
    machine = Machine()
    answer, cells = raw(machine, token, 2, 1, 7, 8)
    assert (answer, cells[3:8]) == ((-4,), (7, 8, PARAMETER, UNTOUCHED, UNTOUCHED))
    assert machine.told == [f"spapr_rtas_call: Unknown RTAS token 0x{token:x}"]


@pytest.mark.parametrize("token", CALLS)
@pytest.mark.parametrize("negotiated", [False, True])
def test_a_machine_without_xics_has_no_such_tokens(token, negotiated):
    machine = Machine()
    machine.xics, machine.xive_negotiated = None, negotiated
    answer, cells = raw(machine, token, 1, 1, MSI)
    assert (answer, cells[4]) == ((-4,), PARAMETER)
    assert machine.told == [f"spapr_rtas_call: Unknown RTAS token 0x{token:x}"]


def test_nargs_is_counted_in_32_bits():
    machine = Machine()
    answer, cells = raw(machine, GET_XIVE, 0x40000001, 3, MSI)
    assert (answer, cells[:6]) == ((0,), (GET_XIVE, 0x40000001, 3, MSI, PARAMETER, UNTOUCHED))


@pytest.mark.parametrize("high", [0x8, 0xF])
def test_the_first_bits_of_the_address_do_not_count(high):
    machine = Machine()
    answer, cells = raw(machine, GET_XIVE, 1, 3, MSI, call=CELLS | high << 60)
    assert (answer, cells[4:8]) == ((0,), (0, 0, 0xFF, UNTOUCHED))


def test_cells_where_no_memory_is():
    machine = Machine()
    answer, _ = raw(machine, call=0x0FFF_0000_0000_0000)
    assert answer == (-4,)
    assert machine.told == [
        "Invalid read at addr 0xFFF000000000000, size 4, region '(null)', reason: rejected",
        "Invalid read at addr 0xFFF000000000004, size 4, region '(null)', reason: rejected",
        "Invalid read at addr 0xFFF000000000008, size 4, region '(null)', reason: rejected",
        "spapr_rtas_call: Unknown RTAS token 0x0",
        "Invalid write at addr 0xFFF00000000000C, size 4, region '(null)', reason: rejected",
    ]


def test_results_where_no_memory_is():
    machine = Machine()
    machine.memory.write(0x10000 - 16, struct.pack(">4I", GET_XIVE, 1, 3, MSI))
    assert rtas.call(machine, 0, 0x10000 - 16) == (0,)
    assert [line.split(",")[0] for line in machine.told] == [
        f"Invalid write at addr 0x{0x10000 + at:X}" for at in (0, 4, 8)
    ]


@pytest.mark.parametrize("addr", [0, 1, 0xFFFD, 0xFFFF, (1 << 60) - 1, (1 << 60) - 4, (1 << 64) - 1, (1 << 64) - 8])
@pytest.mark.parametrize("nargs", [0, 1, 0x3FFFFFFF, 0xFFFFFFFF])
def test_no_address_and_no_number_does_harm(addr, nargs):
    machine = Machine()
    before = machine.xics.snapshot()
    machine.memory.write(0, struct.pack(">3I", GET_XIVE, nargs, 3))
    assert rtas.call(machine, 0, addr) in ((0,), (-4,))
    assert machine.xics.snapshot() == before


def test_the_hypercall():
    machine = Machine()
    machine.memory.write(CELLS, struct.pack(">6I", SET_XIVE, 3, 1, MSI, 1, 5))
    assert rtas.dispatch(machine, 1, True, 0xF000, (CELLS,)) == (-3,)
    assert machine.ics(MSI)[:2] == (0, 0xFF)
    assert rtas.dispatch(machine, 1, False, 0xF000, (CELLS, 9, 9)) == (0,)
    assert machine.ics(MSI)[:2] == (1, 5)
    assert rtas.dispatch(machine, 1, False, 0xF000, ()) == (-4,), "the cells at 0"


def test_more_calls_join_by_a_table():
    machine, asked = Machine(), []

    def echo(machine, cpu, request):
        asked.append((cpu, request.token, request.nargs, request.nret, request.arguments.load(1)))
        return 0, request.arguments.load(0) + 1, -1

    machine.memory.write(CELLS, struct.pack(">5I", 0x2042, 2, 3, 0xFFFFFFFF, 77))
    calls = rtas.XICS_CALLS | {0x2042: echo}
    assert rtas.call(machine, 3, CELLS, calls) == (0,)
    assert asked == [(3, 0x2042, 2, 3, 77)]
    assert struct.unpack(">3I", machine.memory.read(CELLS + 20, 12)) == (0, 0, 0xFFFFFFFF)
    assert rtas.call(machine, 3, CELLS) == (-4,)
    machine.xics = None
    assert rtas.call(machine, 3, CELLS, calls) == (0,)
