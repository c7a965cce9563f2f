"""Pictures as text: the colours of every half block, and when there is no picture at all."""

import io
import re
import subprocess
import sys

import pytest

from outboard.viewers import terminal
from outboard.viewers.terminal import Depth

pytestmark = pytest.mark.alike

RED, GREEN, BLUE, WHITE, BLACK = (
    bytes.fromhex(one) for one in ("0000ffaa", "00ff00aa", "ff0000aa", "ffffffaa", "aa" * 4)
)


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding="utf-8", tty=True):
        super().__init__(io.BytesIO(), encoding=encoding)
        self.tty = tty

    def isatty(self):
        return self.tty


def test_a_letter_is_two_pixels():
    picture = RED + GREEN + BLUE + WHITE
    assert terminal.text(2, 2, picture, 80, 24, Depth.DIRECT) == (
        "\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[38;2;0;255;0;48;2;255;255;255m▀\x1b[0m\n"
    )


def test_indexed_colours_are_those_of_the_cube_and_the_greys():
    picture = RED + GREEN + BLUE + WHITE
    assert terminal.text(2, 2, picture, 80, 24, Depth.INDEXED) == (
        "\x1b[38;5;196;48;5;21m▀\x1b[38;5;46;48;5;231m▀\x1b[0m\n"
    )


@pytest.mark.parametrize(
    ("colour", "number"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 231),
        ((255, 0, 0), 196),
        ((95, 135, 175), 67),
        ((8, 8, 8), 232),
        ((128, 128, 128), 244),
        ((238, 238, 238), 255),
        ((250, 250, 250), 231),
    ],
)
def test_the_nearest_colour_is_taken(colour, number):
    assert terminal.index(colour) == number


def test_an_odd_last_row_has_no_ground():
    assert terminal.text(1, 3, RED + GREEN + BLUE, 80, 24, Depth.DIRECT).splitlines() == [
        "\x1b[38;2;255;0;0;48;2;0;255;0m▀\x1b[0m",
        "\x1b[38;2;0;0;255m▀\x1b[0m",
    ]


def test_a_colour_is_said_once():
    assert terminal.text(3, 2, RED * 6, 80, 24, Depth.DIRECT).count("\x1b[38") == 1


def test_small_pixels_are_the_mean_of_their_area():
    row = bytes((0, 0, 0, 9, 0, 0, 100, 9, 0, 10, 200, 9, 6, 0, 0, 9))
    assert terminal.averaged(4, 2, row * 2, 2, 1) == [[(50, 0, 0), (100, 5, 3)]]
    assert terminal.averaged(3, 1, RED + GREEN + BLUE, 2, 1) == [[(255, 0, 0), (0, 128, 128)]]


def test_the_mean_of_all_is_kept():
    """Whatever the sizes, when they divide: no pixel is left out or counted twice."""
    width, height = 24, 12
    picture = bytes(range(256)) * (4 * width * height // 256) + bytes(4 * width * height % 256)
    whole = [sum(picture[at::4]) / (width * height) for at in (2, 1, 0)]
    for wide, high in ((24, 12), (12, 6), (8, 4), (3, 2), (1, 1)):
        small = [colour for row in terminal.averaged(width, height, picture, wide, high) for colour in row]
        means = [sum(colour[channel] for colour in small) / len(small) for channel in range(3)]
        assert all(abs(one - other) <= 0.5 for one, other in zip(means, whole, strict=True))


@pytest.mark.parametrize(
    ("size", "letters", "fitted"),
    [
        ((1280, 800), (80, 40), (80, 50)),
        ((1280, 800), (80, 20), (64, 40)),
        ((10, 10), (80, 24), (10, 10)),
        ((1, 1000), (80, 24), (1, 48)),
        ((1000, 1), (80, 24), (80, 1)),
        ((100, 200), (80, 24), (24, 48)),
    ],
)
def test_the_shape_is_kept(size, letters, fitted):
    assert terminal.fitted(*size, *letters) == fitted


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (161, 123), (640, 480)])
def test_a_text_fits_its_room(size):
    lines = terminal.text(*size, bytes(4 * size[0] * size[1]), 40, 10, Depth.INDEXED).splitlines()
    assert len(lines) <= 10
    assert all(0 < len(re.sub(r"\x1b\[[\d;]*m", "", line)) <= 40 for line in lines)


def test_an_empty_picture_is_no_text():
    assert terminal.text(0, 0, b"", 80, 24, Depth.DIRECT) == ""


@pytest.mark.parametrize(
    ("stream", "environ", "colours"),
    [
        (Terminal(), {"TERM": "xterm", "COLORTERM": "truecolor"}, Depth.DIRECT),
        (Terminal(), {"TERM": "xterm", "COLORTERM": "24bit"}, Depth.DIRECT),
        (Terminal(), {"TERM": "xterm"}, Depth.INDEXED),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, Depth.INDEXED),
        (Terminal(), {"TERM": "xterm", "COLORTERM": "truecolor", "NO_COLOR": "1"}, None),
        (Terminal(), {"TERM": "dumb", "COLORTERM": "truecolor"}, None),
        (Terminal(), {"COLORTERM": "truecolor"}, None),
        (Terminal("latin-1"), {"TERM": "xterm"}, None),
        (Terminal(tty=False), {"TERM": "xterm", "COLORTERM": "truecolor"}, None),
    ],
)
def test_only_a_terminal_that_can_gets_a_picture(stream, environ, colours):
    assert terminal.depth(stream, environ) == colours


def test_show_writes_to_a_terminal_alone(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream, pipe = Terminal(), Terminal(tty=False)
    assert terminal.show(2, 2, RED * 4, stream)
    assert not terminal.show(2, 2, RED * 4, pipe)
    assert terminal.HALF_BLOCK in (stream.seek(0), stream.read())[1]
    assert (pipe.seek(0), pipe.read())[1] == ""


def test_numpy_is_not_needed():
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from outboard.viewers import terminal\n"
        "print(len(terminal.text(320, 200, bytes(256000), 80, 24, terminal.Depth.DIRECT).splitlines()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "24\n"
