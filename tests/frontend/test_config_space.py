"""The config space of a front-end's own, and a resize seen from the guest. Source: VIRTIO-1.2 5.7.4, 5.7.6.8."""

import pytest

from outboard.display.edid import edid
from outboard.errors import LocalError
from outboard.frontend.config_space import ConfigSpace
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.vmm import Vmm
from outboard.spec.virtio_gpu import Config

pytestmark = pytest.mark.alike


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("·", ""))


@pytest.fixture
def space():
    space = ConfigSpace()
    yield space
    space.close()


DEVICE = Config.unpack(octets("05000000 06000000 10000000 02000000"))


def test_only_the_capsets_are_the_devices(space):
    assert space.seen(DEVICE, 3).pack() == octets("00000000 00000000 03000000 02000000")


def test_a_display_event_stays_until_it_is_cleared(space):
    assert not space.interrupted()
    space.display_changed()
    assert space.interrupted() and not space.interrupted()
    assert space.seen(DEVICE, 1).pack()[:8] == octets("01000000 00000000")
    assert space.write(4, octets("02000000")) == octets("01000000 02000000 00000000 00000000")
    assert space.seen(DEVICE, 1).events_read == 1, "another bit clears nothing"
    assert space.write(4, octets("01000000")) == octets("01000000 01000000 00000000 00000000")
    assert space.seen(DEVICE, 1).events_read == 0


def test_events_are_cleared_by_any_write_that_reaches_the_bit(space):
    space.display_changed()
    space.write(4, b"\1")
    assert space.seen(DEVICE, 1).events_read == 0
    space.display_changed()
    space.write(0, octets("00000000 01000000 00000000 00000000"))
    assert space.seen(DEVICE, 1).events_read == 0


def test_events_read_cannot_be_written(space):
    space.display_changed()
    space.write(0, octets("00000000"))
    assert space.seen(DEVICE, 1).events_read == 1
    space.write(0, octets("ffffffff"))
    assert space.seen(DEVICE, 1).events_read == 1


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (16, 1), (13, 4), (0, 17), (1 << 40, 1)])
def test_a_write_outside_is_refused(space, offset, size):
    space.display_changed()
    with pytest.raises(LocalError, match="has 16"):
        space.write(offset, b"\xff" * size)
    assert space.seen(DEVICE, 1).events_read == 1


def test_an_interrupt_alone_is_no_event(space):
    space.interrupt()
    assert space.interrupted()
    assert space.seen(DEVICE, 1).events_read == 0


def test_closing_twice_closes_once(space):
    space.close()
    space.close()


# A resize


def test_a_resize_interrupts_and_changes_what_the_guest_asks_for():
    with Vmm(DisplayReader(modes=[(1280, 800), (0, 0)])) as vmm:
        vmm.resize(1, 1920, 1080)
        assert vmm.display.modes == [(1280, 800), (1920, 1080)]
        assert vmm.config_space.interrupted()
        assert vmm.config_space.seen(DEVICE, 2).events_read == 1
        assert vmm.display._edid_of(1) == edid(1920, 1080, serial=1)
        vmm.resize(1, 0, 0)
        assert vmm.display._edid_of(1) == edid(1280, 800, serial=1), "an output that is off speaks of the default"


@pytest.mark.parametrize("scanout_id", [-1, 2, 16])
def test_an_output_that_is_not_there_cannot_be_resized(scanout_id):
    with Vmm(DisplayReader(modes=[(1280, 800), (0, 0)])) as vmm:
        with pytest.raises(LocalError, match="has 2"):
            vmm.resize(scanout_id, 640, 480)
        assert not vmm.config_space.interrupted()


@pytest.mark.parametrize("size", [(-1, 480), (0, 480), (640, 0), (16385, 1), (1, 1 << 32)])
def test_a_size_that_no_display_has_is_refused(size):
    with Vmm(DisplayReader(modes=[(1280, 800)])) as vmm:
        with pytest.raises(LocalError, match="go from 1 to 16384"):
            vmm.resize(0, *size)
        assert not vmm.config_space.interrupted()
        assert vmm.display.modes == [(1280, 800)]
    with pytest.raises(LocalError, match="go from 1 to 16384"):
        DisplayReader(modes=[(1280, 800), size])
