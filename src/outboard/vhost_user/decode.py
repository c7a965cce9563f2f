"""Messages in words: what goes by on the control socket, the back-end's channel and the GPU socket.

Source: QEMU docs/interop/vhost-user and docs/interop/vhost-user-gpu. Nothing here raises: a payload that is short, long
or odd is decoded as far as it goes, and the summary says so.

Names, sizes and fields come from the declarations in `outboard.spec`, the words from `outboard.vhost_user.meanings`.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple, get_type_hints

from outboard.layout import Array, Bytes, Layout, Scalar
from outboard.layout.structs import Row
from outboard.spec import vhost_user, vhost_user_gpu
from outboard.spec.vhost_user import BackendReq, Req
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL
from outboard.vhost_user.meanings import (
    BACKEND_SAID,
    CONTROL_SAID,
    DECIMAL,
    DISPLAY_SAID,
    HEX,
    ITEMS,
    MEANINGS,
    Meaning,
    Said,
    Tail,
)

BYTES_SHOWN = 64
"""Bytes that are written as digits; more of them are a length and a checksum."""
ITEMS_SHOWN = 512
"""Items of a list that a message may bring as its tail."""


class Decoded(NamedTuple):
    """One message. summary: one line; fields: all of it, dotted names; known: whether a document has the request."""

    name: str
    summary: str
    fields: tuple[tuple[str, str], ...]
    known: bool


class Shape(NamedTuple):
    """A message of one direction: what the declarations say of it, and what is told of it.

    refusable: without a payload it is a refusal.
    """

    payload: type[Layout] | None = None
    fds: tuple[int, int] = (0, 0)
    tail: Tail | None = None
    told: str = ""
    value: Meaning = HEX
    refusable: bool = False


class Channel(NamedTuple):
    """A socket: its requests and replies by number. Flags that are not among those listed are told; None: any."""

    prefix: str
    numbers: type[IntEnum]
    requests: dict[int, Shape]
    replies: dict[int, Shape]
    request_flags: frozenset[int] | None
    reply_flags: frozenset[int]

    def name(self, request: int) -> str:
        """Return the document's name of a request."""
        return self.prefix + self.numbers(request).name


ACK = Shape(vhost_user.U64, told="{ack}")
EMPTY = Shape(told="done")


def _control_channel(prefix: str, numbers: type[IntEnum], rows: Mapping[int, Any], said: dict[int, Said]) -> Channel:
    requests, replies = {}, {}
    for number, row in rows.items():
        words = said.get(number, Said())
        tail = words.tail if row.tail else None
        request_tail, reply_tail = (tail if row.payload or not row.reply else None), (tail if row.reply else None)
        requests[int(number)] = Shape(row.payload, row.fds, request_tail, words.request, words.value)
        answer = Shape(row.reply, (0, vhost_user.MAX_FDS), reply_tail, words.reply, words.value, True)
        replies[int(number)] = answer if row.reply else ACK
    sent = frozenset({vhost_user.VERSION, vhost_user.VERSION | vhost_user.FLAG_NEED_REPLY})
    return Channel(prefix, numbers, requests, replies, sent, frozenset({vhost_user.VERSION | vhost_user.FLAG_REPLY}))


def _display_channel() -> Channel:
    requests, replies = {}, {}
    for number, row in vhost_user_gpu.REQUESTS.items():
        words = DISPLAY_SAID[number]
        requests[int(number)] = Shape(
            row.payload, row.fds, words.tail if row.pixels else None, words.request, words.value
        )
        if row.acknowledged:
            replies[int(number)] = EMPTY
        elif row.reply:
            replies[int(number)] = Shape(row.reply, told=words.reply, value=words.value)
    flags = frozenset({vhost_user_gpu.FLAG_REPLY})
    return Channel("GPU ", vhost_user_gpu.Req, requests, replies, None, flags)


CONTROL = _control_channel("", Req, vhost_user.OBSERVED, CONTROL_SAID)
BACKEND = _control_channel("BACKEND ", BackendReq, vhost_user.BACKEND_REQUESTS, BACKEND_SAID)
DISPLAY = _display_channel()


def control(request: int, flags: int, payload: bytes, fds: int = 0, *, to_backend: bool) -> Decoded:
    """Decode a message of the control socket; fds: how many came with it. What a back-end sends is a reply."""
    return _decode(CONTROL, request, flags, payload, fds, not to_backend, None)


def backend_channel(request: int, flags: int, payload: bytes, fds: int = 0, *, to_frontend: bool) -> Decoded:
    """Decode a message of the socket from SET_BACKEND_REQ_FD; what a front-end sends there is a reply."""
    return _decode(BACKEND, request, flags, payload, fds, not to_frontend, None)


def display(
    request: int, flags: int, payload: bytes, fds: int = 0, *, to_frontend: bool, size: int | None = None
) -> Decoded:
    """Decode a message of the GPU socket; `payload` may lack pixels, `size` is the size that its header says."""
    return _decode(DISPLAY, request, flags, payload, fds, not to_frontend, size)


def _decode(
    channel: Channel, request: int, flags: int, payload: bytes, fds: int, reply: bool, size: int | None
) -> Decoded:
    size = len(payload) if size is None else size
    shape = (channel.replies if reply else channel.requests).get(request)
    if shape is None:
        return _unknown(channel, request, payload, fds, size)
    fields, lists = _fields(shape, payload, size)
    notes = [*_size_notes(shape, payload, size), *_fd_notes(shape, fds)]
    expected = channel.reply_flags if reply else channel.request_flags
    if expected is not None and flags not in expected:
        notes.append(f"flags {flags:#x}")
    return Decoded(channel.name(request), _summary(shape, fields, lists, notes), tuple(fields), True)


def _unknown(channel: Channel, request: int, payload: bytes, fds: int, size: int) -> Decoded:
    fields = [("payload", bytes_text(payload, size))] if size else []
    known = request in channel.requests
    words = "a reply that the document does not have, " if known else ""
    notes = [f"{words}{size} bytes", *_fd_notes(Shape(), fds)]
    return Decoded(channel.name(request) if known else f"unknown {request}", _joined(notes), tuple(fields), known)


# Fields


Fields = list[tuple[str, str]]


class Place(NamedTuple):
    """A field in its structure. kind: a Scalar, Bytes, an Array or a structure; number: reads a Scalar."""

    name: str
    offset: int
    end: int
    kind: Any
    number: struct.Struct | None
    meaning: Meaning


_places: dict[type[Layout], tuple[Place, ...]] = {}


def places(layout: type[Layout]) -> tuple[Place, ...]:
    """Return the fields of a structure, found once."""
    if layout not in _places:
        hints = get_type_hints(layout, include_extras=True)
        _places[layout] = tuple(_place(layout, row, kind_of(hints[row.name])) for row in layout.rows())
    return _places[layout]


def _place(layout: type[Layout], row: Row, kind: Any) -> Place:
    number = struct.Struct(layout.byte_order + kind.code) if isinstance(kind, Scalar) else None
    meaning = MEANINGS.get((layout, row.name), DECIMAL)
    return Place(row.name, row.offset, row.offset + row.size, kind, number, meaning)


def kinds(layout: type[Layout]) -> dict[str, Any]:
    """Return what each field of a structure is: a Scalar, Bytes, an Array or a structure."""
    return {place.name: place.kind for place in places(layout)}


def kind_of(hint: Any) -> Any:
    """Return what stands behind one annotation."""
    return hint.__metadata__[0] if hasattr(hint, "__metadata__") else hint


def walk(layout: type[Layout], data: bytes, prefix: str = "", value: Meaning = HEX) -> Iterator[tuple[str, str]]:
    """Yield name and text of every field that `data` has bytes for; value: what the number of a U64 means."""
    for place in places(layout):
        name, offset, end, kind, number, meaning = place
        piece = data[offset:end]
        if len(piece) < end - offset and (number or isinstance(kind, Bytes)):
            return
        if name == "padding" and not any(piece):
            continue
        if number:
            yield from _number(number.unpack(piece)[0], prefix + name, value if name == "value" else meaning)
        elif isinstance(kind, Bytes):
            yield prefix + name, bytes_text(piece, len(piece))
        elif isinstance(kind, Array):
            yield from _items(kind_of(kind.item), piece, prefix + name)
        else:
            yield from walk(kind, piece, f"{prefix}{name}.")


def _number(number: int, name: str, meaning: Meaning) -> Fields:
    if not meaning.parts:
        return [(name, meaning.text(number))]
    return [(f"{name}.{part}", str((number & mask) // (mask & -mask))) for part, mask in meaning.parts]


def _items(item: type[Layout], data: bytes, name: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of equal structures side by side; those at the end that are all zero are one line."""
    step = item.sizeof
    pieces = [data[at : at + step] for at in range(0, min(len(data), ITEMS_SHOWN * step), step)]
    last = max((at for at, piece in enumerate(pieces) if any(piece)), default=-1)
    for at, piece in enumerate(pieces[: last + 1]):
        yield from walk(item, piece, f"{name}[{at}].")
    if last + 1 < len(pieces):
        yield f"{name}[{last + 1}-{len(pieces) - 1}]", "0"


def bytes_text(data: bytes, size: int) -> str:
    """Write bytes, of `size` in all, as digits, or as length and checksum when they are many."""
    if len(data) < size:
        return f"{size} bytes"
    if len(data) > BYTES_SHOWN:
        return f"{len(data)} bytes, crc32 {zlib.crc32(data):08x}"
    return bytes(data).hex()


def _fields(shape: Shape, payload: bytes, size: int) -> tuple[Fields, dict[str, str]]:
    """Return all fields, and the words for each list of structures among them."""
    start = shape.payload.sizeof if shape.payload else 0
    fields: Fields = []
    lists: dict[str, str] = {}
    if shape.payload:
        fields += walk(shape.payload, payload[:start], value=shape.value)
        for place in places(shape.payload):
            if isinstance(place.kind, Array):
                lists[place.name] = _told_items(place.kind.item, payload[place.offset : place.end])
    rest, more = payload[start:], size - start
    name, kind = shape.tail or ("more", bytes)
    if more <= 0:
        return fields, lists | ({name: ""} if more == 0 and shape.payload else {})
    if kind is bytes or not issubclass(kind, Layout):
        fields.append((name, bytes_text(rest, more)))
    else:
        fields += _items(kind, rest, name)
        lists[name] = _told_items(kind, rest)
    return fields, lists


def _told_items(item: Any, data: bytes) -> str:
    if item not in ITEMS:
        return ""
    step = item.sizeof
    starts = [at for at in range(0, min(len(data), ITEMS_SHOWN * step), step) if any(data[at : at + step])]
    told = (_fill(ITEMS[item], {"at": str(at // step), **dict(walk(item, data[at : at + step]))}) for at in starts)
    return ", ".join(told)


# Words


def _fill(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{([^}]+)\}", lambda found: values.get(found[1], "?"), template)


def _size_notes(shape: Shape, payload: bytes, size: int) -> Iterator[str]:
    """Say when a payload has not the size that the declarations ask for."""
    needed = shape.payload.sizeof if shape.payload else 0
    if shape.refusable and not size:
        yield "refused, no payload"
    elif shape.payload is vhost_user_gpu.Update and shape.tail and len(payload) >= needed and size != needed:
        update = vhost_user_gpu.Update.unpack_from(payload)
        whole = needed + BYTES_PER_PIXEL * update.width * update.height
        if size != whole:
            yield f"{size} bytes, {whole} expected"
    elif size < needed:
        yield f"{size} of {needed} bytes"
    elif size > needed and not shape.tail:
        yield f"{size} bytes, {needed} expected"


def _fd_notes(shape: Shape, fds: int) -> Iterator[str]:
    if fds:
        yield f"+ {fds} fd" + ("s" if fds > 1 else "")
    fewest, most = shape.fds
    if not fewest <= fds <= most:
        yield f"{fewest if fds < fewest else most} expected"


def _summary(shape: Shape, fields: Fields, lists: dict[str, str], notes: list[str]) -> str:
    values = {**dict(fields), **lists}
    if shape.told == "{ack}" and "value" in values:
        told = "ok" if values["value"] == "0x0" else "refused"
    elif "{" in shape.told:
        wanted = re.findall(r"\{([^}]+)\}", shape.told)
        told = _fill(shape.told, values) if any(name in values for name in wanted) else ""
    else:
        told = shape.told
    return _joined([told, *notes])


def _joined(parts: list[str]) -> str:
    return ", ".join(filter(None, parts)).replace(", + ", " + ")
