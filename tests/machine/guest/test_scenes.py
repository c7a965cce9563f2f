"""Card and scenes on the guest's own GPU driver, whose commands end by interrupts."""

import pytest

from outboard.machine.guest import demo
from outboard.machine.pseries.machine import PseriesMachine
from outboard.machine.pseries.virtio_gpu import VirtioGpu
from outboard.machine.scenes import SCENES, compare
from tests.machine.guest.conftest import OURS

pytestmark = pytest.mark.alike

PLAYED = [name for name, scene in SCENES.items() if not scene.takes_file]


@pytest.mark.parametrize("scene", PLAYED)
def test_every_scene(scene):
    sizes = [(192, 160)] * max(1, SCENES[scene].outputs)
    with PseriesMachine(2, "dual", [(2, VirtioGpu(OURS, sizes))]) as machine:
        figures = demo.run(machine, demo.Plan(scene=scene, frames=8, cycles=0))
        screens = machine.device(2).screens
        assert len(figures.pictures) == len(sizes)
        for screen, expected in zip(screens, figures.pictures, strict=False):
            frame = screen.frame()
            assert screen.active == (expected is not None)
            if expected:
                assert compare.picture(expected, frame.width, frame.height, frame.pixels) is None
                assert compare.pointer(expected.cursor, frame.cursor) is None
        assert ("gpu cursor queue" in figures.interrupts) == any(one and one.cursor for one in figures.pictures)
