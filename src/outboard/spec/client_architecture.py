"""ibm,client-architecture-support: option vectors, processor levels, and the hypercall of QEMU's firmware.

Sources: LoPAPR, "ibm,client-architecture-support" and "Option Vectors"; QEMU docs/specs/ppc-spapr-xive, "CAS
negotiation"; logical PVRs and processors as QEMU 7.2 has them.
"""

from typing import NamedTuple


class OptionBit(NamedTuple):
    """A bit of an option vector. Bytes count from 1 behind the length byte, bit 0 is the most significant."""

    byte: int
    bit: int
    says: str

    @property
    def mask(self) -> int:
        """The bit within its byte."""
        return 0x80 >> self.bit


OV1_ISA_3_00 = OptionBit(3, 0, "Power ISA 3.00")

DRCONF_MEMORY = OptionBit(2, 2, "memory as ibm,dynamic-reconfiguration-memory")
FORM1_AFFINITY = OptionBit(5, 0, "associativity, form 1")
FORM2_AFFINITY = OptionBit(5, 2, "associativity, form 2")
HOTPLUG_EVENTS = OptionBit(6, 5, "hotplug has an event source of its own")
HPT_RESIZE = OptionBit(6, 7, "the hash page table can be resized")
DRMEM_V2 = OptionBit(22, 0, "ibm,dynamic-memory-v2")
XIVE_BOTH = OptionBit(23, 0, "both interrupt modes; valid in the platform's offer only")
XIVE_EXPLOITATION = OptionBit(23, 1, "XIVE exploitation mode; without it, XICS")
MMU_BOTH = OptionBit(24, 0, "hash and radix MMU; invalid from the guest")
MMU_RADIX = OptionBit(24, 1, "radix MMU")
RADIX_GTSE = OptionBit(26, 1, "radix: the guest may invalidate its translations itself")
"""Bits of option vector 5 that the pseries machine knows."""
PLATFORM_SUPPORT_BYTES = (23, 24, 25, 26)
"""Bytes of option vector 5 that `ibm,arch-vec-5-platform-support` offers."""

OPTION_VECTOR_MAX = 256
"""Bytes of an option vector: its length byte holds one less."""
PVR_PAIRS_MAX = 512
"""Pairs of mask and PVR that are looked at where no terminator comes."""

H_CAS = 0xF002
"""QEMU's own hypercall by which its firmware serves ibm,client-architecture-support."""
CAS_HEADER_SIZE = 4
CAS_VERSION = 1


class Level(NamedTuple):
    """A processor level by its logical PVR, and what QEMU's `max-cpu-compat` calls it."""

    pvr: int
    name: str
    isa: str


LEVELS = (
    Level(0x0F000002, "power6", "2.05"),
    Level(0x0F000003, "power7", "2.06"),
    Level(0x0F100003, "power7+", "2.06 plus"),
    Level(0x0F000004, "power8", "2.07"),
    Level(0x0F000005, "power9", "3.00"),
    Level(0x0F000006, "power10", "3.1"),
)
"""Logical PVRs from the oldest; the order counts, not the number."""


class CpuModel(NamedTuple):
    """A processor: QEMU's name, the one in the device tree, its PVR, and the newest level that it has."""

    name: str
    node: str
    pvr: int
    newest: str


CPU_MODELS = (
    CpuModel("power8", "PowerPC,POWER8", 0x004D0200, "power8"),
    CpuModel("power9", "PowerPC,POWER9", 0x004E1200, "power9"),
    CpuModel("power10", "PowerPC,POWER10", 0x00800200, "power10"),
)
