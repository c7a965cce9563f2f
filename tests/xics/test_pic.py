"""`info pic` while XICS is active, against a text that QEMU 7.2 printed."""

import pytest

from outboard.xics import Xics
from tests.xics.rig import LSI, MSI, Machine

pytestmark = pytest.mark.alike

LINUX = """\
CPU 0 XIRR=ff000000 ((nil)) PP=ff MFRR=ff
CPU 1 XIRR=ff000000 ((nil)) PP=ff MFRR=ff
CPU 2 XIRR=ff000000 ((nil)) PP=ff MFRR=ff
CPU 3 XIRR=ff000000 ((nil)) PP=ff MFRR=ff
ICS 1000..1fff 0x564c0cbbaf40
  1000 MSI 05 00
  1001 MSI 05 00
  1100 MSI 05 00
  1101 MSI ff 00
  1200 LSI ff 00
  1201 LSI ff 00
  1202 LSI ff 00
  1203 LSI ff 00
irqchip: emulated
"""


def test_four_cpus_that_run_linux():
    xics = Xics((0, 1, 2, 3))
    for cpu in range(4):
        xics.icp.set_cppr(cpu, 0xFF)
    for number in (0x1000, 0x1001, 0x1100, 0x1101):
        xics.claim(number)
        if number != 0x1101:
            xics.ics.write_xive(number, 0, 5, 5)
    for number in range(0x1200, 0x1204):
        xics.claim(number, is_lsi=True)
    assert xics.pic(0x564C0CBBAF40) == LINUX


def test_what_is_presented_has_its_owner():
    machine = Machine((0, 8))
    machine.put_icp(0xFF001300, 5, 3, 1)
    machine.put_icp(0x06000002, 4, 4, 0, cpu=1)
    machine.put_ics(MSI, priority=5, status=0xC)
    machine.put_ics(LSI, priority=0, status=3)
    lines = machine.xics.pic(0xABC).splitlines()
    assert lines[:3] == [
        "CPU 0 XIRR=ff001300 (0xabc) PP=05 MFRR=03",
        "CPU 1 XIRR=06000002 ((nil)) PP=04 MFRR=04",
        "ICS 1000..1fff 0xabc",
    ]
    assert "  1300 MSI 05 0c" in lines and "  1200 LSI 00 03" in lines


def test_without_an_address_it_is_1():
    machine = Machine()
    machine.put_icp(0xFF001300, 5, 0xFF, 1)
    assert machine.xics.pic().splitlines()[0] == "CPU 0 XIRR=ff001300 (0x1) PP=05 MFRR=ff"
    assert machine.xics.pic().splitlines()[2] == "ICS 1000..1fff 0x1"


def test_cpus_come_in_the_order_in_which_they_were_plugged():
    machine = Machine((0, 1, 2), cpus=2)
    machine.xics.plug(2)
    machine.xics.unplug(0)
    machine.xics.plug(0)
    assert [line.split()[1] for line in machine.xics.pic().splitlines()[:3]] == ["1", "2", "0"]


def test_the_numbers_of_an_older_machine():
    assert Xics((0,), 0x1000, 0x400).pic().splitlines()[1] == "ICS 1000..13ff 0x1"
    assert Xics((0,), 0x10, 0x20).pic().splitlines()[1] == "ICS   10..  2f 0x1"
