"""The driver against answers that a device must not give; a card on a device of a few lines, without any VMM."""

import struct

import pytest

from outboard.errors import ProtocolError
from outboard.machine.card import Card
from outboard.machine.gpu_driver import GpuDriver, Refused, Response, fenced
from outboard.spec.virtio_gpu import Cmd, Config, CtrlHdr, Feature, HdrFlag, Rect, ResourceFlush, ResourceUnref, Resp

pytestmark = pytest.mark.alike

ANSWERS = {
    # response, bytes in all, as the table of the commands has them
    Cmd.GET_DISPLAY_INFO: (0x1101, 408),
    Cmd.GET_EDID: (0x1104, 1056),
    Cmd.GET_CAPSET_INFO: (0x1102, 40),
}


class Device(GpuDriver):
    """A driver whose device is a table: `answers` maps a command to the bytes it is answered with."""

    def __init__(self, features=Feature.EDID, **config):
        self.answers = {
            cmd: struct.pack("<I", response).ljust(size, b"\0") for cmd, (response, size) in ANSWERS.items()
        }
        self.sent = []
        self.requests = []
        self._memory = memoryview(bytearray(1 << 20))
        self._next = 0
        self._features = features
        self._config = Config(**{"num_scanouts": 1, **config})

    @property
    def features(self):
        return self._features

    def config(self):
        return self._config

    def command(self, request, tail=b"", **options):
        data = request if isinstance(request, bytes) else request.pack()
        self.sent.append(int.from_bytes(data[:4], "little"))
        self.requests.append(data + tail)
        answer = self.answers.get(self.sent[-1], struct.pack("<I", 0x1100).ljust(24, b"\0"))
        return Response(int.from_bytes(answer[:4], "little"), answer)

    def ok_all(self, requests):
        for request in requests:
            self.ok(request)

    def allocate(self, size, align=4096):
        self._next += size
        return self._next - size

    def view(self, guest_addr, length):
        return self._memory[guest_addr : guest_addr + length]


def broken(call, *arguments):
    with pytest.raises(ProtocolError) as caught:
        call(*arguments)
    return str(caught.value)


def test_probe_is_linuxs():
    device = Device(num_scanouts=2, num_capsets=2)
    device.answers[Cmd.GET_DISPLAY_INFO] = struct.pack(
        "<24x IIIIII IIIIII 336x", 0, 0, 800, 600, 1, 0, 0, 0, 640, 480, 0, 0
    ).replace(bytes(4), struct.pack("<I", 0x1101), 1)
    device.answers[Cmd.GET_CAPSET_INFO] = struct.pack("<I20x IIII", 0x1102, 1, 2, 308, 0)
    card = Card(device)
    card.probe()
    assert device.sent == [0x108, 0x108, 0x10A, 0x10A, 0x100]
    assert [one.preferred for one in card.connectors] == [(800, 600), (0, 0)]
    assert [(one.capset_id, one.capset_max_version, one.capset_max_size) for one in card.capsets] == [(1, 2, 308)] * 2


def test_an_enabled_display_without_a_size_gets_linuxs():
    device = Device()
    device.answers[Cmd.GET_DISPLAY_INFO] = struct.pack("<I20x IIIIII 360x", 0x1101, 0, 0, 0, 0, 1, 0)
    card = Card(device)
    assert [one.preferred for one in card.probe()] == [(1024, 768)]


def test_an_edid_may_be_refused_but_not_forgotten():
    device = Device()
    device.answers[Cmd.GET_EDID] = struct.pack("<I20x", 0x1200)
    assert [one.edid for one in Card(device).probe()] == [b""]
    device.answers[Cmd.GET_EDID] = struct.pack("<I20x", 0x1100)
    assert "GET_EDID (0x10a): expected OK_EDID, got OK_NODATA (0x1100)" in broken(Card(device).probe)
    device.answers[Cmd.GET_EDID] = struct.pack("<I20xII1024x", 0x1104, 1025, 0)
    assert "at most 1024, got 1025" in broken(Card(device).probe)


@pytest.mark.parametrize("number", [0, 17, 1 << 31])
def test_a_number_of_outputs_that_cannot_be(number):
    assert "config.num_scanouts: expected 1 to 16" in broken(Card(Device(num_scanouts=number)).probe)


def test_a_number_of_capability_sets_that_cannot_be():
    device = Device(num_capsets=0xFFFF_FFFF)
    assert "config.num_capsets: expected at most 64" in broken(Card(device).probe)
    assert device.sent == []


def test_answers_that_are_too_short():
    device = Device()
    device.answers[Cmd.GET_DISPLAY_INFO] = struct.pack("<I20x", 0x1101)
    assert "expected 408 bytes, got 24" in broken(Card(device).probe)


def test_refusals_have_names():
    device = Device()
    for number, words in {0x1203: "ERR_INVALID_RESOURCE_ID (0x1203)", 0x77: "0x77"}.items():
        device.answers[Cmd.RESOURCE_UNREF] = struct.pack("<I20x", number)
        with pytest.raises(Refused) as caught:
            device.unref(7)
        assert str(caught.value) == f"RESOURCE_UNREF (0x102): the device answered {words}"
        assert (caught.value.command, caught.value.response) == (0x102, number)
        assert caught.value.request == ResourceUnref(resource_id=7).pack()
    device.answers[Cmd.RESOURCE_UNREF] = b""
    with pytest.raises(Refused, match="answered nothing"):
        device.unref(7)


def test_a_fence_must_be_repeated():
    device = Device()
    flush = fenced(ResourceFlush().pack(), 0x1234)
    device.answers[Cmd.RESOURCE_FLUSH] = CtrlHdr(Resp.OK_NODATA, HdrFlag.FENCE, 0x1234).pack()
    device.ok(flush)
    for answer in (CtrlHdr(Resp.OK_NODATA, 0, 0x1234), CtrlHdr(Resp.OK_NODATA, HdrFlag.FENCE, 0x1235)):
        device.answers[Cmd.RESOURCE_FLUSH] = answer.pack()
        assert "RESOURCE_FLUSH (0x104): expected flags and fence_id 01000000341200" in broken(device.ok, flush)
    device.answers[Cmd.RESOURCE_FLUSH] = struct.pack("<I", 0x1100)
    broken(device.ok, flush)


def test_commands_go_together_and_the_first_error_is_told(host):
    rig = host()
    driver = rig.card.driver
    buffers = [rig.card.dumb(8, 8) for _ in range(40)]
    driver.ok_all([ResourceFlush(r=Rect(0, 0, 8, 8), resource_id=one.resource_id) for one in buffers])
    requests = [ResourceUnref(resource_id=number) for number in (1, 99, 2, 98)]
    with pytest.raises(Refused) as caught:
        driver.ok_all(requests)
    assert caught.value.request == requests[1].pack()
    with pytest.raises(Refused):
        driver.unref(2)  # what stood behind the refused one was executed
    driver.unref(3)


@pytest.mark.parametrize("options", [{"piece": 7}, {"indirect": True}])
def test_a_card_may_stand_on_a_driver_that_scatters(host, options):
    rig = host()
    card = Card(GpuDriver(rig.server.vmm, **options))
    card.probe()
    buffer = card.dumb(320, 200)
    buffer.words[:] = 0x123456
    card.set_mode(0, buffer)
    assert (rig.frame().words & 0xFFFFFF == 0x123456).all()


def octets(text):
    """Read hexadecimal; "20z" stands for twenty zero bytes."""
    return bytes.fromhex(text.replace("20z", "00" * 20))


def test_what_is_sent_when_is_linuxs():
    """Every request byte by byte, typed from the tables of VIRTIO 1.2, 5.7.6."""
    device = Device(features=0, num_scanouts=2)
    card = Card(device)
    card.probe()

    def sent(call, *arguments):
        device.requests.clear()
        result = call(*arguments)
        return result, [request.hex() for request in device.requests]

    def hexed(*texts):
        return [octets(text).hex() for text in texts]

    buffer, requests = sent(card.dumb, 100, 50)
    assert requests == hexed(
        "01010000 20z 01000000 02000000 64000000 32000000",
        "06010000 20z 01000000 01000000 0000000000000000 204e0000 00000000",
    )
    assert sent(card.set_mode, 1, buffer, 8, 2)[1] == hexed(
        "05010000 20z 08000000 02000000 5c000000 30000000 4003000000000000 01000000 00000000",
        "03010000 20z 08000000 02000000 5c000000 30000000 01000000 01000000",
        "04010000 20z 08000000 02000000 5c000000 30000000 01000000 00000000",
    )
    other = card.dumb(100, 50)
    assert sent(card.flip, 1, other)[1] == hexed(
        "05010000 20z 08000000 02000000 5c000000 30000000 4003000000000000 02000000 00000000",
        "03010000 20z 08000000 02000000 5c000000 30000000 01000000 02000000",
        "04010000 20z 08000000 02000000 5c000000 30000000 02000000 00000000",
    )
    assert sent(card.damage, other, [(1, 1, 2, 3), (0, 49, 100, 1)])[1] == hexed(
        "05010000 20z 01000000 01000000 02000000 03000000 9401000000000000 02000000 00000000",
        "04010000 20z 01000000 01000000 02000000 03000000 02000000 00000000",
        "05010000 20z 00000000 31000000 64000000 01000000 904c000000000000 02000000 00000000",
        "04010000 20z 00000000 31000000 64000000 01000000 02000000 00000000",
    )
    assert sent(other.destroy)[1] == hexed(
        "03010000 20z 00000000 00000000 00000000 00000000 01000000 00000000",
        "02010000 20z 02000000 00000000",
    )
    device.answers[Cmd.TRANSFER_TO_HOST_2D] = octets("00110000 01000000 0100000000000000 0000000000000000")
    assert sent(card.set_cursor, 0, bytes(16384), -2, 3, 4, 5)[1][2:] == hexed(
        "05010000 01000000 0100000000000000 0000000000000000"
        "00000000 00000000 40000000 40000000 0000000000000000 03000000 00000000",
        "00030000 20z 00000000 feffffff 03000000 00000000 03000000 04000000 05000000 00000000",
    )
    assert sent(card.move_cursor, 0, 7, -1)[1] == hexed(
        "01030000 20z 00000000 07000000 ffffffff 00000000 03000000 00000000 00000000 00000000",
    )
    assert sent(card.hide_cursor, 0)[1] == hexed(
        "00030000 20z 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000",
    )
