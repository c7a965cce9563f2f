"""RTAS calls about PCI: configuration space, and the numbers of messages.

Source: LoPAPR, "PCI Configuration Functions" and "MSI Support"; checks and answers as QEMU 7.2 has them.
"""

from typing import TYPE_CHECKING, NamedTuple

from outboard.machine.pseries.pci_device import PciDevice
from outboard.spapr.rtas import Cells, Request
from outboard.spec.papr import RtasStatus
from outboard.spec.pci import CONFIG_SIZE

if TYPE_CHECKING:
    from outboard.machine.pseries.machine import PseriesMachine

Results = tuple[int, ...]
_HARDWARE, _PARAMETER = (int(RtasStatus.HARDWARE_ERROR),), (int(RtasStatus.PARAMETER_ERROR),)
SIZES = (1, 2, 4)
CHANGE, CHANGE_MSI, CHANGE_MSIX = 1, 3, 4
"""Functions of ibm,change-msi."""
TYPE_MSI, TYPE_MSIX = 1, 2
"""What it says that it has changed."""
EDGE = 1


def _buid(cells: Cells, at: int = 1) -> int:
    return cells.load(at) << 32 | cells.load(at + 1)


class _Access(NamedTuple):
    """A register of a device that is there."""

    device: PciDevice
    offset: int


def _find(machine: "PseriesMachine", buid: int, address: int, size: int) -> _Access | None:
    """Return the register that is meant: of a device, whole, aligned, and of a size that there is."""
    device = machine.phb.find(buid, address)
    offset = address >> 20 & 0xF00 | address & 0xFF
    if device is None or size not in SIZES or offset % size or offset >= CONFIG_SIZE:
        return None
    return _Access(device, offset)


def _read(machine: "PseriesMachine", buid: int, address: int, size: int) -> Results:
    found = _find(machine, buid, address, size)
    if found is None:
        return _HARDWARE
    return RtasStatus.SUCCESS, found.device.read_config(found.offset, size)


def _write(machine: "PseriesMachine", buid: int, address: int, size: int, value: int) -> Results:
    found = _find(machine, buid, address, size)
    if found is None:
        return _HARDWARE
    found.device.write_config(found.offset, size, value & (1 << 8 * size) - 1)
    return (RtasStatus.SUCCESS,)


def read_pci_config(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """read-pci-config, which knows no BUID and so no bridge of such a machine."""
    if (request.nargs, request.nret) != (2, 2):
        return _HARDWARE
    return _read(machine, 0, request.arguments.load(0), request.arguments.load(1))


def write_pci_config(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """write-pci-config, as `read_pci_config`."""
    if (request.nargs, request.nret) != (3, 1):
        return _HARDWARE
    return _write(machine, 0, *(request.arguments.load(at) for at in range(3)))


def ibm_read_pci_config(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """ibm,read-pci-config."""
    if (request.nargs, request.nret) != (4, 2):
        return _HARDWARE
    cells = request.arguments
    return _read(machine, _buid(cells), cells.load(0), cells.load(3))


def ibm_write_pci_config(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """ibm,write-pci-config."""
    if (request.nargs, request.nret) != (5, 1):
        return _HARDWARE
    cells = request.arguments
    return _write(machine, _buid(cells), cells.load(0), cells.load(3), cells.load(4))


def ibm_query_interrupt_source_number(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """ibm,query-interrupt-source-number: the LISN of a vector. Arguments are not counted."""
    cells = request.arguments
    address, vector = cells.load(0), cells.load(3)
    if machine.phb.find(_buid(cells), address) is None:
        return _PARAMETER
    first, count = machine.phb.messages.get(address, (0, 0))
    if vector >= count:
        return _HARDWARE
    return RtasStatus.SUCCESS, first + vector, EDGE


def _kind(device: PciDevice, function: int) -> int:
    """Return the type of message that a function means for a device; 0 where it has none."""
    has = {TYPE_MSI: device.msi is not None, TYPE_MSIX: device.msix is not None}
    wanted = {CHANGE: (TYPE_MSI, TYPE_MSIX), CHANGE_MSI: (TYPE_MSI,), CHANGE_MSIX: (TYPE_MSIX,)}
    return next((kind for kind in wanted.get(function, ()) if has[kind]), 0)


def ibm_change_msi(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """ibm,change-msi: give a device numbers, or take them back. Arguments are not counted.

    More than the device has gives none: the answer says how many would be there.
    """
    cells = request.arguments
    address, count = cells.load(0), cells.load(4)
    device = machine.phb.find(_buid(cells), address)
    kind = _kind(device, cells.load(3)) if device else 0
    if device is None or not kind:
        return _PARAMETER
    if count == 0:
        return _remove(machine, address, device)
    vectors = device.msi if kind == TYPE_MSI else device.msix
    assert vectors is not None
    if count > vectors.count:
        count = vectors.count
    elif machine.phb.allocate(address, device, count, msix=kind == TYPE_MSIX) is None:
        return _HARDWARE
    results = (RtasStatus.SUCCESS, count, cells.load(5) + 1 & 0xFFFFFFFF)
    return (*results, kind) if request.nret > len(results) else results


def _remove(machine: "PseriesMachine", address: int, device: PciDevice) -> Results:
    if address not in machine.phb.messages:
        return _HARDWARE
    machine.phb.free(address)
    device.set_messages(0, 0, 0, msix=False)
    return RtasStatus.SUCCESS, 0
