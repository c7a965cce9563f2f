"""The demonstration guest on our machine and on the real QEMU: the same picture, the same interrupts."""

import re

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.machine.guest import demo
from outboard.machine.pseries import PseriesMachine
from outboard.machine.pseries.virtio_gpu import VirtioGpu
from outboard.machine.scenes import compare
from tests.machine.guest.conftest import OURS, SIZE, c_helper

pytestmark = pytest.mark.alike

FRAMES = 12
AT_START = 5
"""Commands, or groups of them, that the guest waits for beside its frames: sizes, creation, backing, mode, sync."""


def interrupts(cpus, frames=0, edid=True):
    """What the guest must count, computed by hand from what it does (`demo.Plan`: 4 pings, 1 cycle)."""
    last = cpus - 1
    expected = {"edu pin": 3, "edu message": 6}
    if frames:
        expected["gpu control queue"] = frames + AT_START + edid
    if last:
        # ups, answers to pings, offline and online again, wake-ups by devices whose interrupts the last CPU takes
        expected["IPI of CPU 0"] = last + 4 * last + 2 + 3 + 3 + expected.get("gpu control queue", 0)
        for cpu in range(1, cpus):
            expected[f"IPI of CPU {cpu}"] = 4 + 1 + (cpu == last)
    return expected


@pytest.mark.parametrize(("cpus", "vsmt"), [(1, 1), (2, 1), (4, 1), (3, 8)])
@pytest.mark.parametrize("mode", ["xive", "xics"])
def test_on_ours(machine, mode, cpus, vsmt):
    made = machine(cpus, "dual", OURS, vsmt=vsmt)
    figures = demo.run(made, demo.Plan(mode=mode, frames=FRAMES))
    assert (figures.mode, figures.cpus, figures.devices) == (mode, cpus, ["edu", "gpu"])
    assert figures.interrupts == interrupts(cpus, FRAMES) and (figures.spurious, figures.stale) == (0, 0)
    screen = made.device(2).screens[0].frame()
    assert compare.picture(figures.picture, screen.width, screen.height, screen.pixels) is None


@pytest.mark.parametrize("ic_mode", ["xive", "xics"])
def test_on_ours_with_one_controller(machine, backend, ic_mode):
    made = machine(2, ic_mode, backend)
    figures = demo.run(made, demo.Plan(frames=FRAMES))
    assert figures.mode == ic_mode
    screen = made.device(2).screens[0].frame()
    assert compare.picture(figures.picture, screen.width, screen.height, screen.pixels) is None


def test_runs_repeat_whatever_the_seed(machine):
    runs = [demo.run(machine(3), demo.Plan(), seed) for seed in (1, 1, 2, 3)]
    assert all(one.interrupts == interrupts(3) for one in runs)


def test_without_devices_there_is_nothing_but_cpus(machine):
    figures = demo.run(PseriesMachine(2, "xive"), demo.Plan())
    assert figures.devices == [] and set(figures.interrupts) == {"IPI of CPU 0", "IPI of CPU 1"}


@pytest.mark.parametrize(("cpus", "vsmt"), [(1, 1), (3, 8)])
@pytest.mark.parametrize("mode", ["xive", "xics"])
def test_on_qemu_7(live, machine, mode, cpus, vsmt):
    real = live(7, cpus, vsmt=vsmt)
    figures, ours = (demo.run(one, demo.Plan(mode=mode)) for one in (real, machine(cpus, vsmt=vsmt)))
    assert figures.interrupts == ours.interrupts == interrupts(cpus) and figures.spurious == 0


@pytest.mark.parametrize("mode", ["xive", "xics"])
def test_on_qemu_10_with_a_gpu(live, machine, backend, mode, tmp_path):
    real = live(10, 2, command=backend)
    figures = demo.run(real, demo.Plan(mode=mode, frames=FRAMES))
    made = machine(2, command=backend)
    ours = demo.run(made, demo.Plan(mode=mode, frames=FRAMES))
    assert figures.picture == ours.picture
    assert screendump(real, tmp_path) == rgb(figures.picture.pixels)
    assert figures.interrupts == ours.interrupts == interrupts(2, FRAMES, backend is OURS)  # QEMU's has no EDID


@pytest.mark.parametrize("cpus", [1, 3])
@pytest.mark.parametrize("mode", ["xive", "xics"])
def test_without_edid_a_guest_counts_the_same_on_all_back_ends(machine, mode, cpus):
    """QEMU's offers no EDID, so the guest asks one question less; ours need not offer it either."""
    plan = demo.Plan(mode=mode, frames=FRAMES)
    commands = (OURS, [c_helper(), "--fd={fd}"])
    counts = [demo.run(machine(cpus, command=command, edid=False), plan).interrupts for command in commands]
    assert counts[0] == counts[1] == interrupts(cpus, FRAMES, edid=False)


@pytest.mark.parametrize(("version", "command"), [(7, None), (10, OURS)])
@pytest.mark.parametrize("mode", ["xive", "xics"])
def test_info_pic_is_the_same_afterwards(live, machine, mode, version, command):
    real, made = live(version, 2, command=command), machine(2, command=command)
    for one in (real, made):
        demo.run(one, demo.Plan(mode=mode, frames=FRAMES))
    assert table(made.pic()) == table(real.pic())


def table(pic):
    """The lines of `info pic`, without addresses of QEMU's own, and what QEMU 10 says of CPUs without a controller."""
    lines = (re.sub("0x[0-9a-f]+", "0x1", line.rstrip()) for line in pic.splitlines())
    return [line for line in lines if "information not available" not in line]


def screendump(real, folder):
    """What QEMU shows, as RGB bytes."""
    data = real.vm.qmp.screendump(folder / "shot.ppm", "gpu", 0, "ppm").read_bytes()
    return data.split(b"\n255\n", 1)[1]


def rgb(pixels):
    """Pixels B, G, R, X as RGB bytes."""
    return b"".join(pixels[at : at + 3][::-1] for at in range(0, len(pixels), 4))


@pytest.mark.parametrize(("ic_mode", "mode", "offer"), [("xics", "xive", "xics"), ("xive", "xics", "xive")])
def test_a_mode_that_the_machine_has_not(machine, ic_mode, mode, offer):
    with pytest.raises(LocalError, match=f"^this machine offers {offer}, not {mode}"):
        demo.run(machine(2, ic_mode), demo.Plan(mode=mode))


def test_a_guest_that_fails_is_said(machine, monkeypatch):
    monkeypatch.setattr(demo.Guest, "_try_edu", lambda *_: 1 / 0)
    with pytest.raises(LocalError, match="the guest failed: CPU 0, main: ZeroDivisionError"):
        demo.run(machine(2), demo.Plan())


def test_a_gpu_that_works_beside_the_guest_interrupts_as_often():
    with PseriesMachine(2, "dual", [(1, "edu"), (2, VirtioGpu(OURS, [SIZE], settle=False))]) as made:
        figures = demo.run(made, demo.Plan(frames=FRAMES))
        assert figures.interrupts == interrupts(2, FRAMES)


def test_drawing_for_a_time(machine):
    figures = demo.run(machine(1, command=OURS), demo.Plan(seconds=0.05))
    assert figures.seconds >= 0.05 and figures.interrupts["gpu control queue"] == figures.frames + AT_START + 1


def test_a_gpu_that_dies_is_said(machine):
    made = machine(2, command=OURS)
    with pytest.raises(ProtocolError, match="one that needs a reset"):
        demo.run(made, demo.Plan(on_frame=lambda number: number == 3 and made.device(2).backend.process.process.kill()))
    assert "SIGKILL" in made.device(2).failure
