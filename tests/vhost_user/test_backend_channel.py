"""The back-end's own channel, against bytes typed by hand: QEMU docs/interop/vhost-user, "Back-end message types"."""

import array
import socket

import pytest

from outboard.errors import ProtocolError
from outboard.frontend.channel import Channel
from outboard.vhost_user.backend_channel import BackendChannel

pytestmark = pytest.mark.alike


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("·", ""))


CONFIG_CHANGE = octets("02000000 01000000 00000000")
CONFIG_CHANGE_ASKS = octets("02000000 09000000 00000000")
DONE = octets("02000000 05000000 08000000 · 0000000000000000")
# Message with need_reply, and the refusal.
OTHERS = {
    "IOTLB_MSG": ("01000000 09000000 20000000" + "00" * 32, "01000000"),
    "VRING_HOST_NOTIFIER_MSG": ("03000000 09000000 18000000" + "00" * 24, "03000000"),
    "VRING_CALL": ("04000000 09000000 08000000 0000000000000000", "04000000"),
    "VRING_ERR": ("05000000 09000000 08000000 0000000000000000", "05000000"),
    "SHARED_OBJECT_ADD": ("06000000 09000000 10000000" + "00" * 16, "06000000"),
    "SHARED_OBJECT_REMOVE": ("07000000 09000000 10000000" + "00" * 16, "07000000"),
    "SHARED_OBJECT_LOOKUP": ("08000000 09000000 10000000" + "00" * 16, "08000000"),
    "SHMEM_MAP": ("09000000 09000000 28000000" + "00" * 40, "09000000"),
    "SHMEM_UNMAP": ("0a000000 09000000 28000000" + "00" * 40, "0a000000"),
    "one that nobody knows": ("63000000 09000000 00000000", "63000000"),
}


class Session:
    """A channel, how often it said that the config changed, and what was observed."""

    def __init__(self) -> None:
        self.changes = 0
        self.seen: list[tuple] = []
        self.channel = BackendChannel(self.count, lambda *message: self.seen.append(message))

    def count(self) -> None:
        self.changes += 1


def test_a_config_change_is_reported_and_answered_only_when_asked():
    session = Session()
    assert session.channel.receive(CONFIG_CHANGE) == b""
    assert session.channel.receive(CONFIG_CHANGE_ASKS) == DONE
    assert session.changes == 2
    assert session.seen == [
        (False, 2, 1, b"", 0, 0),
        (False, 2, 9, b"", 0, 0),
        (True, 2, 5, bytes(8), 8, 0),
    ]


@pytest.mark.parametrize("name", OTHERS)
def test_all_other_requests_are_refused_and_only_when_asked(name):
    message, number = OTHERS[name]
    session = Session()
    assert session.channel.receive(octets(message)) == octets(f"{number} 05000000 08000000 · 0100000000000000")
    quiet = octets(message)[:4] + b"\1" + octets(message)[5:]
    assert session.channel.receive(quiet) == b""
    assert session.changes == 0


@pytest.mark.parametrize("split", range(1, 12 + 32))
def test_the_stream_may_be_split_anywhere(split):
    stream = octets(OTHERS["IOTLB_MSG"][0]) + CONFIG_CHANGE_ASKS
    session = Session()
    answers = session.channel.receive(stream[:split]) + session.channel.receive(stream[split:])
    assert answers == octets("01000000 05000000 08000000 · 0100000000000000") + DONE
    assert session.changes == 1


def test_it_wants_no_byte_of_the_next_message():
    session = Session()
    assert session.channel.wanted == 12
    session.channel.receive(octets("04000000 01000000 08000000"))
    assert session.channel.wanted == 8


def test_fds_are_handed_out_to_be_closed():
    session = Session()
    session.channel.receive(CONFIG_CHANGE, [7, 8])
    assert session.channel.take_fds() == [7, 8]
    assert session.channel.take_fds() == []
    session.channel.receive(CONFIG_CHANGE[:5], [9])
    session.channel.receive(CONFIG_CHANGE[5:] + CONFIG_CHANGE[:2], [10])
    assert sorted(session.channel.close()) == [9, 10]


@pytest.mark.parametrize(
    "header",
    [
        "02000000 00000000 00000000",
        "02000000 02000000 00000000",
        "02000000 ffffffff 00000000",
        "02000000 01000000 01100000",
        "02000000 01000000 ffffffff",
    ],
)
def test_a_header_that_cannot_be_breaks_the_channel(header):
    session = Session()
    with pytest.raises(ProtocolError, match="back-end channel"):
        session.channel.receive(octets(header))
    with pytest.raises(ProtocolError):
        session.channel.receive(CONFIG_CHANGE)
    assert session.changes == 0


# On a socket


class Pair:
    """A channel on a socket, and the back-end's end."""

    def __init__(self) -> None:
        self.changes = 0
        self.theirs, ours = socket.socketpair()
        self.theirs.settimeout(5)
        self.channel = Channel(ours, self.count, None)

    def count(self) -> None:
        self.changes += 1

    def send(self, data: bytes, fds=()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.theirs.sendmsg([data], rights)


def test_the_socket_is_served_message_by_message():
    pair = Pair()
    pair.send(CONFIG_CHANGE_ASKS + CONFIG_CHANGE)
    while pair.changes < 2:
        assert pair.channel.step()
    assert pair.theirs.recv(100) == DONE
    assert pair.channel.step(), "nothing there is not the end"
    pair.channel.close()
    pair.theirs.close()


def test_fds_on_the_channel_are_closed(open_fds):
    pair = Pair()
    before = open_fds()
    for _ in range(5):
        pair.send(CONFIG_CHANGE, [0, 1, 2])
        while pair.channel.step() and pair.changes == 0:
            pass
        pair.changes = 0
    assert open_fds() == before
    pair.send(CONFIG_CHANGE[:4], [0, 1])
    pair.channel.step()
    pair.channel.close()
    pair.theirs.close()
    assert open_fds() == before - 2


@pytest.mark.parametrize("end", ["header", "close", "silence"])
def test_the_channel_ends_alone(end, open_fds):
    before = open_fds()
    pair = Pair()
    if end == "header":
        pair.send(octets("02000000 00000000 00000000"), [0])
    elif end == "close":
        pair.theirs.close()
    else:  # A back-end that asks and asks, and never reads the answers.
        pair.theirs.setblocking(False)
    going = True
    while going:
        if end == "silence":
            pair.theirs.send(CONFIG_CHANGE_ASKS)
        going = pair.channel.step()
    if end == "header":
        assert pair.theirs.recv(1) == b""
    pair.theirs.close()
    assert open_fds() == before
