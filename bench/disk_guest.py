"""The disks of a real guest, QEMU 10 with TCG and a Debian kernel: its checker verifies all it reads, on each in turn.

Figures only: what is measured is mostly the guest, whose processor is emulated.
"""

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.results import Goal, Result
from outboard.errors import OutboardError
from tests.peers.debian import PeerError
from tests.qemu.disk_guest import BLOCK, Guest, disk_guest, disk_initrd, disk_words

BLOCKS = 2048
"""That one run works on; the next one takes others, since its blocks must hold zeros."""
RUN_S = 2.0


def in_a_guest(name: str, sockets: Mapping[str, Path], rounds: int, folder: Path) -> Result:
    """Measure verified random requests a second of a guest's disks, by the names of their back-ends."""
    result = Result(name)
    rates: dict[str, list[float]] = {peer: [] for peer in sockets}
    try:
        with ExitStack() as stack:
            words = [word for peer, socket in sockets.items() for word in disk_words(socket, peer, 1)]
            guest = stack.enter_context(disk_guest(disk_initrd(folder), words))
            devices = dict(zip(sockets, ("/dev/vda", "/dev/vdb"), strict=False))
            for turn in range(rounds):
                for peer in list(sockets)[:: -1 if turn % 2 else 1]:
                    rates[peer].append(rate(guest, devices[peer], BLOCKS * turn))
    except (PeerError, OutboardError, AssertionError) as error:
        return Result(name, failed=f"{type(error).__name__}: {error}")
    for peer, some in rates.items():
        middle = statistics.median(some)
        result.figures[peer], result.numbers[peer] = f"{middle:.0f} verified/s", {"per_s": middle}
    result.goals.append(Goal("figures only,", 0, False, None))
    return result


def rate(guest: Guest, device: str, first: int) -> float:
    """Return how many requests a second a checker gets done on a device; all of them are verified in the end."""
    guest.check(device, BLOCKS, first)
    before, began = guest.done(), time.perf_counter()
    time.sleep(RUN_S)
    done, ended = guest.done(), time.perf_counter()
    guest.finish()
    return (done - before) / (ended - began)


def size(rounds: int) -> int:
    """Return how large an image must be, in bytes."""
    return rounds * BLOCKS * BLOCK
