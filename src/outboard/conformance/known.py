"""What well-known peers are known to do otherwise, so that a report can say whose footsteps a peer is in.

The rows were seen, not read: `tests/conformance` runs the kit against these programs and compares; those of rust-vmm's
back-end against a stand-in, `tests/peers/rust_like.py`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

C_7 = "QEMU 7.2 vhost-user-gpu"
C_10 = "QEMU 10 vhost-user-gpu"
RUST = "rust-vmm vhost-device-gpu"
RUST_VIRGLRENDERER = f"{RUST} in virglrenderer mode"
RUST_GFXSTREAM = f"{RUST} in gfxstream mode"


class Known(NamedTuple):
    """One known deviation: whose, in which check, and in words what it does."""

    peer: str
    check: str
    words: str


def deviations(peers: Sequence[str], rows: Iterable[tuple[str, str]]) -> tuple[Known, ...]:
    """Return a row for each peer and each (check id, words)."""
    return tuple(Known(peer, check, words) for check, words in rows for peer in peers)


def remark(known: Sequence[Known], check_id: str) -> str:
    """Return who else fails a check, and how, "as QEMU 7.2 vhost-user-gpu does: ...; as ...", or ""."""
    peers: dict[str, list[str]] = {}
    for row in known:
        if row.check == check_id:
            peers.setdefault(row.words, []).append(row.peer)
    parts = (f"as {' and '.join(who)} {'does' if len(who) == 1 else 'do'}: {words}" for words, who in peers.items())
    return "; ".join(parts)


BACK_ENDS: tuple[Known, ...] = (
    *deviations(
        [C_7, C_10],
        [
            ("control.features.legacy", "exits: it supports no legacy devices"),
            ("control.protocol_features.log", "offers LOG_SHMFD; its resources do not travel"),
            ("control.ack.failure", "ends instead of acknowledging a failure"),
            ("control.request.unknown", "exits at a request that it does not know"),
            ("control.request.unknown_silent", "exits at a request that it does not know"),
            ("control.request.zero", "takes request 0 for the end of the connection, and exits"),
            ("control.request.reset_device", "exits at a request that it does not know"),
            ("control.request.set_status", "exits at a request that it does not know"),
            ("control.request.get_status", "exits at a request that it does not know"),
            ("control.request.short", "does not check sizes of payloads"),
            ("control.fragmented.header", "takes what one read brings for the header"),
            ("control.fragmented.payload", "aborts: it expects the payload from one read"),
            ("control.fds.unwanted", "keeps descriptors open that it did not ask for"),
            ("control.config.scanouts", "leaves the config space to QEMU: num_scanouts is 0"),
            ("control.config.offset", "ignores the offset"),
            ("control.config.far", "ignores the offset"),
            ("memory.gone.backing", "keeps pointers into memory that was unmapped, and dies of SIGSEGV"),
            ("memory.across_regions", "refuses a buffer across two regions"),
            ("memory.hostile.more_fds", "does not compare the numbers of regions and descriptors"),
            ("memory.hostile.fewer_fds", "exits when it cannot map a region"),
            ("memory.hostile.nine", "exits when it cannot map a region"),
            ("memory.hostile.short", "exits when it cannot map a region"),
            ("memory.hostile.empty", "exits when it cannot map a region"),
            ("memory.hostile.beyond_file", "maps memory that its file does not have"),
            ("memory.hostile.add_beyond_file", "maps memory that its file does not have"),
            ("memory.hostile.wrapping", "does not check guest addresses"),
            ("memory.hostile.overlap", "does not check guest addresses"),
            ("memory.hostile.add_no_fd", "exits"),
            ("vring.index.num", "does not check the index"),
            ("vring.index.base", "does not check the index, and dies of SIGSEGV"),
            ("vring.index.get_base", "does not check the index, and dies of SIGSEGV"),
            ("vring.index.enable", "exits"),
            ("vring.index.addr", "exits"),
            ("vring.index.kick", "exits"),
            ("vring.index.call", "exits"),
            ("vring.index.err", "exits"),
            ("vring.num.zero", "does not check the size"),
            ("vring.num.odd", "does not check the size"),
            ("vring.num.huge", "does not check the size"),
            ("vring.enable.value", "takes any number for true"),
            ("vring.enable.disabled", "serves a ring that was started, enabled or not"),
            ("vring.addr.before_memory", "exits"),
            ("vring.call.none", "writes to descriptor -1, and exits"),
            ("vring.pending.stopped", "counts a command as taken that it never answers"),
            ("gpu.request.flags", "leaves what was in memory in the flags of UPDATE"),
            ("gpu.reply.pieces", "expects the payload from one read, and closes the socket"),
            ("gpu.reply.none", "waits for ever"),
            ("gpu.reply.short", "loses its place in the stream"),
            ("gpu.socket.replaced", "ignores a second socket"),
            ("gpu.socket.resumed_picture", "ignores a second socket"),
            ("gpu.socket.none.display_info", "never answers without a socket"),
            ("gpu.socket.eof.survived", "dies of SIGPIPE"),
            ("gpu.socket.eof.waiting", "does not see the end of the stream, and spins"),
            ("gpu.socket.full", "waits for the display, and serves nobody meanwhile"),
            ("gpu.socket.nonblocking", "does not go on after a short write: the frame is cut"),
            ("picture.scanout.full_update", "sends no picture with SCANOUT"),
            ("picture.scanout.partial_flush", "sends no picture with SCANOUT"),
            ("picture.scanout.unchanged", "repeats SCANOUT, and sends no picture with it"),
            ("picture.disable.empty_rect", "looks at the width only"),
            ("picture.update.origin", "sends coordinates of the framebuffer"),
            ("picture.outputs.side_by_side", "sends coordinates of the framebuffer"),
            ("picture.update.empty", "sends an UPDATE of 0x0"),
            ("picture.update.no_pixels", "sends an UPDATE of 0x0"),
            ("picture.format.a8r8g8b8", "sends pixels as the guest has them"),
            ("picture.format.x8r8g8b8", "sends pixels as the guest has them"),
            ("picture.format.r8g8b8a8", "sends pixels as the guest has them"),
            ("picture.format.x8b8g8r8", "sends pixels as the guest has them"),
            ("picture.format.a8b8g8r8", "sends pixels as the guest has them"),
            ("picture.format.r8g8b8x8", "sends pixels as the guest has them"),
            ("cursor.update.resource_0", "sends a transparent image"),
            ("cursor.update.scanout_id", "passes any output's number on"),
            ("cursor.response.ok", "writes no response to cursor commands"),
            ("command.create.zero_width", "creates it"),
            ("command.create.zero_height", "creates it"),
            ("command.create.overflow", "creates it, of a size modulo 64 bits"),
            ("command.transfer.beyond", "aborts"),
            ("command.transfer.far", "aborts"),
            ("command.short.none", "takes what is missing as it lies in memory"),
            ("command.short.header", "answers OK_NODATA, and does nothing"),
            ("command.short.body", "answers OK_NODATA, and does nothing"),
            ("transfer.new_is_black", "shows what was in memory before"),
            (
                "transfer.whole_width",
                "copies the whole picture when offset, x and y are 0 and the width is the resource's",
            ),
            ("queue.chain.zero_length", "exits at an empty buffer"),
            ("queue.error.too_many", "drops the ring without a word"),
            ("queue.broken.head", "exits at a malformed ring"),
            ("queue.broken.loop", "exits at a malformed ring"),
            ("queue.broken.self_loop", "exits at a malformed ring"),
            ("queue.broken.next", "exits at a malformed ring"),
            ("queue.broken.address", "exits at a malformed ring"),
            ("queue.broken.length", "exits at a malformed ring"),
            ("queue.broken.order", "exits at a malformed ring"),
            ("queue.broken.table_length", "exits at a malformed ring"),
            ("queue.broken.table_empty", "exits at a malformed ring"),
            ("queue.broken.table_next", "exits at a malformed ring"),
            ("queue.broken.table_loop", "exits at a malformed ring"),
            ("queue.broken.table_huge", "exits at a malformed ring"),
            ("queue.broken.cursor_alone", "exits at a malformed ring"),
            ("queue.broken.reset", "exits at a malformed ring"),
            ("queue.error.head", "exits at a malformed ring"),
            ("queue.error.loop", "exits at a malformed ring"),
            ("queue.error.address", "exits at a malformed ring"),
            ("life.resume.commands", "dies of SIGPIPE: it writes to the GPU socket that was closed"),
            ("life.resume.picture", "ignores the second GPU socket"),
            ("life.resume.flush", "dies of SIGPIPE: it writes to the GPU socket that was closed"),
            ("life.resume.cursor", "ignores the second GPU socket"),
            ("life.reset.resources", "keeps everything over a reset"),
            ("life.reset.without_request", "keeps everything over a reset"),
            ("life.reset.scanouts", "dies of SIGPIPE: it writes to the GPU socket that was closed"),
            ("life.reset.draws", "keeps everything over a reset"),
            ("life.end.mid_message", "dies of SIGPIPE: it answers a message that it has read half of"),
        ],
    ),
    *deviations(
        [C_10],
        [
            ("command.edid.output", "asks the display for any output's EDID, and QEMU does not answer that"),
            ("gpu.edid.not_offered", "exits when the display offers no EDID and the guest wants it"),
        ],
    ),
)
"""Deviations of back-ends."""

QEMU_7, QEMU_10 = "QEMU 7.2", "QEMU 10"
FRONT_ENDS = (
    *deviations(
        [QEMU_10],
        [
            ("front.edid.size", "`size` is always 1024, whatever the EDID has"),
            ("front.edid.every-output", "GET_EDID of an output beyond max_outputs is never answered"),
            ("front.hostile.scanout-64x0", "aborts: it cannot share a surface of no bytes"),
            ("front.hostile.scanout-65536", "aborts: it cannot share a surface of that size"),
        ],
    ),
    *deviations([QEMU_7], [("front.hostile.scanout-overflow", "aborts: it has no surface of that size")]),
    *deviations(
        [QEMU_7, QEMU_10],
        [
            ("front.fds.stray", "an fd stays open until another message brings one, and is taken for that one's"),
            ("front.hostile.update-first", "dies of SIGSEGV: there is no surface to paint on"),
            ("front.hostile.update-disabled", "dies of SIGSEGV: the surface to paint on is gone"),
            ("front.hostile.header-stalls", "reads a message to its end, and does nothing else meanwhile"),
            ("front.hostile.payload-stalls", "reads a message to its end, and does nothing else meanwhile"),
            ("front.control.drains", "waits for an answer, and does nothing else meanwhile"),
        ],
    ),
)
"""Deviations of front-ends."""

# Known from its sources, and seen on a script that behaves so: the program cannot be built where the tests run.
BACK_ENDS += (
    *deviations(
        [RUST],
        [
            ("control.request.unknown", "ends the connection at a request that it does not serve"),
            ("control.request.unknown_silent", "ends the connection at a request that it does not serve"),
            ("control.request.zero", "ends the connection at a request that it does not serve"),
            ("control.request.reset_device", "ends the connection at a request that it does not serve"),
            ("control.request.set_status", "ends the connection at a request that it does not serve"),
            ("control.request.get_status", "ends the connection at a request that it does not serve"),
            ("control.request.short", "ends the connection, and with it the process, at a payload of the wrong size"),
            ("control.fds.unwanted", "ends the connection at a descriptor that does not belong to its message"),
            ("control.config.offset", "ends the connection when offset and size leave 256 bytes"),
            ("control.config.far", "ends the connection when offset and size leave 256 bytes"),
            ("control.config.beyond", "says a failure by a header with length 0, not by no payload"),
            ("memory.hostile.more_fds", "acknowledges a failure, and ends the connection"),
            ("memory.hostile.fewer_fds", "acknowledges a failure, and ends the connection"),
            ("memory.hostile.nine", "acknowledges a failure, and ends the connection"),
            ("memory.hostile.short", "acknowledges a failure, and ends the connection"),
            ("memory.hostile.beyond_file", "acknowledges a failure, and ends the connection"),
            ("memory.hostile.wrapping", "acknowledges a failure, and ends the connection"),
            ("memory.hostile.empty", "acknowledges a failure, and ends the connection"),
            ("memory.hostile.overlap", "acknowledges a failure, and ends the connection"),
            ("vring.index.num", "acknowledges a failure, and ends the connection"),
            ("vring.index.base", "acknowledges a failure, and ends the connection"),
            ("vring.index.addr", "acknowledges a failure, and ends the connection"),
            ("vring.index.kick", "acknowledges a failure, and ends the connection"),
            ("vring.index.call", "acknowledges a failure, and ends the connection"),
            ("vring.index.err", "acknowledges a failure, and ends the connection"),
            ("vring.num.zero", "acknowledges a failure, and ends the connection"),
            ("vring.num.huge", "acknowledges a failure, and ends the connection"),
            ("vring.addr.before_memory", "acknowledges a failure, and ends the connection"),
            ("gpu.socket.none", "acknowledges a failure, and ends the connection"),
            ("gpu.socket.several", "acknowledges a failure, and ends the connection"),
            ("vring.index.enable", "ends the connection at SET_VRING_ENABLE before bit 30 was acknowledged"),
            ("vring.enable.value", "ends the connection at SET_VRING_ENABLE before bit 30 was acknowledged"),
            ("vring.num.odd", "keeps the size before, and says success"),
            ("vring.pending.stopped", "its queue thread waits for the display while the ring is stopped"),
            ("gpu.features.first", "sends neither GET nor SET_PROTOCOL_FEATURES"),
            ("gpu.features.set", "sends neither GET nor SET_PROTOCOL_FEATURES"),
            ("gpu.edid.not_offered", "sends GET_EDID whenever the guest asks, whatever the display offers"),
            ("gpu.reply.none", "waits for the display for ever"),
            ("gpu.socket.none.display_info", "its queue handler ends without a GPU socket"),
            ("cursor.update.resource_0", "UPDATE_CURSOR with resource 0 is an error, and nothing is sent"),
            ("cursor.update.scanout_id", "passes any scanout id of a cursor on"),
            ("command.create.id_0", "its libraries know one error, ERR_UNSPEC"),
            ("command.create.id_taken", "its libraries know one error, ERR_UNSPEC"),
            ("command.create.format", "its libraries know one error, ERR_UNSPEC"),
            ("command.create.zero_width", "its libraries know one error, ERR_UNSPEC"),
            ("command.create.zero_height", "its libraries know one error, ERR_UNSPEC"),
            ("command.create.huge", "its libraries know one error, ERR_UNSPEC"),
            ("command.create.overflow", "its libraries know one error, ERR_UNSPEC"),
            ("command.transfer.unknown", "its libraries know one error, ERR_UNSPEC"),
            ("command.transfer.outside", "its libraries know one error, ERR_UNSPEC"),
            ("command.transfer.wrapping", "its libraries know one error, ERR_UNSPEC"),
            ("command.transfer.beyond", "its libraries know one error, ERR_UNSPEC"),
            ("command.transfer.far", "its libraries know one error, ERR_UNSPEC"),
            ("command.transfer.unbacked", "its libraries know one error, ERR_UNSPEC"),
            ("command.attach.unknown", "its libraries know one error, ERR_UNSPEC"),
            ("command.transfer.empty", "refuses a transfer of no pixels"),
            ("command.short.none", "answers ERR_UNSPEC to what it cannot decode"),
            ("command.short.header", "answers ERR_UNSPEC to what it cannot decode"),
            ("command.short.body", "answers ERR_UNSPEC to what it cannot decode"),
            ("command.flush.outside", "does not look at the rectangle of a flush"),
            ("command.flush.wrapping", "does not look at the rectangle of a flush"),
            ("command.set_scanout.outside", "does not compare a scanout's rectangle with its resource"),
            ("command.set_scanout.wrapping", "does not compare a scanout's rectangle with its resource"),
            ("command.detach.unknown", "detaches what there is, if anything"),
            ("command.detach.unbacked", "detaches what there is, if anything"),
            ("command.edid.output", "asks the display for any output's EDID"),
            ("command.room.short", "its queue handler ends when a response does not fit"),
            ("queue.out_of_wait", "has one thread for both queues, which waits for the display"),
            ("queue.interrupt.flag", "interrupts for every batch, wanted or not"),
            ("queue.interrupt.event_idx", "interrupts for every batch, wanted or not"),
            ("queue.error.head", "never writes the error eventfd"),
            ("queue.error.too_many", "never writes the error eventfd"),
            ("queue.error.loop", "never writes the error eventfd"),
            ("queue.error.address", "never writes the error eventfd"),
            ("queue.broken.cursor_alone", "has one thread for both queues, which ends at a malformed one"),
            ("queue.broken.reset", "has one thread for both queues, which ends at a malformed one"),
            ("life.reset.resources", "keeps everything over a reset"),
            ("life.reset.without_request", "keeps everything over a reset"),
            ("gpu.socket.replaced", "goes on with the first GPU socket for ever"),
            ("life.resume.commands", "goes on with the first GPU socket for ever"),
            ("life.resume.picture", "goes on with the first GPU socket for ever"),
            ("life.resume.flush", "goes on with the first GPU socket for ever"),
            ("life.resume.cursor", "goes on with the first GPU socket for ever"),
            ("life.reset.scanouts", "goes on with the first GPU socket for ever"),
            ("life.reset.draws", "goes on with the first GPU socket for ever"),
            ("gpu.socket.nonblocking", "does not wait for a socket that is full"),
        ],
    ),
    *deviations(
        [RUST_GFXSTREAM],
        [
            ("transfer.id_reused", "refuses to destroy what an output shows, and forgets half of it"),
            ("gpu.socket.resumed_picture", "goes on with the first GPU socket for ever"),
            ("picture.scanout.before_update", "a disabled output stays associated with its resource, and is updated"),
            ("picture.disable.zero", "a disabled output stays associated with its resource, and is updated"),
            ("command.response.size", "a disabled output stays associated with its resource, and is updated"),
            ("picture.disable.empty_rect", "passes a rectangle without area on"),
            ("picture.update.origin", "sends the whole resource at 0,0, whatever is shown of it"),
            ("picture.update.clipped", "sends the whole resource at 0,0, whatever is shown of it"),
            ("picture.outputs.side_by_side", "sends the whole resource at 0,0, whatever is shown of it"),
            ("picture.update.empty", "sends the whole resource, whatever is flushed"),
            ("picture.update.no_pixels", "sends the whole resource, whatever is flushed"),
            ("picture.format.a8r8g8b8", "sends pixels in the resource's format"),
            ("picture.format.x8r8g8b8", "sends pixels in the resource's format"),
            ("picture.format.r8g8b8a8", "sends pixels in the resource's format"),
            ("picture.format.x8b8g8r8", "sends pixels in the resource's format"),
            ("picture.format.a8b8g8r8", "sends pixels in the resource's format"),
            ("picture.format.r8g8b8x8", "sends pixels in the resource's format"),
            ("command.set_scanout.id", "dies of an output that it does not have"),
            ("command.set_scanout.far_id", "dies of an output that it does not have"),
        ],
    ),
    *deviations(
        [RUST_VIRGLRENDERER],
        [
            ("command.fence.echoed", "a fence of more than 32 bits never completes"),
            ("command.fence.error", "a fence of more than 32 bits never completes"),
            ("command.fence.context", "a fence of more than 32 bits never completes"),
            ("gpu.display_info.fence", "a fence of more than 32 bits never completes"),
            ("gpu.dmabuf.update_rectangle", "sends the whole resource's size, whatever is flushed"),
        ],
    ),
)
