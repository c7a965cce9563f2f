"""The back-end as a library: `outboard.gpu.serve`."""

import os
import socket
import threading

import pytest
from PIL import Image

import outboard
import outboard.gpu
from outboard.errors import LocalError, WaitTimeout
from outboard.spec.virtio_gpu import Rect
from tests.backend.conftest import PATIENCE, Machine, Raw, eventually

pytestmark = pytest.mark.usefixtures("patient")

FULL = Rect(0, 0, 320, 200)


def test_what_is_shown_can_be_looked_at_and_saved(service, machine, tmp_path):
    made = machine(service)
    picture = made.show()
    screen = service.screens[0]
    shown = screen.wait_idle(quiet=0.05, timeout=PATIENCE)
    assert (shown.width, shown.height, shown.pixels) == (320, 200, picture)
    assert (screen.size, screen.active, screen.serial) == ((320, 200), True, shown.serial)
    screen.save(tmp_path / "screen.png")
    with Image.open(tmp_path / "screen.png") as image:
        assert image.size == (320, 200)
        data = image.tobytes("raw", "BGRX")
    assert [data[at::4] for at in range(3)] == [picture[at::4] for at in range(3)]
    assert os.listdir(tmp_path) == ["screen.png"]


def test_rectangles_are_put_where_they_belong(service, machine):
    made = machine(service)
    picture = bytearray(made.show())
    backing = made.vmm.ram.contiguous(len(picture))
    made.driver.detach_backing(1)
    made.driver.attach_backing(1, backing)
    for at, (x, y, width, height) in enumerate([(5, 7, 30, 20), (319, 199, 1, 1), (0, 50, 320, 3), (300, 0, 20, 200)]):
        for row in range(y, y + height):
            start = 4 * (320 * row + x)
            picture[start : start + 4 * width] = bytes([at, row, at, at]) * width
        backing.write(0, picture)
        rect = Rect(x, y, width, height)
        made.driver.transfer(1, rect, 4 * (320 * y + x))
        made.driver.flush(1, rect)
        made.sees(bytes(picture))
        assert service.screens[0].frame().pixels == picture


def test_every_frame_has_a_number(service, machine):
    made = machine(service)
    made.show()
    screen = service.screens[0]
    first = screen.wait_for_frame(timeout=PATIENCE)
    assert first.serial >= 1
    for _ in range(5):
        before = screen.serial
        made.driver.flush(1, FULL)
        after = screen.wait_for_frame(after=before, timeout=PATIENCE)
        assert after.serial == before + 1


def test_a_wait_ends_with_the_frame_that_comes_meanwhile(service, machine):
    made = machine(service)
    picture = made.show()
    screen = service.screens[0]
    serial = screen.wait_for_frame(timeout=PATIENCE).serial
    found = []
    waiter = threading.Thread(target=lambda: found.append(screen.wait_for_frame(after=serial, timeout=PATIENCE)))
    waiter.start()
    made.driver.flush(1, FULL)
    waiter.join(PATIENCE)
    assert [shown.pixels for shown in found] == [picture]


@pytest.mark.parametrize("shown", [False, True])
def test_waits_end_in_time_and_say_what_was_seen(service, machine, shown):
    made = machine(service)
    if shown:
        made.show()
    screen = service.screens[0]
    serial = screen.wait_for_frame(timeout=PATIENCE).serial if shown else 0
    with pytest.raises(WaitTimeout) as error:
        screen.wait_for_frame(after=serial, timeout=0.02)
    words = f"no frame after serial {serial} in 0.02 s; "
    assert str(error.value).startswith(words + ("last change" if shown else "output 0 has never shown anything"))
    with pytest.raises(WaitTimeout, match=r"not idle for 5 s within 0\.02 s"):
        screen.wait_idle(quiet=5, timeout=0.02)


def test_nothing_is_idle_while_pictures_come(service, machine):
    made = machine(service)
    made.show()
    screen, stop = service.screens[0], threading.Event()

    def draw():
        while not stop.is_set():
            made.driver.flush(1, FULL)

    artist = threading.Thread(target=draw)
    artist.start()
    with pytest.raises(WaitTimeout):
        screen.wait_idle(quiet=2.0, timeout=0.3)
    stop.set()
    artist.join(PATIENCE)
    screen.wait_idle(quiet=0.05, timeout=PATIENCE)


def test_an_output_that_is_switched_off_keeps_its_last_picture(service, machine):
    made = machine(service)
    picture = made.show()
    made.driver.set_scanout(0, 0, Rect())
    screen = service.screens[0]
    assert not screen.active
    assert screen.frame().pixels == picture
    made.driver.set_scanout(0, 1, FULL)
    eventually(lambda: screen.active, "the output is on again")


def test_a_picture_that_never_was_cannot_be_saved(service, tmp_path):
    assert service.screens[3].size == (0, 0)
    assert service.screens[3].serial == 0
    with pytest.raises(LocalError, match="the output was never set"):
        service.screens[3].save(tmp_path / "no.png")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written(service, machine, tmp_path):
    made = machine(service)
    made.show()
    service.screens[0].wait_for_frame(timeout=PATIENCE)
    with pytest.raises(LocalError, match="cannot write the picture: No such file or directory"):
        service.screens[0].save(tmp_path / "nowhere" / "screen.png")
    with pytest.raises(LocalError, match="cannot write the picture"):
        service.screens[0].save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_screen_for_every_output_that_may_be(serve):
    assert len(serve().screens) == 16
    assert len(serve(sizes=[(640, 480)]).screens) == 1
    assert len(serve(sizes=[(640, 480)] * 16).screens) == 16


def test_who_is_connected_can_be_seen(service):
    assert (service.connected, service.sessions) == (False, 0)
    made = Machine(service.path).start()
    assert (service.connected, service.sessions) == (True, 1)
    made.close()
    eventually(lambda: not service.connected, "the front-end left")


def test_once_ends_the_service_and_every_wait(serve):
    service = serve(once=True)
    made = Machine(service.path).start()
    picture = made.show()
    made.sees(picture)
    assert not service.wait_ended(0.01)
    screen, errors = service.screens[0], []

    def wait():
        try:
            screen.wait_for_frame(after=1000, timeout=PATIENCE)
        except LocalError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    made.close()
    assert service.wait_ended(PATIENCE)
    waiter.join(PATIENCE)
    assert "the back-end has ended" in str(errors[0])
    with pytest.raises(LocalError, match="the back-end has ended"):
        screen.wait_idle(timeout=PATIENCE)
    assert screen.frame().pixels == picture, "the last picture can still be looked at"


def test_a_connected_socket_is_served_by_fd(machine):
    ours, theirs = socket.socketpair()
    with outboard.gpu.serve(fd=theirs.detach()) as service:
        peer = Raw(sock=ours)
        assert peer.alive()
        peer.close()
        assert service.wait_ended(PATIENCE)


def test_closing_twice_is_closing(folder):
    service = outboard.gpu.serve(folder / "gpu.sock")
    service.close()
    service.close()
    assert not (folder / "gpu.sock").exists()
    with outboard.gpu.serve(folder / "gpu.sock") as service:
        service.close()


def test_the_socket_listens_before_anybody_serves_it(folder):
    service = outboard.gpu.serve(folder / "gpu.sock")
    peer = Raw(folder / "gpu.sock")
    with service:
        assert peer.alive()
    peer.close()


def test_a_socket_file_of_somebody_else_is_not_removed(folder):
    with outboard.gpu.serve(folder / "gpu.sock"):
        (folder / "gpu.sock").unlink()
        other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        other.bind(str(folder / "gpu.sock"))
    assert (folder / "gpu.sock").is_socket()
    other.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "either a socket path or fd"),
        ({"path": "x", "fd": 5}, "either a socket path or fd"),
        ({"fd": -1}, "fd -1"),
        ({"fd": 1 << 40}, "no socket"),
        ({"path": "x", "sizes": [(0, 5)]}, "0x5"),
        ({"path": "x", "sizes": [(16385, 5)]}, "16385x5"),
        ({"path": "x", "sizes": [(5, 5)] * 17}, "17 outputs"),
        ({"path": "x", "max_hostmem": 0}, "no amount of memory"),
        ({"path": "x", "max_hostmem": -1}, "no amount of memory"),
        ({"path": "x", "max_hostmem": 1 << 64}, "no amount of memory"),
        ({"path": "nowhere/x"}, "cannot listen"),
        ({"path": "x" * 108}, "at most 107 bytes"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, monkeypatch, options, words):
    monkeypatch.chdir(folder)
    with pytest.raises(LocalError, match=words):
        outboard.gpu.serve(**options)
    assert list(folder.iterdir()) == []


def test_what_the_front_end_showed_is_blank_for_the_next(service):
    first = Machine(service.path).start()
    first.sees(first.show())
    first.close()
    eventually(lambda: not service.connected, "the front-end left")
    assert not service.screens[0].active
    second = Machine(service.path).start()
    picture = second.show(64, 64, seed=9)
    second.sees(picture)
    assert service.screens[0].frame().pixels == picture
    second.close()


def test_two_services_at_once(serve, machine):
    services = [serve(), serve()]
    machines = [machine(one) for one in services]
    pictures = [made.show(seed=at) for at, made in enumerate(machines)]
    for service, picture in zip(services, pictures, strict=True):
        assert service.screens[0].wait_for_frame(timeout=PATIENCE)
        eventually(lambda s=service, p=picture: s.screens[0].frame().pixels == p, "its own picture")


def test_the_package_offers_the_room():
    assert outboard.gpu.serve is outboard.__getattr__("gpu").serve
    for module in (outboard, outboard.gpu):
        with pytest.raises(AttributeError, match="no_such_thing"):
            module.no_such_thing  # noqa: B018
