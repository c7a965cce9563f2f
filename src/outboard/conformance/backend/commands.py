"""virtio-gpu commands: the form of responses, fences, and room for the response.

Source: VIRTIO-1.2 5.7.6.7 (request header), 5.7.6.8 (control queue), 2.7.8 (used ring).
"""

import struct

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine, attach
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VIRTIO, Checks, NotApplicable, expect
from outboard.layout import Layout
from outboard.spec.virtio_gpu import (
    Cmd,
    CtrlHdr,
    Feature,
    Format,
    GetEdid,
    Rect,
    ResourceCreate2D,
    ResourceDetachBacking,
    ResourceFlush,
    ResourceUnref,
    Resp,
    RespDisplayInfo,
    RespEdid,
    SetScanout,
    TransferToHost2D,
)

checks = Checks()
HEADER = "5.7.6.7"
CONTROLQ = "5.7.6.8"
WIDTH, HEIGHT = 32, 16
FULL = Rect(0, 0, WIDTH, HEIGHT)
XRGB = int(Format.B8G8R8X8)
UNKNOWN = 99
FENCE = 0xFEDC_BA98_7654_3210


# Responses


def ordinary(machine: Machine) -> list[tuple[str, Layout, bytes]]:
    """Return every 2D command once, as a guest sends them, in an order in which all succeed."""
    entries = machine.vmm.ram.contiguous(4 * WIDTH * HEIGHT).entries
    backing, listed = attach(1, entries)
    return [
        ("RESOURCE_CREATE_2D", ResourceCreate2D(resource_id=1, format=XRGB, width=WIDTH, height=HEIGHT), b""),
        ("RESOURCE_ATTACH_BACKING", backing, listed),
        ("SET_SCANOUT", SetScanout(r=FULL, resource_id=1), b""),
        ("TRANSFER_TO_HOST_2D", TransferToHost2D(r=FULL, resource_id=1), b""),
        ("RESOURCE_FLUSH", ResourceFlush(r=FULL, resource_id=1), b""),
        ("SET_SCANOUT", SetScanout(), b""),
        ("RESOURCE_DETACH_BACKING", ResourceDetachBacking(resource_id=1), b""),
        ("RESOURCE_UNREF", ResourceUnref(resource_id=1), b""),
    ]


@checks.check("command.response.size", VIRTIO, HEADER, MUST)
def response_size(bench: Bench) -> None:
    """Every 2D command is answered by OK_NODATA in 24 bytes, and the used length says 24."""
    machine = bench.machine()
    for name, request, tail in ordinary(machine):
        answer = machine.driver.command(request, tail)
        got = f"{answer.type:#x} in {len(answer.data)} bytes"
        expect((answer.type, len(answer.data)) == (Resp.OK_NODATA, 24), f"OK_NODATA in 24 bytes to {name}", got)


@checks.check("command.response.clean", VIRTIO, HEADER, MUST)
def response_clean(bench: Bench) -> None:
    """Without a fence the response's flags and fence id are 0."""
    machine = bench.machine()
    for name, request, tail in ordinary(machine):
        header = CtrlHdr.unpack_from(machine.driver.command(request, tail).data)
        expect(not header.flags and not header.fence_id, f"no fence in the response to {name}", header)


@checks.check("command.response.display_info", VIRTIO, CONTROLQ, MUST)
def response_display_info(bench: Bench) -> None:
    """GET_DISPLAY_INFO is answered by OK_DISPLAY_INFO in 408 bytes."""
    answer = bench.machine().driver.command(CtrlHdr(Cmd.GET_DISPLAY_INFO))
    wanted = (Resp.OK_DISPLAY_INFO, RespDisplayInfo.sizeof)
    expect((answer.type, len(answer.data)) == wanted, "0x1101 in 408 bytes", f"{answer.type:#x} in {len(answer.data)}")


@checks.check("command.response.edid", VIRTIO, CONTROLQ, MUST)
def response_edid(bench: Bench) -> None:
    """GET_EDID, where EDID is offered, is answered by OK_EDID in 1056 bytes."""
    machine = bench.machine()
    if not machine.vmm.session.features & Feature.EDID:
        raise NotApplicable("the back-end does not offer EDID")
    answer = machine.driver.command(GetEdid())
    wanted = (Resp.OK_EDID, RespEdid.sizeof)
    expect((answer.type, len(answer.data)) == wanted, "0x1104 in 1056 bytes", f"{answer.type:#x} in {len(answer.data)}")


# Fences


@checks.check("command.fence.echoed", VIRTIO, HEADER, MUST)
def fence_echoed(bench: Bench) -> None:
    """A fenced command is answered with the FENCE flag and its fence id."""
    machine = bench.machine()
    for at, (name, request, tail) in enumerate(ordinary(machine)):
        data = bytearray(request.pack())
        struct.pack_into("<IQ", data, 4, 1, FENCE + at)
        header = CtrlHdr.unpack_from(machine.driver.command(bytes(data), tail).data)
        got = f"flags {header.flags:#x}, fence {header.fence_id:#x}"
        expect((header.flags & 1, header.fence_id) == (1, FENCE + at), f"fence {FENCE + at:#x} in {name}'s", got)


@checks.check("command.fence.error", VIRTIO, HEADER, MUST)
def fence_error(bench: Bench) -> None:
    """A fenced command that fails is answered with its fence too."""
    answer = bench.machine().driver.command(
        CtrlHdr(Cmd.RESOURCE_UNREF, 1, FENCE).pack() + struct.pack("<II", UNKNOWN, 0)
    )
    header = CtrlHdr.unpack_from(answer.data)
    expect((header.flags & 1, header.fence_id) == (1, FENCE), f"fence {FENCE:#x}", header)


@checks.check("command.fence.context", VIRTIO, HEADER, SHOULD)
def fence_context(bench: Bench) -> None:
    """The response to a fenced command repeats its ctx_id."""
    header = CtrlHdr.unpack_from(bench.machine().driver.command(CtrlHdr(Cmd.GET_DISPLAY_INFO, 1, FENCE, 7)).data)
    expect(header.ctx_id == 7, "ctx_id 7", header.ctx_id)


# Room for the response


@checks.check("command.room.none", VIRTIO, "2.7.8", MUST)
def room_none(bench: Bench) -> None:
    """A chain without a writable part is executed and returned with length 0."""
    machine = bench.machine()
    answer = machine.driver.command(ResourceCreate2D(resource_id=1, format=XRGB, width=8, height=8), room=0)
    expect(not answer.data, "0 bytes written", len(answer.data))
    machine.driver.unref(1)


@checks.check("command.room.short", VIRTIO, "2.7.8", ROBUSTNESS)
def room_short(bench: Bench) -> None:
    """A response that does not fit is cut to the room there is, and the used length says no more than that."""
    machine = bench.machine()
    answer = machine.driver.command(CtrlHdr(Cmd.GET_DISPLAY_INFO), room=100)
    expect(len(answer.data) <= 100, "at most 100 bytes", len(answer.data))
    machine.works()


@checks.check("command.room.written", VIRTIO, "2.7.8.2", MUST)
def room_written(bench: Bench) -> None:
    """Nothing is written behind the used length, however large the room is."""
    machine = bench.machine()
    ram, ring = machine.vmm.ram, machine.vmm.rings[0]
    request, room = ram.allocate(24), ram.allocate(4096)
    ram.view(request, 24)[:] = CtrlHdr(Cmd.GET_DISPLAY_INFO).pack()
    ram.view(room, 4096)[:] = b"\xa5" * 4096
    ring.queue.add([(request, 24)], [(room, 4096)])
    ring.kick()
    ((_, written),) = machine.used()
    rest = bytes(ram.view(room + written, 4096 - written))
    expect(rest == b"\xa5" * len(rest), f"nothing written behind byte {written}", rest[:32].hex())
