"""UNIX stream sockets: listening on a path, messages with fds, and what goes wrong on them in words."""

import array
import os
import socket
import stat
from pathlib import Path

from outboard.errors import LocalError

SEND_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
SO_SNDBUFFORCE = 32
"""Of asm-generic/socket.h; the socket module has no name for it."""

PATH_MAX = 107
"""Bytes of a socket's path at most, on Linux."""


def listen(path: Path) -> socket.socket:
    """Listen on a path. A stale socket file is replaced; raises LocalError when anything else is in the way."""
    if len(os.fsencode(path)) > PATH_MAX:
        raise LocalError(f"{path}: socket paths have at most {PATH_MAX} bytes; choose a shorter one")
    _clear_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise LocalError(f"{path}: cannot listen: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _clear_stale(path: Path) -> None:
    """Remove a socket file that nobody listens on."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise LocalError(f"{path}: exists and is no socket; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise LocalError(f"{path}: socket exists and cannot be probed: {error.strerror}") from error
        else:
            raise LocalError(f"{path}: another process listens there; stop it or choose another path")


def adopt(fd: int) -> socket.socket:
    """Take over an inherited UNIX stream socket. Raises LocalError when the fd is something else."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise LocalError(f"fd {fd}: no socket: {error.strerror}") from error
    except (ValueError, OverflowError) as error:
        raise LocalError(f"fd {fd}: no socket: {error}") from error
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        sock.detach()
        raise LocalError(f"fd {fd}: no UNIX stream socket")
    sock.setblocking(False)
    return sock


def widen(sock: socket.socket, size: int) -> None:
    """Ask for a send buffer of `size` bytes; without CAP_NET_ADMIN, net.core.wmem_max of it at most."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def is_listening(sock: socket.socket) -> bool:
    """Whether a socket waits for connections."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def receive(sock: socket.socket, length: int, max_fds: int) -> tuple[bytes, list[int]] | None:
    """Read up to `length` bytes and their fds without blocking; None when nothing is there, b"" at the end."""
    space = socket.CMSG_SPACE(max_fds * 4)
    flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
    try:
        data, ancillary, _, _ = sock.recvmsg(length, space, flags)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b"", []  # reset, not connected, listening: nothing will ever come
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    return data, list(fds)


def send(sock: socket.socket, parts: list[memoryview], fds: list[int]) -> int | None:
    """Write what fits without blocking; None when nothing does. Raises OSError when the peer has gone."""
    try:
        if len(parts) == 1 and not fds:
            return sock.send(parts[0], SEND_FLAGS)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        return sock.sendmsg(parts, ancillary, SEND_FLAGS)
    except (BlockingIOError, InterruptedError):
        return None
