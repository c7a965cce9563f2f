"""Capture files, read by another reader of pcapng, and by Wireshark with the dissector."""

import io
import json
import os
import shutil
import struct
import subprocess
import threading

import pytest
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket, InterfaceDescription

from outboard.layout import Layout
from outboard.spec.virtio_gpu import DisplayOne, Rect, RespDisplayInfo
from outboard.tap import dissector
from outboard.tap.capture import Capture
from outboard.tap.seen import BACKEND, CONTROL, DISPLAY, KINDS, Seen
from tests.tap.conftest import exactly, message, send

pytestmark = pytest.mark.alike

WHEN_NS = 1_700_000_000_123_456_789


def seen(kind, to_backend, request, flags=1, payload=b"", size=None, fds=(), socket=None):
    size = len(payload) if size is None else size
    header = struct.pack("=III", request, flags, size)
    return Seen(WHEN_NS, socket or f"{kind.name}-1", kind, to_backend, header, payload, request, flags, size, fds)


def captured(path, *messages, pixels=False):
    capture = Capture(path, pixels=pixels)
    for kind in KINDS:
        capture.opened(f"{kind.name}-1", kind)
    for one in messages:
        capture.head(one)
    capture.close()
    assert not capture.failure
    return path


def blocks(path):
    with path.open("rb") as file:
        return list(FileScanner(io.BytesIO(file.read())))


def packets(path):
    return [block for block in blocks(path) if isinstance(block, EnhancedPacket)]


def pdu(data):
    """Dissector's name, direction and bytes of an Exported PDU."""
    tags, at = {}, 0
    while True:
        tag, length = struct.unpack_from(">HH", data, at)
        at += 4 + length
        if not tag:
            return tags[12].rstrip(b"\0").decode(), int.from_bytes(tags[35], "big"), data[at:]
        tags[tag] = data[at - length : at]


@pytest.fixture
def tshark(tmp_path):
    """`tshark(file, "field", …)`: a list of values for each packet."""
    if not (program := shutil.which("tshark")):
        if os.environ.get("OUTBOARD_REQUIRE_PEERS"):
            pytest.fail("peer missing although OUTBOARD_REQUIRE_PEERS is set: tshark", pytrace=False)
        pytest.skip("peer missing: tshark; apt-get install tshark")
    script = tmp_path / "outboard.lua"
    script.write_text(dissector.text())

    def read(path, *fields, keep=""):
        words = [program, "-n", "-X", f"lua_script:{script}", "-r", str(path), "-T", "fields", "-E", "separator=;"]
        words += [word for field in fields for word in ("-e", field)] + (["-Y", keep] if keep else [])
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert "Lua" not in done.stderr and "rror" not in done.stderr, done.stderr
        return [line.split(";") for line in done.stdout.splitlines()]

    return read


def test_another_reader_reads_it(tmp_path):
    path = captured(
        tmp_path / "a.pcapng",
        seen(CONTROL, True, 33, fds=("socket",)),
        seen(CONTROL, False, 1, 5, bytes(8)),
        seen(DISPLAY, False, 8, 0, bytes(20), size=20 + 4096),
    )
    interfaces = [block for block in blocks(path) if isinstance(block, InterfaceDescription)]
    assert [one.options["if_name"] for one in interfaces] == ["control-1", "backend-1", "gpu-1"]
    assert {one.link_type for one in interfaces} == {252}
    found = packets(path)
    assert [pdu(one.packet_data) for one in found] == [
        ("vhost-user", 0, message(33)),
        ("vhost-user", 1, message(1, 5, bytes(8))),
        ("vhost-user-gpu", 1, struct.pack("=III", 8, 0, 4116) + bytes(20)),
    ]
    assert [one.packet_len - one.captured_len for one in found] == [0, 0, 4096]
    assert [one.interface_id for one in found] == [0, 0, 2]
    assert found[0].options["opt_comment"] == "fds: socket"
    assert [one.options["epb_flags"].inout for one in found] == ["outbound", "inbound", "inbound"]
    assert found[0].timestamp == pytest.approx(WHEN_NS / 1e9)


def test_pixels_are_recorded_when_asked_for(make_rig, tmp_path):
    capture = Capture(tmp_path / "a.pcapng", pixels=True)
    rig = make_rig(capture)
    shown, drawn, *_ = rig.gpu()
    pixels = os.urandom(4 * 700 * 400)
    whole = message(8, 0, struct.pack("=IIIII", 0, 0, 0, 700, 400) + pixels)
    sender = threading.Thread(target=drawn.sendall, args=(whole,))
    sender.start()
    assert exactly(shown, len(whole)) == whole
    sender.join()
    rig.loop.call_threadsafe(rig.loop.stop)
    rig.thread.join()
    capture.close()
    found = [pdu(one.packet_data) for one in packets(tmp_path / "a.pcapng")]
    at = next(at for at, (name, *_) in enumerate(found) if name == "vhost-user-gpu")
    assert b"".join(data for _, _, data in found[at:]) == whole
    assert {name for name, *_ in found[at + 1 :]} == {"vhost-user-data"}


def test_long_messages_are_cut_or_go_on(tmp_path, tshark):
    long = seen(CONTROL, True, 77, 1, os.urandom(700_000))
    cut = packets(captured(tmp_path / "cut.pcapng", long))
    assert len(cut) == 1 and cut[0].packet_len - cut[0].captured_len == 500_000
    whole = captured(tmp_path / "whole.pcapng", long, pixels=True)
    assert b"".join(pdu(one.packet_data)[2] for one in packets(whole)) == long.header + long.payload
    assert [name for (name,) in tshark(whole, "_ws.col.Info")][1] == "more of the message before, 200000 bytes"


def test_a_full_disk_ends_the_capture_and_nothing_else(tmp_path):
    capture = Capture(tmp_path / "full")
    capture._file.close()
    capture._file = open("/dev/full", "wb")
    capture.opened("control-1", CONTROL)
    for _ in range(2000):
        capture.head(seen(CONTROL, True, 1))
    assert "No space left" in capture.failure
    capture.flush()
    capture.close()


def odd(layout, skew):
    """A structure's bytes, other than zero in every field."""
    return bytes((at * 7 + skew) % 250 + 1 for at in range(layout.sizeof))


def of_every_kind():
    """A message of each request and reply that the documents have, whole."""
    for kind in KINDS:
        for reply, shapes in ((False, kind.channel.requests), (True, kind.channel.replies)):
            for number, shape in shapes.items():
                payload = odd(shape.payload, number) if shape.payload else b""
                if shape.payload is RespDisplayInfo:
                    payload = RespDisplayInfo(
                        pmodes=(DisplayOne(Rect(0, 0, 1280, 800), 1),) + (DisplayOne(),) * 15
                    ).pack()
                if shape.payload and shape.payload.__name__ == "Update":
                    payload = struct.pack("=IIIII", 1, 2, 3, 2, 4)
                size = len(payload) + 32 if shape.tail and shape.tail[0] == "pixels" else None
                if size is None and shape.tail:
                    payload += odd(shape.tail[1], 3) * 2 if issubclass(shape.tail[1], Layout) else b"\1\2\3"
                yield seen(kind, (kind is CONTROL) != reply, number, 5 if reply else 1, payload, size)


def plain(summary):
    """Without what the bytes alone do not tell: fds, and flags that no dissector minds."""
    return summary.partition(", flags")[0].partition(", 1 expected")[0]


def test_wireshark_says_what_the_tap_says(tmp_path, tshark):
    """Both are made from the same declarations, and each reads the bytes by itself."""
    messages = list(of_every_kind())
    assert len(messages) > 120
    path = captured(tmp_path / "a.pcapng", *messages)
    rows = tshark(path, "_ws.col.Protocol", "_ws.col.Info")
    for one, (protocol, info) in zip(messages, rows, strict=True):
        said = one.decoded()
        assert protocol == one.kind.dissector
        expected = f"{said.name} {plain(said.summary)}".strip().removesuffix(",")
        assert info == (f"{said.name}" if plain(said.summary) == "1 expected" else expected)


def test_wireshark_reads_fields(tmp_path, tshark):
    path = captured(
        tmp_path / "a.pcapng",
        seen(CONTROL, True, 8, 9, struct.pack("=II", 1, 1024)),
        seen(DISPLAY, False, 4, 5, struct.pack("=Iii", 0, -10, 5)),
        seen(DISPLAY, False, 8, 0x557A, struct.pack("=IIIII", 0, 1, 2, 640, 480), size=20 + 4 * 640 * 480),
        seen(CONTROL, True, 37, 9, struct.pack("=QQQQQ", 0, 1 << 32, 1 << 30, 0x7F0000000000, 0), fds=("/memfd:m",)),
        seen(BACKEND, False, 2, 9),
        seen(CONTROL, True, 99, 1, b"abc"),
    )
    assert tshark(
        path, "vhost-user.name", "vhost-user.flags", "vhost-user.vringstate.num", keep="vhost-user.request == 8"
    ) == [["SET_VRING_NUM", "0x00000009", "1024"]]
    assert tshark(path, "vhost-user-gpu.cursorpos.x", "vhost-user-gpu.reply", keep="vhost-user-gpu.request == 4") == [
        ["-10", "0"]
    ], "the reply flag of a request means nothing"
    assert tshark(path, "vhost-user-gpu.update.width", "frame.len", keep="vhost-user-gpu.request == 8")[0][0] == "640"
    assert tshark(path, "vhost-user.memoryregion.guest_addr", "frame.comment", keep="vhost-user.request == 37") == [
        ["0x0000000100000000", "fds: /memfd:m"]
    ]
    assert tshark(path, "_ws.col.Info", "_ws.col.Source", keep="vhost-user-backend") == [
        ["BACKEND CONFIG_CHANGE_MSG", "back-end"]
    ]
    assert tshark(path, "_ws.col.Info", keep="vhost-user.request == 99") == [["unknown 99 3 bytes"]]


def test_wireshark_survives_what_is_odd(tmp_path, tshark):
    """Every message cut at many places, and with more behind it."""
    messages = []
    for one in of_every_kind():
        for length in {0, 1, 7, len(one.payload) // 2, max(0, len(one.payload) - 1), len(one.payload) + 5}:
            payload = (one.payload + b"x" * 5)[:length]
            messages.append(seen(one.kind, one.to_backend, one.request, one.flags, payload))
    rows = tshark(captured(tmp_path / "a.pcapng", *messages), "_ws.col.Info", "_ws.malformed", "_ws.lua.error")
    assert len(rows) == len(messages)
    assert [row for row in rows if any(row[1:])] == []


def test_the_dissector_command_prints_it(run_outboard):
    done = run_outboard("tap", "--dissector")
    assert (
        done.stdout == dissector.text()
        and "SET_VRING_NUM" in done.stdout
        and "@" not in done.stdout.split("local", 1)[1]
    )


def test_json_lines_are_whole_objects(make_rig):
    from outboard.tap.report import Report

    lines = []
    rig = make_rig(Report(lines.append, lambda words: None, verbose=True, as_json=True, quiet=False))
    front, back = rig.pair()
    send(front, message(13, 1, bytes(8)), [front.fileno()])
    assert exactly(back, 20)
    front.sendall(message(15))
    exactly(back, 12)
    about = [json.loads(line) for line in lines]
    assert [one["name"] for one in about][:3] == ["GET_FEATURES", "GET_FEATURES", "SET_VRING_CALL"]
    assert about[2]["fds"] == ["socket"] and about[2]["fields"] == {"value.index": "0", "value.nofd": "0"}
    assert [one["to"] for one in about][:2] == ["back-end", "front-end"]
