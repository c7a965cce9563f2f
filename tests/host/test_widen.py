"""Send buffers that are asked for, with and without the right to have them."""

import socket

import pytest

from outboard.host import sockets

pytestmark = pytest.mark.alike

SIZE = 1 << 19


def granted(size, sock):
    sockets.widen(sock, size)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_a_send_buffer_grows():
    one, other = socket.socketpair()
    with one, other:
        before = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert granted(SIZE, one) > before
        sent = one.send(bytes(SIZE), socket.MSG_DONTWAIT)
        assert sent > before // 2
        assert len(other.recv(SIZE)) > 0


def test_without_the_right_the_system_decides():
    """It is asked again, for what everybody may have."""

    class Refuses(socket.socket):
        def setsockopt(self, level, name, value):
            if name == sockets.SO_SNDBUFFORCE:
                raise PermissionError
            super().setsockopt(level, name, value)

    with open("/proc/sys/net/core/wmem_max") as file:
        most = int(file.read())
    with Refuses(socket.AF_UNIX) as sock:
        assert granted(SIZE, sock) == 2 * min(SIZE, most)
        assert granted(2 * most, sock) == 2 * most
