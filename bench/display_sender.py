"""A back-end that only sends: the same frames, as often as it is told, on one of several sockets.

    python -m bench.display_sender WIDTH HEIGHT ROWS CONTROL SOCKET...

ROWS: of one UPDATE. CONTROL, SOCKET: numbers of inherited sockets. A command on CONTROL is three words: which socket,
how many frames, how many microseconds to wait before. The answer is the monotonic time, in ns, of the last byte sent.
"""

import socket
import struct
import sys
import time

COMMAND = struct.Struct("=III")
ANSWER = struct.Struct("=Q")


def frame(width: int, height: int, rows: int) -> bytes:
    """Return the messages of one frame: an UPDATE for every `rows` rows."""
    stream = b""
    for y in range(0, height, rows):
        high = min(rows, height - y)
        pixels = bytes(range(1, 241)) * (4 * width * high // 240 + 1)
        size = 4 * width * high
        stream += struct.pack("=8I", 8, 0, 20 + size, 0, 0, y, width, high) + pixels[:size]
    return stream


def main() -> None:
    """Announce the size on every socket, then serve commands."""
    width, height, rows, control, *numbers = map(int, sys.argv[1:])
    sockets = [socket.socket(fileno=number) for number in numbers]
    for one in sockets:
        one.setblocking(True)
        one.sendall(struct.pack("=6I", 7, 0, 12, 0, width, height))
    stream = frame(width, height, rows)
    with socket.socket(fileno=control) as commands:
        while command := commands.recv(COMMAND.size, socket.MSG_WAITALL):
            which, count, wait_us = COMMAND.unpack(command)
            time.sleep(wait_us / 1e6)
            for _ in range(count):
                sockets[which].sendall(stream)
            commands.sendall(ANSWER.pack(time.monotonic_ns()))


if __name__ == "__main__":
    main()
