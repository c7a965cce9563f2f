"""Event fds that a peer handed over: it chose what they are, so nothing is taken for granted."""

import fcntl
import os
import select

_ONE = (1).to_bytes(8, "little")


def close_all(fds: list[int]) -> None:
    """Close fds."""
    for fd in fds:
        os.close(fd)


def nests(fd: int) -> bool:
    """Whether an fd is an epoll of its owner's, which may begin to nest too deep for ours at any time."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventpoll]"
    except OSError:
        return False


class Signal:
    """The writing end of a notification; owns its fd. `send` never blocks, whatever mode the peer left the fd in."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._blocking = not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK

    def send(self) -> None:
        """Write one event. A full or broken fd is the peer's loss: it has an event pending, or has gone."""
        if self._blocking and not self._writable():
            return
        try:
            os.write(self.fd, _ONE)
        except OSError:
            pass

    def _writable(self) -> bool:
        # The mode is shared with the peer, who may rely on it, so it is asked for and not changed.
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return any(events & select.POLLOUT for _, events in poll.poll(0))

    def close(self) -> None:
        """Close the fd."""
        os.close(self.fd)
