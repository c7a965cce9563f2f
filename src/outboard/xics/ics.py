"""ICS, the interrupt control source: where each source's events go, and which of them wait.

Source: LoPAPR, "PowerPC External Interrupt Option"; behaviour as QEMU 7.2 shows it. Modelled: message and level
sources, masking, what is rejected and sent again. Not modelled: presented and queued bits, which are KVM's.
"""

import re
from array import array

from outboard.errors import LocalError
from outboard.spec.xics import MASKED, IcsFlag, IcsStatus
from outboard.xics.events import Listener
from outboard.xics.icp import Icp, Sources

_LSI, _MSI = int(IcsFlag.LSI), int(IcsFlag.MSI)
_ASSERTED, _SENT = int(IcsStatus.ASSERTED), int(IcsStatus.SENT)
_REJECTED, _MASKED_PENDING = int(IcsStatus.REJECTED), int(IcsStatus.MASKED_PENDING)
_NOT_IDLE = re.compile(rb"[^\0]")


class Ics(Sources):
    """`count` sources with the numbers from `first` on; the tables count them from 0.

    server: vCPU id that events go to; priority: of events, MASKED for none; saved: priority that int-on brings back;
    status: `spec.xics.IcsStatus`; flags: `spec.xics.IcsFlag`, 0 where the number is not allocated. All operations work
    on numbers that are not allocated, too; nothing stops a guest from routing them, nor a device from sending them.
    """

    def __init__(self, icp: Icp, first: int, count: int, events: Listener) -> None:
        self.icp = icp
        self.first = first
        self.count = count
        self.events = events
        self.server = array("I", [0]) * count
        self.priority = bytearray([MASKED]) * count
        self.saved = bytearray([MASKED]) * count
        self.status = bytearray(count)
        self.flags = bytearray(count)
        self._all_idle = bytes(count)
        icp.sources = self

    def tables(self) -> dict[str, memoryview]:
        """Return the state by name."""
        tables = {name: memoryview(getattr(self, name)) for name in ("priority", "saved", "status", "flags")}
        return tables | {"server": memoryview(self.server).cast("B")}

    def reset(self) -> None:
        """Mask and forget everything but which numbers are allocated, as a machine reset does."""
        memoryview(self.server).cast("B")[:] = bytes(self.server.itemsize * self.count)
        self.priority[:] = self.saved[:] = bytes([MASKED]) * self.count
        self.status[:] = bytes(self.count)

    def has(self, number: int) -> bool:
        """Return whether the number is one of these."""
        return 0 <= number - self.first < self.count

    def claim(self, number: int, is_lsi: bool) -> None:
        """Allocate a number; its route stays as it is. Raises LocalError when it is not free."""
        if self.flags[number - self.first]:
            raise LocalError(f"IRQ {number} is not free")
        self.flags[number - self.first] = _LSI if is_lsi else _MSI

    def free(self, number: int) -> None:
        """Free a number and clear all that there is of it: unlike after a reset, its priority is 0, not masked."""
        srcno = number - self.first
        self.server[srcno] = self.priority[srcno] = self.saved[srcno] = 0
        self.status[srcno] = self.flags[srcno] = 0

    def is_lsi(self, number: int) -> bool:
        """Return whether the source's input is a level."""
        return self.flags[number - self.first] & _LSI != 0

    # What a device does

    def set_irq(self, number: int, level: bool) -> None:
        """Set the source's input: an LSI's level, or an MSI's pulse, which counts when it rises."""
        srcno = number - self.first
        if self.is_lsi(number):
            self.events.tell("xics_ics_set_irq_lsi", srcno, number)
            self.status[srcno] = self.status[srcno] & ~_ASSERTED | (_ASSERTED if level else 0)
            self._resend_lsi(srcno)
        else:
            self.events.tell("xics_ics_set_irq_msi", srcno, number)
            if level:
                self._send_msi(srcno)

    def _send_msi(self, srcno: int) -> None:
        if self.priority[srcno] == MASKED:
            self.status[srcno] |= _MASKED_PENDING
            self.events.tell("xics_masked_pending")
        else:
            self._deliver(srcno)

    def _deliver(self, srcno: int) -> None:
        self.icp.deliver(self.server[srcno], self.first + srcno, self.priority[srcno])

    # What the guest does

    def write_xive(self, number: int, server: int, priority: int, saved: int) -> None:
        """Set where the source's events go; what waited because of the mask, or of a level that is up, goes there."""
        srcno = number - self.first
        self.server[srcno], self.priority[srcno], self.saved[srcno] = server, priority, saved
        self.events.tell("xics_ics_write_xive", number, srcno, server, priority)
        if self.is_lsi(number):
            self._resend_lsi(srcno)
        elif self.status[srcno] & _MASKED_PENDING and priority != MASKED:
            self.status[srcno] &= ~_MASKED_PENDING
            self._deliver(srcno)

    def eoi(self, number: int) -> None:
        """Let an LSI send again; an MSI has nothing to end."""
        self.events.tell("xics_ics_eoi", number)
        if self.is_lsi(number):
            self.status[number - self.first] &= ~_SENT

    # What an ICP does

    def reject(self, number: int) -> None:
        """Take an event back: an LSI may send again, an MSI has to. A number that is not allocated loses it."""
        srcno = number - self.first
        self.events.tell("xics_ics_reject", number, srcno)
        if self.flags[srcno] & _MSI:
            self.status[srcno] |= _REJECTED
        elif self.flags[srcno] & _LSI:
            self.status[srcno] &= ~_SENT

    def resend(self) -> None:
        """Deliver what waits, in the order of the numbers. A source behind may come to wait meanwhile, and goes too."""
        if self.status == self._all_idle:  # mostly so, and much faster than the search
            return
        found = _NOT_IDLE.search(self.status)
        while found:
            srcno = found.start()
            if self.flags[srcno] & _LSI:
                self._resend_lsi(srcno)
            else:
                self._resend_msi(srcno)
            found = _NOT_IDLE.search(self.status, srcno + 1)

    def _resend_lsi(self, srcno: int) -> None:
        if self.priority[srcno] != MASKED and self.status[srcno] & (_ASSERTED | _SENT) == _ASSERTED:
            self.status[srcno] |= _SENT
            self._deliver(srcno)

    def _resend_msi(self, srcno: int) -> None:
        """Deliver a rejected event; a source that was masked meanwhile loses it."""
        if self.status[srcno] & _REJECTED:
            self.status[srcno] &= ~_REJECTED
            if self.priority[srcno] != MASKED:
                self._deliver(srcno)
