"""Runs checks on a program that may take its time to start: a slow machine is no fault of the program's."""

from collections.abc import Callable, Sequence

from outboard.conformance.backend.bench import opened
from outboard.conformance.backend.peer import Peers
from outboard.conformance.check import Check, Result, Status, run_one

START_S = 60.0


class PatientPeers(Peers):
    """Peers that have a minute to listen, whatever the checks wait for."""

    def connect(self, peer, timeout_s):
        return super().connect(peer, START_S)


TRIES = 3
"""How often a check may come out otherwise than it is known to, before that counts: some faults are races."""


def disagreements(run: Callable[[Sequence[Check]], Sequence[Result]], first: Sequence[Result], known: set[str]):
    """Return (what failed and is not known, in words; what is known and did not fail), after tries one at a time."""
    outcome = {one.check: one for one in first}
    for _ in range(TRIES - 1):
        odd = [check for check, one in outcome.items() if (one.status == Status.FAIL) != (check.id in known)]
        outcome |= {one.check: one for one in run(odd)}
    failed = {check.id: f"{one.expected}; {one.got}" for check, one in outcome.items() if one.status == Status.FAIL}
    return {check: words for check, words in failed.items() if check not in known}, known - failed.keys()


def results(argv: Sequence[str], rows: Sequence[Check], timeout_s: float) -> list[Result]:
    """Run checks one after the other, each on a process of its own."""
    peers = PatientPeers(argv, None)
    try:
        return [run_one(row, lambda: opened(peers, timeout_s)) for row in rows]
    finally:
        peers.close()
