"""XIVE and XICS as a guest drives them: what is handled, where, and that nothing is lost or handled twice."""

import pytest
from hypothesis import settings

from outboard.errors import LocalError
from tests.machine.guest.rig import LSI, Rig
from tests.machine.guest.schedules import Schedules

pytestmark = pytest.mark.alike

MODES = ("xive", "xics")
FEW = settings(max_examples=60, stateful_step_count=60, deadline=None)


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture(params=[1, 8])
def rig(request, mode):
    return Rig(mode, cpus=3, vsmt=request.param)


def collect(rig, lisn, lsi=False, target=None):
    """Request a source; return where its interrupts are noted, by CPU."""
    seen = []
    rig.ic.request(rig.cpus[0], lisn, lambda cpu, number: seen.append((cpu.index, number)), lsi, target)
    return seen


def test_a_message_is_handled_on_its_cpu_and_ended(rig):
    seen = collect(rig, rig.msis[1], target=2)
    for _ in range(3):
        rig.irq.pulse(rig.msis[1])
        assert [cpu.irq() for cpu in rig.cpus] == [False, False, True]
        assert rig.ic.handle(rig.cpus[2]) == 1
    assert seen == [(2, rig.msis[1])] * 3
    assert rig.ic.counters.sources == {rig.msis[1]: 3} and rig.settle() == 0


def test_a_level_comes_again_until_it_is_low(rig):
    seen = []

    def lower_at_third(cpu, lisn):
        seen.append(cpu.index)
        if len(seen) == 3:
            rig.irq.set_irq(LSI, 0)

    rig.ic.request(rig.cpus[0], LSI, lower_at_third, True, 1)
    rig.irq.set_irq(LSI, 1)
    rig.settle()
    assert seen == [1, 1, 1] and not any(cpu.irq() for cpu in rig.cpus)


def test_a_level_that_is_high_before_anybody_asks_is_seen(rig):
    rig.irq.set_irq(LSI, 1)
    rig.ic.request(rig.cpus[0], LSI, lambda cpu, lisn: rig.irq.set_irq(LSI, 0), True)
    assert rig.settle() == 1


def test_an_event_while_the_handler_runs_is_handled_behind_it(rig):
    again = [2]

    def handler(cpu, lisn):
        if again[0]:
            again[0] -= 1
            rig.irq.pulse(lisn)

    rig.ic.request(rig.cpus[0], rig.msis[0], handler)
    rig.irq.pulse(rig.msis[0])
    rig.settle()
    assert rig.ic.counters.sources[rig.msis[0]] == 3


@pytest.mark.parametrize("lsi", [False, True])
def test_what_comes_while_it_is_masked_comes_when_it_is_not(rig, lsi):
    lisn = LSI if lsi else rig.msis[0]
    seen = []

    def handler(cpu, number):
        seen.append(number)
        if lsi:
            rig.irq.set_irq(lisn, 0)

    rig.ic.request(rig.cpus[0], lisn, handler, lsi)
    rig.ic.mask(rig.cpus[0], lisn)
    if lsi:
        rig.irq.set_irq(lisn, 1)
    else:
        rig.irq.pulse(lisn)
    rig.settle()
    assert seen == [] and rig.ic.counters.held == 1
    rig.ic.unmask(rig.cpus[0], lisn)
    rig.settle()
    assert seen == [lisn]


def test_moves_take_effect_for_the_next_event(rig):
    seen = collect(rig, rig.msis[0], target=0)
    rig.irq.pulse(rig.msis[0])
    rig.ic.set_affinity(rig.cpus[0], rig.msis[0], 2)
    rig.settle()
    rig.irq.pulse(rig.msis[0])
    rig.settle()
    assert seen == [(0, rig.msis[0]), (2, rig.msis[0])]


@pytest.mark.parametrize("lsi", [False, True])
def test_an_event_that_waits_for_a_cpu_that_goes_is_handled_by_another(rig, lsi):
    lisn = LSI if lsi else rig.msis[3]
    seen = []

    def handler(cpu, number):
        seen.append(cpu.index)
        if lsi:
            rig.irq.set_irq(lisn, 0)

    rig.ic.request(rig.cpus[0], lisn, handler, lsi, 2)
    if lsi:
        rig.irq.set_irq(lisn, 1)
    else:
        rig.irq.pulse(lisn)
    assert rig.cpus[2].irq()
    rig.ic.stop_cpu(rig.cpus[2])
    rig.settle()
    assert len(seen) == 1 and seen[0] != 2
    with pytest.raises(LocalError, match="CPU 2 is not online"):
        rig.ic.set_affinity(rig.cpus[0], lisn, 2)
    rig.ic.setup_cpu(rig.cpus[2])
    rig.ic.set_affinity(rig.cpus[0], lisn, 2)
    if lsi:
        rig.irq.set_irq(lisn, 1)
    else:
        rig.irq.pulse(lisn)
    rig.settle()
    assert len(seen) == 2 and seen[1] == 2


def test_ipis_reach_who_is_meant(rig):
    got = []
    rig.ic.on_ipi = lambda cpu: got.append(cpu.index)
    for sender, target in ((0, 1), (1, 2), (2, 0), (1, 1)):
        rig.ic.send_ipi(rig.cpus[sender], target)
        rig.settle()
    assert got == [1, 2, 0, 1] and rig.ic.counters.ipis == {0: 1, 1: 2, 2: 1}


def test_an_ipi_that_waits_for_a_cpu_that_goes_is_handled_by_it(rig):
    got = []
    rig.ic.on_ipi = lambda cpu: got.append(cpu.index)
    rig.ic.send_ipi(rig.cpus[0], 1)
    rig.ic.stop_cpu(rig.cpus[1])
    rig.settle()
    assert got == [1]


def test_a_freed_source_is_silent(rig):
    seen = collect(rig, rig.msis[0])
    rig.irq.pulse(rig.msis[0])
    rig.ic.free(rig.cpus[0], rig.msis[0])
    rig.irq.pulse(rig.msis[0])
    rig.settle()
    assert seen == [] and rig.ic.counters.stale == 1
    again = collect(rig, rig.msis[0])
    rig.irq.pulse(rig.msis[0])
    rig.settle()
    kept = rig.mode == "xics"  # which keeps what comes while it is masked
    assert seen == [] and again == [(0, rig.msis[0])] * (2 if kept else 1)


def test_a_handler_may_free_its_own_source(rig):
    rig.ic.request(rig.cpus[0], rig.msis[0], lambda cpu, lisn: rig.ic.free(cpu, lisn))
    rig.irq.pulse(rig.msis[0])
    assert rig.settle() == 1
    rig.irq.pulse(rig.msis[0])
    assert rig.settle() == 0


def test_a_queue_goes_round():
    rig = Rig("xive", cpus=1)
    seen = collect(rig, rig.msis[0])
    entries = (1 << 16) // 4
    for _ in range(2 * entries + 3):
        rig.irq.pulse(rig.msis[0])
        assert rig.ic.handle(rig.cpus[0]) == 1
    assert len(seen) == 2 * entries + 3


def test_an_exception_with_nothing_behind_it_is_counted_and_no_more():
    rig = Rig("xive", cpus=1)
    rig.cpus[0].store(rig.ic.tima + 0x812, 1, 6)  # priority 6 becomes pending, no event
    assert rig.cpus[0].irq() and rig.ic.handle(rig.cpus[0]) == 0 and not rig.cpus[0].irq()
    assert rig.ic.handle(rig.cpus[0]) == 0
    assert rig.ic.counters.spurious == {0: 2}


def test_what_is_taken_with_another_leaves_an_exception_behind():
    rig = Rig("xive", cpus=1)
    seen = collect(rig, rig.msis[1])
    rig.ic.request(rig.cpus[0], rig.msis[0], lambda cpu, lisn: rig.irq.pulse(rig.msis[1]))
    rig.irq.pulse(rig.msis[0])
    assert rig.ic.handle(rig.cpus[0]) == 2 and len(seen) == 1
    assert rig.cpus[0].irq() and rig.ic.handle(rig.cpus[0]) == 0
    assert rig.ic.counters.spurious == {0: 1}


def test_mistakes_are_said(rig):
    cpu = rig.cpus[0]
    rig.ic.request(cpu, rig.msis[0], lambda *_: None)
    for call, says in (
        (lambda: rig.ic.setup_cpu(cpu), "CPU 0 is set up already"),
        (lambda: rig.ic.request(cpu, rig.msis[0], lambda *_: None), "has a handler already"),
        (lambda: rig.ic.free(cpu, rig.msis[1]), "has no handler"),
        (lambda: rig.ic.send_ipi(cpu, 7), "CPU 7 is not online; online: 0, 1, 2"),
    ):
        with pytest.raises(LocalError, match=says):
            call()
    rig.ic.stop_cpu(rig.cpus[1])
    rig.ic.stop_cpu(rig.cpus[2])
    with pytest.raises(LocalError, match="the last one online"):
        rig.ic.stop_cpu(cpu)


class XiveSchedules(Schedules):
    mode = "xive"


class XicsSchedules(Schedules):
    mode = "xics"


TestXiveSchedules = XiveSchedules.TestCase
TestXicsSchedules = XicsSchedules.TestCase
TestXiveSchedules.settings = TestXicsSchedules.settings = FEW
