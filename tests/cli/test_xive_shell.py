"""`outboard xive shell`: commands and answers, mistakes."""

import re

import pytest

from outboard.cli.xive import commands as command_line
from outboard.cli.xive.session import Quit
from outboard.cli.xive.verbs import VERBS
from outboard.spapr import flavours
from outboard.spapr.xive import MAX_CPUS
from tests.cli.xive_rig import Rig


def test_the_names_that_the_help_knows_are_the_model_s():
    assert command_line.FLAVOURS == tuple(flavours.FLAVOURS)
    assert command_line.MAX_CPUS == MAX_CPUS


# Commands


def test_an_interrupt_from_setup_to_eoi():
    rig = Rig(2)
    assert rig("setup")[-2:] == [
        "cpu 0, target 0: queue of priority 6 at 0x1000000, IPI 0x0 sends EISN 0x10, CPPR 0xff",
        "cpu 1, target 1: queue of priority 6 at 0x1010000, IPI 0x1 sends EISN 0x10, CPPR 0xff",
    ]
    assert rig("trigger 1") == [
        "  | xive_source_esb_write @0x20000 IRQ 0x1 val=0x0",
        "  | xive_presenter_notify found NVT 0x0/0x401 ring=0x10",
        "  | xive_tctx_notify target=1 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !",
        "  cpu 1: external interrupt raised",
    ]
    rig("trace off")
    assert rig("trigger 0x1") == []
    assert rig("cpu 1 irq") == ["external interrupt raised"]
    assert rig("cpu 1 ack") == ["0x8006: NSR 0x80, CPPR 0x06", "  cpu 1: external interrupt lowered"]
    assert rig("eoi 1") == ["0x1, another event was sent"]
    assert rig("eoi 1") == ["0x0, no further event"]
    assert rig("cpu 1 cppr 0xff") == ["  cpu 1: external interrupt raised"]
    assert rig("queue 1 6") == [
        "target 1, priority 6: 16384 entries at 0x1010000, next 2, generation 1, every event notifies",
        "        0  @1010000  80000010  generation 1, EISN 0x10",
        "        1  @1010004  80000010  generation 1, EISN 0x10",
        " ^      2  @1010008  00000000  generation 0, EISN 0x0",
    ]


def test_a_guest_s_mistake_is_an_answer_and_a_line():
    rig = Rig()
    assert rig("hcall set_queue_config 1 0 7 0 16") == [
        "  | spapr_xive_set_queue_config flags=0x1 target=0x0 priority=0x7 qpage=0x0 qsize=0x10",
        "  ! XIVE: priority 7 is reserved",
        "H_P3 (-56)",
    ]
    assert rig("esb 0x1002 0xc00")[-1] == "0x1"
    assert rig("trigger 0x1002")[1:] == ["  ! XIVE: invalid LISN 1002"]
    assert rig("cpu 0 load 0x60302031a0800 4") == ["  ! XIVE: invalid read access to TIMA@20800", "0xffffffff"]


def test_hypercalls_by_any_name(ready):
    answer = ["H_SUCCESS (0)", "  flags   0x1", "  qpage   0x1010000", "  qsize   0x10", "  qindex  0x0"]
    for line in (
        "get_queue_config 0 1 6",
        "H_INT_GET_QUEUE_CONFIG 0 1 6",
        "h_int_get_queue_config target=1 priority=6",
        "get_queue_config 0 priority=0x6 target=0x1",
        "0x3bc 0 1 6",
        "956 0 1 priority=6",
    ):
        assert ready(f"hcall {line}") == answer
        assert ready(f"cpu 1 hcall {line}") == answer
    assert ready("hcall 0x3d4 1 2 r6=3") == ["H_FUNCTION (-2)"]
    assert ready("hcall reset") == ["H_SUCCESS (0)"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hcall", "usage|hcall NAME"),
        ("hcall get_queue_confi 0", "did you mean get_queue_config"),
        ("hcall sync 0 0 0", "'0' has no place; sync takes flags lisn"),
        ("hcall sync lisn=0 0", "has no place"),
        ("hcall sync 0 flags=0", "'flags' is given twice"),
        ("hcall sync lisns=0", "'lisns' is no argument; sync takes flags lisn"),
        ("hcall sync =0", "no argument"),
        ("hcall sync lisn=", "lisn is a number"),
        ("hcall sync lisn=-1", "lisn is a number"),
        ("hcall sync 0 0x10000000000000000", "a register holds"),
        ("hcall 0x99999999999999999999", "a register holds"),
        ("hcall 0x3d4 " + "0 " * 10, "at most 9 arguments"),
        ("bogus", "no command 'bogus'"),
        ("triger 1", "did you mean trigger"),
        ("trigger", "usage: trigger LISN"),
        ("trigger 1 2", "usage: trigger LISN"),
        ("trigger one", "not 'one'"),
        ("trigger 1_0", "not '1_0'"),
        ("trigger 0x", "not '0x'"),
        ("trigger \u0663", "not '.u0663'"),
        ("trigger " + "9" * 5000, "LISN is a number"),
        ("trigger 0x2000", "LISN 0x2000 does not exist"),
        ("eoi 8192", "does not exist"),
        ("esb 0 0x10000", "multiples of 8 below 0x10000"),
        ("esb 0 7", "multiples of 8"),
        ("pulse 0x1300", "not claimed"),
        ("irq 0x1200 2", "the level is 0 or 1"),
        ("irq 0x1200", "usage: irq LISN 0|1"),
        ("claim 0", "not free"),
        ("claim 0x1300 msi", "usage: claim"),
        ("free 0x1300", "LISN 0x1300 is not claimed"),
        ("explain 0x2000", "does not exist"),
        ("cpu", "usage: cpu N"),
        ("cpu 0", "usage: cpu N"),
        ("cpu 2 ack", "CPU 2 is not plugged; 0 to 1 are"),
        ("cpu x ack", "CPU is a number"),
        ("cpu 0 fly", "a cpu does not 'fly'"),
        ("cpu 0 ack 1", "usage: cpu N ack"),
        ("cpu 0 cppr", "usage: cpu N cppr V"),
        ("cpu 0 cppr 256", "256 does not fit 1 bytes"),
        ("cpu 0 ring one", "no ring 'one'"),
        ("cpu 0 load 0 3", "1, 2, 4 or 8 bytes"),
        ("cpu 0 load 0x10000000000000000 8", "no guest address"),
        ("cpu 0 store 0 1 0x100", "does not fit"),
        ("queue 0", "usage: queue"),
        ("queue 9 6", "targets are 0 to 1, priorities 0 to 7"),
        ("queue 0 8", "targets are 0 to 1"),
        ("plug 1", "CPU 1 cannot be plugged; free: none"),
        ("unplug 5", "CPU 5 is not plugged"),
        ("undo 3", "cannot undo 3; 1 to undo"),
        ("undo 0", "cannot undo 0"),
        ("undo x", "how many is a number"),
        ("redo", "nothing to redo"),
        ("trace maybe", "usage: trace"),
        ("save", "usage: save"),
        ("save /nowhere/file", "not written: No such file or directory"),
        ("help bogus", "no command 'bogus'"),
        ("quit now", "usage: quit"),
        ("setup now", "usage: setup"),
        ("reset now", "usage: reset"),
        ("pic now", "usage: pic"),
        ("state now", "usage: state"),
        ("cas now", "usage: cas"),
    ],
)
def test_a_user_s_mistake_is_a_sentence(ready, line, words):
    assert re.search(words, ready.refused(line))


@pytest.mark.parametrize("line", ["", "   ", "# words", "\t#trigger 1"])
def test_nothing_to_do(rig, line):
    assert rig(line) == []


def test_sources_come_and_go(ready):
    assert ready("claim 0x1300") == []
    assert ready("pulse 0x1300") == []
    assert ready("hcall set_source_config 2 0x1300 1 6 0x20") == ["H_SUCCESS (0)"]
    assert ready("esb 0x1300 0xc00") == ["0x1"]
    assert ready("pulse 0x1300 # a comment") == ["  cpu 1: external interrupt raised"]
    assert ready("free 0x1300") == []
    ready("claim 0x1301 lsi")
    assert "LSI, claimed, input low" in ready.text("explain 0x1301")
    ready("irq 0x1301 1")
    assert "LSI, claimed, input high" in ready.text("explain 0x1301")


def test_cpus_come_and_go(rig):
    rig("unplug 0")
    assert rig("trigger 0") == []
    rig("cpu 1 ack")
    assert "CPU 1 is the last one" in rig.refused("unplug 1")
    rig("plug 0")
    assert rig("cpu 0 ring")[0].startswith("NSR=00 CPPR=00 IPB=00 LSMFB=ff")
    assert rig("cpu 0 ring")[0].endswith("W2=80000400 W3=00000000")
    assert rig("cpu 0 ring phys")[0].endswith("PIPR=ff W2=00000000 W3=00000000")


def test_memory_and_registers(rig):
    rig("cpu 0 store 0x1000 4 0xcafe")
    assert rig("cpu 1 load 0x1000 4") == ["0xcafe"]
    rig("cpu 0 cppr 0xff")
    assert rig("cpu 0 pending 3") == ["  cpu 0: external interrupt raised"]


def test_a_reset_takes_xive_away(ready):
    assert "hypercalls answer H_FUNCTION" in ready.text("reset")
    assert ready("hcall sync") == ["H_FUNCTION (-2)"]
    assert ready("cas") == ["XIVE is negotiated"]
    assert ready("hcall sync") == ["H_SUCCESS (0)"]
    ready("reset")
    ready("setup")
    assert ready("trigger 0") == ["  cpu 0: external interrupt raised"]


def test_info_pic(ready):
    assert "\n".join(ready("pic")) + "\n" == ready.session.xive.pic()


def test_ids_apart(rig):
    rig = Rig(2, max_cpus=3, vsmt=8)
    rig("trace off")
    assert rig("setup")[1].startswith("cpu 1, target 8: queue of priority 6 at 0x1010000, IPI 0x8")
    assert rig("trigger 8") == ["  cpu 1: external interrupt raised"]
    assert rig("state")[1] == "CPUs plugged 0 to 1, at most 3, ids a multiple of 8"


def test_setup_of_many_and_of_odd_machines():
    rig = Rig(20)
    printed = rig("setup")
    assert sum(line.startswith("cpu ") for line in printed) == 8
    assert printed[-1] == "... and so on for all 20 CPUs"
    rig("trace off")
    assert rig("trigger 19") == ["  cpu 19: external interrupt raised"]
    rig = Rig(1, sources=[])
    assert "no IPI, H_P2" in rig.text("setup")


def test_a_flood_of_lines_is_counted():
    printed = Rig(64)("setup")
    assert sum(line.startswith("  | ") for line in printed) == 101
    assert "  | ... and 220 more lines" in printed


def test_help(rig):
    text = rig.text("help")
    assert all(verb.usage in text and verb.about in text for verb in VERBS.values())
    assert "cpu N store ADDR SIZE VALUE" in rig.text("help cpu")
    assert "set_queue_config" in rig.text("help hcall") and "flags target priority qpage qsize" in rig.text(
        "help hcall"
    )


def test_quit(rig):
    with pytest.raises(Quit):
        rig("quit")
