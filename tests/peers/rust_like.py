"""A scripted stand-in for rust-vmm's vhost-device-gpu, which cannot be built where the tests run.

python -m tests.peers.rust_like --socket-path PATH --gpu-mode virglrenderer|gfxstream|null [--headless]

Source: the program's and its libraries' sources (vhost-device-gpu; crates vhost and vhost-user-backend), read for what
they do. What it shows is known from there and seen here on a script, not on the program.

Modelled: the control socket with its strictness; the 2D and cursor commands in all three modes, errors included; one
GPU socket for life; who waits for what. Not modelled: 3D commands and capability sets (as with `--capset` of none); the
lock that GET_CONFIG and a command in execution share.
"""

import argparse
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from outboard.errors import LocalError, ProtocolError
from outboard.guest.memory import Region
from outboard.host.mapping import map_shared
from outboard.layout import Layout
from outboard.spec.vhost_user import (
    F_PROTOCOL_FEATURES,
    FLAG_NEED_REPLY,
    FLAG_REPLY,
    MAX_CONFIG,
    U64,
    VERSION,
    VERSION_MASK,
    VRING_NOFD,
    ConfigSpace,
    Header,
    MemoryRegion,
    MemTable,
    ProtocolFeature,
    Req,
    VringAddr,
    VringState,
)
from outboard.spec.virtio import Feature
from outboard.spec.virtio_gpu import Config
from outboard.spec.virtio_gpu import Feature as GpuFeature
from tests.peers.rust_like_queues import Queues, Ring
from tests.peers.rust_like_renderer import RENDERERS

MAX_PAYLOAD = 0x1000
MAX_REGIONS = 32
SIZE_MAX = 1024
OFFERED = (
    Feature.VERSION_1
    | Feature.RING_RESET
    | Feature.NOTIFY_ON_EMPTY
    | Feature.INDIRECT_DESC
    | Feature.EVENT_IDX
    | GpuFeature.VIRGL
    | GpuFeature.RESOURCE_BLOB
    | GpuFeature.RESOURCE_UUID
    | GpuFeature.CONTEXT_INIT
    | F_PROTOCOL_FEATURES
)
PROTOCOL_FEATURES = ProtocolFeature.CONFIG | ProtocolFeature.MQ | ProtocolFeature.REPLY_ACK
FAILED, PANICKED = 1, 101


class Invalid(Exception):
    """A message that the library refuses before the device sees it: the connection is over, unanswered."""


class Failure(Exception):
    """The device refuses: acknowledged with 1 where that was asked for, and then the connection is over."""


class Panicked(Exception):
    """The device's lock is poisoned."""


class Message(NamedTuple):
    """One request. payload: as its row declares it; tail: what follows that."""

    number: int
    flags: int
    payload: Any
    tail: bytes
    fds: list[int]


class Row(NamedTuple):
    """One request that is served: its payload, the function, the protocol feature it needs, what may come along."""

    payload: type[Layout] | None
    run: Callable[["Control", Message], bytes | None]
    feature: ProtocolFeature | None = None
    fds: bool = False
    tail: bool = False


class Control:
    """The control socket of the one front-end there is."""

    def __init__(self, sock: socket.socket, queues: Queues, features: int) -> None:
        self._socket = sock
        self._queues = queues
        self._features = features
        self._owned = False
        self._acked = 0
        self._protocol_features = 0
        self._looked = False

    @property
    def _device(self) -> Queues:
        """The device, behind its lock."""
        if self._queues.poisoned:
            raise Panicked
        return self._queues

    def serve(self) -> int:
        """Serve until the front-end leaves or errs; return the exit status."""
        try:
            while (message := self._receive()) is not None:
                self._one(message)
        except (Invalid, Failure) as error:
            print(f"connection ended: {error}", file=sys.stderr)
            return FAILED
        except Panicked:
            return PANICKED
        return 0

    # Framing

    def _receive(self) -> Message | None:
        data, fds = self._exactly(Header.sizeof)
        if len(data) < Header.sizeof:
            return None
        header = Header.unpack(data)
        known = header.request in set(Req) and header.size <= MAX_PAYLOAD
        if not known or header.flags & VERSION_MASK != VERSION or header.flags >> 4:
            raise Invalid(f"header {header}")
        row = SERVED.get(header.request)
        if fds and not (row and row.fds):
            raise Invalid(f"{len(fds)} fds with request {header.request}")
        body, _ = self._exactly(header.size)
        if len(body) < header.size:
            return None
        if row is None:
            raise Invalid(f"request {header.request}")
        size = row.payload.sizeof if row.payload else 0
        if header.flags & FLAG_REPLY or len(body) < size or (len(body) > size and not row.tail):
            raise Invalid(f"{len(body)} bytes with request {header.request}, which has {size}")
        payload = row.payload.unpack_from(body) if row.payload else None
        return Message(header.request, header.flags, payload, body[size:], fds)

    def _exactly(self, size: int) -> tuple[bytes, list[int]]:
        data, fds = b"", []
        while len(data) < size:
            try:
                chunk, more, _, _ = socket.recv_fds(self._socket, size - len(data), MAX_REGIONS)
            except ConnectionResetError:
                break
            fds += more
            if not chunk:
                break
            data += chunk
        return data, fds

    def _one(self, message: Message) -> None:
        row = SERVED[message.number]
        if row.feature is not None and not self._protocol_features & row.feature:
            raise Invalid(f"{Req(message.number).name} without {row.feature!r}")
        asked = bool(message.flags & FLAG_NEED_REPLY and self._protocol_features & ProtocolFeature.REPLY_ACK)
        try:
            reply = row.run(self, message)
        except Failure:
            if asked:
                self._reply(message.number, U64(1).pack())
            raise
        if reply is not None or asked:
            self._reply(message.number, U64(0).pack() if reply is None else reply)

    def _reply(self, number: int, payload: bytes) -> None:
        try:
            self._socket.sendall(Header(number, VERSION | FLAG_REPLY, len(payload)).pack() + payload)
        except OSError as error:
            raise Invalid(f"reply not taken: {error}") from error

    # Owner and features

    def set_owner(self, message: Message) -> None:
        """Once only."""
        if self._owned:
            raise Failure("SET_OWNER twice")
        self._owned = True

    def reset_owner(self, message: Message) -> None:
        """Forget the owner and what it acknowledged."""
        self._owned = False
        self._acked = self._protocol_features = 0

    def get_features(self, message: Message) -> bytes:
        """Return the features."""
        assert self._device
        return U64(self._features).pack()

    def set_features(self, message: Message) -> None:
        """Take features, all of which must have been offered; without protocol features all rings are enabled."""
        features = message.payload.value
        if features & ~self._features:
            raise Failure(f"feature bits {features & ~self._features:#x} not offered")
        self._acked = features
        with self._device.lock:
            self._device.set_features(features)
            for ring in self._device.rings if not features & F_PROTOCOL_FEATURES else ():
                ring.enabled = True
        self._device.changed()

    def get_protocol_features(self, message: Message) -> bytes:
        """Return the protocol features."""
        return U64(PROTOCOL_FEATURES).pack()

    def set_protocol_features(self, message: Message) -> None:
        """Take them as they come."""
        self._protocol_features = message.payload.value

    def get_queue_num(self, message: Message) -> bytes:
        """Return the number of rings."""
        return U64(len(self._queues.rings)).pack()

    # Config space and display

    def get_config(self, message: Message) -> bytes:
        """Return a part of the config space; a length of 0 is a refusal."""
        asked = message.payload
        bad = asked.length == 0 or asked.offset + asked.length > MAX_CONFIG or asked.flags > 1
        if bad or len(message.tail) != asked.length:
            raise Invalid(f"GET_CONFIG {asked}")
        assert self._device
        data = Config(num_scanouts=16).pack()[asked.offset : asked.offset + asked.length]
        if len(data) < asked.length:
            return ConfigSpace(asked.offset, 0, asked.flags).pack()
        return bytes(asked.pack() + data)

    def set_config(self, message: Message) -> None:
        """Nothing: the front-end keeps what the guest wrote."""
        if len(message.tail) != message.payload.length:
            raise Failure(f"SET_CONFIG {message.payload}")

    def gpu_set_socket(self, message: Message) -> None:
        """Keep the socket for the renderer to come; there will be no second renderer."""
        if len(message.fds) != 1:
            raise Failure(f"GPU_SET_SOCKET with {len(message.fds)} fds")
        try:
            self._device.gpu_socket = socket.socket(fileno=message.fds[0])
        except OSError:  # whatever else it is fails with the first message
            os.close(message.fds[0])
            self._device.gpu_socket, other = socket.socketpair()
            other.close()

    # Memory

    def set_mem_table(self, message: Message) -> None:
        """Map these regions in place of all others."""
        count = message.payload.nregions
        sizes = len(message.tail) == MemoryRegion.sizeof * count and len(message.fds) == count
        if message.payload.padding or not 1 <= count <= MAX_REGIONS or not sizes:
            raise Failure(f"SET_MEM_TABLE {message.payload}, {len(message.tail)} bytes, {len(message.fds)} fds")
        regions = []
        for at, fd in enumerate(message.fds):
            one = MemoryRegion.unpack_from(message.tail, MemoryRegion.sizeof * at)
            try:
                regions.append(Region(one.guest_addr, one.user_addr, map_shared(fd, one.mmap_offset, one.memory_size)))
            except LocalError as error:
                raise Failure(str(error)) from error
            finally:
                os.close(fd)
        try:
            with self._device.lock:
                self._device.memory.replace(regions)
                for ring in self._device.rings:
                    self._place(ring, ring.queue.last_avail)
        except ProtocolError as error:
            raise Failure(str(error)) from error

    # Rings

    def _ring(self, index: int) -> Ring:
        if index >= len(self._queues.rings):
            raise Failure(f"ring {index}")
        return self._queues.rings[index]

    @staticmethod
    def _place(ring: Ring, last_avail: int) -> bool:
        """Find a ring in memory; the used index is taken from there."""
        if ring.addr is None or not ring.queue.set_up(ring.size, *ring.addr):
            return False
        ring.queue.start(last_avail)
        return True

    def set_vring_num(self, message: Message) -> None:
        """Set a ring's size; one that is no power of two is not taken, and not refused either."""
        ring, num = self._ring(message.payload.index), message.payload.num
        if not 1 <= num <= SIZE_MAX:
            raise Failure(f"SET_VRING_NUM {num}")
        ring.size = ring.size if num & (num - 1) else num

    def set_vring_base(self, message: Message) -> None:
        """Set the next available index."""
        self._ring(message.payload.index).queue.last_avail = message.payload.num & 0xFFFF

    def set_vring_addr(self, message: Message) -> None:
        """Find a ring in memory, which must be known by now."""
        addr = message.payload
        if addr.flags & ~1 or addr.descriptor % 16 or addr.available % 2 or addr.used % 4:
            raise Invalid(f"SET_VRING_ADDR {addr}")
        ring = self._ring(addr.index)
        with self._queues.lock:
            ring.addr = (addr.descriptor, addr.available, addr.used)
            if not self._place(ring, ring.queue.last_avail):
                raise Failure("SET_VRING_ADDR outside the memory")

    def get_vring_base(self, message: Message) -> bytes:
        """Stop a ring; return its next available index. Its fds are closed."""
        ring = self._ring(message.payload.index)
        with self._queues.lock:
            ring.ready = False
            ring.set_fd("kick", -1)
            ring.set_fd("call", -1)
        self._queues.changed()
        return VringState(message.payload.index, ring.queue.last_avail).pack()

    def _take_fd(self, message: Message, name: str) -> Ring:
        """Take the fd that comes with a request of a ring, in place of the one before."""
        if bool(message.payload.value & VRING_NOFD) == (len(message.fds) == 1):
            raise Invalid(f"{name} fd: {message.payload.value:#x} with {len(message.fds)} fds")
        ring = self._ring(message.payload.value & 0xFF)
        with self._queues.lock:
            ring.set_fd(name, message.fds[0] if message.fds else -1)
            ring.ready = ring.ready or ring.kick >= 0
        self._queues.changed()
        return ring

    def set_vring_kick(self, message: Message) -> None:
        """Take the kick fd: the ring is ready."""
        self._take_fd(message, "kick")

    def set_vring_call(self, message: Message) -> None:
        """Take the call fd."""
        self._take_fd(message, "call")

    def set_vring_err(self, message: Message) -> None:
        """Take the error fd, which nobody writes."""
        self._take_fd(message, "err")

    def set_vring_enable(self, message: Message) -> None:
        """Enable or disable a ring."""
        if not self._acked & F_PROTOCOL_FEATURES or message.payload.num > 1:
            raise Invalid(f"SET_VRING_ENABLE {message.payload}, features {self._acked:#x}")
        with self._queues.lock:
            self._ring(message.payload.index).enabled = bool(message.payload.num)
        self._queues.changed()


SERVED: dict[int, Row] = {
    Req.GET_FEATURES: Row(None, Control.get_features),
    Req.SET_FEATURES: Row(U64, Control.set_features),
    Req.SET_OWNER: Row(None, Control.set_owner),
    Req.RESET_OWNER: Row(None, Control.reset_owner),
    Req.SET_MEM_TABLE: Row(MemTable, Control.set_mem_table, fds=True, tail=True),
    Req.SET_VRING_NUM: Row(VringState, Control.set_vring_num),
    Req.SET_VRING_ADDR: Row(VringAddr, Control.set_vring_addr),
    Req.SET_VRING_BASE: Row(VringState, Control.set_vring_base),
    Req.GET_VRING_BASE: Row(VringState, Control.get_vring_base),
    Req.SET_VRING_KICK: Row(U64, Control.set_vring_kick, fds=True),
    Req.SET_VRING_CALL: Row(U64, Control.set_vring_call, fds=True),
    Req.SET_VRING_ERR: Row(U64, Control.set_vring_err, fds=True),
    Req.GET_PROTOCOL_FEATURES: Row(None, Control.get_protocol_features),
    Req.SET_PROTOCOL_FEATURES: Row(U64, Control.set_protocol_features),
    Req.GET_QUEUE_NUM: Row(None, Control.get_queue_num, ProtocolFeature.MQ),
    Req.SET_VRING_ENABLE: Row(VringState, Control.set_vring_enable),
    Req.GET_CONFIG: Row(ConfigSpace, Control.get_config, ProtocolFeature.CONFIG, tail=True),
    Req.SET_CONFIG: Row(ConfigSpace, Control.set_config, ProtocolFeature.CONFIG, tail=True),
    Req.GPU_SET_SOCKET: Row(None, Control.gpu_set_socket, fds=True, tail=True),
}


def main() -> int:
    """Serve one front-end on a path; return the exit status."""
    parser = argparse.ArgumentParser(prog="rust_like")
    parser.add_argument("--socket-path", required=True)
    parser.add_argument("--gpu-mode", required=True, choices=sorted(RENDERERS))
    parser.add_argument("--headless", action="store_true")
    options = parser.parse_args()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(options.socket_path):
        os.unlink(options.socket_path)
    listener.bind(options.socket_path)
    listener.listen(1)
    sock, _ = listener.accept()
    listener.close()
    queues = Queues(options.gpu_mode, needs_display=not options.headless)
    threading.Thread(target=queues.run, name="queues", daemon=True).start()
    features = OFFERED if options.headless else OFFERED | GpuFeature.EDID
    return Control(sock, queues, features).serve()


if __name__ == "__main__":
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the queue thread may wait for a display for ever
