"""The device tree of a pseries machine, at its reset and as ibm,client-architecture-support returns it.

Sources: LoPAPR, "XIVE exploitation mode", "PowerPC External Interrupt Option", appendix B; QEMU
docs/specs/ppc-spapr-xive, "XIVE Device tree properties"; values as QEMU 7.2's pseries machine has them.

Modelled: what a guest needs for its interrupts, its CPUs, its memory, and the buses.
`omissions` lists what else QEMU's tree has, and why ours has not.
"""

from typing import NamedTuple

import outboard.spapr.ov5 as ov5
from outboard.spapr.cas import Agreement
from outboard.spapr.fdt import EMPTY, Node, cells, long_cells, strings
from outboard.spapr.modes import IcMode, is_power9
from outboard.spapr.numbers import LEGACY_COUNT
from outboard.spapr.platform import Phb, Platform
from outboard.spec.papr import HV_PRIORITY, MSI, TIMA_BASE, XICS_RTAS_CALLS
from outboard.spec.xive import PAGE_64K_SHIFT, PRIORITY_NONE, View

INTC_PHANDLE = 0x1111
"""By which PHBs name the interrupt controller."""
EDGE, LEVEL = 0, 1
"""Second cell of an interrupt."""
CPU_CONNECTOR, PHB_CONNECTOR = 0x1000_0000, 0x2000_0000
EVENT_LOG_MAX = 0x800
BUID = 0x0800_0000_2000_0000
"""Of the first PHB; the others follow."""
_INTERRUPTS = {"interrupt-controller": EMPTY, "#interrupt-cells": cells(2)}
_PHANDLES = {"phandle": cells(INTC_PHANDLE), "linux,phandle": cells(INTC_PHANDLE)}


def build(platform: Platform, agreed: Agreement, *, at_reset: bool = False) -> Node:
    """Return the tree. at_reset: before the guest has negotiated anything, as firmware gets it."""
    root = {
        "device_type": strings("chrp"),
        "model": strings("IBM pSeries (emulated by qemu)"),
        "compatible": strings("qemu,pseries"),
        "#address-cells": cells(2),
        "#size-cells": cells(2),
    }
    if platform.irq.active is IcMode.XIVE:
        root["ibm,plat-res-int-priorities"] = cells(HV_PRIORITY, PRIORITY_NONE - HV_PRIORITY)
    return Node(
        "",
        root,
        [
            interrupt_controller(platform),
            _memory(platform),
            _vdevice(platform),
            *(phb_node(platform, phb) for phb in platform.phbs),
            _cpus(platform, agreed),
            _event_sources(platform),
            _rtas(platform),
            _chosen(platform, agreed, at_reset=at_reset),
        ],
    )


# The interrupt controller


def interrupt_controller(platform: Platform) -> Node:
    """Return the node of the controller that is active."""
    return _xive(platform) if platform.irq.active is IcMode.XIVE else _xics(platform)


def _xive(platform: Platform) -> Node:
    user, os = (TIMA_BASE + (view << PAGE_64K_SHIFT) for view in (View.USER, View.OS))
    page = 1 << PAGE_64K_SHIFT
    properties = {
        "device_type": strings("power-ivpe"),
        "compatible": strings("ibm,power-ivpe"),
        "reg": long_cells(user, page, os, page),
        "ibm,xive-eq-sizes": cells(PAGE_64K_SHIFT),
        "ibm,xive-lisn-ranges": cells(0, platform.irq.nr_servers),
    }
    return Node(f"interrupt-controller@{user:x}", properties | _INTERRUPTS | _PHANDLES)


def _xics(platform: Platform) -> Node:
    properties = {
        "device_type": strings("PowerPC-External-Interrupt-Presentation"),
        "compatible": strings("IBM,ppc-xicp"),
        "ibm,interrupt-server-ranges": cells(0, platform.irq.nr_servers),
    }
    return Node("interrupt-controller", properties | _INTERRUPTS | _PHANDLES)


# What interrupts


def _event_sources(platform: Platform) -> Node:
    epow, hotplug = platform.irq.epow, platform.irq.hotplug
    sources = (("hot-plug-events", hotplug), ("epow-events", epow))
    return Node(
        "event-sources",
        _INTERRUPTS | {"interrupt-ranges": cells(epow, 1, hotplug, 1)},
        [Node(name, {"interrupts": cells(lisn, EDGE)}) for name, lisn in sources],
    )


def _vdevice(platform: Platform) -> Node:
    properties = {
        "device_type": strings("vdevice"),
        "compatible": strings("IBM,vdevice"),
        "#address-cells": cells(1),
        "#size-cells": cells(0),
    }
    devices = [
        Node(
            f"{device.kind.name}@{device.reg:x}",
            {
                "reg": cells(device.reg),
                "device_type": strings(device.kind.device_type),
                "compatible": strings(device.kind.compatible),
                "interrupts": cells(device.lisn, EDGE),
            }
            | dict(device.kind.more),
        )
        for device in platform.vio
    ]
    return Node("vdevice", properties | _INTERRUPTS, devices)


class Window(NamedTuple):
    """Addresses of the PCI bus that CPUs reach. space: its kind, in the first cell; pci: None where both are equal."""

    space: int
    pci: int | None
    base: int
    size: int

    def ranges(self, index: int) -> bytes:
        """Return its part of `ranges` for a PHB; windows of several PHBs follow each other."""
        cpu = self.base + index * self.size
        return cells(self.space) + long_cells(cpu if self.pci is None else self.pci, cpu, self.size)


WINDOWS = (
    Window(0x0100_0000, 0, 0x2000_0000_0000, 1 << 16),
    Window(0x0200_0000, 0x8000_0000, 0x2000_8000_0000, 1 << 31),
    Window(0x0300_0000, None, 0x2100_0000_0000, 1 << 40),
)
"""I/O ports, memory of 32 and of 64 bits."""
PCI_SLOTS = 32
SLOT_SHIFT = 11
DMA_WINDOW_SIZE = 0x4000_0000
_DMA_LIOBN = 0x8000_0000
_DMA_CALLS = (0x2026, 0x2027, 0x2028)
_DMA_RESET = 0x2029


def interrupt_map(pins: tuple[int, ...]) -> bytes:
    """Return `interrupt-map`: for each slot and pin, from 1, the LISN. Slots take the pins in turn."""
    return b"".join(
        cells(slot << SLOT_SHIFT, 0, 0, pin, INTC_PHANDLE, pins[(slot + pin - 1) % len(pins)], LEVEL)
        for slot in range(PCI_SLOTS)
        for pin in range(1, len(pins) + 1)
    )


def phb_node(platform: Platform, phb: Phb) -> Node:
    """Return the node of a PHB, with the nodes of what is behind it."""
    legacy = platform.irq.mode is IcMode.LEGACY
    properties = {
        "device_type": strings("pci"),
        "compatible": strings("IBM,Logical_PHB"),
        "#interrupt-cells": cells(1),
        "used-by-rtas": EMPTY,
        "bus-range": cells(0, 0xFF),
        "ranges": b"".join(window.ranges(phb.index) for window in WINDOWS),
        "reg": long_cells(BUID + phb.index, 0),
        "ibm,pci-config-space-type": cells(1),
        "ibm,pe-total-#msi": cells(LEGACY_COUNT if legacy else MSI.last + 1 - MSI.first),
        "ibm,ddw-applicable": cells(*_DMA_CALLS),
        "ibm,ddw-extensions": cells(2, _DMA_RESET, 1),
        "interrupt-map-mask": cells((PCI_SLOTS - 1) << SLOT_SHIFT, 0, 0, 0xFFFFFFFF),
        "interrupt-map": interrupt_map(phb.pins),
        "ibm,#dma-address-cells": cells(2),
        "ibm,#dma-size-cells": cells(2),
        "ibm,dma-window": cells(_DMA_LIOBN | phb.index << 8) + long_cells(0, DMA_WINDOW_SIZE),
        "qemu,phb-enumerated": cells(1),
        "#address-cells": cells(3),
        "#size-cells": cells(2),
    }
    if platform.machine.phb_connectors:
        properties["ibm,my-drc-index"] = cells(PHB_CONNECTOR | phb.index)
    return Node(f"pci@{BUID + phb.index:x}", properties, list(phb.children))


# Processors, memory, firmware

_CPU = {
    "device_type": strings("cpu"),
    "status": strings("okay"),
    "64-bit": EMPTY,
    "timebase-frequency": cells(512_000_000),
    "clock-frequency": cells(1_000_000_000),
    "ibm,purr": cells(1),
    "ibm,spurr": cells(1),
} | {
    name: cells(value)
    for side in ("d", "i")
    for name, value in (
        (f"{side}-cache-block-size", 0x80),
        (f"{side}-cache-line-size", 0x80),
        (f"{side}-cache-size", 0x8000),
    )
}
"""What all CPUs have under TCG."""


def _cpus(platform: Platform, agreed: Agreement) -> Node:
    version = cells(agreed.compat_pvr or platform.model.pvr)
    nodes = [
        Node(
            f"{platform.model.node}@{vcpu_id:x}",
            _CPU
            | {
                "reg": cells(vcpu_id),
                "cpu-version": version,
                "ibm,ppc-interrupt-server#s": cells(vcpu_id),
                "ibm,ppc-interrupt-gserver#s": cells(vcpu_id, 0),
                "ibm,my-drc-index": cells(CPU_CONNECTOR | vcpu_id),
            },
        )
        for vcpu_id in platform.vcpu_ids()
    ]
    return Node("cpus", {"#address-cells": cells(1), "#size-cells": cells(0)}, nodes)


def _memory(platform: Platform) -> Node:
    return Node("memory@0", {"device_type": strings("memory"), "reg": long_cells(0, platform.ram_size)})


def _rtas(platform: Platform) -> Node:
    calls = (XICS_RTAS_CALLS if platform.irq.xics else ()) + platform.rtas_calls
    properties = {
        "rtas-error-log-max": cells(EVENT_LOG_MAX),
        "rtas-event-scan-rate": cells(1),
        "ibm,change-msix-capable": EMPTY,
    }
    return Node("rtas", properties | {row.name: cells(row.token) for row in calls})


def _chosen(platform: Platform, agreed: Agreement, *, at_reset: bool) -> Node:
    properties = {"ibm,architecture-vec-5": ov5.property_of(agreed.negotiated)}
    if at_reset:
        irq = platform.irq
        properties["ibm,arch-vec-5-platform-support"] = ov5.platform_support(
            has_xics=irq.xics is not None,
            has_xive=irq.xive is not None,
            power9=is_power9(platform.model, agreed.compat_pvr),
        )
        if platform.machine.pci_probe_only:
            properties["linux,pci-probe-only"] = cells(0)
        consoles = [device.reg for device in platform.vio if device.kind.name == "vty"]
        if consoles:
            path = strings(f"/vdevice/vty@{min(consoles):x}")
            properties |= {"stdout-path": path, "linux,stdout-path": path}
    return Node("chosen", properties)
