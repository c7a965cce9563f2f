"""What `outboard xive diff` does and prints."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from outboard.errors import LocalError
from outboard.qemu import QemuError
from outboard.qemu.diff import Campaign, Difference, Outcome, Pair, Plan, Shrunk, Step, choose_qemu, parse, shrink, text

INDENT = "    "


def run(plan: Plan, qemu: Path | None, file: str | None, *, as_json: bool) -> int:
    """Run a plan, or the steps of a file, on the model and on QEMU; print what came of it; return the exit code."""
    binary = choose_qemu(qemu)
    steps = None if file is None else _read(file, plan.cpus)
    with plan.pair(binary) as pair:
        outcome = Campaign(pair, plan, _progress).run() if steps is None else _given(pair, steps)
        shrunk = None
        if outcome.difference:
            _show("looking for the shortest sequence ...")
            shrunk = shrink(pair, outcome.steps, outcome.before)
    _show("")
    _expect_seen_again(outcome, shrunk)
    said = _as_object(plan, str(binary), outcome, shrunk) | {"flavour": pair.flavour.name}
    print(json.dumps(said) if as_json else "\n".join(_lines(plan, str(binary), outcome, shrunk)))
    return 1 if outcome.difference else 0


def _expect_seen_again(outcome: Outcome, shrunk: Shrunk | None) -> None:
    """Raise QemuError for a QEMU that ended or hung once, and not when the same was done to it again."""
    found = outcome.difference
    if found and shrunk and found.about == "QEMU" and shrunk.difference is None:
        when = f"after {outcome.done} operations, and not again when the same ones were repeated"
        raise QemuError(f"{found.qemu}; that was {when}")


def _read(file: str, cpus: int) -> list[Step]:
    try:
        words = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise LocalError(f"{file}: steps cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise LocalError(f"{file}: steps cannot be read: byte {error.start} is not UTF-8") from None
    try:
        return parse(words, cpus)
    except LocalError as error:
        raise LocalError(f"{'standard input' if file == '-' else file}: {error}") from None


def _given(pair: Pair, steps: list[Step]) -> Outcome:
    found = pair.run(steps)
    return Outcome(pair.done, found, tuple(steps))


def _show(words: str) -> None:
    """Show what is being done, on terminals only; the next call takes it away."""
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


def _progress(done: int) -> None:
    _show(f"{done} operations, no difference ...")


def _machine(plan: Plan) -> str:
    return f"{plan.cpus} CPU{'' if plan.cpus == 1 else 's'}, ic-mode={plan.mode}, vsmt={plan.vsmt}"


def _lines(plan: Plan, qemu: str, outcome: Outcome, shrunk: Shrunk | None) -> Iterator[str]:
    found = outcome.difference
    if found is None or shrunk is None:
        what = f"{outcome.done} operations, {_machine(plan)}, seed {plan.seed}"
        yield f"{what}: no difference between the model and {qemu}"
        return
    yield f"the model and {qemu} differ: {_machine(plan)}, seed {plan.seed}, after {outcome.done} operations"
    yield from _difference(shrunk.difference or found)
    if shrunk.difference is None:
        yield "it is not seen again when its operations are repeated, so they are not made fewer:"
    else:
        enough = "the shortest sequence that shows it" if shrunk.shortest else "a shorter sequence that shows it"
        yield f"{enough} ({shrunk.tries} tries), to be run by"
        options = f"--cpus {plan.cpus} --ic-mode {plan.mode} --vsmt {plan.vsmt}"
        options += f" --flavour {plan.flavour}" if plan.flavour else ""
        yield f"{INDENT}outboard xive diff {options} --run FILE"
    yield from text(shrunk.steps).splitlines()
    same = shrunk.qemu_pic == shrunk.model_pic
    for name, pic in (("both" if same else "QEMU", shrunk.qemu_pic), ("the model", "" if same else shrunk.model_pic)):
        if pic:
            yield f"state of {name} then:"
            yield from (INDENT + line for line in pic.splitlines())


def _difference(found: Difference) -> Iterator[str]:
    where = f"operation {found.at + 1}" if found.step else f"after operation {found.at + 1}"
    yield f"{where}, {found.about}:"
    for name, said in (("QEMU", found.qemu), ("model", found.model)):
        first, *rest = said.splitlines() or [""]
        yield f"{INDENT}{name:<6} {first}"
        yield from (f"{INDENT}       {line}" for line in rest)


def _as_object(plan: Plan, qemu: str, outcome: Outcome, shrunk: Shrunk | None) -> dict[str, Any]:
    made: dict[str, Any] = asdict(plan) | {"qemu": qemu, "done": outcome.done, "difference": None}
    if outcome.difference and shrunk:
        found = shrunk.difference or outcome.difference
        made["difference"] = {
            "at": found.at,
            "about": found.about,
            "qemu": found.qemu,
            "model": found.model,
            "steps": text(shrunk.steps).splitlines(),
            "seen_again": shrunk.difference is not None,
            "shortest": shrunk.shortest,
            "tries": shrunk.tries,
            "qemu_pic": shrunk.qemu_pic,
            "model_pic": shrunk.model_pic,
        }
    return made
