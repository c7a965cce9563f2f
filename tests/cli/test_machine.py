"""`outboard machine run`, `dtb`, `pic` as a user has them."""

import json
import os
import signal
import subprocess
import sys

import pytest

from outboard.spapr import fdt

pytestmark = pytest.mark.alike


def machine(*words, cwd=None):
    """Run the command; return what it printed, as bytes, when it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "outboard", "machine", *words], capture_output=True, cwd=cwd, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr.decode()


def test_run_shows_the_screen_the_figures_and_the_way_of_one_interrupt(tmp_path):
    shot = tmp_path / "screen.png"
    code, said, errors = machine("run", "--size", "128x96", "--frames", "5", "--shot", str(shot))
    text = said.decode()
    assert code == 0 and not errors
    assert shot.read_bytes().startswith(b"\x89PNG")
    assert "2 CPUs, XIVE of ic-mode=dual, edu and gpu" in text and "5 frames" in text
    assert "the screen shows what the guest drew, byte for byte" in text
    words = [line.split(":")[0].strip() for line in text.split("from command to EOI")[1].splitlines()[1:]]
    order = "GPU command,used ring,device,PQ,EAS,END,queue,presenter,IPB,line,accept,handler,EOI,CPPR".split(",")
    assert [words.index(one) for one in order] == sorted(words.index(one) for one in order)


def test_run_in_the_older_mode_as_json(tmp_path):
    shot = tmp_path / "s.png"
    words = ("--ic-mode", "dual", "--guest", "xics", "--cpus", "3", "--vsmt", "8", "--json", "--shot", str(shot))
    code, said, _ = machine("run", "--size", "128x96", "--frames", "4", *words)
    about = json.loads(said)
    assert code == 0 and about["mode"] == "xics" and about["cpus"] == 3 and about["wrong"] == ""
    assert about["interrupts"]["gpu control queue"] == 4 + 6 and about["spurious"] == 0
    assert any(line.startswith("ICP: XIRR 0xff0013") for line in about["log"])


@pytest.mark.parametrize(
    ("words", "frame"),
    [
        (("--frames", "1"), 0),
        (("--frames", "2"), 1),
        (("--frames", "3"), 2),
        (("--frames", "9"), 2),
        (("--seconds", "1e-12"), None),
    ],
)
def test_the_frame_that_is_told_is_the_last_whole_one_of_few(tmp_path, words, frame):
    words = ("--size", "64x64", *words, "--shot", str(tmp_path / "s.png"))
    about = json.loads(machine("run", "--json", *words)[1])
    assert about["log_frame"] == frame
    assert [line.partition(":")[0] for line in about["log"][:1]] == ([] if frame is None else ["GPU command"])
    said = machine("run", *words)[1].decode()
    assert (f"from command to EOI, frame {frame}\n  GPU command: " in said) is (frame is not None)
    assert ("\nno frame was drawn to its end, " in said) is (frame is None)


def test_a_short_time_may_be_enough_for_few_frames_only(tmp_path):
    words = ("--size", "64x64", "--seconds", "0.002", "--json", "--shot", str(tmp_path / "s.png"))
    about = json.loads(machine("run", *words)[1])
    assert about["log_frame"] == (min(about["frames"], 3) - 1 if about["frames"] else None)
    assert bool(about["log"]) is (about["frames"] > 0)


@pytest.mark.parametrize("size", ["1000x64", "64x1000", "3000x64"])
def test_run_on_odd_screens(tmp_path, size):
    code, said, errors = machine("run", "--size", size, "--frames", "9", "--shot", str(tmp_path / "s.png"))
    assert (code, errors) == (0, "") and b"byte for byte" in said


def test_run_without_edid_asks_one_question_less(tmp_path):
    counts = []
    for words in ((), ("--no-edid",)):
        words = (*words, "--size", "64x64", "--frames", "3", "--json", "--shot", str(tmp_path / "s.png"))
        counts.append(json.loads(machine("run", *words)[1])["interrupts"])
    assert counts[1] == counts[0] | {
        "gpu control queue": counts[0]["gpu control queue"] - 1,
        "IPI of CPU 0": counts[0]["IPI of CPU 0"] - 1,
    }


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (("--machine", "pseries-3.0"), "legacy"),
        (("--machine", "pseries-4.0", "--cpus", "3"), "xics"),
        (("--cpu", "power8"), "xics"),
        (("--cpu", "power10", "--ic-mode", "xive"), "xive"),
        (("--max-cpu-compat", "power8"), "xics"),
    ],
)
def test_run_on_other_machines(tmp_path, words, mode):
    size = ("--size", "128x96", "--frames", "2", "--json", "--shot", str(tmp_path / "s.png"))
    code, said, errors = machine("run", *words, *size)
    assert (code, errors) == (0, "")
    about = json.loads(said)
    assert (about["ic_mode"], about["mode"]) == (mode, "xive" if mode == "xive" else "xics")


def test_two_runs_say_the_same(tmp_path):
    runs = []
    for _ in range(2):
        words = ("--size", "128x96", "--frames", "4", "--json", "--shot", str(tmp_path / "s.png"), "--seed", "5")
        about = json.loads(machine("run", *words)[1])
        del about["seconds"]
        runs.append(about)
    assert runs[0] == runs[1]


@pytest.mark.parametrize(("words", "controller"), [((), "interrupt-controller"), (("--after-cas",), "60302031b0000")])
def test_dtb(tmp_path, words, controller):
    path = tmp_path / "machine.dtb"
    assert machine("dtb", *words, str(path))[0] == 0
    tree = fdt.unpack(path.read_bytes())
    assert any(node.name.endswith(controller) for node in tree.children)
    assert len([one for one in tree.find("/cpus").children if one.name.startswith("PowerPC")]) == 2
    code, text, _ = machine("dtb", *words, "--text", "-")
    assert code == 0 and text.startswith(b"/dts-v1/;") and controller.encode() in text
    assert machine("dtb", *words, "-")[1] == path.read_bytes()


@pytest.mark.parametrize(("mode", "first"), [("xive", "CPU[0000]:   QW"), ("xics", "CPU 0 XIRR=ff000000")])
def test_pic(mode, first):
    code, said, _ = machine("pic", "--guest", mode)
    assert code == 0 and said.decode().startswith(first) and said.endswith(b"irqchip: emulated\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--ic-mode", "xics", "--guest", "xive"), "this machine offers xics, not xive; choose another ic-mode"),
        (("run", "--shot", "/nowhere/s.png"), "--shot /nowhere/s.png: folder /nowhere does not exist"),
        (("run", "--shot", "/"), "--shot /: is a folder; name a file"),
        (("run", "--shot", ""), "--shot : is a folder; name a file"),
        (("run", "--", "/no/such/backend", "{fd}"), "/no/such/backend: cannot be started: No such file or directory"),
        (("run", "--", "/bin/true"), "/bin/true: write {socket} where the socket's path belongs"),
        (
            ("dtb", "/nowhere/machine.dtb"),
            "/nowhere/machine.dtb: cannot write the device tree: No such file",
        ),
        (("dtb", "/"), "/: cannot write the device tree: Is a directory"),
        (("dtb", "--ic-mode", "both", "-"), 'outboard: Bad value for "ic-mode" property\n'),
        (("pic", "--ic-mode", ""), 'outboard: Bad value for "ic-mode" property\n'),
        (("run", "--ic-mode", "xive", "--cpu", "power8"), "outboard: XIVE-only machines require a POWER9 CPU\n"),
        (("dtb", "--ic-mode", "xive", "--max-cpu-compat", "power8", "-"), "XIVE-only machines require a POWER9 CPU"),
        (
            ("dtb", "--ic-mode", "xics", "--machine", "pseries-3.0", "-"),
            "only uses the legacy XICS backend, don't pass",
        ),
        (("dtb", "--machine", "pseries-9.9", "-"), "unsupported machine type 'pseries-9.9'; modelled: pseries-2.8"),
        (("pic", "--max-cpu-compat", "power5"), 'outboard: Invalid compatibility mode "power5"\n'),
        (("pic", "--cpu", "970"), "no CPU model '970'; there are power8"),
        (("run", "--cpus", "0"), "'0' is no number of CPUs; this machine has 1 to 64"),
        (("run", "--cpus", "64", "--vsmt", "512"), "needs 1 <= cpus"),
        (("run", "--size", "32x32"), "scene balls needs 64x64 pixels, output 0 has 32x32"),
        (("run", "--size", "16384x16384"), "no room for"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(tmp_path, words, says):
    code, _, errors = machine(*words, cwd=tmp_path)
    assert code == 2 and says in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    "words",
    [
        "machine dtb -",
        "machine dtb --text -",
        "machine run --size 64x64 --frames 2 --shot s.png",
        "machine pic",
        "xive --help",
        "xive shell </dev/null",
    ],
)
def test_a_standard_output_that_is_closed_is_no_failure(tmp_path, words):
    command = f'"{sys.executable}" -m outboard {words} >&-'
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_of_qemu_is_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    words = ("--size", "128x96", "--frames", "2", "--shot", str(tmp_path / "s.png"))
    assert machine("run", *words)[0] == machine("dtb", str(tmp_path / "dtb"))[0] == machine("pic")[0] == 0


def test_it_is_interrupted(tmp_path):
    """Ctrl-C while the guest draws: no traceback, and the back-end is gone."""
    started = tmp_path / "started"
    started.touch()
    backend = f'echo $$ >>{started}; exec "{sys.executable}" -m outboard gpu serve --once --fd="$0"'
    command = [
        sys.executable,
        "-m",
        "outboard",
        "machine",
        "run",
        "--seconds",
        "600",
        "--",
        "sh",
        "-c",
        backend,
        "{fd}",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (pid := started.read_text()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (130, b"")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_screen_that_is_wrong_is_exit_code_1(tmp_path, monkeypatch, capsys):
    from outboard.cli.main import main
    from outboard.machine.scenes import compare

    monkeypatch.setattr(compare, "picture", lambda *_: compare.Difference("7 of 12288 pixels wrong"))
    words = ["machine", "run", "--size", "128x96", "--frames", "1", "--shot", str(tmp_path / "s.png")]
    assert main(words) == 1
    assert "the screen is wrong: 7 of 12288 pixels wrong; look at" in capsys.readouterr().out


def test_a_gpu_that_dies_is_said(tmp_path, monkeypatch, capsys):
    from outboard.cli.main import main
    from outboard.machine.pseries import virtio_gpu

    monkeypatch.setattr(virtio_gpu.GpuBackend, "notify", lambda self, queue: self._fail(OSError("gone")))
    assert main(["machine", "run", "--size", "128x96", "--shot", str(tmp_path / "s.png")]) == 2
    assert "outboard: the GPU: the back-end: gone" in capsys.readouterr().err
