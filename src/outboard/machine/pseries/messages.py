"""MSI and MSI-X of a device: what its driver, or firmware on its behalf, wrote there, and the message of a vector.

Source: PCI Local Bus 3.0, 6.8; behaviour as QEMU 7.2's.
"""

from typing import NamedTuple

from outboard.machine.pseries.config import Config
from outboard.spec.pci import (
    MSI_64_BIT,
    MSI_COUNT,
    MSI_COUNT_SHIFT,
    MSI_ENABLE,
    MSIX_ENABLE,
    MSIX_ENTRY,
    MSIX_ENTRY_CONTROL,
    MSIX_ENTRY_DATA,
    MSIX_MASK_ALL,
    MSIX_MASKED,
    Cap,
    Capability,
    Msi,
    Msix,
)

PBA_OFFSET = 0x800
"""Of the pending bits, in the region that has the table from 0 on."""
PBA_WORD = 8


class Message(NamedTuple):
    """A write that a device makes: 4 bytes, little-endian."""

    address: int
    data: int


class MsiVectors:
    """MSI of one vector, with an address of 64 bits, at `at` of a configuration space.

    A driver can say that it allows more; that is believed until it enables them.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        control, writable = MSI_64_BIT.to_bytes(2, "little"), (MSI_ENABLE | MSI_COUNT).to_bytes(2, "little")
        body = control.ljust(Msi.SIZE - 2, b"\0")
        bits = writable + (~3 & 0xFFFFFFFF).to_bytes(4, "little") + b"\xff" * 6
        self.at = config.add(Capability(Cap.MSI, body, bits))

    @property
    def enabled(self) -> bool:
        """Whether the driver wants messages in place of the pin."""
        return bool(self.control & MSI_ENABLE)

    @property
    def control(self) -> int:
        """The message control register."""
        return self.config.get(self.at + Msi.CONTROL, 2)

    @property
    def count(self) -> int:
        """How many messages there are, as the driver says."""
        return 1 << ((self.control & MSI_COUNT) >> MSI_COUNT_SHIFT)

    def clamp(self) -> None:
        """Allow as many messages as the device has, now that they are enabled."""
        self.config.set(self.at + Msi.CONTROL, 2, self.control & ~MSI_COUNT)

    def message(self) -> Message:
        """Return the message."""
        config, at = self.config, self.at
        return Message(config.get(at + Msi.ADDRESS, 8), config.get(at + Msi.DATA, 2))

    def set_message(self, vector: int, message: Message) -> None:
        """Set the message; all vectors share it."""
        self.config.set(self.at + Msi.ADDRESS, 8, message.address)
        self.config.set(self.at + Msi.DATA, 2, message.data & 0xFFFF)

    def reset(self) -> None:
        """Bring the capability back to its initial state."""
        self.config.set(self.at + Msi.CONTROL, 2, MSI_64_BIT)
        self.set_message(0, Message(0, 0))


class MsixVectors:
    """MSI-X: a table of messages, each with a mask, and bits for those that were due while masked."""

    def __init__(self, config: Config, count: int, bar: int) -> None:
        self.config = config
        self.count = count
        self.table = bytearray(MSIX_ENTRY * count)
        self.pending = 0
        body = (count - 1).to_bytes(2, "little") + bar.to_bytes(4, "little") + (PBA_OFFSET | bar).to_bytes(4, "little")
        writable = (MSIX_ENABLE | MSIX_MASK_ALL).to_bytes(2, "little") + bytes(Msix.SIZE - 4)
        self.at = config.add(Capability(Cap.MSIX, body, writable))
        self._initial_control = count - 1
        self.reset()

    @property
    def control(self) -> int:
        """The message control register."""
        return self.config.get(self.at + Msix.CONTROL, 2)

    @property
    def enabled(self) -> bool:
        """Whether the driver wants messages in place of the pin."""
        return bool(self.control & MSIX_ENABLE)

    def is_masked(self, vector: int) -> bool:
        """Return whether the messages of a vector are kept back."""
        off = self.control & (MSIX_ENABLE | MSIX_MASK_ALL) != MSIX_ENABLE
        return off or bool(self.table[MSIX_ENTRY * vector + MSIX_ENTRY_CONTROL] & MSIX_MASKED)

    def message(self, vector: int) -> Message:
        """Return the message of a vector."""
        entry = self.table[MSIX_ENTRY * vector : MSIX_ENTRY * (vector + 1)]
        data = entry[MSIX_ENTRY_DATA:MSIX_ENTRY_CONTROL]
        return Message(int.from_bytes(entry[:MSIX_ENTRY_DATA], "little"), int.from_bytes(data, "little"))

    def set_message(self, vector: int, message: Message) -> None:
        """Set the message of a vector and unmask it."""
        start = MSIX_ENTRY * vector
        self.table[start : start + 8] = message.address.to_bytes(8, "little")
        self.table[start + 8 : start + 12] = message.data.to_bytes(4, "little")
        self.table[start + MSIX_ENTRY_CONTROL] &= ~MSIX_MASKED

    def due(self, vector: int) -> Message | None:
        """Return the message of a vector that fires; None, and it is pending, while it is masked."""
        if self.is_masked(vector):
            self.pending |= 1 << vector
            return None
        return self.message(vector)

    def unmasked(self) -> list[Message]:
        """Return the messages that were pending and are masked no more."""
        ready = [vector for vector in range(self.count) if self.pending >> vector & 1 and not self.is_masked(vector)]
        for vector in ready:
            self.pending &= ~(1 << vector)
        return [self.message(vector) for vector in ready]

    def reset(self) -> None:
        """Mask all and forget all."""
        self.config.set(self.at + Msix.CONTROL, 2, self._initial_control)
        self.pending = 0
        self.table[:] = bytes(len(self.table))
        for vector in range(self.count):
            self.table[MSIX_ENTRY * vector + MSIX_ENTRY_CONTROL] = MSIX_MASKED
