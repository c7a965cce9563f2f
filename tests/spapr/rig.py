"""What the tests of the pseries controller share: a machine, and a way for its events. Numbers are typed by hand."""

from outboard.spapr import SpaprXive

ESB, END_ESB, TIMA = 0x6010000000000, 0x6010040000000, 0x6030203180000
MSI, LSI = 0x1300, 0x1200
SUCCESS = (0,)


def machine(cpus=2, **options):
    """A machine whose told lines are kept, with an MSI and an LSI."""
    xive = SpaprXive(cpus, sources=[(0, False), (MSI, False), (LSI, True)], **options)
    told = []
    xive.events.listen(lambda event, values: told.append(xive.events.line(event, values)))
    return xive, told


def route(xive, target, lisn=MSI, prio=6, by=0):
    """Send a source to a target's priority."""
    cpu = xive.cpu(by)
    assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, target, prio, 0x100000 + target % 0xF00 * 0x10000, 16) == SUCCESS
    assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, lisn, target, prio, 0x77) == SUCCESS
    cpu.esb(lisn, 0xC00)
