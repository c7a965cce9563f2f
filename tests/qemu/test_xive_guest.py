"""A CPU and a device of a real pseries machine, and our model, driven alike: hypercalls, TIMA, ESB pages, MSI, LSI."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from outboard.machine import xive_trace
from outboard.qemu import QemuBinary
from outboard.spec.papr import ESB_BASE, TIMA_BASE, XIVE_HCALLS
from outboard.spec.xive import View
from outboard.xive.events import GUEST_ERROR, TRACE, UNIMP
from tests.qemu import xive_guest
from tests.qemu.xive_twin import RAM_MIB, Twin, twin

HCALLS = {row.name: row for row in XIVE_HCALLS}
CHANGE_MSI, WRITE_CONFIG = 0x2019, 0x2017
BUID = (0x0800_0000, 0x2000_0000)
SLOT = 1 << 11
MSI_CONTROL = 0x42
REGISTERS_PCI, REGISTERS = 0x8000_0000, 0x2000_8000_0000
"""Where the device's registers are, on the PCI bus and for CPUs."""
RAISE, ACKNOWLEDGE, ALL = REGISTERS + 0x60, REGISTERS + 0x64, 0xFFFFFFFF
LSI, MSI = 0x1201, 0x1300
OS_PAGE = TIMA_BASE + (View.OS << 16)
RAM, QUEUES = RAM_MIB << 20, 0x40_0000
SET_PQ_00 = 0x10C00


class Machine(Twin):
    """A twin whose CPU 0 runs the mailbox program; slot 1 has the `edu` device."""

    guest: xive_guest.Guest

    def start(self) -> None:
        self.guest = xive_guest.Guest(self.vm)
        self.level = 0

    def negotiate(self) -> None:
        assert self.guest.negotiate() == 0
        self.xive.negotiated = True

    def hcall(self, name: str, *arguments: int) -> int:
        """The status. Registers without a result keep what they had."""

        def model() -> tuple[int, ...]:
            status, *results = self.xive.cpu(0).hcall(name, *arguments)
            kept = [*arguments, *(0,) * (9 - len(arguments))][len(results) :]
            return status, *results, *kept

        real = self.both(f"{name}{arguments}", lambda: self.guest.hcall(HCALLS[name].opcode, *arguments), model)
        return real[0]

    def cpu_load(self, addr: int, size: int) -> int:
        return self.both(
            f"CPU loads {size} at {addr:#x}",
            lambda: self.guest.load(addr, size),
            lambda: self.xive.cpu(0).load(addr, size),
        )

    def cpu_store(self, addr: int, size: int, value: int) -> None:
        self.both(
            f"CPU stores {size} at {addr:#x}",
            lambda: self.guest.store(addr, size, value),
            lambda: self.xive.cpu(0).store(addr, size, value),
        )

    def same_queues(self) -> None:
        """All memory that event queues are in."""
        length = 0x10_0000
        assert self.xive.memory.read(QUEUES, length) == self.vm.qtest.read(QUEUES, length)

    # The device

    def configure(self, register: int, size: int, value: int) -> None:
        assert self.guest.rtas(WRITE_CONFIG, (SLOT | register, *BUID, size, value), 1) == (0,)

    def device_on(self) -> None:
        """Give the device its registers, and let it write to memory."""
        self.configure(0x10, 4, REGISTERS_PCI)
        self.configure(0x04, 2, 0x6)
        assert self.logged() == []

    def with_msi(self, on: bool) -> None:
        """Give the device an MSI, or take it away."""
        both = self.xive.claim if on else self.xive.free
        call = (SLOT, *BUID, 3, int(on), 0)
        self.both(f"MSI {on}", lambda: self.guest.rtas(CHANGE_MSI, call, 3)[0], lambda: both(MSI) or 0)
        self.configure(MSI_CONTROL, 2, int(on))

    def raise_line(self) -> None:
        inputs = [] if self.level else [(LSI, 1)]
        self.level = 1
        self.device("line up", lambda: self.vm.qtest.store(RAISE, 4, ALL), *inputs)

    def lower_line(self) -> None:
        inputs = [(LSI, 0)] if self.level else []
        self.level = 0
        self.device("line down", lambda: self.vm.qtest.store(ACKNOWLEDGE, 4, ALL), *inputs)

    def send_msi(self) -> None:
        self.device("MSI", lambda: self.vm.qtest.store(RAISE, 4, ALL), (MSI, 1), (MSI, 0))


@pytest.fixture(params=["xive"])
def machine(request: pytest.FixtureRequest, qemu_7_ppc: QemuBinary, tmp_path: Path) -> Iterator[Machine]:
    """A machine whose controller ends as its model does, and whose whole log can be replayed."""
    extra = (*xive_guest.words(tmp_path), "-device", "edu,addr=01.0")
    with twin(qemu_7_ppc, tmp_path, *extra, mode=request.param, make=Machine) as pair:
        pair.start()
        yield pair
        pair.same_pic()
        pair.same_queues()
        pic = pair.xive.pic()
    entries = xive_trace.read(pair.log.read_text().splitlines())
    replay = xive_trace.Replay(xive_trace.machine(entries), entries, kinds={TRACE, GUEST_ERROR, UNIMP})
    replay.run()
    assert replay.xive.pic() == pic


def queue(machine: Machine, target: int, priority: int, size: int = 12, flags: int = 1) -> int:
    """An event queue."""
    page = QUEUES + ((target * 8 + priority) << 16)
    return machine.hcall("H_INT_SET_QUEUE_CONFIG", flags, target, priority, page, size)


def esb(lisn: int, offset: int = 0) -> int:
    return ESB_BASE + (lisn << 17) + offset


@pytest.mark.parametrize("machine", ["xive", "dual"], indirect=True)
def test_an_interrupt_of_each_kind(machine: Machine) -> None:
    """From the device's register, or the trigger page, to the acknowledge and the EOI."""
    machine.negotiate()
    machine.device_on()
    assert queue(machine, 0, 6) == 0
    machine.cpu_store(OS_PAGE + 0x11, 1, 0xFF)
    for lisn, eisn in ((0, 0x10), (LSI, 0x12), (MSI, 0x13)):
        if lisn == MSI:
            machine.with_msi(True)
        assert machine.hcall("H_INT_SET_SOURCE_CONFIG", 2, lisn, 0, 6, eisn) == 0
        machine.cpu_load(esb(lisn, SET_PQ_00), 8)
        if lisn == LSI:
            machine.raise_line()
        elif lisn == MSI:
            machine.send_msi()
        else:
            machine.cpu_store(esb(lisn), 8, 0)
        assert machine.cpu_load(OS_PAGE + 0x810, 2) == 0x8006
        machine.same_pic()
        if lisn == LSI:
            assert machine.hcall("H_INT_ESB", 0, lisn, 0, 0) == 0  # still high: it is sent again
            machine.lower_line()
            machine.hcall("H_INT_ESB", 0, lisn, 0, 0)
        else:
            machine.cpu_load(esb(lisn, 0x10000), 8)
        machine.cpu_store(OS_PAGE + 0x11, 1, 0xFF)
    machine.with_msi(False)


def test_before_the_negotiation(machine: Machine) -> None:
    for name in HCALLS:
        machine.hcall(name, 0, 0, 0)


def test_anything(machine: Machine) -> None:
    machine.negotiate()
    machine.device_on()
    rng = random.Random(3)
    for target in (0, 1):
        for priority in (3, 6):
            queue(machine, target, priority)
    for lisn in (0, 1, 0x1000, LSI):
        machine.hcall("H_INT_SET_SOURCE_CONFIG", 2, lisn, rng.randrange(2), rng.choice((3, 6)), 0x10 + (lisn & 0xF))
        machine.cpu_load(esb(lisn, SET_PQ_00), 8)
    for _ in range(1500):
        rng.choice(STEPS)(machine, rng)


def test_sizes_and_alignments(machine: Machine) -> None:
    """A CPU's unaligned load is two aligned ones, its unaligned store one byte after the other."""
    machine.negotiate()
    places = (esb(0), esb(0, 0x10FF8), esb(LSI, SET_PQ_00), esb(0x2000) - 8, esb(0x2000), 0x7000_0000)
    for addr in (*places, OS_PAGE + 0x10, OS_PAGE + 0x18, OS_PAGE + 0x808, TIMA_BASE + 0x10):
        for size in (1, 2, 4, 8):
            for shift in range(8):
                machine.cpu_load(addr + shift, size)
                if addr != TIMA_BASE + 0x10:
                    machine.cpu_store(addr + shift, size, 0x1122334455667788 & ((1 << 8 * size) - 1))


def any_lisn(rng: random.Random) -> int:
    return rng.choice((0, 0, 1, 1, 0x1000, LSI, LSI, 0x1100, MSI, 0x1FFF, 0x2000, 1 << 40))


def any_hcall(machine: Machine, rng: random.Random) -> None:
    row = rng.choice(XIVE_HCALLS)
    some = {
        "flags": lambda: rng.choice((0, 0, 0, 1, 1, 2, 3, 4, 1 << 63)),
        "lisn": lambda: any_lisn(rng),
        "target": lambda: rng.choice((0, 0, 1, 1, 2, 1 << 32, 0xFFFFFFFF)),
        "priority": lambda: rng.choice((0, 3, 3, 6, 6, 6, 7, 0xFF, 0x106, 0x1FF, (1 << 64) - 1)),
        "eisn": lambda: rng.choice((0x10, 0x11, rng.randrange(1 << 64))),
        "qpage": lambda: rng.choice((QUEUES, QUEUES + 0x10000, QUEUES + 0x30000, QUEUES + 0x800, RAM)),
        "qsize": lambda: rng.choice((0, 16, 16, 16, 13, 1 << 32)),
        "offset": lambda: rng.choice((0, 0x800, 0xC00, 0xD00, 0xF04, 0x803, 0x10000, 0x10800, 0x20000, 0x20001)),
        "data": lambda: rng.randrange(1 << 64),
        "reporting_line": lambda: 0,
    }
    machine.hcall(row.name, *(some[name]() for name in row.arguments))


def any_tima(machine: Machine, rng: random.Random) -> None:
    """The pages of the OS and the user; of the privileged ones loads only, a store may end QEMU."""
    load = rng.random() < 0.5
    page = rng.choice((View.OS, View.OS, View.OS, View.USER, *((View.HW, View.HV) if load else ())))
    size = rng.choice((1, 2, 4, 8))
    offset = rng.choice((0x10, 0x11, 0x11, 0x12, 0x18, 0x810, 0x812, 0x812, 0x814, rng.randrange(0x1000)))
    offset &= ~(size - 1) if rng.random() < 0.8 else -1
    addr = TIMA_BASE + (page << 16) + offset
    if page in (View.HW, View.HV) and 0x800 <= offset & 0xFFF:
        return
    if load:
        machine.cpu_load(addr, size)
    else:
        machine.cpu_store(addr, size, rng.choice((0, 3, 6, 7, 8, 0xFF)))


def any_esb(machine: Machine, rng: random.Random) -> None:
    """By the CPU and by qtest."""
    by_cpu = rng.random() < 0.5
    load, store = (machine.cpu_load, machine.cpu_store) if by_cpu else (machine.load, machine.store)
    size = rng.choice((8, 8, 8, 8, 4, 2, 1))
    offset = rng.choice((0, 0, 0x10000, 0x10800, 0x10C00, rng.randrange(1 << 17)))
    addr = esb(any_lisn(rng) & 0x1FFF, offset & ~(size - 1) if rng.random() < 0.9 else offset)
    if rng.random() < 0.5:
        load(addr, size)
    else:
        store(addr, size, rng.randrange(1 << 8 * size))


def take(machine: Machine, rng: random.Random) -> None:
    """Acknowledge, and let all priorities in again."""
    machine.cpu_load(OS_PAGE + 0x810, 2)
    machine.cpu_store(OS_PAGE + 0x11, 1, 0xFF)


def ipi(machine: Machine, rng: random.Random) -> None:
    machine.cpu_store(esb(rng.randrange(2)), 8, 0)


def line(machine: Machine, rng: random.Random) -> None:
    if rng.random() < 0.5:
        machine.raise_line()
    else:
        machine.lower_line()


def end(machine: Machine, rng: random.Random) -> None:
    machine.cpu_load(esb(rng.choice((0, 1, 0x1000, LSI)), 0x10000), 8)


STEPS = (any_hcall, any_hcall, any_tima, any_esb, take, ipi, ipi, line, end)
