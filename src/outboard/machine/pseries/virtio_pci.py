"""A modern virtio device on PCI: capabilities, status, queues and vectors; what the device does is another object's.

Source: VIRTIO-1.2 2.1, 3.1, 4.1; layout and answers as QEMU 7.2's virtio devices on a conventional bus have them.

Modelled: all structures of 4.1.4 but shared memory, INTx and MSI-X. Features are accepted as the specification has it:
a subset of what is offered, with VERSION_1; QEMU 7.2 looks at neither. Not modelled: queue reset, legacy devices.
"""

from typing import NamedTuple, Protocol

from outboard.machine.pseries.config import Bar, Identity
from outboard.machine.pseries.pci_device import PciDevice
from outboard.machine.pseries.registers import Place, Registers
from outboard.machine.pseries.virtio_common import CommonConfig, Queue, Transport
from outboard.spec.pci import BarType, Cap, Capability
from outboard.spec.virtio import Feature
from outboard.spec.virtio_pci import DEVICE_BASE, NO_VECTOR, VENDOR, CfgType, DeviceStatus, Isr

TABLE_BAR = Bar(1, 4096)
MODERN_BAR = Bar(4, 4 * 4096, BarType.WIDE | BarType.PREFETCH)
STEP = 0x1000
"""Distance of the structures, and their sizes."""
MULTIPLIER = 4
_CAP = 16
_CFG_ACCESS = 4
"""Bytes of pci_cfg_data, behind the capability that has it."""
_ALL_ONES = 0xFFFFFFFF
_SIZES = (1, 2, 4)


class Interrupts(NamedTuple):
    """What a device wants to tell: queues with used buffers, and whether its configuration has changed."""

    queues: tuple[int, ...] = ()
    config: bool = False


class VirtioDevice(Protocol):
    """What is behind the transport. No method raises for a guest's mistake, or a back-end's.

    failure: why the device does not work, "" while it does.
    """

    failure: str

    @property
    def features(self) -> int:
        """What is offered."""

    def start(self, features: int, queues: list[Queue]) -> None:
        """Begin to work."""

    def stop(self) -> None:
        """Work no more."""

    def reset(self) -> None:
        """Forget everything."""

    def notify(self, queue: int) -> None:
        """Look at a queue."""

    def read_config(self) -> bytes:
        """Return the device's configuration."""

    def write_config(self, offset: int, data: bytes) -> None:
        """Write within the device's configuration."""

    def interrupts(self) -> Interrupts:
        """Return what is to be told since the last call."""


class VirtioPci(PciDevice):
    """A virtio device. name, class_code: of its PCI function; queue_sizes: largest, one a queue."""

    def __init__(
        self, name: str, device_id: int, class_code: int, device: VirtioDevice, queue_sizes: tuple[int, ...]
    ) -> None:
        self.device = device
        self.queue_sizes = queue_sizes
        self.now = Transport([Queue(size) for size in queue_sizes])
        parts: dict[str, Registers] = {
            "virtio-pci-common": CommonConfig(self),
            "virtio-pci-isr": _Isr(self),
            "virtio-pci-device": _DeviceConfig(self),
            "virtio-pci-notify": _Notify(self),
        }
        places = tuple(Place(part, at * STEP, STEP, registers) for at, (part, registers) in enumerate(parts.items()))
        self._access = 0
        super().__init__(
            name,
            Identity(VENDOR, DEVICE_BASE + device_id, class_code, 1),
            {MODERN_BAR: places},
            msix=(len(queue_sizes) + 1, TABLE_BAR),
        )

    def add_capabilities(self) -> None:
        """Add one capability a structure, and the window on them in configuration space."""
        rows = (CfgType.COMMON, b""), (CfgType.ISR, b""), (CfgType.DEVICE, b""), (CfgType.NOTIFY, bytes([MULTIPLIER]))
        for at, (kind, rest) in enumerate(rows):
            rest = rest.ljust(4 * bool(rest), b"\0")
            head = bytes([_CAP + len(rest), kind, MODERN_BAR.index]).ljust(6, b"\0")
            body = head + (at * STEP).to_bytes(4, "little") + STEP.to_bytes(4, "little") + rest
            self.config.add(Capability(Cap.VENDOR, body, bytes(len(body))))
        length = _CAP + _CFG_ACCESS
        body = bytes([length, CfgType.PCI]).ljust(length - 2, b"\0")
        writable = bytes(2) + b"\xff" + bytes(3) + b"\xff" * (length - 8)
        self._access = self.config.add(Capability(Cap.VENDOR, body, writable))

    @property
    def features(self) -> int:
        """What is offered."""
        return self.device.features

    # Configuration space

    def read_config(self, offset: int, size: int) -> int:
        """Read configuration space; through the window, what it shows."""
        if found := self._window(offset, size):
            place, at, length = found
            self.config.set(self._access + _CAP, _CFG_ACCESS, place.registers.load(at, length) & _ALL_ONES)
        return super().read_config(offset, size)

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Write configuration space, and through the window; without the bus the device stops."""
        super().write_config(offset, size, value)
        if found := self._window(offset, size):
            place, at, length = found
            data = self.config.get(self._access + _CAP, _CFG_ACCESS) & (1 << 8 * length) - 1
            place.registers.store(at, length, data)
        if not self.is_master and self.now.status & DeviceStatus.DRIVER_OK:
            self.set_status(self.now.status & ~DeviceStatus.DRIVER_OK)

    def _window(self, offset: int, size: int) -> tuple[Place, int, int] | None:
        """Return what the window shows, when an access touches it."""
        data = self._access + _CAP
        if offset >= data + _CFG_ACCESS or offset + size <= data:
            return None
        at, length = self.config.get(self._access + 8, 4), self.config.get(self._access + 12, 4)
        place = next((one for one in self.layout[MODERN_BAR] if one.start <= at < one.start + one.size), None)
        if place is None or length not in _SIZES or at + length > place.start + place.size:
            return None
        return place, at - place.start, length

    # Status

    def set_status(self, status: int) -> None:
        """Take what the driver wrote to the device status."""
        if status == 0:
            self._reset_transport()
            return
        now = self.now
        ran = now.status & DeviceStatus.DRIVER_OK
        if ran and not status & DeviceStatus.DRIVER_OK:
            self.device.stop()
            self.poll()
        own = now.status & DeviceStatus.NEEDS_RESET
        if status & DeviceStatus.FEATURES_OK and not now.status & DeviceStatus.FEATURES_OK and not self._acceptable():
            status &= ~DeviceStatus.FEATURES_OK
        now.status = status & 0xFF | own
        if status & DeviceStatus.DRIVER_OK and not ran and not own:
            self.device.start(now.features, now.queues)
        self.poll()

    def _acceptable(self) -> bool:
        return bool(self.now.features & Feature.VERSION_1) and not self.now.features & ~self.device.features

    def _reset_transport(self) -> None:
        self.device.reset()
        self.now = Transport([Queue(size) for size in self.queue_sizes], generation=self.now.generation)
        self.set_pin(False)

    def reset(self) -> None:
        """Reset with the machine."""
        self._reset_transport()
        super().reset()

    # Interrupts

    def poll(self) -> bool:
        """Pass on what the device wants to tell; its failure too. A back-end signals queues before they run, too."""
        told = self.device.interrupts()
        running = bool(self.now.status & DeviceStatus.DRIVER_OK)
        for queue in told.queues if running else ():
            self._interrupt(Isr.QUEUE, self.now.queues[queue].vector)
        fails = bool(self.device.failure) and not self.now.status & DeviceStatus.NEEDS_RESET
        if fails and self.now.status:
            self.now.status |= DeviceStatus.NEEDS_RESET
        changed = told.config or (fails and self.now.status != 0)
        if changed and running:
            self.now.generation = self.now.generation + 1 & 0xFF
            self._interrupt(Isr.QUEUE | Isr.CONFIG, self.now.config_vector)
        return (running and bool(told.queues)) or changed

    def _interrupt(self, isr: int, vector: int) -> None:
        self.now.isr |= isr
        if self.msix and self.msix.enabled:
            self.notify_msix(vector)
        else:
            self.set_pin(True)

    def checked_vector(self, vector: int) -> int:
        """Return a vector that the driver chose, or none where there is no such vector."""
        return vector if self.msix and vector < self.msix.count else NO_VECTOR


class _Isr:
    """The ISR status; a read clears it, and the pin."""

    def __init__(self, owner: VirtioPci) -> None:
        self.owner = owner

    def load(self, offset: int, size: int) -> int:
        isr, self.owner.now.isr = self.owner.now.isr, 0
        self.owner.set_pin(False)
        return isr

    def store(self, offset: int, size: int, value: int) -> None:
        pass


class _DeviceConfig:
    """The device's own configuration; beyond its end all ones are read."""

    def __init__(self, owner: VirtioPci) -> None:
        self.owner = owner

    def load(self, offset: int, size: int) -> int:
        data = self.owner.device.read_config()
        self.owner.poll()
        return int.from_bytes(data[offset : offset + size], "little") if offset + size <= len(data) else _ALL_ONES

    def store(self, offset: int, size: int, value: int) -> None:
        if offset + size <= len(self.owner.device.read_config()):
            self.owner.device.write_config(offset, value.to_bytes(size, "little"))
        self.owner.poll()


class _Notify:
    """A store at a queue's offset makes the device look at it."""

    def __init__(self, owner: VirtioPci) -> None:
        self.owner = owner

    def load(self, offset: int, size: int) -> int:
        return 0

    def store(self, offset: int, size: int, value: int) -> None:
        now, queue = self.owner.now, offset // MULTIPLIER
        if queue < len(now.queues) and now.queues[queue].enabled and now.status & DeviceStatus.DRIVER_OK:
            self.owner.device.notify(queue)
            self.owner.poll()
