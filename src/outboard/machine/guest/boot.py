"""What an operating system does first: it reads the device tree, negotiates its interrupt mode, finds its CPUs.

Sources: LoPAPR, "ibm,client-architecture-support", "RTAS", "Option Vectors"; Devicetree Specification v0.4, chapter 5.
QEMU's firmware passes ibm,client-architecture-support on as hypercall H_CAS; here the guest makes it itself.
"""

import outboard.spapr.fdt as fdt
import outboard.spapr.ov5 as ov5
from outboard.errors import LocalError
from outboard.machine.cpu import Cpu, Memory
from outboard.machine.guest.controller import Failed, InterruptController, hcall
from outboard.machine.guest.heap import Heap
from outboard.machine.guest.xics import XicsController
from outboard.machine.guest.xive import XiveController
from outboard.spapr.fdt import Node, read_cells, read_strings
from outboard.spapr.modes import IcMode
from outboard.spec.client_architecture import (
    CAS_HEADER_SIZE,
    H_CAS,
    LEVELS,
    MMU_RADIX,
    OV1_ISA_3_00,
    RADIX_GTSE,
    XIVE_BOTH,
    XIVE_EXPLOITATION,
)
from outboard.spec.devicetree import MAGIC, Header
from outboard.spec.papr import RTAS_HCALL, RtasStatus

TREE_ROOM = 0x4_0000
"""Bytes for the tree that the platform returns."""
RTAS_CELLS = 64
CELL = 4
EITHER = "either"
"""A guest that takes XIVE where there is one, and XICS elsewhere."""
ANY_REVISION = 0xFFFF_0000
"""Mask of a PVR: the processor, whatever its revision."""
_VECTORS = 5
_NEWEST = "power9"
_LEVELS = [level.pvr for level in LEVELS[: [level.name for level in LEVELS].index(_NEWEST) + 1]]


# The device tree


def read_tree(memory: Memory, addr: int) -> Node:
    """Return the flattened tree at a guest address. Raises ProtocolError when there is none, LocalError without RAM."""
    head = memory.read(addr, Header.sizeof)
    size = Header.unpack(head).totalsize if head and int.from_bytes(head[:4], "big") == MAGIC else Header.sizeof
    data = memory.read(addr, min(size, fdt.SIZE_MAX))
    if data is None:
        raise LocalError(f"no device tree at {addr:#x}: no RAM is there")
    return fdt.unpack(data)


def longs(value: bytes) -> list[int]:
    """Return a property's numbers of two cells each."""
    parts = read_cells(value)
    return [high << 32 | low for high, low in zip(parts[::2], parts[1::2], strict=False)]


def ram_size(tree: Node) -> int:
    """Return the bytes of RAM from address 0. Raises LocalError when the tree has none."""
    for node in tree.children:
        if node.name.startswith("memory@"):
            start, size = longs(node.properties.get("reg", b""))[:2]
            if start == 0:
                return size
    raise LocalError("the device tree has no memory at address 0")


def vcpu_ids(tree: Node) -> list[int]:
    """Return the ids of the CPUs, in the tree's order; the numbers that hypercalls take."""
    cpus = tree.find("/cpus")
    found = [read_cells(one.properties["reg"])[0] for one in (cpus.children if cpus else ()) if is_cpu(one)]
    if not found:
        raise LocalError("the device tree has no CPUs")
    return found


def is_cpu(node: Node) -> bool:
    """Return whether a node is a CPU's."""
    return node.properties.get("device_type") == fdt.strings("cpu")


# RTAS


class Rtas:
    """The run-time services that a tree offers, called by hypercall with cells in guest memory."""

    def __init__(self, tree: Node, heap: Heap) -> None:
        node = tree.find("/rtas")
        properties = node.properties if node else {}
        self.tokens = {name: read_cells(value)[0] for name, value in properties.items() if len(value) == CELL}
        self._cells = heap.allocate(CELL * RTAS_CELLS)

    def call(self, cpu: Cpu, name: str, *arguments: int, results: int = 1) -> tuple[int, ...]:
        """Make a call; return its results, the status first, signed. Raises LocalError for a call that there is not.

        arguments: cells of 32 bits. results: how many, with the status.
        """
        if name not in self.tokens:
            raise LocalError(f"this machine's RTAS has no {name}")
        head = fdt.cells(self.tokens[name], len(arguments), results, *arguments)
        cpu.memory.write(self._cells, head + bytes(CELL * results))
        hcall(cpu, f"RTAS call {name}", RTAS_HCALL.opcode, self._cells)
        answer = read_cells(cpu.memory.read(self._cells + len(head), CELL * results) or b"")
        return tuple(value - (value >> 31 << 32) for value in answer[:1]) + answer[1:]

    def ok(self, cpu: Cpu, name: str, *arguments: int, results: int = 1) -> tuple[int, ...]:
        """Make a call; return its results behind the status. Raises Failed when that is not success."""
        status, *rest = self.call(cpu, name, *arguments, results=results)
        if status != RtasStatus.SUCCESS:
            raise Failed(name, status, RtasStatus)
        return tuple(rest)


# Negotiation


def offered(tree: Node) -> list[IcMode]:
    """Return the interrupt modes that a tree, as it is at reset, says a guest may ask for; the better one first."""
    chosen = tree.find("/chosen")
    support = chosen.properties.get("ibm,arch-vec-5-platform-support", b"") if chosen else b""
    byte = dict(zip(support[::2], support[1::2], strict=False)).get(XIVE_EXPLOITATION.byte, 0)
    if byte & XIVE_BOTH.mask:
        return [IcMode.XIVE, IcMode.XICS]
    return [IcMode.XIVE if byte & XIVE_EXPLOITATION.mask else IcMode.XICS]


def choose(tree: Node, wanted: str) -> IcMode:
    """Return the mode to ask for: "xive", "xics" or "either". Raises LocalError when the machine has it not."""
    modes = offered(tree)
    if wanted == EITHER:
        return modes[0]
    if wanted not in (IcMode.XIVE, IcMode.XICS):
        raise LocalError(f"a guest wants xive, xics or {EITHER}, not {wanted!r}")
    if wanted not in modes:
        raise LocalError(f"this machine offers {' and '.join(modes)}, not {wanted}; choose another ic-mode")
    return IcMode(wanted)


def vectors(tree: Node, mode: IcMode) -> bytes:
    """Return what a guest for POWER9 and older asks for: pairs of mask and PVR, and option vectors 1 to 5."""
    cpus = tree.find("/cpus")
    pvrs = [one.properties["cpu-version"] for one in (cpus.children if cpus else ()) if is_cpu(one)]
    own = read_cells(pvrs[0])[0] & ANY_REVISION
    levels = (cell for level in _LEVELS for cell in (0xFFFF_FFFF, level))
    pairs = fdt.cells(ANY_REVISION, own, *levels, 0, 0xFFFF_FFFF)
    bits = (MMU_RADIX, RADIX_GTSE) + ((XIVE_EXPLOITATION,) if mode is IcMode.XIVE else ())
    wanted = {1: ov5.make([OV1_ISA_3_00]), _VECTORS: ov5.make(bits)}
    listed = (wanted.get(number, b"\0") for number in range(1, _VECTORS + 1))
    return pairs + bytes([_VECTORS - 1]) + b"".join(bytes([len(one) - 1]) + one for one in listed)


def negotiate(cpu: Cpu, heap: Heap, asked: bytes) -> Node:
    """Ask for what `vectors` returned, or for any bytes; return the tree that the platform made of it. Raises Failed.

    Only one CPU may run.
    """
    table, room = heap.allocate(len(asked)), heap.allocate(TREE_ROOM)
    cpu.memory.write(table, asked)
    hcall(cpu, "ibm,client-architecture-support", H_CAS, table, room, TREE_ROOM)
    return read_tree(cpu.memory, room + CAS_HEADER_SIZE)


# Controllers and CPUs


def controller(tree: Node, heap: Heap, rtas: Rtas) -> InterruptController:
    """Return the driver of the interrupt controller that a tree names. Raises LocalError for an unknown one."""
    for node in tree.children:
        kind = read_strings(node.properties.get("compatible", b"\0"))
        if "ibm,power-ivpe" in kind:
            _, _, tima, _ = longs(node.properties["reg"])
            return XiveController(heap, tima, read_cells(node.properties["ibm,xive-eq-sizes"])[0])
        if "IBM,ppc-xicp" in kind:
            return XicsController(rtas)
    raise LocalError("the device tree names neither XIVE nor XICS")


def start_cpus(cpu: Cpu, rtas: Rtas, ids: list[int], entry: int) -> list[int]:
    """Start the CPUs that are stopped at a guest address, each with its id as R3; return the ids of those."""
    started = []
    for vcpu_id in ids:
        if vcpu_id == cpu.vcpu_id:
            continue
        (state,) = rtas.ok(cpu, "query-cpu-stopped-state", vcpu_id, results=2)
        if state == 0:
            rtas.ok(cpu, "start-cpu", vcpu_id, entry, vcpu_id)
            started.append(vcpu_id)
    return started
