"""Scenes played and checked: right ones, wrong ones, and back-ends that do not say when they are done."""

import pytest

import outboard.gpu
from outboard.frontend.server import DisplayServer
from outboard.machine.card import Card
from outboard.machine.scenes import make
from outboard.machine.scenes import play as player
from outboard.machine.scenes.play import ALL_CHECKED, play

pytestmark = pytest.mark.alike


def test_every_early_frame_is_checked_and_the_last(ours):
    rig = ours([(64, 48)])
    record = play(rig.server, rig.card, make("rectangle"), 1e9, ALL_CHECKED + 100)
    assert record.frames == ALL_CHECKED + 100
    assert ALL_CHECKED < record.checked < record.frames
    assert record.wrong == []
    assert record.seconds > 0


def test_a_scene_that_ends_is_checked_at_its_end(ours, tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    rig = ours([(64, 48)])
    record = play(rig.server, rig.card, make("picture", str(tmp_path / "red.png")), 1e9)
    assert (record.frames, record.checked, record.wrong) == (1, 1, [])


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_picture_that_is_wrong_is_told(ours, keep_going):
    rig = ours([(64, 48)])
    scene = make("test-card")

    def advance(head):
        if scene.frames == 2:
            head.canvas.fill(10, 5, 20, 10, 0xABCDEF)  # drawn, but not said
        return [(0, 0, 1, 1)]

    scene.advance = advance
    record = play(rig.server, rig.card, scene, 1e9, 6, keep_going)
    assert [one.frame for one in record.wrong] == ([2, 3, 4, 5] if keep_going else [2])
    assert record.wrong[0].output == 0
    assert (record.wrong[0].pixels, record.wrong[0].x, record.wrong[0].y) == (200, 10, 5)
    assert record.wrong[0].says.startswith("200 of 3072 pixels wrong, the first at 10,5: expected #abcdef, got #")


def test_a_cursor_that_is_wrong_is_told(ours):
    rig = ours([(64, 48)])
    scene = make("cursor")
    record = play(rig.server, rig.card, scene, 1e9, 3)
    assert record.wrong == []
    scene.heads[0].cursor = scene.heads[0].cursor._replace(x=5)
    player.check(rig.server, rig.card, scene, record)
    assert record.wrong[0].says.startswith("cursor: expected one at 5,")


def test_outputs_that_should_be_off_are_looked_at(ours):
    rig = ours([(64, 48), (0, 0)])
    scene = make("test-card")
    assert play(rig.server, rig.card, scene, 1e9, 2).wrong == []
    rig.card.set_mode(1, scene.heads[0].buffer)
    record = player.Record(3)
    player.check(rig.server, rig.card, scene, record)
    assert [(one.output, one.says) for one in record.wrong] == [(1, "expected to be off")]
    rig.card.off(0)
    player.check(rig.server, rig.card, scene, record)
    assert record.wrong[1].says == "expected a picture, the output is off"


def test_a_back_end_that_knows_its_sizes_is_waited_for(socket_dir):
    """It never asks the display, so nothing but the pixels themselves says that they have come."""
    with outboard.gpu.serve(socket_dir / "gpu.sock", sizes=[(640, 480)]), DisplayServer([(640, 480)]) as server:
        server.connect(socket_dir / "gpu.sock")
        server.boot()
        card = Card(server.vmm)
        card.probe()
        assert not player.settle(server, card)
        scene = make("rectangle")
        record = play(server, card, scene, 1e9, 20)
        assert (record.checked, record.wrong) == (20, [])
        scene.heads[0].buffer.memory[:4] = b"\1\2\3\4"
        player.check(server, card, scene, record)
        assert record.wrong[0].says == "1 of 307200 pixels wrong, the first at 0,0: expected #030201, got #304860"
