"""The peers: real QEMUs whose CPUs make cycles in a loop of their own (`CYCLES` of `outboard.qemu.agent`)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine.cycles import BLOCK, Block, Ready, Size
from outboard.qemu import QemuBinary
from outboard.qemu.agent import Do, Operation
from outboard.qemu.find import find_qemu
from outboard.qemu.live import LiveMachine
from outboard.spapr.bus import TIMA_OS
from outboard.spec.xive import EQ_ENTRY_SIZE

VERSIONS = {"qemu-7.2": ((7, 2), (7, 3)), "qemu-10": ((10,), (11,))}
MACHINE = "pseries-7.2"
"""Both have it, so that they differ in nothing but their own version."""


def find(name: str) -> QemuBinary:
    """Return a peer by its name. Raises QemuError when it is not here."""
    return find_qemu("ppc64", *VERSIONS[name])


class ByGuest:
    """A QEMU. Between rounds it is stopped: its CPUs look for work without end, and would heat a processor."""

    def __init__(self, machine: LiveMachine, size: Size) -> None:
        self._machine = machine
        self._ready = Ready(machine, size)
        self.cycles, self.unit = self._ready.cycles, 1
        self._monitor("stop")

    def _monitor(self, command: str) -> None:
        self._machine.vm.qmp.command(command)

    def run(self, sweeps: int) -> float:
        """See `Side.run`."""
        blocks = self._ready.begin(sweeps)
        asks = [_operation(block) for block in blocks]
        self._monitor("cont")
        start = time.perf_counter()
        results = self._machine.mailbox.run(asks)
        took = time.perf_counter() - start
        self._ready.check(sum(result.registers[0] for result in results), BLOCK * len(blocks))
        self._monitor("stop")
        return took


def _operation(block: Block) -> Operation:
    pages = block.trigger, TIMA_OS, block.queue, EQ_ENTRY_SIZE * BLOCK - 1, block.management
    return Operation(Do.CYCLES, block.cpu, (BLOCK, *pages))


@contextmanager
def by_guest(binary: QemuBinary, size: Size) -> Iterator[ByGuest]:
    """Run a QEMU. Raises OutboardError when it does not start, or has not so many CPUs."""
    ipis = ("-smp", f"cpus={size.cpus},maxcpus={max(size)}")
    with LiveMachine(binary, size.cpus, "xive", machine=MACHINE, extra=ipis) as machine:
        yield ByGuest(machine, size)
