"""PAPR as the pseries machine speaks it: hypercalls of the XIVE exploitation mode, their flags and return codes.

Sources: LoPAPR, "XIVE exploitation mode", "PowerPC External Interrupt Option", "RTAS"; QEMU docs/specs/ppc-spapr-xive
("XIVE for sPAPR (pseries machines)"). Arguments are in R4 and up, results too; the return code is in R3.
"""

from enum import IntEnum, IntFlag
from typing import NamedTuple


class H(IntEnum):
    """Return codes."""

    SUCCESS = 0
    HARDWARE = -1
    FUNCTION = -2
    PRIVILEGE = -3
    PARAMETER = -4
    P2 = -55
    P3 = -56
    P4 = -57
    P5 = -58
    MULTI_THREADS_ACTIVE = -9005


class SourceInfo(IntFlag):
    """Flags that H_INT_GET_SOURCE_INFO returns."""

    USE_H_INT_ESB = 0x8
    LSI = 0x4
    TRIGGER_PAGE = 0x2
    """The management page is the trigger page too."""
    STORE_EOI = 0x1


class SetSourceConfig(IntFlag):
    """Flags of H_INT_SET_SOURCE_CONFIG."""

    SET_EISN = 0x2
    MASK = 0x1


class SetQueueConfig(IntFlag):
    """Flags of H_INT_SET_QUEUE_CONFIG."""

    ALWAYS_NOTIFY = 0x1


class GetQueueConfig(IntFlag):
    """Flags of H_INT_GET_QUEUE_CONFIG."""

    DEBUG = 0x1


class QueueConfig(IntFlag):
    """Flags that H_INT_GET_QUEUE_CONFIG returns."""

    ALWAYS_NOTIFY = 0x1
    GENERATION = 0x2


class IntEsb(IntFlag):
    """Flags of H_INT_ESB."""

    STORE = 0x1


class Hcall(NamedTuple):
    """A hypercall: its number, its arguments from R4 on, its results from R4 on, and the flags that it takes."""

    opcode: int
    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    flags: int


def _hcall(opcode: int, name: str, arguments: str, results: str = "", flags: int = 0) -> Hcall:
    return Hcall(opcode, name, tuple(arguments.split()), tuple(results.split()), flags)


XIVE_HCALLS = (
    _hcall(0x3A8, "H_INT_GET_SOURCE_INFO", "flags lisn", "flags management_page trigger_page page_shift"),
    _hcall(0x3AC, "H_INT_SET_SOURCE_CONFIG", "flags lisn target priority eisn", flags=sum(SetSourceConfig)),
    _hcall(0x3B0, "H_INT_GET_SOURCE_CONFIG", "flags lisn", "target priority eisn"),
    _hcall(0x3B4, "H_INT_GET_QUEUE_INFO", "flags target priority", "notification_page qsize"),
    _hcall(0x3B8, "H_INT_SET_QUEUE_CONFIG", "flags target priority qpage qsize", flags=sum(SetQueueConfig)),
    _hcall(0x3BC, "H_INT_GET_QUEUE_CONFIG", "flags target priority", "flags qpage qsize qindex", sum(GetQueueConfig)),
    _hcall(0x3C0, "H_INT_SET_OS_REPORTING_LINE", "flags reporting_line"),
    _hcall(0x3C4, "H_INT_GET_OS_REPORTING_LINE", "flags target", "reporting_line"),
    _hcall(0x3C8, "H_INT_ESB", "flags lisn offset data", "data", sum(IntEsb)),
    _hcall(0x3CC, "H_INT_SYNC", "flags lisn"),
    _hcall(0x3D0, "H_INT_RESET", "flags"),
)
"""The hypercalls of the XIVE exploitation mode, in the order of their numbers."""

XICS_HCALLS = (
    _hcall(0x64, "H_EOI", "xirr"),
    _hcall(0x68, "H_CPPR", "cppr"),
    _hcall(0x6C, "H_IPI", "server mfrr"),
    _hcall(0x70, "H_IPOLL", "server", "xirr mfrr"),
    _hcall(0x74, "H_XIRR", "", "xirr"),
    _hcall(0x2FC, "H_XIRR_X", "", "xirr timebase"),
)
"""The hypercalls of XICS, the legacy interrupt mode, in the order of their numbers."""

TCE_HCALLS = (
    _hcall(0x1C, "H_GET_TCE", "liobn ioba", "tce"),
    _hcall(0x20, "H_PUT_TCE", "liobn ioba tce"),
    _hcall(0x138, "H_STUFF_TCE", "liobn ioba tce count"),
    _hcall(0x13C, "H_PUT_TCE_INDIRECT", "liobn ioba list count"),
)
"""The hypercalls by which a guest lets devices reach its memory (LoPAPR, "TCE Access"), by their numbers."""

CPU_HCALLS = (
    _hcall(0xE0, "H_CEDE", ""),
    _hcall(0xE4, "H_CONFER", "target dispatch"),
    _hcall(0xE8, "H_PROD", "target"),
)
"""The hypercalls by which CPUs give their processor away (LoPAPR, "Shared Processor LPAR"), by their numbers."""


# Run-time abstraction services

RTAS_HCALL = _hcall(0xF000, "H_RTAS", "cells")
"""Makes the RTAS call whose token, nargs, nret, arguments and results are cells of 32 bits, big-endian, at `cells`."""


class RtasStatus(IntEnum):
    """First result of an RTAS call."""

    NO_ERRORS_FOUND = 1
    """Of check-exception and event-scan: there is no event."""
    SUCCESS = 0
    HARDWARE_ERROR = -1
    PARAMETER_ERROR = -3


class RtasCall(NamedTuple):
    """An RTAS call: its token in QEMU's device tree, its name there, its arguments and results."""

    token: int
    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]


def _rtas(token: int, name: str, arguments: str, results: str = "status") -> RtasCall:
    return RtasCall(token, name, tuple(arguments.split()), tuple(results.split()))


XICS_RTAS_CALLS = (
    _rtas(0x200A, "ibm,set-xive", "number server priority"),
    _rtas(0x200B, "ibm,get-xive", "number", "status server priority"),
    _rtas(0x200C, "ibm,int-off", "number"),
    _rtas(0x200D, "ibm,int-on", "number"),
)
"""The RTAS calls of XICS ("xive" is the external interrupt vector entry here), in the order of their tokens."""


# The interrupt number space of the pseries machine (QEMU docs/specs/ppc-spapr-xive, "XIVE Device tree properties")


class LisnRange(NamedTuple):
    """Numbers `first` to `last`, what has them, and whether their input is a level."""

    first: int
    last: int
    use: str
    lsi: bool = False


LISN_SPACE = (
    LisnRange(0x0000, 0x0FFF, "IPIs, one for each server"),
    LisnRange(0x1000, 0x1000, "EPOW"),
    LisnRange(0x1001, 0x1001, "hotplug"),
    LisnRange(0x1100, 0x11FF, "VIO devices"),
    LisnRange(0x1200, 0x127B, "INTx of 31 PHBs, 4 each", lsi=True),
    LisnRange(0x1300, 0x1FFF, "PCI MSI and MSI-X, allocated at run time"),
)
IPIS, EPOW, HOTPLUG, VIO, PHB_INTX, MSI = LISN_SPACE
"""The ranges by name."""

NR_IRQS = 0x2000
XICS_FIRST = IPIS.last + 1
XICS_COUNT = NR_IRQS - XICS_FIRST
"""Numbers that XICS has: all but the IPIs, which are XIVE's."""
NVT_BASE = 0x400
"""NVT index of vCPU id 0."""
NR_PRIORITIES = 8
HV_PRIORITY = 7
"""First priority that the hypervisor keeps for itself."""

ESB_BASE = 0x0006_0100_0000_0000
END_ESB_SIZE = 0x4000_0000
TIMA_BASE = 0x0006_0302_0318_0000
"""All four views; the guest is told of the last two."""
ESB_SHIFT = 17
END_ESB_SHIFT = 16
"""log2 of the bytes of one page of the two that each END has."""


# RTAS calls besides those of XICS; a device tree offers those that its machine serves

EVENT_RTAS_CALLS = (
    _rtas(0x200E, "check-exception", "vector_offset data mask critical buffer length", "status"),
    _rtas(0x200F, "event-scan", "mask critical buffer length", "status"),
)
CPU_RTAS_CALLS = (
    _rtas(0x2005, "query-cpu-stopped-state", "cpu", "status stopped"),
    _rtas(0x2006, "start-cpu", "cpu address r3"),
    _rtas(0x2007, "stop-self", "", ""),
)
PCI_RTAS_CALLS = (
    _rtas(0x2014, "read-pci-config", "config_address size", "status value"),
    _rtas(0x2015, "write-pci-config", "config_address size value"),
    _rtas(0x2016, "ibm,read-pci-config", "config_address buid_hi buid_lo size", "status value"),
    _rtas(0x2017, "ibm,write-pci-config", "config_address buid_hi buid_lo size value"),
    _rtas(0x2018, "ibm,query-interrupt-source-number", "config_address buid_hi buid_lo index", "status lisn edge"),
    _rtas(0x2019, "ibm,change-msi", "config_address buid_hi buid_lo function count sequence", "status count sequence"),
)
