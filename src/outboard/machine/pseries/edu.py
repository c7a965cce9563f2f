"""QEMU's educational device: a factorial, a register that inverts, interrupts on demand, DMA.

Source: QEMU docs/specs/edu; behaviour as QEMU 7.2's device shows it, whose registers have the CPU's byte order.

What takes QEMU's device a thread or a timer is done at once here. A transfer beyond its buffer, where QEMU 7.2 ends, is
told and not made.
"""

from outboard.machine.pseries.config import Bar, Identity
from outboard.machine.pseries.pci_device import PciDevice, State
from outboard.machine.pseries.registers import Place

IDENTITY = Identity(vendor=0x1234, device=0x11E8, class_code=0x00FF, revision=0x10)
REGISTERS = Bar(0, 1 << 20)
ID = 0x0100_00ED
ID_AT, LIVENESS, FACTORIAL, STATUS, IRQ_STATUS, RAISE, ACKNOWLEDGE = 0x00, 0x04, 0x08, 0x20, 0x24, 0x60, 0x64
DMA_SOURCE, DMA_DESTINATION, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
_WIDE = 0x80
"""Registers from here on may be accessed by 8 bytes too."""
STATUS_IRQ = 0x80
"""Interrupt when a factorial is done; the only bit of the status that a driver sets."""
RUN, TO_MEMORY, IRQ = 1, 2, 4
"""Bits of the DMA command."""
IRQ_FACTORIAL, IRQ_DMA = 0x1, 0x100
BUFFER, BUFFER_SIZE = 0x40000, 4096
DMA_MASK = (1 << 28) - 1
_WORD, _LONG = 0xFFFFFFFF, 0xFFFFFFFF_FFFFFFFF
_ZERO_FROM = 34
"""The first number whose factorial has 32 zero bits at its end."""


def factorial(number: int) -> int:
    """Return a factorial in 32 bits."""
    if number >= _ZERO_FROM:
        return 0
    result = 1
    for factor in range(2, number + 1):
        result = result * factor & _WORD
    return result


class Edu(PciDevice):
    """The device."""

    def __init__(self) -> None:
        place = Place("edu-mmio", 0, REGISTERS.size, self, order="big", sizes=(4, 8), widest=8)
        super().__init__("edu", IDENTITY, {REGISTERS: (place,)}, msi=True)
        self.buffer = bytearray(BUFFER_SIZE)
        self.registers = dict.fromkeys(
            (LIVENESS, FACTORIAL, STATUS, IRQ_STATUS, DMA_SOURCE, DMA_DESTINATION, DMA_COUNT, DMA_COMMAND), 0
        )

    # Registers

    def load(self, offset: int, size: int) -> int:
        """Read a register; all ones where none is, or not of this size."""
        if offset < _WIDE and size != 4:
            return _LONG
        return ID if offset == ID_AT else self.registers.get(offset, _LONG)

    def store(self, offset: int, size: int, value: int) -> None:
        """Write a register."""
        if offset < _WIDE and size != 4:
            return
        if offset in (DMA_SOURCE, DMA_DESTINATION, DMA_COUNT):
            self.registers[offset] = value
        elif offset == LIVENESS:
            self.registers[LIVENESS] = ~value & _WORD
        elif offset == FACTORIAL:
            self._compute(value)
        elif offset == STATUS:
            self.registers[STATUS] = value & STATUS_IRQ
        elif offset == RAISE:
            self.interrupt(value)
        elif offset == ACKNOWLEDGE:
            self._acknowledge(value)
        elif offset == DMA_COMMAND and value & RUN:
            self._transfer(value)

    def _compute(self, number: int) -> None:
        self.registers[FACTORIAL] = factorial(number)
        if self.registers[STATUS] & STATUS_IRQ:
            self.interrupt(IRQ_FACTORIAL)

    # Interrupts

    def interrupt(self, bits: int) -> None:
        """Set bits of the interrupt status, and interrupt while one is set."""
        self.registers[IRQ_STATUS] |= bits & _WORD
        if not self.registers[IRQ_STATUS]:
            return
        if self.msi and self.msi.enabled:
            self.send(self.msi.message())
        else:
            self.set_pin(True)

    def _acknowledge(self, bits: int) -> None:
        self.registers[IRQ_STATUS] &= ~bits
        if not self.registers[IRQ_STATUS] and not self.messages_enabled:
            self.set_pin(False)

    # DMA

    def _transfer(self, command: int) -> None:
        registers, count = self.registers, self.registers[DMA_COUNT]
        inside = registers[DMA_DESTINATION if not command & TO_MEMORY else DMA_SOURCE]
        outside = registers[DMA_SOURCE if not command & TO_MEMORY else DMA_DESTINATION]
        at = inside - BUFFER
        if at < 0 or at + count > BUFFER_SIZE:
            self.host.events.report("edu_bounds", inside, count)
        elif command & TO_MEMORY:
            self.write_memory(self._clamped(outside), bytes(self.buffer[at : at + count]))
        else:
            self.buffer[at : at + count] = self.read_memory(self._clamped(outside), count)
        registers[DMA_COMMAND] = command & ~RUN
        if command & IRQ:
            self.interrupt(IRQ_DMA)

    def _clamped(self, address: int) -> int:
        if address & ~DMA_MASK:
            self.host.events.report("edu_clamps", address, address & DMA_MASK)
        return address & DMA_MASK

    # Pictures

    def state(self) -> State:
        """Return the state. Machine reset leaves the registers alone, as QEMU's does."""
        registers = {f"register {offset:#x}": value for offset, value in self.registers.items()}
        return super().state() | registers | {"buffer": bytes(self.buffer)}

    def set_state(self, state: State) -> None:
        """Go back to a state."""
        super().set_state(state)
        for offset in self.registers:
            self.registers[offset] = int(state[f"register {offset:#x}"])
        buffer = state["buffer"]
        assert isinstance(buffer, bytes)
        self.buffer[:] = buffer
