"""A served disk's life: sizes, memory and images that change, front-ends that come and go, what is left behind."""

import contextlib
import errno
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

import outboard.blk
from outboard import core
from outboard.aio.iothread import main_context
from outboard.aio.wait import wait_while
from outboard.backend.disk import device as device_module
from outboard.block import edges
from outboard.block.drivers import Memory, Quorum, Raw
from outboard.block.graph import DATA, Node
from outboard.block.mirror import Mirror
from outboard.errors import LocalError, ProtocolError
from outboard.frontend.front_end import FrontEnd
from outboard.frontend.ram import GuestRam, Span
from outboard.host import transfers
from outboard.machine.disk import Disk, attached, requests
from outboard.machine.disk.disk import FEATURES
from outboard.spec.vhost_user import ProtocolFeature
from tests.backend.disk.conftest import PATIENCE, SIZE, bytes_of

OK, IOERR = 0, 1
ALL = sum(ProtocolFeature) & ~ProtocolFeature.INBAND_NOTIFICATIONS


def eventually(condition, what):
    """Wait until `condition()` is true; fail with `what` when it never is."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.002)


class Announced(FrontEnd):
    """A front-end that counts how often it hears of another config space."""

    changes = 0

    def _config_changed(self):
        self.changes += 1


def test_a_new_size_is_announced(serve, image, iothread, heard):
    service = serve(image, iothread=iothread)
    with Announced(features=FEATURES, protocol_features=ALL, timeout_s=PATIENCE) as machine:
        machine.connect(service.path)
        machine.negotiate()
        machine.start()
        disk = Disk(machine)
        disk.probe()
        assert disk.ask(requests.write(SIZE, bytes(512))).status == IOERR
        service.resize(2 * SIZE)
        eventually(lambda: ("blk.resized", {"capacity": 2 * SIZE // 512, "told": True}) in heard, "the new size")
        disk.probe()
        assert (machine.changes, disk.size) == (1, 2 * SIZE)
        disk.write(2 * SIZE - 512, b"e" * 512)
        assert image.stat().st_size == 2 * SIZE
        service.resize(SIZE)
        eventually(lambda: len([one for one in heard if one[0] == "blk.resized"]) == 2, "the old size")
        assert disk.ask(requests.read(SIZE, 512)).status == IOERR
        assert len(disk.read(SIZE - 512, 512)) == 512


def test_a_new_size_that_nobody_hears_of_holds_all_the_same(serve, drive, image, iothread, heard):
    service = serve(image, iothread=iothread)
    disk = drive(service)
    service.resize(SIZE // 2)
    eventually(lambda: ("blk.resized", {"capacity": SIZE // 1024, "told": False}) in heard, "the new size")
    assert disk.ask(requests.read(SIZE // 2, 512)).status == IOERR
    with pytest.raises(LocalError, match="1000 bytes: a disk has whole blocks of 512"):
        service.resize(1000)


def test_an_image_that_somebody_truncates_is_an_error_of_the_request(serve, drive, image, iothread, heard):
    service = serve(image, iothread=iothread)
    disk = drive(service)
    os.truncate(image, SIZE // 2)
    assert disk.ask(requests.read(SIZE - 4096, 4096)).status == IOERR
    assert disk.ask(requests.read(SIZE // 2 - 512, 1024)).status == IOERR
    assert len(disk.read(0, SIZE // 2)) == SIZE // 2
    assert {fields["error"] for event, fields in heard if event == "blk.failed"} == {os.strerror(errno.ENODATA)}


def test_a_full_disk_is_an_error_of_the_request(serve, drive, folder, iothread):
    """The file may not grow beyond what it has: EFBIG, as ENOSPC would be."""
    image = folder / "sparse.img"
    image.write_bytes(bytes(SIZE))
    service = serve(image, iothread=iothread)
    disk = drive(service)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, limits[1]))
    try:
        assert disk.ask(requests.write(SIZE // 2, bytes(4096))).status == IOERR
        assert disk.ask(requests.write(0, b"k" * 4096)).status == OK
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert disk.read(0, 4096) == b"k" * 4096


def truncated(folder, image):
    """Yield a disk of another process, and a chain whose header is where it says, and its data at the end of memory."""
    command = [sys.executable, "-m", "outboard", "blk", "serve", str(folder / "cut.sock"), "--image", str(image)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline().startswith("outboard: serving")
    try:
        with attached(folder / "cut.sock", ram=GuestRam([Span(0, 4 << 20), Span(1 << 32, 4 << 20)])) as disk:
            yield disk, process
    finally:
        process.kill()
        process.communicate()


def test_data_that_is_taken_away_is_an_error_of_the_request(folder, image):
    for disk, _ in truncated(folder, image):
        machine = disk.machine
        page = machine.ram.allocate(4096, 4096)
        view = machine.ram.view(page, 4096)
        view[:16] = bytes(16)
        os.ftruncate(machine.ram.fd, 4 << 20)
        queue = machine.rings[0].queue
        queue.add([(page, 16)], [(1 << 32, 4096), (page + 100, 1)])
        machine.kick()
        machine.wait_used()
        assert view[100] == IOERR
        assert len(disk.read(0, 4096)) == 4096, "all else goes on"


@pytest.mark.skipif(core() == "plain", reason="plain Python cannot mend a fault: the compiled form does")
def test_a_header_that_is_taken_away_ends_the_session(folder, image):
    for disk, process in truncated(folder, image):
        machine = disk.machine
        page = machine.ram.allocate(4096, 4096)
        os.ftruncate(machine.ram.fd, 4 << 20)
        queue = machine.rings[0].queue
        queue.add([(1 << 32, 16)], [(page + 512, 512), (page, 1)])
        machine.kick()
        end = time.monotonic() + PATIENCE
        while "the files behind it to keep their size" not in process.stderr.readline():
            assert time.monotonic() < end
        with attached(folder / "cut.sock", timeout_s=PATIENCE) as other:
            assert other.read(0, 512) == image.read_bytes()[:512]


@pytest.mark.parametrize("blind", [transfers.AGAIN, transfers.UNTOLD])
def test_what_would_block_is_done_elsewhere(serve, drive, image, iothread, monkeypatch, blind):
    """A file of which every read, or every transfer, would have to wait."""
    if core() == "compiled":
        pytest.skip("system calls of the compiled form cannot be replaced; tests/host looks at them")
    data = bytearray(image.read_bytes())
    real_read, real_write = os.preadv, os.pwritev
    elsewhere = []

    def preadv(fd, buffers, offset, flags=0):
        if flags & os.RWF_NOWAIT:
            raise OSError(blind, os.strerror(blind))
        elsewhere.append(offset)
        return real_read(fd, buffers, offset, flags)

    def pwritev(fd, buffers, offset, flags=0):
        if flags & os.RWF_NOWAIT:
            raise OSError(blind, os.strerror(blind))
        return real_write(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(os, "pwritev", pwritev)
    disk = drive(serve(image, iothread=iothread))
    reads = [disk.submit(requests.read(4096 * at, 4096), kick=False) for at in range(64)]
    disk.wait_all()
    assert b"".join(one.answer.data for one in reads) == data[: 64 * 4096]
    assert sorted(elsewhere) == [4096 * at for at in range(64)]
    for at in range(0, 64, 2):
        disk.submit(requests.write(4096 * at, b"w" * 4096), kick=False)
        data[4096 * at : 4096 * (at + 1)] = b"w" * 4096
    disk.wait_all()
    assert image.read_bytes() == data


def test_one_front_end_after_the_other(served, drive):
    service, data = served
    for turn in range(5):
        with attached(service.path, 4, 64, timeout_s=PATIENCE) as disk:
            assert disk.read(512 * turn, 512) == data[512 * turn : 512 * (turn + 1)]
            for at in range(20):
                disk.submit(requests.read(4096 * at, 4096), at % 4)
    eventually(lambda: not service.connected, "the front-end left")
    assert service.sessions == 5
    assert bytes_of(service) == data


def test_stop_resume_and_reset(served, drive):
    service, data = served
    disk = drive(service, queues=2)
    for _ in range(3):
        sent = [disk.submit(requests.read(4096 * at, 4096), at % 2) for at in range(32)]
        disk.machine.stop()
        disk.machine.resume()
        disk.wait_all()
        assert [one.answer.data for one in sent] == [data[4096 * at : 4096 * (at + 1)] for at in range(32)]
    disk.machine.reset()
    disk.machine.start()
    assert Disk(disk.machine).ask(requests.read(0, 512)).data == data[:512]


@pytest.mark.parametrize("mem_slots", [True, False])
def test_memory_may_change_while_requests_are_in_flight(served, drive, mem_slots):
    service, data = served
    ram = GuestRam([Span(0, 4 << 20), Span(1 << 32, 4 << 20)])
    disk = drive(service, ram=ram, mem_slots=mem_slots)
    for turn in range(20):
        sent = [disk.submit(requests.read(4096 * at, 4096), kick=at == 15) for at in range(16)]
        if mem_slots:
            spare = disk.machine.ram.descriptions()[1]
            disk.machine.forget_memory(spare)
        disk.machine.send_memory()
        disk.wait_all()
        assert [one.answer.data for one in sent] == [data[4096 * at : 4096 * (at + 1)] for at in range(16)], turn


def fds():
    """Return how many fds are open."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_behind(image, folder, iothread):
    def once(turn):
        with (
            outboard.blk.serve(folder / "leak.sock", image=image, iothread=iothread, num_queues=2) as service,
            attached(folder / "leak.sock", 2, 64, protocol_features=ALL, timeout_s=PATIENCE) as disk,
        ):
            for at in range(10):
                disk.submit(requests.write(4096 * at, bytes([turn]) * 4096), at % 2)
            if turn % 2:
                disk.wait_all()
            assert service.connected

    once(0)
    once(1)
    before = fds()
    for turn in range(20):
        once(turn)
    eventually(lambda: fds() <= before, "all fds are closed")
    assert not (folder / "leak.sock").exists()


def test_one_image_is_served_once(serve, image, iothread):
    serve(image, iothread=iothread)
    with pytest.raises(LocalError, match=r"Failed to get .* lock: image \[.*disk.img\] is in use by process"):
        serve(image, iothread=iothread)


def test_readers_may_share_an_image(serve, drive, image, iothread):
    services = [serve(image, iothread=iothread, read_only=True) for _ in range(2)]
    data = image.read_bytes()
    assert [drive(one).read(0, 512) for one in services] == [data[:512]] * 2


def test_a_thread_of_its_own(serve, drive, image):
    service = serve(image)
    assert drive(service).read(0, 512) == image.read_bytes()[:512]
    assert service.context.name == "outboard-blk"
    service.close()
    service.close()
    assert service.context.closed


def test_once(serve, image, iothread):
    service = serve(image, iothread=iothread, once=True)
    with attached(service.path, timeout_s=PATIENCE) as disk:
        disk.flush()
        assert not service.ended
    assert service.wait_ended(PATIENCE)


@pytest.mark.parametrize(
    ("length", "options", "words"),
    [
        (0, {}, "expected whole sectors of 512 bytes, got 0 bytes"),
        (1000, {}, "expected whole sectors of 512 bytes, got 1000 bytes"),
        (512 * 9, {"logical_block_size": 4096}, "expected whole blocks of 4096 bytes, got 4608 bytes"),
        (512, {"num_queues": 0}, "0 queues"),
        (512, {"path": None}, "either a socket path or fd"),
        (512, {"fd": 1 << 30}, "either a socket path or fd"),
    ],
)
def test_disks_that_cannot_be(folder, iothread, length, options, words):
    image = folder / "odd.img"
    image.write_bytes(bytes(length))
    before = fds()
    with pytest.raises(LocalError, match=words):
        outboard.blk.serve(**{"path": folder / "odd.sock", "image": image, "iothread": iothread, **options})
    assert fds() == before
    with outboard.blk.serve(folder / "odd.sock", image=_whole(image), iothread=iothread):
        pass


def _whole(image):
    image.write_bytes(bytes(512))
    return image


def test_images_that_cannot_be_opened(folder, iothread):
    for name, words in (("missing.img", "No such file or directory"), ("", "Is a directory")):
        with pytest.raises(LocalError, match=f"Could not open '.*': {words}"):
            outboard.blk.serve(folder / "x.sock", image=folder / name, iothread=iothread)


def test_a_resize_waits_for_what_is_in_flight(served, drive, writing):
    """After each one the image, the graph and the device agree, however a writer is at work at the end."""
    service, _ = served
    writing(drive(service, queues=2), range(SIZE - 64 * 4096, SIZE, 4096))
    for length in [SIZE // 2, SIZE] * 30:
        service.resize(length)
        assert service.backend.length == service.drive.disk.capacity * 512 == length
        if service.backend.direct is not None:
            assert os.fstat(service.backend.direct.fd).st_size == length


@pytest.fixture
def writing():
    """`writing(disk, offsets)`: write there in another thread until the test ends, whatever the device answers."""
    with contextlib.ExitStack() as stack:

        def start(disk, offsets):
            stop, began, failed = threading.Event(), threading.Event(), []

            def write():
                try:
                    while not stop.is_set():
                        for at, offset in enumerate(offsets):
                            disk.submit(requests.write(offset, b"w" * 4096), at % len(disk.machine.rings))
                        disk.wait_all()
                        began.set()
                except BaseException as error:
                    failed.append(error)
                    began.set()

            def end():
                stop.set()
                thread.join(PATIENCE)
                assert not failed and not thread.is_alive()

            thread = threading.Thread(target=write, daemon=True)
            thread.start()
            stack.callback(end)
            assert began.wait(PATIENCE)

        yield start


def test_a_disk_that_is_mirrored_keeps_its_size(serve, drive, image, iothread):
    service = serve(image, iothread=iothread)
    disk = drive(service)
    target = Node("target", Memory(SIZE))
    job = Mirror("job0", service.backend.node, target)
    job.start()
    with pytest.raises(LocalError, match=r"mirror job 'job0' needs node .* as long as it is; let that end before"):
        service.resize(2 * SIZE)
    disk.probe()
    assert disk.size == service.backend.length == SIZE == image.stat().st_size
    wait_while(main_context(), lambda: job.status != "ready")
    job.cancel()
    job.wait()
    service.resize(2 * SIZE)
    disk.probe()
    assert disk.size == image.stat().st_size == 2 * SIZE


def test_an_image_that_could_not_be_served_is_free(folder, image, iothread):
    """The graph is changed in the main thread only: elsewhere nothing is served, and nothing stays open."""
    before, said = fds(), []

    def attempt():
        try:
            outboard.blk.serve(folder / "x.sock", image=image, iothread=iothread)
        except LocalError as error:
            said.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert (
        said == ["a change of the graph in another thread than the main context's: schedule a bottom half there"]
        and fds() == before
    )
    with outboard.blk.serve(folder / "x.sock", image=image, iothread=iothread):
        pass


def test_a_graph_without_a_length_is_no_disk(folder, iothread):
    """Copies that differ, copies that are missing, a format on nothing."""
    quorum = Node("copies", Quorum(2))
    for number in (1, 2):
        edges.attach_child(quorum, Node(f"copy{number}", Memory(number * SIZE)), DATA)
    for node, words in (
        (quorum, "Input/output error"),
        (Node("copies", Quorum(1)), "Invalid argument"),
        (Node("raw", Raw()), "No medium found"),
    ):
        with pytest.raises(LocalError, match=f"image: expected one that has a length, got {words}"):
            outboard.blk.serve(folder / "x.sock", image=node, iothread=iothread)
        assert node.parents == []


def test_a_bug_costs_the_front_end_its_connection_and_is_kept(image, folder, iothread, monkeypatch):
    def broken(*_):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        with outboard.blk.serve(folder / "bug.sock", image=image, iothread=iothread) as service:
            with monkeypatch.context() as patch:
                patch.setitem(device_module.SERVED, 24, broken)
                with pytest.raises(ProtocolError, match="end of file"):
                    with attached(folder / "bug.sock", timeout_s=PATIENCE):
                        pass
            eventually(lambda: not service.connected, "the front-end was dropped")
            with attached(folder / "bug.sock", timeout_s=PATIENCE) as disk:
                disk.flush()
