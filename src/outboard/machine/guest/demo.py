"""The demonstration guest: it boots in an interrupt mode, tries all that interrupts, and animates its screen.

It is written against `machine.cpu` alone, so it runs on our machine and on a real QEMU; what it draws, and how often
each source interrupts, is the same there.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from outboard.errors import LocalError, OutboardError, ProtocolError
from outboard.machine.card import Card
from outboard.machine.cpu import Cpu, Machine, Steps
from outboard.machine.guest import boot, edu, pci, virtio_gpu
from outboard.machine.guest.controller import Counters, InterruptController
from outboard.machine.guest.edu import Edu
from outboard.machine.guest.heap import Heap
from outboard.machine.guest.pci import PciDevice, PciHost
from outboard.machine.guest.virtio_gpu import Targets, VirtioGpu
from outboard.machine.guest.waiting import Pause, Waits, steps, wait_until
from outboard.machine.scenes import Expected, make
from outboard.machine.scheduler import Scheduler
from outboard.spapr.fdt import Node

ENTRY = 0x0100_0000
"""Where the other CPUs begin."""
START_TURNS = 1000
"""Turns that a CPU is given to stop before it is started."""
FACTORIALS = {5: 120, 12: 479_001_600}
DMA_BYTES = 1024
RAISED = 0x20
"""A bit of edu's interrupt status that is nobody's own."""


@dataclass(frozen=True)
class Plan:
    """What the guest does.

    mode: "xive", "xics" or "either". scene: what is drawn, by its name in `machine.scenes`. seconds: of drawing, in
    place of `frames`. ipis: pings of each other CPU. cycles: how often the last CPU goes offline and comes back.
    on_frame: called before each frame and behind the last. on_gpu: called with the GPU's driver before the first.
    """

    mode: str = boot.EITHER
    scene: str = "balls"
    frames: int = 60
    seconds: float | None = None
    ipis: int = 4
    cycles: int = 1
    on_frame: Callable[[int], object] | None = None
    on_gpu: Callable[[VirtioGpu], object] | None = None


@dataclass
class Figures:
    """What a run did. interrupts: how many were handled, by source; pictures: what the screens must show, by output.

    empty: of the GPU's queues, for nothing, not counted above. spurious, stale: see `controller.Counters`.
    """

    mode: str
    cpus: int
    frames: int = 0
    rectangles: int = 0
    pixels: int = 0
    seconds: float = 0.0
    devices: list[str] = field(default_factory=list)
    interrupts: dict[str, int] = field(default_factory=dict)
    empty: int = 0
    spurious: int = 0
    stale: int = 0
    pictures: list[Expected | None] = field(default_factory=list, repr=False)

    @property
    def picture(self) -> Expected | None:
        """What the first output must show."""
        return self.pictures[0] if self.pictures else None


class Guest:
    """The program: `main` runs on the CPU that boots, `secondary` on those that it starts at `ENTRY`.

    tree: the device tree as it is before CAS.
    """

    heap: Heap
    controller: InterruptController
    rtas: boot.Rtas

    def __init__(self, tree: Node, plan: Plan) -> None:
        self.plan = plan
        self.tree = tree
        self.online: list[int] = []
        self.names: dict[int, str] = {}
        self.figures = Figures("", 0)
        self._orders: dict[int, str] = {}
        self._answers: set[int] = set()
        self._over = False
        self._empty: Counter[int] = Counter()

    # Programs

    def main(self, cpu: Cpu) -> Steps:
        """Boot, bring the other CPUs up, try the devices, draw; return the figures."""
        self.boot(cpu)
        yield from self._bring_up(cpu)
        yield from self._ping(cpu)
        bridges = pci.hosts(self.tree, self.rtas)
        if found := pci.find(cpu, bridges, *edu.IDENTITY):
            yield from self._try_edu(cpu, found, bridges[0])
        for _ in range(self.plan.cycles if len(self.online) > 1 else 0):
            yield from self._cycle(cpu, self.online[-1])
        if found := pci.find(cpu, bridges, *virtio_gpu.IDENTITY):
            self.figures.devices.append("gpu")
            yield from steps(lambda pause: self._draw(cpu, found, pause))
        yield from self._finish(cpu)
        return self.figures

    def secondary(self, cpu: Cpu) -> Steps:
        """Come online, say so, and handle interrupts until the end, or until told to go offline."""
        self.controller.setup_cpu(cpu)
        self._answer(cpu)
        yield from wait_until(self.controller, cpu, lambda: self._over or self._orders.get(cpu.index) == "offline")
        if not self._over:
            self._orders.pop(cpu.index)
            self.controller.stop_cpu(cpu)
            self._answer(cpu)
            self.rtas.call(cpu, "stop-self", results=0)
        return None

    # Booting

    def boot(self, cpu: Cpu) -> None:
        """Negotiate the mode, and let interrupts come to this CPU."""
        self.heap = Heap(cpu.memory, boot.ram_size(self.tree))
        mode = boot.choose(self.tree, self.plan.mode)
        self.tree = boot.negotiate(cpu, self.heap, boot.vectors(self.tree, mode))
        self.rtas = boot.Rtas(self.tree, self.heap)
        self.controller = boot.controller(self.tree, self.heap, self.rtas)
        self.controller.on_ipi = self._take_ipi
        self.controller.setup_cpu(cpu)
        self.online.append(cpu.index)
        self._boot_cpu = cpu.index
        self.figures.mode = mode

    def _bring_up(self, cpu: Cpu) -> Waits[None]:
        """Start one CPU after the other; each answers when it is online."""
        ids = boot.vcpu_ids(self.tree)
        for index, vcpu_id in enumerate(ids):
            if vcpu_id != cpu.vcpu_id:
                yield from self._start(cpu, index, vcpu_id)
                self.online.append(index)
        self.figures.cpus = len(self.online)

    def _start(self, cpu: Cpu, index: int, vcpu_id: int) -> Waits[None]:
        for _ in range(START_TURNS):
            if boot.start_cpus(cpu, self.rtas, [vcpu_id], ENTRY):
                break
            yield None  # It is about to stop.
        else:
            raise LocalError(f"CPU {index} runs already, and nobody started it")
        yield from self._await_answer(cpu, index)

    # IPIs: an order, if there is one, and an answer

    def _take_ipi(self, cpu: Cpu) -> None:
        if self._orders.get(cpu.index) == "ping":
            del self._orders[cpu.index]
            self._answer(cpu)

    def _answer(self, cpu: Cpu) -> None:
        self._answers.add(cpu.index)
        self.controller.send_ipi(cpu, self._boot_cpu)

    def _await_answer(self, cpu: Cpu, index: int) -> Waits[None]:
        yield from wait_until(self.controller, cpu, lambda: index in self._answers)
        self._answers.discard(index)

    def _order(self, cpu: Cpu, index: int, order: str) -> Waits[None]:
        self._orders[index] = order
        self.controller.send_ipi(cpu, index)
        yield from self._await_answer(cpu, index)

    def _ping(self, cpu: Cpu) -> Waits[None]:
        for _ in range(self.plan.ipis):
            for index in self.online[1:]:
                yield from self._order(cpu, index, "ping")

    def _cycle(self, cpu: Cpu, index: int) -> Waits[None]:
        """Take a CPU offline and bring it back."""
        yield from self._order(cpu, index, "offline")
        yield from self._start(cpu, index, boot.vcpu_ids(self.tree)[index])

    def _finish(self, cpu: Cpu) -> Waits[None]:
        """Let the others end."""
        self._over = True
        for index in self.online[1:]:
            self.controller.send_ipi(cpu, index)
        yield None

    # Devices

    def _try_edu(self, cpu: Cpu, device: PciDevice, bridge: PciHost) -> Waits[None]:
        """Interrupts by pin, then by message, to the last CPU, to the first, and while they are masked; DMA."""
        last = self.online[-1]
        pin = Edu(cpu, device, self.controller, msi=False, target=last)
        self.names[pin.lisn] = "edu pin"
        yield from self._compute(cpu, pin)
        pin.stop(cpu)
        message = Edu(cpu, device, self.controller, target=last)
        self.names[message.lisn] = "edu message"
        yield from self._compute(cpu, message)
        self.controller.set_affinity(cpu, message.lisn, cpu.index)
        yield from message.interrupt(cpu, RAISED)
        yield from self._copy(cpu, message, bridge)
        self.controller.set_affinity(cpu, message.lisn, last)
        self.figures.devices.append("edu")

    def _compute(self, cpu: Cpu, device: Edu) -> Waits[None]:
        for number, expected in FACTORIALS.items():
            got = yield from device.factorial(cpu, number)
            if got != expected:
                raise ProtocolError(f"edu's factorial of {number}", str(expected), str(got))
        yield from device.interrupt(cpu, RAISED)

    def _copy(self, cpu: Cpu, device: Edu, bridge: PciHost) -> Waits[None]:
        """Send a pattern to the device's buffer and fetch it back to another place."""
        place = self.heap.allocate(2 * pci.IOMMU_PAGE, pci.IOMMU_PAGE)
        bus = bridge.map_dma(cpu, place, 2 * pci.IOMMU_PAGE)
        pattern = bytes(at * 7 & 0xFF for at in range(DMA_BYTES))
        cpu.memory.write(place, pattern)
        yield from device.copy(cpu, bus, DMA_BYTES, to_ram=False)
        yield from device.copy(cpu, bus + pci.IOMMU_PAGE, DMA_BYTES, to_ram=True)
        got = cpu.memory.read(place + pci.IOMMU_PAGE, DMA_BYTES)
        if got != pattern:
            raise ProtocolError("edu's DMA", "the bytes that were sent to it", (got or b"")[:16].hex())

    def _draw(self, cpu: Cpu, device: PciDevice, pause: Pause) -> None:
        """Play the scene; runs as a fiber, so that what draws need not know of interrupts."""
        targets = Targets(control=self.online[-1], cursor=self.online[0], config=self.online[0])
        gpu = VirtioGpu(cpu, device, self.heap, self.controller, pause, targets)
        if self.plan.on_gpu:
            self.plan.on_gpu(gpu)
        self.names |= dict(zip(gpu.lisns, ("gpu config", "gpu control queue", "gpu cursor queue"), strict=True))
        self._empty = gpu.empty
        card, scene, figures = Card(gpu), make(self.plan.scene), self.figures
        card.probe()
        scene.setup(card)
        start = time.monotonic()
        while self._goes_on(scene.frames, start):
            if self.plan.on_frame:
                self.plan.on_frame(scene.frames)
            if not scene.step(card):
                break
        if self.plan.on_frame:
            self.plan.on_frame(scene.frames)
        card.sync()  # What looks at the screen has all pixels then.
        figures.seconds = time.monotonic() - start
        figures.frames, figures.rectangles, figures.pixels = scene.frames, scene.rectangles, scene.pixels
        figures.pictures = [scene.expected(one.id) for one in card.connectors]

    def _goes_on(self, frames: int, start: float) -> bool:
        if self.plan.seconds is not None:
            return time.monotonic() - start < self.plan.seconds
        return frames < self.plan.frames

    # Figures

    def count(self) -> None:
        """Put the interrupts of the whole run into the figures."""
        counters: Counters = self.controller.counters
        handled = counters.sources - self._empty
        by_name = {self.names.get(lisn, f"{lisn:#x}"): number for lisn, number in handled.items()}
        ipis = {f"IPI of CPU {index}": number for index, number in counters.ipis.items()}
        self.figures.interrupts = dict(sorted((ipis | by_name).items()))
        self.figures.empty = self._empty.total()
        self.figures.spurious = counters.spurious.total()
        self.figures.stale = counters.stale


def run(machine: Machine, plan: Plan | None = None, seed: int = 0, tree: Node | None = None) -> Figures:
    """Run the guest on a machine that was just booted, until it ends.

    tree: the device tree before CAS; the machine's own by default. Raises what the guest raises, and LocalError when it
    fails otherwise.
    """
    guest = Guest(machine.device_tree() if tree is None else tree, plan or Plan())
    scheduler = Scheduler(machine, seed)
    scheduler.place(ENTRY, guest.secondary)
    scheduler.start(machine.cpus[0].index, guest.main)
    scheduler.run(until_fault=True)
    for fault in scheduler.faults:
        if isinstance(fault.error, OutboardError):
            raise fault.error
        raise LocalError(f"the guest failed: {fault}") from fault.error
    guest.count()
    return guest.figures
