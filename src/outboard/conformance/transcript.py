"""What went over control socket, GPU socket and virtqueues, in order: kept raw and bounded, decoded when it is shown.

Source: QEMU docs/interop/vhost-user, docs/interop/vhost-user-gpu; VIRTIO-1.2 5.7.6.
"""

from collections import deque
from dataclasses import fields
from typing import NamedTuple

from outboard.layout import Layout
from outboard.spec.virtio_gpu import COMMANDS, CURSOR_COMMANDS, Cmd, CtrlHdr, HdrFlag, Resp

LENGTH = 40
"""Entries that are kept."""
KEPT = 32 << 10
"""Bytes of a payload that are kept, at most; no message without pixels is longer."""
SHOWN = 64
"""Bytes of what cannot be decoded that are shown, at most."""
ARROWS = {True: "->", False: "<-"}


class Message(NamedTuple):
    """One message on a socket. payload: its first bytes; size: of all of it; to_backend: its direction."""

    socket: str
    to_backend: bool
    request: int
    flags: int
    payload: bytes
    size: int
    fds: int


class Chain(NamedTuple):
    """The device-readable bytes of a chain on a virtqueue, or what the device wrote into it."""

    queue: int
    to_backend: bool
    data: bytes
    size: int


class Transcript:
    """The last entries of one check. `message` fits the observers of `Vmm` and `DisplayReader`."""

    def __init__(self, length: int = LENGTH) -> None:
        self._entries: deque[Message | Chain | str] = deque(maxlen=length)

    def message(
        self, socket: str, to_backend: bool, request: int, flags: int, payload: bytes, size: int, fds: int
    ) -> None:
        """Add a message."""
        self._entries.append(Message(socket, to_backend, request, flags, bytes(payload[:KEPT]), size, fds))

    def chain(self, queue: int, to_backend: bool, data: bytes) -> None:
        """Add a request or response of a virtqueue."""
        self._entries.append(Chain(queue, to_backend, bytes(data[:KEPT]), len(data)))

    def note(self, what: str) -> None:
        """Add what is no message: an end of file, a signal, a wait."""
        self._entries.append(what)

    def lines(self) -> tuple[str, ...]:
        """Return all entries, decoded, a line each."""
        return tuple(_line(entry) for entry in self._entries)


def _line(entry: Message | Chain | str) -> str:
    if isinstance(entry, str):
        return f"           {entry}"
    if isinstance(entry, Chain):
        return f"{ARROWS[entry.to_backend]} queue {entry.queue}  {command(entry.data, entry.size)}"
    return f"{ARROWS[entry.to_backend]} {entry.socket:7}  {_words(entry)}"


def _words(entry: Message) -> str:
    """Return a message in words, by the decoder that all of the package shares."""
    from outboard.vhost_user import decode

    fds = entry.fds
    if entry.socket == "display":
        decoded = decode.display(
            entry.request, entry.flags, entry.payload, fds, to_frontend=not entry.to_backend, size=entry.size
        )
    else:
        decoded = decode.control(entry.request, entry.flags, entry.payload, fds, to_backend=entry.to_backend)
    carried = f" +{entry.fds} fd" if entry.fds else ""
    return f"{decoded.name} {decoded.summary}".rstrip() + f" [flags {entry.flags:#x}, size {entry.size}{carried}]"


# virtio-gpu


def command(data: bytes, size: int) -> str:
    """Return a request or response of virtio-gpu in words. size: of all of it, of which `data` is the start."""
    if len(data) < CtrlHdr.sizeof:
        return f"{size} bytes {data[:SHOWN].hex()}".rstrip()
    header = CtrlHdr.unpack_from(data)
    name, layout = _kind(header.type)
    fence = f" fence {header.fence_id}" if header.flags & HdrFlag.FENCE else ""
    if layout is None or len(data) < layout.sizeof:
        rest = data[CtrlHdr.sizeof : CtrlHdr.sizeof + SHOWN].hex()
        return f"{name}{fence} {rest}".rstrip() + f" [{size} bytes]"
    return f"{name}{fence}{_fields(layout.unpack_from(data))} [{size} bytes]"


def _kind(number: int) -> tuple[str, type[Layout] | None]:
    if row := COMMANDS.get(number) or CURSOR_COMMANDS.get(number):  # type: ignore[call-overload]
        return row.cmd.name, row.request
    for numbers in (Resp, Cmd):
        if number in list(numbers):
            return numbers(number).name, CtrlHdr if number == Resp.OK_NODATA else None
    return f"{number:#x}", CtrlHdr


def _fields(value: Layout, prefix: str = "") -> str:
    """Return the fields that say something: not the header, not padding."""
    text = ""
    for field in fields(value):  # type: ignore[arg-type]
        one = getattr(value, field.name)
        if field.name in ("hdr", "padding") or isinstance(value, CtrlHdr):
            continue
        text += _fields(one, f"{field.name}.") if isinstance(one, Layout) else f" {prefix}{field.name}={one}"
    return text
