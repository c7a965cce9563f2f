"""A client for QEMU's qtest socket: guest memory, ports and registers, without a guest.

Documents: QEMU, qtest protocol: a command a line, an answer a line that starts with OK;
lines that start with IRQ may come between. Numbers of more than one byte are the guest's:
little-endian on x86, the only target that was tried.

Not modelled: interrupts, the virtual clock, RTAS calls.
"""

from __future__ import annotations

import base64
import socket
from pathlib import Path

from outboard.qemu.failure import QemuError

LETTER = {1: "b", 2: "w", 4: "l", 8: "q"}
CHUNK_BYTES = 1 << 18
"""Bytes of guest memory in one line."""


class QTest:
    """A connection to QEMU's `-qtest` socket. All methods raise QemuError when QEMU refuses or is gone."""

    def __init__(self, path: Path, timeout: float = 30) -> None:
        """Connect to `path`. Raises OSError. timeout: seconds, for each answer."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")

    def ask(self, line: str) -> list[str]:
        """Send one command; the words of its answer after OK."""
        try:
            self._socket.sendall(line.encode() + b"\n")
            while (answer := self._lines.readline()).startswith(b"IRQ "):
                pass
        except OSError as error:
            raise QemuError(f"qtest {line[:60]!r}: {error}; QEMU hangs or is gone") from error
        words = answer.decode().split()
        if words[:1] != ["OK"]:
            raise QemuError(f"qtest {line[:60]!r}: expected OK, got {' '.join(words) or 'the end of the connection'!r}")
        return words[1:]

    def load(self, addr: int, size: int) -> int:
        """A number of 1, 2, 4 or 8 bytes at a guest-physical address."""
        return int(self.ask(f"read{LETTER[size]} {addr:#x}")[0], 0)

    def store(self, addr: int, size: int, value: int) -> None:
        """Write a number of 1, 2, 4 or 8 bytes to a guest-physical address."""
        self.ask(f"write{LETTER[size]} {addr:#x} {value:#x}")

    def port_in(self, port: int, size: int) -> int:
        """Read an x86 port of 1, 2 or 4 bytes."""
        return int(self.ask(f"in{LETTER[size]} {port:#x}")[0], 0)

    def port_out(self, port: int, size: int, value: int) -> None:
        """Write an x86 port of 1, 2 or 4 bytes."""
        self.ask(f"out{LETTER[size]} {port:#x} {value:#x}")

    def read(self, addr: int, length: int) -> bytes:
        """`length` bytes of guest memory."""
        spans = ((at, min(CHUNK_BYTES, addr + length - at)) for at in range(addr, addr + length, CHUNK_BYTES))
        return b"".join(base64.b64decode(self.ask(f"b64read {at:#x} {size:#x}")[0]) for at, size in spans)

    def write(self, addr: int, data: bytes) -> None:
        """Put bytes into guest memory."""
        for start in range(0, len(data), CHUNK_BYTES):
            chunk = data[start : start + CHUNK_BYTES]
            self.ask(f"b64write {addr + start:#x} {len(chunk):#x} {base64.b64encode(chunk).decode()}")

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._socket.close()
