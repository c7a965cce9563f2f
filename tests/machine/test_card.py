"""The card in front of our back-end and of QEMU's: what it sends, and that the screens show what was drawn."""

import random

import numpy
import pytest

from outboard.errors import LocalError
from outboard.machine.card import Card
from outboard.machine.gpu_driver import GpuDriver, Refused
from outboard.spec.virtio_gpu import Cmd, Format, Resp

pytestmark = pytest.mark.alike

SIZE = (320, 200)
FORMATS = {
    # format: where in its bytes blue, green and red lie
    Format.B8G8R8A8: (0, 1, 2),
    Format.B8G8R8X8: (0, 1, 2),
    Format.A8R8G8B8: (3, 2, 1),
    Format.X8R8G8B8: (3, 2, 1),
    Format.R8G8B8A8: (2, 1, 0),
    Format.X8B8G8R8: (1, 2, 3),
    Format.A8B8G8R8: (1, 2, 3),
    Format.R8G8B8X8: (2, 1, 0),
}


def noise(buffer, seed=1):
    """Fill a buffer with pixels that are all different, and return them as B, G, R."""
    buffer.memory[:] = random.Random(seed).randbytes(len(buffer.memory))
    return buffer.pixels[:, :, :3].copy()


def shown(rig, scanout_id=0):
    """Return what an output shows as B, G, R."""
    return rig.frame(scanout_id).bgrx[:, :, :3]


def refusal(call, *arguments):
    """Return the words of the error that a call must raise."""
    with pytest.raises(LocalError) as caught:
        call(*arguments)
    return str(caught.value)


# Displays


def test_probe_finds_what_is_connected(ours):
    rig = ours([(1920, 1080), (0, 0), (800, 600)])
    first, second, third = rig.card.connectors
    assert (first.connected, first.preferred, first.modes[0]) == (True, (1920, 1080), (1920, 1080))
    assert {(1280, 800), (1600, 900), (640, 480), (1024, 768)} <= set(first.modes)
    assert (second.connected, second.preferred) == (False, (0, 0))
    assert (third.id, third.preferred, third.edid[:8]) == (2, (800, 600), bytes.fromhex("00ffffffffffff00"))
    assert max(third.modes) == (800, 600)


def test_probe_does_without_edids(qemus):
    card = qemus([(1024, 768), (640, 480)]).card
    assert [(one.edid, one.modes) for one in card.connectors] == [(b"", [(1024, 768)]), (b"", [(640, 480)])]


def test_probe_asks_in_linuxs_order(ours, monkeypatch):
    rig = ours([SIZE, SIZE])
    sent = []
    ok = GpuDriver.ok
    monkeypatch.setattr(
        GpuDriver,
        "ok",
        lambda self, request, *rest, **named: (sent.append(request), ok(self, request, *rest, **named))[1],
    )
    rig.card.probe()
    assert [(request.type if hasattr(request, "type") else request.hdr.type) for request in sent] == [
        Cmd.GET_EDID,
        Cmd.GET_EDID,
        Cmd.GET_DISPLAY_INFO,
    ]


def test_a_display_that_changes_is_read_again(host):
    rig = host([SIZE, (0, 0)])
    assert rig.card.handle_event() is False
    rig.server.resize(0, 640, 400)
    rig.server.resize(1, 800, 600)
    assert rig.server.vmm.config_space.interrupted()
    assert rig.card.handle_event() is True
    assert [one.preferred for one in rig.card.connectors] == [(640, 400), (800, 600)]
    assert rig.card.handle_event() is False
    rig.server.resize(1, 0, 0)
    rig.card.handle_event()
    assert [one.connected for one in rig.card.connectors] == [True, False]


# Pictures


def test_a_buffer_is_shown(host):
    rig = host()
    buffer = rig.card.dumb(*SIZE)
    picture = noise(buffer)
    rig.card.set_mode(0, buffer)
    assert (shown(rig) == picture).all()
    assert rig.server.violations == []


def test_nothing_changes_before_damage_says_so(host):
    rig = host()
    buffer = rig.card.dumb(*SIZE)
    picture = noise(buffer)
    rig.card.set_mode(0, buffer)
    buffer.words[:] = 0xFFFFFF
    assert (shown(rig) == picture).all()
    rig.card.damage(buffer, [(5, 3, 7, 9), (319, 199, 1, 1), (40, 50, 0, 9)])
    picture[3:12, 5:12] = 255
    picture[199, 319] = 255
    assert (shown(rig) == picture).all()
    rig.card.damage(buffer)
    assert (shown(rig) == 255).all()


def test_many_rectangles_go_together(host):
    rig = host()
    buffer = rig.card.dumb(*SIZE)
    rig.card.set_mode(0, buffer)
    buffer.words[:] = 0x123456
    rig.card.damage(buffer, [(x, y, 1, 1) for y in range(0, 200, 10) for x in range(0, 320, 10)])
    expected = numpy.zeros((200, 320), "<u4")
    expected[::10, ::10] = 0x123456
    assert (rig.frame().words & 0xFFFFFF == expected).all()


def test_flips_show_one_buffer_after_the_other(host):
    rig = host()
    buffers = [rig.card.dumb(*SIZE) for _ in range(2)]
    rig.card.set_mode(0, buffers[0])
    for number in range(10):
        picture = noise(buffers[number % 2], number)
        rig.card.flip(0, buffers[number % 2])
        assert (shown(rig) == picture).all()


def test_outputs_have_pictures_of_their_own(host):
    rig = host([SIZE, (64, 48), (100, 30)])
    pictures = []
    for number, connector in enumerate(rig.card.connectors):
        buffer = rig.card.dumb(*connector.preferred)
        pictures.append(noise(buffer, number))
        rig.card.set_mode(number, buffer)
    assert all((shown(rig, number) == picture).all() for number, picture in enumerate(pictures))


def test_a_mirror_shows_one_buffer_on_two_outputs(host):
    rig = host([SIZE, SIZE])
    buffer = rig.card.dumb(*SIZE)
    for number in (0, 1):
        rig.card.set_mode(number, buffer)
    picture = noise(buffer)
    rig.card.damage(buffer)
    assert (shown(rig, 0) == picture).all()
    assert (shown(rig, 1) == picture).all()


def test_one_large_buffer_serves_two_outputs(ours):
    rig = ours([SIZE, (64, 48)])
    buffer = rig.card.dumb(400, 210)
    picture = noise(buffer)
    rig.card.set_mode(0, buffer, 0, 10)
    rig.card.set_mode(1, buffer, 330, 100)
    assert (shown(rig, 0) == picture[10:210, :320]).all()
    assert (shown(rig, 1) == picture[100:148, 330:394]).all()
    buffer.pixels[:] = 7
    rig.card.damage(buffer, [(300, 90, 50, 20)])
    picture[90:110, 300:350] = 7
    assert (shown(rig, 0) == picture[10:210, :320]).all()
    assert (shown(rig, 1) == picture[100:148, 330:394]).all()


def test_qemus_back_end_shifts_a_scanout_that_does_not_begin_at_0_0(qemus):
    """Fact of vhost-user-gpu.c: the UPDATE's place counts from the resource's corner, and our display cuts it off."""
    rig = qemus()
    buffer = rig.card.dumb(400, 210)
    picture = noise(buffer)
    rig.card.set_mode(0, buffer, 32, 10)
    seen = shown(rig)
    assert (seen[:10] == 0).all() and (seen[:, :32] == 0).all()
    assert (seen[10:, 32:] == picture[10:200, 32:320]).all()
    assert rig.server.violations


@pytest.mark.parametrize("pixel_format", FORMATS, ids=lambda one: one.name)
def test_formats_look_the_same(ours, pixel_format):
    rig = ours()
    buffer = rig.card.dumb(*SIZE, pixel_format)
    noise(buffer)
    rig.card.set_mode(0, buffer)
    assert (shown(rig) == buffer.pixels[:, :, FORMATS[pixel_format]]).all()


@pytest.mark.parametrize("pixel_format", FORMATS, ids=lambda one: one.name)
def test_qemus_back_end_sends_the_bytes_of_every_format_as_they_lie(qemus, pixel_format):
    """So that the colours of all but the first two are wrong. A byte that means nothing it may clear."""
    rig = qemus()
    buffer = rig.card.dumb(*SIZE, pixel_format)
    picture = noise(buffer)
    rig.card.set_mode(0, buffer)
    colours = sorted({0, 1, 2} & set(FORMATS[pixel_format]))
    assert (shown(rig)[:, :, colours] == picture[:, :, colours]).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (319, 199), (1023, 17)])
def test_odd_sizes_are_shown(host, size):
    rig = host([size])
    buffer = rig.card.dumb(*size)
    picture = noise(buffer)
    rig.card.set_mode(0, buffer)
    assert (shown(rig) == picture).all()


def test_a_mode_may_be_smaller_than_the_display_and_the_buffer(host):
    rig = host([SIZE])
    buffer = rig.card.dumb(500, 500)
    picture = noise(buffer)
    rig.card.set_mode(0, buffer)
    assert (shown(rig) == picture[:200, :320]).all()
    rig.card.set_mode(0, buffer, size=(100, 60))
    assert (shown(rig) == picture[:60, :100]).all()
    small = rig.card.dumb(40, 30)
    rig.card.set_mode(0, small)
    assert rig.card.connectors[0].rectangle == (0, 0, 40, 30)
    assert shown(rig).shape == (30, 40, 3)


def test_off_and_on(host):
    rig = host()
    buffer = rig.card.dumb(*SIZE)
    rig.card.set_mode(0, buffer)
    rig.settle()
    assert rig.server.screens[0].active
    rig.card.off(0)
    rig.settle()
    assert not rig.server.screens[0].active
    picture = noise(buffer)
    rig.card.set_mode(0, buffer)
    assert (shown(rig) == picture).all()


# Memory


def test_destroying_a_buffer_turns_its_outputs_off(host):
    rig = host([SIZE, SIZE])
    buffer = rig.card.dumb(*SIZE)
    rig.card.set_mode(0, buffer)
    rig.card.set_mode(1, buffer)
    buffer.destroy()
    buffer.destroy()
    rig.settle()
    assert [screen.active for screen in rig.server.screens[:2]] == [False, False]
    assert "destroyed" in refusal(rig.card.flip, 0, buffer) or "is off" in refusal(rig.card.flip, 0, buffer)
    assert "destroyed" in refusal(lambda: buffer.memory)
    assert "destroyed" in refusal(rig.card.set_mode, 0, buffer)


def test_memory_is_used_again(host):
    rig = host(ram_size=4 << 20)
    sizes = [(640, 480), (320, 240), (800, 600), (100, 100), (801, 601)]
    for number in range(60):
        buffers = [rig.card.dumb(*sizes[number % 5]), rig.card.dumb(*sizes[(number + 1) % 2])]
        assert not any(buffers[0].memory)
        buffers[0].words[:] = number
        for buffer in buffers if number % 2 else reversed(buffers):
            buffer.destroy()
    assert rig.card.buffers == {}


def test_more_memory_than_there_is_is_an_error_and_costs_nothing(ours):
    rig = ours(ram_size=4 << 20)
    for _ in range(3):
        assert "no room" in refusal(rig.card.dumb, 4096, 4096)
        rig.card.dumb(800, 600).destroy()


def test_what_the_device_refuses_is_named_and_gives_its_memory_back(host):
    rig = host(ram_size=4 << 20)
    for _ in range(20):
        with pytest.raises(Refused, match=r"RESOURCE_CREATE_2D.*ERR_INVALID_PARAMETER") as caught:
            rig.card.dumb(800, 600, 77)
    assert (caught.value.command, caught.value.response) == (Cmd.RESOURCE_CREATE_2D, Resp.ERR_INVALID_PARAMETER)
    assert rig.card.buffers == {}


def test_release_leaves_nothing(host):
    rig = host([SIZE, SIZE])
    rig.card.set_mode(0, rig.card.dumb(*SIZE))
    rig.card.set_cursor(0, bytes(16384), 0, 0)
    rig.card.release()
    rig.settle()
    assert rig.card.buffers == {}
    assert not rig.server.screens[0].active


# Cursor


def test_the_cursor_is_set_moved_and_hidden(host):
    rig = host()
    rng = random.Random(4)
    for image in (rng.randbytes(16384), rng.randbytes(16384)):
        rig.card.set_cursor(0, image, 100, 50, 7, 9)
        assert rig.frame().cursor == (100, 50, 7, 9, True, image)
    rig.card.move_cursor(0, -10, -63)
    assert rig.frame().cursor == (-10, -63, 7, 9, True, image)


def test_an_image_may_be_an_array(host):
    rig = host()
    array = numpy.arange(4096, dtype="<u4").reshape(64, 64)
    rig.card.set_cursor(0, array, 1, 2)
    assert rig.frame().cursor.image == array.tobytes()
    flipped = array[::-1]
    rig.card.set_cursor(0, flipped, 1, 2)
    assert rig.frame().cursor.image == flipped.tobytes()


def test_a_hidden_cursor_is_not_visible(ours):
    rig = ours()
    rig.card.set_cursor(0, bytes(range(256)) * 64, 5, 6)
    rig.card.set_cursor(0, None, 0, 0)
    assert not rig.frame().cursor.visible
    assert "no cursor" in refusal(rig.card.move_cursor, 0, 1, 1)


def test_qemus_back_end_hides_a_cursor_by_an_image_of_nothing(qemus):
    rig = qemus()
    rig.card.set_cursor(0, bytes(range(256)) * 64, 5, 6)
    rig.card.hide_cursor(0)
    cursor = rig.frame().cursor
    assert cursor.visible
    assert cursor.image == bytes(16384)


def test_every_output_has_a_cursor(ours):
    rig = ours([SIZE, SIZE])
    rig.card.set_cursor(0, b"\1" * 16384, 1, 2)
    rig.card.set_cursor(1, b"\2" * 16384, 3, 4)
    rig.card.move_cursor(0, 5, 6)
    assert rig.frame(0).cursor[:2] == (5, 6)
    assert rig.frame(1).cursor == (3, 4, 0, 0, True, b"\2" * 16384)


# Misuse


def test_misuse_is_told_in_a_sentence(ours):
    rig = ours()
    card, buffer = rig.card, rig.card.dumb(*SIZE)
    assert "no connector 1; the card has 1" in refusal(card.set_mode, 1, buffer)
    assert "no connector -1" in refusal(card.off, -1)
    assert "probe() first" in refusal(Card(card.driver).off, 0)
    assert "it has pixels" in refusal(card.dumb, 0, 5)
    assert "less than 4 GiB" in refusal(card.dumb, 1 << 15, 1 << 15)
    assert "is off; set_mode() first" in refusal(card.flip, 0, buffer)
    assert "is not inside" in refusal(card.damage, buffer, [(300, 0, 21, 1)])
    assert "is not inside" in refusal(card.damage, buffer, [(-1, 0, 2, 1)])
    assert "no pixels" in refusal(card.set_mode, 0, buffer, 320, 0)
    assert "64x64" in refusal(card.set_cursor, 0, bytes(100), 0, 0)
    assert "hot spot 64,0" in refusal(card.set_cursor, 0, bytes(16384), 0, 0, 64, 0)
    card.set_mode(0, buffer)
    assert "is not inside" in refusal(card.flip, 0, card.dumb(10, 10))
