"""What the guest is told of its displays when the front-end knows little, or is slow."""

import struct

import pytest

from outboard.backend import displays
from outboard.host.loop import Loop
from outboard.spec.virtio_gpu import CtrlHdr, DisplayOne, Rect, RespDisplayInfo
from outboard.vhost_user.display_sender import DisplaySender

INFO = RespDisplayInfo(pmodes=(DisplayOne(Rect(0, 0, 1600, 900), 1),) + (DisplayOne(),) * 15).pack()


class Scene:
    """Known displays over a sender; the test is the front-end."""

    def __init__(self, features):
        self.loop = Loop()
        self.sender = DisplaySender()
        self.answers = []
        self.displays = displays.KnownDisplays(self.loop, self.sender, (), self.answers.append)
        self.sender.open()
        if features is not None:
            self.reply(1, struct.pack("=Q", features))

    def reply(self, number, payload):
        for one in self.sender.receive(struct.pack("=III", number, 4, len(payload)) + payload):
            self.displays.replied(one)

    def asked(self):
        """Return the ids of the requests on the wire since the last call."""
        data = b"".join(bytes(view) for view in self.sender.outbox.parts()[0])
        self.sender.outbox.advance(len(data))
        ids = []
        while data:
            number, _, size = struct.unpack_from("=III", data)
            ids.append(number)
            data = data[12 + size :]
        return ids

    def wait_given_up(self):
        while not self.answers:
            self.loop.run_once(1.0)


def size_of(body):
    """Return width and height of the preferred timing in an EDID reply's body."""
    block = body[8:136]
    return block[56] | (block[58] >> 4) << 8, block[59] | (block[61] >> 4) << 8


@pytest.fixture
def scene(request):
    scene = Scene(getattr(request, "param", 0))
    yield scene
    scene.loop.close()


def test_without_edid_the_sizes_are_asked_for_first(scene):
    assert scene.asked() == [1, 2]
    assert scene.displays.edid(0) is None
    assert scene.asked() == [3]
    scene.reply(3, INFO)
    assert [size_of(body) for body in scene.answers] == [(1600, 900)]
    assert size_of(scene.displays.edid(0)) == (1600, 900)
    assert scene.asked() == []


@pytest.mark.parametrize("scene", [None], indirect=True)
def test_while_the_features_are_unknown_they_are_waited_for(scene):
    assert scene.displays.edid(0) is None
    assert scene.asked() == [1]
    scene.reply(1, struct.pack("=Q", 1))
    assert scene.asked() == [2, 11]
    scene.reply(11, bytes(4) + bytes(1052))
    assert size_of(scene.answers[0]) == displays.FALLBACK_SIZE  # an answer that says it is none


def test_the_display_info_goes_to_the_guest_as_it_came(scene):
    assert scene.displays.display_info() is None
    scene.reply(3, INFO)
    assert scene.answers == [INFO[CtrlHdr.sizeof :]]


def test_a_front_end_that_is_silent_is_waited_for_less_long_the_next_time(scene, monkeypatch):
    monkeypatch.setattr(displays, "PATIENCE_S", 0.01)
    monkeypatch.setattr(displays, "IMPATIENCE_S", 0.005)
    scene.displays.gone()
    assert scene.displays.display_info() is None
    assert scene.displays._patience_s == 0.01
    scene.wait_given_up()
    assert scene.displays._patience_s == 0.005
    assert RespDisplayInfo.unpack_from(bytes(24) + scene.answers[0]).pmodes[0].r == Rect(0, 0, 1024, 768)
    scene.reply(3, INFO)  # late: dropped
    assert len(scene.answers) == 1


def test_when_the_socket_closes_whoever_waits_is_answered(scene):
    scene.displays.edid(3)
    scene.sender.close()
    scene.displays.gone()
    assert [size_of(body) for body in scene.answers] == [displays.FALLBACK_SIZE]
