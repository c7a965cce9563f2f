"""A second reading of VIRTIO-1.2 2.7.5, written for the tests alone: what is a chain, and what is malformed."""

import struct

from tests.virtio.rig import INDIRECT, NEXT, WRITE


class Malformed(Exception):
    """The chain breaks a rule."""


def bytes_at(rig, addr, length):
    """Return guest bytes one by one, or raise; wraps nowhere."""
    out = bytearray()
    while length:
        for start, part in rig.parts.items():
            if start <= addr < start + len(part.view):
                step = min(length, start + len(part.view) - addr)
                out += part.view[addr - start : addr - start + step]
                addr += step
                length -= step
                break
        else:
            raise Malformed("not memory")
    return bytes(out)


def chain(rig, head):
    """Return the readable bytes and the writable ranges of a chain, or raise Malformed."""
    if head >= rig.size:
        raise Malformed("head")
    table, limit, index, seen = None, rig.size, head, 0
    readable, writable = bytearray(), []
    while True:
        seen += 1
        if seen > limit:
            raise Malformed("loop")
        row = table[16 * index : 16 * index + 16] if table else rig.driver.desc[16 * index : 16 * index + 16]
        addr, length, flags, after = struct.unpack("<QIHH", row)
        if flags & INDIRECT:
            if table or flags & NEXT or length == 0 or length % 16 or length > 16 * 2048:
                raise Malformed("indirect")
            table, limit, index, seen = bytes_at(rig, addr, length), length // 16, 0, 0
            continue
        if flags & WRITE:
            if length:
                bytes_at(rig, addr, length)
                writable.append((addr, length))
        else:
            if writable:
                raise Malformed("readable behind writable")
            readable += bytes_at(rig, addr, length)
        if not flags & NEXT:
            return bytes(readable), writable
        if after >= limit:
            raise Malformed("next")
        index = after


def written(before, writable, text):
    """Return memory with `text` poured into the writable ranges, in their order."""
    after = {start: bytearray(part) for start, part in before.items()}
    for addr, length in writable:
        step, text = text[:length], text[length:]
        for at, byte in enumerate(step):
            start = max(start for start in after if start <= addr + at)
            after[start][addr + at - start] = byte
    return {start: bytes(part) for start, part in after.items()}
