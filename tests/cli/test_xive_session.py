"""`outboard xive shell`: the way back, and completion."""

import pytest

from outboard.cli.xive.completion import complete
from outboard.cli.xive.session import Session
from outboard.cli.xive.verbs import VERBS
from outboard.spapr.xive import SpaprXive
from tests.cli.xive_rig import Rig

# The way back


def test_undo_and_redo(rig):
    states = [rig.session.xive.snapshot()]
    lines = ["setup", "trigger 1", "cpu 1 ack", "eoi 1", "unplug 0", "reset"]
    for line in lines:
        rig(line)
        states.append(rig.session.xive.snapshot())
    assert rig("undo 2") == ["undone: reset", "undone: unplug 0"]
    assert rig.session.xive.snapshot() == states[4]
    assert rig("redo") == ["redone: unplug 0"]
    assert rig.session.xive.snapshot() == states[5]
    for at in (4, 3, 2, 1, 0):
        rig("undo")
        assert rig.session.xive.snapshot() == states[at]
    for at in (1, 2, 3, 4, 5, 6):
        rig("redo")
        assert rig.session.xive.snapshot() == states[at]
    assert rig("state")[-1] == "6 to undo, 0 to redo"
    rig("undo 5")
    rig("trigger 0")
    assert "nothing to redo" in rig.refused("redo")


def test_undo_shows_the_interrupts_that_it_changes(ready):
    ready("trigger 0")
    assert ready("undo") == ["undone: trigger 0", "  cpu 0: external interrupt lowered"]
    assert ready("redo") == ["redone: trigger 0", "  cpu 0: external interrupt raised"]


def test_what_changes_nothing_is_no_step(ready):
    for line in ("pic", "explain 1", "hcall sync", "cpu 0 irq", "esb 1 0x800", "queue 0 6", "cas", "help", "trace off"):
        ready(line)
        assert ready.session.undoable == 1, line


def test_steps_are_limited():
    rig = Rig()
    rig("trace off")
    for priority in range(1500):
        rig(f"cpu 0 cppr {priority % 7}")
    assert rig.session.undoable == 1000
    rig("undo 1000")
    assert "0 to undo" in rig.refused("undo")


def test_an_interruption_changes_nothing(ready, monkeypatch):
    before = ready.session.xive.snapshot()

    def interrupted(session, words):
        session.xive.cpu(0).trigger(0)
        raise KeyboardInterrupt

    monkeypatch.setitem(VERBS, "trigger", VERBS["trigger"]._replace(do=interrupted))
    with pytest.raises(KeyboardInterrupt):
        ready("trigger 0")
    assert ready.session.xive.snapshot() == before


def test_a_digest_is_of_the_state(ready):
    first = ready("state")[0]
    ready("trigger 1")
    assert ready("state")[0] != first
    ready("undo")
    assert ready("state")[0] == first
    assert Rig(2)("state")[0] != first


def test_what_was_saved_makes_the_same_state(ready, tmp_path):
    for line in ("trigger 1", "cpu 1 ack", "trigger 0", "hcall sync", "undo"):
        ready(line)
    file = tmp_path / "script"
    ready(f"save {file}")
    assert file.read_text() == "setup\ntrigger 1\ncpu 1 ack\n"
    other = Rig(2)
    for line in file.read_text().splitlines():
        other(line)
    assert other("state")[0] == ready("state")[0]
    assert "File exists" in ready.refused(f"save {file}")


# Completion


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tr", ["trigger", "trace"]),
        ("trigger 0x12", ["0x1200", "0x1201", "0x1202", "0x1203"]),
        ("trigger  0x1203", ["0x1203"]),
        ("trigger 0x1203 ", []),
        ("cpu ", ["0", "1"]),
        ("cpu 1 a", ["ack"]),
        ("cpu 1 ring p", ["pool", "phys"]),
        ("cpu 1 load 0x60302031a", ["0x60302031a0011", "0x60302031a0810", "0x60302031a0812"]),
        ("hcall get_q", ["get_queue_info", "get_queue_config"]),
        ("cpu 0 hcall get_q", ["get_queue_info", "get_queue_config"]),
        ("hcall set_queue_config ", ["flags=", "target=", "priority=", "qpage=", "qsize="]),
        ("hcall set_queue_config 1 0 ", ["priority=", "qpage=", "qsize="]),
        ("hcall set_queue_config 1 qsize=16 q", ["qpage="]),
        ("hcall H_INT_SYNC l", ["lisn="]),
        ("hcall sync lisn=0x100", ["lisn=0x1000", "lisn=0x1001"]),
        ("hcall set_queue_config target=", ["target=0", "target=1"]),
        ("cpu 1 hcall set_queue_config qsize=2", ["qsize=21", "qsize=24"]),
        ("hcall bogus l", []),
        ("hcall bogus x=", []),
        ("plug ", ["2"]),
        ("unplug ", ["0", "1"]),
        ("trace o", ["on", "off"]),
        ("claim 5 ", ["lsi"]),
        ("esb 0 0xc", ["0xc00"]),
        ("help tri", ["trigger"]),
        ("bogus ", []),
        ("cpu 0 bogus ", []),
        ("pic ", []),
    ],
)
def test_completion(line, found):
    session = Session(SpaprXive(2, max_cpus=3))
    assert complete(session, line) == found


def test_completion_of_nothing_is_all_commands(rig):
    assert complete(rig.session, "") == list(VERBS)
