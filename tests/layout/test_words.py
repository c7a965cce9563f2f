"""The declaration of words of bit fields: masks, refusals, values, bytes."""

import pytest

from outboard.layout import Bits, Words, lsb0, ppc


class Event(Words, width=64):
    """One word, counted from the most significant bit."""

    valid = ppc(0)
    block = ppc(4, 7)
    index = ppc(8, 31, says="a remark")
    data = ppc(33, 63)


class Status(Words, width=8):
    """One byte, counted from the least significant bit."""

    level = lsb0(7)
    state = lsb0(5, 2)
    q = lsb0(0)


class Pair(Words, width=16, count=2):
    """Two words; the second has two forms."""

    whole = ppc(0, 15, word=0)
    common = ppc(0, word=1)
    near = ppc(1, 7, word=1, form="near")
    far = ppc(4, 15, word=1, form="far")


EVENT = Event(0x8512_3456_7FED_CBA9)


def declared(width, /, **fields):
    return type("Odd", (Words,), fields, width=width)


@pytest.mark.parametrize(
    ("field", "mask", "shift"),
    [
        (Event.valid, 0x8000_0000_0000_0000, 63),
        (Event.block, 0x0F00_0000_0000_0000, 56),
        (Event.index, 0x00FF_FFFF_0000_0000, 32),
        (Event.data, 0x0000_0000_7FFF_FFFF, 0),
        (Status.level, 0x80, 7),
        (Status.state, 0x3C, 2),
        (Status.q, 0x01, 0),
        (Pair.whole, 0xFFFF, 0),
        (Pair.near, 0x7F00, 8),
        (Pair.far, 0x0FFF, 0),
    ],
    ids=lambda value: value.name if isinstance(value, Bits) else hex(value),
)
def test_masks_and_shifts_follow_from_bit_numbers(field, mask, shift):
    assert (field.mask, field.shift) == (mask, shift)


def test_a_class_knows_its_size_and_its_fields_in_order():
    assert (Event.width, Event.count, Event.sizeof) == (64, 1, 8)
    assert (Status.width, Status.sizeof, Pair.sizeof) == (8, 1, 4)
    assert [(row.name, row.word, row.form, row.says) for row in Event.rows()] == [
        ("valid", 0, "", ""),
        ("block", 0, "", ""),
        ("index", 0, "", "a remark"),
        ("data", 0, "", ""),
    ]
    assert [(row.name, row.word, row.form) for row in Pair.rows()][1:] == [
        ("common", 1, ""),
        ("near", 1, "near"),
        ("far", 1, "far"),
    ]


def test_words_are_of_32_bits_when_nothing_else_is_said():
    class Plain(Words):
        low = ppc(31)

    assert (Plain.width, Plain.count, Plain.sizeof, Plain.low.mask) == (32, 1, 4, 1)


@pytest.mark.parametrize(
    "field",
    [ppc(16), ppc(8, 16), ppc(9, 8), ppc(-1), lsb0(16), lsb0(16, 8), lsb0(8, 9), lsb0(3, -1), ppc(0, word=1)],
    ids=lambda field: f"{field.first}-{field.last} of {field.word}",
)
def test_bits_that_the_word_does_not_have_are_refused(field):
    with pytest.raises(TypeError, match=f"field odd: bits {field.first} to {field.last} of word {field.word}"):
        declared(16, odd=field)


@pytest.mark.parametrize(
    "fields",
    [
        {"a": ppc(0, 7), "b": ppc(7, 8)},
        {"a": lsb0(7, 0), "b": lsb0(3)},
        {"a": ppc(0), "b": lsb0(15)},
        {"a": ppc(0, 15), "b": ppc(0, form="F")},
        {"a": ppc(0, form="F"), "b": ppc(0, 15)},
        {"a": ppc(0, form="F"), "b": ppc(0, form="F")},
        {"a": ppc(0), "c": ppc(1), "b": ppc(0)},
    ],
    ids=lambda fields: " ".join(f"{name}{field.first}-{field.last}{field.form}" for name, field in fields.items()),
)
def test_fields_that_share_bits_are_refused(fields):
    with pytest.raises(TypeError, match=r"Odd\.b shares bits with another field"):
        declared(16, **fields)


@pytest.mark.parametrize("name", ["words", "width", "count", "sizeof", "fields", "make", "pack", "rows"])
def test_a_field_does_not_hide_what_every_structure_has(name):
    with pytest.raises(TypeError, match=rf"Odd\.{name} hides what every structure has"):
        declared(8, **{name: ppc(0)})


@pytest.mark.parametrize("width", [0, 7, 12, 128])
def test_words_of_odd_widths_are_refused(width):
    with pytest.raises(TypeError, match=f"Odd: words of {width} bits"):
        declared(width)


def test_fields_of_different_words_or_forms_may_share_bits():
    class Fine(Words, width=8, count=2):
        first = ppc(0, 7, word=0)
        second = ppc(0, 7, word=1, form="one")
        third = ppc(0, 7, word=1, form="other")

    assert Fine(0x12, 0x34)._asdict() == {"first": 0x12, "second": 0x34, "third": 0x34}


def test_fields_are_read_from_their_word():
    assert (EVENT.valid, EVENT.block, EVENT.index, EVENT.data) == (1, 5, 0x123456, 0x7FEDCBA9)
    assert Event._asdict(EVENT) == {"valid": 1, "block": 5, "index": 0x123456, "data": 0x7FEDCBA9}
    assert (Status(0xBD).level, Status(0xBD).state, Status(0xBD).q) == (1, 0xF, 1)
    assert (Pair(1, 0x8123).whole, Pair(1, 0x8123).near, Pair(1, 0x8123).far) == (1, 1, 0x123)


def test_a_field_reads_and_sets_any_number():
    assert Event.block.get(0x8512_3456_7FED_CBA9) == 5
    assert Event.block.put(0xFFFF_FFFF_FFFF_FFFF, 2) == 0xF2FF_FFFF_FFFF_FFFF
    assert Event.block.put(0, 0x1F3) == 0x0300_0000_0000_0000


def test_values_are_cut_to_their_field():
    made = Event.make(valid=2, block=0x1A, index=0x1_000007, data=-1)
    assert made.words == (0x0A00_0007_7FFF_FFFF,)
    assert made.replace(block=0x25, valid=3).words == (0x8500_0007_7FFF_FFFF,)
    assert made.words == (0x0A00_0007_7FFF_FFFF,)


def test_bits_without_a_field_stay():
    assert Event(0xFFFF_FFFF_FFFF_FFFF).replace(valid=0, block=0, index=0, data=0).words == (0x7000_0000_8000_0000,)


def test_words_left_out_are_zero():
    assert Pair().words == (0, 0)
    assert Pair(0x1234).words == (0x1234, 0)
    assert Pair.make(far=0xFFF).words == (0, 0x0FFF)


@pytest.mark.parametrize("words", [(1, 2, 3), (0x1_0000,), (0, -1)])
def test_words_that_do_not_fit_are_refused(words):
    with pytest.raises(ValueError, match="Pair is 2 words of 16 bits, got"):
        Pair(*words)


def test_a_field_that_is_not_there_is_refused():
    with pytest.raises(TypeError, match="Event has no field 'asserted'; it has valid, block, index, data"):
        Event.make(asserted=1)
    with pytest.raises(TypeError, match="Pair has no field 'words'; it has whole, common, near, far"):
        Pair().replace(words=1)


def test_bytes_are_big_endian():
    assert EVENT.pack() == bytes.fromhex("85123456 7fedcba9")
    assert Pair(0x1234, 0x56).pack() == bytes.fromhex("1234 0056")
    assert Status(0x81).pack() == b"\x81"


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_any_buffer_is_unpacked_at_any_offset(form):
    octets = form(bytes.fromhex("ee 1234 0056 ff"))
    assert Pair.unpack_from(octets, 1) == Pair(0x1234, 0x0056)
    assert Pair.unpack_from(octets) == Pair(0xEE12, 0x3400)
    assert Pair.unpack_from(octets, 2) == Pair(0x3400, 0x56FF)
    assert Event.unpack_from(form(EVENT.pack())) == EVENT


@pytest.mark.parametrize(("length", "offset"), [(0, 0), (3, 0), (4, 1), (8, 5), (8, -1), (8, 1 << 70)])
def test_an_offset_that_leaves_too_little_is_refused(length, offset):
    with pytest.raises(ValueError, match=f"Pair is 4 bytes, {offset} of {length} is no place for it"):
        Pair.unpack_from(bytes(length), offset)


def test_a_structure_shows_what_is_not_zero():
    assert repr(EVENT) == "Event(valid=0x1, block=0x5, index=0x123456, data=0x7fedcba9)"
    assert repr(Event.make(block=3)) == "Event(block=0x3)"
    assert repr(Pair(0, 0x0100)) == "Pair(near=0x1, far=0x100)"
    assert repr(Pair()) == "Pair()"


def test_structures_are_values():
    class Other(Words, width=64):
        valid = ppc(0)

    assert Event(5) == Event(5) != Event(6)
    assert Event(5) != Other(5)
    assert Event(5) != 5
    assert len({Event(5), Event(5), Event(6), Other(5)}) == 3
    with pytest.raises(AttributeError, match=r"Event is a value; replace\(block=…\) makes another"):
        Event().block = 1
    assert isinstance(Event.block, Bits)
