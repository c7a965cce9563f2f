"""What porters of firmware and kernels stumble over, one case a function."""

from outboard.spapr import SpaprXive
from outboard.spec.xive import Ring

QUEUE, EISN = 0x10_0000, 0x13


def machine(cpus: int = 1, always_notify: int = 1) -> SpaprXive:
    """A machine whose IPI 0 goes to CPU 0 at priority 6, ready."""
    xive = SpaprXive(cpus)
    cpu = xive.cpu(0)
    cpu.hcall("H_INT_SET_QUEUE_CONFIG", always_notify, 0, 6, QUEUE, 16)
    cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0, 0, 6, EISN)
    cpu.set_cppr(0xFF)
    cpu.esb(0, 0xC00)
    return xive


def cppr_takes_nothing_back() -> None:
    cpu = machine().cpu(0)
    cpu.trigger(0)
    cpu.set_cppr(0)  # "nothing may interrupt me now": too late
    print(f"after CPPR := 0: line up {cpu.irq()}, acknowledge {cpu.ack():#06x}, CPPR {cpu.ring()['CPPR']}")


def acknowledge_of_nothing() -> None:
    cpu = machine().cpu(0)
    cpu.set_cppr(3)
    print(f"acknowledge without an exception: {cpu.ack():#06x}")


def masked_event_is_lost() -> None:
    xive = machine()
    cpu = xive.cpu(0)
    cpu.hcall("H_INT_SET_SOURCE_CONFIG", 3, 0, 0, 6, EISN)  # masked in the EAS
    cpu.trigger(0)
    cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0, 0, 6, EISN)  # unmasked again
    print(f"masked, triggered, unmasked: PQ {xive.source.pq(0):02b}, line up {cpu.irq()}")
    cpu.trigger(0)  # P is still set, so this only sets Q ...
    print(f"triggered again: PQ {xive.source.pq(0):02b}, line up {cpu.irq()}")
    print(f"an EOI returns {cpu.eoi(0)}: line up {cpu.irq()}")  # ... which the EOI sends


def silent_without_always_notify() -> None:
    cpu = machine(always_notify=0).cpu(0)
    for number in (1, 2):
        cpu.trigger(0)
        end = cpu.xive.router.read_end(6)
        print(f"event {number}: {end.page_off} in the queue, ESn {end.esn:02b}, line up {cpu.irq()}")
        cpu.ack()
        cpu.eoi(0)
        cpu.set_cppr(0xFF)


def two_threads_with_one_cam_line() -> None:
    xive = machine(cpus=2)
    xive.presenter.set_w2(1, Ring.OS, xive.presenter.w2(0, Ring.OS))
    xive.events.listen(lambda event, values: print("  " + xive.events.line(event, values)))
    xive.cpu(0).trigger(0)
    print(f"lines up: {xive.cpu(0).irq()}, {xive.cpu(1).irq()}")


def level_that_stays_up() -> None:
    xive = machine()
    cpu, lsi = xive.cpu(0), 0x1200
    cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, lsi, 0, 6, EISN)
    xive.set_irq(lsi, 1)  # while the source is off
    cpu.esb(lsi, 0xC00)
    print(f"raised while off, then made ready: PQ {xive.source.pq(lsi):02b}, line up {cpu.irq()}")
    print(f"an EOI sends it: returns {cpu.eoi(lsi)}, PQ {xive.source.pq(lsi):02b}, line up {cpu.irq()}")
    cpu.trigger(lsi)  # a store to the page of an LSI queues
    print(f"PQ {xive.source.pq(lsi):02b}, an EOI returns {cpu.eoi(lsi)}, PQ {xive.source.pq(lsi):02b}")


for case in (
    *(cppr_takes_nothing_back, acknowledge_of_nothing, masked_event_is_lost, silent_without_always_notify),
    *(two_threads_with_one_cam_line, level_that_stays_up),
):
    print(f"{case.__name__}:")
    case()
