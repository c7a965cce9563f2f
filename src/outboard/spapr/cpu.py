"""A vCPU as its interrupt controller sees it: it loads, stores, makes hypercalls, and has an interrupt input."""

from typing import TYPE_CHECKING

from outboard.errors import LocalError
from outboard.spapr.arguments import ALL_ONES, source_number, whole
from outboard.spapr.bus import TIMA_OS
from outboard.spec.papr import ESB_BASE, XIVE_HCALLS
from outboard.spec.xive import TCTX_SIZE, TIMA_OPS, Reg, Ring, TimaOp
from outboard.xive.presenter import EXTERNAL

if TYPE_CHECKING:
    from outboard.spapr.xive import SpaprXive

SIZES = (1, 2, 4, 8)
HCALLS = {row.name: row.opcode for row in XIVE_HCALLS}
_EXTERNAL = EXTERNAL
_ALL_ONES = ALL_ONES
_OFFSETS = {row.op: TIMA_OS + row.offset for row in TIMA_OPS}
_ACK, _SET_CPPR, _SET_PENDING = (_OFFSETS[op] for op in (TimaOp.ACCEPT_OS, TimaOp.SET_OS_CPPR, TimaOp.SET_OS_PENDING))


class Cpu:
    """vCPU number `index` of a controller.

    problem_state: whether its MSR[PR] is set, so that hypercalls are refused.
    """

    def __init__(self, xive: "SpaprXive", index: int) -> None:
        self.xive = xive
        self.index = index
        self.vcpu_id = index * xive.vsmt
        self.bus = xive.bus
        self.presenter = xive.presenter
        self.problem_state = False

    def load(self, addr: int, size: int) -> int:
        """Load `size` bytes (1, 2, 4, 8) at a guest-physical address, big-endian.

        Raises LocalError when there is no such address or size, or the CPU is not plugged.
        """
        if not isinstance(addr, int) or not isinstance(size, int):
            raise _misuse(addr, size, 0)
        try:
            at, count = addr, size  # compiled, what no C integer holds is an OverflowError
        except OverflowError:
            raise _misuse(addr, size, 0) from None
        if (count != 1 and count != 2 and count != 4 and count != 8) or at < 0 or at > _ALL_ONES:
            raise _misuse(addr, size, 0)
        if not self.presenter.enabled[self.index]:
            raise _unplugged(self.index)
        return self.bus.load(self.index, at, count)

    def store(self, addr: int, size: int, value: int) -> None:
        """Store `size` bytes (1, 2, 4, 8) at a guest-physical address, big-endian. Raises LocalError as `load`, and
        when the value does not fit."""
        if not isinstance(addr, int) or not isinstance(size, int) or not isinstance(value, int):
            raise _misuse(addr, size, value)
        try:
            at, count, data = addr, size, value
        except OverflowError:
            raise _misuse(addr, size, value) from None
        if (count != 1 and count != 2 and count != 4 and count != 8) or at < 0 or at > _ALL_ONES:
            raise _misuse(addr, size, value)
        if data < 0 or data >> 4 * count >> 4 * count:
            raise _misuse(addr, size, value)
        if not self.presenter.enabled[self.index]:
            raise _unplugged(self.index)
        self.bus.store(self.index, at, count, data)

    def irq(self) -> bool:
        """Return whether the external interrupt input is raised."""
        return self.presenter.lines[self.index] & _EXTERNAL != 0

    def hcall(self, call: int | str, *arguments: int) -> tuple[int, ...]:
        """Make a hypercall, by number or name; arguments are R4 and up, those left out are 0.

        Return R3, then the results from R4 on. Raises LocalError for names that there are not, and for values that no
        register holds.
        """
        if isinstance(call, str) and call not in HCALLS:
            raise LocalError(f"no hypercall {call!r}; there are {', '.join(HCALLS)}")
        opcode = HCALLS[call] if isinstance(call, str) else call
        return self.xive.hcall(self.index, opcode, *arguments, problem_state=self.problem_state)

    # What an operating system does, by the loads and stores that it makes

    def trigger(self, lisn: int) -> None:
        """Store to the trigger page of a source."""
        self.store(self._page(lisn), 8, 0)

    def esb(self, lisn: int, offset: int) -> int:
        """Load at an offset of the management page of a source, as `spec.xive.EsbLoad` has them."""
        page = self.bus.source.size // self.xive.nr_irqs // (2 if self.xive.two_pages else 1)
        whole(offset, "offset in a page", page - 1)
        return self.load(self._page(lisn) + (page if self.xive.two_pages else 0) + offset, 8)

    def eoi(self, lisn: int) -> int:
        """End an interrupt by a load; 1 when the source sent another event."""
        return self.esb(lisn, 0)

    def ack(self) -> int:
        """Acknowledge the exception of the OS ring; return NSR and CPPR, 16 bits."""
        return self.load(_ACK, 2)

    def set_cppr(self, cppr: int) -> None:
        """Set the OS ring's CPPR."""
        self.store(_SET_CPPR, 1, cppr)

    def set_pending(self, priority: int) -> None:
        """Make a priority pending in the OS ring."""
        self.store(_SET_PENDING, 1, priority)

    def ring(self, ring: Ring = Ring.OS) -> dict[str, int]:
        """Return the registers of a ring by name."""
        ring = Ring(ring)
        cells = bytes(self.presenter.tables()["rings"][self.index * TCTX_SIZE + ring :][:16])
        registers = {reg.name: cells[reg] for reg in Reg if reg < Reg.W2}
        return registers | {reg.name: int.from_bytes(cells[reg : reg + 4], "big") for reg in (Reg.W2, Reg.W3)}

    def _page(self, lisn: int) -> int:
        return ESB_BASE + (source_number(lisn, self.xive.nr_irqs) << self.bus.source.shift)


def _unplugged(index: int) -> LocalError:
    return LocalError(f"CPU {index} is not plugged")


def _misuse(addr: object, size: object, value: object) -> LocalError:
    if size not in SIZES or isinstance(size, float):
        return LocalError(f"an access has 1, 2, 4 or 8 bytes, not {size!r}")
    if not isinstance(addr, int) or not 0 <= addr <= _ALL_ONES:
        return LocalError(f"{addr!r} is no guest address; they go from 0 to 2**64 - 1")
    return LocalError(f"{value!r} does not fit {size} bytes")
