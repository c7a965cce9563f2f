"""The kit itself: its table of checks, what a check's end is made of, the three reports, and peers that misbehave."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from outboard.cli.main import main
from outboard.conformance.backend.peer import Peers
from outboard.conformance.backend.run import CHECKS
from outboard.conformance.check import (
    MUST,
    ROBUSTNESS,
    SHOULD,
    VIRTIO,
    Check,
    Checks,
    Failed,
    NotApplicable,
    PeerUnusable,
    Result,
    Status,
    expect,
    run_one,
)
from outboard.conformance.known import BACK_ENDS, C_7, Known, remark
from outboard.conformance.report import Report, exit_code, listing, terminal, to_json, to_junit
from outboard.conformance.transcript import Transcript, command
from outboard.errors import LocalError, ProtocolError, WaitTimeout
from outboard.spec.virtio_gpu import Cmd, CtrlHdr, ResourceUnref, Resp

pytestmark = pytest.mark.alike

# What QEMU's own back-end does wrong, as its users know it, and the check that has to find each.
FAULTS = {
    "UPDATE in coordinates of the framebuffer": "picture.update.origin",
    "an UPDATE of nothing": "picture.update.empty",
    "pixels in the guest's format": "picture.format.r8g8b8a8",
    "a second GPU socket ignored": "gpu.socket.replaced",
    "SIGPIPE when the GPU socket is closed": "gpu.socket.eof.survived",
    "SIGPIPE after stop and resume": "life.resume.flush",
    "spinning when the GPU socket is closed while it waits": "gpu.socket.eof.waiting",
    "garbage in the flags": "gpu.request.flags",
    "abort at a payload in pieces": "control.fragmented.payload",
    "a header in pieces misread": "control.fragmented.header",
    "a reply in pieces not understood": "gpu.reply.pieces",
    "a reply of a wrong size": "gpu.reply.short",
    "a display that never answers": "gpu.reply.none",
    "no answer without a display": "gpu.socket.none.display_info",
    "frames cut on a socket that does not block": "gpu.socket.nonblocking",
    "deadlock of a full GPU socket and GET_CONFIG": "gpu.socket.full",
    "exit at an unknown request": "control.request.unknown",
    "exit at request 0": "control.request.zero",
    "exit at RESET_DEVICE": "control.request.reset_device",
    "exit at SET_STATUS": "control.request.set_status",
    "exit at GET_STATUS": "control.request.get_status",
    "exit at a ring that is none, kick": "vring.index.kick",
    "exit at a ring that is none, call": "vring.index.call",
    "exit at a ring that is none, enable": "vring.index.enable",
    "a ring that is none not noticed, num": "vring.index.num",
    "a ring that is none not noticed, base": "vring.index.base",
    "any ring size": "vring.num.odd",
    "exit at ring addresses before memory": "vring.addr.before_memory",
    "rings served that are disabled": "vring.enable.disabled",
    "exit without VERSION_1": "control.features.legacy",
    "exit instead of a failure": "control.ack.failure",
    "LOG_SHMFD offered": "control.protocol_features.log",
    "payload sizes not checked": "control.request.short",
    "GET_CONFIG's offset ignored": "control.config.offset",
    "num_scanouts left to QEMU": "control.config.scanouts",
    "stale pointers into memory that was taken away": "memory.gone.backing",
    "resources kept over a reset": "life.reset.resources",
    "resources kept over a reset that no request tells of": "life.reset.without_request",
    "a transparent image instead of a hidden cursor": "cursor.update.resource_0",
    "any output for the cursor": "cursor.update.scanout_id",
    "no response to cursor commands": "cursor.response.ok",
    "no picture with SCANOUT": "picture.scanout.full_update",
    "SCANOUT repeated, which turns the screen black": "picture.scanout.unchanged",
    "SCANOUT of which one side is 0": "picture.disable.empty_rect",
    "abort at a transfer beyond the backing": "command.transfer.beyond",
    "resources 0 wide": "command.create.zero_width",
    "resources 0 high": "command.create.zero_height",
    "resources too big": "command.create.overflow",
    "requests shorter than a header": "command.short.header",
    "bodies cut short": "command.short.body",
    "the whole image copied": "transfer.whole_width",
    "exit at a malformed ring": "queue.broken.head",
    "no word of a malformed ring": "queue.error.head",
}


class Bench:
    """A context without a peer."""

    def __init__(self, fate="", dying=""):
        self._fate, self._dying = fate, dying

    def exchange(self):
        return ("-> hello",)

    def fate(self, grace_s=0):
        return self._dying if grace_s and self._dying else self._fate


def ended(run, **options):
    """Run a function as a check; return its result."""
    check = Check("area.name", VIRTIO, "1.2", MUST, "It works.", run)
    return run_one(check, lambda: contextlib.nullcontext(Bench(**options)))


def raising(error):
    def run(bench):
        raise error

    return run


# Checks


def test_a_check_is_registered_with_its_sentence():
    checks = Checks()

    @checks.check("area.name", VIRTIO, "1.2", SHOULD)
    def run(bench):
        """It works.

        And this is why.
        """

    (row,) = checks
    assert row == ("area.name", VIRTIO, "1.2", SHOULD, "It works.", run)
    assert (row.area, len(checks), checks["area.name"]) == ("area", 1, row)


def test_ids_are_unique_and_sentences_end():
    checks = Checks()
    checks.add("a.b", VIRTIO, "1", MUST, "It works.", print)
    with pytest.raises(LocalError, match=r"a\.b"):
        checks.add("a.b", VIRTIO, "1", MUST, "It works.", print)
    with pytest.raises(LocalError, match="sentence"):
        checks.add("a.c", VIRTIO, "1", MUST, "", print)
    with pytest.raises(LocalError, match=r"a\.b"):
        Checks(checks, checks)


def test_patterns_choose():
    checks = Checks()
    for name in ("a.one", "a.two", "b.one"):
        checks.add(name, VIRTIO, "1", MUST, "It works.", print)
    assert [row.id for row in checks.only(["a.*", "b.one"])] == ["a.one", "a.two", "b.one"]
    assert [row.id for row in checks.only(["*.one"])] == ["a.one", "b.one"]
    assert len(checks.only([])) == 3
    with pytest.raises(LocalError, match=r"c\.\*"):
        checks.only(["c.*"])


@pytest.mark.parametrize(
    ("error", "status", "expected", "got"),
    [
        (Failed("1", "2"), Status.FAIL, "1", "2"),
        (NotApplicable("no such feature"), Status.SKIP, "", "no such feature"),
        (ProtocolError("GET_FEATURES", "5", "6"), Status.FAIL, "GET_FEATURES: 5", "6"),
        (WaitTimeout("nothing in 5 s"), Status.FAIL, "It works", "nothing in 5 s"),
        (LocalError("refused"), Status.FAIL, "It works", "refused"),
        (BrokenPipeError("gone"), Status.FAIL, "It works", "gone"),
    ],
)
def test_what_a_check_raises_is_its_end(error, status, expected, got):
    result = ended(raising(error))
    assert result[1:5] == (status, expected, got, ("-> hello",))


def test_a_bug_in_a_check_spoils_that_check_only():
    result = ended(raising(ZeroDivisionError("by 0")))
    assert result.status == Status.FAIL
    assert result.got == "what the kit does not understand; please report this: ZeroDivisionError('by 0')"


def test_a_peer_that_cannot_be_used_ends_the_run():
    with pytest.raises(PeerUnusable):
        ended(raising(PeerUnusable("no such program")))


def test_a_peer_that_died_fails_the_check_and_says_so():
    assert ended(lambda bench: None).status == Status.PASS
    passed = ended(lambda bench: None, fate="the process died of SIGSEGV")
    assert (passed.status, passed.got) == (Status.FAIL, "the process died of SIGSEGV")
    failed = ended(raising(Failed("a reply", "nothing")), dying="the process died of SIGSEGV")
    assert failed.got == "nothing; the process died of SIGSEGV"
    twice = ended(raising(Failed("it lives", "the process died of SIGSEGV")), fate="the process died of SIGSEGV")
    assert twice.got == "the process died of SIGSEGV"


def test_expect():
    expect(1, "1", "1")
    with pytest.raises(Failed) as raised:
        expect([], "something", [])
    assert (raised.value.expected, raised.value.got) == ("something", "[]")


# Reports


def some_report():
    def result(name, severity, status, got=""):
        check = Check(name, VIRTIO, "1.2", severity, f"Says {name}.", print)
        return Result(check, status, "a <reply>", got, ("-> one", "<- \x00two"), 0.5)

    results = (
        result("b.robust", ROBUSTNESS, Status.FAIL, "\x01crash & burn"),
        result("a.good", MUST, Status.PASS),
        result("a.bad", MUST, Status.FAIL, "nothing"),
        result("c.none", SHOULD, Status.SKIP, "not offered"),
    )
    return Report("./gpu {socket}", results, (Known("Old Peer", "a.bad", "forgets it"),))


def test_the_terminal_report():
    text = terminal(some_report())
    assert text.index("FAIL must  a.bad") < text.index("FAIL robustness  b.robust"), "by severity"
    for words in ("Says a.bad. (VIRTIO-1.2, 1.2)", "expected  a <reply>", "got       nothing", "-> one"):
        assert words in text
    assert "as Old Peer does: forgets it" in text
    assert "skip  should  c.none: not offered" in text
    assert "a.good" not in text
    assert "1 passed, 2 failed (1 must, 1 robustness), 1 skipped, in 2.0 s" in text
    assert "pass  must  a.good\n    -> one" in terminal(some_report(), verbose=True)


def test_the_json_report_is_one_object():
    told = json.loads(to_json(some_report()))
    assert told["peer"] == "./gpu {socket}"
    rows = {row["id"]: row for row in told["checks"]}
    assert list(rows) == ["b.robust", "a.good", "a.bad", "c.none"]
    assert rows["a.bad"] == {
        "id": "a.bad",
        "document": VIRTIO,
        "section": "1.2",
        "severity": "must",
        "says": "Says a.bad.",
        "status": "fail",
        "expected": "a <reply>",
        "got": "nothing",
        "known": ["Old Peer"],
        "exchange": ["-> one", "<- \x00two"],
        "seconds": 0.5,
    }


def test_the_junit_report_is_xml():
    (suite,) = ElementTree.fromstring(to_junit(some_report()))
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "2",
        "errors": "0",
        "skipped": "1",
        "time": "2.000",
    }
    cases = {case.get("name"): case for case in suite}
    assert cases["a.bad"].get("classname") == "must.a"
    assert "as Old Peer does" in cases["a.bad"].find("failure").text
    assert cases["b.robust"].find("failure").get("message") == "expected a <reply>, got �crash & burn"
    assert cases["c.none"].find("skipped").get("message") == "not offered"
    assert len(cases["a.good"]) == 0
    (suite,) = ElementTree.fromstring(to_junit(some_report(), robustness=False))
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "2")


def test_exit_codes():
    report = some_report()
    assert exit_code(report) == exit_code(report, robustness=False) == 1
    robust_only = report._replace(results=report.results[:2])
    assert (exit_code(robust_only), exit_code(robust_only, robustness=False)) == (1, 0)
    assert exit_code(report._replace(results=report.results[1:2])) == 0


def test_remarks():
    known = (Known("A", "x.y", "sulks"), Known("C", "x.y", "shouts"), Known("B", "x.y", "sulks"))
    known += (Known("A", "x.z", "hides"),)
    assert remark(known, "x.y") == "as A and B do: sulks; as C does: shouts"
    assert remark(known, "x.z") == "as A does: hides"
    assert remark(known, "x") == ""


def test_the_transcript_is_decoded_and_bounded():
    transcript = Transcript(3)
    for at in range(5):
        transcript.message("control", True, 1, 1, b"", 0, at)
    assert len(transcript.lines()) == 3
    transcript.chain(0, True, ResourceUnref(resource_id=7).pack())
    transcript.chain(0, False, CtrlHdr(Resp.OK_NODATA, 1, 9).pack())
    transcript.note("GPU socket closed")
    asked, answered, note = transcript.lines()
    assert asked == "-> queue 0  RESOURCE_UNREF resource_id=7 [32 bytes]"
    assert answered == "<- queue 0  OK_NODATA fence 9 [24 bytes]"
    assert note.strip() == "GPU socket closed"


@pytest.mark.parametrize(
    ("data", "size", "words"),
    [
        (b"", 0, "0 bytes"),
        (b"\1\2", 2, "2 bytes 0102"),
        (CtrlHdr(0x999).pack(), 24, "0x999 [24 bytes]"),
        (CtrlHdr(Cmd.RESOURCE_UNREF).pack() + b"\1", 25, "RESOURCE_UNREF 01 [25 bytes]"),
        (CtrlHdr(Resp.ERR_UNSPEC).pack(), 24, "ERR_UNSPEC [24 bytes]"),
    ],
)
def test_odd_commands_in_words(data, size, words):
    assert command(data, size) == words


# The table


def test_every_check_has_its_own_words():
    rows = list(CHECKS)
    assert len({row.says for row in rows}) == len(rows) >= 70
    for row in rows:
        assert row.id == row.id.lower() and "." in row.id and " " not in row.id, row.id
        assert row.section and len(row.says) < 130, row.id


def test_every_fault_of_qemus_back_end_has_a_check():
    known = {row.check for row in BACK_ENDS if row.peer == C_7}
    assert {fault: found for fault, found in FAULTS.items() if found not in known} == {}
    assert len(set(FAULTS.values())) == len(FAULTS)


def test_known_deviations_are_of_checks_that_exist():
    ids = {row.id for row in CHECKS}
    assert [row for row in BACK_ENDS if row.check not in ids] == []
    assert len({row[:2] for row in BACK_ENDS}) == len(BACK_ENDS)


# The command


def run(capfd, *arguments):
    code = main(["check", "backend", *arguments])
    said, errors = capfd.readouterr()
    return code, said, errors


def test_the_list(capfd):
    code, said, _ = run(capfd, "--list", "--only", "control.config.*")
    assert code == 0
    assert said == listing(CHECKS.only(["control.config.*"]))
    assert len(said.splitlines()) == len(CHECKS.only(["control.config.*"]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give the program behind --, or a socket"),
        (("--connect", "x", "--", "gpu"), "give the program behind --, or a socket"),
        (("--", "gpu"), "write {socket} where the socket's path belongs"),
        (("--only", "nothing.*", "--", "gpu", "{socket}"), "no check is called nothing.*"),
        (("--", "/nowhere/gpu", "{socket}"), "/nowhere/gpu: cannot be started: No such file"),
        (("--timeout", "0.2", "--", "sleep", "100", "{socket}"), "sleep exited with status 1"),
        (("--timeout", "0.2", "--", "sh", "-c", "sleep 100 # {socket}"), "does not listen on {socket} after 0.2 s"),
        (
            ("--", "sh", "-c", "echo no GPU here >&2; exit 3 # {socket}"),
            "exited with status 3, its last words: no GPU here",
        ),
        (("--timeout", "0.1", "--connect", "/nowhere/gpu.sock"), "/nowhere/gpu.sock: nobody listens"),
    ],
)
def test_what_cannot_run_is_a_sentence(capfd, arguments, words):
    code, said, errors = run(capfd, *arguments)
    assert (code, said) == (2, "")
    assert words in errors and errors.count("\n") == 1


SILENT = """
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    connection, _ = listener.accept()
    {then}
"""


def program(tmp_path, then):
    """Write a peer that accepts and then does something; return its command line."""
    path = tmp_path / "peer.py"
    path.write_text(SILENT.replace("{then}", then))
    return ["--", sys.executable, str(path), "{socket}"]


def test_a_peer_that_hangs(capfd, tmp_path):
    code, said, _ = run(capfd, "--timeout", "0.2", "--only", "control.reply.*", *program(tmp_path, "time.sleep(100)"))
    assert code == 1
    assert said.count("expected  a reply to GET_FEATURES\n  got       nothing in 0.2 s\n") == 2


def test_a_peer_that_dies(capfd, tmp_path):
    line = program(
        tmp_path, "connection.recv(100); print('out of luck', file=sys.stderr, flush=True); __import__('os').abort()"
    )
    code, said, _ = run(capfd, "--only", "control.reply.size", *line)
    assert code == 1
    assert "the end of the connection after 0 bytes; the process died of SIGABRT (out of luck)" in said


def test_a_peer_that_says_nonsense(capfd, tmp_path):
    line = program(tmp_path, "connection.recv(100); connection.sendall(bytes.fromhex('ff' * 12)); time.sleep(100)")
    code, said, _ = run(capfd, "--only", "control.reply.size", *line)
    assert code == 1
    assert "got       a header that announces 4294967295 bytes" in said


def test_no_robustness_does_not_count(capfd, tmp_path):
    line = program(tmp_path, "time.sleep(100)")
    options = ("--timeout", "0.2", "--only", "control.joined")
    assert run(capfd, *options, *line)[0] == 1
    code, said, _ = run(capfd, *options, "--no-robustness", *line)
    assert code == 0 and "1 failed (1 robustness)" in said and "robustness does not count" in said


def test_files_and_json(capfd, tmp_path):
    junit = tmp_path / "report.xml"
    line = program(tmp_path, "connection.close()")
    code, said, _ = run(capfd, "--json", "--junit", str(junit), "--only", "control.reply.*", *line)
    assert code == 1
    assert [row["status"] for row in json.loads(said)["checks"]] == ["fail", "fail"]
    (suite,) = ElementTree.parse(junit).getroot()
    assert suite.get("failures") == "2"


def test_a_report_that_cannot_be_written_is_a_sentence(capfd, tmp_path):
    line = program(tmp_path, "connection.close()")
    code, _, errors = run(capfd, "--junit", str(tmp_path / "no" / "report.xml"), "--only", "control.reply.size", *line)
    assert code == 2 and "report.xml" in errors


# Peers


def children():
    """Return this process's children, the ones that were not waited for too."""
    task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return task.read_text().split()


def test_nothing_is_left_behind(capfd, tmp_path, socket_dir, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(socket_dir))
    before = children()
    run(capfd, "--timeout", "0.2", "--only", "control.reply.*", *program(tmp_path, "time.sleep(100)"))
    assert children() == before
    assert list(socket_dir.iterdir()) == []


def test_a_peer_given_back_is_taken_again_until_it_fails(tmp_path):
    peers = Peers(program(tmp_path, "pass")[1:], None, reuse=True)
    try:
        first = peers.take()
        peers.connect(first, 5).close()
        peers.give_back(first)
        assert peers.take() is first and peers.worn()
        assert not peers.worn()
        peers.give_back(first)
        second = peers.take()
        peers.give_back(second)
        third = peers.take()
        third.may_end = True
        peers.give_back(third)
        fourth = peers.take()
        fourth.close()
        assert fourth is not third
        assert not peers.worn()
    finally:
        peers.close()


@pytest.mark.parametrize(("alone", "number"), [(False, 3), (True, 1)])
def test_no_peer_is_started_ahead_of_one_that_must_be_alone(tmp_path, alone, number):
    before = children()
    peers = Peers(program(tmp_path, "pass")[1:], None, alone=alone)
    try:
        for _ in range(3):
            peer = peers.take()
            assert len(children()) == len(before) + number
            peers.give_back(peer)
    finally:
        peers.close()
    assert children() == before


def test_the_cpu_time_of_a_peer_is_that_of_all_it_started(tmp_path):
    busy = Peers(["sh", "-c", f"{sys.executable} -c 'while True: pass' # {{socket}}"], None)
    try:
        peer = busy.take()
        while (peer.cpu_seconds() or 0) < 0.1:
            assert not peer.fate()
    finally:
        busy.close()
        peer.close()


def test_starting_the_command_line_does_not_load_the_kit():
    show = "import sys, outboard.cli.main as m; m.parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout
    assert not [name for name in loaded.split() if name.startswith("outboard.conformance")]
