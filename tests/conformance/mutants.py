"""Back-ends that are broken on purpose, each by one fault: what the conformance kit is itself checked with.

python -m tests.conformance.mutants NAME (--socket PATH | --fd N)

A mutant is this package's back-end with some text of its sources replaced, always in the plain form: the edits are made
when the modules are imported, and nothing else differs. NAME "sound" is the back-end as it is. The faults are those
that readers of the documents have made or are likely to make.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

SOUND = "sound"


class Edit(NamedTuple):
    """One replacement in one module; `before` occurs there exactly once."""

    module: str
    before: str
    after: str


class Mutant(NamedTuple):
    """One fault. caught_by: the checks that must fail on it, each of which names it."""

    name: str
    fault: str
    caught_by: tuple[str, ...]
    edits: tuple[Edit, ...]


def sources() -> Path:
    """Return the folder of the package's sources."""
    found = importlib.util.find_spec("outboard")
    assert found and found.origin
    return Path(found.origin).parent


def edited(text: str, edits: Sequence[Edit]) -> str:
    """Apply edits. Raises LookupError when a text that is to be replaced is not there, or more than once."""
    for edit in edits:
        if text.count(edit.before) != 1:
            raise LookupError(f"{edit.module}: {text.count(edit.before)} times {edit.before!r}")
        text = text.replace(edit.before, edit.after)
    return text


def insist(edits: Sequence[Edit]) -> None:
    """Import outboard as plain Python from now on, with these edits."""
    root = sources()

    class Loader(SourceFileLoader):
        def get_code(self, fullname: str) -> CodeType | None:
            mine = [edit for edit in edits if f"outboard.{edit.module}" == fullname]
            if not mine:
                return super().get_code(fullname)
            text = edited(Path(self.path).read_text(encoding="utf-8"), mine)
            code: CodeType = self.source_to_code(text.encode(), self.path)  # never from a cache, never into one
            return code

    below: Callable[[str], FileFinder] = FileFinder.path_hook((Loader, SOURCE_SUFFIXES))  # type: ignore[assignment]

    def hook(path: str) -> FileFinder:
        if not Path(path).is_relative_to(root):
            raise ImportError(path)
        return below(path)

    for name in [name for name in sys.modules if name.partition(".")[0] == "outboard"]:
        del sys.modules[name]
    sys.path_hooks.insert(0, hook)  # type: ignore[arg-type]
    sys.path_importer_cache.clear()


MUTANTS: dict[str, Mutant] = {}


def _mutant(name: str, fault: str, caught_by: str, *edits: tuple[str, str, str]) -> None:
    assert name not in MUTANTS and name != SOUND, name
    MUTANTS[name] = Mutant(name, fault, tuple(caught_by.split()), tuple(Edit(*edit) for edit in edits))


# Pictures on the GPU socket

SCANOUTS, SENDER, STATE = "gpu.scanouts", "vhost_user.display_sender", "gpu.state"

_mutant(
    "display_size_as_scanout",
    "SCANOUT carries the display's size, not the rectangle's.",
    "picture.scanout.sent",
    (SCANOUTS, "id, rect.width, rect.height)", "id, *gpu.displays._sizes[0])"),
)
_mutant(
    "resource_coordinates",
    "UPDATE is placed by the resource's coordinates, not by the scanout's.",
    "picture.update.origin",
    (
        SENDER,
        "        size = self._head(scanout_id, x, y, width, height)\n        surface",
        "        size = self._head(scanout_id, x + surface.x, y + surface.y, width, height)\n        surface",
    ),
    (
        SENDER,
        "        self._due = self._head(scanout_id, x, y, width, height)",
        "        self._due = self._head(scanout_id, x + surface.x, y + surface.y, width, height)",
    ),
)
_mutant(
    "unclipped_update",
    "UPDATE is not cut to the scanout's right and lower edges.",
    "picture.update.clipped",
    (SCANOUTS, "min(x + width, scanout.x + scanout.width)", "x + width"),
    (SCANOUTS, "min(y + height, scanout.y + scanout.height)", "y + height"),
)
_mutant(
    "empty_update",
    "A flush beside the scanout is sent as an UPDATE of 0x0.",
    "picture.update.empty",
    (
        SCANOUTS,
        "    elif left < right and top < bottom and _readable(gpu, scanout):\n",
        "    elif left >= right or top >= bottom:\n        gpu.output.update(scanout.scanout_id, scanout, 0, 0, 0, 0)\n"
        "    elif _readable(gpu, scanout):\n",
    ),
)
_mutant(
    "format_not_converted",
    "Pixels travel in the resource's format.",
    "picture.format.r8g8b8a8 picture.format.x8r8g8b8",
    ("gpu.resources", "request.width, request.height, order)", "request.width, request.height, pixels.AS_IS)"),
)
_mutant(
    "one_format_by_word",
    "R8G8B8X8 is read as the word of that name, whose bytes are the other way round.",
    "picture.format.r8g8b8x8",
    ("gpu.pixels", "Format.R8G8B8X8: (2, 1, 0, 3)", "Format.R8G8B8X8: (1, 2, 3, 0)"),
)
_mutant(
    "first_output_only",
    "A flush is shown on the first output that shows the resource.",
    "picture.outputs.mirror_flush",
    (
        SCANOUTS,
        "            _show(gpu, scanout, x, y, width, height)\n",
        "            _show(gpu, scanout, x, y, width, height)\n            break\n",
    ),
)
_mutant(
    "update_size_without_rectangle",
    "UPDATE's size counts the pixels only.",
    "gpu.request.update_size",
    (SENDER, "words[at + 2] = UPDATE_HEAD - HEADER + size", "words[at + 2] = size"),
)
_mutant(
    "header_counted",
    "A message's size counts its header.",
    "gpu.request.sizes",
    (SENDER, "Header(req, 0, len(payload))", "Header(req, 0, HEADER + len(payload))"),
)
_mutant(
    "garbage_flags",
    "Requests carry the reply flag and more.",
    "gpu.request.flags",
    (SENDER, "Header(req, 0, len(payload))", "Header(req, 0x557A0005, len(payload))"),
)
_mutant(
    "no_picture_after_scanout",
    "SCANOUT is not followed by the whole picture.",
    "picture.scanout.full_update",
    (SCANOUTS, "    gpu.stale |= 1 << scanout.scanout_id\n", ""),
)
_mutant(
    "scanout_only_when_enabled",
    "A scanout that changes its size sends no SCANOUT.",
    "picture.scanout.sent",
    (SCANOUTS, "if (scanout.width, scanout.height) != (rect.width, rect.height):", "if not scanout.width:"),
)
_mutant(
    "disable_one_side",
    "A scanout is disabled by a width of 0 and a height that is not.",
    "picture.disable.zero",
    (SCANOUTS, "(scanout.scanout_id, 0, 0)\n", "(scanout.scanout_id, 0, scanout.height)\n"),
)
_mutant(
    "disable_not_sent",
    "Disabling a scanout sends nothing.",
    "picture.disable.zero",
    (SCANOUTS, "        gpu.output.scanout(scanout.scanout_id, 0, 0)\n", ""),
)
_mutant(
    "update_after_disable",
    "A disabled scanout keeps its resource, and flushes of it are sent.",
    "picture.disable.zero picture.scanout.before_update",
    (SCANOUTS, "        scanout.disable()\n", "        scanout.off = True\n"),
)
_mutant(
    "backing_read_at_flush",
    "A flush reads the guest's memory, though the driver may have reused it since the transfer.",
    "transfer.only_then",
    (
        SCANOUTS,
        "    if width == 0 or height == 0:\n        return OK\n    for",
        "    if resource.backing is not None and resource.backing.total >= resource.stride * resource.height:\n"
        "        resource.transfer(0, 0, 0, resource.width, resource.height)\n"
        "        resource.catch_up(resource.height)\n    for",
    ),
)
_mutant(
    "blocks_on_a_full_socket",
    "Writing to a full GPU socket blocks, and the control socket is not served.",
    "gpu.socket.full",
    (
        "backend.display_link",
        "                written = sockets.send(self._socket, parts, fds)\n",
        "                self._socket.setblocking(True)\n                written = self._socket.sendmsg(parts)\n"
        "                self._socket.setblocking(False)\n",
    ),
)

# Cursor

CURSOR = "gpu.cursor"

_mutant(
    "cursor_alpha_forced",
    "The cursor is opaque, because its format says X.",
    "cursor.update.b8g8r8x8",
    (
        CURSOR,
        "bytes(resource.buffer)",
        "b''.join(bytes(resource.buffer[i : i + 3]) + b'\\xff' for i in range(0, 16384, 4))",
    ),
)
_mutant(
    "cursor_rgba",
    "The cursor's bytes are R, G, B, A.",
    "cursor.update.b8g8r8a8",
    (
        CURSOR,
        "        return bytes(resource.buffer)\n",
        "        image = bytearray(resource.buffer)\n        image[0::4], image[2::4] = image[2::4], image[0::4]\n"
        "        return bytes(image)\n",
    ),
)
_mutant(
    "cursor_clamped",
    "Positions left of and above the output become 0.",
    "cursor.move.negative",
    (
        CURSOR,
        "cursor.x, cursor.y = pos.x, pos.y",
        "cursor.x, cursor.y = (v if v < 1 << 31 else 0 for v in (pos.x, pos.y))",
    ),
    (CURSOR, "(pos.scanout_id, pos.x, pos.y, cursor.hot_x", "(pos.scanout_id, cursor.x, cursor.y, cursor.hot_x"),
    (CURSOR, "cursor.x = words[X]", "cursor.x = words[X] if words[X] < 1 << 31 else 0"),
    (CURSOR, "cursor.y = words[Y]", "cursor.y = words[Y] if words[Y] < 1 << 31 else 0"),
)
_mutant(
    "hide_not_forwarded",
    "UPDATE_CURSOR of resource 0 is not passed on.",
    "cursor.update.resource_0",
    (
        CURSOR,
        "        gpu.output.cursor_pos_hide(pos.scanout_id, pos.x, pos.y)\n        return OK\n",
        "        return OK\n",
    ),
)
_mutant(
    "hot_spot_dropped",
    "The hot spot is always 0, 0.",
    "cursor.update.fields",
    (CURSOR, "cursor.hot_x, cursor.hot_y = request.hot_x, request.hot_y", "cursor.hot_x, cursor.hot_y = 0, 0"),
)
_mutant(
    "move_sends_the_image",
    "MOVE_CURSOR sends image and all.",
    "cursor.move.position",
    (
        CURSOR,
        "        gpu.output.cursor_pos(scanout_id, cursor.x, cursor.y)\n",
        "        gpu.output.cursor_update(scanout_id, cursor.x, cursor.y, 0, 0, cursor.image or TRANSPARENT)\n",
    ),
)

# Questions to the display

DISPLAYS = "backend.displays"

_mutant(
    "edid_unasked",
    "GET_EDID is sent although the front-end did not offer it.",
    "gpu.edid.not_offered",
    (DISPLAYS, "elif sender.features & ProtocolFeature.EDID and not", "elif not"),
)
_mutant(
    "edid_of_the_first",
    "The EDID of output 0 is given for all outputs.",
    "gpu.edid.output",
    (DISPLAYS, "sender.edid(self._scanout_id)", "sender.edid(0)"),
)
_mutant(
    "display_features_by_bit_number",
    "The display's feature bits are their numbers, 0 and 1, used as masks.",
    "gpu.edid.output",
    ("spec.vhost_user_gpu", "EDID = 1 << 0", "EDID = 0"),
    ("spec.vhost_user_gpu", "DMABUF2 = 1 << 1", "DMABUF2 = 1"),
)
_mutant(
    "display_features_not_set",
    "SET_PROTOCOL_FEATURES is never sent.",
    "gpu.features.set",
    (SENDER, "        self._message(Req.SET_PROTOCOL_FEATURES, U64(self.features).pack())\n", ""),
)
_mutant(
    "display_features_unoffered",
    "SET_PROTOCOL_FEATURES acknowledges what was not offered.",
    "gpu.features.mask_0",
    (SENDER, "U64(self.features).pack())", "U64(3).pack())"),
)
_mutant(
    "display_info_own",
    "GET_DISPLAY_INFO is answered without asking the front-end.",
    "gpu.display_info.forwarded",
    (DISPLAYS, "        self._ask(Req.GET_DISPLAY_INFO)\n        return None\n", "        return self._own()\n"),
)
_mutant(
    "display_info_header_twice",
    "The front-end's answer is put behind a header, although it brings one.",
    "gpu.display_info.forwarded",
    (DISPLAYS, "        self._informed = True\n        return payload[CtrlHdr.sizeof :]", "        return payload"),
)
_mutant(
    "display_info_without_end",
    "A display that is silent is waited for for ever.",
    "gpu.reply.none",
    (DISPLAYS, "PATIENCE_S = 3.0", "PATIENCE_S = 3000.0"),
)

# Life of the GPU socket

_mutant(
    "second_display_ignored",
    "Only the first GPU_SET_SOCKET counts.",
    "gpu.socket.replaced",
    (
        "backend.device",
        "        self.drop_display()\n        if fd is not None:\n",
        "        if hasattr(self, 'shown'):\n            __import__('os').close(fd or -1)\n            return\n"
        "        self.shown = True\n        self.drop_display()\n        if fd is not None:\n",
    ),
)
_mutant(
    "dies_with_the_display",
    "The end of the GPU socket is the end of the process.",
    "gpu.socket.eof.idle",
    ("backend.display_link", 'self._lose("closed by the front-end")', '__import__("os")._exit(1)'),
)
_mutant(
    "not_announced_again",
    "A new display is not told what is shown.",
    "gpu.socket.resumed_picture",
    ("backend.device", "            announce(self.gpu, self.sender)\n", ""),
)

# Control socket

CONTROL, SESSION, DEVICE = "backend.control", "vhost_user.backend", "backend.device"
REPLY = "Header(request.number, VERSION | FLAG_REPLY, len(body))"

_mutant(
    "reply_flags_1",
    "A reply's flags are 1: the reply bit is missing.",
    "control.reply.flags",
    (SESSION, REPLY, "Header(request.number, VERSION, len(body))"),
)
_mutant(
    "reply_flags_4",
    "A reply's flags are 4: the version is missing.",
    "control.reply.flags",
    (SESSION, REPLY, "Header(request.number, FLAG_REPLY, len(body))"),
)
_mutant(
    "reply_flags_echoed",
    "A reply repeats the request's need_reply bit.",
    "control.ack.success",
    (SESSION, REPLY, "Header(request.number, request.frame.flags | FLAG_REPLY, len(body))"),
)
_mutant(
    "ack_unasked",
    "Every request is acknowledged, whether it asks for that or not.",
    "control.ack.unasked",
    (SESSION, "if not (request.need_reply and self.protocol", "if not (self.protocol"),
)
_mutant(
    "ack_missing",
    "No request is acknowledged.",
    "control.ack.success",
    (SESSION, "        return self.reply(request, U64(0 if ok else 1))", '        return b""'),
)
_mutant(
    "ack_inverted",
    "An acknowledgement of 1 means success.",
    "control.ack.success",
    (SESSION, "U64(0 if ok else 1)", "U64(1 if ok else 0)"),
)
_mutant(
    "failure_acknowledged",
    "A request that failed is acknowledged as a success.",
    "control.ack.failure",
    (SESSION, "U64(0 if ok else 1)", "U64(0)"),
)
_mutant(
    "unknown_request_ends",
    "A request that is not known ends the connection.",
    "control.request.unknown_silent",
    (
        CONTROL,
        "            return Reply(session.acknowledge(request, False), [])\n        answer",
        '            raise ProtocolError(request.name, "a known request", "another")\n        answer',
    ),
)
_mutant(
    "fragments_refused",
    "A message must come in one piece.",
    "control.fragmented.header control.fragmented.payload",
    (
        "backend.server",
        "            data, fds = received\n",
        "            data, fds = received\n            if 0 < len(data) < self._session.wanted:\n"
        '                return self.close("half a message")\n',
    ),
)
_mutant(
    "feature_bit_number",
    "The number of the feature bit 30 is offered as its mask.",
    "control.features.protocol",
    (DEVICE, "OFFERED = (\n    F_PROTOCOL_FEATURES\n", "OFFERED = (\n    30\n"),
)
_mutant(
    "ring_reset_refused",
    "SET_FEATURES with a bit that was not offered is refused, which QEMU sends.",
    "control.features.ring_reset",
    (CONTROL, "if features & Feature.RING_PACKED:", "if features & ~device.offered:"),
)
_mutant(
    "log_shmfd_offered",
    "LOG_SHMFD is offered, so that a VM migrates and its pictures are lost.",
    "control.protocol_features.log",
    (DEVICE, "    | ProtocolFeature.CONFIG\n", "    | ProtocolFeature.CONFIG\n    | ProtocolFeature.LOG_SHMFD\n"),
)
_mutant(
    "config_not_offered",
    "CONFIG is not offered.",
    "control.protocol_features.config",
    (DEVICE, "    | ProtocolFeature.CONFIG\n", ""),
)
_mutant(
    "queue_num_1",
    "GET_QUEUE_NUM says 1: the cursor queue is forgotten.",
    "control.queue_num",
    (CONTROL, "Answer(U64(len(device.rings)))", "Answer(U64(1))"),
)
_mutant(
    "config_offset_ignored",
    "GET_CONFIG answers from the start of the config space whatever the offset.",
    "control.config.offset",
    (CONTROL, "device.config()[payload.offset : payload.offset + payload.length]", "device.config()[: payload.length]"),
)
_mutant(
    "config_size_wrong",
    "GET_CONFIG's reply holds more than was asked for.",
    "control.config.size",
    (CONTROL, "return Answer(payload, data)", "return Answer(payload, data + bytes(4))"),
)
_mutant(
    "config_without_outputs",
    "The config space says that there are no outputs.",
    "control.config.scanouts",
    (DEVICE, "virtio_gpu.Config(num_scanouts=self.gpu.num_scanouts)", "virtio_gpu.Config()"),
)

# Memory and rings, as the control socket sets them up

RING = "backend.rings"

_mutant(
    "mmap_offset_ignored",
    "Every region is mapped from the start of its file.",
    "memory.table.regions memory.slots.regions",
    (CONTROL, "map_shared(fd, region.mmap_offset, region.memory_size)", "map_shared(fd, 0, region.memory_size)"),
)
_mutant(
    "guest_address_for_user_address",
    "Ring addresses are looked up as guest addresses.",
    "vring.addr.user",
    ("guest.memory", "if region.user_addr <= user_addr:", "if region.guest_addr <= user_addr:"),
    ("guest.memory", "offset = user_addr - region.user_addr", "offset = user_addr - region.guest_addr"),
)
_mutant(
    "one_region_only",
    "ADD_MEM_REG takes the place of all regions before.",
    "memory.slots.regions",
    (
        CONTROL,
        "device.memory.add(_map(request, payload.region, request.frame.fds.pop(0)))",
        "device.memory.replace([_map(request, payload.region, request.frame.fds.pop(0))])",
    ),
)
_mutant(
    "ring_index_off_by_one",
    "Rings are counted from 1.",
    "vring.index.control",
    (CONTROL, "    return device.rings[index]\n", "    return device.rings[index - 1]\n"),
)
_mutant(
    "used_and_available_swapped",
    "SET_VRING_ADDR's used and available rings are taken in the order of the ring, not of the message.",
    "vring.addr.order",
    (RING, "addr.descriptor, addr.available, addr.used)", "addr.descriptor, addr.used, addr.available)"),
)
_mutant(
    "base_forgotten",
    "GET_VRING_BASE always answers 0.",
    "vring.base.value",
    (RING, "return self.base if self.base is not None else self.queue.last_avail", "return 0"),
)
_mutant(
    "base_ignored",
    "SET_VRING_BASE is ignored: a ring begins at 0.",
    "life.resume.many",
    (RING, "start(self.queue.last_avail if self.base is None else self.base)", "start(0)"),
)
_mutant(
    "disabled_ring_runs",
    "A ring runs once it has a kick fd, enabled or not.",
    "vring.enable.disabled",
    (RING, "return self.kick is not None and self.enabled", "return self.kick is not None"),
)
_mutant(
    "first_call_fd",
    "A new call fd is ignored while there is one.",
    "vring.call.replaced",
    (
        RING,
        "        if self.call is not None:\n            self.call.close()\n",
        "        if self.call is not None and fd is not None:\n            return os.close(fd)\n",
    ),
)
_mutant(
    "reset_keeps_resources",
    "A reset leaves the guest's resources.",
    "life.reset.resources",
    (DEVICE, "                self._blank_mirror()\n                self.gpu.reset()\n", "                pass\n"),
)
_mutant(
    "resume_forgets",
    "Stopping and going on loses the guest's resources.",
    "life.resume.picture",
    (DEVICE, "fresh = self.suspended and self._fresh()", "fresh = self.suspended"),
)

# Virtqueues

QUEUE = "virtio.split_queue"

_mutant(
    "event_idx_never_interrupts",
    "With EVENT_IDX negotiated, used_event is never looked at and nobody is interrupted.",
    "queue.interrupt.used_event",
    (
        QUEUE,
        "        if self.interrupt_next:\n",
        "        if self.event_idx:\n            return False\n        if self.interrupt_next:\n",
    ),
)
_mutant(
    "used_event_off_by_one",
    "used_event is taken for the count at which the interrupt is wanted.",
    "queue.interrupt.used_event",
    (QUEUE, "(new - used_event - 1) & 0xFFFF", "(new - used_event) & 0xFFFF"),
)
_mutant(
    "interrupt_flag_ignored",
    "The driver's wish for no interrupt is ignored.",
    "queue.interrupt.flag",
    (QUEUE, "return not self.avail16[0] & NO_INTERRUPT", "return True"),
)
_mutant(
    "avail_event_not_written",
    "avail_event stays 0, so that the driver stops kicking.",
    "queue.kick.after_pause",
    (QUEUE, "            atomics.store_release(self.used16, 2 + 4 * self.size, self.last_avail)\n", ""),
)
_mutant(
    "used_length_0",
    "The used length is 0 although a response was written.",
    "command.response.size",
    (
        "gpu.command_loop",
        "self.queue.add_used(self.head, self.queue.write(self.response, length))",
        "self.queue.add_used(self.head, self.queue.write(self.response, length) * 0)",
    ),
)
_mutant(
    "used_length_of_chain",
    "The used length counts the request as well.",
    "command.response.size",
    (
        "gpu.command_loop",
        "self.queue.add_used(self.head, self.queue.write(self.response, length))",
        "self.queue.add_used(self.head, self.queue.write(self.response, length) + self.queue.readable_bytes)",
    ),
)
_mutant(
    "indirect_refused",
    "Indirect tables are not supported, although QEMU offers them for every back-end.",
    "queue.indirect.all",
    (QUEUE, "if indirect or flags & NEXT:", "if True:"),
)
_mutant(
    "indirect_as_long_as_the_ring",
    "An indirect table may have no more entries than the ring.",
    "queue.indirect.longer_than_ring",
    (QUEUE, "length > DESC_SIZE * _MAX_SEGMENTS", "length > DESC_SIZE * self.size"),
)
_mutant(
    "zero_length_refused",
    "A descriptor of length 0 breaks the ring.",
    "queue.chain.zero_length",
    (
        QUEUE,
        "        wraps = length and",
        '        if not length:\n            self.fail("an empty descriptor")\n            return False\n'
        "        wraps = length and",
    ),
)
_mutant(
    "split_request_misread",
    "The request is looked for in the first descriptor only.",
    "queue.chain.single_bytes",
    (QUEUE, "for at in range(self.readable):", "for at in range(min(1, self.readable)):"),
)
_mutant(
    "split_response_cut",
    "The response is written to the first descriptor only.",
    "queue.chain.full",
    (
        QUEUE,
        "for at in range(self.readable, self.segments):",
        "for at in range(self.readable, min(self.readable + 1, self.segments)):",
    ),
)
_mutant(
    "bad_head_kills",
    "A head that the ring does not have ends the process.",
    "queue.broken.head",
    (
        QUEUE,
        "return self.blame(HEAD, head, self.size)",
        'raise SystemExit("assertion failed: head < size")',
    ),
)
_mutant(
    "loop_kills",
    "A chain that is a loop ends the process.",
    "queue.broken.loop",
    (QUEUE, "self.blame(LOOP, limit, 0)", 'raise SystemExit("too many descriptors")'),
)

# Commands

LOOP, RESOURCES = "gpu.command_loop", "gpu.resources"

_mutant(
    "one_error_for_all",
    "Every error is ERR_UNSPEC.",
    "command.unref.unknown command.set_scanout.id",
    (LOOP, "response[0] = code", "response[0] = UNSPEC if code >= FIRST_ERROR else code"),
)
_mutant(
    "error_unanswered",
    "A command that fails is never answered.",
    "command.unref.unknown",
    (
        LOOP,
        "        words = self.command.words\n        response = ",
        "        if code >= FIRST_ERROR:\n            return\n        words = self.command.words\n        response = ",
    ),
)
_mutant(
    "fence_not_echoed",
    "The response does not repeat the fence.",
    "command.fence.echoed",
    (LOOP, "fenced = words[1] & FENCE", "fenced = 0"),
)
_mutant(
    "fence_of_32_bits",
    "A fence id is cut to 32 bits.",
    "command.fence.echoed",
    (LOOP, "response[3] = words[3] if fenced else 0", "response[3] = 0"),
)
_mutant(
    "fence_unasked",
    "The fence fields are repeated although no fence was asked for.",
    "command.response.clean",
    (LOOP, "fenced = words[1] & FENCE", "fenced = 1"),
)
_mutant(
    "create_replaces",
    "A resource is created in place of one that has its id.",
    "command.create.id_taken",
    (
        RESOURCES,
        "in gpu.resources:\n        return INVALID_RESOURCE_ID\n    order",
        "in ():\n        return INVALID_RESOURCE_ID\n    order",
    ),
)
_mutant(
    "set_scanout_unchecked",
    "A scanout's rectangle may leave its resource.",
    "command.set_scanout.outside",
    (
        SCANOUTS,
        "if resource.blob_size or _outside(request.r, resource.width, resource.height):",
        "if resource.blob_size:",
    ),
)
_mutant(
    "flush_unchecked",
    "A flush's rectangle may leave its resource.",
    "command.flush.outside",
    (
        SCANOUTS,
        "if not resource.blob_size and (x + width > resource.width or y + height > resource.height):",
        "if False:",
    ),
)
_mutant(
    "transfer_offset_ignored",
    "TRANSFER_TO_HOST_2D reads from the start of the backing.",
    "transfer.offset",
    (RESOURCES, "at = command.longs[TRANSFER_OFFSET]", "at = 0"),
)
_mutant(
    "transfer_offset_of_the_image",
    "TRANSFER_TO_HOST_2D adds the rectangle's place to the offset, which has it already.",
    "transfer.offset",
    (
        RESOURCES,
        "at = command.longs[TRANSFER_OFFSET]",
        "at = command.longs[TRANSFER_OFFSET] + resource.stride * y + 4 * x",
    ),
)
_mutant(
    "stride_of_the_rectangle",
    "TRANSFER_TO_HOST_2D steps by the rectangle's width, not by the resource's.",
    "transfer.rectangle",
    (STATE, "self.backing.read_rows(at, self.stride, self.pixels", "self.backing.read_rows(at, 4 * width, self.pixels"),
)
_mutant(
    "detach_drops_the_pixels",
    "RESOURCE_DETACH_BACKING drops the resource's pixels.",
    "transfer.after_detach",
    (
        RESOURCES,
        "    resource.backing = None\n",
        "    resource.backing = None\n    resource.buffer[:] = bytes(len(resource.buffer))\n",
    ),
)
_mutant(
    "unref_leaves_the_scanout",
    "RESOURCE_UNREF leaves the outputs on that show the resource.",
    "picture.disable.unref",
    (
        RESOURCES,
        "        if scanout.resource is resource:\n            disable(gpu, scanout)\n    gpu.hostmem -= resource",
        "        pass\n    gpu.hostmem -= resource",
    ),
)


def main() -> int:
    """Serve a mutant; return the exit status."""
    parser = argparse.ArgumentParser(prog="mutants")
    parser.add_argument("name", choices=[SOUND, *MUTANTS], metavar="NAME")
    parser.add_argument("--socket")
    parser.add_argument("--fd")
    options = parser.parse_args()
    insist(MUTANTS[options.name].edits if options.name != SOUND else ())
    from outboard.cli.main import vhost_user_gpu

    return vhost_user_gpu(["--socket-path", options.socket] if options.socket else ["--fd", options.fd])


if __name__ == "__main__":
    sys.exit(main())
