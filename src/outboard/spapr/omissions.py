"""What QEMU's device tree has and ours has not, with the reasons; and how two trees differ.

Source: the trees of QEMU 7.2's pseries machine, at its reset and after ibm,client-architecture-support.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from outboard.spapr.fdt import EMPTY, Node


class Omission(NamedTuple):
    """What is not modelled: nodes by a pattern of their path, their properties by a pattern, "" for the whole node."""

    node: str
    property: str
    reason: str


_NOT_SERVED = """
    display-character get-time-of-day set-time-of-day power-off system-reboot quiesce
    nvram-fetch nvram-store get-sensor-state set-indicator get-power-level set-power-level
    ibm,get-system-parameter ibm,set-system-parameter ibm,os-term ibm,extended-os-term ibm,suspend-me
    ibm,nmi-register ibm,nmi-interlock ibm,configure-connector ibm,set-tce-bypass
    ibm,query-pe-dma-window ibm,create-pe-dma-window ibm,remove-pe-dma-window ibm,reset-pe-dma-window
    ibm,set-eeh-option ibm,get-config-addr-info2 ibm,read-slot-reset-state2 ibm,set-slot-reset
    ibm,configure-pe ibm,slot-error-detail
""".split()

OMISSIONS = (
    Omission("/ibm,persistent-memory", "", "no NVDIMMs"),
    Omission("/pci@*/*", "", "PCI devices are described by who makes them"),
    Omission("/", "vm,uuid", "a name of the VM"),
    Omission("*", "ibm,drc-*", "connectors for hotplug, in the order of QEMU's hash tables"),
    Omission("/chosen", "rng-seed", "random"),
    Omission("/chosen", "qemu,graphic-*", "a framebuffer's size for the firmware"),
    Omission("/memory@0", "ibm,associativity", "one NUMA node"),
    Omission("/cpus/*", "ibm,chip-id", "one NUMA node"),
    Omission("/cpus/*", "ibm,pa-features", "the instruction set; guests are programs of the host"),
    Omission("/cpus/*", "ibm,dfp", "the instruction set"),
    Omission("/cpus/*", "ibm,vmx", "the instruction set"),
    Omission("/cpus/*", "ibm,dec-bits", "the decrementer"),
    Omission("/cpus/*", "ibm,pft-size", "the MMU; guests use real addresses"),
    Omission("/cpus/*", "ibm,processor-radix-AP-encodings", "the MMU"),
    Omission("/cpus/*", "ibm,processor-segment-sizes", "the MMU"),
    Omission("/cpus/*", "ibm,segment-page-sizes", "the MMU"),
    Omission("/cpus/*", "*slb-size", "the MMU"),
    Omission("/rtas", "*hypertas-functions", "hypercalls beyond interrupts"),
    Omission("/rtas", "rtas-size", "there is no firmware to copy"),
    Omission("/rtas", "ibm,lrdr-capacity", "hotplug of memory"),
    Omission("/rtas", "ibm,*associativity*", "one NUMA node"),
    Omission("/rtas", "ibm,numa-*", "one NUMA node"),
    *(Omission("/rtas", name, "a call that is not served") for name in _NOT_SERVED),
)
"""The first row that fits counts."""


def omission(node: str, name: str = "") -> Omission | None:
    """Return why our tree lacks a node of QEMU's, or a property of a node that both have; None where it should not."""
    rows = (row for row in OMISSIONS if bool(row.property) == bool(name))
    return next((row for row in rows if fnmatchcase(node, row.node) and fnmatchcase(name, row.property)), None)


class Difference(NamedTuple):
    """A node, or one of its properties, in one of two trees; None where it is not."""

    node: str
    property: str
    ours: bytes | None
    theirs: bytes | None


def differences(ours: Node, theirs: Node) -> Iterator[Difference]:
    """Yield how a tree of QEMU's differs from ours, property by property; what is omitted too. Order is nothing."""
    our_nodes, their_nodes = dict(ours.walk()), dict(theirs.walk())
    for path in sorted(our_nodes.keys() | their_nodes.keys()):
        if path not in our_nodes or path not in their_nodes:
            yield Difference(path, "", EMPTY if path in our_nodes else None, EMPTY if path in their_nodes else None)
            continue
        one, other = our_nodes[path].properties, their_nodes[path].properties
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                yield Difference(path, name, one.get(name), other.get(name))
