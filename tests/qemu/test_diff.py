"""The model against real QEMUs, by the thousand; and the comparison itself: it finds what is wrong, and shrinks it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from outboard.cli.main import main
from outboard.errors import LocalError
from outboard.qemu import QemuBinary, QemuError
from outboard.qemu.diff import Campaign, Pair, Plan, Step, choose_qemu, parse, shrink, text
from outboard.qemu.diff.campaign import flavour_of
from outboard.qemu.diff.draw import Draw
from outboard.qemu.diff.ours import Ours
from outboard.qemu.diff.sequences import segment
from outboard.qemu.diff.steps import HCALLS, KINDS
from outboard.qemu.diff.theirs import Theirs
from outboard.qemu.live import MEMORY_MIB
from outboard.spapr.flavours import DIFFERENCES, QEMU_10_0
from outboard.spec.xive import EQ_SIZES
from tests.conformance.mutants import edited, sources
from tests.qemu.diff_mutants import MUTANTS

pytestmark = pytest.mark.alike

ROOT = Path(__file__).parents[2]
ESB, TIMA_OS = 0x6010000000000, 0x60302031A0000

PLANS = [
    Plan(1, "xive", 1, 1, 4000),
    Plan(1, "dual", 8, 2, 3000),
    Plan(2, "xive", 8, 3, 3000),
    Plan(2, "xics", 1, 4, 3000),
    Plan(4, "dual", 4, 5, 3000),
    Plan(4, "xics", 4, 6, 2000),
    Plan(8, "dual", 1, 7, 3000),
    Plan(8, "xive", 4, 8, 3000),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.cpus}-{plan.mode}-{plan.vsmt}")
def test_the_model_is_qemu_7_2(qemu_7_ppc: QemuBinary, plan: Plan) -> None:
    with plan.pair(qemu_7_ppc) as pair:
        done, difference, steps, _ = Campaign(pair, plan).run()
    assert difference is None, f"{difference}\n{text(steps)}"
    assert done >= plan.count


PLANS_10 = [
    Plan(1, "xive", 4, 11, 3000),
    Plan(2, "dual", 1, 12, 3000),
    Plan(2, "xics", 4, 9, 2000),
    Plan(8, "dual", 4, 13, 3000),
]


@pytest.mark.parametrize("plan", PLANS_10, ids=lambda plan: f"{plan.cpus}-{plan.mode}-{plan.vsmt}")
def test_the_model_is_qemu_10(qemu_10_ppc: QemuBinary, plan: Plan) -> None:
    with plan.pair(qemu_10_ppc) as pair:
        assert pair.flavour is QEMU_10_0
        done, difference, steps, _ = Campaign(pair, plan).run()
    assert difference is None, f"{difference}\n{text(steps)}"
    assert done >= plan.count


HW, HV = 0x6030203180000, 0x6030203190000
# Steps after the negotiation whose last answers, or `info pic`, are others without the difference.
SHOWN_BY = {
    "pipr_follows_cppr": f"store 0 {HV + 0x10} 4 0x12ff\nstore 0 {HV + 0x11} 1 6\nload 0 {HV + 0x10} 8",
    "nsr_as_a_whole": f"store 0 {HV + 0x10} 4 0x40ff00ff\nstore 0 {HV + 0x812} 1 4\nload 0 {HV + 0x810} 2",
    "group_level_in_nsr": f"store 0 {HV + 0x10} 4 0x01ff00ff\nstore 0 {HV + 0x30} 4 0x01ff0100\n"
    f"load 0 {HV + 0x830} 2\nload 0 {HV + 0x30} 8",
    "pool_is_presented": f"store 0 {HW + 0x28} 4 0x80000999\nstore 0 {HV + 0x20} 4 0x400\n"
    f"store 0 {HV + 0x31} 1 0xff\nload 0 {HV + 0x830} 2",
    "esb_of_any_size": f"load 0 {ESB + 0x10800} 4",
    "unaligned_in_pieces": f"load 0 {HV + 0x0F} 4",
    "tima_repeats": f"store 0 {HV + 0x51} 1 5\nload 0 {HV + 0x10} 4",
    "pulls_phys": f"store 0 {HV + 0x38} 1 0x83\nload 0 {HV + 0x838} 1",
    "pool_has_inc_and_age": f"store 0 {HV + 0x24} 4 0x11223344\nload 0 {HV + 0x24} 4",
}


def test_every_difference_of_qemu_10_is_one(qemu_10_ppc: QemuBinary) -> None:
    assert list(SHOWN_BY) == [row.name for row in DIFFERENCES if row.qemu_10_0 != row.qemu_7_2]
    with Pair(qemu_10_ppc, 1, "xive", 1, flavour=QEMU_10_0) as pair:
        for name, lines in SHOWN_BY.items():
            steps = parse(f"cas 1\n{lines}", 1)
            pair.ours = Ours(1, "xive", 1, MEMORY_MIB << 20, QEMU_10_0)
            assert pair.run(steps) is None, name
            pair.ours = Ours(1, "xive", 1, MEMORY_MIB << 20, QEMU_10_0._replace(**{name: False}))
            assert pair.run(steps) is not None, name


def test_each_is_another_one_s(qemu_7_ppc: QemuBinary, qemu_10_ppc: QemuBinary) -> None:
    """With the other's answers the models differ, and the command says how to see it again."""
    for binary, flavour in ((qemu_7_ppc, "qemu-10.0"), (qemu_10_ppc, "qemu-7.2")):
        plan = Plan(2, "xive", 1, 1, 5000, flavour)
        with plan.pair(binary) as pair:
            assert Campaign(pair, plan).run().difference


# Mutants

SOME = ("accept_leaves_ipb", "set_pq_lowers_the_input", "end_pages_stay", "masked_msi_is_lost")
"""The others are hunted by `make soak`."""


@pytest.mark.parametrize("name", SOME)
def test_a_wrong_rule_is_found(qemu_7_ppc: QemuBinary, name: str) -> None:
    command = [sys.executable, "-m", "tests.qemu.diff_mutants", name, "--n", "20000"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert "found after" in ended.stdout


@pytest.mark.parametrize("rules", [mutant.edits for mutant in MUTANTS.values()])
def test_every_edit_changes_a_module_that_still_compiles(rules: tuple[tuple[str, str, str], ...]) -> None:
    for module in {edit[0] for edit in rules}:
        path = sources().joinpath(*module.split(".")).with_suffix(".py")
        before = path.read_text(encoding="utf-8")
        after = before
        for edit in rules:
            if edit[0] == module:
                after = edited(after, [edit])  # type: ignore[list-item]
        assert compile(after, str(path), "exec") != compile(before, str(path), "exec")


def test_mutants_are_many_and_told_apart() -> None:
    assert len(MUTANTS) >= 20
    assert len({mutant.rule for mutant in MUTANTS.values()}) == len({m.edits for m in MUTANTS.values()}) == len(MUTANTS)


# The comparison


@pytest.fixture
def pair(qemu_7_ppc: QemuBinary) -> Pair:
    with Pair(qemu_7_ppc, 2, "dual", 4) as made:
        yield made


def test_what_differs_is_shrunk_to_what_is_needed(qemu_7_ppc: QemuBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's CPUs lose a trigger, once the source is routed and the machine negotiated."""
    real = Ours._store

    def forgetful(self: Ours, cpu: int, addr: int, size: int, value: int) -> None:
        if addr != ESB + 0x20000:
            real(self, cpu, addr, size, value)

    monkeypatch.setattr(Ours, "_store", forgetful)
    queue, route = HCALLS["H_INT_SET_QUEUE_CONFIG"], HCALLS["H_INT_SET_SOURCE_CONFIG"]
    needed = [
        Step("cas", (1,)),
        Step("load", (0, ESB + 0x30C00, 8)),
        Step("store", (1, ESB + 0x20000, 8, 0)),
    ]
    noise = segment(Draw(5, 2, "xics", 4), 60)
    noise = [step for step in noise if step.kind not in ("cas", "reset", "line", "pulse")]
    setup = [Step("hcall", (0, queue, 1, 4, 6, 0x400000, 12)), Step("hcall", (0, route, 2, 1, 4, 6, 0x11))]
    steps = [*noise[:20], needed[0], *setup, *noise[20:40], needed[1], needed[2]._replace(times=9), *noise[40:]]
    with Pair(qemu_7_ppc, 2, "dual", 4) as pair:
        found = shrink(pair, steps)
    assert found.steps == needed
    assert found.shortest and found.difference and found.difference.at == 2
    assert "00000001 MSI P-" in found.qemu_pic and "00000001 MSI --" in found.model_pic
    monkeypatch.undo()
    with Pair(qemu_7_ppc, 2, "dual", 4) as pair:
        assert pair.run(found.steps) is None, "the sound model"


def test_what_came_before_the_reset_is_found(qemu_7_ppc: QemuBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose reset forgets a CPU: the segment before is needed to see it."""
    real = Ours.change

    def forgetful(self: Ours, step: Step) -> None:
        assert self.irq.xive
        rings = self.irq.xive.presenter.tables()["rings"]
        before = rings[0x11]
        real(self, step)
        rings[0x11] = before

    monkeypatch.setattr(Ours, "change", forgetful)
    cppr, look = Step("store", (0, TIMA_OS + 0x11, 1, 5)), Step("load", (0, TIMA_OS + 0x10, 8))
    with Pair(qemu_7_ppc, 1, "xive", 1) as pair:
        found = shrink(pair, [look], before=[look, cppr, look])
    assert found.steps == [cppr, Step("reset")] and found.shortest


def test_queues_and_inputs_are_compared(pair: Pair) -> None:
    steps = [Step("cas", (1,))]
    assert pair.run(steps) is None
    pair.ours.memory.write(0x400004, b"\1")
    found = pair.check(0)
    assert found and found.about == "event queues" and found.qemu == "00000000 at 0x400004"
    pair.begin()
    pair.ours.lines[1] = 1
    found = pair._perform(0, Step("irq", (1,))) or pair.drain()
    assert found and (found.about, found.qemu) == ("interrupt input", "input low before, low after")


def test_a_model_that_raises_differs(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(cpu: int) -> None:
        raise IndexError("no such ring")

    monkeypatch.setitem(pair.ours._does, "irq", broken)
    found = pair.run([Step("irq", (0,))])
    assert found and (found.about, found.model) == ("model", "raises IndexError: no such ring")


def test_qemu_that_ends_differs_and_a_new_one_goes_on(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair.ours, "can", lambda step: True)
    pair.ours.irq.claim(0x1302)
    found = pair.run([Step("cas", (1,)), Step("pulse", (0, 0x1302))])
    assert found and found.about == "QEMU" and found.qemu.startswith("QEMU ended by SIGABRT; its last words: "), found
    assert pair.run([Step("cas", (1,)), Step("pulse", (0, 0x1300))]) is None


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "by SIGKILL; its last words: .+"),
        (signal.SIGTERM, "with 0; its last words: terminating on signal 15.*"),
        (signal.SIGSEGV, "by SIGSEGV; its .*; that was after [0-9]+ operations, and not again when the same .*"),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_a_qemu_that_dies_for_another_reason_is_no_difference(
    qemu_7_ppc: QemuBinary,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    words: str,
    before: bool,
) -> None:
    """Before the whole states are compared, or as `info pic` is asked for."""
    where = (Pair, "check") if before else (Theirs, "pic")
    asked, killed = getattr(*where), []

    def kills(self: Pair | Theirs, *arguments: int) -> object:
        if not killed:
            process = (self.theirs if isinstance(self, Pair) else self).live.vm
            killed.append(process.pid)
            os.kill(process.pid, number)
            if before:
                process.wait_exit()
        return asked(self, *arguments)

    monkeypatch.setattr(*where, kills)
    assert main(["xive", "diff", "--qemu", str(qemu_7_ppc.path), "--n", "1500"]) == 2
    said = capsys.readouterr()
    assert re.fullmatch(f"outboard: QEMU ended {words}\n", said.err) and not said.out


def test_the_same_seed_has_the_same_steps() -> None:
    drawn = [text(segment(Draw(seed, 4, "dual", 8), 500)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_queues_of_all_sizes_are_drawn() -> None:
    """Each size that there is, aligned and not."""
    steps = segment(Draw(1, 4, "xive", 1), 20000)
    queues = [step.values[5:7] for step in steps if step.values[1:2] == (HCALLS["H_INT_SET_QUEUE_CONFIG"],)]
    drawn = {(size, addr & (1 << size) - 1 == 0) for addr, size in (one for one in queues if len(one) == 2)}
    assert drawn >= {(size, aligned) for size in EQ_SIZES for aligned in (True, False)}


@pytest.mark.parametrize("mode", ["xive", "xics", "dual"])
def test_steps_are_text_and_back(mode: str) -> None:
    steps = segment(Draw(6, 8, mode, 4), 12000)
    assert parse(text(steps), 8) == steps
    assert {step.kind for step in steps} >= set(KINDS) - {"take", "irq"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("jump 0", "no step 'jump'"),
        ("load 0 0x10", "load takes cpu addr size"),
        ("load 0 0x10 3", "an access has 1, 2, 4 or 8 bytes, not 3"),
        ("load 2 0x10 8", "no CPU 2; there are 0 to 1"),
        ("load 0 ten 8", "'ten' is no number of 64 bits"),
        ("load 0 0x10000000000000000 8", "is no number of 64 bits"),
        ("store 0 0 1 256", "0x100 does not fit 1 bytes"),
        ("store 0 0 1 0 x5000", "a step is done 1 to 4096 times, not 5000"),
        ("hcall 0 0xf000 0", "a hypercall is one of"),
        ("hcall 0 H_EOI 1 2 3 4 5 6 7 8 9 10", "9 arguments at most"),
        ("rtas 0 0x2006 3 1 4 0 0", "an RTAS call is one of XICS"),
        ("line 0 2 1", "a line is of device 0 or 1"),
        ("claim 0 0", "the devices that are given MSIs"),
        ("cas 2", "cas 1 is for XIVE"),
        ("reset 1", "reset takes nothing"),
    ],
)
def test_lines_that_are_no_steps(line: str, words: str) -> None:
    with pytest.raises(LocalError, match="line 2, ") as caught:
        parse(f"# what follows is wrong\n{line}\n", 2)
    assert words in str(caught.value)


# The command


def run(*words: str) -> int:
    return main(["xive", "diff", *words])


def test_no_difference(qemu_7_ppc: QemuBinary, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--qemu", str(qemu_7_ppc.path), "--cpus", "2", "--n", "500", "--seed", "4", "--vsmt", "4") == 0
    said = capsys.readouterr().out
    assert said == (
        f"500 operations, 2 CPUs, ic-mode=dual, vsmt=4, seed 4: no difference between the model and {qemu_7_ppc}\n"
    )


def test_a_difference(
    qemu_7_ppc: QemuBinary, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ours, "_line", lambda *_: None)
    steps = tmp_path / "steps"
    steps.write_text("cas 1\nirq 0\nline 0 1 1  # up\nirq 0\n")
    words = ("--qemu", str(qemu_7_ppc.path), "--ic-mode", "xive", "--run", str(steps))
    assert run(*words) == 1
    said = capsys.readouterr().out
    assert "\nline 0 1 1\nstate of QEMU then:\n" in said
    assert "outboard xive diff --cpus 1 --ic-mode xive --vsmt 1 --run FILE\n" in said
    assert "QEMU     00001203 LSI -QA M 00000000" in said
    assert run(*words, "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["difference"]["steps"] == ["line 0 1 1"] and answer["difference"]["shortest"]
    assert answer["flavour"] == "qemu-7.2"
    assert run(*words, "--flavour", "qemu-10.0") == 1
    assert " --vsmt 1 --flavour qemu-10.0 --run FILE\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--qemu", "/bin/true"), "expected `QEMU emulator version"),
        (("--qemu", "/nowhere/qemu"), "No such file"),
        (("--run", "/nowhere/steps"), "No such file"),
        (("--cpus", "4000", "--vsmt", "8"), "max_cpus * vsmt <= 4096"),
    ],
)
def test_it_cannot_run(
    qemu_7_ppc: QemuBinary, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert says in said and said.startswith("outboard: ") and said.count("\n") == 1


def test_no_qemu_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OUTBOARD_PEERS", str(tmp_path))
    with pytest.raises(QemuError, match=r"needs qemu-system-ppc64 7\.2 or newer .*; found: none"):
        choose_qemu()


def test_whose_answers(qemu_7_ppc: QemuBinary) -> None:
    assert flavour_of(qemu_7_ppc).name == "qemu-7.2"
    for version, name in (((6, 2, 0), "qemu-7.2"), ((9, 2, 4), "qemu-7.2"), ((10, 0, 0), "qemu-10.0")):
        assert flavour_of(replace(qemu_7_ppc, version=version)).name == name
    for version in ((10, 2, 0), (11, 0, 0)):
        assert flavour_of(replace(qemu_7_ppc, version=version)).name == "qemu-10.0"
    assert Plan(flavour="papr").pair(qemu_7_ppc).flavour.name == "papr"
    assert choose_qemu(qemu_7_ppc.path) == qemu_7_ppc
