"""QEMU's own back-end fails in exactly the checks that its rows in the table of known deviations name."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outboard.conformance.backend.bench import opened
from outboard.conformance.backend.peer import Peers
from outboard.conformance.backend.run import CHECKS
from outboard.conformance.check import run_one
from outboard.conformance.known import BACK_ENDS, C_7, C_10
from outboard.qemu import find_c_helper
from outboard.qemu.find import peers_dir
from tests.conformance.patience import disagreements
from tests.qemu.conftest import missing

pytestmark = pytest.mark.alike

TIMEOUT_S = 3.0
AT_ONCE = 6


def unpacked():
    """Return QEMU 10's back-end among the peers, or None."""
    path = peers_dir() / "qemu-10/usr/lib/qemu/vhost-user-gpu"
    return path if path.exists() else None


PROGRAMS = {C_7: find_c_helper, C_10: unpacked}


def some(program: Path, rows):
    """Run some checks one after the other."""
    peers = Peers([str(program), "--socket-path={socket}"], None)
    try:
        return [run_one(row, lambda: opened(peers, TIMEOUT_S)) for row in rows]
    finally:
        peers.close()


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_fails_where_it_is_known_to(name):
    program = PROGRAMS[name]()
    if not program:
        missing(f"{name}; apt-get install qemu-system-gui, and python3 tests/peers/fetch.py for the newer one")
    rows = list(CHECKS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        parts = pool.map(lambda part: some(program, rows[part::AT_ONCE]), range(AT_ONCE))
        results = [result for part in parts for result in part]
    known = {row.check for row in BACK_ENDS if row.peer == name}
    unknown, unseen = disagreements(lambda odd: some(program, odd), results, known)
    assert unknown == {}, "not known"
    assert unseen == set(), "known, and not so"
