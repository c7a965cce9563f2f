"""Configuration space of one PCI device: registers with the bits that a driver may write, base addresses, capabilities.

Source: PCI Local Bus 3.0, chapter 6; which bits are writable as QEMU 7.2's devices have them: bytes behind the header
that no capability has are memory.
"""

from dataclasses import dataclass
from typing import NamedTuple

from outboard.spec.pci import (
    CONFIG_SIZE,
    HEADER_SIZE,
    BarType,
    Capability,
    Command,
    Reg,
    Status,
)

_COMMAND_WRITABLE = sum(Command)
_LOW_BITS = 0xF
_WORD = 4
_ALL_ONES = 0xFFFFFFFF_FFFFFFFF


class Identity(NamedTuple):
    """What a device says that it is. class_code: class and subclass."""

    vendor: int
    device: int
    class_code: int
    revision: int
    subsystem_vendor: int = 0x1AF4
    subsystem: int = 0x1100


NARROW = BarType(0)
"""Of 32 bits, not to be prefetched."""


@dataclass(frozen=True, order=True)
class Bar:
    """A memory base address: its number, its size, a power of two, and its kind."""

    index: int
    size: int
    kind: BarType = NARROW

    @property
    def register(self) -> int:
        """Its offset in configuration space."""
        return Reg.BASE_ADDRESS_0 + _WORD * self.index

    @property
    def length(self) -> int:
        """Bytes of its register, or pair of them."""
        return 2 * _WORD if self.kind & BarType.WIDE else _WORD


class Config:
    """256 bytes as they are now, and their writable bits. Offsets and sizes are the caller's to check."""

    def __init__(self, identity: Identity, bars: tuple[Bar, ...] = ()) -> None:
        self.data = bytearray(CONFIG_SIZE)
        self.writable = bytearray(HEADER_SIZE) + b"\xff" * (CONFIG_SIZE - HEADER_SIZE)
        self.bars = bars
        self._free = HEADER_SIZE
        for reg, value in (
            (Reg.VENDOR_ID, identity.vendor),
            (Reg.DEVICE_ID, identity.device),
            (Reg.CLASS_DEVICE, identity.class_code),
            (Reg.REVISION_ID, identity.revision),
            (Reg.SUBSYSTEM_VENDOR_ID, identity.subsystem_vendor),
            (Reg.SUBSYSTEM_ID, identity.subsystem),
        ):
            self.set(reg, 2, value)
        self.data[Reg.INTERRUPT_PIN] = 1
        self.writable[Reg.COMMAND : Reg.COMMAND + 2] = _COMMAND_WRITABLE.to_bytes(2, "little")
        self.writable[Reg.CACHE_LINE_SIZE] = self.writable[Reg.INTERRUPT_LINE] = 0xFF
        for bar in bars:
            mask = -bar.size & (1 << 8 * bar.length) - 1
            self.writable[bar.register : bar.register + bar.length] = mask.to_bytes(bar.length, "little")
            self.data[bar.register] = bar.kind

    def add(self, capability: Capability) -> int:
        """Put a capability behind those there are, in front of them in the list; return its offset."""
        at = self._free
        body = bytes([capability.cap, self.data[Reg.CAPABILITIES]]) + capability.body
        self._free += len(body)
        self.data[at : self._free] = body
        self.writable[at : self._free] = bytes(2) + capability.writable
        self.data[Reg.CAPABILITIES] = at
        self.data[Reg.STATUS] |= Status.CAPABILITIES
        return at

    def get(self, offset: int, size: int) -> int:
        """Return a register."""
        return int.from_bytes(self.data[offset : offset + size], "little")

    def set(self, offset: int, size: int, value: int) -> None:
        """Set a register, as the device does."""
        self.data[offset : offset + size] = value.to_bytes(size, "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Set what is writable of a register, as a driver does."""
        for at, new in enumerate(value.to_bytes(size, "little"), offset):
            mask = self.writable[at]
            self.data[at] = self.data[at] & ~mask | new & mask

    @property
    def command(self) -> int:
        """The command register."""
        return self.get(Reg.COMMAND, 2)

    def place(self, bar: Bar) -> int | None:
        """Return the bus address of a base address, None while memory is off or where it cannot lie."""
        if not self.command & Command.MEMORY:
            return None
        at = self.get(bar.register, bar.length) & ~_LOW_BITS & -bar.size
        last = at + bar.size - 1
        end = _ALL_ONES if bar.kind & BarType.WIDE else 0xFFFFFFFF
        return at if last < end else None

    def reset(self) -> None:
        """Bring the header back to its initial state; bytes behind it stay."""
        for reg, size in ((Reg.COMMAND, 2), (Reg.CACHE_LINE_SIZE, 1), (Reg.INTERRUPT_LINE, 1)):
            self.set(reg, size, 0)
        for bar in self.bars:
            self.set(bar.register, bar.length, bar.kind)
