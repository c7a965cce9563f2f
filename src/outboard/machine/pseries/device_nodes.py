"""The device tree's nodes of PCI devices, as QEMU 7.2's pseries machine has them.

Source: LoPAPR, "PCI Host Bridge nodes"; PCI Bus Binding to Open Firmware (IEEE 1275).

Modelled: base addresses without places, as before firmware has given them any. Not modelled: ibm,pcie-ecs and what
bridges have.
"""

from outboard.machine.pseries.config import Bar
from outboard.machine.pseries.pci_device import PciDevice
from outboard.spapr.fdt import Node, cells, strings
from outboard.spec.pci import SLOT_SHIFT, BarType, Reg

CONNECTOR = 0x4000_0000
"""Kind of the connectors of PCI devices, in ibm,my-drc-index."""
_SPACE_32, _SPACE_64 = 0x0200_0000, 0x0300_0000
_NAMES = {0x0380: "display"}
_OTHER = "legacy-device"
QEMU_TYPES = {"virtio-gpu-pci": "vhost-user-gpu-pci"}
"""What QEMU calls a device whose back-end is outside; ibm,loc-code has that."""
_FUNCTION_SHIFT = 8
_SUBCLASS_SHIFT = 8
_CELLS = (
    ("max-latency", Reg.MAX_LAT, 1),
    ("min-grant", Reg.MIN_GNT, 1),
    ("cache-line-size", Reg.CACHE_LINE_SIZE, 1),
    ("subsystem-vendor-id", Reg.SUBSYSTEM_VENDOR_ID, 2),
    ("subsystem-id", Reg.SUBSYSTEM_ID, 2),
    ("interrupts", Reg.INTERRUPT_PIN, 1),
    ("revision-id", Reg.REVISION_ID, 1),
    ("device-id", Reg.DEVICE_ID, 2),
    ("vendor-id", Reg.VENDOR_ID, 2),
)


def _class_code(device: PciDevice) -> int:
    return device.config.get(Reg.CLASS_DEVICE, 2)


def _reg(address: int, bars: tuple[Bar, ...]) -> bytes:
    """Return `reg`: configuration space, then each base address with its size."""
    rows = [cells(address, 0, 0, 0, 0)]
    for bar in bars:
        space = _SPACE_64 if bar.kind & BarType.WIDE else _SPACE_32
        rows.append(cells(space | address | bar.register, 0, 0, bar.size >> 32, bar.size & 0xFFFFFFFF))
    return b"".join(rows)


def node(device: PciDevice) -> Node:
    """Return the node of a device that is in a slot."""
    config, address = device.config, device.slot << SLOT_SHIFT
    name = QEMU_TYPES.get(device.name, device.name)
    properties = {what: cells(config.get(reg, size)) for what, reg, size in _CELLS} | {
        "class-code": cells(_class_code(device) << _SUBCLASS_SHIFT | config.get(Reg.PROG_IF, 1)),
        "devsel-speed": cells(0),
        "ibm,loc-code": strings(f"qemu_{name}:0000:00:{device.slot:02x}.0"),
        "ibm,my-drc-index": cells(CONNECTOR | address >> _FUNCTION_SHIFT),
        "reg": _reg(address, config.bars),
    }
    if device.msi:
        properties["ibm,req#msi"] = cells(device.msi.count)
    if device.msix:
        properties["ibm,req#msi-x"] = cells(device.msix.count)
    return Node(f"{_NAMES.get(_class_code(device), _OTHER)}@{device.slot:x}", properties)
