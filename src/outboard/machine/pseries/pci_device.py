"""What all PCI devices have: configuration space, places behind base addresses, a pin, messages.

Source: PCI Local Bus 3.0; behaviour as QEMU 7.2's. A device that adds registers passes its places; one that
interrupts calls `interrupt`.
"""

from collections.abc import Mapping
from typing import Protocol

from outboard.errors import LocalError
from outboard.frontend.ram import GuestRam
from outboard.machine.pseries.config import Bar, Config, Identity
from outboard.machine.pseries.messages import PBA_OFFSET, PBA_WORD, Message, MsiVectors, MsixVectors
from outboard.machine.pseries.registers import Place
from outboard.spec.pci import MSIX_ENTRY, Command, Reg, Status
from outboard.xive.events import Events

Layout = dict[Bar, tuple[Place, ...]]
"""What is behind each base address."""
State = dict[str, bytes | int]
"""The state of one device, by name."""


class Host(Protocol):
    """What a device reaches through its bus."""

    events: Events
    ram: GuestRam

    def remap(self, device: "PciDevice") -> None:
        """Look where the device's base addresses are now."""

    def drive(self, device: "PciDevice", change: int) -> None:
        """Raise (1) or lower (-1) the device's pin."""

    def read(self, device: "PciDevice", address: int, length: int) -> bytes:
        """Read from the bus as the device; what is not there reads as zeros."""

    def write(self, device: "PciDevice", address: int, data: bytes) -> None:
        """Write to the bus as the device; what goes nowhere is told, and lost."""


class _MsixTable:
    """The table as a driver sees it."""

    def __init__(self, device: "PciDevice", vectors: MsixVectors) -> None:
        self.device, self.vectors = device, vectors

    def load(self, offset: int, size: int) -> int:
        return int.from_bytes(self.vectors.table[offset : offset + size], "little")

    def store(self, offset: int, size: int, value: int) -> None:
        self.vectors.table[offset : offset + size] = value.to_bytes(size, "little")
        self.device.send_unmasked()


class _MsixPending:
    """The pending bits as a driver sees them."""

    def __init__(self, vectors: MsixVectors) -> None:
        self.vectors = vectors

    def load(self, offset: int, size: int) -> int:
        return self.vectors.pending >> 8 * offset

    def store(self, offset: int, size: int, value: int) -> None:
        pass


class PciDevice:
    """One function of a PCI bus, not yet in a slot.

    name: QEMU's for its type. layout: places by base address. msi: whether it has one message; msix: how many it has
    in a table, and the base address of that.
    """

    snapshots = True
    """Whether its whole state is in this process."""

    def __init__(
        self, name: str, identity: Identity, layout: Layout, *, msi: bool = False, msix: tuple[int, Bar] | None = None
    ) -> None:
        self.name = name
        self.layout = dict(layout)
        bars = sorted([*layout, *([msix[1]] if msix else [])])
        self.config = Config(identity, tuple(bars))
        self.add_capabilities()
        self.msi = MsiVectors(self.config) if msi else None
        self.msix = MsixVectors(self.config, msix[0], msix[1].index) if msix else None
        if self.msix and msix:
            self.layout[msix[1]] = self._msix_places(self.msix)
        self.slot = -1
        self.pin_raised = False
        self._host: Host | None = None

    def add_capabilities(self) -> None:
        """Add capabilities in front of those for messages."""

    def _msix_places(self, vectors: MsixVectors) -> tuple[Place, ...]:
        words = -(-vectors.count // (8 * PBA_WORD))
        return (
            Place("msix-table", 0, MSIX_ENTRY * vectors.count, _MsixTable(self, vectors), sizes=(4, 8)),
            Place("msix-pba", PBA_OFFSET, PBA_WORD * words, _MsixPending(vectors), sizes=(4, 8)),
        )

    # On a bus

    def plug(self, host: Host, slot: int) -> None:
        """Put the device into a slot. Raises LocalError when it is in one."""
        if self._host is not None:
            raise LocalError(f"{self.name} is in slot {self.slot:#x} of a machine already")
        self._host, self.slot = host, slot

    @property
    def host(self) -> Host:
        """The bus. Raises LocalError while it is in no slot."""
        if self._host is None:
            raise LocalError(f"{self.name} is in no machine")
        return self._host

    def read_config(self, offset: int, size: int) -> int:
        """Read configuration space."""
        return self.config.get(offset, size)

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Write configuration space, with what follows: places move, the pin falls silent, messages go out."""
        off = bool(self.config.command & Command.INTX_DISABLE)
        self.config.write(offset, size, value)
        turned = bool(self.config.command & Command.INTX_DISABLE)
        if turned != off and self.pin_raised:
            self.host.drive(self, -1 if turned else 1)
        if self.msi and self.msi.enabled:
            self.msi.clamp()
        if self.messages_enabled:
            self.set_pin(False)
        self.host.remap(self)
        self.send_unmasked()

    def read_memory(self, address: int, length: int) -> bytes:
        """Read from the bus; zeros while the device is no master."""
        return self.host.read(self, address, length) if self.is_master else bytes(length)

    def write_memory(self, address: int, data: bytes) -> None:
        """Write to the bus, if the device is a master."""
        if self.is_master:
            self.host.write(self, address, data)

    @property
    def is_master(self) -> bool:
        """Whether the driver lets the device access memory."""
        return bool(self.config.command & Command.MASTER)

    # Interrupts

    @property
    def messages_enabled(self) -> bool:
        """Whether the device interrupts by messages."""
        return bool((self.msi and self.msi.enabled) or (self.msix and self.msix.enabled))

    def set_pin(self, raised: bool) -> None:
        """Raise or lower the pin; only changes are seen."""
        if raised == self.pin_raised:
            return
        self.pin_raised = raised
        status = self.config.get(Reg.STATUS, 2) & ~Status.INTERRUPT
        self.config.set(Reg.STATUS, 2, status | (Status.INTERRUPT if raised else 0))
        if not self.config.command & Command.INTX_DISABLE:
            self.host.drive(self, 1 if raised else -1)

    def set_messages(self, address: int, first: int, count: int, *, msix: bool) -> None:
        """Write messages as firmware does: one number a vector of the table, the first alone for MSI."""
        if msix and self.msix:
            for vector in range(count):
                self.msix.set_message(vector, Message(address, first + vector))
        elif not msix and self.msi:
            self.msi.set_message(0, Message(address, first))

    def send(self, message: Message) -> None:
        """Write a message to the bus."""
        self.write_memory(message.address, message.data.to_bytes(4, "little"))

    def notify_msix(self, vector: int) -> None:
        """Let a vector of the table fire; one that there is not is ignored."""
        if self.msix and vector < self.msix.count and (message := self.msix.due(vector)):
            self.send(message)

    def send_unmasked(self) -> None:
        """Send what was kept back by masks that are gone."""
        if self.msix and self.msix.pending:
            for message in self.msix.unmasked():
                self.send(message)

    # Life

    def reset(self) -> None:
        """Reset with the machine."""
        self.set_pin(False)
        self.config.reset()
        for vectors in (self.msi, self.msix):
            if vectors:
                vectors.reset()
        self.host.remap(self)

    def poll(self) -> bool:
        """Deliver what came from outside this process; true when something did."""
        return False

    def waits_on(self) -> Mapping[int, int]:
        """Return the fds at which something from outside may come, with what to poll them for."""
        return {}

    def close(self) -> None:
        """Give up what is outside this process."""

    def state(self) -> State:
        """Return the state, to be set again by `set_state`."""
        state: State = {"config": bytes(self.config.data), "pin": int(self.pin_raised)}
        if self.msix:
            state |= {"table": bytes(self.msix.table), "pending": self.msix.pending}
        return state

    def set_state(self, state: State) -> None:
        """Go back to a state of such a device. The bus brings its own back."""
        self.config.data[:] = _bytes(state["config"])
        self.pin_raised = bool(state["pin"])
        if self.msix:
            self.msix.table[:] = _bytes(state["table"])
            self.msix.pending = int(state["pending"])


def _bytes(value: bytes | int) -> bytes:
    assert isinstance(value, bytes)
    return value
