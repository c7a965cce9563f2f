"""What a pseries machine is made of, as its device tree tells it: processors, memory, VIO devices, PHBs.

Source: LoPAPR, "Virtual I/O (VIO)" and "PCI Host Bridges"; addresses and numbers as QEMU 7.2's pseries machine has
them. The devices themselves are elsewhere; here they have a node and their interrupt numbers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import outboard.spapr.fdt as fdt
from outboard.errors import LocalError
from outboard.spapr.irq import SpaprIrq
from outboard.spapr.modes import MachineType
from outboard.spapr.numbers import VIO_FIRST_REG
from outboard.spec.client_architecture import CpuModel
from outboard.spec.papr import CPU_RTAS_CALLS, EVENT_RTAS_CALLS, PCI_RTAS_CALLS, RtasCall


class VioKind(NamedTuple):
    """A kind of VIO device: name of its node, what it is, and properties of its own."""

    name: str
    compatible: str
    device_type: str
    more: tuple[tuple[str, bytes], ...] = ()


VTY = VioKind("vty", "hvterm1", "serial")
NVRAM = VioKind("nvram", "qemu,spapr-nvram", "nvram", (("#bytes", fdt.cells(0x10000)),))


@dataclass(frozen=True)
class VioDevice:
    """A VIO device, with its LISN."""

    kind: VioKind
    reg: int
    lisn: int


@dataclass(frozen=True)
class Phb:
    """A PCI host bridge, with the LISNs of its four pins. children: nodes of the PCI devices behind it."""

    index: int
    pins: tuple[int, ...]
    children: tuple[fdt.Node, ...] = ()


class Platform:
    """The parts of one machine; devices get their numbers in the order in which they are added.

    ram_size: bytes from address 0. rtas_calls: what the machine serves besides the calls of XICS.
    """

    def __init__(
        self,
        irq: SpaprIrq,
        machine: MachineType,
        model: CpuModel,
        ram_size: int,
        rtas_calls: Iterable[RtasCall] = EVENT_RTAS_CALLS + CPU_RTAS_CALLS + PCI_RTAS_CALLS,
    ) -> None:
        self.irq = irq
        self.machine = machine
        self.model = model
        self.ram_size = ram_size
        self.rtas_calls = tuple(rtas_calls)
        self.vio: list[VioDevice] = []
        self.phbs: list[Phb] = []

    def add_default_devices(self, consoles: int = 1) -> None:
        """Add what QEMU's machine has by itself: a console for each serial port, NVRAM, the first PHB."""
        for _ in range(consoles):
            self.add_vio(VTY)
        self.add_vio(NVRAM)
        self.add_phb()

    def add_vio(self, kind: VioKind, reg: int | None = None) -> VioDevice:
        """Add a VIO device; without a `reg` it gets the first free one. Raises LocalError for one that is taken."""
        taken = {device.reg for device in self.vio}
        if reg is None:
            reg = next(free for free in range(VIO_FIRST_REG, VIO_FIRST_REG + len(taken) + 1) if free not in taken)
        if not 0 <= reg <= 0xFFFFFFFF or reg in taken:
            raise LocalError(f"a VIO device at {reg:#x}: needs an address of 32 bits that no other has")
        device = VioDevice(kind, reg, self.irq.connect_vio(reg))
        self.vio.append(device)
        return device

    def add_phb(self, index: int = 0, children: Iterable[fdt.Node] = ()) -> Phb:
        """Add a PHB. Raises LocalError for an index that is taken, or that no PHB has."""
        if any(phb.index == index for phb in self.phbs):
            raise LocalError(f"there is a PHB {index} already")
        phb = Phb(index, self.irq.connect_phb(index), tuple(children))
        self.phbs.append(phb)
        return phb

    def vcpu_ids(self) -> list[int]:
        """Return the ids of the CPUs that are plugged, in their order."""
        controller = self.irq.xics or self.irq.xive
        assert controller is not None
        return [cpu * self.irq.vsmt for cpu in sorted(controller.order)]
