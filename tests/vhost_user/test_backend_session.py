"""The back-end's session on the control socket: what is legal, what the answers look like."""

import struct

import pytest

from outboard import trace
from outboard.errors import ProtocolError
from outboard.spec.vhost_user import U64, ConfigSpace, ProtocolFeature, VringState
from outboard.vhost_user.backend import BackendSession
from tests.vectors import worked_example as example
from tests.vectors.numbers import CONTROL_PAYLOADS
from tests.vectors.worked_example import octets

WITH_TAIL = {5, 24, 25}
UNKNOWN = [0, 6, 7, 19, 20, 22, 23, 26, 31, 32, 35, 39, 40, 41, 42, 43, 44, 45, 1000, 0xFFFFFFFF]


def message(request, payload=b"", flags=1):
    return struct.pack("=III", request, flags, len(payload)) + payload


def one(data, fds=()):
    (request,) = BackendSession().receive(data, fds)
    return request


@pytest.mark.parametrize("number", CONTROL_PAYLOADS)
def test_the_declared_size_is_legal(number):
    size, _, fewest, _ = CONTROL_PAYLOADS[number]
    payload = bytes(range(size))
    request = one(message(number, payload), range(100, 100 + fewest))
    assert request.number == number
    assert (request.payload.pack() if request.payload else b"") == payload
    assert (request.tail, request.need_reply) == (b"", False)


@pytest.mark.parametrize("number", CONTROL_PAYLOADS)
def test_other_sizes_are_not(number):
    size, _, fewest, _ = CONTROL_PAYLOADS[number]
    fds = list(range(100, 100 + fewest))
    for wrong in [*range(size), *range(size + 1, size + 10)]:
        session = BackendSession()
        if wrong > size and number in WITH_TAIL:
            (request,) = session.receive(message(number, bytes(wrong)), fds)
            assert request.tail == bytes(wrong - size)
        else:
            with pytest.raises(ProtocolError, match=f"expected {size} bytes, got {wrong}"):
                session.receive(message(number, bytes(wrong)), fds)
            assert session.close() == fds


@pytest.mark.parametrize("flags", [0, 2, 3, 4, 5, 6, 7, 0xD, 0xFFFFFFFF])
def test_another_version_or_the_reply_bit_is_refused(flags):
    with pytest.raises(ProtocolError, match="GET_FEATURES"):
        BackendSession().receive(message(1, flags=flags))


@pytest.mark.parametrize(("flags", "need_reply"), [(1, False), (9, True), (0x11, False), (0xFFFFFFF9, True)])
def test_need_reply_is_bit_3(flags, need_reply):
    assert one(message(3, flags=flags)).need_reply is need_reply


@pytest.mark.parametrize("number", UNKNOWN)
def test_unknown_requests_are_framed_and_handed_on(number):
    request = one(message(number, b"whatever", 9), [5])
    assert (request.row, request.payload, request.tail) == (None, None, b"whatever")
    assert request.frame.take_fds() == [5]
    assert str(number) in request.name or request.name.isupper()


@pytest.mark.parametrize("size", [4097, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("number", [1, 5, 24, 1000])
def test_a_hostile_size_is_refused_by_the_header_alone(number, size):
    with pytest.raises(ProtocolError, match="at most 4096 bytes"):
        BackendSession().receive(struct.pack("=III", number, 1, size))


@pytest.mark.parametrize("number", [21, 37])
def test_a_missing_fd_is_refused(number):
    with pytest.raises(ProtocolError, match="expected 1 fd, got 0"):
        BackendSession().receive(message(number, bytes(CONTROL_PAYLOADS[number][0])))


@pytest.mark.parametrize(("number", "fds"), [(1, 1), (12, 2), (33, 3), (38, 1), (5, 9)])
def test_fds_too_many_are_told_and_stay_with_the_request(number, fds):
    heard = []
    hook = lambda event, fields: heard.append((event, fields))  # noqa: E731
    trace.listen(hook)
    try:
        request = one(message(number, bytes(CONTROL_PAYLOADS[number][0])), range(fds))
    finally:
        trace.unlisten(hook)
    assert [(event, fields["got"]) for event, fields in heard] == [("vhost_user.extra_fds", fds)]
    assert request.frame.take_fds() == list(range(fds))


START = [
    (example.GET_FEATURES, 0),
    (example.SET_PROTOCOL_FEATURES, 0),
    (example.SET_OWNER, 0),
    (example.GET_CONFIG, 0),
    (example.GPU_SET_SOCKET, 1),
    (example.SET_FEATURES, 0),
    (example.SET_MEM_TABLE, 1),
    (example.SET_VRING_NUM, 0),
    (example.SET_VRING_BASE, 0),
    (example.SET_VRING_ADDR, 0),
    (example.SET_VRING_CALL, 1),
    (example.SET_VRING_KICK, 1),
    (example.SET_VRING_ENABLE, 0),
    (example.GET_VRING_BASE, 0),
]
NUMBERS = [1, 16, 3, 24, 33, 2, 5, 8, 10, 9, 13, 12, 18, 11]


@pytest.mark.parametrize("most", [1, 3, 12, 4096])
def test_a_usual_start_in_pieces_of_any_size(most):
    session = BackendSession()
    requests = []
    for text, count in START:
        data, fds = octets(text), [200 + len(requests)] * count
        while data:
            step = min(most, session.wanted)
            requests += session.receive(data[:step], fds)
            data, fds = data[step:], []
    assert [request.number for request in requests] == NUMBERS
    assert [request.frame.take_fds() for request in requests] == [[200 + at] * n for at, (_, n) in enumerate(START)]
    assert requests[5].payload.value == 0x170000000
    assert (requests[9].payload.descriptor, requests[9].payload.used, requests[9].payload.available) == (
        0x7F0000001000,
        0x7F0000002000,
        0x7F0000003000,
    )
    assert session.close() == []


def test_replies_are_the_documents_bytes():
    session = BackendSession()
    asked = one(octets(example.GET_FEATURES))
    assert session.reply(asked, U64(0x175000000)) == octets(example.FEATURES_OF_C)
    asked = one(octets(example.GET_VRING_BASE))
    assert session.reply(asked, VringState(0, 7)) == octets(example.GET_VRING_BASE_REPLY)
    asked = one(octets(example.GET_CONFIG))
    reply = session.reply(asked, ConfigSpace(0, 16, 0), bytes(range(16)))
    assert reply == bytes.fromhex("18000000 05000000 1c000000 00000000 10000000 00000000") + bytes(range(16))


@pytest.mark.parametrize("flags", [1, 9])
@pytest.mark.parametrize("agreed", [False, True])
@pytest.mark.parametrize("ok", [False, True])
def test_an_acknowledgement_needs_the_flag_and_the_feature(flags, agreed, ok):
    session = BackendSession()
    session.protocol_features = ProtocolFeature.REPLY_ACK if agreed else ProtocolFeature.CONFIG
    asked = one(message(5, bytes(8), flags))
    answer = session.acknowledge(asked, ok)
    assert answer == (octets(example.ACKNOWLEDGED if ok else example.REFUSED) if flags == 9 and agreed else b"")


def test_after_an_error_the_session_stays_broken():
    session = BackendSession()
    with pytest.raises(ProtocolError):
        session.receive(message(1, flags=0), [4])
    with pytest.raises(ProtocolError):
        session.receive(message(1), [5])
    assert sorted(session.close()) == [4, 5]
