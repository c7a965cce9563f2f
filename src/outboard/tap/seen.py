"""What the tap sees: sockets, messages, and whoever watches them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from outboard.vhost_user import decode
from outboard.vhost_user.decode import Channel, Decoded


class Kind(NamedTuple):
    """A kind of socket. name: in lines and captures; dissector: of Wireshark."""

    name: str
    dissector: str
    channel: Channel
    decode: Callable[["Seen"], Decoded]


class Seen(NamedTuple):
    """One message. socket: its name, as `gpu-1`; payload: the first bytes of `size`; fds: what each is."""

    when_ns: int
    socket: str
    kind: Kind
    to_backend: bool
    header: bytes
    payload: bytes
    request: int
    flags: int
    size: int
    fds: tuple[str, ...]

    def decoded(self) -> Decoded:
        """Return the message in words."""
        return self.kind.decode(self)


def _control(seen: Seen) -> Decoded:
    return decode.control(seen.request, seen.flags, seen.payload, len(seen.fds), to_backend=seen.to_backend)


def _backend(seen: Seen) -> Decoded:
    return decode.backend_channel(
        seen.request, seen.flags, seen.payload, len(seen.fds), to_frontend=not seen.to_backend
    )


def _display(seen: Seen) -> Decoded:
    return decode.display(
        seen.request, seen.flags, seen.payload, len(seen.fds), to_frontend=not seen.to_backend, size=seen.size
    )


CONTROL = Kind("control", "vhost-user", decode.CONTROL, _control)
BACKEND = Kind("backend", "vhost-user-backend", decode.BACKEND, _backend)
DISPLAY = Kind("gpu", "vhost-user-gpu", decode.DISPLAY, _display)
KINDS = (CONTROL, BACKEND, DISPLAY)


class Watcher(Protocol):
    """Is told of every message: `head` once; `data` for what follows a long one's head; `done` at its end.

    wants_data: whether `data` is to be called. Long messages are copied through this process then.
    """

    wants_data: bool

    def opened(self, socket: str, kind: Kind) -> None:
        """A socket was found."""

    def head(self, seen: Seen) -> None:
        """A message was read, up to its pixels if it has many."""

    def data(self, seen: Seen, chunk: memoryview) -> None:
        """Some more of it was read."""

    def done(self, seen: Seen) -> None:
        """It was read whole."""

    def note(self, words: str) -> None:
        """Something happened that is no message."""


class Several:
    """Several watchers as one."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self.wants_data = any(watcher.wants_data for watcher in watchers)
        self._watchers = watchers

    def opened(self, socket: str, kind: Kind) -> None:
        """See `Watcher.opened`."""
        for watcher in self._watchers:
            watcher.opened(socket, kind)

    def head(self, seen: Seen) -> None:
        """See `Watcher.head`."""
        for watcher in self._watchers:
            watcher.head(seen)

    def data(self, seen: Seen, chunk: memoryview) -> None:
        """See `Watcher.data`."""
        for watcher in self._watchers:
            if watcher.wants_data:
                watcher.data(seen, chunk)

    def done(self, seen: Seen) -> None:
        """See `Watcher.done`."""
        for watcher in self._watchers:
            watcher.done(seen)

    def note(self, words: str) -> None:
        """See `Watcher.note`."""
        for watcher in self._watchers:
            watcher.note(words)
