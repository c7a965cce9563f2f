"""Screens that other threads look at: frames, waits, and how waits end. No wait here depends on how long it takes."""

import threading
import zlib

import pytest

from outboard.errors import LocalError, WaitTimeout
from outboard.spec.vhost_user_gpu import DmabufScanout
from outboard.viewers import png
from outboard.viewers.live import LiveScreens

pytestmark = pytest.mark.alike

LONG = 60.0
"""Seconds: a wait that takes so long has failed."""


@pytest.fixture
def screens():
    made = LiveScreens(2)
    made.begin()
    return made


def paint(screens, salt=1, rectangle=(0, 0, 64, 48), scanout_id=0):
    x, y, width, height = rectangle
    room = screens.room(scanout_id, x, y, width, height)
    room[:] = bytes([salt]) * len(room)
    screens.paint(scanout_id, x, y, width, height, room)


def show(screens, salt=1):
    screens.scanout(0, 64, 48)
    paint(screens, salt)


class Waiting(threading.Thread):
    """A call in a thread of its own; `result` joins it."""

    def __init__(self, screens, call):
        super().__init__(daemon=True)
        self.call, self.value, self.error = call, None, None
        self.start()
        # Until the thread waits: nobody else is on the condition.
        while self.is_alive() and not screens.changed._waiters:
            pass

    def run(self):
        try:
            self.value = self.call()
        except Exception as error:
            self.error = error

    def result(self):
        self.join(LONG)
        assert not self.is_alive(), "waits still"
        if self.error:
            raise self.error
        return self.value


def test_a_frame_is_handed_out_at_once_when_there_is_one(screens):
    show(screens, 5)
    frame = screens.live[0].wait_for_frame(timeout=0)
    assert (frame.width, frame.height, frame.serial) == (64, 48, 1)
    assert frame.pixels == b"\5" * 64 * 48 * 4
    assert frame == screens.live[0].frame()


def test_a_waiter_gets_the_frame_after_the_one_it_knows(screens):
    show(screens)
    screen = screens.live[0]
    waiting = Waiting(screens, lambda: screen.wait_for_frame(after=screen.serial, timeout=LONG))
    paint(screens, 2, (3, 4, 5, 6))
    frame = waiting.result()
    assert frame.serial == 2
    assert frame.damage == ((3, 4, 5, 6),)


def test_another_outputs_frame_is_not_waited_for(screens):
    screens.scanout(1, 8, 8)
    waiting = Waiting(screens, lambda: screens.live[1].wait_for_frame(timeout=LONG))
    show(screens)
    assert waiting.is_alive()
    paint(screens, 7, (0, 0, 8, 8), 1)
    assert waiting.result().pixels == b"\7" * 256


def test_damage_since_a_serial(screens):
    show(screens)
    for x in range(3):
        paint(screens, 2, (x, 0, 1, 1))
    assert screens.live[0].wait_for_frame(after=2).damage == ((1, 0, 1, 1), (2, 0, 1, 1))
    assert screens.live[0].frame(after=0).damage[0] == (0, 0, 64, 48)


def test_a_scanout_alone_is_no_frame(screens):
    screens.scanout(0, 64, 48)
    with pytest.raises(WaitTimeout, match="output 0 has never shown anything"):
        screens.live[0].wait_for_frame(timeout=0)
    with pytest.raises(WaitTimeout, match="not idle"):
        screens.live[0].wait_idle(quiet=0, timeout=0)
    assert screens.live[0].active and screens.live[0].size == (0, 0)


def test_a_timeout_says_what_was_seen(screens):
    show(screens)
    with pytest.raises(WaitTimeout, match=r"no frame after serial 1 in 0 s; last change .* ago, serial 1, 64x48"):
        screens.live[0].wait_for_frame(after=1, timeout=0)
    screens.scanout(0, 0, 0)
    with pytest.raises(WaitTimeout, match="the output is off"):
        screens.live[0].wait_idle(quiet=0, timeout=0)


@pytest.mark.parametrize("wait", ["wait_for_frame", "wait_idle"])
@pytest.mark.parametrize("shown", [False, True])
def test_the_end_wakes_whoever_waits(screens, wait, shown):
    if shown:
        show(screens)
    options = {"after": 1} if wait == "wait_for_frame" else {"quiet": LONG}
    screen = screens.live[0]
    waiting = [Waiting(screens, lambda: getattr(screen, wait)(timeout=LONG, **options)) for _ in range(3)]
    screens.end()
    for one in waiting:
        with pytest.raises(LocalError, match="has ended"):
            one.result()
    with pytest.raises(LocalError, match="has ended"):
        getattr(screen, wait)(timeout=LONG, **options)


def test_a_frame_that_came_before_the_end_is_no_failure(screens):
    show(screens, 3)
    screens.end()
    assert screens.live[0].wait_for_frame().pixels[0] == 3
    assert screens.live[0].frame().pixels[0] == 3
    with pytest.raises(LocalError, match="has ended"):
        screens.live[0].wait_for_frame(after=1)
    with pytest.raises(LocalError, match="has ended"):
        screens.live[0].wait_idle(quiet=0)


def test_what_ended_may_begin_again(screens):
    screens.end()
    screens.begin()
    show(screens)
    assert screens.live[0].wait_idle(quiet=0).serial == 1


def test_idle_needs_quiet_and_a_blink_is_quiet(screens, monkeypatch):
    now = 100.0
    monkeypatch.setattr("outboard.viewers.live.time.monotonic", lambda: now)
    show(screens)
    screen = screens.live[0]
    with pytest.raises(WaitTimeout):
        screen.wait_idle(quiet=1, timeout=0)
    for salt in (2, 3, 2, 3):
        paint(screens, salt, (0, 0, 8, 16))
    now = 100.9
    for salt in (2, 3):
        paint(screens, salt, (0, 0, 8, 16))
    now = 101.0
    assert screen.wait_idle(quiet=1, timeout=0).serial == 7, "the blinks were no change"
    paint(screens, 4, (0, 0, 8, 16))
    with pytest.raises(WaitTimeout, match=r"last change 0\.00 s ago"):
        screen.wait_idle(quiet=1, timeout=0)
    now = 102.0
    screens.scanout(0, 0, 0)
    with pytest.raises(WaitTimeout, match="off"):
        screen.wait_idle(quiet=1, timeout=0)


def test_pixels_are_lent_for_reading_and_whoever_draws_waits(screens):
    show(screens, 1)
    with screens.live[0].pixels() as view:
        assert view.readonly and len(view) == 64 * 48 * 4
        drawing = threading.Thread(target=paint, args=(screens, 2), daemon=True)
        drawing.start()
        drawing.join(0.05)
        assert drawing.is_alive()
        assert bytes(view) == b"\1" * len(view)
    drawing.join(LONG)
    with pytest.raises(ValueError, match="released"):
        view[0]
    assert screens.live[0].frame().pixels[0] == 2


def test_a_reader_never_sees_half_a_change():
    screens = LiveScreens(1)
    screens.begin()
    show(screens, 0)
    stop = threading.Event()

    def draw():
        salt = 0
        while not stop.is_set():
            salt = salt % 255 + 1
            if salt % 5 == 0:
                screens.scanout(0, 64, 16 + salt % 32)
            width, height = screens.screens[0].announced
            paint(screens, salt, (0, 0, width, height))

    drawing = threading.Thread(target=draw, daemon=True)
    drawing.start()
    try:
        serial = 0
        for _ in range(300):
            frame = screens.live[0].wait_for_frame(after=serial, timeout=LONG)
            assert len(frame.pixels) == 4 * frame.width * frame.height
            assert len(set(frame.pixels)) == 1
            assert frame.serial > serial
            serial = frame.serial
    finally:
        stop.set()
        drawing.join(LONG)


def test_the_cursor_is_not_a_change_of_the_picture(screens):
    show(screens)
    screens.cursor_update(0, 5, 6, 1, 2, bytes(16384))
    screens.cursor_pos(0, 2**32 - 3, 9)
    assert screens.live[0].cursor[:5] == (-3, 9, 1, 2, True)
    screens.cursor_pos_hide(0, 4, 4)
    assert screens.live[0].frame().cursor[:5] == (4, 4, 1, 2, False)
    assert screens.live[0].serial == 1


def test_a_refused_buffer_says_why(screens):
    with pytest.raises(LocalError):
        screens.dmabuf_scanout(DmabufScanout(0, 0, 0, 8, 6, 8, 6, 32), 0, 5)
    assert screens.live[0].refused == "shared buffers are not read here"
    show(screens)
    assert screens.live[0].refused == ""


def test_a_shared_buffer_is_a_frame_like_another():
    class Buffer:
        def gather(self, into, start, x, y, width, rows):
            into[start : start + 4 * width * rows] = b"\x42" * (4 * width * rows)

        def close(self):
            pass

    screens = LiveScreens(1, lambda scanout, modifier, fd: Buffer())
    screens.begin()
    waiting = Waiting(screens, lambda: screens.live[0].wait_for_frame(timeout=LONG))
    screens.dmabuf_scanout(DmabufScanout(0, 0, 0, 8, 6, 8, 6, 32), 0, 5)
    assert waiting.is_alive()
    assert screens.dmabuf_update(0, 0, 0, 8, 6)
    assert waiting.result().pixels == b"\x42" * 192


def test_saving_writes_a_picture_with_or_without_the_cursor(screens, tmp_path):
    pytest.importorskip("numpy")
    path = tmp_path / "shot.png"
    with pytest.raises(LocalError, match="never set"):
        screens.live[0].save(path)
    show(screens, 10)
    screens.cursor_update(0, 1, 0, 0, 0, b"\xff" * 16384)
    for cursor, row in ((False, b"\n" * 192), (True, b"\n\n\n" + b"\xff" * 189)):
        screens.live[0].save(path, cursor=cursor)
        data = path.read_bytes()
        assert data[16:24] == bytes((0, 0, 0, 64, 0, 0, 0, 48))
        start = data.index(b"IDAT") + 4
        assert zlib.decompress(data[start:-16])[1:193] == row


def test_forgotten_pictures_are_frames_of_nothing(screens):
    show(screens)
    screens.scanout(0, 0, 0)
    screens.keep(0)
    frame = screens.live[0].frame()
    assert (frame.width, frame.height, frame.pixels) == (0, 0, b"")
    with pytest.raises(LocalError, match="never set"):
        screens.live[0].save("nowhere.png")


@pytest.mark.parametrize("path", ["", ".", ".."])
def test_a_picture_needs_a_file_name(path):
    with pytest.raises(LocalError, match=r"file name|cannot write"):
        png.save(path, 1, 1, bytes(4))
