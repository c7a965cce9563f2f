"""Framing: any split of the stream gives the same messages, and every fd has one owner."""

import struct

import pytest

from outboard.errors import ProtocolError
from outboard.vhost_user.connection import Connection

STREAM = (
    bytes.fromhex("01000000 01000000 00000000")
    + bytes.fromhex("08000000 09000000 08000000 0000000040000000")
    + bytes.fromhex("21000000 01000000 00000000")
    + bytes.fromhex("05000000 01000000 03000000 aabbcc")
)
MESSAGES = [
    (1, 1, b""),
    (8, 9, bytes.fromhex("0000000040000000")),
    (33, 1, b""),
    (5, 1, b"\xaa\xbb\xcc"),
]
STARTS = [0, 12, 32, 44]  # of the messages


def accept(header):
    """Refuse nothing."""


def seen(frames):
    return [(frame.request, frame.flags, frame.payload) for frame in frames]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_a_stream_in_two_pieces_is_the_same_stream(cut):
    connection = Connection(accept)
    frames = connection.receive(STREAM[:cut])
    assert seen(frames + connection.receive(STREAM[cut:])) == MESSAGES
    assert not connection.partial
    assert connection.close() == []


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 11, 12, 13])
def test_a_stream_in_many_pieces_is_the_same_stream(step):
    connection = Connection(accept)
    frames = []
    for at in range(0, len(STREAM), step):
        frames += connection.receive(STREAM[at : at + step])
    assert seen(frames) == MESSAGES


@pytest.mark.parametrize("most", [1, 2, 5, 12, 1000])
def test_a_reader_of_no_more_than_is_wanted_gives_every_fd_to_its_message(most):
    connection = Connection(accept)
    frames, at = [], 0
    while at < len(STREAM):
        step = min(connection.wanted, most)
        assert step >= 1
        # As in a socket: fds arrive with the byte they were sent with, the first of a message.
        fds = [100 + start for start in STARTS if at <= start < at + step]
        frames += connection.receive(STREAM[at : at + step], fds)
        at += step
    assert [frame.take_fds() for frame in frames] == [[100], [112], [132], [144]]
    assert connection.close() == []


@pytest.mark.parametrize("cut", range(1, 15))
def test_fds_of_a_split_message_are_that_message_s(cut):
    connection = Connection(accept)
    message = STREAM[44:]
    frames = connection.receive(message[:cut], [7, 8])
    if cut < len(message):
        assert frames == []
        frames = connection.receive(message[cut:], [9])
        assert frames[0].fds == [7, 8, 9]
    assert frames[0].take_fd() == 7
    assert frames[0].take_fds() == [8, 9][: 1 if cut == len(message) else 2]
    assert frames[0].take_fd() is None
    assert frames[0].take_fds() == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_fds_of_a_message_that_never_is_complete_come_back_once(cut):
    connection = Connection(accept)
    assert connection.receive(STREAM[:cut], [3, 4]) == []
    assert connection.partial
    assert connection.close() == [3, 4]
    assert connection.close() == []


def test_a_header_is_refused_before_its_payload_is_buffered():
    def small_only(header):
        if header.size > 100:
            raise ProtocolError("message", "at most 100 bytes", str(header.size))

    connection = Connection(small_only)
    head = struct.pack("=III", 1, 1, 0xFFFFFFFF)
    assert connection.receive(head[:11], [5]) == []
    with pytest.raises(ProtocolError, match="4294967295") as first:
        connection.receive(head[11:])
    with pytest.raises(ProtocolError) as again:
        connection.receive(STREAM, [6])
    assert again.value is first.value
    assert connection.close() == [5, 6]


def test_fds_of_messages_in_front_of_a_refused_one_are_not_lost():
    def no_33(header):
        if header.request == 33:
            raise ProtocolError("33", "another", "it")

    connection = Connection(no_33)
    with pytest.raises(ProtocolError):
        connection.receive(STREAM, [1, 2])
    assert connection.close() == [1, 2]


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(form):
    assert seen(Connection(accept).receive(form(STREAM))) == MESSAGES
