"""Every structure, register and number of the XIVE, against the hand-typed tables."""

import pytest

from outboard.layout import Words
from outboard.spec import xive
from tests.spec import declared
from tests.vectors import xive_layouts as table

STRUCTURES = pytest.mark.parametrize("name", table.WORDS)
REST = {
    *("ACCESS", "EOI", "ESB_LOADS", "ESB_SHIFTS", "ESB_STORES", "EQ_SIZES", "EXCEPTION", "EsbRange", "POOL_MORE"),
    *("RAW_SIZES", "TCTX_RESET", "TIMA_OPS", "TIMA_PULL_PHYS", "TRIGGER", "TWO_PAGES", "TimaOp", "TimaOpRow"),
    *("ipb_bit", "pipr_of"),
}
"""What is neither a structure nor a number nor an enumeration of the tables; each has a test of its own here."""


def test_nothing_is_declared_that_the_tables_lack():
    assert set(declared.public(xive)) == {*table.WORDS, *table.XIVE_ENUMS, *table.XIVE_NUMBERS} | REST
    assert set(declared.of_class(xive, Words)) == set(table.WORDS) == set(table.SIZES)


@STRUCTURES
def test_every_field_has_the_document_s_word_mask_and_shift(name):
    structure = getattr(xive, name)
    width, count, fields = table.WORDS[name]
    assert (structure.width, structure.count, structure.sizeof) == (width, count, table.SIZES[name])
    assert {row.name: (row.word, row.mask, row.shift) for row in structure.rows()} == fields


@STRUCTURES
def test_every_field_is_found_in_bytes(name):
    structure = getattr(xive, name)
    width, count, fields = table.WORDS[name]
    for field, (word, mask, shift) in fields.items():
        words = [0] * count
        words[word] = mask
        octets = b"".join(one.to_bytes(width // 8, "big") for one in words)
        assert structure.make(**{field: mask >> shift}).pack() == octets
        assert getattr(structure.unpack_from(octets), field) == mask >> shift


def test_names_have_the_document_s_numbers():
    enums = declared.enums(xive)
    del enums["TimaOp"]  # ours; the document's are offsets
    assert enums == table.XIVE_ENUMS


def test_numbers_are_the_document_s():
    assert declared.numbers(xive) == table.XIVE_NUMBERS


def test_transitions_are_the_document_s():
    assert (xive.TRIGGER, xive.EOI) == (table.TRIGGER, table.EOI)


def test_page_settings_are_the_document_s():
    assert (set(xive.ESB_SHIFTS), xive.TWO_PAGES) == ({12, 13, 16, 17}, {13, 17})


@pytest.mark.parametrize(("rows", "ranges"), [(xive.ESB_LOADS, table.ESB_LOADS), (xive.ESB_STORES, table.ESB_STORES)])
def test_offsets_of_esb_pages_are_the_document_s_and_leave_none_out(rows, ranges):
    assert [(row.first, row.last) for row in rows] == ranges
    assert [row.first for row in rows] == [0, *(row.last + 1 for row in rows[:-1])]
    assert rows[-1].last == 0xFFF


def test_queues_have_the_document_s_sizes():
    assert xive.EQ_SIZES == (12, 16, 21, 24)


def test_contexts_start_as_the_document_says():
    for ring, octets in table.RESET_RINGS.items():
        fresh = bytearray(16)
        for register, value in xive.TCTX_RESET.get(xive.Ring(ring), {}).items():
            fresh[register] = value
        assert fresh == bytes.fromhex(octets)


def test_exceptions_are_the_document_s():
    assert xive.EXCEPTION == {0x10: (0x80, 0x80), 0x30: (0x80, 0xC0)}


@pytest.mark.parametrize(("letters", "masks"), [("w", table.TIMA_STORE_MASKS), ("rw", table.TIMA_LOAD_MASKS)])
def test_access_maps_are_the_document_s(letters, masks):
    assert xive.RAW_SIZES == (4, 8)
    assert set(xive.ACCESS) == set(masks)
    for view, rings in xive.ACCESS.items():
        allowed = "".join(rings[ring] for ring in sorted(rings))
        assert bytes(0xFF if letter in letters else 0 for letter in allowed) == bytes.fromhex(masks[view])
        assert set(allowed) <= set("rw-")


def test_special_operations_are_the_document_s_in_its_order():
    every = (*xive.TIMA_OPS, xive.TIMA_PULL_PHYS)
    rows = [(row.op.name, row.view, row.offset, row.sizes, "store" if row.store else "load") for row in every]
    assert rows == [*table.TIMA_OPS, table.TIMA_OP_OF_10]
    assert {row.op for row in every} == set(xive.TimaOp) - {xive.TimaOp.NONE}


def test_bytes_of_pool_that_10_has_besides():
    assert xive.POOL_MORE == (5, 6)


def test_what_a_row_does_is_said():
    assert all(row.does for row in (*xive.TIMA_OPS, xive.TIMA_PULL_PHYS, *xive.ESB_LOADS, *xive.ESB_STORES))


def test_priorities_have_their_bits():
    assert {priority: xive.ipb_bit(priority) for priority in table.IPB_BITS} == table.IPB_BITS
    assert {ipb: xive.pipr_of(ipb) for ipb in table.PIPRS} == table.PIPRS
    assert [xive.pipr_of(ipb) for ipb in range(1, 256)] == [f"{ipb:08b}".index("1") for ipb in range(1, 256)]
