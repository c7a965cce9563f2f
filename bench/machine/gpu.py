"""GPU command to EOI: a guest on our machine, XIVE or XICS, and our GPU back-end in another process.

A span begins with the guest's store to the notification register of the control queue and ends with the EOI of the
interrupt that says the command is used: H_EOI, or the load from the source's management page. Each instant of it
belongs to one stage:

driver      the guest's driver: its interrupt handler, what wakes who waits
scheduler   turns of guest programs, and the threads on which drivers wait
registers   the machine's bus and bridge, the transport's registers, taking the back-end's signal
back-end    from the kick until the back-end has used all and said so: its process, system calls, the display
message     the device's DMA write that is the MSI
controller  the LISN's way to the CPU's interrupt; acknowledge and EOI as the guest does them
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from bench.accounting import cpu_ns
from bench.machine.cycles import CheckFailed
from bench.machine.stages import Stages
from outboard.frontend.ram import Backing
from outboard.layout import Layout
from outboard.machine.cpu import Cpu, Memory, Steps
from outboard.machine.gpu_driver import GpuDriver
from outboard.machine.guest import boot, pci, virtio_gpu
from outboard.machine.guest.heap import Heap
from outboard.machine.guest.virtio_gpu import VirtioGpu
from outboard.machine.guest.waiting import Pause, steps
from outboard.machine.guest.xics import CALLS
from outboard.machine.pseries import PseriesMachine
from outboard.machine.pseries import VirtioGpu as Device
from outboard.machine.scheduler import Scheduler
from outboard.spapr.bus import TIMA_OS
from outboard.spapr.device_tree import WINDOWS
from outboard.spec.papr import ESB_BASE, XIVE_HCALLS
from outboard.spec.virtio_gpu import (
    BYTES_PER_PIXEL,
    CONTROL_QUEUE,
    Format,
    Rect,
    ResourceFlush,
    TransferToHost2D,
)
from outboard.spec.xive import PAGE_64K_SHIFT

DRIVER, SCHEDULER, REGISTERS = "driver", "scheduler", "registers"
BACKEND, MESSAGE, CONTROLLER = "back-end", "message", "controller"
STAGES = (DRIVER, SCHEDULER, REGISTERS, BACKEND, MESSAGE, CONTROLLER)
COMMAND = (sys.executable, "-m", "outboard", "gpu", "serve", "--once", "--fd", "{fd}")
SIZE = (320, 200)
SIDE = 64
"""Of the rectangle, in pixels."""
SHOWN, HIDDEN = 1, 2
"""Resources: one that the output shows, one that none shows."""
MODES = ("xive", "xics")
WARM_UP, COMMANDS = 20, 100
"""Commands before it is measured, and of a round."""
SETTLE_S = 0.02
"""After the last command, until the back-end sleeps and its processor time is exact."""
TIMA_PAGE = TIMA_OS >> PAGE_64K_SHIFT
FIRST_WINDOW = WINDOWS[0].base
H_EOI = CALLS["H_EOI"]
GET_SOURCE_INFO = {row.name: row.opcode for row in XIVE_HCALLS}["H_INT_GET_SOURCE_INFO"]
CASES: dict[str, tuple[Sequence[Layout], int]] = {
    "no-op": ((ResourceFlush(r=Rect(0, 0, SIDE, SIDE), resource_id=HIDDEN),), 0),
    "rect-64": (
        (
            TransferToHost2D(r=Rect(0, 0, SIDE, SIDE), resource_id=SHOWN),
            ResourceFlush(r=Rect(0, 0, SIDE, SIDE), resource_id=SHOWN),
        ),
        SIDE * SIDE,
    ),
}
"""What is put on the queue with one notification, and the pixels that are shown then."""


Body = Callable[[], None]


class WatchedCpu:
    """A guest's CPU whose accesses tell the stages. cpu: may be exchanged, as each program gets one of its own.

    counts: whether a store to a device begins a span: of a driver that runs, it is a notification. eoi: number of the
    page whose load ends it.
    """

    def __init__(self, cpu: Cpu, stages: Stages) -> None:
        self.cpu = cpu
        self.index, self.vcpu_id = cpu.index, cpu.vcpu_id
        self.memory: Memory = cpu.memory
        self.counts = False
        self.eoi = -1
        self._stages = stages

    def load(self, addr: int, size: int, /) -> int:
        """Load."""
        stages, page = self._stages, addr >> PAGE_64K_SHIFT
        if page not in (self.eoi, TIMA_PAGE):
            return self.cpu.load(addr, size)
        stages.enter(CONTROLLER)
        value = self.cpu.load(addr, size)
        if stages.runs and page == self.eoi:
            stages.end()
        stages.leave()
        return value

    def store(self, addr: int, size: int, value: int, /) -> None:
        """Store."""
        notifies = self.counts and FIRST_WINDOW <= addr < ESB_BASE
        if notifies:
            self._stages.begin()
            self._stages.enter(REGISTERS)
        self.cpu.store(addr, size, value)
        if notifies:
            self._stages.leave()

    def hcall(self, call: int | str, /, *arguments: int) -> tuple[int, ...]:
        """Make a hypercall."""
        stages = self._stages
        stages.enter(CONTROLLER)
        said = self.cpu.hcall(call, *arguments)
        if stages.runs and call == H_EOI:
            stages.end()
        stages.leave()
        return said

    def irq(self) -> bool:
        """Return whether the interrupt input is raised."""
        return self.cpu.irq()


class State(NamedTuple):
    """What has happened so far. others: interrupts and kicks that there should be none of."""

    interrupts: int
    painted: int
    others: tuple[int, ...]


class Guest:
    """A machine whose guest has its GPU set up, with one resource on its screen. mode: "xive" or "xics".

    settle: whether a kick waits for the back-end, as on a machine whose runs repeat; else it works beside the guest.
    """

    def __init__(self, machine: PseriesMachine, device: Device, mode: str, settle: bool) -> None:
        self.machine, self.device, self.mode, self.settle = machine, device, mode, settle
        self.stages = Stages(DRIVER)
        self._scheduler = Scheduler(machine)
        self._cpu = WatchedCpu(machine.cpus[0], self.stages)
        self._pause: Pause = lambda: None
        self.backend_ns = self.commands = 0
        self._run(self._set_up)
        assert device.backend.process
        self.pid = device.backend.process.pid

    def _run(self, body: Body) -> None:
        """Run a function as the program of the CPU. Raises what it raises."""

        def program(cpu: Cpu) -> Steps:
            self._cpu.cpu = cpu
            yield from steps(lambda pause: self._do(body, pause))
            return None

        self._scheduler.start(0, program)
        self._scheduler.run()
        for fault in self._scheduler.faults:
            raise CheckFailed(str(fault)) from fault.error

    def _do(self, body: Body, pause: Pause) -> None:
        self._pause = self.stages.around(SCHEDULER, pause)
        body()

    def _set_up(self) -> None:
        cpu, tree = self._cpu, self.machine.device_tree()
        heap = Heap(cpu.memory, boot.ram_size(tree))
        tree = boot.negotiate(cpu, heap, boot.vectors(tree, boot.choose(tree, self.mode)))
        rtas = boot.Rtas(tree, heap)
        self.controller = boot.controller(tree, heap, rtas)
        self.controller.setup_cpu(cpu)
        found = pci.find(cpu, pci.hosts(tree, rtas), *virtio_gpu.IDENTITY)
        assert found, "it is plugged in"
        self.gpu = VirtioGpu(cpu, found, heap, self.controller, lambda: self._pause())
        self.lisn = self.gpu.lisns[1 + CONTROL_QUEUE]
        self.driver = GpuDriver(self.gpu)
        self._show()
        self._watch()

    def _show(self) -> None:
        """Put a picture on the screen."""
        driver, (width, height) = self.driver, SIZE
        length = BYTES_PER_PIXEL * width * height
        for resource in (SHOWN, HIDDEN):
            driver.create_2d(resource, Format.B8G8R8X8, width, height)
        driver.attach_backing(SHOWN, Backing(self.machine.ram, ((driver.allocate(length), length),)))
        driver.set_scanout(0, SHOWN, Rect(0, 0, width, height))
        driver.transfer(SHOWN, Rect(0, 0, width, height), 0)
        driver.flush(SHOWN, Rect(0, 0, width, height))

    def _watch(self) -> None:
        """Have the machine's parts tell the stages."""
        stages, device, cpu = self.stages, self.device, self._cpu
        stages.watch(device.device, "notify", BACKEND)
        stages.watch(device.device, "interrupts", REGISTERS)
        stages.watch(device, "send", MESSAGE)
        stages.watch(self.machine.irq, "pulse", CONTROLLER)
        stages.watch(self.machine, "idle", BACKEND)
        if self.mode == "xive":
            _, _, management, *_ = cpu.hcall(GET_SOURCE_INFO, 0, self.lisn)
            cpu.eoi = management >> PAGE_64K_SHIFT

    # Rounds

    def run(self, case: str, commands: int) -> None:
        """Send a case's commands so often, each time waiting for the interrupt.

        A back-end that works beside the guest does not ask for a notification while it looks at the queue; what it
        gets without one is no span. Raises CheckFailed when not all was done that was to be.
        """
        requests, pixels = CASES[case]
        before, spans = self._state(), len(self.stages.spans)

        def body() -> None:
            self._cpu.counts = True
            for _ in range(commands):
                self.driver.ok_all(requests)
            self._cpu.counts = False

        time.sleep(SETTLE_S)
        cpu = cpu_ns(self.pid)
        self._run(body)
        time.sleep(SETTLE_S)
        self.backend_ns += cpu_ns(self.pid) - cpu
        self.commands += commands
        self.device.display.wait_painted(0, before.painted + pixels * commands)
        done = State(before.interrupts + commands, before.painted + pixels * commands, before.others)
        if self._state() != done:
            raise CheckFailed(f"{self.mode}: expected {done}, got {self._state()}")
        notified = len(self.stages.spans) - spans
        if not (commands if self.settle else 1) <= notified <= commands:
            raise CheckFailed(f"{self.mode}: {notified} notifications for {commands} commands")

    def _state(self) -> State:
        counters, device = self.controller.counters, self.device
        others = counters.spurious.total(), counters.stale, self.gpu.empty.total(), device.backend.unsettled
        painted = device.display.outputs[0].painted
        return State(counters.sources[self.lisn], painted, others)

    def numbers(self) -> dict[str, float]:
        """Return what came out of a command, in microseconds: medians, those of the stages and their shares too."""
        spans = sorted(span.total for span in self.stages.spans)
        many = len(spans)
        found = {"median_us": statistics.median(spans) / 1e3, "p99_us": spans[min(many - 1, many * 99 // 100)] / 1e3}
        medians = {stage: statistics.median(span.stages[stage] for span in self.stages.spans) / 1e3 for stage in STAGES}
        whole = sum(medians.values())
        found |= {f"{stage}_us": middle for stage, middle in medians.items()}
        found |= {f"{stage}_share": middle / whole for stage, middle in medians.items()}
        return found | {"backend_cpu_us": self.backend_ns / self.commands / 1e3, "spans": many}

    def forget(self) -> None:
        """Begin to measure."""
        self.stages.spans.clear()
        self.backend_ns = self.commands = 0


def measure(case: str, settle: bool, rounds: int) -> dict[str, dict[str, float]]:
    """Measure a case in both modes in turn, each round in the other order; numbers by mode. Raises OutboardError,
    CheckFailed."""
    with ExitStack() as stack:
        guests = {mode: stack.enter_context(guest(mode, settle)) for mode in MODES}
        for one in guests.values():
            one.run(case, WARM_UP)
            one.forget()
        for turn in range(rounds):
            for mode in MODES[:: -1 if turn % 2 else 1]:
                guests[mode].run(case, COMMANDS)
        return {mode: one.numbers() for mode, one in guests.items()}


@contextmanager
def guest(mode: str, settle: bool) -> Iterator[Guest]:
    """Run a machine and its guest, until commands can be sent. Raises OutboardError."""
    device = Device(COMMAND, [SIZE], settle=settle)
    with PseriesMachine(1, mode, [device]) as machine:
        yield Guest(machine, device, mode, settle)
