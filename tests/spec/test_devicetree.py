"""Every structure and number of the flattened device tree, against the hand-typed tables."""

from outboard.spec import devicetree
from tests.spec import declared
from tests.vectors import devicetree as table


def test_nothing_is_declared_that_the_tables_lack():
    assert set(declared.public(devicetree)) == {*table.ENUMS, *table.NUMBERS, *table.LAYOUTS}


def test_numbers_are_the_document_s():
    assert declared.enums(devicetree) == table.ENUMS
    assert declared.numbers(devicetree) == table.NUMBERS


def test_structures_are_the_document_s():
    for name, (size, rows) in table.LAYOUTS.items():
        layout = getattr(devicetree, name)
        assert (layout.sizeof, [row[:3] for row in layout.rows()]) == (size, rows)
        assert layout.byte_order == ">"
