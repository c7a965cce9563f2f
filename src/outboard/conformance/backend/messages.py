"""Control socket: replies and acknowledgements, requests that are unknown, and how a stream is cut.

Source: QEMU docs/interop/vhost-user, "Message Specification", VHOST_USER_PROTOCOL_F_REPLY_ACK.
"""

import os
import struct

from outboard.conformance.backend.bare import ASKED, REPLY, name
from outboard.conformance.backend.bench import Bench
from outboard.conformance.check import (
    MUST,
    ROBUSTNESS,
    VHOST_USER,
    Checks,
    NotApplicable,
    expect,
)
from outboard.spec.vhost_user import (
    F_PROTOCOL_FEATURES,
    U64,
    Header,
    MemoryRegion,
    MemTable,
    ProtocolFeature,
    Req,
)
from outboard.spec.virtio import Feature

checks = Checks()
QUESTIONS = {Req.GET_FEATURES: 8, Req.GET_PROTOCOL_FEATURES: 8}
UNKNOWN = 0x6B
"""A request number that no document gives a meaning."""


# Replies


@checks.check("control.reply.flags", VHOST_USER, "Header", MUST)
def reply_flags(bench: Bench) -> None:
    """The flags of a reply are version 1 and the reply bit, 0x5, and nothing else."""
    control = bench.control()
    for request in QUESTIONS:
        flags = control.ask(request).flags
        expect(flags == REPLY, f"flags 0x5 in the reply to {request.name}", f"{flags:#x}")


@checks.check("control.reply.size", VHOST_USER, "Communication", MUST)
def reply_size(bench: Bench) -> None:
    """A reply has the id of its request and the size that its payload has."""
    control = bench.control()
    for request, size in QUESTIONS.items():
        got = len(control.ask(request).payload)
        expect(got == size, f"{size} bytes in the reply to {request.name}", got)


# Acknowledgements


@checks.check("control.ack.success", VHOST_USER, "VHOST_USER_PROTOCOL_F_REPLY_ACK", MUST)
def ack_success(bench: Bench) -> None:
    """A request with need_reply that succeeds is acknowledged by a u64 of 0."""
    control = bench.agreed()
    answer = control.ask(Req.SET_OWNER, flags=ASKED)
    got = f"flags {answer.flags:#x}, {answer.payload.hex()}"
    expect((answer.flags, answer.payload) == (REPLY, bytes(8)), "flags 0x5 and eight bytes of 0", got)


@checks.check("control.ack.failure", VHOST_USER, "VHOST_USER_PROTOCOL_F_REPLY_ACK", MUST)
def ack_failure(bench: Bench) -> None:
    """A request with need_reply that fails is acknowledged by a u64 that is not 0."""
    control = bench.agreed()
    reader, writer = os.pipe()
    region = MemoryRegion(0, 0x10000, 0x7F0000000000, 0)
    try:
        value = control.acked(Req.SET_MEM_TABLE, MemTable(1).pack() + region.pack(), [reader])
    finally:
        os.close(reader)
        os.close(writer)
    expect(value, "a failure for memory that is a pipe", "0, success")
    bench.peer.may_end = True


@checks.check("control.ack.unasked", VHOST_USER, "VHOST_USER_PROTOCOL_F_REPLY_ACK", MUST)
def ack_unasked(bench: Bench) -> None:
    """A request without need_reply is not acknowledged."""
    control = bench.agreed()
    control.message(Req.SET_OWNER)
    control.message(Req.SET_VRING_NUM, struct.pack("=II", 0, 64))
    answer = control.ask(Req.GET_FEATURES)
    expect(len(answer.payload) == 8, "the reply to GET_FEATURES", answer)


@checks.check("control.ack.own_reply", VHOST_USER, "VHOST_USER_PROTOCOL_F_REPLY_ACK", MUST)
def ack_own_reply(bench: Bench) -> None:
    """A request that has a reply of its own gets only that, also with need_reply."""
    control = bench.agreed()
    control.ask(Req.GET_FEATURES, flags=ASKED)
    control.ask(Req.GET_PROTOCOL_FEATURES)


# Requests that are unknown, or not agreed on


def _unknown(request: int) -> None:
    called = name(request) + " although it was not agreed on" if request in list(Req) else f"unknown {name(request)}"

    def run(bench: Bench) -> None:
        control = bench.agreed()
        agreed = control.ask(Req.GET_PROTOCOL_FEATURES).u64
        if request == Req.RESET_DEVICE and agreed & ProtocolFeature.RESET_DEVICE:
            raise NotApplicable("the back-end offers RESET_DEVICE")
        if request in (Req.SET_STATUS, Req.GET_STATUS) and agreed & ProtocolFeature.STATUS:
            raise NotApplicable("the back-end offers STATUS")
        payload = U64(0).pack() if request == Req.SET_STATUS else b""
        value = control.ask(request, payload, ASKED).u64
        if request != Req.GET_STATUS:
            expect(value, "a failure (not 0) as acknowledgement", "0, success")
        control.alive()

    word = name(request).lower() if request in list(Req) else "zero" if request == 0 else "unknown"
    says = f"A front-end that sends {called} is told so, and the connection lives on."
    checks.add(f"control.request.{word}", VHOST_USER, "VHOST_USER_PROTOCOL_F_REPLY_ACK", ROBUSTNESS, says, run)


for _request in (UNKNOWN, 0, Req.RESET_DEVICE, Req.SET_STATUS, Req.GET_STATUS):
    _unknown(_request)


@checks.check("control.request.unknown_silent", VHOST_USER, "Communication", ROBUSTNESS)
def unknown_silent(bench: Bench) -> None:
    """An unknown request without need_reply is skipped, payload and all."""
    control = bench.control()
    control.message(UNKNOWN, b"payload of no meaning")
    control.alive()


@checks.check("control.request.short", VHOST_USER, "Message Specification", ROBUSTNESS)
def request_short(bench: Bench) -> None:
    """A payload shorter than its structure is refused, by an acknowledgement or the end of the connection."""
    bench.declined(bench.agreed(), Req.SET_VRING_NUM, struct.pack("=I", 0))


@checks.check("control.request.huge", VHOST_USER, "Message Specification", ROBUSTNESS)
def request_huge(bench: Bench) -> None:
    """A header that announces 4 GiB of payload ends the connection instead of the memory."""
    control = bench.control()
    control.message(Req.SET_FEATURES, b"", size=0xFFFF_FFF0)
    ended = control.ended(bench.timeout_s)
    expect(ended, "the end of the connection", f"a wait of {bench.timeout_s:g} s for the payload")
    bench.peer.may_end = True
    bench.crashed_not()


# Framing


@checks.check("control.fragmented.header", VHOST_USER, "Message Specification", ROBUSTNESS)
def fragmented_header(bench: Bench) -> None:
    """A header that arrives in pieces, as a stream socket may deliver it, is put together."""
    control = bench.control()
    data = Header(Req.GET_FEATURES, 1, 0).pack()
    control.pieces([data[:1], data[1:6], data[6:]])
    control.answered(Req.GET_FEATURES)


@checks.check("control.fragmented.payload", VHOST_USER, "Message Specification", ROBUSTNESS)
def fragmented_payload(bench: Bench) -> None:
    """A payload that arrives in pieces, as a stream socket may deliver it, is put together."""
    control = bench.control()
    payload = U64(F_PROTOCOL_FEATURES | Feature.VERSION_1).pack()
    control.pieces([Header(Req.SET_FEATURES, 1, 8).pack() + payload[:3], payload[3:]])
    control.alive()


@checks.check("control.joined", VHOST_USER, "Message Specification", ROBUSTNESS)
def joined(bench: Bench) -> None:
    """Several messages in one segment are all carried out, in order."""
    control = bench.control()
    together = [Req.GET_FEATURES, Req.SET_OWNER, Req.GET_PROTOCOL_FEATURES, Req.GET_FEATURES]
    control.pieces([b"".join(Header(request, 1, 0).pack() for request in together)])
    for request in together:
        if request != Req.SET_OWNER:
            control.answered(request)


@checks.check("control.fds.unwanted", VHOST_USER, "Ancillary data", ROBUSTNESS)
def fds_unwanted(bench: Bench) -> None:
    """File descriptors on a request that carries none are closed, and the request is carried out or refused."""
    control = bench.control()
    reader, writer = os.pipe()
    try:
        control.message(Req.GET_FEATURES, fds=[writer] * 3)
        control.answered(Req.GET_FEATURES)
    finally:
        os.close(writer)
    _closed(bench, reader)


def _closed(bench: Bench, reader: int) -> None:
    """Raise Failed unless the pipe has no writer left; close the reader."""
    import select

    with open(reader, "rb"):
        ready = select.select([reader], [], [], bench.timeout_s)[0]
        expect(ready, "the descriptors closed", f"still open after {bench.timeout_s:g} s")
