"""`outboard run`: the demonstration, also where there is nothing but Python."""

import json
import subprocess
import sys

import pytest
from PIL import Image

pytestmark = pytest.mark.alike

BARE = "import sys; sys.modules['numpy'] = sys.modules['PIL'] = None\n"


def run(*arguments, before="", code=0):
    command = f"{before}import sys; from outboard.cli.main import main; sys.exit(main({['run', *arguments]!r}))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done
    return done.stderr if code else done.stdout


@pytest.mark.parametrize("before", ["", BARE], ids=["with numpy", "bare"])
def test_it_draws_counts_and_writes(tmp_path, before):
    shot = tmp_path / "shot.png"
    said = run("--seconds", "0.3", "--size", "320x200", "--shot", str(shot), "--json", before=before)
    figures = json.loads(said)
    assert figures["rectangles"] == 5 * figures["frames"] > 0
    assert figures["pixels"] > 320 * 200
    assert figures["seconds"] >= 0.3
    assert figures["shot"] == str(shot)
    with Image.open(shot) as image:
        assert image.size == (320, 200)
        assert image.getpixel((0, 199)) == (0xC0, 0xC0, 0xC0)


def test_it_says_what_to_do_next(tmp_path):
    said = run("--seconds", "0.1", "--size", "64x64", "--shot", str(tmp_path / "shot.png"))
    assert "byte for byte" in said
    assert "vhost-user-gpu-pci" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "63x64"], "this guest draws 64x64 to 4096x2160"),
        (["--shot", "/no/such/folder/x.png"], "folder /no/such/folder does not exist"),
    ],
)
def test_bad_arguments_are_told(arguments, words):
    assert words in run(*arguments, code=2)
