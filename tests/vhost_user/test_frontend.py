"""Front-end session against bytes typed by hand: QEMU docs/interop/vhost-user, and what a real front-end sends."""

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.spec.vhost_user import (
    U64,
    ConfigSpace,
    Inflight,
    MemoryRegion,
    MemTable,
    ProtocolFeature,
    Req,
    VringState,
)
from outboard.vhost_user.frontend import Frontend, Message, Reply

REGION = MemoryRegion(0x4000_0000, 64 << 20, 0x7F00_0000_0000, 0)
MQ_REPLY_ACK_CONFIG = 0x209


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("·", ""))


def negotiated(features: int = MQ_REPLY_ACK_CONFIG, ack_all: bool = False) -> Frontend:
    frontend = Frontend(ack_all)
    frontend.set_protocol_features(features)
    return frontend


REQUESTS = {
    "GET_FEATURES": (lambda f: f.get(Req.GET_FEATURES), "01000000 01000000 00000000", ()),
    "SET_PROTOCOL_FEATURES": (
        lambda f: f.set_protocol_features(0x209),
        "10000000 01000000 08000000 · 0902000000000000",
        (),
    ),
    "SET_OWNER": (lambda f: f.get(Req.SET_OWNER), "03000000 01000000 00000000", ()),
    "GET_CONFIG": (
        lambda f: f.get_config(0, 16),
        "18000000 01000000 1c000000 · 00000000 10000000 00000000 · 00000000000000000000000000000000",
        (),
    ),
    "SET_CONFIG": (
        lambda f: f.set_config(4, b"\1\0\0\0"),
        "19000000 01000000 10000000 · 04000000 04000000 00000000 · 01000000",
        (),
    ),
    "GPU_SET_SOCKET": (lambda f: f.gpu_set_socket(9), "21000000 01000000 00000000", (9,)),
    "SET_FEATURES": (lambda f: f.set_features(0x1_7000_0000), "02000000 01000000 08000000 · 0000007001000000", ()),
    "SET_MEM_TABLE, need_reply": (
        lambda f: f.set_mem_table([REGION], [9]),
        "05000000 09000000 28000000 · 01000000 00000000"
        "· 0000004000000000 0000000400000000 00000000007f0000 0000000000000000",
        (9,),
    ),
    "ADD_MEM_REG, need_reply": (
        lambda f: f.add_mem_reg(REGION, 9),
        "25000000 09000000 28000000 · 0000000000000000"
        "· 0000004000000000 0000000400000000 00000000007f0000 0000000000000000",
        (9,),
    ),
    "REM_MEM_REG, need_reply": (
        lambda f: f.rem_mem_reg(REGION),
        "26000000 09000000 28000000 · 0000000000000000"
        "· 0000004000000000 0000000400000000 00000000007f0000 0000000000000000",
        (),
    ),
    "SET_VRING_NUM": (lambda f: f.set_vring_num(0, 64), "08000000 01000000 08000000 · 00000000 40000000", ()),
    "SET_VRING_BASE": (lambda f: f.set_vring_base(0, 0), "0a000000 01000000 08000000 · 00000000 00000000", ()),
    "SET_VRING_ADDR, used before available": (
        lambda f: f.set_vring_addr(0, 0x7F00_0000_0000, 0x7F00_0000_0400, 0x7F00_0000_0500),
        "09000000 01000000 28000000 · 00000000 00000000"
        "· 00000000007f0000 · 00050000007f0000 · 00040000007f0000 · 0000000000000000",
        (),
    ),
    "SET_VRING_CALL": (
        lambda f: f.set_vring_fd(Req.SET_VRING_CALL, 0, 9),
        "0d000000 01000000 08000000 · 0000000000000000",
        (9,),
    ),
    "SET_VRING_CALL without fd": (
        lambda f: f.set_vring_fd(Req.SET_VRING_CALL, 1, None),
        "0d000000 01000000 08000000 · 0101000000000000",
        (),
    ),
    "SET_VRING_KICK": (
        lambda f: f.set_vring_fd(Req.SET_VRING_KICK, 0, 9),
        "0c000000 01000000 08000000 · 0000000000000000",
        (9,),
    ),
    "SET_VRING_ENABLE": (lambda f: f.set_vring_enable(0, True), "12000000 01000000 08000000 · 00000000 01000000", ()),
    "GET_VRING_BASE": (lambda f: f.get_vring_base(0), "0b000000 01000000 08000000 · 00000000 00000000", ()),
    "RESET_DEVICE": (lambda f: f.get(Req.RESET_DEVICE), "22000000 01000000 00000000", ()),
    "GET_INFLIGHT_FD, as large as QEMU's": (
        lambda f: f.get_inflight_fd(2, 128),
        "1f000000 01000000 18000000 · 0000000000000000 0000000000000000 0200 8000 00000000",
        (),
    ),
    "SET_INFLIGHT_FD": (
        lambda f: f.set_inflight_fd(Inflight(0x1000, 0x40, 2, 128), 9),
        "20000000 01000000 18000000 · 0010000000000000 4000000000000000 0200 8000 00000000",
        (9,),
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_have_the_bytes_of_the_document(name):
    compose, text, fds = REQUESTS[name]
    others = ProtocolFeature.CONFIGURE_MEM_SLOTS | ProtocolFeature.RESET_DEVICE | ProtocolFeature.INFLIGHT_SHMFD
    assert compose(negotiated(MQ_REPLY_ACK_CONFIG | others)) == Message(octets(text), fds)


FEATURES_REPLY = octets("01000000 05000000 08000000 · 0000007501000000")
CONFIG_REPLY = octets("18000000 05000000 1c000000 · 00000000 10000000 00000000 · 00000000 00000000 01000000 02000000")
BASE_REPLY = octets("0b000000 05000000 08000000 · 01000000 08000000")


@pytest.mark.parametrize("split", range(1, len(FEATURES_REPLY)))
def test_a_reply_may_come_in_pieces(split):
    frontend = Frontend()
    frontend.get(Req.GET_FEATURES)
    assert frontend.receive(FEATURES_REPLY[:split]) == []
    assert frontend.receive(FEATURES_REPLY[split:]) == [Reply(Req.GET_FEATURES, U64(0x1_7500_0000))]
    assert frontend.features_offered == 0x1_7500_0000
    assert frontend.replies_due == 0


def test_several_replies_may_come_at_once():
    frontend = negotiated()
    frontend.get(Req.GET_FEATURES)
    frontend.get_config(0, 16)
    frontend.get_vring_base(1)
    features, config, base = frontend.receive(FEATURES_REPLY + CONFIG_REPLY + BASE_REPLY)
    assert features.value == 0x1_7500_0000
    assert config.payload == ConfigSpace(0, 16, 0)
    assert config.tail == octets("00000000 00000000 01000000 02000000")
    assert base == Reply(Req.GET_VRING_BASE, VringState(1, 8)) and base.num == 8


def test_an_empty_reply_to_get_config_is_a_refusal():
    frontend = negotiated()
    frontend.get_config(0, 16)
    assert frontend.receive(octets("18000000 05000000 00000000")) == [Reply(Req.GET_CONFIG, None)]


@pytest.mark.parametrize(
    ("text", "expected", "got"),
    [
        ("01000000 04000000 08000000 · 0000007501000000", "reply flags 0x5", "0x4"),
        ("01000000 01000000 08000000 · 0000007501000000", "reply flags 0x5", "0x1"),
        ("01000000 0d000000 08000000 · 0000007501000000", "reply flags 0x5", "0xd"),
        ("02000000 05000000 08000000 · 0000007501000000", "a reply with id 1", "id 2"),
        ("01000000 05000000 04000000 · 00000075", "8 bytes", "4"),
        ("01000000 05000000 0c000000 · 000000750100000000000000", "8 bytes", "12"),
        ("01000000 05000000 00000000", "8 bytes", "0"),
        ("01000000 05000000 ffffffff", "8 bytes", "4294967295"),
    ],
)
def test_a_wrong_reply_breaks_the_session_for_good(text, expected, got):
    frontend = Frontend()
    frontend.get(Req.GET_FEATURES)
    with pytest.raises(ProtocolError) as caught:
        frontend.receive(octets(text), [5])
    assert (caught.value.request, caught.value.expected, caught.value.got) == ("GET_FEATURES", expected, got)
    with pytest.raises(ProtocolError):
        frontend.receive(FEATURES_REPLY)
    assert frontend.close() == [5]


def test_a_reply_that_nobody_asked_for_is_refused():
    with pytest.raises(ProtocolError, match="nothing was asked"):
        Frontend().receive(FEATURES_REPLY)


def test_fds_that_come_with_a_reply_are_given_back_at_the_end():
    frontend = Frontend()
    frontend.get(Req.GET_FEATURES)
    frontend.receive(FEATURES_REPLY, [5, 6])
    assert frontend.close() == [5, 6]
    assert frontend.close() == []


def test_the_fd_of_an_inflight_area_belongs_to_its_reply():
    frontend = negotiated(ProtocolFeature.INFLIGHT_SHMFD)
    frontend.get_inflight_fd(1, 8)
    text = "1f000000 05000000 18000000 · d000000000000000 0000000000000000 0100 0800 00000000"
    (reply,) = frontend.receive(octets(text), [7])
    assert reply == Reply(Req.GET_INFLIGHT_FD, Inflight(0xD0, 0, 1, 8), b"", (7,))
    assert frontend.close() == []


def test_only_memory_requests_ask_for_acknowledgement_as_in_qemu():
    frontend = negotiated()
    assert frontend.set_vring_enable(0, True).data[4:8] == octets("01000000")
    assert frontend.replies_due == 0
    frontend.set_mem_table([REGION], [9])
    assert frontend.replies_due == 1
    assert frontend.receive(octets("05000000 05000000 08000000 · 0000000000000000"))[0].value == 0


def test_every_request_can_ask_for_acknowledgement():
    frontend = negotiated(ack_all=True)
    assert frontend.set_vring_enable(0, True).data[4:8] == octets("09000000")
    assert frontend.receive(octets("12000000 05000000 08000000 · 0100000000000000"))[0].value == 1
    frontend.get(Req.GET_FEATURES)
    assert frontend.replies_due == 1, "a request with a reply of its own gets only that"


def test_without_reply_ack_nothing_asks_for_acknowledgement():
    frontend = negotiated(ProtocolFeature.MQ, ack_all=True)
    assert frontend.set_mem_table([REGION], [9]).data[4:8] == octets("01000000")
    assert frontend.replies_due == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda f: f.get(Req.GET_MAX_MEM_SLOTS),
        lambda f: f.get(Req.RESET_DEVICE),
        lambda f: f.get(Req.SET_FEATURES),
        lambda f: f.compose(Req.SET_OWNER, U64(1)),
        lambda f: f.compose(Req.SET_FEATURES, U64(1), b"tail"),
        lambda f: f.compose(Req.SET_VRING_NUM, VringState(), fds=(1,)),
        lambda f: f.compose(Req.GPU_SET_SOCKET, fds=(1, 2)),
        lambda f: f.set_mem_table([REGION] * 9, [1] * 9),
        lambda f: f.set_mem_table([REGION] * 2, [1]),
        lambda f: f.get_config(0, 257),
    ],
)
def test_requests_that_the_table_does_not_know_are_our_callers_mistake(wrong):
    frontend = negotiated()
    with pytest.raises(LocalError):
        wrong(frontend)
    assert frontend.replies_due == 0


def test_wanted_never_reaches_into_the_next_message():
    frontend = Frontend()
    frontend.get(Req.GET_FEATURES)
    assert frontend.wanted == 12
    frontend.receive(FEATURES_REPLY[:12])
    assert frontend.wanted == 8


def test_mem_table_counts_its_regions():
    message = negotiated().set_mem_table([REGION, REGION], [3, 4])
    assert MemTable.unpack_from(message.data, 12).nregions == 2
    assert len(message.data) == 12 + 8 + 2 * 32
