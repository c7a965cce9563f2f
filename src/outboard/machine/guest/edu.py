"""A driver of QEMU's educational PCI device: factorials, interrupts on request, DMA; by message or by pin.

Source: QEMU docs/specs/edu. Registers are in the byte order of the guest's processor.
"""

from outboard.errors import LocalError
from outboard.machine.cpu import Cpu
from outboard.machine.guest.controller import InterruptController
from outboard.machine.guest.pci import PciDevice
from outboard.machine.guest.waiting import Waits, wait_until

IDENTITY = (0x1234, 0x11E8)
ID, LIVENESS, FACTORIAL, STATUS, IRQ_STATUS, IRQ_RAISE, IRQ_ACK = 0x00, 0x04, 0x08, 0x20, 0x24, 0x60, 0x64
DMA_FROM, DMA_TO, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
KIND, KIND_MASK = 0xED, 0xFF
"""Low byte of the identification: `RRrr00ed`."""
INTERRUPTS_WHEN_DONE = 0x80
DMA_START, DMA_TO_RAM, DMA_INTERRUPTS = 1, 2, 4
FACTORIAL_DONE, DMA_DONE = 0x001, 0x100
"""Bits of the interrupt status."""
BUFFER, BUFFER_SIZE = 0x40000, 4096
"""The device's own memory, at these addresses of its DMA."""


class Edu:
    """One device. Interrupts come by message, or by pin where `msi` is false, to the CPU with index `target`.

    interrupts: how many were handled. Raises LocalError when it does not answer as this device does.
    """

    def __init__(
        self, cpu: Cpu, pci: PciDevice, controller: InterruptController, *, msi: bool = True, target: int | None = None
    ) -> None:
        self.controller = controller
        self.interrupts = 0
        self._status = 0
        self._waiter = cpu
        pci.place_bars(cpu)
        self._base, _ = pci.bars.get(0, (0, 0))
        if not self._base or self._read(cpu, ID) & KIND_MASK != KIND or not self.lives(cpu, 0x1234_5678):
            vendor, device = pci.identity(cpu)
            raise LocalError(f"PCI device {pci.devfn >> 3:02x}: expected an edu, got {vendor:04x}:{device:04x}")
        self.lisn, lsi = (pci.enable_msi(cpu), False) if msi else pci.pin(cpu)
        controller.request(cpu, self.lisn, self._handle, lsi, target)

    def _read(self, cpu: Cpu, register: int) -> int:
        return cpu.load(self._base + register, 4)

    def _write(self, cpu: Cpu, register: int, value: int, size: int = 4) -> None:
        cpu.store(self._base + register, size, value)

    def lives(self, cpu: Cpu, value: int) -> bool:
        """Return whether the device gives the inverse of a value."""
        self._write(cpu, LIVENESS, value)
        return self._read(cpu, LIVENESS) == value ^ 0xFFFF_FFFF

    # Interrupts

    def _handle(self, cpu: Cpu, lisn: int) -> None:
        """Take all that the device says, and acknowledge it, which lowers its pin; wake who waits for it."""
        status = self._read(cpu, IRQ_STATUS)
        self._write(cpu, IRQ_ACK, status)
        self._status |= status
        self.interrupts += 1
        if cpu.index != self._waiter.index:
            self.controller.send_ipi(cpu, self._waiter.index)

    def _await(self, cpu: Cpu, bits: int) -> Waits[None]:
        yield from wait_until(self.controller, cpu, lambda: self._status & bits == bits)
        self._status &= ~bits

    def interrupt(self, cpu: Cpu, bits: int) -> Waits[None]:
        """Have the device interrupt with some bits, and wait for it."""
        self._waiter = cpu
        self._write(cpu, IRQ_RAISE, bits)
        yield from self._await(cpu, bits)

    # What it does

    def factorial(self, cpu: Cpu, number: int) -> Waits[int]:
        """Have the device compute n!, modulo 2**32; it interrupts when it is done. Returns the result."""
        self._waiter = cpu
        self._write(cpu, STATUS, INTERRUPTS_WHEN_DONE)
        self._write(cpu, FACTORIAL, number)
        yield from self._await(cpu, FACTORIAL_DONE)
        return self._read(cpu, FACTORIAL)

    def copy(self, cpu: Cpu, bus_addr: int, size: int, *, to_ram: bool) -> Waits[None]:
        """Copy between memory at a bus address and the device's buffer; it interrupts when it is done."""
        self._waiter = cpu
        ends = (BUFFER, bus_addr) if to_ram else (bus_addr, BUFFER)
        for register, value in zip((DMA_FROM, DMA_TO, DMA_COUNT), (*ends, size), strict=True):
            self._write(cpu, register, value, 8)
        command = DMA_START | DMA_INTERRUPTS | (DMA_TO_RAM if to_ram else 0)
        self._write(cpu, DMA_COMMAND, command, 8)
        yield from self._await(cpu, DMA_DONE)

    def stop(self, cpu: Cpu) -> None:
        """Give the interrupt up."""
        self.controller.free(cpu, self.lisn)
