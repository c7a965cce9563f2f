"""Every option bit, processor level and number of the negotiation, against the hand-typed tables."""

from outboard.spec import client_architecture as spec
from tests.spec import declared
from tests.vectors import client_architecture as table


def test_nothing_is_declared_that_the_tables_lack():
    assert set(declared.public(spec)) == {
        *(name for name, *_ in table.OPTION_BITS),
        *table.NUMBERS,
        *("OptionBit", "Level", "LEVELS", "CpuModel", "CPU_MODELS", "PLATFORM_SUPPORT_BYTES"),
    }


def test_numbers_are_the_document_s():
    assert declared.numbers(spec) == table.NUMBERS
    assert [tuple(row) for row in spec.LEVELS] == table.LEVELS
    assert [tuple(row) for row in spec.CPU_MODELS] == table.CPU_MODELS
    assert spec.PLATFORM_SUPPORT_BYTES == (23, 24, 25, 26)


def test_option_bits_are_the_document_s():
    bits = [(name, getattr(spec, name)) for name, *_ in table.OPTION_BITS]
    assert [(name, bit.byte, bit.mask) for name, bit in bits] == table.OPTION_BITS
    assert all(bit.says for _, bit in bits)
