"""A pseries machine in one process: RAM, CPUs that are programs, interrupt controllers, a PCI host bridge, RTAS.

Sources: LoPAPR; QEMU docs/specs/ppc-spapr-xive; behaviour as QEMU 7.2's pseries machine shows it.

Modelled: what `spapr` has, PCI, RTAS calls of PCI, CPUs and events, DMA. Not modelled: firmware, VIO devices beyond
their nodes and numbers, timers, the instruction set; a CPU does the operations that its program makes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import outboard.spapr.fdt as fdt
from outboard.errors import LocalError
from outboard.frontend.ram import PAGE, GuestRam, Span
from outboard.guest.memory import GuestMemory
from outboard.guest.pages import PageLog
from outboard.machine.ceding import Ceding
from outboard.machine.pseries import device_nodes, hcalls, snapshot
from outboard.machine.pseries.bus import MachineBus
from outboard.machine.pseries.cpu import Cpu
from outboard.machine.pseries.devices import Device, make
from outboard.machine.pseries.event_queue import EventQueue, Stamp
from outboard.machine.pseries.events import FORMATS
from outboard.machine.pseries.outside import deliver, wait
from outboard.machine.pseries.pci_device import PciDevice
from outboard.machine.pseries.phb import Phb
from outboard.machine.pseries.snapshot import MachineSnapshot, StartedCpu
from outboard.spapr.cas import Agreement, Cas, QemuEnds
from outboard.spapr.device_tree import build
from outboard.spapr.flavours import QEMU_7_2, Flavour
from outboard.spapr.irq import FORMATS as IRQ_FORMATS
from outboard.spapr.irq import SpaprIrq
from outboard.spapr.modes import choose, cpu_model, machine_type, max_compat
from outboard.spapr.platform import Platform
from outboard.xics import Xics
from outboard.xive.events import Events

RAM_SIZE = 256 << 20
RAM_MAX = 1 << 40
BOOT_CPU = 0
"""Runs at power-on; the others wait until they are started."""


class PseriesMachine:
    """A machine, powered on. Use it in a `with` statement when it has devices in other processes.

    cpus: at the start, and `max_cpus` in all; vsmt: distance of their ids. ic_mode: "xics", "xive" or "dual", None for
    the machine type's own. devices: names ("edu") or objects (`VirtioGpu`), put into slots from 1 on; or pairs of slot
    and device. machine, cpu, max_cpu_compat, ram_size, consoles: as QEMU has them. flavour, host_byteorder: whose
    answers are given. now: date and time for event logs; ticks: the clock of H_XIRR_X. Raises LocalError for options
    that do not fit together, in QEMU's words where QEMU refuses them.
    """

    def __init__(
        self,
        cpus: int = 1,
        ic_mode: str | None = None,
        devices: Sequence[Device] = (),
        *,
        max_cpus: int | None = None,
        vsmt: int | None = None,
        machine: str = "pseries",
        cpu: str | None = None,
        max_cpu_compat: str | None = None,
        ram_size: int = RAM_SIZE,
        consoles: int = 1,
        flavour: Flavour = QEMU_7_2,
        host_byteorder: str = "little",
        now: Callable[[], Stamp] = lambda: (0, 0),
        ticks: Callable[[], int] = lambda: 0,
    ) -> None:
        _check_kinds(devices, consoles, flavour, now, ticks)
        self.type = machine_type(machine)
        self.model = cpu_model(cpu or self.type.cpu)
        compat = max_compat(self.model, max_cpu_compat)
        mode = choose(self.type, self.model, ic_mode, compat)
        vsmt = self.type.vsmt if vsmt is None else vsmt
        about = (self.type.name, self.model.name, compat, ram_size, consoles, flavour.name, host_byteorder)
        self.options = (mode, cpus, max_cpus, vsmt, *about)
        self.flavour = flavour
        self.ram = _ram(ram_size)
        self._plugged: list[PciDevice] = []
        try:
            self.irq = SpaprIrq(
                mode,
                cpus,
                max_cpus=max_cpus,
                vsmt=vsmt,
                memory=self.ram.memory,
                flavour=flavour,
                host_byteorder=host_byteorder,
                ticks=ticks,
                events=IRQ_FORMATS | FORMATS,
            )
            self._assemble(compat, consoles, host_byteorder)
            self.stopped = bytearray(cpus)
            self.cpus = [Cpu(self, index) for index in range(cpus)]
            self.ceding = Ceding([cpu.vcpu_id for cpu in self.cpus], lambda index: self.cpus[index].irq())
            self.platform_events = EventQueue(self, now)
            self._plug(devices)
        except BaseException:
            self.close()
            raise
        self._power_on()

    def _assemble(self, compat: int, consoles: int, host_byteorder: str) -> None:
        """Put what the machine has by itself around the interrupt controllers."""
        irq, memory = self.irq, self.ram.memory
        self.events: Events = irq.events
        self.platform = Platform(irq, self.type, self.model, self.ram.regions[0].size)
        self.platform.add_default_devices(consoles)
        self.phb = Phb(irq, self.ram, self.platform.phbs[0].pins)
        in_pieces = self.flavour.unaligned_in_pieces
        self.bus = MachineBus(memory, irq.xive, self.phb, self.events, unaligned_in_pieces=in_pieces)
        self.lines = _lines(irq)
        self.cas = Cas(
            irq, self.type, self.model, memory, self._build, max_compat_pvr=compat, host_byteorder=host_byteorder
        )
        self.ended: QemuEnds | None = None
        self.starts: list[StartedCpu] = []
        self.pages = PageLog(self.ram.regions[0])

    def _plug(self, devices: Sequence[Device]) -> None:
        asked = [make(device) for device in devices]
        for slot, made in sorted(asked, key=lambda one: one[0] is None):  # those that have a slot come first
            self.phb.plug(made, slot)
            self._plugged.append(made)
        self.platform.phbs[0] = replace(self.platform.phbs[0], children=self._nodes())

    def _nodes(self) -> tuple[fdt.Node, ...]:
        return tuple(device_nodes.node(device) for _, device in sorted(self.phb.devices.items()))

    def _power_on(self) -> None:
        self.stopped[:] = bytes(index != BOOT_CPU for index in range(len(self.cpus)))
        self.ceding.reset()
        self.starts.clear()
        self.tree = build(self.platform, self.cas.agreed, at_reset=True)

    # What RTAS and hypercalls want to know

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""
        return self.ram.memory

    @property
    def xics(self) -> Xics | None:
        """The XICS, None where there is none."""
        return self.irq.xics

    @property
    def xive_negotiated(self) -> bool:
        """Whether the guest chose XIVE exploitation."""
        return self.irq.xive_negotiated

    def device(self, slot: int) -> PciDevice:
        """Return the device in a PCI slot. Raises LocalError when there is none."""
        if slot not in self.phb.devices:
            raise LocalError(f"no device in slot {slot!r}; there are {sorted(self.phb.devices)}")
        return self.phb.devices[slot]

    # CPUs

    def cpu_of(self, vcpu_id: int) -> int | None:
        """Return the index of the CPU that has an id, or None."""
        return next((cpu.index for cpu in self.cpus if cpu.vcpu_id == vcpu_id), None)

    def is_stopped(self, index: int) -> bool:
        """Return whether a CPU is stopped, or the machine has ended."""
        return self.stopped[index] != 0

    def is_ceded(self, index: int) -> bool:
        """Return whether a CPU has ceded its processor, and nothing has woken it."""
        return self.ceding.is_ceded(index)

    def resume(self, index: int) -> None:
        """Let a CPU go on that had ceded its processor."""
        self.ceding.wake(index)

    def is_halted(self, index: int) -> bool:
        """Return whether a CPU runs nothing: it is stopped, or has ceded."""
        return self.is_stopped(index) or self.is_ceded(index)

    def end(self, answer: QemuEnds) -> None:
        """End, where QEMU would: no CPU does anything any more, and `ended` says why."""
        self.ended = answer
        self.stopped[:] = bytes([1]) * len(self.stopped)

    def start_cpu(self, index: int, address: int, argument: int) -> None:
        """Start a CPU, as RTAS does, unless the machine has ended; `take_starts` tells of it."""
        self.stopped[index] = self.ended is not None
        self.ceding.wake(index)
        self.starts.append(StartedCpu(index, address, argument))

    def stop_cpu(self, index: int) -> None:
        """Stop a CPU, as RTAS does."""
        self.stopped[index] = 1

    def take_starts(self) -> tuple[StartedCpu, ...]:
        """Return the CPUs that were started since the last call."""
        starts, self.starts = tuple(self.starts), []
        return starts

    def hcall(self, cpu: Cpu, opcode: int, arguments: tuple[int, ...]) -> tuple[int, ...]:
        """Serve a hypercall of a CPU; values fit registers."""
        return hcalls.serve(self, cpu, opcode, arguments)

    def _build(self, agreed: Agreement) -> fdt.Node:
        self.tree = build(self.platform, agreed)
        return self.tree

    # Pictures

    def device_tree(self) -> fdt.Node:
        """Return the device tree that the guest was last given: at power-on, or by CAS."""
        return self.tree

    def dtb(self) -> bytes:
        """Return that tree flattened."""
        return fdt.pack(self.tree)

    def pic(self) -> str:
        """Return what the monitor's `info pic` prints."""
        return self.irq.pic()

    def snapshot(self) -> MachineSnapshot:
        """Return the whole state but the programs. Raises LocalError when a device's is in another process."""
        return snapshot.take(self)

    def restore(self, picture: MachineSnapshot) -> None:
        """Go back to a snapshot. Raises LocalError, and changes nothing, when it is none of such a machine."""
        snapshot.restore(self, picture)

    # Life

    def reset(self) -> None:
        """Reset the machine: devices let go of their pins, controllers follow, messages are freed, the mode is chosen
        anew, and the first CPU runs alone. RAM stays."""
        self.phb.reset_devices()
        self.irq.reset()
        self.phb.reset()
        self.cas.reset()
        self.platform_events.reset()
        self.ended = None
        self._power_on()

    def idle(self, timeout_s: float) -> bool:
        """Let devices in other processes work, for so long at most; true when one has told something."""
        return wait(tuple(self.phb.devices.values()), timeout_s)

    def poll(self) -> bool:
        """Deliver what devices in other processes have told; true when there was something."""
        return deliver(tuple(self.phb.devices.values()))

    def close(self) -> None:
        """End what is in other processes."""
        for device in self._plugged:
            device.close()
        self.ram.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def _check_kinds(devices: object, consoles: object, flavour: object, *clocks: object) -> None:
    """Raise LocalError for options that nothing else would look at before it uses them."""
    if not isinstance(devices, Sequence) or isinstance(devices, str):
        raise LocalError(f"devices are a list, not {devices!r}")
    if not isinstance(consoles, int) or consoles < 0:
        raise LocalError(f"{consoles!r} is no number of consoles")
    if not isinstance(flavour, Flavour):
        raise LocalError(f"a flavour is one of outboard.spapr.FLAVOURS, not {flavour!r}")
    if not all(map(callable, clocks)):
        raise LocalError("now and ticks are functions")


def _lines(irq: SpaprIrq) -> bytearray | memoryview:
    """Return the table of the CPUs' interrupt inputs; where there are two controllers they share it."""
    if irq.xive:
        return irq.xive.presenter.tables()["lines"]
    assert irq.xics
    return irq.xics.icp.lines


def _ram(size: int) -> GuestRam:
    if not isinstance(size, int) or size % PAGE or not PAGE <= size <= RAM_MAX:
        raise LocalError(f"RAM of {size!r} bytes: needs a multiple of {PAGE} up to {RAM_MAX}")
    try:
        return GuestRam([Span(0, size)])
    except OSError as error:
        raise LocalError(f"no RAM of {size} bytes: {error.strerror}") from None
