"""A virtio-gpu on the PCI bus, as `Transport` of `machine.gpu_driver`: card and scenes work on it.

Sources: VIRTIO-1.2 5.7 (GPU device), 4.1 (over PCI). Commands are done when an interrupt says so; nothing is polled.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outboard.errors import ProtocolError
from outboard.machine.cpu import Cpu
from outboard.machine.gpu_driver import called
from outboard.machine.guest.controller import InterruptController
from outboard.machine.guest.heap import Heap
from outboard.machine.guest.pci import PciDevice
from outboard.machine.guest.virtio_pci import Queue, VirtioPci
from outboard.machine.guest.waiting import Pause
from outboard.spec.virtio import DEVICE_ID_GPU, Feature
from outboard.spec.virtio_gpu import CONTROL_QUEUE, CURSOR_QUEUE, Cmd, Config
from outboard.spec.virtio_gpu import Feature as GpuFeature
from outboard.spec.virtio_pci import DEVICE_BASE, VENDOR, Common, DeviceStatus
from outboard.virtio.driver_queue import DriverQueue

IDENTITY = (VENDOR, DEVICE_BASE + DEVICE_ID_GPU)
FEATURES = Feature.VERSION_1 | Feature.INDIRECT_DESC | Feature.EVENT_IDX | GpuFeature.EDID
QUEUES = (CONTROL_QUEUE, CURSOR_QUEUE)


@dataclass(frozen=True)
class Targets:
    """Indexes of the CPUs that take the interrupts of the queues, and of changes of the configuration."""

    control: int = 0
    cursor: int = 0
    config: int = 0


class VirtioGpu:
    """A GPU that runs; see `machine.gpu_transport.Transport`. All calls are for the CPU that makes it.

    pause: gives the CPU away until it is interrupted (`waiting.steps`). How long to wait is decided by who runs the
    machine; timeouts are not looked at here. lisns: of the configuration, the control and the cursor queue. note: told
    in words what is sent and what comes back, if somebody is.
    """

    def __init__(
        self,
        cpu: Cpu,
        pci: PciDevice,
        heap: Heap,
        controller: InterruptController,
        pause: Pause,
        targets: Targets | None = None,
    ) -> None:
        targets = targets or Targets()
        self.note: Callable[[str], object] | None = None
        self._cpu = cpu
        self._controller = controller
        self._pause = pause
        self._virtio = VirtioPci(cpu, pci, heap)
        self._virtio.negotiate(cpu, FEATURES)
        self.lisns: Sequence[int] = self._virtio.use_messages(cpu, len(QUEUES))
        self._queues = [self._virtio.add_queue(cpu, index) for index in QUEUES]
        self._used: list[list[tuple[int, int]]] = [[] for _ in QUEUES]
        self.empty: Counter[int] = Counter()
        """Interrupts of queues of which nothing was used, by LISN."""
        self._broken = False
        self.changes = 0
        """Interrupts for changes of the configuration so far."""
        self.allocate, self.view = heap.allocate, heap.view
        controller.request(cpu, self.lisns[0], self._changed, target=targets.config)
        for index, target in zip(QUEUES, (targets.control, targets.cursor), strict=True):
            controller.request(cpu, self.lisns[1 + index], self._collect, target=target)
        self._virtio.start(cpu)

    # Interrupts

    def _collect(self, cpu: Cpu, lisn: int) -> None:
        """Take what a queue has used, and wake who waits for it, if that is not this CPU.

        A device may interrupt for nothing: QEMU's GPU back-end does, once a queue, when it is started.
        """
        index = self.lisns.index(lisn) - 1
        ring = self._queues[index].ring
        used = ring.collect()
        if self.note:
            says = f"takes {len(used)} chains from the used ring, whose idx is {ring.last_used}"
            self.note(f"handler: CPU {cpu.index} {says}")
        self._used[index] += used
        if not used:
            self.empty[lisn] += 1
        elif cpu.index != self._cpu.index:
            self._controller.send_ipi(cpu, self._cpu.index)

    def _changed(self, cpu: Cpu, lisn: int) -> None:
        self.changes += 1
        self._broken = bool(self._virtio.read(cpu, Common.DEVICE_STATUS) & DeviceStatus.NEEDS_RESET)
        if self._broken and cpu.index != self._cpu.index:
            self._controller.send_ipi(cpu, self._cpu.index)

    # What a driver wants

    @property
    def features(self) -> int:
        """See `Transport.features`."""
        return self._virtio.features

    def queue(self, index: int) -> DriverQueue:
        """See `Transport.queue`."""
        return self._queues[index].ring

    def kick(self, index: int = 0) -> None:
        """See `Transport.kick`."""
        queue = self._queues[index]
        if self.note:
            sent = ", ".join(f"{name} {number} times" for name, number in Counter(self._sent(queue)).items())
            says = f"puts {sent} on queue {index}, and stores to {queue.notify:#x}"
            self.note(f"GPU command: CPU {self._cpu.index} {says}")
        self._virtio.kick(self._cpu, queue)

    def _sent(self, queue: Queue) -> list[str]:
        """Return the names of the commands that the device has not answered."""
        heads = (queue.ring.read_desc(head).addr for head in sorted(queue.ring.in_flight))
        return [called(Cmd, int.from_bytes(self.view(addr, 4), "little")).split()[0] for addr in heads]

    def wait_used(self, index: int = 0, timeout_s: float | None = None, count: int = 1) -> list[tuple[int, int]]:
        """See `Transport.wait_used`. Raises ProtocolError when the device says that it needs a reset."""
        while not self._used[index]:
            self._pause()
            self._controller.handle(self._cpu)
            if self._broken:
                raise ProtocolError("device status", "a device that works", "one that needs a reset")
        used, self._used[index] = self._used[index], []
        return used

    def config(self) -> Config:
        """See `Transport.config`."""
        return Config.unpack(self._virtio.read_config(self._cpu, Config.sizeof))

    def write_config(self, offset: int, data: bytes) -> None:
        """See `Transport.write_config`."""
        self._virtio.write_config(self._cpu, offset, data)

    def stop(self) -> None:
        """Reset the device and give its interrupts up."""
        self._virtio.stop(self._cpu)
        for lisn in self.lisns:
            self._controller.free(self._cpu, lisn)
        self._virtio.pci.disable_messages(self._cpu)
