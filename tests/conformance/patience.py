"""Runs checks on a program that may take its time to start: a slow machine is no fault of the program's."""

from collections.abc import Sequence

from outboard.conformance.backend.bench import opened
from outboard.conformance.backend.peer import Peers
from outboard.conformance.check import Check, Result, run_one

START_S = 60.0


class PatientPeers(Peers):
    """Peers that have a minute to listen, whatever the checks wait for."""

    def connect(self, peer, timeout_s):
        return super().connect(peer, START_S)


def results(argv: Sequence[str], rows: Sequence[Check], timeout_s: float) -> list[Result]:
    """Run checks one after the other, each on a process of its own."""
    peers = PatientPeers(argv, None)
    try:
        return [run_one(row, lambda: opened(peers, timeout_s)) for row in rows]
    finally:
        peers.close()
