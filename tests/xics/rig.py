"""What the tests of XICS share: a controller, its lines, a machine around it. Numbers are typed by hand."""

import struct

from outboard.guest.ram import ram
from outboard.spapr import events, rtas, xics_hcalls
from outboard.xics import Xics
from outboard.xive.events import Events

MSI, OTHER_MSI, LSI, FREE = 0x1300, 0x1301, 0x1200, 0x1400
CLAIMS = ((0x1000, False), (MSI, False), (OTHER_MSI, False), (LSI, True), (0x1201, True))
CELLS = 0x1000


class Machine:
    """A machine with XICS; `told` has what it tells, as QEMU prints it."""

    def __init__(self, vcpu_ids=(0, 1), claims=CLAIMS, **options):
        self.events = Events(events.FORMATS | rtas.FORMATS)
        self.told = []
        self.events.listen(lambda event, values: self.told.append(self.events.line(event, values)))
        self.xics = Xics(vcpu_ids, events=self.events, **options)
        for number, is_lsi in claims:
            self.xics.claim(number, is_lsi)
        self.memory = ram(0x10000)
        self.xive_negotiated = False

    def hcall(self, opcode, *arguments, cpu=0, problem_state=False):
        return xics_hcalls.dispatch(self, cpu, problem_state, opcode, arguments)

    def rtas(self, token, *arguments, nret=1, nargs=None, cpu=0):
        """Return the results, and the cell behind them, where eeeeeeee was."""
        nargs = len(arguments) if nargs is None else nargs
        cells = struct.pack(f">{3 + len(arguments)}I", token, nargs, nret, *arguments).ljust(64, b"\xee")
        self.memory.write(CELLS, cells)
        assert rtas.call(self, cpu, CELLS) == (0,)
        return struct.unpack(f">{nret + 1}I", self.memory.read(CELLS + 12 + 4 * nargs, 4 * nret + 4))

    # State in the form of the tables that the tests are typed from

    def icp(self, cpu=0):
        """XIRR, pending priority, MFRR, owner is the ICS, line."""
        icp = self.xics.icp
        return icp.xirr[cpu], icp.pending[cpu], icp.mfrr[cpu], icp.owned[cpu], icp.lines[cpu]

    def put_icp(self, xirr, pending=0xFF, mfrr=0xFF, owned=0, line=None, cpu=0):
        icp = self.xics.icp
        icp.xirr[cpu], icp.pending[cpu], icp.mfrr[cpu], icp.owned[cpu] = xirr, pending, mfrr, owned
        icp.lines[cpu] = int(xirr & 0xFFFFFF != 0) if line is None else line

    def ics(self, number):
        """Server, priority, saved priority, status, flags."""
        ics, at = self.xics.ics, number - 0x1000
        return ics.server[at], ics.priority[at], ics.saved[at], ics.status[at], ics.flags[at]

    def put_ics(self, number, server=0, priority=5, saved=5, status=0):
        ics, at = self.xics.ics, number - 0x1000
        ics.server[at], ics.priority[at], ics.saved[at], ics.status[at] = server, priority, saved, status
