"""Every structure on the wire against hand-typed sizes and offsets, and against a second reading in C."""

import inspect
import random
import sys

import pytest
from dissect.cstruct import cstruct

from outboard.errors import ProtocolError
from outboard.layout import Layout
from outboard.spec import vhost_user, vhost_user_gpu, virtio, virtio_blk, virtio_gpu
from tests.vectors import layouts
from tests.vectors.numbers import RING_BYTES

NATIVE = "<" if sys.byteorder == "little" else ">"
DOCUMENTS = [
    (vhost_user, layouts.CONTROL, layouts.CONTROL_C, NATIVE),
    (vhost_user_gpu, layouts.DISPLAY, layouts.DISPLAY_C, NATIVE),
    (virtio, layouts.RING, layouts.RING_C, "<"),
    (virtio_blk, layouts.BLOCK, layouts.BLOCK_C, "<"),
    (virtio_gpu, layouts.GPU, layouts.GPU_C, "<"),
]
EVERY = [
    pytest.param(module, name, table, c, order, id=f"{module.__name__.rpartition('.')[2]}.{name}")
    for module, table, c, order in DOCUMENTS
    for name in table
]


def compiled(declarations, order):
    parser = cstruct(endian=order)
    parser.load(declarations)
    return parser


def plain(value):
    """Bring a structure of either reading into tuples, integers and bytes."""
    if isinstance(value, Layout):
        return tuple(plain(getattr(value, row.name)) for row in type(value).rows())
    if hasattr(type(value), "fields"):
        return tuple(plain(getattr(value, name)) for name in type(value).fields)
    if isinstance(value, list | tuple):
        return tuple(plain(one) for one in value)
    return bytes(value) if isinstance(value, bytes) else int(value)


@pytest.mark.parametrize(("module", "table"), [(module, table) for module, table, _, _ in DOCUMENTS])
def test_no_structure_is_missing_from_the_vectors(module, table):
    declared = {
        name
        for name, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Layout) and member is not Layout and member.__module__ == module.__name__
    }
    assert declared == set(table)


@pytest.mark.parametrize(("module", "name", "table", "c", "order"), EVERY)
def test_size_and_offsets_are_the_document_s(module, name, table, c, order):
    layout = getattr(module, name)
    size, offsets = table[name]
    assert layout.sizeof == size
    assert {path: layout.offsetof(path) for path in offsets} == offsets


@pytest.mark.parametrize(("module", "name", "table", "c", "order"), EVERY)
def test_two_readings_of_the_document_agree(module, name, table, c, order):
    layout, other = getattr(module, name), getattr(compiled(c, order), name)
    assert layout.sizeof == len(other)
    assert [row.name for row in layout.rows()] == list(other.fields)
    assert [row.offset for row in layout.rows()] == [field.offset for field in other.fields.values()]
    rng = random.Random(name)
    for _ in range(20):
        octets = rng.randbytes(layout.sizeof)
        ours, theirs = layout.unpack(octets), other(octets)
        assert plain(ours) == plain(theirs)
        assert ours.pack() == theirs.dumps() == octets


@pytest.mark.parametrize(("module", "name", "table", "c", "order"), EVERY)
def test_only_the_exact_length_is_unpacked(module, name, table, c, order):
    layout = getattr(module, name)
    octets = bytes(range(256)) * 70
    for length in (0, layout.sizeof - 1, layout.sizeof + 1):
        with pytest.raises(ProtocolError) as error:
            layout.unpack(octets[:length])
        assert (error.value.request, error.value.got) == (name, str(length))
    assert layout.unpack_from(octets) == layout.unpack(octets[: layout.sizeof])


@pytest.mark.parametrize("queue_size", [1, 16, 64, 256, 1024])
def test_ring_parts_have_the_document_s_sizes(queue_size):
    assert (virtio.avail_size(queue_size), virtio.used_size(queue_size)) == RING_BYTES[queue_size]
