"""Operations on a pseries controller as tuples, (name, argument...), and a controller that is checked against the
oracle after each of them.

Names are those of the methods of `tests.spapr.reference_machine.Reference`: load, store, irq, hcall, user_hcall,
set_irq, pulse, claim, free, plug, unplug, negotiate, set_regions, reset. What the model calls misuse answers REFUSED.
"""

from outboard.errors import LocalError
from outboard.spapr import SpaprXive
from tests.spapr.reference_machine import LISNS, REFUSED, Reference

CLAIMS = [(0, False), (1, False), (0x1000, False), (0x1300, False), (0x1301, False), (0x1FFF, False)]
CLAIMS += [(0x1200, True), (0x1201, True)]
LISN_POOL = [lisn for lisn, _ in CLAIMS] + [2, 0x1302, 0x1FFE]
ENDT_ENTRY = ("w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7")


def perform(xive, name, *arguments):
    """Do one operation on a model; return its answer."""
    try:
        if name in ("load", "store", "irq", "hcall"):
            return getattr(xive.cpu(arguments[0]), name)(*arguments[1:])
        if name == "user_hcall":
            return xive.hcall(*arguments, problem_state=True)
        if name == "negotiate":
            xive.negotiated = bool(arguments[0])
            return None
        if name == "set_regions":
            return xive.set_regions(esb_and_tima=bool(arguments[0]), end_esb=bool(arguments[1]))
        return getattr(xive, name)(*arguments)
    except LocalError:
        return REFUSED


def end_words(end):
    """Return the words of an END of the oracle's."""
    w0 = end["valid"] << 31 | end["valid"] << 30 | end["always"] << 29 | (end["size"] - 12) << 16
    w1 = end["esn"] << 30 | end["ese"] << 28 | end["gen"] << 22 | end["off"]
    return w0, w1, end["addr"] >> 32, end["addr"] & 0xFFFFFFFF, 0, 0, 0x400 + end["nvt"], end["prio"] << 16


class Pair:
    """The model and the oracle; both do what `do` is given."""

    def __init__(self, cpus=1, max_cpus=None, vsmt=1):
        max_cpus = max_cpus or cpus
        self.xive = SpaprXive(cpus, max_cpus=max_cpus, vsmt=vsmt, sources=CLAIMS)
        self.oracle = Reference(cpus, max_cpus, vsmt, CLAIMS)

    def do(self, name, *arguments):
        """Do an operation on both; return the answer."""
        got = perform(self.xive, name, *arguments)
        wanted = self.oracle.do(name, *arguments)
        assert got == wanted, f"{name} {shown(arguments)}: the model answers {shown(got)}, the oracle {shown(wanted)}"
        return got

    def check(self):
        """Compare all state but memory."""
        tables = self.xive._tables()
        assert bytes(tables["eat"]) == self._eat()
        assert bytes(tables["endt"]) == self._endt()
        assert bytes(tables["status"]) == self._status()
        assert list(self.xive.order) == self.oracle.order
        for cpu in self.oracle.order:
            ours = bytes(tables["rings"][64 * cpu : 64 * cpu + 64])
            assert ours.hex(" ") == bytes(self.oracle.reg(cpu, at) for at in range(64)).hex(" "), cpu
            assert tables["lines"][cpu] == self.oracle.lines[cpu]

    def check_memory(self):
        """Compare guest memory."""
        pages = self.xive.snapshot().pages
        ours = {page * 4096 + at: byte for page, data in pages.items() for at, byte in enumerate(data) if byte}
        assert ours == {addr: byte for addr, byte in self.oracle.ram.items() if byte}

    def _eat(self):
        table = bytearray(8 * LISNS)
        for lisn, eas in self.oracle.eas.items():
            word = eas["valid"] << 63 | eas["end"] << 32 | eas["masked"] << 31 | eas["data"]
            table[8 * lisn : 8 * lisn + 8] = word.to_bytes(8, "big")
        return bytes(table)

    def _endt(self):
        table = bytearray.fromhex("0000000050000000" + "00" * 24) * (8 * self.oracle.servers)
        for index, end in self.oracle.ends.items():
            table[32 * index : 32 * index + 32] = b"".join(word.to_bytes(4, "big") for word in end_words(end))
        return bytes(table)

    def _status(self):
        status = bytearray(b"\1") * LISNS
        for lisn, pq in self.oracle.pq.items():
            status[lisn] = pq
        for lisn in self.oracle.high:
            status[lisn] |= 4
        return bytes(status)

    def snapshot(self):
        """Return a picture of both."""
        return self.xive.snapshot(), self.oracle.snapshot()

    def restore(self, picture):
        """Bring both back to a picture."""
        self.xive.restore(picture[0])
        self.oracle.restore(picture[1])


def shown(answer):
    """Return numbers in hexadecimal."""
    if isinstance(answer, tuple | list):
        return "(" + ", ".join(map(shown, answer)) + ")"
    return hex(answer) if isinstance(answer, int) else repr(answer)
