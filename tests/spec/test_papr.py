"""Every hypercall, return code and number of the pseries machine, against the hand-typed tables."""

from outboard.spec import papr
from tests.spec import declared
from tests.vectors import papr as table


def test_nothing_is_declared_that_the_tables_lack():
    ranges = {name for name, *_ in table.LISNS}
    assert set(declared.public(papr)) == {
        *(*table.ENUMS, *table.NUMBERS, *ranges),
        *("Hcall", "LisnRange", "LISN_SPACE", "XIVE_HCALLS"),
        *("XICS_HCALLS", "RTAS_HCALL", "RtasCall", "XICS_RTAS_CALLS", "TCE_HCALLS", "CPU_HCALLS"),
        *("EVENT_RTAS_CALLS", "CPU_RTAS_CALLS", "PCI_RTAS_CALLS"),
    }


def test_names_have_the_document_s_numbers():
    assert declared.enums(papr) == table.ENUMS
    assert declared.numbers(papr) == table.NUMBERS


def test_hypercalls_are_the_document_s():
    rows = papr.XIVE_HCALLS
    assert [(row.opcode, row.name, len(row.arguments), len(row.results), row.flags) for row in rows] == table.HCALLS
    assert all(row.arguments[0] == "flags" for row in rows)


def test_hypercalls_of_dma_are_the_document_s():
    rows = [(row.opcode, row.name, len(row.arguments), len(row.results)) for row in papr.TCE_HCALLS]
    assert rows == table.TCE_HCALLS


def test_hypercalls_of_cpus_are_the_document_s():
    rows = [(row.opcode, row.name, len(row.arguments), len(row.results)) for row in papr.CPU_HCALLS]
    assert rows == table.CPU_HCALLS


def test_interrupt_numbers_are_the_document_s():
    ranges = [(name, *getattr(papr, name)[:2], getattr(papr, name).lsi) for name, *_ in table.LISNS]
    assert ranges == table.LISNS
    assert [(row.first, row.last, row.lsi) for row in papr.LISN_SPACE] == [row[1:] for row in table.LISNS]
    assert all(row.use for row in papr.LISN_SPACE)


def test_rtas_calls_are_qemu_s():
    rows = (*papr.EVENT_RTAS_CALLS, *papr.CPU_RTAS_CALLS, *papr.PCI_RTAS_CALLS)
    assert [(row.token, row.name, len(row.arguments), len(row.results)) for row in rows] == table.RTAS_CALLS
