"""Front-ends as programs, for the kit's own test: ours, a scripted display that is sound, and both with one fault each.

    python -m tests.conformance.frontends SOCKET ours|sound|FAULT

The guest starts the device, resets it, and starts it once more. SIGTERM stops the device and ends the program.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from outboard.display.edid import edid
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import GuestRam, Span
from outboard.frontend.vmm import PROTOCOL_FEATURES, Vmm
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.vhost_user import MemoryRegion, ProtocolFeature, Req, VringAddr, VringState
from outboard.spec.vhost_user_gpu import FLAG_REPLY, REQUESTS, U64, EdidRequest, Header, Scanout, Update
from outboard.spec.vhost_user_gpu import Req as GpuReq
from outboard.spec.virtio_gpu import DisplayOne, Format, Rect, RespDisplayInfo, RespEdid
from outboard.vhost_user.frontend import Message

SIZE = (1280, 800)
RAM = [Span(0x1000_0000, 16 << 20)]
EVERY = (1 << 64) - 1


class Fault(NamedTuple):
    """One fault, the check that is to name it, and what does it."""

    check: str
    says: str


CONTROL_FAULTS = {
    "version-0": Fault("front.message.version", "SET_OWNER has version 0"),
    "reply-bit": Fault("front.message.version", "SET_OWNER has the reply bit"),
    "size": Fault("front.message.size", "SET_OWNER has 8 bytes"),
    "no-fd": Fault("front.message.fds", "SET_VRING_ERR has no fd, and does not say so"),
    "two-fds": Fault("front.message.fds", "GPU_SET_SOCKET has two fds"),
    "pieces": Fault("front.message.whole", "SET_OWNER's header comes in two halves"),
    "cut": Fault("front.message.readable", "the control socket ends inside a message"),
    "owner-twice": Fault("front.owner.once", "SET_OWNER comes twice"),
    "no-owner": Fault("front.owner.once", "SET_OWNER does not come"),
    "early-question": Fault("front.features.first", "GET_PROTOCOL_FEATURES comes before GET_FEATURES"),
    "more-features": Fault("front.features.offered", "SET_FEATURES has VIRGL, which was not offered"),
    "no-version-1": Fault("front.features.version-1", "SET_FEATURES lacks VERSION_1"),
    "no-protocol-bit": Fault("front.features.protocol-bit", "SET_FEATURES lacks bit 30"),
    "more-protocol": Fault("front.protocol-features.offered", "SET_PROTOCOL_FEATURES has LOG_SHMFD"),
    "config-unasked": Fault("front.protocol-features.used", "SET_CONFIG comes without CONFIG"),
    "early-need-reply": Fault("front.need-reply.negotiated", "need_reply is set without REPLY_ACK"),
    "deprecated": Fault("front.requests.known", "RESET_OWNER comes"),
    "config-range": Fault("front.config.range", "SET_CONFIG reaches beyond 256 bytes"),
    "beyond-file": Fault("front.memory.maps", "a region is larger than its file"),
    "half-page": Fault("front.memory.pages", "a region begins inside a page"),
    "overlap": Fault("front.memory.apart", "two regions overlap in the guest"),
    "nine": Fault("front.memory.slots", "SET_MEM_TABLE has nine regions"),
    "removed": Fault("front.memory.removed", "REM_MEM_REG names a region that never was"),
    "ring-2": Fault("front.ring.index", "SET_VRING_NUM names ring 2"),
    "ring-48": Fault("front.ring.size", "a ring has 48 descriptors"),
    "ring-guest-addr": Fault("front.ring.memory", "SET_VRING_ADDR has guest addresses"),
    "ring-odd": Fault("front.ring.aligned", "descriptors begin at an odd address"),
    "err-file": Fault("front.ring.fds", "SET_VRING_ERR hands a file over"),
    "no-base": Fault("front.ring.complete", "SET_VRING_BASE does not come"),
    "no-call": Fault("front.ring.call", "SET_VRING_CALL does not come"),
    "one-enabled": Fault("front.ring.enabled", "the cursor ring is not enabled"),
    "no-socket": Fault("front.socket.sent", "GPU_SET_SOCKET does not come"),
    "pipe": Fault("front.socket.stream", "the GPU socket is a pipe"),
    "nonblocking": Fault("front.socket.blocking", "the GPU socket has O_NONBLOCK"),
    "not-stopped": Fault("front.restart.stopped", "rings are started anew without GET_VRING_BASE"),
    "wrong-base": Fault("front.restart.base", "rings go on from another base"),
    "old-socket": Fault("front.restart.socket", "the GPU socket is closed at stop, and no other comes"),
    "one-stopped": Fault("front.stop.both", "only the control ring is stopped"),
    "table-refused": Fault("front.message.served", "SET_VRING_BASE has more than 16 bits"),
    "idle-display": Fault("front.control.drains", "the display is served only while nothing is awaited"),
    "dies-with-display": Fault("front.socket.closed", "the program ends with its GPU socket"),
}

DISPLAY_FAULTS = {
    "flags-0": Fault("front.reply.flags", "replies have flags 0"),
    "no-header": Fault("front.reply.size", "the display info lacks the virtio header"),
    "reply-pieces": Fault("front.reply.whole", "header and payload leave apart"),
    "reply-fd": Fault("front.reply.fds", "replies carry an fd"),
    "acknowledges": Fault("front.reply.asked", "SCANOUT is answered"),
    "set-answered": Fault("front.gpu-features.set", "SET_PROTOCOL_FEATURES is answered"),
    "reversed": Fault("front.questions.pipelined", "of questions that come together the last is answered first"),
    "bit-numbers": Fault("front.gpu-features.masks", "EDID is offered by its number, 0"),
    "more-bits": Fault("front.gpu-features.known", "protocol features have bit 8"),
    "features-silent": Fault("front.gpu-features.answered", "GET_PROTOCOL_FEATURES is not answered"),
    "info-silent": Fault("front.display-info.answered", "GET_DISPLAY_INFO is not answered"),
    "info-type": Fault("front.display-info.type", "the display info has type 0x1100"),
    "info-off": Fault("front.display-info.enabled", "no output is enabled"),
    "info-empty": Fault("front.display-info.sizes", "output 0 is enabled and has no size"),
    "info-swapped": Fault("front.display-info.flag", "`enabled` is in the other byte order"),
    "info-scanout": Fault("front.display-info.display", "the display info follows the scanout"),
    "edid-silent": Fault("front.edid.answered", "GET_EDID is not answered"),
    "edid-type": Fault("front.edid.type", "the EDID has type 0x1101"),
    "edid-checksum": Fault("front.edid.blocks", "the EDID's checksum is wrong"),
    "edid-empty": Fault("front.edid.fits", "the EDID's size is 0"),
    "edid-padded": Fault("front.edid.size", "the EDID's size is 1024"),
    "edid-timing": Fault("front.edid.timing", "the EDID has another size than the display info"),
    "edid-scanout": Fault("front.edid.display", "the EDID is the scanout's"),
    "edid-enabled": Fault("front.edid.every-output", "GET_EDID is answered for enabled outputs only"),
    "edid-closes": Fault("front.edid.bad-output", "GET_EDID for output 16 ends the stream"),
    "flags-matter": Fault("front.questions.flags", "requests with the reply bit are dropped"),
    "one-read": Fault("front.questions.bytewise", "a header that is not there at once is dropped"),
    "unknown-stays": Fault("front.questions.unknown", "an unknown request's payload is not skipped"),
    "whole-only": Fault("front.scanout.part", "an UPDATE of a part ends the program"),
    "no-update": Fault("front.scanout.update", "UPDATE ends the program"),
    "small-only": Fault("front.scanout.large", "an UPDATE of more than a MiB ends the stream"),
    "once": Fault("front.scanout.again", "a second SCANOUT of a size ends the program"),
    "no-disable": Fault("front.scanout.disable", "SCANOUT 0x0 ends the program"),
    "inside-only": Fault("front.scanout.outside", "an UPDATE over the edge ends the program"),
    "not-empty": Fault("front.scanout.empty", "an UPDATE of 0x0 ends the program"),
    "good-ids": Fault("front.scanout.bad-output", "SCANOUT of output 16 ends the program"),
    "no-cursor": Fault("front.cursor.update", "CURSOR_UPDATE ends the program"),
    "unsigned": Fault("front.cursor.negative", "a cursor at -10 ends the program"),
    "cursor-ids": Fault("front.cursor.bad-output", "a cursor on output 16 ends the program"),
    "dmabuf-silent": Fault("front.dmabuf.update", "DMABUF_UPDATE is not answered"),
    "dmabuf-ends": Fault("front.dmabuf.scanout", "DMABUF_SCANOUT ends the program"),
    "dmabuf2-ends": Fault("front.dmabuf.scanout2", "DMABUF_SCANOUT2 ends the program"),
    "dmabuf-ids": Fault("front.dmabuf.bad-output", "DMABUF_SCANOUT of output 16 ends the program"),
    "dmabuf-kept": Fault("front.dmabuf.released", "a buffer that was replaced is kept open"),
    "fds-kept": Fault("front.fds.stray", "an fd that comes with a question is kept open"),
    "bare-update": Fault("front.hostile.update-first", "an UPDATE before any SCANOUT kills the program by a signal"),
    "stuck": Fault("front.hostile.header-stalls", "SIGTERM waits for the rest of a header"),
}
FAULTS = CONTROL_FAULTS | DISPLAY_FAULTS


# The display


class ScriptedDisplay:
    """A display on a bare socket, one thread; `fault` is one of DISPLAY_FAULTS, or "" for none."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.sizes: dict[int, tuple[int, int]] = {}
        self.buffers: dict[int, int] = {}
        self.kept: list[int] = []
        self.socket: socket.socket | None = None

    def attach(self, ours: socket.socket) -> None:
        """Serve another socket."""
        self.detach()
        self.socket = ours
        threading.Thread(target=self.serve, args=(ours,), daemon=True).start()

    def detach(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.socket = None

    def pollable(self) -> int:
        """Nobody else drives it."""
        return -1

    def close(self) -> None:
        """End."""
        self.detach()

    def serve(self, ours: socket.socket) -> None:
        """Body of the thread."""
        with ours:
            try:
                while self.one(ours):
                    pass
            except OSError:
                pass

    def one(self, ours: socket.socket) -> bool:
        """Take one message; false at the end of the stream."""
        head, fds, _, _ = socket.recv_fds(ours, Header.sizeof, 8)
        if self.fault == "one-read" and len(head) < Header.sizeof:
            return bool(head)
        if self.fault == "stuck" and 0 < len(head) < Header.sizeof:
            os.kill(os.getpid(), signal.SIGSTOP)
        head += self.exactly(ours, Header.sizeof - len(head)) if head else b""
        if len(head) < Header.sizeof:
            return False
        header = Header.unpack(head)
        known = header.request in set(GpuReq)
        payload = b"" if self.fault == "unknown-stays" and not known else self.exactly(ours, header.size)
        if len(payload) < header.size and self.fault != "unknown-stays":
            return False
        if known and not (self.fault == "flags-matter" and header.flags & FLAG_REPLY):
            return self.message(ours, GpuReq(header.request), payload, fds)
        self.drop(fds)
        return True

    @staticmethod
    def exactly(ours: socket.socket, size: int) -> bytes:
        """Read `size` bytes, fewer at the end of the stream."""
        data = bytearray()
        while len(data) < size and (came := ours.recv(min(1 << 20, size - len(data)))):
            data += came
        return bytes(data)

    def drop(self, fds: list[int]) -> None:
        """Close fds, but for the fault that keeps them."""
        if self.fault == "fds-kept":
            self.kept += fds
        else:
            for fd in fds:
                os.close(fd)

    def end_if(self, fault: str, condition: bool = True) -> None:
        """End the program, if that is the fault."""
        if self.fault == fault and condition:
            os._exit(3)

    # Messages

    def message(self, ours: socket.socket, req: GpuReq, payload: bytes, fds: list[int]) -> bool:
        """Take one message that is known; false to end the stream."""
        row = REQUESTS[req]
        size = row.payload.sizeof if row.payload else 0
        if len(payload) < size:
            self.drop(fds)
            return True
        what = row.payload.unpack(payload[:size]) if row.payload else None
        if req in (GpuReq.DMABUF_SCANOUT, GpuReq.DMABUF_SCANOUT2):
            self.buffer(req, payload[:4], fds)
        else:
            self.drop(fds)
        if req == GpuReq.SCANOUT:
            self.scanout(what)
        elif req == GpuReq.UPDATE:
            if not self.update(what, len(payload)):
                return False
        elif req in (GpuReq.CURSOR_POS, GpuReq.CURSOR_UPDATE):
            pos = getattr(what, "pos", what)
            self.end_if("no-cursor", req == GpuReq.CURSOR_UPDATE)
            self.end_if("unsigned", pos.x > 1 << 31)
            self.end_if("cursor-ids", pos.scanout_id > 15)
        return self.reply(ours, req, what)

    def scanout(self, what: Scanout) -> None:
        size = (what.width, what.height)
        self.end_if("no-disable", not any(size))
        self.end_if("good-ids", what.scanout_id > 15)
        self.end_if("once", self.sizes.get(what.scanout_id) == size and any(size))
        if what.scanout_id < 16 and max(size) < 16384:
            self.sizes[what.scanout_id] = size

    def update(self, what: Update, size: int) -> bool:
        width, _ = self.sizes.get(what.scanout_id, (0, 0))
        self.end_if("no-update", what.width > 64)
        self.end_if("whole-only", 0 < what.width < width)
        self.end_if("inside-only", what.x + what.width > width)
        self.end_if("not-empty", not what.width)
        if self.fault == "bare-update" and not width:
            os.kill(os.getpid(), signal.SIGSEGV)
        return not (self.fault == "small-only" and size > 1 << 20)

    def buffer(self, req: GpuReq, scanout_id: bytes, fds: list[int]) -> None:
        at = int.from_bytes(scanout_id, sys.byteorder)
        self.end_if("dmabuf-ends", req == GpuReq.DMABUF_SCANOUT)
        self.end_if("dmabuf2-ends", req == GpuReq.DMABUF_SCANOUT2)
        self.end_if("dmabuf-ids", at > 15)
        if at in self.buffers:
            old = self.buffers.pop(at)
            self.kept.append(old) if self.fault == "dmabuf-kept" else os.close(old)
        if fds and at < 16:
            self.buffers[at] = fds.pop(0)
        self.drop(fds)

    # Replies

    def reply(self, ours: socket.socket, req: GpuReq, what: object) -> bool:
        """Answer, if it is a question; false to end the stream."""
        body: bytes | None = None
        if req == GpuReq.GET_PROTOCOL_FEATURES and self.fault != "features-silent":
            body = U64({"bit-numbers": 0, "more-bits": 0x103}.get(self.fault, 3)).pack()
        elif req == GpuReq.GET_DISPLAY_INFO and self.fault != "info-silent":
            body = self.display_info()
        elif req == GpuReq.GET_EDID and self.fault != "edid-silent":
            assert isinstance(what, EdidRequest)
            if what.scanout_id > 15:
                return self.fault != "edid-closes"
            body = self.edid(what.scanout_id) if what.scanout_id == 0 or self.fault != "edid-enabled" else None
        elif req == GpuReq.DMABUF_UPDATE and self.fault != "dmabuf-silent":
            body = b""
        elif (req == GpuReq.SCANOUT and self.fault == "acknowledges") or (
            req == GpuReq.SET_PROTOCOL_FEATURES and self.fault == "set-answered"
        ):
            body = b""
        if body is not None:
            self.send(ours, Header(req, 0 if self.fault == "flags-0" else FLAG_REPLY, len(body)).pack(), body)
        return True

    def send(self, ours: socket.socket, head: bytes, body: bytes) -> None:
        if self.fault == "reversed" and select.select([ours], [], [], 0.05)[0]:
            self.one(ours)
        if self.fault == "reply-pieces" and body:
            ours.sendall(head)
            time.sleep(0.05)
            ours.sendall(body)
        elif self.fault == "reply-fd":
            socket.send_fds(ours, [head + body], [0])
        else:
            ours.sendall(head + body)

    def display_info(self) -> bytes:
        width, height = self.sizes.get(0, SIZE) if self.fault == "info-scanout" else SIZE
        enabled = {"info-off": 0, "info-swapped": 1 << 24}.get(self.fault, 1)
        one = DisplayOne(Rect(0, 0, 0, 0) if self.fault == "info-empty" else Rect(0, 0, width, height), enabled)
        info = bytearray(RespDisplayInfo(pmodes=(one, *[DisplayOne()] * 15)).pack())
        if self.fault == "info-type":
            info[0] = 0
        return bytes(info[24:] if self.fault == "no-header" else info)

    def edid(self, scanout_id: int) -> bytes:
        width, height = SIZE
        if self.fault == "edid-scanout":
            width, height = self.sizes.get(scanout_id, SIZE)
        elif self.fault == "edid-timing":
            width, height = 1024, 768
        blob = bytearray(edid(width, height))
        blob[127] ^= self.fault == "edid-checksum"
        size = {"edid-empty": 0, "edid-padded": 1024}.get(self.fault, len(blob))
        body = bytearray(RespEdid(size=size, edid=bytes(blob).ljust(1024, b"\0")).pack())
        if self.fault == "edid-type":
            body[0] = 1
        return bytes(body)


class IdleDisplay(ScriptedDisplay):
    """One that is served only when its machine has nothing else to do."""

    def attach(self, ours: socket.socket) -> None:
        """Take a socket, and leave it alone."""
        self.socket = ours

    def serve_idle(self) -> None:
        """Take what is there."""
        while self.socket is not None and select.select([self.socket], [], [], 0)[0]:
            if not self.one(self.socket):
                self.socket = None


# The control socket


def file_fd() -> int:
    """A file where an eventfd belongs."""
    return os.memfd_create("no-eventfd")


class FaultyVmm(Vmm):
    """Our VMM, with one fault on its control socket."""

    fault = ""

    def rewrite(self, message: Message) -> list[Message]:
        """Return what is sent in place of a message: by default itself."""
        header = Header.unpack_from(message.data)
        req, payload = Req(header.request), message.data[Header.sizeof :]
        change = REWRITES.get((self.fault, req))
        return [message] if change is None else change(self, header, payload, message)

    def attach(self, sock: socket.socket) -> None:
        """Put the fault between the session and the socket."""
        super().attach(sock)
        send = self.control.send

        def faulty(message: Message) -> None:
            for one in self.rewrite(message):
                send(one)

        self.control.send = faulty  # type: ignore[method-assign]


Rewrite = Callable[[FaultyVmm, Header, bytes, Message], list[Message]]


def request(req: Req, payload: bytes = b"", fds: tuple[int, ...] = (), flags: int = 1) -> Message:
    """Compose any message."""
    return Message(Header(req, flags, len(payload)).pack() + payload, fds)


def before(*extra: Callable[[FaultyVmm], Message]) -> Rewrite:
    """Send more messages in front of one."""
    return lambda vmm, header, payload, message: [*(make(vmm) for make in extra), message]


def instead(req: Req, payload: bytes = b"", flags: int = 1) -> Rewrite:
    """Send another message."""
    return lambda vmm, header, _, message: [request(req, payload, message.fds, flags)]


def masked(clear: int = 0, add: int = 0) -> Rewrite:
    """Change the u64 of a message."""
    return lambda vmm, header, payload, message: [
        request(Req(header.request), U64(U64.unpack(payload).value & ~clear | add).pack(), flags=header.flags)
    ]


def nothing(vmm: FaultyVmm, header: Header, payload: bytes, message: Message) -> list[Message]:
    """Send nothing."""
    return []


def unless_ring(index: int) -> Rewrite:
    """Leave the messages of one ring out."""
    return lambda vmm, header, payload, message: [] if VringState.unpack(payload).index == index else [message]


def in_pieces(vmm: FaultyVmm, header: Header, payload: bytes, message: Message) -> list[Message]:
    """Send half a header, and the rest a moment later."""
    vmm.control.socket.sendall(message.data[:6])
    time.sleep(0.05)
    return [Message(message.data[6:])]


def region(guest: int, size: int = 0x1000, offset: int = 0, user: int = 0x6000_0000_0000) -> Callable[..., Message]:
    """Add a region of the guest's memory."""
    return lambda vmm: request(
        Req.ADD_MEM_REG, bytes(8) + MemoryRegion(guest, size, user, offset).pack(), (vmm.ram.fd,)
    )


def nine(vmm: FaultyVmm) -> Message:
    """A table with more regions than it may have."""
    table = b"".join(MemoryRegion(at << 20, 0x1000, at << 20, 0).pack() for at in range(1, 10))
    return request(Req.SET_MEM_TABLE, VringState(9).pack() + table, (vmm.ram.fd,) * 9)


def ring_addr(change: Callable[[VringAddr], VringAddr]) -> Rewrite:
    """Send a wrong SET_VRING_ADDR, and the right one behind it."""
    return lambda vmm, header, payload, message: [
        request(Req.SET_VRING_ADDR, change(VringAddr.unpack(payload)).pack()),
        message,
    ]


def piped(vmm: FaultyVmm, header: Header, payload: bytes, message: Message) -> list[Message]:
    """Hand the end of a pipe over."""
    return [request(Req.GPU_SET_SOCKET, b"", (os.pipe()[0],))]


def nonblocking(vmm: FaultyVmm, header: Header, payload: bytes, message: Message) -> list[Message]:
    """Hand a socket over that does not block."""
    os.set_blocking(message.fds[0], False)
    return [message]


def two_fds(vmm: FaultyVmm, header: Header, payload: bytes, message: Message) -> list[Message]:
    """Hand one fd too many over."""
    return [Message(message.data, (*message.fds, 0))]


REWRITES: dict[tuple[str, Req], Rewrite] = {
    ("version-0", Req.SET_OWNER): instead(Req.SET_OWNER, flags=0),
    ("reply-bit", Req.SET_OWNER): instead(Req.SET_OWNER, flags=5),
    ("size", Req.SET_OWNER): instead(Req.SET_OWNER, bytes(8)),
    ("no-fd", Req.SET_VRING_ERR): lambda vmm, header, payload, message: [Message(message.data)],
    ("two-fds", Req.GPU_SET_SOCKET): two_fds,
    ("pieces", Req.SET_OWNER): in_pieces,
    ("owner-twice", Req.SET_OWNER): before(lambda vmm: request(Req.SET_OWNER)),
    ("no-owner", Req.SET_OWNER): nothing,
    ("more-features", Req.SET_FEATURES): masked(add=1),
    ("no-version-1", Req.SET_FEATURES): masked(clear=1 << 32),
    ("no-protocol-bit", Req.SET_FEATURES): masked(clear=1 << 30),
    ("more-protocol", Req.SET_PROTOCOL_FEATURES): masked(add=ProtocolFeature.LOG_SHMFD),
    ("early-need-reply", Req.SET_OWNER): instead(Req.SET_OWNER, flags=9),
    ("deprecated", Req.SET_OWNER): before(lambda vmm: request(Req.RESET_OWNER)),
    ("config-unasked", Req.SET_OWNER): before(
        lambda vmm: request(Req.SET_CONFIG, VringState(0, 16).pack() + bytes(4 + 16))
    ),
    ("config-range", Req.SET_OWNER): before(
        lambda vmm: request(Req.SET_CONFIG, VringState(250, 16).pack() + bytes(4 + 16))
    ),
    ("beyond-file", Req.SET_VRING_NUM): before(region(0x5000_0000, 1 << 40)),
    ("half-page", Req.SET_VRING_NUM): before(region(0x5000_0800, 0x800)),
    ("overlap", Req.SET_VRING_NUM): before(region(RAM[0].guest_addr + 0x1000)),
    ("nine", Req.SET_OWNER): before(nine),
    ("removed", Req.SET_VRING_NUM): before(
        lambda vmm: request(Req.REM_MEM_REG, bytes(8) + MemoryRegion(0x7000_0000, 0x1000, 0, 0).pack())
    ),
    ("ring-2", Req.SET_VRING_NUM): before(lambda vmm: request(Req.SET_VRING_NUM, VringState(2, 64).pack())),
    ("ring-48", Req.SET_VRING_NUM): before(lambda vmm: request(Req.SET_VRING_NUM, VringState(0, 48).pack())),
    ("ring-guest-addr", Req.SET_VRING_ADDR): ring_addr(
        lambda one: VringAddr(one.index, 0, *(at - one.descriptor for at in (one.descriptor, one.used, one.available)))
    ),
    ("ring-odd", Req.SET_VRING_ADDR): ring_addr(
        lambda one: VringAddr(one.index, 0, one.descriptor + 1, one.used, one.available)
    ),
    ("err-file", Req.SET_VRING_ERR): lambda vmm, header, payload, message: [Message(message.data, (file_fd(),))],
    ("no-base", Req.SET_VRING_BASE): nothing,
    ("no-call", Req.SET_VRING_CALL): nothing,
    ("one-enabled", Req.SET_VRING_ENABLE): unless_ring(1),
    ("no-socket", Req.GPU_SET_SOCKET): nothing,
    ("pipe", Req.GPU_SET_SOCKET): piped,
    ("nonblocking", Req.GPU_SET_SOCKET): nonblocking,
    ("table-refused", Req.SET_VRING_BASE): before(
        lambda vmm: request(Req.SET_VRING_BASE, VringState(0, 1 << 16).pack())
    ),
}


# The program


def draw(vmm: Vmm) -> None:
    """Show something, as a guest does."""
    driver = GpuDriver(vmm)
    driver.get_display_info()
    driver.get_edid()
    backing = vmm.ram.contiguous(64 * 64 * 4)
    driver.create_2d(1, Format.B8G8R8X8, 64, 64)
    driver.attach_backing(1, backing)
    driver.transfer(1, Rect(0, 0, 64, 64), 0)
    driver.set_scanout(0, 1, Rect(0, 0, 64, 64))
    driver.flush(1, Rect(0, 0, 64, 64))
    driver.update_cursor(0, 0, -3, 5)


NEVER_RUN = {"no-socket", "pipe", "one-enabled", "old-socket"}
"""Faults with which the device never runs as it should: the guest gives up."""


def life(vmm: FaultyVmm, fault: str) -> None:
    """Start the device, reset it, start it once more, and wait for the end."""
    if fault == "early-question":
        vmm.get(Req.GET_PROTOCOL_FEATURES)
    if fault == "cut":
        vmm.control.socket.sendall(bytes(6))
        return
    vmm.negotiate()
    vmm.start()
    if fault in NEVER_RUN - {"old-socket"}:
        return
    if fault != "idle-display":
        draw(vmm)
        restart(vmm, fault)
    if fault in NEVER_RUN:
        return
    if fault in ("ours", "sound"):
        draw(vmm)
    while not select.select([vmm.control.socket], [], [], 0.01)[0]:
        if fault == "dies-with-display" and threading.active_count() == 1:
            os._exit(3)
        if isinstance(vmm.display, IdleDisplay):
            vmm.display.serve_idle()


def restart(vmm: FaultyVmm, fault: str) -> None:
    """Start the device anew."""
    if fault == "not-stopped":
        vmm.start()
        return
    vmm.reset()
    if fault == "wrong-base":
        for ring in vmm.rings:
            ring.base += 7
        vmm.resume()
    elif fault == "old-socket":
        vmm.fault = "no-socket"
        vmm.start()
    else:
        vmm.start()


class Ended(Exception):
    """SIGTERM came."""


def end(*_: object) -> None:
    """Handle SIGTERM."""
    raise Ended


def main(path: str, fault: str) -> None:
    """Be a front-end."""
    signal.signal(signal.SIGTERM, end)
    features = PROTOCOL_FEATURES
    if fault == "early-need-reply":
        features &= ~ProtocolFeature.REPLY_ACK
    if fault == "config-unasked":
        features &= ~ProtocolFeature.CONFIG
    kind = IdleDisplay if fault == "idle-display" else ScriptedDisplay
    display = (
        DisplayReader([SIZE], threaded=True) if fault == "ours" else kind(fault if fault in DISPLAY_FAULTS else "")
    )
    vmm = FaultyVmm(display, GuestRam(RAM), protocol_features=features)
    vmm.fault = fault
    try:
        with vmm:
            vmm.connect(path)
            try:
                life(vmm, fault)
            except Ended:
                if fault == "one-stopped":
                    vmm.control.ask(vmm.session.get_vring_base(0), 1)
                elif vmm.running:
                    vmm.stop()
    except Ended:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
