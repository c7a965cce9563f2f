"""The control socket byte by byte, as QEMU docs/interop/vhost-user has it."""

import os
import socket
import struct

import pytest

from tests.vectors import worked_example as example
from tests.vectors.numbers import CONTROL_PAYLOADS
from tests.vectors.worked_example import octets

OFFERED = 0x1_7000_000E  # VERSION_1, PROTOCOL_FEATURES, EVENT_IDX, INDIRECT_DESC; EDID, RESOURCE_UUID, RESOURCE_BLOB
PROTOCOL = 0xA209  # MQ, REPLY_ACK, CONFIG, RESET_DEVICE, CONFIGURE_MEM_SLOTS


def u64(value):
    return struct.pack("=Q", value)


def state(index, num):
    return struct.pack("=II", index, num)


def region(guest_addr, size, user_addr, offset=0):
    return struct.pack("=QQQQ", guest_addr, size, user_addr, offset)


@pytest.fixture
def memory():
    """A memfd of 1 MiB."""
    fd = os.memfd_create("ram")
    os.ftruncate(fd, 1 << 20)
    yield fd
    os.close(fd)


@pytest.fixture
def event():
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def test_device_creation_in_qemu_s_order(service, raw, event):
    peer = raw(service)
    assert peer.ask(1) == (1, 5, u64(OFFERED))
    assert peer.ask(15) == (15, 5, u64(PROTOCOL))
    peer.message(16, u64(PROTOCOL))
    assert peer.ask(17) == (17, 5, u64(2))
    assert peer.ask(36) == (36, 5, u64(32))
    peer.message(3)
    assert peer.ask(1) == (1, 5, u64(OFFERED))
    for index in (0, 1):
        peer.message(13, u64(index), fds=[event])
        peer.message(14, u64(index), fds=[event])
    config = struct.pack("=III", 0, 16, 0)
    assert peer.ask(24, config + bytes(16)) == (24, 5, config + struct.pack("<IIII", 0, 0, 16, 0))


def test_the_replies_are_the_documented_bytes(service, raw):
    peer = raw(service)
    peer.send(octets(example.GET_FEATURES))
    assert peer.receive(20) == octets("01000000 05000000 08000000") + u64(OFFERED)
    peer.send(octets(example.SET_PROTOCOL_FEATURES))
    peer.send(octets(example.GET_CONFIG))
    assert peer.receive(40) == octets("18000000 05000000 1c000000 00000000 10000000 00000000") + struct.pack(
        "<IIII", 0, 0, 16, 0
    )
    peer.send(octets(example.GET_VRING_BASE))
    assert peer.receive(20) == octets("0b000000 05000000 08000000 00000000 00000000")


def test_a_message_may_come_byte_by_byte(service, raw, event):
    peer = raw(service)
    for text, fds in ((example.SET_VRING_CALL, [event]), (example.GET_FEATURES, [])):
        for byte in octets(text):
            peer.send(bytes([byte]), fds)
            fds = []
    assert peer.receive(20)[:12] == octets("01000000 05000000 08000000")


def test_many_messages_may_come_at_once(service, raw):
    peer = raw(service)
    peer.send(octets(example.GET_FEATURES) * 300)
    assert peer.receive(6000) == (octets("01000000 05000000 08000000") + u64(OFFERED)) * 300


@pytest.mark.parametrize(
    ("offset", "length", "data"),
    [
        (0, 16, struct.pack("<IIII", 0, 0, 16, 0)),
        (8, 4, struct.pack("<I", 16)),
        (9, 2, b"\0\0"),
        (15, 1, b"\0"),
        (0, 0, b""),
        (16, 0, b""),
    ],
)
def test_config_reads_have_offset_and_length(agreed, offset, length, data):
    head = struct.pack("=III", offset, length, 0)
    assert agreed.ask(24, head + bytes(length)) == (24, 5, head + data)


@pytest.mark.parametrize(("offset", "length"), [(0, 17), (1, 16), (16, 1), (0, 256), (0xFFFFFFFF, 16), (17, 4)])
def test_a_config_read_of_what_is_not_there_is_answered_by_no_bytes(agreed, offset, length):
    assert agreed.ask(24, struct.pack("=III", offset, length, 0) + bytes(length)) == (24, 5, b"")
    assert agreed.alive()


def test_a_config_read_larger_than_any_is_the_end(agreed):
    assert agreed.ask(24, struct.pack("=III", 0, 257, 0) + bytes(257)) is None


def test_a_config_write_is_taken_and_changes_nothing(agreed):
    head = struct.pack("=III", 0, 16, 0)
    assert agreed.acked(25, head + b"\xff" * 16) == 0
    assert agreed.ask(24, head + bytes(16))[2][12:] == struct.pack("<IIII", 0, 0, 16, 0)


@pytest.mark.parametrize("number", [0, 6, 7, 19, 22, 26, 28, 31, 32, 35, 39, 40, 41, 44, 45, 0x1000, 0xFFFFFFFF])
def test_an_unknown_request_is_refused_or_ignored_and_the_connection_lives(agreed, number):
    assert agreed.acked(number, b"whatever") == 1
    agreed.message(number, b"whatever")
    assert agreed.alive()


def test_before_reply_ack_nobody_is_acknowledged(service, raw):
    peer = raw(service)
    peer.message(3, flags=9)
    peer.message(1000, flags=9)
    assert peer.alive()


GOOD = [
    (2, u64(0x1_7000_0000)),
    (2, u64(0x101_7000_0000 | 1 << 24 | 1 << 63)),
    (2, u64(0)),
    (3, b""),
    (4, b""),
    (8, state(0, 1)),
    (8, state(1, 1024)),
    (10, state(0, 0)),
    (10, state(1, 65535)),
    (18, state(0, 1)),
    (18, state(1, 0)),
    (16, u64(0xFFFFFFFFFFFFFFFF)),
    (33, b""),
    (34, b""),
]


@pytest.mark.parametrize(("number", "payload"), GOOD)
def test_what_is_right_is_acknowledged(agreed, number, payload):
    assert agreed.acked(number, payload) == 0


BAD = [
    ("packed rings", 2, u64(0x5_7000_0000)),
    ("ring size 0", 8, state(0, 0)),
    ("ring size no power of two", 8, state(0, 3)),
    ("ring too large", 8, state(0, 2048)),
    ("ring size of 32 bits", 8, state(0, 1 << 31)),
    ("num: no such ring", 8, state(2, 64)),
    ("base: no such ring", 10, state(2, 0)),
    ("base of 17 bits", 10, state(0, 65536)),
    ("addr: no such ring", 9, struct.pack("=IIQQQQ", 2, 0, 0, 0, 0, 0)),
    ("kick: no such ring", 12, u64(2 | 0x100)),
    ("kick: no fd", 12, u64(0)),
    ("kick: polling", 12, u64(0x100)),
    ("call: no such ring", 13, u64(2 | 0x100)),
    ("call: fd missing", 13, u64(0)),
    ("call: no such ring, all bits", 13, u64(0xFFFFFFFFFFFFFFFF)),
    ("err: fd missing", 14, u64(1)),
    ("enable: no such ring", 18, state(2, 1)),
    ("enable: neither on nor off", 18, state(0, 2)),
    ("memory: no regions", 5, struct.pack("=II", 0, 0)),
    ("memory: no fds", 5, struct.pack("=II", 1, 0) + region(0, 4096, 0)),
    ("memory: no region behind the number", 5, struct.pack("=II", 1, 0)),
    ("memory: nine regions", 5, struct.pack("=II", 9, 0) + region(0, 4096, 0) * 9),
    ("memory: 4 Gi regions", 5, struct.pack("=II", 0xFFFFFFFF, 0)),
    ("memory: remove what is not there", 38, bytes(8) + region(0, 4096, 0)),
]


@pytest.mark.parametrize(("number", "payload"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_cannot_be_done_is_refused_when_an_answer_is_wanted(agreed, number, payload, heard):
    assert agreed.acked(number, payload) == 1
    assert [event for event, _ in heard if event == "vhost_user.refused"] == ["vhost_user.refused"]
    assert agreed.alive()


@pytest.mark.parametrize(("number", "payload"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_cannot_be_done_is_the_end_otherwise(agreed, number, payload):
    agreed.message(number, payload)
    assert not agreed.alive()


def test_get_vring_base_of_a_ring_that_is_not_there_is_the_end(agreed):
    assert agreed.ask(11, state(2, 0)) is None


@pytest.mark.parametrize("flags", [0, 2, 3, 4, 5, 0xD])
def test_another_version_or_a_reply_is_the_end(service, raw, flags):
    peer = raw(service)
    peer.message(1, flags=flags)
    assert peer.ended()
    assert raw(service).alive()


@pytest.mark.parametrize("size", [4097, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_hostile_size_is_the_end_before_any_of_it_comes(service, raw, size):
    peer = raw(service)
    peer.send(struct.pack("=III", 24, 1, size))
    assert peer.ended()
    assert raw(service).alive()


@pytest.mark.parametrize("number", [number for number in CONTROL_PAYLOADS if number not in (5, 24, 25)])
def test_a_payload_of_another_size_is_the_end(service, raw, number, event):
    for change in (-1, 1):
        size = CONTROL_PAYLOADS[number][0] + change
        if size >= 0:
            peer = raw(service)
            peer.message(number, bytes(size), fds=[event])
            assert peer.ended()
            peer.close()
    assert raw(service).alive()


def test_memory_slots(agreed, memory):
    def add(*values, fds=(memory,)):
        return agreed.acked(37, bytes(8) + region(*values), fds)

    assert add(0, 4096, 0x7F0000000000) == 0
    assert add(0x1000, 4096, 0x7F0000001000, 4096) == 0
    assert add(0, 4096, 0x7F0000000000) == 1, "there already"
    assert add(0x1800, 4096, 0x7F0000010000) == 1, "overlap"
    assert add(0x10000, 0, 0x7F0000010000) == 1, "no bytes"
    assert add(0x10000, (1 << 20) + 1, 0x7F0000010000) == 1, "more than the fd holds"
    assert add(0x10000, 4096, 0x7F0000010000, 1 << 20) == 1, "behind the fd's end"
    assert add(0x10000, 4096, 0x7F0000010000, 1 << 63) == 1, "far behind the fd's end"
    assert add((1 << 64) - 4096, 8192, 0x7F0000010000) == 1, "wraps"
    assert add(0x10000, 4096, (1 << 64) - 16) == 1, "user addresses wrap"
    assert agreed.acked(38, bytes(8) + region(0, 4096, 0x7F0000000001)) == 1, "another user address"
    assert agreed.acked(38, bytes(8) + region(0, 8192, 0x7F0000000000)) == 1, "another size"
    assert agreed.acked(38, bytes(8) + region(0, 4096, 0x7F0000000000)) == 0
    assert agreed.acked(38, bytes(8) + region(0x1000, 4096, 0x7F0000001000), [memory]) == 0, "the fd is superfluous"
    assert agreed.acked(38, bytes(8) + region(0, 4096, 0x7F0000000000)) == 1, "gone already"


def test_there_are_32_slots(agreed, memory):
    for at in range(32):
        assert agreed.acked(37, bytes(8) + region(at << 20, 4096, at << 20), [memory]) == 0
    assert agreed.acked(37, bytes(8) + region(32 << 20, 4096, 32 << 20), [memory]) == 1
    assert agreed.acked(38, bytes(8) + region(0, 4096, 0)) == 0
    assert agreed.acked(37, bytes(8) + region(32 << 20, 4096, 32 << 20), [memory]) == 0


def test_a_memory_table_replaces_all_or_nothing(agreed, memory):
    def table(*regions, fds=None):
        payload = struct.pack("=II", len(regions), 0) + b"".join(region(*one) for one in regions)
        return agreed.acked(5, payload, [memory] * (len(regions) if fds is None else fds))

    assert table(*[(at << 20, 4096, at << 20, 4096 * at) for at in range(8)]) == 0
    assert table((0, 4096, 0), (0x800, 4096, 0x10000)) == 1
    assert table((0, 4096, 0), fds=2) == 1
    assert table((0, 4096, 0), (0x10000, 4096, 0x10000), fds=1) == 1
    assert agreed.acked(38, bytes(8) + region(7 << 20, 4096, 7 << 20)) == 0, "the old table holds"
    assert table((0, 4096, 0)) == 0
    assert agreed.acked(38, bytes(8) + region(6 << 20, 4096, 6 << 20)) == 1


def test_memory_that_is_no_memory_is_refused(agreed, event):
    left, right = socket.socketpair()
    reader, writer = os.pipe()
    null, text = os.open("/dev/null", os.O_RDWR), os.open(__file__, os.O_RDONLY)
    try:
        for fd in (left.fileno(), reader, writer, null, text, event):
            assert agreed.acked(37, bytes(8) + region(0, 16, 0), [fd]) == 1
            assert agreed.acked(5, struct.pack("=II", 1, 0) + region(0, 16, 0), [fd]) == 1
    finally:
        for fd in (reader, writer, null, text):
            os.close(fd)
        left.close()
        right.close()


def test_fds_too_many_are_closed(agreed, event):
    for number, payload in ((13, u64(0)), (1, b""), (3, b""), (33, b""), (1000, b"")):
        left, right = socket.socketpair()
        fds = [left.fileno()] * 5
        if number == 13:
            fds[0] = event
        agreed.message(number, payload, fds=fds)
        left.close()
        if number == 1:
            assert agreed.answer()[0] == 1
        assert agreed.alive()
        if number == 33:  # the first of them is the display, now; say that there is none
            agreed.message(33)
            assert agreed.alive()
            right.settimeout(20)
            right.recv(4096)
        right.settimeout(20)
        assert right.recv(1) == b"", number
        right.close()


def test_kick_fds_that_cannot_be_waited_for_are_refused(agreed):
    text = os.open(__file__, os.O_RDONLY)
    assert agreed.acked(12, u64(0), [text]) == 1
    os.close(text)
    assert agreed.alive()


def test_a_gpu_socket_that_is_none_is_refused(agreed, event):
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    packets = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    internet = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    for sock in (datagrams, packets, internet):
        assert agreed.acked(33, fds=[sock.fileno()]) == 1
        sock.close()
    assert agreed.acked(33, fds=[event]) == 1
    assert agreed.alive()


def test_a_gpu_socket_that_is_not_connected_is_a_lost_display(agreed, heard):
    alone, listening = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2))
    listening.bind(f"\0outboard-{os.getpid()}")
    listening.listen()
    for sock in (alone, listening):
        assert agreed.acked(33, fds=[sock.fileno()]) == 0
        assert agreed.alive()
        sock.close()
    assert [event for event, _ in heard if event.startswith("display")] == ["display.lost"] * 2


def test_the_control_socket_s_own_end_as_gpu_socket_does_no_harm(service, raw):
    peer = raw(service)
    peer.message(33, fds=[peer.socket.fileno()])  # its question comes back as a request, which ends the session
    assert peer.ended()
    peer.close()
    assert raw(service).alive()


def test_answers_that_nobody_reads_end_the_session(service, raw):
    peer = raw(service)
    peer.socket.settimeout(0.5)
    asked = octets(example.GET_FEATURES) * 1000
    try:
        for _ in range(10_000):
            peer.socket.send(asked)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass
    else:
        pytest.fail("10 million unread answers")
    peer.close()
    assert raw(service).alive()


def test_one_front_end_waits_for_the_other_to_leave(service, raw):
    first, second = raw(service), raw(service)
    second.send(octets(example.GET_FEATURES))
    assert first.alive()
    assert service.sessions == 1
    first.close()
    assert second.receive(20)[12:] == u64(OFFERED)
    assert service.sessions == 2
