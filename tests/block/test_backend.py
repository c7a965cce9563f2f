"""Requests on a backend: what is checked, what is told, what `direct` is."""

import errno

import pytest

from outboard.aio import main_context
from outboard.block import edges
from outboard.block.backend import BlockBackend, DevOps
from outboard.block.drivers import CopyOnRead, File, Memory, NullCo, Quorum, Raw
from outboard.block.graph import DATA, FILE, FILTERED, Node, append, attach_child, close, replace_node
from outboard.errors import LocalError

pytestmark = pytest.mark.alike


def on(driver) -> BlockBackend:
    backend = BlockBackend("disk0")
    backend.insert(Node("node", driver))
    return backend


def fails(coro) -> int:
    with pytest.raises(OSError) as failure:
        BlockBackend().run(coro)
    return failure.value.errno


def test_requests():
    backend = on(Memory(100))
    backend.pwrite(10, b"0123456789")
    one, two = bytearray(3), bytearray(4)
    backend.run(backend.preadv(9, [one, memoryview(two)]))
    assert (bytes(one), bytes(two)) == (b"\x0001", b"2345")
    backend.run(backend.pwritev(98, [b"a", b"", b"b"]))
    assert backend.pread(97, 3) == b"\0ab"
    backend.run(backend.pwrite_zeroes(11, 5))
    assert backend.pread(10, 10) == b"0\0\0\0\0\0" + b"6789"
    backend.run(backend.flush())
    backend.run(backend.pdiscard(0, 100))


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (100, 1), (99, 2), (0, 101), (1 << 70, 1)])
def test_requests_outside_fail(offset, length):
    backend = on(Memory(100))
    assert fails(backend.preadv(offset, [bytearray(length)])) == errno.EIO
    assert fails(backend.pwritev(offset, [bytes(length)])) == errno.EIO
    assert fails(backend.pdiscard(offset, length)) == errno.EIO
    assert fails(backend.pwrite_zeroes(offset, length)) == errno.EIO
    assert not backend.in_flight


def test_negative_lengths_fail():
    assert fails(on(Memory(100)).pdiscard(50, -1)) == errno.EIO


def test_what_is_read_only_is_not_written():
    backend = on(Memory(100, read_only=True))
    assert backend.read_only
    for call in (backend.pwritev(0, [b"x"]), backend.pdiscard(0, 1), backend.pwrite_zeroes(0, 1), backend.truncate(1)):
        assert fails(call) == errno.EPERM
    top = Node("top", Raw())
    attach_child(top, backend.node, FILE)
    above = BlockBackend("above")
    above.insert(top)
    assert above.read_only and fails(above.pwritev(0, [b"x"])) == errno.EPERM


def test_without_a_node_there_is_no_medium():
    backend = BlockBackend("empty")
    assert (backend.length, backend.read_only, backend.node, backend.direct) == (0, True, None, None)
    assert fails(backend.preadv(0, [bytearray(1)])) == errno.ENOMEDIUM
    assert fails(backend.flush()) == errno.ENOMEDIUM
    backend.insert(Node("raw", Raw()))
    assert fails(backend.flush()) == errno.ENOMEDIUM


def test_a_second_node_is_refused():
    backend = on(NullCo())
    with pytest.raises(LocalError, match="block device 'disk0' has node 'node' already: remove it before"):
        backend.insert(Node("other", NullCo()))
    backend.close()
    assert backend.node is None


class Told(DevOps):
    def __init__(self):
        self.log = []

    def resize(self):
        self.log.append("resize")

    def changed(self):
        self.log.append("changed")


def test_a_new_length_is_told():
    backend, told = on(Memory(100)), Told()
    backend.attach_dev("ide0", told)
    backend.run(backend.truncate(200))
    assert backend.length == 200 and told.log == ["changed", "resize"]
    assert backend.pread(190, 10) == bytes(10)


def test_direct_is_there_while_only_files_are_below(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(bytes(range(256)) * 16)
    told, backend = Told(), BlockBackend("disk0")
    backend.attach_dev("ide0", told)
    file, window = Node("file", File(path)), Node("window", Raw(offset=512, size=1024))
    attach_child(window, file, FILE)
    backend.insert(window)
    direct = backend.direct
    assert (direct.fd, direct.offset, direct.length, direct.read_only) == (file.driver.fd, 512, 1024, False)
    keeps = Node("filter", CopyOnRead())
    append(file, keeps, FILTERED)
    assert backend.direct is None
    replace_node(keeps, file)
    assert backend.direct == direct
    close(keeps)
    assert told.log.count("changed") >= 3
    backend.remove()
    assert backend.direct is None
    close(window)


def test_direct_knows_the_new_length(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(bytes(1024))
    backend, top = BlockBackend("disk0"), Node("top", Raw())
    attach_child(top, Node("file", File(path)), FILE)
    backend.insert(top)
    backend.run(backend.truncate(4096))
    assert backend.direct.length == 4096 and backend.length == 4096
    backend.remove()
    close(top)


def test_only_who_is_allowed_counts_requests():
    backend = on(NullCo())
    assert backend.begin_io() and backend.in_flight == 1
    main_context().bh_schedule_oneshot(backend.end_io)
    with edges.drains.drained(backend.node):
        assert not backend.in_flight and not backend.begin_io()
    assert not backend.in_flight


def test_a_closed_backend_does_nothing_any_more():
    backend = on(NullCo())
    backend.close()
    with pytest.raises(LocalError, match="block device 'disk0' was closed: make another one"):
        backend.insert(Node("node", NullCo()))
    with pytest.raises(LocalError, match="is closed: nothing of it runs"):
        backend.pread(0, 1)
    with pytest.raises(LocalError, match="has no node to resize"):
        backend.resize(512)


def test_a_resize_waits_for_what_is_under_way_and_keeps_out_the_rest():
    class Checked(Memory):
        async def truncate(self, length):
            assert backend.quiesce_counter and not backend.in_flight
            await super().truncate(length)

    backend = on(Checked(1024))
    assert backend.begin_io()
    main_context().bh_schedule_oneshot(backend.end_io)
    backend.resize(2048)
    assert backend.length == 2048 and not backend.quiesce_counter


def test_copies_have_a_length_again_when_all_have_it():
    """While they differ nobody is told: there is no length to ask for."""
    lengths = []

    class Asks(DevOps):
        def resize(self):
            lengths.append(backend.length)

    backend, copies = BlockBackend("disk0"), Node("copies", Quorum(2))
    for number in range(3):
        attach_child(copies, Node(f"copy{number}", Memory(1024)), DATA)
    backend.insert(copies)
    backend.attach_dev("ide0", Asks())
    backend.resize(512)
    assert lengths == [512] and backend.length == 512
