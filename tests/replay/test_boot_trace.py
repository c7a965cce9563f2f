"""A Linux guest's boot, as QEMU logged it, replayed: every line, every `info pic`, every event queue."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from outboard.errors import ProtocolError
from outboard.guest.ram import ram
from outboard.machine.xive_trace import CLAIM, Divergence, Entry, Replay, machine, read
from outboard.spapr.xive import SpaprXive
from outboard.xive.events import GUEST_ERROR, TRACE

TRACES = Path(__file__).parents[1] / "vectors" / "xive" / "traces"
BOOT = "boot_xive_4cpu"
PRINTED = ("spapr_xive_", "xive_", "memory_region_ops_")
IPI = 0x10
"""The guest's number for all IPIs."""


def lines_of(name: str) -> list[str]:
    return gzip.decompress((TRACES / f"{name}.trace.gz").read_bytes()).decode().splitlines()


@pytest.fixture(scope="module")
def log() -> list[str]:
    return lines_of(BOOT)


@pytest.fixture(scope="module")
def entries(log: list[str]) -> list[Entry]:
    return read(log)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads(gzip.decompress((TRACES / f"{BOOT}.json.gz").read_bytes()))


def pages(snapshot: dict[str, Any]) -> dict[int, bytes]:
    """Every event queue of a snapshot, by its address."""
    found = {}
    for queue in snapshot["eqs"]:
        page = bytearray(queue["len"])
        for offset, run in queue["runs"]:
            page[offset : offset + len(run) // 2] = bytes.fromhex(run)
        found[int(queue["addr"], 16)] = bytes(page)
    return found


def test_boot(log: list[str], entries: list[Entry], recorded: dict[str, Any]) -> None:
    xive = machine(entries)
    replay = Replay(xive, entries)
    for snapshot in recorded["snapshots"]:
        replay.run(snapshot["line"])
        assert xive.pic() == snapshot["pic"], snapshot["at"]
        for addr, page in pages(snapshot).items():
            assert xive.memory.read(addr, len(page)) == page, (snapshot["at"], hex(addr))
    replay.run()
    assert replay.compared == sum(line.startswith(PRINTED) for line in log) == 17929
    assert replay.inputs == 6216


def test_nothing_is_left_out(log: list[str], recorded: dict[str, Any]) -> None:
    """The kinds of lines that the model does not print are those of PCI and of the negotiation."""
    kinds = {line.partition(" ")[0] for line in log if not line.startswith(PRINTED)}
    assert all(kind.startswith(("spapr_pci_", "spapr_cas_")) for kind in kinds)
    assert len(log) == recorded["meta"]["lines"]


def counted(text: str) -> dict[int, list[int]]:
    """The guest's /proc/interrupts: how often each of its interrupt numbers came, by CPU."""
    rows = re.findall(r"^ *(\d+):((?: +\d+){4}) ", text, re.MULTILINE)
    return {int(number): [int(count) for count in counts.split()] for number, counts in rows}


class Deliveries:
    """What each CPU was sent, from the event queues: entries by (data, CPU), of queues given up too."""

    def __init__(self, xive: SpaprXive, entries: list[Entry]) -> None:
        self.xive = xive
        configured = [entry.values for entry in entries if entry.event == "spapr_xive_set_queue_config"]
        self.queues = {(page, size): target for _, target, _, page, size in configured if size}

    def now(self) -> Counter[tuple[int, int]]:
        found: Counter[tuple[int, int]] = Counter()
        for (page, size), cpu in self.queues.items():
            queue = self.xive.memory.read(page, 1 << size) or b""
            data = (int.from_bytes(queue[at : at + 4], "big") & 0x7FFFFFFF for at in range(0, len(queue), 4))
            found.update((entry, cpu) for entry in data if entry)
        return found


@pytest.mark.parametrize(
    ("reading", "before", "after"), [(0, "mark rng", "mark moved"), (1, "mark online", "mark end")]
)
def test_the_guest_counted_what_was_sent(
    entries: list[Entry], recorded: dict[str, Any], reading: int, before: str, after: str
) -> None:
    """Devices were quiet while the guest read its counts: equal. IPIs were not: between the snapshots around."""
    at = {snapshot["at"]: snapshot["line"] for snapshot in recorded["snapshots"]}
    replay = Replay(machine(entries), entries)
    deliveries = Deliveries(replay.xive, entries)
    replay.run(at[before])
    least = deliveries.now()
    replay.run(at[after])
    most = deliveries.now()
    counts = counted(recorded["meta"]["proc_interrupts"][reading])
    assert set(counts) >= {number for number, _ in least}
    for number, by_cpu in counts.items():
        for cpu, count in enumerate(by_cpu):
            if number == IPI:
                assert least[number, cpu] <= count <= most[number, cpu]
            else:
                assert least[number, cpu] == count


# What a replay finds

START = [
    f"{CLAIM} lisn=0x0 lsi=0",
    f"{CLAIM} lisn=0x1200 lsi=1",
    "spapr_cas_continue Copy changes to the guest: 1 bytes",
]
QUEUE = "spapr_xive_set_queue_config flags=0x1 target=0x0 priority=0x6 qpage=0x10000 qsize=0x10"
ROUTE = "spapr_xive_set_source_config flags=0x2 lisn=0x1200 target=0x0 priority=0x6 eisn=0x12"
FIND = "xive_presenter_notify found NVT 0x0/0x400 ring=0x10"
SET = [
    "spapr_xive_esb flags=0x0 lisn=0x1200 offset=0xc00 data=0x0",
    "xive_source_esb_read @0x24010c00 IRQ 0x1200 val=0x1",
    "memory_region_ops_read cpu 0 addr 0x6010024010c00 value 0x1 size 8 name 'xive.esb-emulated'",
]
UP = "spapr_xive_set_irq lisn=0x1200 val=1"
GOOD = [*START, QUEUE, ROUTE, *SET, UP, FIND]


def replay_of(lines: list[str], *kinds: str) -> Replay:
    entries = read(lines)
    replay = Replay(machine(entries, memory=ram(1 << 20)), entries, kinds or (TRACE,))
    replay.run()
    return replay


def test_a_short_log() -> None:
    replay = replay_of(GOOD)
    assert (replay.inputs, replay.compared) == (7, 9)
    assert not replay.xive.events.on


def test_raw_lines_are_read_too() -> None:
    """With times, host pointers, line ends, other devices' accesses and messages, and accesses that no CPU makes."""
    by_qtest = "memory_region_ops_write cpu -1 mr 0x55aa addr 0x6010024000000 value 0x7 size 8 name 'xive.esb-emulated'"
    raw = [
        *(f"77@1700000000.123456:{line}\r\n" for line in GOOD),
        "memory_region_ops_read cpu 1 mr 0x55aa addr 0x70 value 0x1 size 1 name 'rtc'",
        "some_device: guest wrote nonsense",
        by_qtest,
        "xive_source_esb_write @0x24000000 IRQ 0x1200 val=0x7",
        "XIVE: queued an event on LSI IRQ 4608",
        "Invalid read at addr 0x10801, size 1, region 'xive.esb-emulated', reason: invalid size (min:8 max:8)",
    ]
    assert replay_of(raw, TRACE, GUEST_ERROR).compared == 12
    assert replay_of(raw).compared == 11


@pytest.mark.parametrize(
    ("lines", "number", "logged", "printed"),  # the ends of what is there
    [
        pytest.param([*GOOD[:-1], FIND.replace("400", "401")], 10, FIND.replace("400", "401"), FIND, id="changed"),
        pytest.param(GOOD[:-1], 10, None, FIND, id="missing at the end"),
        pytest.param([*GOOD[:-1], UP, FIND], 10, UP, FIND, id="missing before an input"),
        pytest.param([*GOOD, FIND], 11, FIND, None, id="too many"),
        pytest.param([*START[:2], FIND, *GOOD[2:]], 3, FIND, None, id="out of nothing"),
        pytest.param([*GOOD[:6], SET[1].replace("val=0x1", "val=0x2"), *SET[2:]], 7, "val=0x2", "val=0x1", id="value"),
        pytest.param([*GOOD[:7], GOOD[2], *GOOD[7:]], 8, GOOD[2], SET[2], id="in between"),
    ],
)
def test_divergence(lines: list[str], number: int, logged: str | None, printed: str | None) -> None:
    with pytest.raises(Divergence) as caught:
        replay_of(lines)
    assert caught.value.line == number
    for have, want in ((caught.value.logged, logged), (caught.value.printed, printed)):
        assert have == want or (have and want and have.endswith(want))
    assert str(caught.value).startswith(f"line {number}: the log has\n  {caught.value.logged or '(ended)'}\n")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("xive_tctx_tm_write @0x20011 sz=1", r"line 4: expected `xive_tctx_tm_write @0x%x sz=%d val=0x%x`, got 'xive_"),
        ("spapr_xive_sync flags=0x0 lisn=zero", r"line 4: expected `spapr_xive_sync flags=0x%x lisn=0x%x`, got"),
        (f"{CLAIM} lisn=0x0 lsi=0", r"line 4: expected what the machine can be given, got IRQ 0 is not free"),
        ("spapr_xive_set_irq lisn=0x1300 val=1", r"line 4: .* LISN 0x1300 is not claimed"),
        (SET[2].replace("cpu 0", "cpu 9"), r"line 4: .* no CPU 9; there are 0"),
        (SET[2].replace("size 8", "size 3"), r"line 4: .* 1, 2, 4 or 8 bytes, not 3"),
        (
            "memory_region_ops_read cpu -1 addr 0x60302031a0010 value 0x0 size 8 name 'xive.tima'",
            r"line 4: .* an access to the TIMA by no CPU",
        ),
    ],
)
def test_lines_that_cannot_be(line: str, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        replay_of([*START, line])


def test_a_log_that_begins_later() -> None:
    with pytest.raises(ProtocolError, match="log: expected `spapr_xive_claim_irq` for IPIs"):
        replay_of([FIND])
