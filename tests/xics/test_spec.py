"""Numbers, names and fields of XICS, typed by hand from the documents and from what QEMU 7.2 answers."""

import pytest

from outboard.spec import papr, xics
from tests.spec import declared

pytestmark = pytest.mark.alike

ENUMS = {
    "IcsStatus": {"ASSERTED": 1, "SENT": 2, "REJECTED": 4, "MASKED_PENDING": 8},
    "IcsFlag": {"LSI": 1, "MSI": 2},
}
NUMBERS = {"IPI": 2, "MASKED": 0xFF, "SOURCE_LAST": 0xFFFFFF}
HCALLS = [
    (0x64, "H_EOI", "xirr", ""),
    (0x68, "H_CPPR", "cppr", ""),
    (0x6C, "H_IPI", "server mfrr", ""),
    (0x70, "H_IPOLL", "server", "xirr mfrr"),
    (0x74, "H_XIRR", "", "xirr"),
    (0x2FC, "H_XIRR_X", "", "xirr timebase"),
]
RTAS = [
    (0x200A, "ibm,set-xive", "number server priority", "status"),
    (0x200B, "ibm,get-xive", "number", "status server priority"),
    (0x200C, "ibm,int-off", "number", "status"),
    (0x200D, "ibm,int-on", "number", "status"),
]


def rows(table):
    return [(row[0], row.name, " ".join(row.arguments), " ".join(row.results)) for row in table]


def test_names_have_the_document_s_numbers():
    assert declared.enums(xics) == ENUMS
    assert declared.numbers(xics) == NUMBERS
    assert set(declared.public(xics)) == {*ENUMS, *NUMBERS, "Xirr"}


def test_xirr():
    assert {row.name: (row.mask, row.shift) for row in xics.Xirr.rows()} == {
        "cppr": (0xFF000000, 24),
        "xisr": (0x00FFFFFF, 0),
    }
    assert xics.Xirr.make(cppr=5, xisr=0x1300).pack() == b"\5\0\x13\0"


def test_calls_of_papr():
    assert rows(papr.XICS_HCALLS) == HCALLS
    assert all(row.flags == 0 for row in papr.XICS_HCALLS)
    assert rows(papr.XICS_RTAS_CALLS) == RTAS
    assert rows([papr.RTAS_HCALL]) == [(0xF000, "H_RTAS", "cells", "")]
    status = declared.enums(papr)["RtasStatus"]
    assert (status["SUCCESS"], status["HARDWARE_ERROR"], status["PARAMETER_ERROR"]) == (0, -1, -3)


def test_numbers_of_sources():
    assert (papr.XICS_FIRST, papr.XICS_COUNT) == (0x1000, 0x1000)
