"""A virtio driver over qtest: PCI configuration, negotiation, split queues.

Documents: VIRTIO-1.2 sections 2.7 (split virtqueues), 3.1 (initialization), 4.1 (over PCI);
PCI Local Bus 3.0, 3.2.2.3 (ports 0xcf8 and 0xcfc) and 6.2.5.1 (base addresses).

Modelled: bus 0 of an x86 machine whose firmware did nothing, polled completion.
Not modelled: interrupts, indirect descriptors, EVENT_IDX, packed queues.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outboard.errors import LocalError, WaitTimeout
from outboard.qemu.failure import QemuError
from outboard.qemu.qtest import QTest

VENDOR_VIRTIO = 0x1AF4
CAP_VENDOR = 0x09
COMMON_CFG, NOTIFY_CFG, ISR_CFG, DEVICE_CFG = 1, 2, 3, 4
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK = 1, 2, 4, 8
VERSION_1 = 1 << 32
DESC_NEXT, DESC_WRITE = 1, 2

BAR_SPACE = 0xE000_0000
"""Where base addresses are placed: free on q35 as long as no firmware ran."""
QUEUE_SPACE = 0x0100_0000
QUEUE_STRIDE = 0x0010_0000
AVAIL, USED, BUFFERS = 0x4000, 0x8000, 0x1_0000
"""Offsets within a queue's part of guest memory; the descriptors are at its start."""
BUFFER_BYTES = 4096


class PciFunction:
    """Configuration space of device `slot` on bus 0, through the configuration ports."""

    def __init__(self, qtest: QTest, slot: int) -> None:
        self.qtest = qtest
        self._base = 0x8000_0000 | slot << 11

    def read(self, offset: int, size: int) -> int:
        """A register of 1, 2 or 4 bytes."""
        self.qtest.port_out(0xCF8, 4, self._base | offset & ~3)
        return self.qtest.port_in(0xCFC + offset % 4, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register of 1, 2 or 4 bytes."""
        self.qtest.port_out(0xCF8, 4, self._base | offset & ~3)
        self.qtest.port_out(0xCFC + offset % 4, size, value)

    def capabilities(self) -> Iterator[tuple[int, int]]:
        """Offset and id of each capability."""
        offset = self.read(0x34, 1) & ~3
        while offset:
            yield offset, self.read(offset, 1)
            offset = self.read(offset + 1, 1) & ~3

    def place_bars(self) -> dict[int, int]:
        """Give every memory base address a place and switch them on; address by number."""
        placed: dict[int, int] = {}
        number, free = 0, BAR_SPACE
        while number < 6:
            register = 0x10 + 4 * number
            self.write(register, 4, 0xFFFF_FFFF)
            mask = self.read(register, 4)
            wide = mask & 0b111 == 0b100
            if mask and not mask & 1:
                size = (~(mask & ~0xF) & 0xFFFF_FFFF) + 1
                free = (free + size - 1) & -size
                self.write(register, 4, free)
                placed[number], free = free, free + size
            if wide:
                self.write(register + 4, 4, 0)
            number += 2 if wide else 1
        self.write(0x04, 2, 0b110)  # memory space, bus master
        return placed


@dataclass(frozen=True)
class Region:
    """Where one of a virtio device's structures is in guest-physical memory."""

    addr: int
    length: int


class VirtioPci:
    """A virtio device in slot `slot`, driven over qtest."""

    def __init__(self, qtest: QTest, slot: int) -> None:
        """Place its base addresses and find its structures. Raises QemuError when it is no virtio device."""
        self.qtest = qtest
        self.pci = PciFunction(qtest, slot)
        vendor = self.pci.read(0, 2)
        if vendor != VENDOR_VIRTIO:
            raise QemuError(
                f"PCI slot {slot}: expected vendor {VENDOR_VIRTIO:#x}, got {vendor:#x}; is addr={slot:02x}.0 set?"
            )
        self.device_id = self.pci.read(2, 2) - 0x1040
        bars = self.pci.place_bars()
        self.regions: dict[int, Region] = {}
        self.notify_multiplier = 0
        for offset, kind in self.pci.capabilities():
            if kind == CAP_VENDOR:
                self._learn(offset, bars)

    def _learn(self, offset: int, bars: dict[int, int]) -> None:
        """Read one `struct virtio_pci_cap`."""
        cfg_type, bar = self.pci.read(offset + 3, 1), self.pci.read(offset + 4, 1)
        if bar in bars:
            self.regions[cfg_type] = Region(bars[bar] + self.pci.read(offset + 8, 4), self.pci.read(offset + 12, 4))
        if cfg_type == NOTIFY_CFG:
            self.notify_multiplier = self.pci.read(offset + 16, 4)

    def common(self, offset: int, size: int) -> int:
        """A field of `struct virtio_pci_common_cfg`."""
        return self.qtest.load(self.regions[COMMON_CFG].addr + offset, size)

    def set_common(self, offset: int, size: int, value: int) -> None:
        """Write a field of `struct virtio_pci_common_cfg`."""
        self.qtest.store(self.regions[COMMON_CFG].addr + offset, size, value)

    def config(self, offset: int, size: int) -> int:
        """A field of the device's own configuration."""
        return self.qtest.load(self.regions[DEVICE_CFG].addr + offset, size)

    def set_config(self, offset: int, size: int, value: int) -> None:
        """Write a field of the device's own configuration."""
        self.qtest.store(self.regions[DEVICE_CFG].addr + offset, size, value)

    def offered(self) -> int:
        """The features the device offers."""
        words = []
        for select in range(2):
            self.set_common(0, 4, select)
            words.append(self.common(4, 4))
        return words[0] | words[1] << 32

    def reset(self) -> None:
        """Write status 0 and wait until the device says 0."""
        self.set_common(20, 1, 0)
        while self.common(20, 1):
            pass

    def negotiate(self, wanted: int = VERSION_1) -> int:
        """Reset, then accept what is offered of `wanted`; the features accepted."""
        self.reset()
        self.set_common(20, 1, ACKNOWLEDGE)
        self.set_common(20, 1, ACKNOWLEDGE | DRIVER)
        accepted = self.offered() & wanted
        for select in range(2):
            self.set_common(8, 4, select)
            self.set_common(12, 4, accepted >> 32 * select & 0xFFFF_FFFF)
        self.set_common(20, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK)
        if not self.common(20, 1) & FEATURES_OK:
            raise QemuError(f"the device refused features {accepted:#x} of {self.offered():#x}")
        return accepted

    def set_queue(self, index: int, size: int = 64) -> Queue:
        """Lay queue `index` out in guest memory, at most `size` long, and enable it."""
        self.set_common(22, 2, index)
        size = min(size, self.common(24, 2))
        if not size:
            raise LocalError(f"the device has no queue {index}; it has {self.common(18, 2)}")
        base = QUEUE_SPACE + index * QUEUE_STRIDE
        self.qtest.write(base, bytes(BUFFERS))
        self.set_common(24, 2, size)
        for register, offset in ((32, 0), (40, AVAIL), (48, USED)):
            self.set_common(register, 4, base + offset)
            self.set_common(register + 4, 4, 0)
        notify = self.regions[NOTIFY_CFG].addr + self.common(30, 2) * self.notify_multiplier
        self.set_common(28, 2, 1)
        return Queue(self.qtest, index, base, size, notify)

    def driver_ok(self) -> None:
        """Start the device."""
        self.set_common(20, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)


class Queue:
    """The driver's side of a split queue; every descriptor has a buffer of BUFFER_BYTES of its own."""

    def __init__(self, qtest: QTest, index: int, base: int, size: int, notify: int) -> None:
        """The device knows the queue already; `set_queue` makes it."""
        self.qtest, self.index, self.base, self.size, self.notify = qtest, index, base, size, notify
        self._free = list(range(size))
        self._chains: dict[int, list[int]] = {}
        self._avail_idx = self._used_idx = 0

    def put(self, readable: Sequence[bytes], writable: Sequence[int] = ()) -> int:
        """Offer one chain: the parts the device reads, then room for it to write, in bytes; the chain's head.

        `kick` tells the device.
        """
        lengths = [*map(len, readable), *writable]
        if max(lengths) > BUFFER_BYTES or len(lengths) > len(self._free):
            raise LocalError(f"a chain of {lengths} bytes; {len(self._free)} buffers of {BUFFER_BYTES} are free")
        chain = [self._free.pop(0) for _ in lengths]
        for place, (number, length) in enumerate(zip(chain, lengths, strict=True)):
            last = place == len(chain) - 1
            flags = (0 if last else DESC_NEXT) | (DESC_WRITE if place >= len(readable) else 0)
            descriptor = struct.pack("<QIHH", self._buffer(number), length, flags, 0 if last else chain[place + 1])
            self.qtest.write(self.base + 16 * number, descriptor)
        for number, data in zip(chain, readable, strict=False):
            self.qtest.write(self._buffer(number), data)
        self._publish(chain[0])
        self._chains[chain[0]] = chain
        return chain[0]

    def kick(self) -> None:
        """Tell the device that there is something to do."""
        self.qtest.store(self.notify, 2, self.index)

    def take(self, timeout: float = 10) -> tuple[int, bytes]:
        """Wait for the next used chain; its head and the bytes the device says it wrote.

        Raises WaitTimeout.
        """
        deadline = time.monotonic() + timeout
        while self.qtest.load(self.base + USED + 2, 2) == self._used_idx:
            if time.monotonic() > deadline:
                raise WaitTimeout(f"queue {self.index}: used.idx stayed {self._used_idx} for {timeout:g} s")
        element = self.base + USED + 4 + 8 * (self._used_idx % self.size)
        head, written = self.qtest.load(element, 4), self.qtest.load(element + 4, 4)
        self._used_idx = (self._used_idx + 1) & 0xFFFF
        return head, self._collect(head, written)

    def request(self, readable: Sequence[bytes], room: int, timeout: float = 10) -> bytes:
        """Put one chain, kick, and return what the device wrote into `room` bytes."""
        self.put(readable, [room] if room else [])
        self.kick()
        return self.take(timeout)[1]

    def _collect(self, head: int, written: int) -> bytes:
        """Free a chain; the first `written` bytes of its writable part."""
        data = b""
        for number in self._chains.pop(head):
            length, flags = struct.unpack_from("<8xIH", self.qtest.read(self.base + 16 * number, 16))
            if flags & DESC_WRITE and written > len(data):
                data += self.qtest.read(self._buffer(number), min(length, written - len(data)))
            self._free.append(number)
        return data

    def _publish(self, head: int) -> None:
        """Enter a chain into the available ring; the index last."""
        avail = self.base + AVAIL
        self.qtest.store(avail + 4 + 2 * (self._avail_idx % self.size), 2, head)
        self._avail_idx = (self._avail_idx + 1) & 0xFFFF
        self.qtest.store(avail + 2, 2, self._avail_idx)

    def _buffer(self, number: int) -> int:
        """Guest address of a descriptor's buffer."""
        return self.base + BUFFERS + BUFFER_BYTES * number
