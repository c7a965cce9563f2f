"""What a check of a back-end runs on: a fresh peer, and either bare bytes in front of it or a whole machine."""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from outboard.conformance.backend.bare import ASKED, BareControl, name
from outboard.conformance.backend.machine import Machine
from outboard.conformance.backend.peer import Listener, Peer, Peers
from outboard.conformance.check import GRACE_S, Failed, expect
from outboard.conformance.transcript import Transcript

WINDOW_S = 0.25
WINDOWS = 4
BUSY = 0.1
"""A peer is said to spin when it uses more than this part of a CPU in each of so many windows of time."""


class Bench:
    """A peer for one check. timeout_s: for every wait."""

    def __init__(self, peers: Peers, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.transcript = Transcript()
        self._peers = peers
        self.peer: Peer | Listener = peers.take()
        self._open: list[Any] = []

    def connect(self) -> socket.socket:
        """Return a control socket to the peer. Raises PeerUnusable, or Failed when the peer could be reached before."""
        return self._peers.connect(self.peer, self.timeout_s)

    def control(self) -> BareControl:
        """Return a bare control socket on which nothing was said yet."""
        control = BareControl(self.connect(), self.transcript, self.timeout_s)
        self._open.append(control)
        return control

    def agreed(self, wanted: int = 1 << 3) -> BareControl:
        """Return a bare control socket with the protocol features agreed, REPLY_ACK at least."""
        control = self.control()
        control.negotiate(wanted)
        return control

    def machine(self, **options: Any) -> Machine:
        """Return a machine, started unless `start=False`."""
        machine = Machine(self.connect(), self.transcript, self.timeout_s, **options)
        self._open.append(machine)
        return machine

    def over(self, machine: Machine) -> BareControl:
        """Return bare bytes on a machine's control socket, which stays the machine's."""
        return BareControl(machine.vmm.control.socket, self.transcript, self.timeout_s)

    def declined(
        self, control: BareControl, request: int, payload: bytes, fds: Sequence[int] = (), or_done: bool = False
    ) -> None:
        """Send what is no proper message; raise Failed unless it is refused, or ends the connection and nothing else.

        or_done: success is as good.
        """
        control.message(request, payload, ASKED, fds)
        if not control.coming(f"a failure as acknowledgement of {name(request)}, or the end of the connection"):
            self.peer.wait_end(GRACE_S)
            expect(self.peer.inherits or not self.peer.fate(), "the end of the connection at most", self.peer.fate())
            return
        expect(
            control.answered(request).u64 or or_done,
            f"a failure (not 0) as acknowledgement of {name(request)}",
            "0, success",
        )
        control.alive()

    def crashed_not(self) -> None:
        """Raise Failed when the process was killed by a signal: to end a connection is one thing, to crash another."""
        if self.peer.wait_end(GRACE_S):
            fate = self.peer.fate()
            expect("died of" not in fate, "the end of the connection at most", fate)

    def calm(self, when: str) -> None:
        """Raise Failed when the peer spins."""
        loads = []
        for _ in range(WINDOWS):
            before, start = self.peer.cpu_seconds(), time.monotonic()
            time.sleep(WINDOW_S)
            after = self.peer.cpu_seconds()
            if before is None or after is None:
                return
            loads.append((after - before) / (time.monotonic() - start))
            if loads[-1] < BUSY:
                return
        raise Failed(
            f"a back-end that sleeps {when}", f"{100 * min(loads):.0f} % of a CPU for {WINDOWS * WINDOW_S:g} s"
        )

    # Context

    def exchange(self) -> tuple[str, ...]:
        """Return what went over the wire, decoded."""
        return self.transcript.lines()

    def fate(self, grace_s: float = 0) -> str:
        """Return what became of the peer if it has ended and may not."""
        if self.peer.may_end:
            return ""
        self.peer.wait_end(grace_s)
        return self.peer.fate()

    def close(self) -> None:
        """Close every connection and give the peer back."""
        for one in reversed(self._open):
            one.close()
        self._peers.give_back(self.peer)


@contextmanager
def opened(peers: Peers, timeout_s: float) -> Iterator[Bench]:
    """Open a bench for one check."""
    bench = Bench(peers, timeout_s)
    try:
        yield bench
    finally:
        bench.close()
