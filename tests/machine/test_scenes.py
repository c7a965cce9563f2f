"""Every scene on our back-end and on QEMU's: what the screens show is what was drawn, in every frame."""

import hashlib
import shutil
import subprocess

import numpy
import pytest
from PIL import Image

from outboard.errors import LocalError
from outboard.machine.scenes import SCENES, balls, compare, make
from outboard.machine.scenes.canvas import Canvas
from outboard.machine.scenes.picture import fitting
from outboard.machine.scenes.pointer import PERIOD
from outboard.machine.scenes.scene import Expected

pytestmark = pytest.mark.alike

MODES = [(320, 200), (161, 123)]
DRAWN = [name for name, scene in SCENES.items() if not scene.takes_file]
STEPS = PERIOD + 2


@pytest.fixture
def picture(tmp_path):
    """A picture file, and its pixels as rows of R, G, B."""
    pixels = numpy.random.default_rng(5).integers(0, 256, (50, 80, 3), "u1")
    file = tmp_path / "noise.png"
    Image.fromarray(pixels).save(file)
    return file, pixels


@pytest.fixture
def video(tmp_path):
    """A video file of five frames of 64x48, uncompressed."""
    if not shutil.which("ffmpeg"):
        pytest.skip("the program ffmpeg is not installed; apt-get install ffmpeg")
    file = tmp_path / "test.avi"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-c:v", "rawvideo", "-pix_fmt", "bgr0", file], check=True)
    return file


@pytest.mark.parametrize("name", [name for name in DRAWN if name != "one-framebuffer"])
def test_every_frame_is_shown_pixel_by_pixel(host, name):
    rig = host(MODES)
    scene = make(name)
    scene.setup(rig.card)
    seen = set()
    for _ in range(STEPS):
        for scanout_id in range(len(MODES)):
            assert rig.wrong(scene, scanout_id) == ()
        seen.add((rig.frame().pixels, rig.frame().cursor))
        assert scene.step(rig.card)
    assert len(seen) > STEPS // 2
    assert rig.server.violations == []
    scene.close()
    rig.settle()
    assert not any(screen.active for screen in rig.server.screens)


def test_parts_of_one_framebuffer_are_shown(ours):
    rig = ours(MODES)
    scene = make("one-framebuffer")
    scene.setup(rig.card)
    for _ in range(STEPS):
        assert [rig.wrong(scene, scanout_id) for scanout_id in (0, 1)] == [(), ()]
        scene.step(rig.card)


def test_qemus_back_end_shows_the_second_part_of_a_framebuffer_nowhere(qemus):
    """Fact of vhost-user-gpu.c: its UPDATEs are placed as if every scanout began at 0, 0."""
    rig = qemus(MODES)
    scene = make("one-framebuffer")
    scene.setup(rig.card)
    scene.step(rig.card)
    assert rig.wrong(scene, 0) == ()
    assert rig.wrong(scene, 1) == ("expected a picture of 161x123, got 0x0",)


@pytest.mark.parametrize("name", [name for name in DRAWN if name not in ("one-framebuffer", "cursor")])
def test_a_back_end_like_rust_vmms_shows_every_frame(rusts, name):
    """Over shared buffers where its renderer is virglrenderer."""
    rig = rusts(MODES)
    scene = make(name)
    scene.setup(rig.card)
    for _ in range(STEPS):
        assert [rig.wrong(scene, scanout_id) for scanout_id in (0, 1)] == [(), ()]
        scene.step(rig.card)


def test_a_back_end_like_rust_vmms_never_hides_a_cursor(rusts):
    """Fact of vhost-device-gpu: UPDATE_CURSOR without a resource is an error there, and nothing is sent."""
    rig = rusts()
    scene = make("cursor")
    scene.setup(rig.card)
    while scene.heads[0].cursor:
        assert rig.wrong(scene) == ()
        scene.step(rig.card)
    (words,) = rig.wrong(scene)
    assert words.startswith("cursor: expected none, got one at ")


def test_a_back_end_like_rust_vmms_with_gfxstream_shows_whole_resources_only(rusts):
    """Fact of vhost-device-gpu: its UPDATE has the size of the resource, whatever part the scanout shows."""
    rig = rusts(MODES)
    scene = make("one-framebuffer")
    scene.setup(rig.card)
    rig.settle()
    assert bool(rig.server.violations) == (rusts.mode == "gfxstream")
    if rusts.mode == "virglrenderer":
        assert [rig.wrong(scene, scanout_id) for scanout_id in (0, 1)] == [(), ()]


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("size", [(64, 64), (97, 65)])
def test_small_displays_are_enough(ours, name, size):
    rig = ours([size, size])
    scene = make(name)
    scene.setup(rig.card)
    for _ in range(5):
        scene.step(rig.card)
        assert [rig.wrong(scene, scanout_id) for scanout_id in (0, 1)] == [(), ()]


@pytest.mark.parametrize("name", [name for name in DRAWN if name != "balls"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 40)])
def test_even_tiny_ones_are(ours, name, size):
    rig = ours([size, size])
    scene = make(name)
    scene.setup(rig.card)
    for _ in range(3):
        scene.step(rig.card)
        assert [rig.wrong(scene, scanout_id) for scanout_id in (0, 1)] == [(), ()]


ODD_SIZES = [(64, 64), (65, 67), (1000, 64), (3000, 64), (16384, 64), (64, 1000), (64, 16384), (1023, 769)]


@pytest.mark.parametrize(("width", "height"), ODD_SIZES)
def test_balls_and_their_title_fit_every_size(width, height):
    memory = bytearray(4 * width * height)
    shown = numpy.frombuffer(memory, numpy.uint32).reshape(height, width)
    background = numpy.frombuffer(balls.background(width, height), numpy.uint32).reshape(height, width)
    rows, columns = (background & 0xFFFFFF == 0xF0F0F0).nonzero()
    assert len(rows) > 0 and len(rows) % sum(row.count("#") for one in balls.TITLE for row in balls.GLYPHS[one]) == 0
    for first, last, size in ((rows.min(), rows.max(), height), (columns.min(), columns.max(), width)):
        assert 0 < first <= last < size - 1 and abs(first - (size - 1 - last)) <= size // 8
    animation = balls.Animation(memoryview(memory), width, height)
    for step in range(200):
        before = shown.copy() if step < 20 else None
        damage = animation.step()
        assert all(x >= 0 <= y and x + w <= width and y + h <= height for x, y, w, h in damage)
        if before is not None:
            for x, y, w, h in damage:
                before[y : y + h, x : x + w] = shown[y : y + h, x : x + w]
            assert numpy.array_equal(before, shown)


@pytest.mark.parametrize("name", DRAWN)
def test_scenes_are_the_same_every_time(ours, name):
    def digest():
        rig, made = ours(MODES), hashlib.sha256()
        scene = make(name)
        scene.setup(rig.card)
        for _ in range(8):
            for scanout_id in (0, 1):
                made.update(repr(scene.expected(scanout_id)).encode())
            scene.step(rig.card)
        return made.digest()

    assert digest() == digest()


def test_a_picture_is_shown(host, picture):
    file, pixels = picture
    rig = host([(80, 50), (100, 50), (80, 200)])
    scene = make("picture", str(file))
    scene.setup(rig.card)
    assert not scene.step(rig.card)
    assert [rig.wrong(scene, number) for number in range(3)] == [(), (), ()]
    assert (rig.frame(0).rgb == pixels).all()
    wide, high = rig.frame(1).rgb, rig.frame(2).rgb
    assert (wide[:, 10:90] == pixels).all() and not wide[:, :10].any() and not wide[:, 90:].any()
    assert (high[75:125] == pixels).all() and not high[:75].any() and not high[125:].any()


def test_a_video_is_shown_to_its_end(host, video):
    rig = host([(64, 48), (64, 96)])
    scene = make("video", str(video))
    scene.setup(rig.card)
    first = rig.frame().pixels
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", video, "-f", "rawvideo", "-pix_fmt", "bgr0", "-"], capture_output=True
    )
    frames = numpy.frombuffer(done.stdout, "<u4").reshape(5, 48, 64) & 0xFFFFFF
    for number in range(5):
        assert (rig.frame(0).words & 0xFFFFFF == frames[number]).all()
        assert (rig.frame(1).words[24:72] & 0xFFFFFF == frames[number]).all()
        assert [rig.wrong(scene, scanout_id) for scanout_id in (0, 1)] == [(), ()]
        assert scene.step(rig.card) == (number < 4)
    assert rig.frame().pixels != first
    scene.close()


def told(name, file=""):
    with pytest.raises(LocalError) as caught:
        make(name, file)
    return str(caught.value)


def test_files_that_are_none_are_told(ours, tmp_path, monkeypatch):
    rubbish = tmp_path / "rubbish.png"
    rubbish.write_bytes(b"\x89PNG\r\n\x1a\nrubbish" * 100)
    assert "no such file" in told("picture", str(tmp_path / "none.png"))
    assert "no such file" in told("video", str(tmp_path))
    assert "no picture that Pillow can read" in told("picture", str(rubbish))
    assert "needs a file" in told("picture")
    assert "takes no file" in told("test-card", "x.png")
    assert "there is no scene 'rest-card'; there are test-card" in told("rest-card")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalError, match="needs the program ffmpeg"):
        make("video", str(rubbish)).setup(ours().card)


def test_a_broken_video_is_told_with_ffmpegs_words(ours, video, tmp_path):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF" + bytes(1000))
    with pytest.raises(LocalError, match=r"broken.avi: no video that ffmpeg can read: .*\w"):
        make("video", str(broken)).setup(ours().card)


def test_two_heads_need_two_displays(ours):
    with pytest.raises(LocalError, match="two-heads needs 2 displays, 1 connected"):
        make("two-heads").setup(ours().card)
    with pytest.raises(LocalError, match="needs 64x64 pixels"):
        make("balls").setup(ours([(60, 64)]).card)


# What a difference is


def test_a_difference_is_counted_and_placed():
    good = Expected(4, 3, bytes(range(48)))
    wrong = bytearray(good.pixels)
    for at in (3, 20, 24, 46, 47):  # a fourth byte, twice a second pixel's, and the last
        wrong[at] ^= 0xFF
    assert compare.picture(good, 4, 3, good.pixels) is None
    found = compare.picture(good, 4, 3, bytes(wrong))
    assert found == (
        "3 of 12 pixels wrong, the first at 1,1: expected #161514, got #1615eb",
        3,
        1,
        1,
    )
    assert compare.picture(good, 3, 4, good.pixels).says == "expected a picture of 4x3, got 3x4"
    wrong[:] = good.pixels
    wrong[3::4] = bytes(12)
    assert compare.picture(good, 4, 3, bytes(wrong)) is None


# Drawing


def drawn(width, height, *calls):
    """Return a canvas as rows of letters: a dot is black, X is white."""
    canvas = Canvas(bytearray(4 * width * height), width, height)
    for name, *arguments in calls:
        getattr(canvas, name)(*arguments)
    rows = [canvas.memory[at : at + 4 * width] for at in range(0, len(canvas.memory), 4 * width)]
    return ["".join("X" if row[at] else "." for at in range(0, 4 * width, 4)) for row in rows]


def test_rectangles_are_cut_to_the_canvas():
    assert drawn(4, 3, ("fill", 1, 1, 2, 1, 0xFFFFFF)) == ["....", ".XX.", "...."]
    assert drawn(4, 3, ("fill", -2, -2, 4, 3, 0xFFFFFF)) == ["XX..", "....", "...."]
    assert drawn(4, 3, ("fill", 3, 2, 9, 9, 0xFFFFFF)) == ["....", "....", "...X"]
    assert drawn(4, 3, ("fill", 4, 0, 9, 9, 0xFFFFFF), ("fill", 0, 3, 9, 9, 0xFFFFFF)) == ["....", "....", "...."]
    assert drawn(4, 3, ("frame", 0, 0, 4, 3, 0xFFFFFF)) == ["XXXX", "X..X", "XXXX"]


def test_a_ring_is_round():
    assert drawn(7, 7, ("ring", 3, 3, 3, 0xFFFFFF)) == [
        "...X...",
        ".XX.XX.",
        ".X...X.",
        "X.....X",
        ".X...X.",
        ".XX.XX.",
        "...X...",
    ]


def test_letters_have_their_shape():
    assert drawn(11, 7, ("text", 0, 0, "T1", 0xFFFFFF)) == [
        "XXXXX...X..",
        "..X....XX..",
        "..X.....X..",
        "..X.....X..",
        "..X.....X..",
        "..X.....X..",
        "..X....XXX.",
    ]
    assert drawn(5, 7, ("text", 0, 0, "~", 0xFFFFFF))[1] == "X...X"


@pytest.mark.parametrize(
    ("size", "room", "fitted"),
    [
        ((80, 50), (80, 50), (80, 50)),
        ((80, 50), (160, 50), (80, 50)),
        ((1, 1000), (100, 100), (1, 100)),
        ((1000, 1), (10, 10), (10, 1)),
        ((3, 2), (100, 100), (100, 66)),
    ],
)
def test_a_picture_keeps_its_shape(size, room, fitted):
    assert fitting(size, room) == fitted


@pytest.mark.parametrize("size", [(161, 123), (1, 1), (97, 3)])
def test_a_video_fits_odd_sizes(ours, video, size):
    rig = ours([size])
    scene = make("video", str(video))
    scene.setup(rig.card)
    shown = [rig.wrong(scene)]
    while scene.step(rig.card):
        shown.append(rig.wrong(scene))
    assert shown == [()] * 5
    scene.close()
