"""Recordings of a real machine replay without a difference; what is altered in one is found, and nothing else."""

import copy
import random
from pathlib import Path

import pytest

from outboard.machine import xive_vectors
from outboard.spapr import PAPR

FILES = sorted((Path(__file__).parents[1] / "vectors" / "xive").glob("*.json.gz"))
ALTERED = ("esb", "hcall_errors", "lsi", "multi_cpu", "tima", "tima_privileged", "eq_wrap")
"""Files of which answers and pictures are altered."""


@pytest.fixture(scope="module")
def recordings():
    return {path.name.partition(".")[0]: xive_vectors.read(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition(".")[0])
def test_a_recording_is_answered_as_recorded(path):
    recording = xive_vectors.read(path)
    report = xive_vectors.replay(recording)
    assert report.differences == []
    assert (report.ops, report.checkpoints) == (len(recording.ops), len(recording.checkpoints))
    assert report.ops > 0 and report.checkpoints > 0


def test_all_recordings_are_there(recordings):
    assert len(recordings) == 16
    assert sum(len(recording.ops) for recording in recordings.values()) > 10_000
    kinds = {op["op"] for recording in recordings.values() for op in recording.ops}
    assert kinds == set(xive_vectors.OPERATIONS)
    assert sum(point["pic"] is not None for recording in recordings.values() for point in recording.checkpoints) > 50


def altered(recording, change):
    """Return the differences of a recording after `change` to its operations and checkpoints."""
    ops, checkpoints = copy.deepcopy((recording.ops, recording.checkpoints))
    change(ops, checkpoints)
    return xive_vectors.replay(recording._replace(ops=ops, checkpoints=checkpoints)).differences


def other(answer):
    """Return an answer that differs by one bit, or in one register."""
    if isinstance(answer, dict):
        return answer | {"r3": hex(int(answer["r3"], 16) ^ 1)}
    return hex(int(answer, 16) ^ 1) if isinstance(answer, str) else answer ^ 1


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_answer_is_found(recordings, name):
    recording, rng = recordings[name], random.Random(name)
    answered = [at for at, op in enumerate(recording.ops) if op.get("result") is not None]
    chosen = set(rng.sample(answered, min(25, len(answered))))

    def change(ops, _):
        for at in chosen:
            ops[at]["result"] = other(ops[at]["result"])

    found = altered(recording, change)
    assert [(entry.op, entry.what) for entry in found] == [(at, "result") for at in sorted(chosen)]
    assert all(entry.got == str(recording.ops[entry.op]["result"]) for entry in found)
    assert all(entry.expected == str(other(recording.ops[entry.op]["result"])) for entry in found)


def test_a_register_more_or_less_is_found(recordings):
    recording = recordings["hcall_errors"]
    calls = [at for at, op in enumerate(recording.ops) if op["op"] == "hcall" and len(op["result"]) > 2][:10]

    def change(ops, _):
        for number, at in enumerate(calls):
            result = ops[at]["result"]
            if number % 2:
                result["r12"] = "0x5a"
            else:
                del result[max(result)]

    assert len(calls) == 10
    assert [entry.op for entry in altered(recording, change)] == calls


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_picture_is_found(recordings, name):
    recording, rng = recordings[name], random.Random(name)
    shown = [at for at, point in enumerate(recording.checkpoints) if point["pic"]]
    at = rng.choice(shown)
    lines = [line for line in recording.checkpoints[at]["pic"].splitlines() if line.strip()]
    number = rng.randrange(1, len(lines) - 1)

    def change(_, checkpoints):
        theirs = [*lines]
        theirs[number] = theirs[number][:-1] + ("1" if theirs[number][-1] != "1" else "2")
        checkpoints[at]["pic"] = "\n".join(theirs)

    (found,) = altered(recording, change)
    assert (found.op, found.what, found.operation) == (
        recording.checkpoints[at]["after"],
        "pic",
        f"info pic, line {number + 1}",
    )
    assert found.got == " ".join(lines[number].split())


@pytest.mark.parametrize("name", ["eq_wrap", "multi_cpu", "random_4"])
def test_an_altered_queue_is_found(recordings, name):
    recording, rng = recordings[name], random.Random(name)
    pages = [
        (at, number)
        for at, point in enumerate(recording.checkpoints)
        for number, page in enumerate(point["mem"])
        if page["runs"]
    ]
    at, number = rng.choice(pages)
    page = recording.checkpoints[at]["mem"][number]
    offset, run = page["runs"][0]
    nibble = rng.randrange(len(run))

    def change(_, checkpoints):
        changed = run[:nibble] + f"{int(run[nibble], 16) ^ 8:x}" + run[nibble + 1 :]
        checkpoints[at]["mem"][number]["runs"][0] = [offset, changed]

    (found,) = altered(recording, change)
    word = int(page["addr"], 16) + xive_vectors.number(offset) + nibble // 2 & ~3
    assert (found.op, found.what) == (recording.checkpoints[at]["after"], "mem")
    assert found.operation == f"word at {word:#x}"
    assert found.expected != found.got


def test_a_byte_where_there_is_none_is_found(recordings):
    recording = recordings["eq_wrap"]
    at = next(at for at, point in enumerate(recording.checkpoints) if point["mem"])

    def change(_, checkpoints):
        page = checkpoints[at]["mem"][0]
        page["runs"] = [*page["runs"], [hex(page["len"] - 4), "00000001"]]

    (found,) = altered(recording, change)
    assert (found.what, found.expected, found.got) == ("mem", "00000001", "00000000")


def test_an_operation_left_out_is_found(recordings):
    recording = recordings["lsi"]
    raised = [at for at, op in enumerate(recording.ops) if op["op"] == "set_irq" and op["args"][1]]

    def found(at):
        return altered(recording, lambda ops, _: ops.__setitem__(at, {"op": "load", "cpu": 0, "args": ["0x0", 8]}))

    assert sum(bool(found(at)) for at in raised[:12]) >= 9, "a line that is raised again is no news"


def test_another_flavour_differs(recordings):
    assert xive_vectors.replay(recordings["hcall_errors"], PAPR).differences
    assert xive_vectors.replay(recordings["sync_reset"], PAPR).differences
    assert not [entry for entry in xive_vectors.replay(recordings["tima"], PAPR).differences if entry.what != "pic"]
