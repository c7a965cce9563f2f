"""`outboard check frontend` on front-ends that are sound: our own, and a scripted display; how it begins and ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

from outboard.conformance.frontend.run import CHECKS

pytestmark = pytest.mark.alike

ROOT = Path(__file__).parents[2]
UNSEEN = {"front.picture.shown": "nothing on the wire tells what is on the screen; compare a screenshot"}
UNSAID = {
    "front.config.range": "the front-end sent no GET_CONFIG or SET_CONFIG",
    "front.memory.removed": "the front-end sent no REM_MEM_REG",
}


def front_end(name, path="{socket}"):
    return [sys.executable, "-m", "tests.conformance.frontends", path, name]


def environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def check(*words):
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "outboard", "check", "frontend", *words],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=110,
    )


def skipped(report):
    return {one["id"]: one["got"] for one in report["checks"] if one["status"] == "skip"}


def failed(report):
    return [(one["id"], one["expected"], one["got"]) for one in report["checks"] if one["status"] == "fail"]


@pytest.mark.parametrize("name", ["ours", "sound"])
def test_a_sound_front_end_fails_nothing(name, tmp_path):
    done = check("--json", "--junit", str(tmp_path / "junit.xml"), "--", *front_end(name))
    report = json.loads(done.stdout)
    assert failed(report) == []
    assert done.returncode == 0
    assert report["peer"] == " ".join(front_end(name))
    assert [one["id"] for one in report["checks"]] == [row.id for row in CHECKS]
    gated = {row.id: "may end the front-end; only with --hostile" for row in CHECKS if ".hostile." in row.id}
    assert skipped(report) == UNSEEN | UNSAID | gated
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite").get("failures") == "0"


@pytest.mark.parametrize("name", ["ours"])
def test_a_sound_front_end_outlives_what_kills_others(name):
    done = check("--hostile", "--timeout", "3", "--only", "front.hostile.*", "--json", "--", *front_end(name))
    report = json.loads(done.stdout)
    assert (failed(report), skipped(report), done.returncode) == ([], {}, 0)


def test_a_front_end_that_comes_by_itself_is_checked(socket_dir):
    """It stays alive and connected until the kit leaves; checks that need fresh ones say so."""
    path = socket_dir / "gpu.sock"
    kit = subprocess.Popen(
        [sys.executable, "-m", "outboard", "check", "frontend", "--listen", str(path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with kit:
        assert kit.stderr.readline() == f"outboard: listening on {path}; start the VMM with this GPU now\n"
        with subprocess.Popen(front_end("sound", str(path)), env=environment()) as vmm:
            report = json.loads(kit.communicate(timeout=60)[0])
            assert vmm.wait(30) == 0
    assert (kit.returncode, failed(report)) == (0, [])
    alone = "needs a front-end of its own, and so the program that is one, behind --"
    assert skipped(report)["front.control.drains"] == alone
    assert "front.restart.socket" not in skipped(report)
    assert not path.exists()


def test_a_front_end_that_dies_is_started_anew():
    """The check that it dies of says so; those behind it are run."""
    done = check("--json", "--only", "front.scanout.*", "--only", "front.cursor.*", "--", *front_end("not-empty"))
    report = json.loads(done.stdout)
    assert [(one, got) for one, _, got in failed(report)] == [
        ("front.scanout.empty", "the GPU socket closed; the process exited with status 3")
    ]
    assert (skipped(report), done.returncode) == ({}, 1)
    (row,) = (one for one in report["checks"] if one["status"] == "fail")
    assert any("UPDATE scanout 0 0x0" in line for line in row["exchange"])


def test_replies_that_overtake_others_are_heard():
    """What a probe brings about is judged once more with all that was heard."""
    words = ["--json", "--only", "front.questions.pipelined", "--only", "front.reply.*", "--"]
    report = json.loads(check(*words, *front_end("reversed")).stdout)
    assert [one for one, _, _ in failed(report)] == ["front.questions.pipelined", "front.reply.order"]


def test_a_question_without_an_answer_is_no_disorder():
    words = ["--json", "--timeout", "1", "--only", "front.dmabuf.update", "--only", "front.reply.*", "--"]
    report = json.loads(check(*words, *front_end("dmabuf-silent")).stdout)
    assert [one for one, _, _ in failed(report)] == ["front.dmabuf.update"]


def test_a_program_that_never_connects_is_said_so():
    done = check("--timeout", "0.1", "--", "/bin/false", "{socket}")
    assert done.returncode == 2
    assert done.stderr.startswith("outboard: no front-end connects to ")
    assert done.stderr.endswith("the process exited with status 1\n") and done.stderr.count("\n") == 1


def test_a_guest_that_never_starts_the_device_is_waited_for_once():
    done = check("--timeout", "0.05", "--json", "--only", "front.scanout.*", "--", *front_end("one-enabled"))
    report = json.loads(done.stdout)
    assert set(skipped(report)) == {one["id"] for one in report["checks"]}
    assert all(why.startswith("needs a device that runs, and ") for why in skipped(report).values())


def test_the_kit_can_be_interrupted_while_it_waits(socket_dir):
    path = socket_dir / "gpu.sock"
    command = [sys.executable, "-m", "outboard", "check", "frontend", "--listen", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as kit:
        kit.stderr.readline()
        timer = threading.Timer(30, kit.kill)
        timer.start()
        kit.send_signal(signal.SIGINT)
        assert kit.wait() == 130
        timer.cancel()
    assert not path.exists()


def test_the_list_names_every_check():
    done = check("--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [row.id for row in CHECKS]
