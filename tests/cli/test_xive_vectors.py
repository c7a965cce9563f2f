"""`outboard xive vectors` as a process: what it prints, how it ends."""

import copy
import gzip
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "vectors" / "xive"
FILES = sorted(FOLDER.glob("*.json.gz"))
VECTORS = [sys.executable, "-m", "outboard", "xive", "vectors"]
PATIENCE = 100


def run(*arguments, cwd=None, code=0):
    done = subprocess.run([*VECTORS, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, cwd=cwd)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done
    return done


@pytest.fixture(scope="module")
def lsi():
    return json.loads(gzip.decompress((FOLDER / "lsi.json.gz").read_bytes()))


@pytest.fixture
def changed(lsi, tmp_path):
    """`changed(name, change)` writes the recording after `change(content)` and returns the file."""

    def write(name, change):
        content = copy.deepcopy(lsi)
        change(content)
        (tmp_path / name).write_bytes(gzip.compress(json.dumps(content).encode()))
        return tmp_path / name

    return write


def test_all_recordings_are_as_recorded():
    done = run(*FILES, "--json")
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert list(answer) == ["files"]
    assert [entry["file"] for entry in answer["files"]] == list(map(str, FILES))
    assert all(entry["ops"] > 0 and entry["checkpoints"] > 0 for entry in answer["files"])
    assert [entry["differences"] for entry in answer["files"]] == [[]] * len(FILES)
    assert len(FILES) >= 16


def test_the_text_has_a_line_a_file_and_a_total():
    names = ["before_cas.json.gz", "msi_claim.json.gz"]
    assert run(*names, cwd=FOLDER).stdout.splitlines() == [
        "before_cas.json.gz: 55 operations, 4 checkpoints, no difference",
        "msi_claim.json.gz: 254 operations, 8 checkpoints, no difference",
        "total: 2 files, 309 operations, 12 checkpoints, no difference",
    ]


def test_where_qemu_aborts_ours_is_told():
    lines = run(FOLDER / "qemu_aborts.json.gz").stdout.splitlines()
    assert lines[0].endswith("qemu_aborts.json.gz: 4 operations, 1 checkpoint, no difference")
    assert lines[1:] == [
        "  operation 3, cpu 0 store 0x6030203190018 4 0x80000400:",
        "    QEMU aborts here (spapr_xive_write_nvt: code should not be reached); ours goes on",
        "    ours traces  xive_tctx_tm_write @0x10018 sz=4 val=0x80000400",
    ]
    assert json.loads(run(FOLDER / "qemu_aborts.json.gz", "--json").stdout)["files"][0]["differences"] == []


def test_an_altered_answer_is_named(changed, lsi):
    at = next(at for at, op in enumerate(lsi["ops"]) if at > 10 and op["op"] == "load")
    recorded = lsi["ops"][at]["result"]
    file = changed("altered.json.gz", lambda content: content["ops"][at].update(result="0xbad"))
    lines = run(FOLDER / "lsi.json.gz", file, code=1).stdout.splitlines()
    assert lines[0].endswith("no difference")
    assert lines[1] == f"{file}: 1705 operations, 22 checkpoints, 1 difference"
    assert lines[2] == f"  operation {at}"
    assert [line.split()[0] for line in lines[3:7]] == [str(number) for number in range(at - 4, at)]
    assert lines[7].split()[:5] == ["->", str(at), "cpu", "0", "load"]
    assert [line.split() for line in lines[8:10]] == [["expected", "0xbad"], ["got", recorded]]
    assert lines[10] == "total: 2 files, 3410 operations, 44 checkpoints, 1 difference in 1 file"
    (entry,) = json.loads(run(file, "--json", code=1).stdout)["files"]
    (difference,) = entry["differences"]
    assert (difference["op"], difference["what"], difference["expected"], difference["got"]) == (
        at,
        "result",
        "0xbad",
        recorded,
    )
    assert len(difference["context"]) == 4


def test_an_altered_picture_is_named(changed, lsi):
    at = next(at for at, point in enumerate(lsi["checkpoints"]) if at and point["pic"])
    after = lsi["checkpoints"][at]["after"]

    def change(content):
        content["checkpoints"][at]["pic"] = content["checkpoints"][at]["pic"].replace("LSI", "MSI", 1)

    lines = run(changed("altered.json.gz", change), code=1).stdout.splitlines()
    assert f"  state after {after} operations" in lines
    assert any(line.split()[:3] == ["->", "info", "pic,"] for line in lines)


def test_many_differences_are_counted_not_printed():
    lines = run(FOLDER / "hcall_errors.json.gz", "--flavour", "papr", code=1).stdout.splitlines()
    count = int(lines[0].split()[-2])
    assert count > 10
    assert sum(line.startswith("         got ") for line in lines) == 10
    assert lines[-1] == f"  ... and {count - 10} more differences"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "not a vector file: Expecting value"),
        (b"{", "not a vector file"),
        (b"\xff\xfe\xfd", "not a vector file"),
        (b"[1]", "it holds lacks meta, ops or checkpoints"),
        (b"{}", "it holds lacks meta, ops or checkpoints"),
        (b'{"meta": {}, "ops": [], "checkpoints": []}', "lacks meta, ops or checkpoints: 'format'"),
        (b'{"meta": {"format": 2}, "ops": [], "checkpoints": []}', "format 2 of vector files; this program reads 1"),
        (b'{"meta": {"format": 1}, "ops": [], "checkpoints": []}', "not a recording that can be replayed"),
        (b"[" * 100000, "not a vector file"),
    ],
)
def test_files_that_are_no_recordings(tmp_path, data, words):
    if data is not None:
        (tmp_path / "broken.json.gz").write_bytes(data)
    done = run("broken.json.gz", cwd=tmp_path, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("outboard: broken.json.gz: ") and words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("keep", [1, 2, 9, 10, 100, 2000, -1])
def test_a_recording_cut_short(tmp_path, keep):
    (tmp_path / "cut.json.gz").write_bytes((FOLDER / "lsi.json.gz").read_bytes()[:keep])
    assert run(tmp_path / "cut.json.gz", code=2).stderr.count("\n") == 1


def test_a_recording_broken_in_the_middle(tmp_path):
    good = (FOLDER / "lsi.json.gz").read_bytes()
    for at in range(12, len(good), len(good) // 8):
        broken = bytearray(good)
        broken[at] ^= 0xFF
        (tmp_path / f"{at}.json.gz").write_bytes(broken)
    done = run(*sorted(tmp_path.iterdir()), code=2)
    assert done.stderr.count("\n") == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["ops"][300].update(op="dance"),
        lambda content: content["ops"][300].update(args=7),
        lambda content: content["ops"][300].update(args=["0x"]),
        lambda content: content["ops"][300].update(args=["0x0", 3], op="load"),
        lambda content: content["ops"][300].update(cpu=9),
        lambda content: content["ops"][300].update(cpu="0"),
        lambda content: content["ops"].__setitem__(300, None),
        lambda content: content.update(ops=5),
        lambda content: content.update(checkpoints=[5]),
        lambda content: content["checkpoints"][0].update(after=99999),
        lambda content: content["checkpoints"][0].update(pic=5),
        lambda content: content["checkpoints"][0].update(mem=[{"addr": "0x0", "len": "0x10", "runs": [["zz", "00"]]}]),
        lambda content: content["meta"].update(servers=[]),
        lambda content: content["meta"].update(servers=list(range(5000))),
        lambda content: content["meta"].update(ram_size="0x0"),
        lambda content: content["meta"].update(ram_size="0xffffffffffffffff"),
        lambda content: content["meta"].update(sources=[[0x1200, 1], [0x1200, 1]]),
        lambda content: content["meta"].update(setup=None),
    ],
)
def test_recordings_of_what_there_is_not(changed, change):
    file = changed("odd.json.gz", change)
    done = run(file, code=2)
    assert done.stderr.startswith(f"outboard: {file}: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_what_is_broken_does_not_hide_the_rest(tmp_path):
    done = run(tmp_path, FOLDER / "before_cas.json.gz", code=2)
    assert done.stderr.startswith(f"outboard: {tmp_path}: cannot be read: Is a directory")
    assert done.stdout.splitlines()[-1] == (
        "total: 1 file, 55 operations, 4 checkpoints, no difference, 1 file could not be replayed"
    )
    answer = json.loads(run(tmp_path, FOLDER / "before_cas.json.gz", "--json", code=2).stdout)
    assert len(answer["files"]) == 1


def test_progress_is_for_terminals():
    ours, theirs = pty.openpty()
    done = subprocess.run([*VECTORS, FOLDER / "before_cas.json.gz"], stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    told = os.read(ours, 4096).decode()
    os.close(ours)
    assert "replaying" in told and "(1 of 1)" in told
    assert b"replaying" not in done.stdout


@pytest.mark.parametrize("arguments", [[], ["--flavour", "qemu-9", "x"], ["--nonsense", "x"]])
def test_bad_arguments(arguments):
    assert "usage: outboard" in run(*arguments, code=2).stderr


def test_help_has_an_example():
    assert "example:" in run("--help").stdout
