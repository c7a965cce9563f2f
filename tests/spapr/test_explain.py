"""`explain` against what the model then does: every prediction comes true, and every sentence has its state."""

import random
import re

import pytest

from outboard.errors import LocalError
from outboard.guest.ram import ram
from outboard.spapr.explain import explain
from outboard.spapr.xive import SpaprXive
from outboard.spec.papr import TIMA_BASE
from outboard.spec.xive import END

MSI, LSI, IPI = 0x1300, 0x1200, 1
HW, HV = TIMA_BASE, TIMA_BASE + 0x10000
QUEUE = 0x100_0000


def route(xive, lisn, target=0, priority=6, eisn=0x10, flags=1, mask=0):
    """Configure a queue and send a source there."""
    assert xive.cpu(xive.order[0]).hcall("H_INT_SET_QUEUE_CONFIG", flags, target, priority, QUEUE, 16) == (0,)
    assert xive.cpu(xive.order[0]).hcall("H_INT_SET_SOURCE_CONFIG", 2 | mask, lisn, target, priority, eisn) == (0,)


def machine(lisn=MSI, is_lsi=False, cpus=2, pq=0, **options):
    """A machine that delivers the events of one source to CPU 0."""
    xive = SpaprXive(cpus, **options)
    if not xive.is_claimed(lisn):
        xive.claim(lisn, is_lsi)
    route(xive, lisn)
    xive.cpu(0).set_cppr(0xFF)
    xive.cpu(0).esb(lisn, 0xC00 + 0x100 * pq)
    return xive


def places(explanation):
    return {step.place: step for step in explanation.steps}


def said(xive, lisn=MSI):
    """The whole text, after every prediction in it was tried."""
    comes_true(xive, lisn)
    return "\n".join(explain(xive, lisn).lines())


def lines_up(xive):
    return [index for index in xive.order if xive.cpu(index).irq()]


def comes_true(xive, lisn):
    """Do each of the actions from here and compare what happens with what was told; leave the machine as it was."""
    start, told, heard = xive.snapshot(), explain(xive, lisn), []
    cpu = xive.cpu(xive.order[0])
    assert xive.snapshot() == start, "explaining changes nothing"
    assert any(step.blocks for step in told.steps) == (not told.trigger.leaves or bool(told.fate and told.fate.stops))
    actions = [(told.trigger, lambda: cpu.trigger(lisn)), (told.eoi, lambda: cpu.eoi(lisn))]
    if xive.is_claimed(lisn):
        actions.append((told.line, lambda: xive.set_irq(lisn, 1)))
    for after, action in actions:
        up = lines_up(xive)
        heard.clear()
        hook = lambda event, values: heard.append(event)  # noqa: E731
        xive.events.listen(hook)
        action()
        xive.events.unlisten(hook)
        assert xive.source.pq(lisn) == after.pq
        if after.leaves and told.fate:
            happened(xive, told, start, up, heard)
        elif not after.leaves:
            assert lines_up(xive) == up
            assert xive.snapshot().pages == start.pages
        xive.restore(start)


def happened(xive, told, start, up, heard):
    """Compare what an event did with its fate."""
    entry, cpu, stops = told.fate
    if entry:
        addr, word = entry
        assert xive.memory.load(addr, 4) == word
    else:
        assert xive.snapshot().pages == start.pages
    assert lines_up(xive) == (up if cpu is None else [index for index in xive.order if index in {*up, cpu}])
    assert ("xive_tctx_notify" in heard) == (cpu is not None)
    masked = "masked" in next(step.says for step in told.steps if step.place == "EAS")
    errors = {"EAS": set() if masked else {"invalid_lisn"}, "END": {"invalid_end"}, "vCPU": {"no_nvt"}}
    assert {"invalid_lisn", "invalid_end", "no_nvt"} & set(heard) == errors.get(stops, set())


# One state after the other


def test_an_event_that_gets_through():
    xive = machine()
    text = said(xive)
    assert "LISN 0x1300, PCI MSI: MSI, claimed" in text
    assert "PQ 00: ready" in text
    assert "routed to END 0x6 (target 0, priority 6), EISN 0x10" in text
    assert "16384 entries at 0x1000000; next is 0, generation 1; no entry in this round yet" in text
    assert "CPPR       0xff, IPB 0x00: priority 6 gets through" in text
    sends = "makes PQ 10 and sends an event, which writes 0x80000010 at 0x1000000 and raises the external interrupt"
    assert f"> the next trigger {sends} of CPU 0" in text
    assert not any(step.blocks for step in explain(xive, MSI).steps)
    xive.pulse(MSI)
    text = said(xive)
    assert "PQ 10: P is set, an EOI is awaited; until then a trigger only sets Q" in text
    assert "EISN 0x10 is in 1 of the last 1" in text
    assert "CPU 0 has an exception that it has not acknowledged, its external interrupt is up" in text
    assert "> the next trigger makes PQ 11 and sends nothing" in text
    assert "> an EOI makes PQ 00 and sends nothing" in text
    xive.pulse(MSI)
    text = said(xive)
    assert "Q holds one more event" in text
    assert "> the next trigger leaves PQ 11 and sends nothing" in text
    assert "> an EOI makes PQ 10 and sends an event, which writes 0x80000010 at 0x1000004 and finds the" in text


@pytest.mark.parametrize("pq", range(4))
@pytest.mark.parametrize("high", [False, True])
def test_all_states_of_an_lsi(pq, high):
    xive = machine(LSI, is_lsi=True, pq=pq)
    if high:
        xive.cpu(0).esb(LSI, 0xD00)
        xive.set_irq(LSI, 1)
        xive.cpu(0).esb(LSI, 0xC00 + 0x100 * pq)
    text = said(xive, LSI)
    assert f"LISN 0x1200, INTA of PHB 0: LSI, claimed, input {'high' if high else 'low'}" in text
    assert f"PQ {pq:02b}: " in text
    assert ("as the input is high, an EOI sends an event" in text) == (high and pq in (0, 2))
    assert "> raising the input " in text


def test_a_source_that_is_off():
    assert "PQ 01: off, a trigger does nothing; a load at offset 0xc00 makes it ready" in said(machine(pq=1))


def test_a_number_that_nobody_claimed():
    xive = machine()
    xive.free(MSI)
    assert "MSI, not claimed" in said(xive)
    assert "which stops at the EAS" in said(xive)
    assert "LISN 0x1002, unused: MSI, not claimed" in said(xive, 0x1002)


def test_masked_sources():
    xive = machine()
    route(xive, MSI, mask=1)
    assert "masked: an event is lost here; it keeps its route to END 0x6" in said(xive)
    assert xive.cpu(0).hcall("H_INT_SET_SOURCE_CONFIG", 0, MSI, 0, 0xFF, 0) == (0,)
    assert said(xive).endswith("PQ 00 and sends nothing") and "masked: an event is lost here\n" in said(xive)


def test_a_queue_that_is_not_there():
    xive = machine()
    assert xive.cpu(0).hcall("H_INT_SET_QUEUE_CONFIG", 0, 0, 6, 0, 0) == (0,)
    assert "END 0x6 (target 0, priority 6) is not configured" in said(xive)


def test_a_queue_that_notifies_once():
    xive = machine()
    route(xive, MSI, flags=0)
    assert "00: the next event is notified, the ones after it only recorded" in said(xive)
    xive.pulse(MSI)
    xive.cpu(0).eoi(MSI)
    text = said(xive)
    assert "x ESn" in text
    assert "10: nobody is notified until H_INT_SET_QUEUE_CONFIG configures the queue anew" in text
    assert "writes 0x80000010 at 0x1000004 and stops at the ESn" in text
    xive.set_regions(esb_and_tima=True, end_esb=True)
    assert "or a load of its END ESB page" in said(xive)
    xive.cpu(0).load(xive.bus.end_base + 6 * 0x20000 + 0xC00, 8)
    assert "x ESn" not in said(xive)


def test_a_queue_whose_memory_went():
    memory = ram(256 << 20)
    xive = machine(memory=memory)
    region = memory.regions[0]
    memory.remove(region.guest_addr, region.size, region.user_addr)
    assert "which is no memory: an event is not recorded, and goes on" in said(xive)


def test_a_queue_that_wraps():
    xive = machine()
    assert xive.cpu(0).hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, QUEUE, 12) == (0,)
    for _ in range(1024):
        xive.pulse(MSI)
        xive.cpu(0).eoi(MSI)
    text = said(xive)
    assert "1024 entries at 0x1000000; next is 0, generation 0; no entry in this round yet" in text
    assert "writes 0x00000010 at 0x1000000" in text


def test_a_vcpu_that_went():
    xive = machine(cpus=2)
    route(xive, MSI, target=1)
    assert "target 1 is CPU 1" in said(xive)
    xive.unplug(1)
    assert "target 1 is not plugged: an event is a guest error" in said(xive)


def test_targets_are_ids():
    xive = SpaprXive(2, vsmt=8)
    xive.claim(MSI)
    route(xive, MSI, target=8)
    xive.cpu(0).esb(MSI, 0xC00)
    assert "target 8 is CPU 1" in said(xive)
    assert "line 0x408 is on CPU 1's OS ring" in said(xive)


def test_a_context_that_was_pulled():
    xive = machine()
    xive.cpu(0).load(HV + 0x818, 4)
    assert "line 0x400 is on no CPU, as the OS context of CPU 0 is pulled" in said(xive)
    xive.cpu(0).store(HV + 0x18, 4, 0x80000123)
    assert "line 0x400 is on no CPU, as CPU 0 has line 0x123" in said(xive)
    xive.cpu(1).store(HV + 0x18, 4, 0x80000400)
    assert "line 0x400 is on CPU 1's OS ring" in said(xive)
    xive.cpu(0).store(HV + 0x18, 4, 0x80000400)
    assert "line 0x400 is on CPU 0 and CPU 1: a guest error, nobody is notified" in said(xive)


def test_a_line_on_the_pool_ring():
    xive = machine()
    xive.cpu(0).store(HW + 0x28, 4, 0x80000400)
    assert "line 0x400 is on CPU 0's POOL ring, which raises no interrupt" in said(xive)


def test_what_cppr_holds_back():
    xive = machine()
    for cppr, through in ((0, False), (5, False), (6, False), (7, True), (0xFF, True)):
        xive.cpu(0).set_cppr(cppr)
        assert ("priority 6 gets through" if through else "priority 6 is held back") in said(xive)
    xive.cpu(0).set_cppr(4)
    xive.cpu(0).set_pending(4)
    assert "0x04, IPB 0x08: priority 4, pending and more favoured than 6, is held back, and waits in the" in said(xive)


def test_exceptions_and_lines():
    xive = machine()
    assert "CPU 0 has no exception, its external interrupt is down" in said(xive)
    xive.cpu(0).set_pending(3)
    assert "not acknowledged, its external interrupt is up" in said(xive)
    xive.cpu(0).load(HV + 0x818, 4)
    xive.cpu(0).store(HW + 0x18, 8, 0x8000040000000000)
    assert "not acknowledged, its external interrupt is down" in said(xive)
    xive.cpu(0).ack()
    assert "CPU 0 has no exception" in said(xive)


def test_pages_that_are_not_mapped():
    xive = machine()
    xive.set_regions(esb_and_tima=False, end_esb=False)
    text = said(xive)
    assert "x ESB pages  not mapped" in text
    assert "> the next trigger leaves PQ 00 and sends nothing" in text


def test_sources_whose_pq_the_router_checks():
    xive = machine(source_flags=4)
    said(xive)
    xive.pulse(MSI)
    assert "P is set, but EOIs are refused here" in said(xive)


def test_ends_that_no_hypercall_makes():
    xive = machine()
    end = xive.router.read_end(6)
    xive.router.set_end(6, end.replace(escalate_ctl=1, backlog=1))
    assert "has escalate_ctl, backlog, which no hypercall sets: not explained" in said(xive)
    assert "reaches an END that is not explained" in said(xive)
    xive.router.set_end(6, END(*end.words[:7], END.priority.put(0, 0xFF)))
    assert "has priority 0xff" in said(xive)
    xive.router.set_end(6, end.replace(enqueue=0))
    assert "none: events are notified and not recorded" in said(xive)


@pytest.mark.parametrize("lisn", [-1, 0x2000, 1 << 64])
def test_numbers_that_there_are_not(lisn):
    with pytest.raises(LocalError, match="does not exist"):
        explain(machine(), lisn)


# All states that a guest brings about


def random_operation(xive, dice, lisns):
    cpu = xive.cpu(dice.choice(xive.order))
    lisn, target, priority = dice.choice(lisns), dice.randrange(4), dice.choice([5, 6, 6, 6, 7])
    w2 = dice.choice([0, 0x400, 0x80000400, 0x80000401, 0x80000402, 0x80000123])
    operations = [
        lambda: cpu.trigger(lisn),
        lambda: xive.is_claimed(lisn) and xive.set_irq(lisn, dice.randrange(2)),
        lambda: cpu.eoi(lisn),
        lambda: cpu.esb(lisn, 0xC00 + 0x100 * dice.choice([0, 0, 0, 1, 2, 3])),
        lambda: cpu.store(0x6010000010000 + lisn * 0x20000 + 0x800, 8, 0),
        cpu.ack,
        lambda: cpu.set_cppr(dice.choice([0xFF, 0xFF, *range(9)])),
        lambda: cpu.set_pending(priority),
        lambda: cpu.hcall("H_INT_SET_SOURCE_CONFIG", dice.choice([2, 2, 2, 0, 3]), lisn, target, priority, 0x10 + lisn),
        lambda: cpu.hcall("H_INT_SET_SOURCE_CONFIG", 0, lisn, 0, 0xFF, 0),
        lambda: cpu.hcall("H_INT_SET_QUEUE_CONFIG", dice.randrange(2), target, priority, 0x1000 * target, 12),
        lambda: cpu.hcall("H_INT_SET_QUEUE_CONFIG", 0, target, priority, 0, dice.choice([0, 12, 12])),
        lambda: cpu.load(HV + 0x818, 4),
        lambda: cpu.store(HV + 0x18, 4, dice.choice([w2, 0x80000400 + cpu.vcpu_id])),
        lambda: cpu.store(HV + 0x18, 4, 0x80000400 + cpu.vcpu_id),
        lambda: cpu.store(HW + dice.choice([0x10, 0x18, 0x28]), 4, dice.choice([w2, dice.getrandbits(32)])),
        lambda: xive.is_claimed(lisn) and xive.free(lisn),
        lambda: xive.is_claimed(lisn) or xive.claim(lisn, dice.randrange(4) == 0),
        lambda: len(xive.order) > 1 and xive.unplug(cpu.index),
        lambda: len(xive.order) < 4 and xive.plug(next(index for index in range(4) if index not in xive.order)),
    ]
    rare = [lambda: xive.reset(), lambda: setattr(xive, "negotiated", True)]
    dice.choice(rare if dice.randrange(60) == 0 else operations)()
    xive.negotiated = True


def test_every_prediction_comes_true():
    stops = []
    for seed in range(16):
        dice = random.Random(seed)
        xive = SpaprXive(3, max_cpus=4)
        lisns = [0, 1, LSI, LSI + 1, MSI, 0x1002]
        for number, lisn in enumerate(lisns[:5]):
            if not xive.is_claimed(lisn):
                xive.claim(lisn)
            route(xive, lisn, target=number % 3, flags=seed % 2)
            xive.cpu(0).esb(lisn, 0xC00)
            xive.cpu(number % 3).set_cppr(0xFF)
        for _ in range(100):
            random_operation(xive, dice, lisns)
            lisn = dice.choice(lisns)
            comes_true(xive, lisn)
            told = explain(xive, lisn)
            stops.append(told.fate.stops)
            assert all(re.fullmatch(r"[ -~]{1,160}", line) for line in told.lines())
    for place in ("", "EAS", "END", "ESn", "vCPU", "CAM", "CPPR"):
        assert stops.count(place) >= 10, (place, "was hardly seen")
