"""Many operations at once: columns of numbers in, a column of answers out."""

from array import array

from outboard.spapr import SpaprXive
from outboard.spapr.batch import Batch, Op
from outboard.spapr.bus import TIMA_OS
from outboard.spec.papr import ESB_BASE

xive = SpaprXive()
cpu = xive.cpu(0)
cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, 0x10_0000, 12)
cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0, 0, 6, 0x10)
cpu.set_cppr(0xFF)
cpu.esb(0, 0xC00)

trigger, management = ESB_BASE, ESB_BASE + 0x10000
batch = Batch(
    ops=bytearray([Op.STORE, Op.IRQ, Op.LOAD, Op.LOAD, Op.STORE]),
    cpus=array("H", [0] * 5),
    sizes=bytearray([8, 0, 2, 8, 1]),
    addrs=array("Q", [trigger, 0, TIMA_OS + 0x810, management, TIMA_OS + 0x11]),
    values=array("Q", [0, 0, 0, 0, 0xFF]),
)
for _ in range(2):  # a batch can run again, on this controller or another
    print([f"{answer:#x}" for answer in batch.run(xive)])
