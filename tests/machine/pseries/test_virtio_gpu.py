"""virtio-gpu-pci with back-ends in other processes, ours and QEMU's: pictures, interrupts, and back-ends that fail."""

import gc
import os
import signal
import sys

import pytest

from outboard.errors import LocalError
from outboard.machine.pseries import PseriesMachine, VirtioGpu
from outboard.machine.pseries.gpu_session import GpuSession
from outboard.qemu.find import find_c_helper
from tests.machine.pseries.gpu_driver import RINGS, Driver
from tests.machine.pseries.rig import Log, level, load_le, negotiate, signalled

pytestmark = pytest.mark.alike

OURS = [sys.executable, "-m", "outboard", "gpu", "serve", "--fd={fd}"]
RAM = 64 << 20
WIDTH, HEIGHT = 64, 48
PICTURE = bytes(at * 7 & 0xFF for at in range(4 * WIDTH * HEIGHT))
NEEDS_RESET = 64
PATIENCE = 20.0


@pytest.fixture(params=["ours", "QEMU's"])
def command(request):
    if request.param == "ours":
        return OURS
    program = find_c_helper()
    if not program:
        why = "QEMU's vhost-user-gpu is not installed; apt-get install qemu-system-gui"
        if os.environ.get("OUTBOARD_REQUIRE_PEERS") == "1":
            pytest.fail(f"OUTBOARD_REQUIRE_PEERS=1, but {why}", pytrace=False)
        pytest.skip(why)
    return [str(program), "--fd={fd}"]


@pytest.fixture
def made(request):
    """`made(command, ...)` is a machine with one GPU, that GPU, and its driver."""

    def make(command, *, vectors=3, mode="xics", sizes=((640, 480),), **options):
        gpu = VirtioGpu(command, sizes, timeout_s=PATIENCE, **options)
        machine = PseriesMachine(ic_mode=mode, ram_size=RAM, devices=[gpu])
        request.addfinalizer(machine.close)
        return machine, gpu, Driver(machine.cpus[0], vectors=vectors)

    return make


def shown(gpu):
    frame = gpu.screens[0].frame()
    return frame.width, frame.height, bytes(frame.pixels)


def visible(pixels):
    return bytes(value for at, value in enumerate(pixels) if at % 4 != 3)


def test_a_picture_and_its_interrupts(made, command):
    machine, gpu, driver = made(command)
    assert driver.start() == 15
    assert driver.offered & ~2 == 0x1_3000_0000
    assert not any(signalled(machine, lisn) for lisn in driver.lisns)
    assert driver.sizes() == [(640, 480)]
    assert signalled(machine, 0x1301)
    driver.show(PICTURE, WIDTH, HEIGHT)
    width, height, pixels = shown(gpu)
    assert (width, height, visible(pixels)) == (WIDTH, HEIGHT, visible(PICTURE))
    assert signalled(machine, 0x1301)
    assert not signalled(machine, 0x1300) and not signalled(machine, 0x1302)
    assert gpu.failure == "" and gpu.backend.unsettled == 0


def test_an_interrupt_reaches_its_cpu_through_xive(made):
    machine, _, driver = made(OURS, mode="xive")
    cpu = machine.cpus[0]
    assert negotiate(cpu) == 0
    queue, entry = 0x500000, 0x77
    assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, queue, 12) == (0,)
    assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0x1301, 0, 6, entry) == (0,)
    assert cpu.load(0x6010000000000 + 0x1301 * 0x20000 + 0x10000 + 0xC00, 8) == 1, "PQ was off, and is 00 now"
    cpu.store(0x60302031A0011, 1, 0xFF)
    driver.start()
    assert not cpu.irq()
    driver.sizes()
    assert cpu.irq()
    assert cpu.load(queue, 4) == 0x80000000 | entry
    assert cpu.load(0x60302031A0010 + 0x800, 2) == 0x8006
    assert not cpu.irq()


def test_an_interrupt_by_pin(made):
    machine, _, driver = made(OURS, vectors=0)
    driver.start()
    driver.sizes()
    assert level(machine, 0x1201)
    assert driver.get(0x1000, 1) == 1
    assert not level(machine, 0x1201)


def test_configuration_and_resize(made, command):
    machine, gpu, driver = made(command, sizes=((640, 480), (0, 0)))
    driver.start()
    assert [driver.get(0x2000 + at, 4) for at in (0, 4, 8, 12)] == [0, 0, 2, 0]
    gpu.resize(1, 800, 600)
    assert signalled(machine, 0x1300)
    assert driver.get(0x2000, 4) == 1
    assert driver.sizes() == [(640, 480), (800, 600)]
    driver.set(0x2004, 4, 1)
    assert driver.get(0x2000, 4) == 0
    with pytest.raises(LocalError, match="output 2: this display has 2"):
        gpu.resize(2, 1, 1)


def test_a_driver_begins_again(made, command):
    machine, gpu, driver = made(command)
    for turn in range(3):
        assert driver.start() == 15, turn
        driver.show(PICTURE, WIDTH, HEIGHT)
    machine.reset()
    assert not gpu.screens[0].active or gpu.failure == ""
    again = Driver(machine.cpus[0])
    assert again.start() == 15
    again.show(bytes(len(PICTURE)), WIDTH, HEIGHT)
    assert visible(shown(gpu)[2]) == visible(bytes(len(PICTURE)))


def test_a_device_goes_on_after_it_lost_the_bus(made):
    _, gpu, driver = made(OURS)
    driver.start()
    driver.show(PICTURE, WIDTH, HEIGHT)
    driver.set(20, 1, 11)
    driver.set(20, 1, 15)
    assert driver.sizes() == [(640, 480)]
    assert gpu.failure == ""


def test_beside_the_guest(made, command):
    """Without `settle` the machine does not wait; the guest's interrupt says that the back-end is done."""
    machine, gpu, driver = made(command, settle=False)
    driver.start()
    driver.offer(bytes.fromhex("00010000") + bytes(20), room=24 + 16 * 24)
    while driver.used() == 0:
        assert machine.idle(PATIENCE)
    assert signalled(machine, 0x1301) or (machine.idle(PATIENCE) and signalled(machine, 0x1301))
    assert gpu.failure == ""


def test_no_snapshot(made):
    machine, _, _ = made(OURS)
    with pytest.raises(LocalError, match="virtio-gpu-pci in slot 0x1: its state is in another process"):
        machine.snapshot()


# Failures


def test_a_back_end_that_dies(made, command):
    machine, gpu, driver = made(command)
    driver.start()
    os.kill(gpu.backend.process.pid, signal.SIGKILL)
    while not gpu.failure:
        assert machine.idle(PATIENCE)
    assert "died of SIGKILL" in gpu.failure
    assert driver.get(20, 1) & NEEDS_RESET
    assert signalled(machine, 0x1300), "the configuration has changed"
    driver.offer(bytes(24))
    assert driver.used() == 0
    assert driver.get(0x2008, 4) == 0
    assert machine.cpus[0].load(0, 8) == 0, "the machine lives"
    assert driver.start() == 15, "a reset begins with another back-end"
    assert driver.sizes() == [(640, 480)]


def test_a_back_end_that_dies_while_it_is_asked(made, command):
    machine, gpu, driver = made(command)
    driver.start()
    os.kill(gpu.backend.process.pid, signal.SIGKILL)
    gpu.backend.process.wait(PATIENCE)
    driver.offer(bytes(24))
    assert driver.get(20, 1) & NEEDS_RESET
    assert "SIGKILL" in gpu.failure
    assert not machine.idle(0)


HANGS = "import signal, sys; signal.pause()"


def test_a_back_end_that_says_nothing():
    gpu = VirtioGpu([sys.executable, "-c", HANGS, "{fd}"], start_s=0.1)
    with pytest.raises(LocalError, match=r"the back-end: no reply on the control socket in 0.1 s"):
        PseriesMachine(ram_size=RAM, devices=[gpu])
    assert gpu.backend.process is None


def test_a_back_end_that_hangs_later(made):
    machine = PseriesMachine(ram_size=RAM, devices=[VirtioGpu(OURS, timeout_s=0.3)])
    gpu = machine.device(1)
    with machine:
        os.kill(gpu.backend.process.pid, signal.SIGSTOP)
        driver = Driver(machine.cpus[0])
        assert driver.start() & NEEDS_RESET
        assert "no reply on the control socket in 0.3 s" in gpu.failure


@pytest.mark.parametrize(
    ("rings", "size", "why"),
    [
        (RAM, 16, "no RAM is there"),
        (2**63, 16, "no RAM is there"),
        (RAM - 0x1000, 16, "no RAM is there"),
        (RINGS, 33, "a queue of 33 descriptors; the number is a power of two"),
    ],
)
def test_queues_that_cannot_be(made, rings, size, why):
    _, gpu, driver = made(OURS)
    assert driver.start(rings, size) == 15 | NEEDS_RESET
    assert why in gpu.failure
    assert driver.start() == 15
    assert driver.sizes() == [(640, 480)] and gpu.failure == ""


def test_indexes_that_make_no_sense(made):
    machine, _, driver = made(OURS)
    driver.start()
    machine.memory.write(RINGS + 0x1002, b"\x55\xaa")
    driver.set(0x3000, 2, 0)
    assert load_le(machine.cpus[0], driver.at + 20, 1) in (15, 15 | NEEDS_RESET)
    assert driver.start() == 15
    assert driver.sizes() == [(640, 480)]


def test_what_a_driver_writes_to_the_used_ring_is_not_waited_for(made):
    machine, gpu, driver = made(OURS)
    driver.start()
    for index in (b"\xfe\xff", b"\x01\0", b"\x10\0"):
        machine.memory.write(RINGS + 0x2002, index)
        driver.set(0x3000, 2, 0)
    assert gpu.failure == "" and gpu.backend.unsettled == 0


def test_a_broken_queue_is_waited_for_no_more(made):
    machine, gpu, driver = made(OURS)
    driver.start()
    machine.memory.write(RINGS + 0x1002, b"\x11\0")
    driver.set(0x3000, 2, 0)
    machine.memory.write(RINGS + 0x1002, b"\x01\0")
    driver.set(0x3000, 2, 0)
    assert gpu.failure == "" and gpu.backend.unsettled == 0


def test_kicks_that_wait_in_vain_wait_less_and_less(made, monkeypatch):
    _, gpu, driver = made(OURS)
    driver.start()
    asked = []
    monkeypatch.setattr(GpuSession, "settle", lambda self, queue, patience_s: asked.append(patience_s))
    for _ in range(3):
        driver.set(0x3000, 2, 0)
    assert asked == [PATIENCE, PATIENCE / 2, PATIENCE / 4]
    assert gpu.failure == "" and gpu.backend.unsettled == 3


def test_one_queue_alone(made):
    _, gpu, driver = made(OURS)
    driver.start()
    driver.set(20, 1, 0)
    for status in (1, 3):
        driver.set(20, 1, status)
    driver.set(8, 4, 1)
    driver.set(12, 4, 1)
    driver.set(20, 1, 11)
    driver.set(20, 1, 15)
    driver.set(0x3000, 2, 0)
    assert driver.get(20, 1) == 15 and gpu.failure == ""


# Runs


def run(command):
    """Everything that a machine tells while a guest shows pictures, its interrupt controller, and its screen."""
    gpu = VirtioGpu(command, [(640, 480)], timeout_s=PATIENCE)
    with PseriesMachine(ic_mode="xive", ram_size=RAM, devices=["edu", gpu]) as machine:
        cpu, log = machine.cpus[0], Log(machine)
        assert negotiate(cpu) == 0
        driver = Driver(cpu, slot=2)
        assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, 0x500000, 12) == (0,)
        assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0x1301, 0, 6, 0x77) == (0,)
        cpu.load(0x6010000000000 + 0x1301 * 0x20000 + 0x10000 + 0xC00, 8)
        driver.start()
        for turn in range(5):
            driver.show(bytes((at + turn) & 0xFF for at in range(4 * WIDTH * HEIGHT)), WIDTH, HEIGHT)
            driver.ok(0x102, bytes.fromhex("0100000000000000"))
            cpu.load(0x6010000000000 + 0x1301 * 0x20000 + 0x10000, 8)  # EOI
        return log.take(), machine.pic(), shown(gpu)


def test_a_run_repeats_exactly(command):
    first, second = run(command), run(command)
    assert len([line for line in first[0] if line.startswith("xive_presenter_notify")]) > 5
    assert first == second


def open_fds():
    """What is open when nobody holds a machine any more; RAM is mapped as long as one does."""
    gc.collect()
    return sorted(os.listdir("/proc/self/fd"))


def test_nothing_is_left_open(command):
    before = open_fds()
    run(command)
    assert open_fds() == before
    with pytest.raises(LocalError):
        PseriesMachine(ram_size=RAM, devices=[VirtioGpu([*command, "--no-such-option"])])
    with pytest.raises(LocalError):
        PseriesMachine(cpus=0, ram_size=RAM)
    assert open_fds() == before
