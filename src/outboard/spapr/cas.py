"""ibm,client-architecture-support: guest and platform agree on processor level, interrupt mode and the rest.

Sources: LoPAPR, "ibm,client-architecture-support" and "Option Vectors"; order of checks and messages as QEMU 7.2's
pseries machine has them, whose firmware passes the call on as hypercall `H_CAS`.

Modelled: PVRs, option vector 5, the interrupt mode, the tree that is returned. Not modelled: option vector 1,
which changes `ibm,pa-features` only; what the MMU makes of it (hash page tables and their size), associativity; vectors
or a buffer where devices are, which read as 0 and swallow what is written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import outboard.spapr.fdt as fdt
import outboard.spapr.ov5 as ov5
from outboard.guest.memory import GuestMemory
from outboard.spapr.modes import MachineType, is_compatible, offered_bits
from outboard.spapr.xics_hcalls import ERROR
from outboard.spec.client_architecture import (
    CAS_HEADER_SIZE,
    CAS_VERSION,
    MMU_BOTH,
    PVR_PAIRS_MAX,
    XIVE_BOTH,
    XIVE_EXPLOITATION,
    CpuModel,
)
from outboard.spec.papr import H
from outboard.xive.events import TRACE, formats

if TYPE_CHECKING:
    from outboard.spapr.irq import SpaprIrq

WARNING = "warning"
"""Kind of what QEMU says on its standard error and goes on."""
FORMATS = (
    formats(
        TRACE,
        {
            "spapr_cas_pvr": "current=0x%x, explicit_match=%d, new=0x%x",
            "spapr_cas_continue": "Copy changes to the guest: %d bytes",
        },
    )
    | formats(
        WARNING,
        {
            "cas_active_vcpus": "warning: guest has multiple active vCPUs at CAS, which is not allowed",
            "cas_no_vector": "warning: guest didn't provide option vector %d",
        },
    )
    | formats(
        ERROR,
        {
            "cas_buffer": "SLOF provided insufficient CAS buffer %d (min: %d)",
            "cas_no_pvr": "Couldn't negotiate a suitable PVR during CAS",
            "cas_both_mmus": "guest requested hash and radix MMU, which is invalid.",
            "cas_both_modes": "guest requested an invalid interrupt mode",
            "cas_no_xive": "Guest requested unavailable interrupt mode (XIVE), "
            "try the ic-mode=xive or ic-mode=dual machine property",
            "cas_no_xics": "Guest requested unavailable interrupt mode (XICS), "
            "either don't set the ic-mode machine property or try ic-mode=xics or ic-mode=dual",
            "cas_no_room": "error creating device tree: %s: FDT_ERR_NOSPACE",
        },
    )
)
"""What this call tells, in QEMU's words."""

REAL_ADDRESS = (1 << 60) - 1
"""The bits of an address that count in real mode."""
_PAIR = 8
_INT_MAX = 0x7FFFFFFF
EMPTY_TREE_SIZE = 80
"""Bytes that QEMU's libfdt wants for a tree without anything."""


@dataclass(frozen=True)
class QemuEnds:
    """QEMU would end here, with this message and exit status: the guest asked for what ends the machine."""

    message: str
    status: int = 1


class Agreement(NamedTuple):
    """What was agreed on: logical PVR of all CPUs (0: their own level), option vector 5."""

    compat_pvr: int
    negotiated: bytes


class Cas:
    """The platform's end of the negotiation of one machine.

    irq: whose active controller follows. build: makes the device tree as it is now, with the agreement that is passed.
    max_compat_pvr: newest level that the guest may have, 0 where the processor is the limit. host_byteorder: of the
    host whose emulator is imitated; the header of the returned tree has it.
    """

    def __init__(
        self,
        irq: "SpaprIrq",
        machine: MachineType,
        model: CpuModel,
        memory: GuestMemory,
        build: Callable[[Agreement], fdt.Node],
        *,
        max_compat_pvr: int = 0,
        host_byteorder: str = "little",
    ) -> None:
        self.irq = irq
        self.model = model
        self.memory = memory
        self.build = build
        self.max_compat_pvr = max_compat_pvr
        self.offered = ov5.make(offered_bits(machine, model, irq.mode, max_compat_pvr))
        self._little = host_byteorder == "little"
        self.agreed = Agreement(max_compat_pvr, ov5.NOTHING)

    def reset(self) -> None:
        """Forget what was agreed on, with the machine; `SpaprIrq.reset` chooses the active controller."""
        self.agreed = Agreement(self.max_compat_pvr, ov5.NOTHING)

    def call(self, vectors: int, buffer: int, size: int, *, others_active: bool = False) -> int | QemuEnds:
        """Make the call: R4 to R6, and whether another CPU than the caller runs. Return R3, or why QEMU ends.

        Nothing that the guest passes is trusted; on failure the buffer is as it was. The level of the CPUs changes
        before the vectors are read, so it does also where they are missing.
        """
        if size < CAS_HEADER_SIZE:
            return self._end("cas_buffer", size, CAS_HEADER_SIZE)
        if others_active:
            self.irq.events.report("cas_active_vcpus")
            return H.MULTI_THREADS_ACTIVE
        table, compat_pvr = self._read_pvrs(vectors & REAL_ADDRESS)
        if compat_pvr is None:
            self.irq.events.report("cas_no_pvr")
            return H.HARDWARE
        self.agreed = self.agreed._replace(compat_pvr=compat_pvr)
        guest = ov5.read(self.memory, table, 5)
        if guest is None:  # vector 1 cannot be missing: the byte that counts them has one less
            self.irq.events.report("cas_no_vector", 5)
            return H.PARAMETER
        return self._agree(guest) or self._return_tree(buffer, size - CAS_HEADER_SIZE)

    def _end(self, event: str, *values: int | str) -> QemuEnds:
        self.irq.events.report(event, *values)
        return QemuEnds(self.irq.events.line(event, values))

    def _read_pvrs(self, at: int) -> tuple[int, int | None]:
        """Read the pairs of mask and PVR; return where they end, and the level: 0 is the CPU's own, None is none."""
        listed, best = False, 0
        for _ in range(PVR_PAIRS_MAX):
            mask, pvr = self.memory.load(at, 4), self.memory.load(at + 4, 4)
            at += _PAIR
            if ~mask & pvr:
                break
            if (self.model.pvr ^ pvr) & mask == 0:
                listed = True
            elif is_compatible(self.model, pvr, self.max_compat_pvr, best):
                best = pvr
        self.irq.events.report("spapr_cas_pvr", self.agreed.compat_pvr, int(listed), best)
        usable = best != 0 or (listed and not self.max_compat_pvr)
        return at, best if usable else None

    def _agree(self, guest: bytes) -> QemuEnds | None:
        """Take the guest's option vector 5; return why QEMU ends, if it does."""
        if ov5.has(guest, MMU_BOTH):
            return self._end("cas_both_mmus")
        if ov5.has(guest, XIVE_BOTH):
            return self._end("cas_both_modes")
        self.agreed = self.agreed._replace(negotiated=ov5.intersect(self.offered, guest))
        wants_xive = ov5.has(guest, XIVE_EXPLOITATION)
        if wants_xive and self.irq.xive is None:
            return self._end("cas_no_xive")
        if not wants_xive and self.irq.xics is None:
            return self._end("cas_no_xics")
        self.irq.update_active(wants_xive)
        return None

    def _return_tree(self, buffer: int, room: int) -> int | QemuEnds:
        """Write header and tree to the guest's buffer, as far as memory is there.

        QEMU counts the room in 32 bits with sign, and needs some hundred bytes more than the tree has in the end.
        """
        room &= 0xFFFFFFFF
        if room > _INT_MAX or room < EMPTY_TREE_SIZE:
            return self._end("cas_no_room", "(fdt_create_empty_tree(fdt, space))")
        tree = fdt.pack(self.build(self.agreed))
        if len(tree) > room:
            return self._end("cas_no_room", "<the property that does not fit>")
        header = CAS_VERSION.to_bytes(CAS_HEADER_SIZE, "little" if self._little else "big")
        _write_where_memory_is(self.memory, buffer, header + tree)
        self.irq.events.report("spapr_cas_continue", len(header) + len(tree))
        return H.SUCCESS


def _write_where_memory_is(memory: GuestMemory, addr: int, data: bytes) -> None:
    for region in memory.regions:
        start = max(addr, region.guest_addr)
        end = min(addr + len(data), region.guest_addr + region.size)
        if start < end:
            memory.write(start, data[start - addr : end - addr])
