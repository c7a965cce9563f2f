"""Messages in words, against bytes and words typed by hand from the documents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outboard.layout import Array, Bytes, Layout, Scalar
from outboard.spec import vhost_user, vhost_user_gpu
from outboard.vhost_user import decode
from outboard.vhost_user.decode import backend_channel, control, display
from outboard.vhost_user.meanings import BACKEND_SAID, CONTROL_SAID, DISPLAY_SAID, MEANINGS


def octets(text):
    return bytes.fromhex(text)


REGION = "0000004000000000 0000000400000000 00000000007f0000 0000000000000000"
SAID_BY_FRONT_END = [
    (1, 1, "", 0, "GET_FEATURES", ""),
    (2, 1, "0000007001000000", 0, "SET_FEATURES", "INDIRECT_DESC|EVENT_IDX|VERSION_1|PROTOCOL_FEATURES"),
    (16, 1, "0902000000000000", 0, "SET_PROTOCOL_FEATURES", "MQ|REPLY_ACK|CONFIG"),
    (16, 1, "0000000001000000", 0, "SET_PROTOCOL_FEATURES", "0x100000000"),
    (16, 1, "0000000000000000", 0, "SET_PROTOCOL_FEATURES", "none"),
    (3, 1, "", 0, "SET_OWNER", ""),
    (33, 1, "", 1, "GPU_SET_SOCKET", "+ 1 fd"),
    (33, 1, "", 0, "GPU_SET_SOCKET", ""),
    (5, 1, "01000000 00000000" + REGION, 1, "SET_MEM_TABLE", "0x40000000+0x4000000 + 1 fd"),
    (37, 9, "0000000000000000" + REGION, 1, "ADD_MEM_REG", "0x40000000+0x4000000 + 1 fd"),
    (37, 9, "0000000000000000" + REGION, 0, "ADD_MEM_REG", "0x40000000+0x4000000, 1 expected"),
    (8, 1, "00000000 40000000", 0, "SET_VRING_NUM", "index=0 num=64"),
    (8, 1, "00000000", 0, "SET_VRING_NUM", "index=0 num=?, 4 of 8 bytes"),
    (8, 1, "", 0, "SET_VRING_NUM", "0 of 8 bytes"),
    (8, 1, "00000000 40000000 ff", 0, "SET_VRING_NUM", "index=0 num=64, 9 bytes, 8 expected"),
    (8, 0x42, "00000000 40000000", 0, "SET_VRING_NUM", "index=0 num=64, flags 0x42"),
    (13, 1, "0100000000000000", 1, "SET_VRING_CALL", "index=1 + 1 fd"),
    (13, 1, "0101000000000000", 2, "SET_VRING_CALL", "index=1 + 2 fds, 1 expected"),
    (24, 1, "00000000 10000000 00000000" + 16 * "00", 0, "GET_CONFIG", "offset=0 length=16"),
    (39, 1, "0b00000000000000", 0, "SET_STATUS", "ACKNOWLEDGE|DRIVER|FEATURES_OK"),
    (77, 1, "616263", 0, "unknown 77", "3 bytes"),
    (77, 1, "616263", 3, "unknown 77", "3 bytes + 3 fds, 0 expected"),
]


@pytest.mark.parametrize(("request_", "flags", "payload", "fds", "name", "summary"), SAID_BY_FRONT_END)
def test_what_a_front_end_says(request_, flags, payload, fds, name, summary):
    said = control(request_, flags, octets(payload), fds, to_backend=True)
    assert (said.name, said.summary) == (name, summary)
    assert said.known == (not name.startswith("unknown"))


@pytest.mark.parametrize(
    ("request_", "flags", "payload", "summary"),
    [
        (8, 5, "0000000000000000", "ok"),
        (8, 5, "0100000000000000", "refused"),
        (8, 5, "", "0 of 8 bytes"),
        (8, 1, "0000000000000000", "ok, flags 0x1"),
        (1, 5, "0000007501000000", "NOTIFY_ON_EMPTY|INDIRECT_DESC|EVENT_IDX|LOG_ALL|VERSION_1|PROTOCOL_FEATURES"),
        (15, 5, "2b8f000000000000", None),
        (17, 5, "0200000000000000", "2"),
        (11, 5, "00000000 07000000", "index=0 num=7"),
        (24, 5, "", "refused, no payload"),
        (24, 5, "00000000 02000000 00000000 0a0b", "offset=0 length=2 data=0a0b"),
    ],
)
def test_what_a_back_end_answers(request_, flags, payload, summary):
    said = control(request_, flags, octets(payload), to_backend=False)
    if summary is None:
        wanted = "MQ LOG_SHMFD REPLY_ACK BACKEND_REQ PAGEFAULT CONFIG BACKEND_SEND_FD HOST_NOTIFIER CONFIGURE_MEM_SLOTS"
        assert set(said.summary.split("|")) == set(wanted.split())
    else:
        assert set(said.summary.split("|")) == set(summary.split("|"))


@pytest.mark.parametrize(
    ("request_", "flags", "payload", "fds", "size", "name", "summary"),
    [
        (7, 0, "00000000 00040000 00030000", 0, None, "GPU SCANOUT", "scanout 0 1024x768"),
        (7, 5, "00000000 00000000 00000000", 0, None, "GPU SCANOUT", "scanout 0 0x0"),
        (8, 0x557A, "00000000 01000000 02000000 02000000 02000000", 0, 36, "GPU UPDATE", "scanout 0 2x2 at 1,2"),
        (8, 0, "00000000 01000000 02000000 02000000 02000000", 0, 30, "GPU UPDATE", None),
        (8, 0, "00000000 01000000 02000000", 0, 12, "GPU UPDATE", "scanout 0 ?x? at 1,2, 12 of 20 bytes"),
        (4, 0, "00000000 f6ffffff 05000000", 0, None, "GPU CURSOR_POS", "scanout 0 at -10,5"),
        (2, 0, "0300000000000000", 0, None, "GPU SET_PROTOCOL_FEATURES", "EDID|DMABUF2"),
        (9, 0, 20 * "00" + "40000000 20000000 00010000 01000000 58523234", 1, None, "GPU DMABUF_SCANOUT", "xr"),
        (200, 0, "", 0, None, "unknown 200", "0 bytes"),
    ],
)
def test_what_a_back_end_shows(request_, flags, payload, fds, size, name, summary):
    said = display(request_, flags, octets(payload), fds, to_frontend=True, size=size)
    if summary is None:
        summary = "scanout 0 2x2 at 1,2, 30 bytes, 36 expected"
    if summary == "xr":
        summary = "scanout 0 0x0, XR24 64x32 stride 256 + 1 fd"
    assert (said.name, said.summary) == (name, summary)


def test_what_a_display_answers():
    info = bytes(24) + octets("00000000 00000000 00050000 20030000 01000000 00000000") + bytes(15 * 24)
    assert display(3, 4, info, to_frontend=False).summary == "output 0 1280x800"
    assert display(10, 4, b"", to_frontend=False).summary == "done"
    assert display(1, 4, octets("0300000000000000"), to_frontend=False).summary == "EDID|DMABUF2"
    assert display(1, 0, octets("0300000000000000"), to_frontend=False).summary == "EDID|DMABUF2, flags 0x0"
    odd = display(8, 4, b"x", to_frontend=False)
    assert odd.known and odd.summary == "a reply that the document does not have, 1 bytes"


def test_what_a_back_end_says_on_its_own_channel():
    said = backend_channel(2, 9, b"", to_frontend=True)
    assert (said.name, said.known) == ("BACKEND CONFIG_CHANGE_MSG", True)
    assert backend_channel(2, 5, octets("0100000000000000"), to_frontend=False).summary == "refused"


def test_all_fields_are_told_by_dotted_names():
    info = bytes(24) + octets("00000000 00000000 00050000 20030000 01000000 00000000") + bytes(15 * 24)
    fields = dict(display(3, 4, info, to_frontend=False).fields)
    assert fields["pmodes[0].r.width"] == "1280" and fields["pmodes[0].enabled"] == "1"
    assert fields["pmodes[1-15]"] == "0", "those that are all zero are one line"
    assert dict(control(13, 1, octets("0201000000000000"), to_backend=True).fields) == {
        "value.index": "2",
        "value.nofd": "1",
    }
    assert dict(control(77, 1, b"abc", to_backend=True).fields) == {"payload": "616263"}


def test_many_bytes_are_a_checksum():
    cursor = display(6, 0, bytes(20) + bytes(16384), to_frontend=True)
    assert dict(cursor.fields)["data"] == "16384 bytes, crc32 ab54d286"
    pixels = display(8, 0, octets("00000000 00000000 00000000 20000000 20000000"), to_frontend=True, size=20 + 4096)
    assert dict(pixels.fields)["pixels"] == "4096 bytes"


@given(
    st.sampled_from([control, backend_channel, display]),
    st.integers(0, 50) | st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 0xFFFF_FFFF),
    st.binary(max_size=600),
    st.integers(0, 253),
    st.booleans(),
)
def test_nothing_raises(decoder, request_, flags, payload, fds, way):
    words = {control: "to_backend", backend_channel: "to_frontend", display: "to_frontend"}
    said = decoder(request_, flags, payload, fds, **{words[decoder]: way})
    assert said.name and "\n" not in said.name + said.summary
    assert all(isinstance(name, str) and isinstance(text, str) for name, text in said.fields)


@pytest.mark.parametrize(
    ("channel", "rows", "said"),
    [
        (decode.CONTROL, vhost_user.OBSERVED, CONTROL_SAID),
        (decode.BACKEND, vhost_user.BACKEND_REQUESTS, BACKEND_SAID),
        (decode.DISPLAY, vhost_user_gpu.REQUESTS, DISPLAY_SAID),
    ],
)
def test_every_request_of_the_documents_has_a_row(channel, rows, said):
    assert set(channel.requests) == {int(number) for number in channel.numbers} == {int(number) for number in rows}
    assert set(said) <= set(rows)


@pytest.mark.parametrize("channel", [decode.CONTROL, decode.BACKEND, decode.DISPLAY])
def test_templates_name_fields_that_there_are(channel):
    """A whole message of zeros leaves no question mark."""
    for number, shape in channel.requests.items():
        size = shape.payload.sizeof if shape.payload else 0
        tail = 0 if shape.tail is None or shape.tail[1] is bytes else shape.tail[1].sizeof
        words = decode._decode(channel, number, 1, bytes(size + tail), shape.fds[0], False, None).summary
        assert "?" not in words, (number, words)
    for number, shape in channel.replies.items():
        size = shape.payload.sizeof if shape.payload else 0
        more = 1 if shape.tail and shape.tail[1] is bytes else 8 if shape.tail else 0
        words = decode._decode(channel, number, 5, bytes(size + more), 0, True, None).summary
        assert "?" not in words, (number, words)


def test_meanings_belong_to_fields():
    for layout, name in MEANINGS:
        assert name in {row.name for row in layout.rows()}
        assert isinstance(decode.kinds(layout)[name], Scalar)


def test_kinds_are_those_of_the_declarations():
    kinds = decode.kinds(vhost_user_gpu.CursorUpdate)
    assert kinds["pos"] is vhost_user_gpu.CursorPos and kinds["data"] == Bytes(16384)
    info = decode.kinds(decode.DISPLAY.replies[3].payload)["pmodes"]
    assert isinstance(info, Array) and issubclass(decode.kind_of(info.item), Layout)
