"""Flattened device trees: bytes typed by hand, round trips, hostile bytes, and what `dtc` and libfdt make of them."""

import os
import random
import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outboard.errors import LocalError, ProtocolError
from outboard.spapr import dts, fdt
from outboard.spapr.fdt import Node

SMALL = Node(
    "",
    {"compatible": b"qemu,pseries\0", "#address-cells": b"\0\0\0\2"},
    [Node("cpus", {}, [Node("cpu@0", {"reg": b"\0\0\0\0", "64-bit": b""})]), Node("chosen", {"odd": b"\1\2\3\4\5"})],
)

# The specification's structures, written down number by number.
STRUCTURE = (
    "00000001 00000000"  # the root
    "00000003 0000000d 00000000 71656d75 2c707365 72696573 00000000"  # compatible = "qemu,pseries"
    "00000003 00000004 0000000b 00000002"  # #address-cells = <2>
    "00000001 63707573 00000000"  # cpus
    "00000001 63707540 30000000"  # cpu@0
    "00000003 00000004 0000001a 00000000"  # reg = <0>
    "00000003 00000000 0000001e"  # 64-bit
    "00000002 00000002"
    "00000001 63686f73 656e0000"  # chosen
    "00000003 00000005 00000025 01020304 05000000"  # odd = [01 02 03 04 05]
    "00000002 00000002 00000009"
)
STRINGS = b"compatible\0#address-cells\0reg\x0064-bit\0odd\0"
RESERVED = "0000000000100000 0000000000002000 0000000000000000 0000000000000000"
HEADER = "d00dfeed 0000010d 00000048 000000e4 00000028 00000011 00000010 00000003 00000029 0000009c"
BYTES = bytes.fromhex(HEADER + RESERVED + STRUCTURE) + STRINGS


def test_bytes_by_hand():
    assert fdt.pack(SMALL, [(0x100000, 0x2000)], boot_cpu=3).hex(" ", 4) == BYTES.hex(" ", 4)
    tree = fdt.read(BYTES)
    assert tree == (SMALL, ((0x100000, 0x2000),), 3)
    assert fdt.unpack(BYTES + b"anything") == SMALL
    assert list(tree.root.properties) == ["compatible", "#address-cells"]


def test_values():
    assert fdt.cells(0, 0x12345678) == bytes.fromhex("00000000 12345678")
    assert fdt.long_cells(0x6030203190000, 1) == bytes.fromhex("00060302 03190000 00000000 00000001")
    assert fdt.strings("a", "bc") == b"a\0bc\0"
    assert fdt.read_cells(bytes.fromhex("00000000 ffffffff")) == (0, 0xFFFFFFFF)
    assert fdt.read_strings(b"a\0bc\0") == ("a", "bc")
    for wrong in (b"abc", b"\0" * 5):
        with pytest.raises(ProtocolError, match="a multiple of 4 bytes"):
            fdt.read_cells(wrong)
    for wrong in (b"", b"abc", b"\xff\0"):
        with pytest.raises(ProtocolError, match="ASCII that ends with NUL"):
            fdt.read_strings(wrong)
    for value in (-1, 1 << 32):
        with pytest.raises(LocalError, match="32 bits"):
            fdt.cells(value)
    for text in ("a\0b", "é"):
        with pytest.raises(LocalError, match="ASCII without NUL"):
            fdt.strings(text)


def test_nodes_by_path():
    assert SMALL.find("/") is SMALL
    assert SMALL.find("/cpus/cpu@0").properties["reg"] == bytes(4)
    assert SMALL.children[0].find("cpu@0") is SMALL.find("cpus/cpu@0")
    assert SMALL.find("/cpus/cpu@1") is None
    assert SMALL.find("/nothing/cpu@0") is None
    assert [path for path, _ in SMALL.walk()] == ["/", "/cpus", "/cpus/cpu@0", "/chosen"]


@pytest.mark.parametrize(
    "root",
    [
        Node("root"),
        Node("", {"": b""}),
        Node("", {"a b": b""}),
        Node("", {"a\0b": b""}),
        Node("", {"é": b""}),
        Node("", {}, [Node("a/b")]),
        Node("", {}, [Node("")]),
        Node("", {}, [Node("a"), Node("a")]),
        Node("", {}, [Node("a" * 256)]),
    ],
)
def test_names_that_no_tree_may_have(root):
    with pytest.raises(LocalError):
        fdt.pack(root)


def chain(levels):
    """A root with so many nodes below each other."""
    root = node = Node()
    for _ in range(levels):
        node.children.append(Node("n"))
        node = node.children[0]
    return root


def test_numbers_that_no_tree_may_have():
    for reserved, boot_cpu in (([(1 << 64, 1)], 0), ([(0x1000, -1)], 0), ([], 1 << 32)):
        with pytest.raises(LocalError, match="32 bits"):
            fdt.pack(SMALL, reserved, boot_cpu)


def test_depth_is_bounded():
    assert fdt.unpack(fdt.pack(chain(64))) == chain(64)
    with pytest.raises(LocalError, match="64 levels"):
        fdt.pack(chain(65))
    with pytest.raises(ProtocolError, match="64 levels"):
        fdt.unpack(built("00000001 00000000" + "00000001 6e000000" * 65 + "00000002" * 66 + "00000009"))
    with pytest.raises(ProtocolError):
        fdt.unpack(built("00000001 00000000" + "00000001 6e000000" * 300_000))


def built(structure, names=b"a\0", **header):
    """A tree of any structure block, whose header is right but for what is given."""
    block = bytes.fromhex(structure)
    fields = {
        "magic": 0xD00DFEED,
        "totalsize": 56 + len(block) + len(names),
        "off_dt_struct": 56,
        "off_dt_strings": 56 + len(block),
        "off_mem_rsvmap": 40,
        "version": 17,
        "last_comp_version": 16,
        "boot_cpuid_phys": 0,
        "size_dt_strings": len(names),
        "size_dt_struct": len(block),
    } | header
    return struct.pack(">10I", *fields.values()) + bytes(16) + block + names


EMPTY = "00000001 00000000 00000002 00000009"


def test_the_smallest_tree_and_nops():
    assert fdt.unpack(built(EMPTY)) == Node()
    nops = "00000004 00000001 00000000 00000004 00000004 00000003 00000000 00000000 00000004 00000002 00000004 00000009"
    assert fdt.unpack(built(nops)) == Node("", {"a": b""})


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ("", "4 bytes, got 0"),
        ("00000009", "token BEGIN_NODE, got 9"),
        ("00000001", "a node's name"),
        ("00000001 61000000 00000002 00000009", "a root without a name"),
        ("00000001 61616161", "a node's name"),
        ("00000001 00000000", "4 bytes, got 0"),
        ("00000001 00000000 00000002", "4 bytes, got 0"),
        ("00000001 00000000 00000009", "a property, a node or a node's end, got token 9"),
        ("00000001 00000000 00000005", "got token 5"),
        (EMPTY + "00000009", "the structure block's end, got 4 bytes more"),
        ("00000001 00000000 00000002 0000000900", "the structure block's end, got 1 bytes more"),
        ("00000001 00000000 00000002 00000001", "token END, got 1"),
        ("00000001 00000000 00000003 00000000", "8 bytes, got 4"),
        ("00000001 00000000 00000003 00000001 00000000", "1 bytes, got 0"),
        ("00000001 00000000 00000003 ffffffff 00000000", "4294967295 bytes, got 0"),
        ("00000001 00000000 00000003 00000000 00000002 00000002 00000009", "offset 2"),
        ("00000001 00000000 00000003 00000000 ffffffff 00000002 00000009", "offset 4294967295"),
        ("00000001 00000000 00000003 00000000 00000001 00000002 00000009", "a name of graphic ASCII"),
        ("00000001 00000000" + "00000003 00000000 00000000" * 2 + "00000002 00000009", "does not have yet, got 'a'"),
        ("00000001 00000000" + "00000001 62000000 00000002" * 2 + "00000002 00000009", "does not have yet, got 'b'"),
        ("00000001 00000000 00000001 00000000 00000002 00000002 00000009", "a name of graphic ASCII"),
        ("00000001 00000000 00000001 612f6200 00000002 00000002 00000009", "a name of graphic ASCII"),
        ("00000001 00000000 00000001 e9000000 00000002 00000002 00000009", "a name of graphic ASCII"),
        ("00000001 00000000 00000001" + "61" * 256 + "00000000 00000002 00000002 00000009", "up to 255 bytes"),
    ],
)
def test_wrong_structures(structure, expected):
    with pytest.raises(ProtocolError) as caught:
        fdt.unpack(built(structure))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"magic": 0xEDFE0DD0}, "0xd00dfeed, got 0xedfe0dd0"),
        ({"version": 16}, "got 16, compatible with 16"),
        ({"version": 18, "last_comp_version": 18}, "got 18, compatible with 18"),
        ({"totalsize": 39}, "40 to 74 bytes, got 39"),
        ({"totalsize": 75}, "40 to 74 bytes, got 75"),
        ({"totalsize": 73}, "strings block"),
        ({"off_dt_struct": 57}, "structure block"),
        ({"off_dt_struct": 0}, "structure block"),
        ({"off_dt_struct": 60}, "structure block"),
        ({"off_dt_struct": 60, "size_dt_struct": 12}, "token BEGIN_NODE, got 0"),
        ({"off_dt_struct": 0xFFFFFFFC}, "structure block"),
        ({"size_dt_struct": 0xFFFFFFFF}, "structure block"),
        ({"size_dt_struct": 12}, "4 bytes, got 0"),
        ({"off_dt_strings": 0xFFFFFFFF}, "strings block"),
        ({"size_dt_strings": 3}, "strings block"),
        ({"off_mem_rsvmap": 44}, "reservations"),
        ({"off_mem_rsvmap": 64}, "reservations"),
        ({"off_mem_rsvmap": 56}, "an entry of zeros at their end, got none"),
        ({"off_mem_rsvmap": 1 << 31}, "reservations"),
    ],
)
def test_wrong_headers(header, expected):
    with pytest.raises(ProtocolError) as caught:
        fdt.unpack(built(EMPTY, **header))
    assert expected in str(caught.value)


def test_later_versions_that_say_they_are_compatible():
    assert fdt.unpack(built(EMPTY, version=18)) == Node()


def test_every_cut_is_refused():
    for length in range(len(BYTES)):
        with pytest.raises(ProtocolError):
            fdt.unpack(BYTES[:length])


NAMES = st.text("abz09,._+-#@?", min_size=1, max_size=31)
VALUES = st.binary(max_size=40)


def nodes(children):
    """Nodes without a name, as roots are; those below get theirs here."""
    below = st.dictionaries(NAMES, children, max_size=4)
    named = below.map(lambda found: [Node(name, node.properties, node.children) for name, node in found.items()])
    return st.builds(Node, st.just(""), st.dictionaries(NAMES, VALUES, max_size=5), named)


TREES = st.recursive(nodes(st.nothing()), nodes, max_leaves=12)
RESERVATIONS = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 2**64 - 1)), max_size=3)


@given(TREES, RESERVATIONS, st.integers(0, 2**32 - 1))
def test_round_trip(root, reserved, boot_cpu):
    data = fdt.pack(root, reserved, boot_cpu)
    tree = fdt.read(data)
    assert tree == (root, tuple(reserved), boot_cpu)
    assert [list(node.properties) for _, node in tree.root.walk()] == [list(node.properties) for _, node in root.walk()]
    assert fdt.pack(*tree) == data


def unpacked(data):
    """Read a tree, and write what could be read."""
    try:
        tree = fdt.read(data)
    except ProtocolError:
        return None
    assert fdt.read(fdt.pack(*tree)) == tree
    dts.text(tree.root)
    return tree


@given(st.binary(max_size=200))
def test_any_bytes(data):
    assert unpacked(data) is None


@given(st.lists(st.sampled_from([1, 2, 3, 4, 9, 0, 0x61000000, 0xFFFFFFFF]), max_size=40))
def test_any_tokens(tokens):
    unpacked(built(struct.pack(f">{len(tokens)}I", *tokens).hex()))


@settings(max_examples=30)
@given(TREES, st.integers(0, 2**32))
def test_changed_bytes(root, seed):
    """A tree with some bytes changed, its header mostly: it can be read, or is refused."""
    rng = random.Random(seed)
    whole = fdt.pack(root)
    for _ in range(30):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(40) if rng.random() < 0.5 else rng.randrange(len(data))
            data[at] = rng.choice((0, 1, 2, 3, 4, 9, 0x7F, 0xFF, data[at] ^ 1 << rng.randrange(8)))
        unpacked(bytes(data))


def test_no_tree_is_larger_than_its_limit():
    root = Node("", {"blob": bytes(0x200000)})
    with pytest.raises(ProtocolError, match="40 to 2097152 bytes"):
        fdt.unpack(fdt.pack(root))
    root = Node("", {"blob": bytes(0x200000 - 200)})
    assert fdt.unpack(fdt.pack(root)) == root


def test_text():
    assert dts.text(SMALL) == (
        "/dts-v1/;\n\n/ {\n"
        '\tcompatible = "qemu,pseries";\n'
        "\t#address-cells = <0x2>;\n\n"
        "\tcpus {\n\n\t\tcpu@0 {\n\t\t\treg = <0x0>;\n\t\t\t64-bit;\n\t\t};\n\t};\n\n"
        "\tchosen {\n\t\todd = [01 02 03 04 05];\n\t};\n};\n"
    )
    assert dts.value_text(b'say "\\"\0b\0') == '"say \\"\\\\\\"", "b"'


# Other programs


def missing(what):
    """Skip the test, or fail it where all peers must be there."""
    if os.environ.get("OUTBOARD_REQUIRE_PEERS"):
        pytest.fail(f"peer missing although OUTBOARD_REQUIRE_PEERS is set: {what}", pytrace=False)
    pytest.skip(f"peer missing: {what}")


def dtc(*words, data):
    """What `dtc` makes of its input; it must not complain."""
    program = shutil.which("dtc")
    if program is None:
        missing("dtc; apt-get install device-tree-compiler")
    command = [program, "-q", "-f", *words, "-o", "-", "-"]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def some_trees(count, seed):
    """Trees of a fixed seed, without what only tests of bytes need."""
    rng = random.Random(seed)

    def node(name, level):
        properties = {f"p{at}": rng.randbytes(rng.choice((0, 1, 4, 5, 8))) for at in range(rng.randrange(5))}
        below = range(rng.randrange(4) if level < 4 else 0)
        return Node(name, properties, [node(f"n{at}@{at}", level + 1) for at in below])

    return [node("", 0) for _ in range(count)]


@pytest.mark.parametrize("root", [SMALL, *some_trees(8, 1)])
def test_dtc_reads_what_we_write_and_we_what_it_writes(root):
    theirs = dtc("-I", "dtb", "-O", "dtb", data=fdt.pack(root, [(0x1000, 0x2000)]))
    assert fdt.read(theirs) == (root, ((0x1000, 0x2000),), 0)
    assert fdt.unpack(dtc("-I", "dts", "-O", "dtb", data=dts.text(root).encode())) == root


def test_dtc_pads_and_we_read_it():
    assert fdt.unpack(dtc("-I", "dtb", "-O", "dtb", "-p", "1024", "-R", "4", data=fdt.pack(SMALL))) == SMALL


def test_libfdt_agrees():
    try:
        import libfdt
    except ImportError:
        missing("the Python package pylibfdt; pip install pylibfdt")
    for root in [SMALL, *some_trees(8, 2)]:
        theirs = libfdt.FdtRo(fdt.pack(root, [(0x1000, 0x2000)]))
        assert theirs.get_mem_rsv(0) == [0x1000, 0x2000] and theirs.num_mem_rsv() == 1
        assert theirs.totalsize() == len(fdt.pack(root, [(0x1000, 0x2000)]))
        assert libfdt_tree(libfdt, theirs, 0) == root
        assert fdt.unpack(libfdt_written(libfdt, root)) == root


def libfdt_tree(libfdt, tree, at):
    """A tree as libfdt finds it, from the node at an offset on."""
    found = Node(tree.get_name(at))
    offset = tree.first_property_offset(at, libfdt.QUIET_NOTFOUND)
    while offset >= 0:
        prop = tree.get_property_by_offset(offset)
        found.properties[prop.name] = bytes(prop)
        offset = tree.next_property_offset(offset, libfdt.QUIET_NOTFOUND)
    below = tree.first_subnode(at, libfdt.QUIET_NOTFOUND)
    while below >= 0:
        found.children.append(libfdt_tree(libfdt, tree, below))
        below = tree.next_subnode(below, libfdt.QUIET_NOTFOUND)
    return found


def libfdt_written(libfdt, root):
    """The tree as libfdt writes it, with room at its end."""
    writer = libfdt.FdtSw()
    writer.finish_reservemap()

    def write(node):
        with writer.add_node(node.name):
            for name, value in node.properties.items():
                writer.property(name, value)
            for child in node.children:
                write(child)

    write(root)
    return bytes(writer.as_fdt().as_bytearray())
