"""`outboard aio graph` and the pictures of `outboard blk serve`, as a user has them."""

import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from tests.backend.test_cli import Process

pytestmark = pytest.mark.alike

SVG = "{http://www.w3.org/2000/svg}"
OUTBOARD = [sys.executable, "-m", "outboard"]


def graph(*words, **environ):
    """Run the command; return exit code, standard output, standard error."""
    done = subprocess.run(
        [*OUTBOARD, "aio", "graph", "--seconds", "0.2", *words],
        capture_output=True,
        env=os.environ | environ,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def texts(path):
    return [one.text for one in ET.parse(path).getroot().iter(f"{SVG}text")]


def test_it_runs_draws_and_writes_all_files(tmp_path):
    files = {name: tmp_path / name for name in ("graph.svg", "timeline.svg", "trace.json")}
    words = zip(("--svg", "--timeline", "--trace"), map(str, files.values()), strict=True)
    code, said, errors = graph(*(word for pair in words for word in pair), COLUMNS="100")
    assert (code, errors) == (0, "")
    assert max(map(len, said.splitlines())) <= 100 and "\x1b" not in said
    for word in (
        "iothread0: thread",
        "iothread1: thread",
        "vda",
        "vdb",
        "mirror0",
        "throttle",
        "in flight",
        "drained, Moved",
    ):
        assert word in said
    assert "every block was read as it was written" in said and "8 moves, drained for" in said
    assert {"vda", "vdb", "mirror job", "copy-on-read, 4 MiB", "2 of 3 must agree"} <= set(texts(files["graph.svg"]))
    assert any(one.endswith("in flight") for one in texts(files["graph.svg"]))
    assert {"iothread0", "iothread1", "main", "vda: programs", "vdb: programs"} <= set(texts(files["timeline.svg"]))
    events = json.loads(files["trace.json"].read_text())["traceEvents"]
    assert {"vda moved", "vdb moved", "vda drained", "vda: programs"} <= {one["name"] for one in events}


def test_json_says_who_ran_where_and_that_nothing_was_lost():
    code, said, errors = graph("--json")
    about = json.loads(said)
    assert (code, errors) == (0, "")
    assert about["wrong"] == {"vda": 0, "vdb": 0} and min(about["requests"].values()) > 0
    assert about["in_flight"] > 0 and about["moves"] == 8
    ran = {one["lane"]["context"]: set(one["names"]) for one in about["lanes"]}
    assert all({"vda: programs", "vdb: programs"} <= ran[thread] for thread in ("iothread0", "iothread1"))
    assert not {"vda: programs", "vdb: programs"} & ran.get("main", set())  # they began where their disks are
    moved = [(one["name"], one["context"], one["to"]) for one in about["marks"] if one["what"] == "moved"]
    assert moved[:2] == [("vda", "iothread0", "iothread1"), ("vdb", "iothread1", "iothread0")] and len(moved) == 8
    assert sum(one["what"] == "drained" for one in about["marks"]) >= 8


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--svg", "{}/nope/graph.svg"), "folder .*/nope does not exist"),
        (("--trace", "{}"), "is a folder; name a file"),
        (("--seconds", "0"), "'0' is no duration"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(tmp_path, words, complaint):
    code, said, errors = graph(*(word.format(tmp_path) for word in words))
    assert (code, said) == (2, "") and "Traceback" not in errors
    assert re.search(complaint, errors)


def test_a_serving_process_draws_itself_on_a_signal_and_at_the_end(tmp_path):
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    words = "blk serve disk.sock --image disk.img --iothread left --iothread right --graph g.svg --timeline t.json"
    process = Process([*OUTBOARD, *words.split()], cwd=tmp_path)
    process.until("serving disk.img")
    process.signal(signal.SIGUSR1)
    process.until("wrote t.json")
    shown = texts(tmp_path / "g.svg")
    assert {"disk.img", "raw, 1 MiB", "file, 1 MiB", "of a vhost-user-blk device"} <= set(shown)
    assert [one for one in shown if one.startswith("left: thread")] and [
        one for one in shown if one.startswith("main: ")
    ]
    assert "traceEvents" in json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "g.svg").unlink()
    code, errors = process.end(signal.SIGTERM)
    assert code == 0 and "wrote g.svg" in errors and "Traceback" not in errors
    assert "disk.img" in texts(tmp_path / "g.svg")


def test_a_serving_process_with_nothing_to_draw_survives_the_signal(tmp_path):
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    process = Process([*OUTBOARD, "blk", "serve", "disk.sock", "--image", "disk.img"], cwd=tmp_path)
    process.until("serving disk.img")
    process.signal(signal.SIGUSR1)
    assert process.end(signal.SIGTERM) == (0, "")


def test_a_picture_that_has_no_place_is_refused(tmp_path):
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    words = ["blk", "serve", "disk.sock", "--image", "disk.img", "--graph", "nope/g.svg"]
    process = Process([*OUTBOARD, *words], cwd=tmp_path)
    assert process.end() == (2, "outboard: --graph nope/g.svg: folder nope does not exist\n")
