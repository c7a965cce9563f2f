"""A virtio device over PCI as its driver sees it: registers, features, queues, one message a queue and one for changes.

Sources: VIRTIO-1.2 3.1 (initialization), 4.1 (over PCI). Registers are little-endian, whatever the processor.

Modelled: modern devices with MSI-X, split queues with EVENT_IDX. Not modelled: pins, packed queues.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from outboard.errors import LocalError, ProtocolError
from outboard.machine.cpu import Cpu
from outboard.machine.guest.heap import Heap
from outboard.machine.guest.pci import PciDevice, load_le, store_le
from outboard.spec.pci import Cap
from outboard.spec.virtio import Feature
from outboard.spec.virtio_pci import NO_VECTOR, CfgType, Common, DeviceStatus
from outboard.virtio.driver_queue import DriverQueue, RingLayout

QUEUE_MAX = 64
"""Descriptors of a queue, at most: a device may offer many more."""
RESET_LOOKS = 1000
"""How often a device that is reset is looked at until it says so."""
_SIZES = dict.fromkeys((Common.DEVICE_FEATURE_SELECT, Common.DEVICE_FEATURE), 4)
_SIZES |= dict.fromkeys((Common.DRIVER_FEATURE_SELECT, Common.DRIVER_FEATURE), 4)
_SIZES |= dict.fromkeys((Common.DEVICE_STATUS, Common.CONFIG_GENERATION), 1)
"""Bytes of the registers that have not 2."""
_TYPE, _BAR, _OFFSET, _LENGTH, _MULTIPLIER = 3, 4, 8, 12, 16
"""Offsets in a vendor capability (4.1.4)."""


class Place(NamedTuple):
    """Where a structure of the device is in guest-physical memory."""

    addr: int
    length: int


@dataclass(frozen=True)
class Queue:
    """A virtqueue: its rings, and the register that takes its notifications."""

    index: int
    ring: DriverQueue
    notify: int


class VirtioPci:
    """One device. Use: `negotiate`, `use_messages`, `add_queue`, `start`. Raises LocalError for others.

    heap: where rings are made.
    """

    def __init__(self, cpu: Cpu, pci: PciDevice, heap: Heap) -> None:
        self.pci = pci
        self.heap = heap
        self.features = 0
        self._places: dict[int, Place] = {}
        self._multiplier = 0
        pci.place_bars(cpu)
        for kind, at in pci.capabilities(cpu):
            if kind == Cap.VENDOR:
                self._learn(cpu, at)
        if missing := [kind.name for kind in (CfgType.COMMON, CfgType.NOTIFY, CfgType.DEVICE) if not self._has(kind)]:
            raise LocalError(f"PCI device {pci.devfn >> 3:02x} is no modern virtio device: no {', '.join(missing)}")

    def _has(self, kind: CfgType) -> bool:
        return kind in self._places

    def _learn(self, cpu: Cpu, at: int) -> None:
        """Read one capability; those of a kind that is known already do not count."""
        kind, bar = (self.pci.read(cpu, at + offset, 1) for offset in (_TYPE, _BAR))
        if kind in self._places or bar not in self.pci.bars:
            return
        offset, length = (self.pci.read(cpu, at + register, 4) for register in (_OFFSET, _LENGTH))
        start, size = self.pci.bars[bar]
        if offset + length > size:
            raise ProtocolError("virtio capability", f"a range inside {size:#x} bytes", f"{offset:#x}+{length:#x}")
        self._places[kind] = Place(start + offset, length)
        if kind == CfgType.NOTIFY:
            self._multiplier = self.pci.read(cpu, at + _MULTIPLIER, 4)

    # Registers

    def read(self, cpu: Cpu, register: Common) -> int:
        """Read a register of the common configuration."""
        return load_le(cpu, self._places[CfgType.COMMON].addr + register, _SIZES.get(register, 2))

    def write(self, cpu: Cpu, register: Common, value: int) -> None:
        """Write a register of the common configuration."""
        store_le(cpu, self._places[CfgType.COMMON].addr + register, _SIZES.get(register, 2), value)

    def read_config(self, cpu: Cpu, length: int) -> bytes:
        """Return so many bytes of the device's own configuration, a multiple of 4; 0 where it has not so many."""
        addr, there = self._places[CfgType.DEVICE]
        words = (load_le(cpu, addr + at, 4) if at < there else 0 for at in range(0, length, 4))
        return b"".join(word.to_bytes(4, "little") for word in words)

    def write_config(self, cpu: Cpu, offset: int, data: bytes) -> None:
        """Write 1, 2 or 4 bytes of the device's own configuration."""
        store_le(cpu, self._places[CfgType.DEVICE].addr + offset, len(data), int.from_bytes(data, "little"))

    # Initialization

    def negotiate(self, cpu: Cpu, wanted: int) -> int:
        """Reset the device, then accept what it offers of `wanted`; return that. Raises ProtocolError."""
        self._set_status(cpu, DeviceStatus(0))
        if not any(self.read(cpu, Common.DEVICE_STATUS) == 0 for _ in range(RESET_LOOKS)):
            raise ProtocolError("device status", "0 after a reset", f"{self.read(cpu, Common.DEVICE_STATUS):#x}")
        self._set_status(cpu, DeviceStatus.ACKNOWLEDGE)
        self._set_status(cpu, DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER)
        self.features = self._offered(cpu) & wanted
        for select in range(2):
            self.write(cpu, Common.DRIVER_FEATURE_SELECT, select)
            self.write(cpu, Common.DRIVER_FEATURE, self.features >> 32 * select & 0xFFFF_FFFF)
        self._set_status(cpu, DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK)
        if not self.read(cpu, Common.DEVICE_STATUS) & DeviceStatus.FEATURES_OK:
            raise ProtocolError("FEATURES_OK", f"the device to take features {self.features:#x}", "a refusal")
        return self.features

    def _offered(self, cpu: Cpu) -> int:
        words = []
        for select in range(2):
            self.write(cpu, Common.DEVICE_FEATURE_SELECT, select)
            words.append(self.read(cpu, Common.DEVICE_FEATURE))
        return words[0] | words[1] << 32

    def use_messages(self, cpu: Cpu, queues: int) -> Sequence[int]:
        """Have a message for changes of the configuration and one for each queue, in this order; return their LISNs.

        Raises ProtocolError when the device has no room for a vector.
        """
        lisns = self.pci.enable_msix(cpu, queues + 1)
        self._set_vector(cpu, Common.CONFIG_MSIX_VECTOR, 0)
        for index in range(queues):
            self.write(cpu, Common.QUEUE_SELECT, index)
            self._set_vector(cpu, Common.QUEUE_MSIX_VECTOR, index + 1)
        return lisns

    def _set_vector(self, cpu: Cpu, register: Common, vector: int) -> None:
        self.write(cpu, register, vector)
        if (got := self.read(cpu, register)) != vector:
            raise ProtocolError(register.name, f"{vector}", f"{'none' if got == NO_VECTOR else got}")

    def add_queue(self, cpu: Cpu, index: int) -> Queue:
        """Make a queue in guest memory and enable it. Raises LocalError when the device has it not."""
        self.write(cpu, Common.QUEUE_SELECT, index)
        size = min(QUEUE_MAX, self.read(cpu, Common.QUEUE_SIZE))
        if not size:
            raise LocalError(f"the device has no queue {index}; it has {self.read(cpu, Common.NUM_QUEUES)}")
        layout = RingLayout.of(size)
        base = self.heap.allocate(layout.end)
        ring = DriverQueue(self.heap.view(base, layout.end), layout, bool(self.features & Feature.EVENT_IDX))
        self.write(cpu, Common.QUEUE_SIZE, size)
        parts = ((Common.QUEUE_DESC, layout.desc), (Common.QUEUE_DRIVER, layout.avail))
        for register, offset in (*parts, (Common.QUEUE_DEVICE, layout.used)):
            self._write_address(cpu, register, base + offset)
        notify = self._places[CfgType.NOTIFY].addr + self.read(cpu, Common.QUEUE_NOTIFY_OFF) * self._multiplier
        self.write(cpu, Common.QUEUE_ENABLE, 1)
        return Queue(index, ring, notify)

    def _write_address(self, cpu: Cpu, register: Common, value: int) -> None:
        addr = self._places[CfgType.COMMON].addr + register
        store_le(cpu, addr, 4, value & 0xFFFF_FFFF)
        store_le(cpu, addr + 4, 4, value >> 32)

    def start(self, cpu: Cpu) -> None:
        """Let the device work."""
        status = DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK
        self._set_status(cpu, status | DeviceStatus.DRIVER_OK)

    def stop(self, cpu: Cpu) -> None:
        """Reset the device."""
        self._set_status(cpu, DeviceStatus(0))

    def _set_status(self, cpu: Cpu, status: DeviceStatus) -> None:
        self.write(cpu, Common.DEVICE_STATUS, status)

    def kick(self, cpu: Cpu, queue: Queue) -> None:
        """Publish what was added to a queue, ask for an interrupt when all of it is used, and notify the device.

        The interrupt is asked for before the device can be done, so one comes for each kick, however fast the device.
        """
        queue.ring.want_interrupt(max(1, len(queue.ring.in_flight)))
        if queue.ring.publish():
            store_le(cpu, queue.notify, 2, queue.index)
