"""`outboard xive shell`: commands, answers, mistakes, the way back; from pipes, scripts and at a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from outboard.cli.xive import commands as command_line
from outboard.cli.xive.completion import complete
from outboard.cli.xive.session import Quit, Session
from outboard.cli.xive.verbs import VERBS, perform
from outboard.errors import LocalError
from outboard.spapr import flavours
from outboard.spapr.xive import MAX_CPUS, SpaprXive

SHELL = [sys.executable, "-m", "outboard", "xive", "shell"]
PATIENCE = 60


class Rig:
    """A session; `rig("command")` returns what it prints."""

    def __init__(self, *cpus, **options):
        self.session = Session(SpaprXive(*cpus, **options))

    def __call__(self, line):
        return perform(self.session, line)

    def text(self, line):
        return "\n".join(self(line))

    def refused(self, line):
        """Perform what makes no sense: a sentence, and nothing has changed."""
        before, steps = self.session.xive.snapshot(), self.session.undoable
        with pytest.raises(LocalError) as error:
            self(line)
        assert self.session.xive.snapshot() == before == self.session.now
        assert self.session.undoable == steps
        assert "\n" not in str(error.value)
        return str(error.value)


@pytest.fixture
def rig():
    made = Rig(2)
    made("trace off")
    return made


@pytest.fixture
def ready(rig):
    rig("setup")
    return rig


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
        ("hcall sync 0 0x10000000000000000", "registers hold"),
        ("hcall 0x99999999999999999999", "registers hold"),
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


# Pipes and scripts


def run(text, *arguments, code=0, **options):
    done = subprocess.run(
        [*SHELL, *map(str, arguments)], input=text, capture_output=True, timeout=PATIENCE, text=True, **options
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done
    return done


def test_a_pipe():
    done = run("setup\n\n# nothing\ntrace off\ntrigger 1\nquit\nbogus\n", "--cpus", "2")
    assert done.stdout.splitlines()[-5:] == [
        "xive> trace off",
        "trace off",
        "xive> trigger 1",
        "  cpu 1: external interrupt raised",
        "xive> quit",
    ]
    assert done.stderr == ""


def test_mistakes_in_a_pipe_are_told_and_the_rest_is_done():
    done = run("bogus\ncpu 0 irq\ntrigger 0x2000", code=1)
    assert done.stdout.splitlines()[1:3] == ["xive> cpu 0 irq", "external interrupt low"]
    assert done.stderr.splitlines() == [
        "outboard: line 1: no command 'bogus'; `help` lists them",
        "outboard: line 3: LISN 0x2000 does not exist; there are 0 to 0x1fff",
    ]


def test_bytes_that_are_no_text():
    done = subprocess.run(SHELL, input=b"\xff\xfe\ntrigger \xc3\0\n", capture_output=True, timeout=PATIENCE)
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 2


def test_a_script(tmp_path):
    (tmp_path / "s").write_text("setup\ntrigger 0\n")
    done = run("bogus", "--script", "s", cwd=tmp_path)
    assert done.stdout.endswith("  cpu 0: external interrupt raised\n")
    (tmp_path / "s").write_text("setup\ntriger 0\n")
    assert "line 2: no command 'triger'; did you mean trigger?" in run("", "--script", "s", cwd=tmp_path, code=1).stderr
    assert "s2: cannot be read: No such file" in run("", "--script", "s2", cwd=tmp_path, code=2).stderr
    assert ".: cannot be read: Is a directory" in run("", "--script", ".", cwd=tmp_path, code=2).stderr


def test_no_input_at_all():
    argv = ["sh", "-c", 'exec "$@" <&-', "sh", *SHELL]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr == "outboard: there is no standard input; give the commands with --script FILE\n"


def test_a_reader_that_leaves():
    done = subprocess.run(["sh", "-c", f"{' '.join(SHELL)} | head -1"], input=b"pic\n" * 500, capture_output=True)
    assert b"Traceback" not in done.stderr


def test_the_flavour_and_the_host_show():
    line = "hcall esb 0 0x1200 0x800\n"
    assert "  data  0x100000000000000\n" in run(line).stdout
    assert "  data  0x1\n" in run(line, "--host-byteorder", "big").stdout
    assert "  data  0x1\n" in run(line, "--flavour", "papr").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cpus", "0"], "'0' is not 1 to 4096"),
        (["--cpus", "9999"], "'9999' is not 1 to 4096"),
        (["--cpus", "two"], "'two' is not 1 to 4096"),
        (["--cpus", "-1"], "--cpus"),
        (["--cpus", "9" * 5000], "is not 1 to 4096"),
        (["--cpus", "4", "--max-cpus", "2"], "needs 1 <= cpus <= max_cpus"),
        (["--max-cpus", "1024", "--vsmt", "8"], "max_cpus * vsmt <= 4096"),
        (["--vsmt", "0"], "is not 1 to 4096"),
        (["--flavour", "qemu-9"], "qemu-7.2"),
        (["--host-byteorder", "middle"], "little"),
        (["more"], "unrecognized"),
    ],
)
def test_bad_arguments(arguments, words):
    done = run("", *arguments, code=2)
    assert words in done.stderr and done.stdout == ""


def test_help_of_the_commands():
    for more in ([], ["shell"]):
        done = subprocess.run([*SHELL[:4], *more, "--help"], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0 and "example:" in done.stdout


def test_the_tree_of_commands_does_not_load_the_controller():
    show = "import sys; from outboard.cli.main import parser; parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.startswith(("outboard.spapr", "outboard.xive", "outboard.machine"))]


# At a terminal


class Terminal:
    """The shell with a terminal of its own."""

    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "dumb"
            os.execv(argv[0], argv)
        self.text = ""

    def until(self, words):
        """Read until `words` came; return all up to them."""
        end = time.monotonic() + PATIENCE
        while words not in self.text:
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], f"only {self.text!r} came"
            try:
                self.text += os.read(self.fd, 4096).decode()
            except OSError:
                raise AssertionError(f"ended after {self.text!r}") from None
        before, _, self.text = self.text.partition(words)
        return before

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def code(self):
        """Wait for the end; return the exit code. What still comes is read, as a terminal does."""
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        self.pid = 0
        return code

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.code()


@pytest.fixture
def terminal():
    made = []

    def start(*argv):
        made.append(Terminal(*argv))
        return made[-1]

    yield start
    for one in made:
        one.kill()


def test_a_session_at_a_terminal(terminal):
    pytest.importorskip("readline", reason="this Python has no readline")
    shell = terminal(*SHELL, "--cpus", "2")
    assert "2 CPUs, as qemu-7.2 has it" in shell.until("xive> ")
    shell.type("setu\t\n")
    shell.until("setup")
    assert "cpu 1, target 1: queue" in shell.until("xive> ")
    shell.type("trace off\n")
    shell.until("xive> ")
    shell.type("trig\t0x\t\t")  # the second Tab lists what there is
    assert "trigger" in shell.until("0x1200")
    shell.until("xive> ")
    shell.type("1\n")
    assert "cpu 1: external interrupt raised" in shell.until("xive> ")
    shell.type("hcall get_queue_c\ttarg\t1 pri\t6\n")
    assert "get_queue_config target=1 priority=6" in shell.until("H_SUCCESS")
    assert "0x1010000" in shell.until("xive> ")
    shell.type("bogus\n")
    assert "no command 'bogus'" in shell.until("xive> ")
    shell.type("undo\n")
    assert "undone: trigger 0x1" in shell.until("xive> ")
    shell.type("half a li\x03")
    shell.until("xive> ")
    shell.type("\n")
    shell.until("xive> ")
    shell.type("\x04")
    assert shell.code() == 0


def test_a_terminal_without_readline(terminal):
    program = (
        "import sys; sys.modules['readline'] = None; "
        "from outboard.cli.main import main; sys.exit(main(['xive', 'shell']))"
    )
    shell = terminal(sys.executable, "-c", program)
    assert "1 CPU, as" in shell.until("xive> ")
    shell.type("cpu 0 irq\n")
    assert "external interrupt low" in shell.until("xive> ")
    shell.type("\x03")
    shell.until("xive> ")
    shell.type("quit\n")
    assert shell.code() == 0
