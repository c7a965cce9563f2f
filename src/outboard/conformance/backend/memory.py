"""Control socket: guest memory, by both ways to describe it.

Source: QEMU docs/interop/vhost-user, VHOST_USER_SET_MEM_TABLE, VHOST_USER_ADD_MEM_REG, VHOST_USER_REM_MEM_REG.

What was mapped shows in what the device does: a ring lies in one region, a picture in another.
"""

import os
import struct
from collections.abc import Sequence
from typing import Any

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import GAP, Machine, attach
from outboard.conformance.check import MUST, ROBUSTNESS, VHOST_USER, Checks, NotApplicable, expect
from outboard.frontend.ram import Backing, GuestRam, Span
from outboard.spec.vhost_user import MemoryRegion, MemTable, ProtocolFeature, Req, SingleRegion
from outboard.spec.virtio_gpu import Rect, TransferToHost2D

checks = Checks()
TABLE = "VHOST_USER_SET_MEM_TABLE"
ADD = "VHOST_USER_ADD_MEM_REG"
REMOVE = "VHOST_USER_REM_MEM_REG"
SIZE = 1 << 20
USER = 0x7F00_0000_0000
FOUR = tuple(Span(at * 0x1000_0000, SIZE if at else 8 * SIZE) for at in range(4))


def draws_from_all(machine: Machine) -> None:
    """Show one picture from each region; raise Failed when one does not come."""
    for at in range(len(machine.vmm.ram.regions)):
        pixels_bytes = 4 * 16 * 16
        backing = Backing(machine.vmm.ram, ((machine.vmm.ram.allocate(pixels_bytes, 4096, at), pixels_bytes),))
        pixels = machine.show(16, 16, resource_id=at + 1, seed=at, backing=backing)
        machine.sees(16, 16, pixels)


def _with_slots(bench: Bench, **options: Any) -> Machine:
    """Return a machine whose back-end takes regions one by one. Raises NotApplicable."""
    machine = bench.machine(**options)
    if not machine.vmm.session.protocol_features & ProtocolFeature.CONFIGURE_MEM_SLOTS:
        raise NotApplicable("the back-end does not offer CONFIGURE_MEM_SLOTS")
    return machine


@checks.check("memory.table.regions", VHOST_USER, TABLE, MUST)
def table_regions(bench: Bench) -> None:
    """SET_MEM_TABLE of four regions at offsets in their file: each is where it was said to be."""
    draws_from_all(bench.machine(spans=FOUR, mem_slots=False))


@checks.check("memory.table.one", VHOST_USER, TABLE, MUST)
def table_one(bench: Bench) -> None:
    """SET_MEM_TABLE of one region that does not begin at guest address 0."""
    draws_from_all(bench.machine(spans=(Span(0x4000_0000, 16 << 20),), mem_slots=False))


@checks.check("memory.table.replaced", VHOST_USER, TABLE, MUST)
def table_replaced(bench: Bench) -> None:
    """A second SET_MEM_TABLE replaces the first, also while rings run."""
    machine = bench.machine(mem_slots=False)
    machine.show(16, 16)
    at = machine.vmm.ram.grow(Span(0x8000_0000, SIZE))
    machine.vmm.send_memory()
    backing = Backing(machine.vmm.ram, ((machine.vmm.ram.allocate(1024, 4096, at), 1024),))
    machine.sees(16, 16, machine.show(16, 16, resource_id=2, seed=2, backing=backing))


@checks.check("memory.slots.regions", VHOST_USER, ADD, MUST)
def slots_regions(bench: Bench) -> None:
    """ADD_MEM_REG, four times, at offsets in the file: each region is where it was said to be."""
    draws_from_all(_with_slots(bench, spans=FOUR))


@checks.check("memory.slots.number", VHOST_USER, "VHOST_USER_GET_MAX_MEM_SLOTS", MUST)
def slots_number(bench: Bench) -> None:
    """GET_MAX_MEM_SLOTS says at least 1."""
    control = bench.agreed(ProtocolFeature.CONFIGURE_MEM_SLOTS)
    slots = control.ask(Req.GET_MAX_MEM_SLOTS).u64
    expect(slots >= 1, "at least 1 slot", slots)


@checks.check("memory.slots.late", VHOST_USER, ADD, MUST)
def slots_late(bench: Bench) -> None:
    """ADD_MEM_REG while the device runs makes memory that it can use at once."""
    machine = _with_slots(bench)
    at = machine.vmm.ram.grow(Span(0x8000_0000, SIZE))
    machine.vmm.send_memory()
    backing = Backing(machine.vmm.ram, ((machine.vmm.ram.allocate(1024, 4096, at), 1024),))
    machine.sees(16, 16, machine.show(16, 16, backing=backing))


@checks.check("memory.slots.removed", VHOST_USER, REMOVE, MUST)
def slots_removed(bench: Bench) -> None:
    """REM_MEM_REG unmaps a region: a backing there is refused afterwards, and the rest goes on."""
    machine = _with_slots(bench)
    ram = machine.vmm.ram
    at = ram.grow(Span(0x8000_0000, SIZE))
    machine.vmm.send_memory()
    machine.vmm.forget_memory(ram.description(at))
    backing = Backing(ram, ((ram.allocate(1024, 4096, at), 1024),))
    machine.driver.create_2d(1, 2, 16, 16)
    code = machine.code(*attach(1, backing.entries))
    expect(code >= 0x1200, "an error for a backing in memory that was removed", f"{code:#x}")
    machine.works()


@checks.check("memory.slots.fd", VHOST_USER, REMOVE, ROBUSTNESS)
def slots_fd(bench: Bench) -> None:
    """REM_MEM_REG that comes with a descriptor, as some front-ends send it, is carried out."""
    control = bench.agreed(ProtocolFeature.CONFIGURE_MEM_SLOTS | ProtocolFeature.REPLY_ACK)
    ram = GuestRam((Span(0, SIZE),), GAP)
    try:
        region = SingleRegion(region=ram.description(0)).pack()
        control.accepted(Req.ADD_MEM_REG, region, [ram.fd])
        control.accepted(Req.REM_MEM_REG, region, [ram.fd])
        control.alive()
    finally:
        ram.close()


@checks.check("memory.gone.backing", VHOST_USER, REMOVE, ROBUSTNESS)
def gone_backing(bench: Bench) -> None:
    """A transfer from a backing whose memory was taken away does not crash the back-end."""
    machine = _with_slots(bench)
    ram = machine.vmm.ram
    at = ram.grow(Span(0x8000_0000, SIZE))
    machine.vmm.send_memory()
    backing = Backing(ram, ((ram.allocate(1024, 4096, at), 1024),))
    machine.create(16, 16, backing=backing)
    machine.vmm.forget_memory(ram.description(at))
    machine.code(TransferToHost2D(r=Rect(0, 0, 16, 16), resource_id=1))
    machine.works()


@checks.check("memory.across_regions", VHOST_USER, "Memory access", MUST)
def across_regions(bench: Bench) -> None:
    """A buffer may reach from one region into the next, when the guest has them side by side."""
    machine = bench.machine(spans=(Span(0, 8 * SIZE), Span(8 * SIZE, SIZE)))
    pixels_bytes = 4 * 64 * 64
    start = 8 * SIZE - pixels_bytes // 2
    ram = machine.vmm.ram
    machine.driver.create_2d(1, 2, 64, 64)
    code = machine.code(*attach(1, [(start, pixels_bytes)]))
    expect(code == 0x1100, "OK_NODATA for a backing across two regions", f"{code:#x}")
    for at, address in ((0, start), (1, 8 * SIZE)):
        ram.view(address, pixels_bytes // 2)[:] = bytes([at + 1]) * (pixels_bytes // 2)
    machine.driver.transfer(1, Rect(0, 0, 64, 64), 0)
    machine.driver.set_scanout(0, 1, Rect(0, 0, 64, 64))
    machine.driver.flush(1, Rect(0, 0, 64, 64))
    machine.sees(64, 64, bytes([1]) * (pixels_bytes // 2) + bytes([2]) * (pixels_bytes // 2))


# Tables that cannot be


def _refused(
    check_id: str, says: str, regions: Sequence[MemoryRegion], fds: int, count: int | None = None, add: bool = False
) -> None:
    """A check that memory described so is refused. fds: how many go along; count: regions that are announced."""

    def run(bench: Bench) -> None:
        control = bench.agreed(ProtocolFeature.REPLY_ACK | (ProtocolFeature.CONFIGURE_MEM_SLOTS if add else 0))
        memory = os.memfd_create("guest", os.MFD_CLOEXEC)
        os.ftruncate(memory, SIZE)
        try:
            if add:
                bench.declined(control, Req.ADD_MEM_REG, struct.pack("=Q", 0) + regions[0].pack(), [memory] * fds)
                return
            table = MemTable(len(regions) if count is None else count).pack()
            listed = b"".join(region.pack() for region in regions)
            bench.declined(control, Req.SET_MEM_TABLE, table + listed, [memory] * fds)
        finally:
            os.close(memory)

    checks.add(check_id, VHOST_USER, ADD if add else TABLE, ROBUSTNESS, says, run)


GOOD = MemoryRegion(0, SIZE // 2, USER, 0)
OTHER = MemoryRegion(SIZE, SIZE // 2, USER + SIZE, SIZE // 2)
BEYOND = MemoryRegion(0, 4 * SIZE, USER, 0)
_refused("memory.hostile.more_fds", "A table of one region with two descriptors is refused.", [GOOD], 2)
_refused("memory.hostile.fewer_fds", "A table of two regions with one descriptor is refused.", [GOOD, OTHER], 1)
_refused("memory.hostile.nine", "A table that announces nine regions is refused.", [GOOD], 1, 9)
_refused("memory.hostile.short", "A table that announces more regions than it has is refused.", [GOOD], 2, 2)
_refused(
    "memory.hostile.beyond_file", "A region that is larger than its file is refused, not a SIGBUS later.", [BEYOND], 1
)
_refused("memory.hostile.wrapping", "A region that reaches over the end of 64 bits is refused.",
         [MemoryRegion((1 << 64) - 4096, SIZE // 2, USER, 0)], 1)  # fmt: skip
_refused("memory.hostile.empty", "A region of no bytes is refused.", [MemoryRegion(0, 0, USER, 0)], 1)
_refused("memory.hostile.overlap", "Two regions at the same guest address are refused.",
         [GOOD, MemoryRegion(4096, SIZE // 2, USER + SIZE, SIZE // 2)], 2)  # fmt: skip
_refused("memory.hostile.add_no_fd", "ADD_MEM_REG without a descriptor is refused.", [GOOD], 0, add=True)
_refused("memory.hostile.add_beyond_file", "ADD_MEM_REG of a region that is larger than its file is refused.",
         [BEYOND], 1, add=True)  # fmt: skip
