"""A capture file, pcapng, for Wireshark and for any reader of it.

Documents: PCAP Next Generation (draft-ietf-opsawg-pcapng), 4.1 section header, 4.2 interface description, 4.3 enhanced
packet; Wireshark's Exported PDU (LINKTYPE 252), whose tags name the dissector and the direction.

One interface a socket. A packet is a message with its header, outbound when it goes to the back-end. What is too
long for Wireshark, and pixels, are left out, the packet's original length kept; with `data` on they follow as packets
for the dissector `vhost-user-data`.
"""

import struct
from pathlib import Path
from typing import BinaryIO

from outboard.errors import LocalError
from outboard.tap.seen import Kind, Seen

LINKTYPE_WIRESHARK_UPPER_PDU = 252
TAG_DISSECTOR, TAG_DIRECTION = 12, 35
SENT, RECEIVED = 0, 1
INBOUND, OUTBOUND = 1, 2
SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D
OPT_COMMENT, OPT_APPLICATION, IF_NAME, IF_DESCRIPTION, IF_TSRESOL, EPB_FLAGS = 1, 4, 2, 3, 9, 2
NANOSECONDS = b"\x09"
DATA_DISSECTOR = "vhost-user-data"
PACKET_MAX = 200_000
"""Bytes of a message in one packet. Wireshark takes 262144, tags included."""


def option(code: int, value: bytes) -> bytes:
    """Return one option of a block."""
    return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind: int, body: bytes, options: bytes) -> bytes:
    """Return a block; `body` is padded, `options` lack their end."""
    inside = body + bytes(-len(body) % 4) + (options + bytes(4) if options else b"")
    length = struct.pack("=I", len(inside) + 12)
    return struct.pack("=I", kind) + length + inside + length


def tags(dissector: str, to_backend: bool) -> bytes:
    """Return the Exported PDU's tags: numbers are big-endian, values padded."""
    name = dissector.encode()
    name += bytes(-len(name) % 4)
    direction = struct.pack(">HHI", TAG_DIRECTION, 4, SENT if to_backend else RECEIVED)
    return struct.pack(">HH", TAG_DISSECTOR, len(name)) + name + direction + bytes(4)


class Capture:
    """Writes packets to a file. pixels: also those of an UPDATE, and the rest of other long messages.

    Raises LocalError when the file cannot be opened; what goes wrong later is in `failure`, and ends the capture.
    """

    def __init__(self, path: Path, *, pixels: bool = False) -> None:
        self.wants_data = pixels
        self.failure = ""
        self._path = path
        self._interfaces: dict[str, int] = {}
        self._prefixes: dict[tuple[str, bool], bytes] = {}
        try:
            self._file: BinaryIO | None = path.open("wb")
        except OSError as error:
            raise LocalError(f"{path}: cannot be written: {error.strerror}") from error
        header = struct.pack("=IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)
        self._write(block(SECTION_HEADER, header, option(OPT_APPLICATION, b"outboard tap")))
        self.flush()

    def _write(self, data: bytes | memoryview) -> None:
        if self._file is None:
            return
        try:
            self._file.write(data)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = f"{self._path}: {error.strerror}; the capture ends here"
        file, self._file = self._file, None
        if file:
            try:
                file.close()
            except OSError:
                pass  # it tried once more to write what it holds

    def opened(self, socket: str, kind: Kind) -> None:
        """Add an interface."""
        self._interfaces[socket] = len(self._interfaces)
        about = option(IF_NAME, socket.encode()) + option(IF_DESCRIPTION, f"{kind.name} socket".encode())
        self._write(
            block(
                INTERFACE_DESCRIPTION,
                struct.pack("=HHI", LINKTYPE_WIRESHARK_UPPER_PDU, 0, 0),
                about + option(IF_TSRESOL, NANOSECONDS),
            )
        )

    def head(self, seen: Seen) -> None:
        """Write a message as one packet, with its fds as comment."""
        message = seen.header + seen.payload[:PACKET_MAX]
        comment = "fds: " + ", ".join(seen.fds) if seen.fds else ""
        self._packet(seen, seen.kind.dissector, message, len(seen.header) + seen.size, comment)
        if self.wants_data and len(seen.payload) > PACKET_MAX:
            self.data(seen, memoryview(seen.payload)[PACKET_MAX:])

    def data(self, seen: Seen, chunk: memoryview) -> None:
        """Write what follows a message's head."""
        for at in range(0, len(chunk), PACKET_MAX):
            piece = chunk[at : at + PACKET_MAX]
            self._packet(seen, DATA_DISSECTOR, piece, len(piece), "")

    def done(self, seen: Seen) -> None:
        """Nothing: all is written."""

    def note(self, words: str) -> None:
        """Nothing: no message."""

    def _packet(self, seen: Seen, dissector: str, data: bytes | memoryview, length: int, comment: str) -> None:
        """Write one packet; `data` may be large and is not copied."""
        key = (dissector, seen.to_backend)
        prefix = self._prefixes.get(key) or self._prefixes.setdefault(key, tags(*key))
        high, low = divmod(seen.when_ns, 1 << 32)
        sizes = len(prefix) + len(data), len(prefix) + min(length, (1 << 32) - 1 - len(prefix))
        body = struct.pack("=IIIII", self._interfaces[seen.socket], high, low, *sizes) + prefix
        options = option(EPB_FLAGS, struct.pack("=I", OUTBOUND if seen.to_backend else INBOUND))
        options += option(OPT_COMMENT, comment.encode()) if comment else b""
        behind = bytes(-len(data) % 4) + options + bytes(4)
        whole = struct.pack("=I", 12 + len(body) + len(data) + len(behind))
        self._write(struct.pack("=I", ENHANCED_PACKET) + whole + body)
        self._write(data)
        self._write(behind + whole)

    def flush(self) -> None:
        """Have everything so far in the file."""
        if self._file:
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """Finish the file."""
        self.flush()
        if self._file:
            self._file.close()
            self._file = None
