"""Interrupt modes of a machine: defaults, refusals, who is active, who has which number. Numbers are typed by hand."""

from dataclasses import replace

import pytest

from outboard.errors import LocalError
from outboard.spapr import modes
from outboard.spapr.irq import SpaprIrq
from outboard.spapr.modes import IcMode
from outboard.spapr.numbers import LegacyNumbers, Numbers, vio_lisn
from tests.spapr.rig import END_ESB, ESB, TIMA

EPOW, HOTPLUG, CONSOLE, INTA, MSI = 0x1000, 0x1001, 0x1100, 0x1200, 0x1300
POWER8, POWER9, POWER10 = map(modes.cpu_model, ("power8", "power9", "power10"))
LEVEL = {"power7": 0x0F000003, "power7+": 0x0F100003, "power8": 0x0F000004, "power9": 0x0F000005}


# What a machine is asked to be


@pytest.mark.parametrize(
    ("name", "mode", "vsmt", "cpu"),
    [
        ("pseries-2.8", "legacy", 8, "power8"),
        ("pseries-2.12-sxxm", "legacy", 8, "power8"),
        ("pseries-3.0", "legacy", 8, "power8"),
        ("pseries-3.1", "xics", 8, "power8"),
        ("pseries-4.0", "xics", 8, "power9"),
        ("pseries-4.1", "dual", 8, "power9"),
        ("pseries-4.2", "dual", 1, "power9"),
        ("pseries-7.2", "dual", 1, "power9"),
        ("pseries", "dual", 1, "power9"),
    ],
)
def test_defaults_of_machine_types(name, mode, vsmt, cpu):
    machine = modes.machine_type(name)
    assert (machine.ic_mode, machine.vsmt, machine.cpu) == (mode, vsmt, cpu)
    assert modes.choose(machine, POWER9) is IcMode(mode)


def test_machine_types_that_are_not_modelled():
    for name in ("pseries-2.7", "pseries-8.0", "pseries-5.3", "powernv", ""):
        with pytest.raises(LocalError, match="unsupported machine type"):
            modes.machine_type(name)


def chosen(machine, asked, model=POWER9, compat=0):
    """The mode, or QEMU's words."""
    try:
        return modes.choose(modes.machine_type(machine), model, asked, compat)
    except LocalError as error:
        return str(error)


BAD = 'Bad value for "ic-mode" property'
LEGACY = "This machine only uses the legacy XICS backend, don't pass ic-mode"
NEEDS_9 = "XIVE-only machines require a POWER9 CPU"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("pseries", "xics"), "xics"),
        (("pseries", "xive"), "xive"),
        (("pseries-3.1", "dual"), "dual"),
        (("pseries-4.0", "xive", POWER10), "xive"),
        (("pseries", "legacy"), BAD),
        (("pseries", ""), BAD),
        (("pseries", "XIVE"), BAD),
        (("pseries-3.0", "xics"), LEGACY),
        (("pseries-3.0", "nonsense"), LEGACY),
        (("pseries", "xive", POWER8), NEEDS_9),
        (("pseries", "xive", POWER9, LEVEL["power8"]), NEEDS_9),
        (("pseries", "xive", POWER9, LEVEL["power7+"]), NEEDS_9),
        (("pseries", "xive", POWER10, LEVEL["power9"]), "xive"),
        (("pseries", "dual", POWER8), "xics"),
        (("pseries", None, POWER8), "xics"),
        (("pseries", None, POWER9, LEVEL["power8"]), "xics"),
        (("pseries-3.0", None, POWER8), "legacy"),
    ],
)
def test_what_becomes_of_ic_mode(arguments, answer):
    assert chosen(*arguments) == answer


def test_levels_and_models():
    assert modes.max_compat(POWER9, None) == 0
    assert modes.max_compat(POWER9, "power7+") == 0x0F100003
    with pytest.raises(LocalError, match=r'^Invalid compatibility mode "foo"$'):
        modes.max_compat(POWER9, "foo")
    with pytest.raises(LocalError, match=r"^Compatibility PVR 0x0f000006 not valid for CPU$"):
        modes.max_compat(POWER9, "power10")
    with pytest.raises(LocalError, match="no CPU model"):
        modes.cpu_model("g4")


def test_a_mode_that_is_none():
    with pytest.raises(LocalError, match="one of legacy, xics, xive, dual"):
        SpaprIrq("both")
    with pytest.raises(LocalError, match="max_cpus"):
        SpaprIrq("xics", 2, max_cpus=1)
    with pytest.raises(LocalError, match="max_cpus"):
        SpaprIrq("xive", 1, max_cpus=4096, vsmt=2)


# Who is active, and what is mapped


def regions(irq):
    """Whether ESB pages, TIMA and END ESB pages answer."""
    bus = irq.xive.bus
    answers = []
    for addr, size in ((ESB + 0x10000 + 0x800, 8), (TIMA + 0x10018, 4), (END_ESB, 8)):
        bus.fault = False
        bus.load(0, addr, size)
        answers.append(not bus.fault)
    return tuple(answers)


@pytest.mark.parametrize(
    ("mode", "xics", "xive", "active"),
    [("legacy", 1, 0, "xics"), ("xics", 1, 0, "xics"), ("xive", 0, 1, "xive"), ("dual", 1, 1, "xics")],
)
def test_who_is_there_at_the_start(mode, xics, xive, active):
    irq = SpaprIrq(mode, 2)
    assert (irq.xics is not None, irq.xive is not None) == (bool(xics), bool(xive))
    assert irq.active == active
    assert not irq.xive_negotiated


def test_regions_of_a_dual_machine():
    irq = SpaprIrq("dual", 2)
    assert regions(irq) == (True, True, True)
    irq.update_active(False)
    irq.reset()
    assert regions(irq) == (True, True, True), "XIVE was never active"
    irq.update_active(True)
    assert (irq.active, irq.xive_negotiated, regions(irq)) == ("xive", True, (True, True, False))
    irq.update_active(True)
    assert regions(irq) == (True, True, False)
    irq.update_active(False)
    assert (irq.active, irq.xive_negotiated, regions(irq)) == ("xics", False, (False, False, False))
    irq.update_active(True)
    irq.reset()
    assert (irq.active, irq.xive_negotiated, regions(irq)) == ("xics", False, (False, False, False))


def test_regions_of_a_xive_machine():
    irq = SpaprIrq("xive", 1)
    assert regions(irq) == (True, True, False)
    assert irq.xive.cpu(0).hcall("H_INT_RESET", 0) == (-2,), "not before the negotiation"
    irq.update_active(True)
    assert irq.xive.cpu(0).hcall("H_INT_RESET", 0) == (0,)
    irq.reset()
    assert (irq.active, irq.xive_negotiated, regions(irq)) == ("xive", False, (True, True, False))


def test_a_xics_machine_has_nothing_to_switch():
    irq = SpaprIrq("xics", 1)
    irq.update_active(True)
    assert (irq.active, irq.xive_negotiated) == ("xics", False)


# Inputs


def ready(irq):
    """Route EPOW in both controllers: to server 1 at priority 6, CPU 1 lets it in."""
    irq.xics.ics.write_xive(EPOW, 1, 6, saved=6)
    irq.xics.icp.set_cppr(1, 0xFF)
    xive = irq.xive
    was, xive.negotiated = xive.negotiated, True
    assert xive.cpu(1).hcall("H_INT_SET_QUEUE_CONFIG", 1, 1, 6, 0x100000, 16) == (0,)
    assert xive.cpu(1).hcall("H_INT_SET_SOURCE_CONFIG", 2, EPOW, 1, 6, 0x77) == (0,)
    xive.negotiated = was
    xive.source.set_pq(EPOW, 0)
    xive.tima.store(1, 0x10011, 1, 0xFF)


def test_inputs_reach_the_active_controller_only():
    irq = SpaprIrq("dual", 2)
    ready(irq)
    irq.pulse(EPOW)
    assert irq.xics.icp.xirr[1] == 0xFF001000 and irq.xive.source.pq(EPOW) == 0
    assert irq.xive.memory.load(0x100000, 4) == 0
    assert irq.xics.irq(1) and irq.xive.cpu(1).irq(), "one input, whoever drives it"
    irq.update_active(True)
    assert irq.xive.cpu(1).irq(), "raised by XICS and still high"
    irq.pulse(EPOW)
    assert irq.xive.memory.load(0x100000, 4) == 0x80000077 and irq.xive.source.pq(EPOW) == 2
    assert irq.xics.icp.xirr[1] == 0xFF001000
    irq.update_active(False)
    assert irq.xics.irq(1)
    assert irq.xics.icp.accept(1) == 0xFF001000
    assert not irq.xics.irq(1) and not irq.xive.cpu(1).irq(), "one accept lowers it for both"


def test_a_level_is_not_known_after_a_switch():
    irq = SpaprIrq("dual", 1)
    pins = irq.connect_phb(0)
    irq.set_irq(pins[0], 1)
    irq.update_active(True)
    assert irq.xive.source.tables()["status"][INTA] & 4 == 0
    assert irq.xics.ics.status[INTA - 0x1000] & 1
    irq.set_irq(pins[1], 1)
    assert irq.xive.source.tables()["status"][INTA + 1] & 4
    irq.update_active(False)
    assert irq.xics.ics.status[INTA + 1 - 0x1000] & 1 == 0


def test_inputs_that_are_none():
    irq = SpaprIrq("xive", 1)
    with pytest.raises(LocalError, match="0x1300 is not claimed"):
        irq.pulse(MSI)
    with pytest.raises(LocalError, match="XICS has no LISN 0x0"):
        SpaprIrq("xics", 1).set_irq(0, 1)


# Numbers


def test_claims_at_the_start_and_their_order():
    irq = SpaprIrq("dual", 2, max_cpus=3, vsmt=4)
    told = []
    irq.events.listen(lambda event, values: told.append(irq.events.line(event, values)))
    assert [lisn for lisn in range(0x2000) if irq.xive.is_claimed(lisn)] == [*range(12), EPOW, HOTPLUG]
    assert [lisn for lisn in range(0x1000, 0x2000) if irq.xics.is_claimed(lisn)] == [EPOW, HOTPLUG]
    assert (irq.connect_vio(0x71000000), irq.connect_phb(0)) == (CONSOLE, (INTA, INTA + 1, INTA + 2, INTA + 3))
    assert told == ["spapr_xive_claim_irq lisn=0x1100 lsi=0"] + [
        f"spapr_xive_claim_irq lisn={lisn:#x} lsi=1" for lisn in range(0x1200, 0x1204)
    ]
    assert irq.xive.source.is_lsi(INTA) and irq.xics.ics.flags[INTA - 0x1000] == 1


def test_claims_that_cannot_be():
    irq = SpaprIrq("dual", 1)
    before = irq.snapshot()
    for lisn in (0, 0xFFF, 0x2000, -1, "1"):
        with pytest.raises(LocalError):
            irq.claim(lisn)
    with pytest.raises(LocalError, match="IRQ 4096 is not free"):
        irq.claim(EPOW)
    for index in (-1, 31, "0"):
        with pytest.raises(LocalError, match="PHBs have the indexes 0 to 30"):
            irq.connect_phb(index)
    assert irq.snapshot() == before
    assert irq.connect_phb(30) == (0x1278, 0x1279, 0x127A, 0x127B)


@pytest.mark.parametrize(
    ("reg", "lisn"),
    [
        (0x71000000, 0x1100),
        (0x71000003, 0x1103),
        (0x710000FF, 0x11FF),
        (0x30002000, 0x11F2),
        (0x3000F000, 0x11FF),
        (0x2000, 0x1102),
        (0xFF000, 0x11FF),
    ],
)
def test_numbers_of_vio_devices(reg, lisn):
    assert vio_lisn(reg) == lisn


def test_msis_are_aligned_where_qemu_does_not_mean_to():
    numbers = Numbers()
    assert [numbers.msis(3, msix=False), numbers.msis(2, msix=False)] == [0x1300, 0x1303]
    assert numbers.msis(2, msix=True) == 0x1306, "0x1305 is free"
    assert numbers.msis(1, msix=False) == 0x1305
    assert numbers.msis(1, msix=True) == 0x1308
    numbers.release(range(0x1300, 0x1303))
    assert numbers.msis(4, msix=True) == 0x130A
    assert numbers.msis(3, msix=True) == 0x1300


def test_no_msi_is_given_that_is_not_free():
    numbers = Numbers()
    assert numbers.msis(0xD01, msix=False) is None
    assert numbers.msis(0, msix=True) is None
    assert numbers.msis(0xD00, msix=True) == 0x1300
    assert numbers.msis(1, msix=False) is None
    numbers.release([0x1FFF])
    assert numbers.msis(1, msix=True) is None
    assert numbers.msis(1, msix=False) == 0x1FFF


def test_msis_are_claimed_and_given_back():
    irq = SpaprIrq("dual", 1)
    assert irq.allocate_msis(3, msix=True) == MSI
    assert irq.allocate_msis(1, msix=False) == MSI + 3
    assert irq.xive.is_claimed(MSI + 2) and irq.xics.is_claimed(MSI + 2)
    irq.release_msis(MSI)
    assert not irq.xive.is_claimed(MSI) and not irq.xics.is_claimed(MSI + 2)
    assert irq.xive.is_claimed(MSI + 3)
    with pytest.raises(LocalError, match="no MSIs were allocated at 4864"):
        irq.release_msis(MSI)
    told = []
    irq.events.listen(lambda event, values: told.append(irq.events.line(event, values)))
    before = irq.snapshot()
    assert irq.allocate_msis(0xD00, msix=False) is None
    assert told == ["can't find a free 3328-IRQ block"]
    assert irq.snapshot() == before


def test_a_reset_gives_msis_back_after_the_controllers_were_reset():
    irq = SpaprIrq("dual", 1)
    irq.allocate_msis(2, msix=False)
    irq.update_active(True)
    irq.reset()
    assert not irq.xive.is_claimed(MSI) and not irq.xics.is_claimed(MSI)
    assert irq.allocate_msis(1, msix=False) == MSI
    assert irq.xics.ics.priority[MSI - 0x1000] == 0, "not masked: freeing is what cleared it last"
    assert irq.xics.ics.priority[EPOW - 0x1000] == 0xFF


def test_numbers_of_legacy_machines():
    irq = SpaprIrq("legacy", 1, vsmt=8)
    assert irq.xics.count == 0x400
    assert (irq.epow, irq.hotplug, irq.connect_vio(0x71000000), irq.connect_vio(0x71000001)) == (
        0x1000,
        0x1001,
        0x1002,
        0x1003,
    )
    assert irq.connect_phb(0) == (0x1004, 0x1005, 0x1006, 0x1007)
    assert irq.allocate_msis(1, msix=True) == 0x1008
    assert irq.allocate_msis(4, msix=False) == 0x100C, "aligned to its count"
    assert irq.allocate_msis(2, msix=True) == 0x1009
    numbers = LegacyNumbers()
    assert numbers.msis(0x400, msix=True) == 0x1000
    with pytest.raises(LocalError, match="free IRQ"):
        numbers.vio(0)


# CPUs and pictures


@pytest.mark.parametrize("mode", ["xics", "xive", "dual"])
def test_cpus_come_and_go(mode):
    irq = SpaprIrq(mode, 1, max_cpus=2, vsmt=8)
    irq.plug(1)
    there = [controller.order for controller in (irq.xics, irq.xive) if controller]
    assert all(order == [0, 1] for order in there)
    irq.unplug(0)
    with pytest.raises(LocalError, match="last one"):
        irq.unplug(1)
    assert all(list(controller.order) == [1] for controller in (irq.xics, irq.xive) if controller)


@pytest.mark.parametrize("mode", ["legacy", "xics", "xive", "dual"])
def test_snapshots(mode):
    irq = SpaprIrq(mode, 2)
    irq.connect_phb(0)
    start = irq.snapshot()
    irq.allocate_msis(2, msix=False)
    irq.update_active(True)
    irq.set_irq(irq.epow, 1)
    irq.unplug(1)
    later = irq.snapshot()
    assert later != start
    irq.restore(start)
    assert irq.snapshot() == start
    assert irq.active == ("xive" if mode == "xive" else "xics")
    irq.restore(later)
    assert irq.snapshot() == later
    assert irq.active == ("xive" if mode in ("xive", "dual") else "xics")
    first = next(iter(irq.msis))
    irq.release_msis(first)


def test_snapshots_of_others_change_nothing():
    irq = SpaprIrq("dual", 2)
    irq.update_active(True)
    before = irq.snapshot()
    for other in (SpaprIrq("xive", 2).snapshot(), SpaprIrq("dual", 3).snapshot(), None):
        with pytest.raises(LocalError):
            irq.restore(other)
    assert irq.snapshot() == before


def test_a_snapshot_that_was_changed_changes_nothing():
    irq = SpaprIrq("dual", 2)
    irq.pulse(EPOW)
    before = irq.snapshot()
    irq.update_active(True)
    irq.allocate_msis(1, msix=True)
    now = irq.snapshot()
    parts = ({"xive": None}, {"xics": None}, {"xive": SpaprIrq("dual", 3).snapshot().xive}, {"taken": b""})
    for part in parts:
        with pytest.raises(LocalError):
            irq.restore(replace(before, **part))
        assert irq.snapshot() == now


def test_info_pic_is_of_the_active_controller():
    irq = SpaprIrq("dual", 1)
    assert "XIRR=" in irq.pic() and "CPPR IPB" not in irq.pic()
    irq.update_active(True)
    assert "XIRR=" not in irq.pic() and "CPPR IPB" in irq.pic()
