"""The disk driver before a back-end, with no VM: qemu-storage-daemon's, and ours; each against a model in bytes."""

import os
import random
import shutil
import subprocess
import sys
import time

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.frontend.ram import GuestRam, Span
from outboard.machine.disk import FEATURES, Answer, Disk, Refused, Request, attached, requests
from outboard.machine.disk.load import Load
from outboard.spec.virtio import Feature as RingFeature
from outboard.spec.virtio_blk import SECTOR, Feature, Status, Type

PATIENCE_S = 20
SIZE = 8 << 20
KIB4 = 4096
SERIAL = "twenty bytes, no NUL"
IDS = {"ours": SERIAL, "qemu-storage-daemon": "vhost_user_blk"}


class BackEnd:
    """How a back-end is started on an image."""

    def __init__(self, name, folder):
        self.name, self.socket, self.image = name, folder / "disk.sock", folder / "disk.img"
        self.process = None

    def start(self, *, writable=True, queues=1, block_size=512):
        """Serve the image, SIZE random bytes unless it is there."""
        if not self.image.exists():
            self.image.write_bytes(random.Random(7).randbytes(SIZE))
        self.socket.unlink(missing_ok=True)
        words = self.ours if self.name == "ours" else self.qemus
        command = words(writable, queues, block_size)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE_S
        while not self.socket.exists():
            assert self.process.poll() is None and time.monotonic() < end, "the back-end does not listen"
            time.sleep(0.005)
        return self.socket

    def qemus(self, writable, queues, block_size):
        on = "on" if writable else "off"
        return [
            *("qemu-storage-daemon", "--blockdev"),
            f"driver=file,node-name=disk,filename={self.image},discard=unmap,read-only={'off' if writable else 'on'}",
            "--export",
            f"type=vhost-user-blk,id=export,node-name=disk,writable={on},num-queues={queues},"
            f"logical-block-size={block_size},addr.type=unix,addr.path={self.socket}",
        ]

    def ours(self, writable, queues, block_size):
        command = [sys.executable, "-m", "outboard", "blk", "serve", str(self.socket), "--image", str(self.image)]
        command += [
            "--serial",
            SERIAL,
            "--num-queues",
            str(queues),
            "--logical-block-size",
            str(block_size),
            "--iothread",
            "disk",
        ]
        return [*command, *(() if writable else ("--read-only",))]

    def stop(self):
        """End it, by force: what was answered must be in the image."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=["qemu-storage-daemon", "ours"])
def back_end(request, socket_dir):
    """A back-end, not started."""
    if request.param != "ours" and not shutil.which(request.param):
        why = "qemu-storage-daemon is not installed; apt-get install qemu-system-common"
        if os.environ.get("OUTBOARD_REQUIRE_PEERS") == "1":
            pytest.fail(f"OUTBOARD_REQUIRE_PEERS=1, but {why}", pytrace=False)
        pytest.skip(why)
    one = BackEnd(request.param, socket_dir)
    yield one
    if one.process:
        one.stop()


@pytest.fixture
def disk(back_end):
    """A disk that runs, with four queues."""
    with attached(back_end.start(queues=4), 4, 64, timeout_s=PATIENCE_S) as one:
        yield one


def test_what_it_is(disk, back_end):
    wanted = Feature.SEG_MAX | Feature.BLK_SIZE | Feature.FLUSH | Feature.MQ | Feature.DISCARD | Feature.WRITE_ZEROES
    assert disk.machine.session.features & wanted == wanted and not disk.read_only
    assert (disk.size, disk.block_size) == (SIZE, 512)
    assert disk.config.num_queues == 4 and disk.config.seg_max >= 16
    assert disk.config.max_discard_sectors and disk.config.max_write_zeroes_sectors
    assert disk.get_id() == IDS[back_end.name]


def test_bytes_go_where_they_belong(disk, back_end):
    before = back_end.image.read_bytes()
    assert disk.read(0, SIZE) == before, "the whole disk in one request"
    data = random.Random(1).randbytes(3 * SECTOR)
    disk.write(5 * SECTOR, data, queue=1)
    disk.write(SIZE - SECTOR, data[:SECTOR], queue=2)
    disk.flush(queue=3)
    whole = bytearray(before)
    whole[5 * SECTOR : 8 * SECTOR] = data
    whole[-SECTOR:] = data[:SECTOR]
    assert back_end.image.read_bytes() == whole
    assert disk.read(4 * SECTOR, 5 * SECTOR, queue=3) == whole[4 * SECTOR : 9 * SECTOR]


@pytest.mark.parametrize(("indirect", "piece"), [(False, 0), (False, SECTOR), (True, SECTOR), (True, 1000)])
def test_scattered_data(back_end, indirect, piece):
    with attached(back_end.start(), queue_size=64, indirect=indirect, piece=piece, timeout_s=PATIENCE_S) as disk:
        data = random.Random(2).randbytes(16 * SECTOR)
        disk.write(3 * SECTOR, data)
        assert disk.read(3 * SECTOR, len(data)) == data
    assert back_end.image.read_bytes()[3 * SECTOR : 19 * SECTOR] == data


def test_ranges_are_zeroed_and_given_up(disk, back_end):
    model = bytearray(back_end.image.read_bytes())
    disk.write_zeroes([(KIB4, 2 * KIB4)])
    disk.write_zeroes([(16 * KIB4, KIB4)], unmap=bool(disk.config.write_zeroes_may_unmap))
    disk.discard([(32 * KIB4, 8 * KIB4)])
    for offset, length in ((KIB4, 2 * KIB4), (16 * KIB4, KIB4), (32 * KIB4, 8 * KIB4)):
        model[offset : offset + length] = bytes(length)
    assert disk.read(0, SIZE) == model, "what a raw file gives up reads as zeroes"


def test_what_is_wrong_is_a_value(disk, back_end):
    before = back_end.image.read_bytes()
    row = [
        (requests.read(SIZE, SECTOR), Status.IOERR),
        (requests.read(SIZE - SECTOR, 2 * SECTOR), Status.IOERR),
        (requests.write(SIZE, bytes(SECTOR)), Status.IOERR),
        (Request(Type.IN, 1 << 62, room=SECTOR), Status.IOERR),
        (requests.write_zeroes([(SIZE, SECTOR)]), Status.IOERR),
        (requests.discard([(SIZE - SECTOR, 2 * SECTOR)]), Status.IOERR),
        (Request(99), Status.UNSUPP),
    ]
    for request, status in row:
        assert disk.ask(request).status == status, request
    with pytest.raises(Refused, match="IN: the device answered IOERR"):
        disk.read(SIZE, SECTOR)
    assert disk.read(0, SIZE) == before == back_end.image.read_bytes()


def test_misuse_is_told_here(disk):
    with pytest.raises(LocalError, match="sectors have 512 bytes"):
        disk.read(1, SECTOR)
    with pytest.raises(LocalError, match="sectors have 512 bytes"):
        disk.write(0, b"short")
    disk.piece = 1
    with pytest.raises(LocalError, match="512 pieces, the device takes"):
        disk.read(0, SECTOR)
    disk.piece = 0
    for queue in (-1, 4, 9):
        with pytest.raises(LocalError, match=f"queue {queue}: this driver uses queues 0 to 3"):
            disk.submit(requests.read(0, SECTOR), queue)
    pending = disk.submit(requests.read(0, SECTOR))
    disk.wait(pending)
    assert disk.wait(pending).ok, "an answer stays"
    assert disk.in_flight == 0


def test_a_disk_that_cannot_be_written(back_end):
    with attached(back_end.start(writable=False), timeout_s=PATIENCE_S) as disk:
        assert disk.read_only
        assert disk.read(0, SECTOR) == back_end.image.read_bytes()[:SECTOR]
        assert disk.ask(requests.write(0, bytes(SECTOR))).status == Status.IOERR
        assert not disk.ask(requests.write_zeroes([(0, SECTOR)])).ok
    assert back_end.image.read_bytes() == random.Random(7).randbytes(SIZE)


def test_larger_blocks(back_end):
    with attached(back_end.start(block_size=KIB4), timeout_s=PATIENCE_S) as disk:
        assert disk.block_size == KIB4
        disk.write(KIB4, bytes(KIB4))
        assert disk.read(KIB4, KIB4) == bytes(KIB4)


def test_writeback_can_be_switched(disk):
    if not disk.has(Feature.CONFIG_WCE):
        with pytest.raises(LocalError, match="CONFIG_WCE"):
            disk.set_writeback(False)
        return
    for on in (False, True, False):
        disk.set_writeback(on)
        assert disk.probe().writeback == on
        disk.write(0, bytes(SECTOR))
        assert disk.read(0, SECTOR) == bytes(SECTOR)


class Model:
    """The disk as bytes, and which of them requests in flight will change."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.busy = []

    def free(self, offset, length):
        return all(offset + length <= start or start + size <= offset for start, size in self.busy)


@pytest.mark.parametrize("seed", range(3))
def test_many_in_flight_against_the_model(disk, back_end, seed):
    """Random requests on four queues; those that overlap are not in flight at the same time."""
    drawn = random.Random(seed)
    model = Model(back_end.image.read_bytes())
    awaited = []

    def settle():
        disk.wait_all()
        for pending, expected in awaited:
            assert pending.answer.ok, pending.request
            assert expected is None or pending.answer.data == expected, pending.request
        awaited.clear()
        model.busy.clear()

    for _ in range(1500):
        length = SECTOR * drawn.choice((1, 1, 8, 8, 8, 64, 256))
        offset = SECTOR * drawn.randrange((SIZE - length) // SECTOR)
        kind = drawn.choices("rwzdfi", (8, 8, 1, 1, 1, 1))[0]
        if kind in "rwzd" and not model.free(offset, length):
            settle()
        expected, span = None, slice(offset, offset + length)
        if kind == "r":
            request, expected = requests.read(offset, length), bytes(model.data[span])
        elif kind == "w":
            model.data[span] = drawn.randbytes(length)
            request = requests.write(offset, bytes(model.data[span]))
        elif kind in "zd":
            model.data[span] = bytes(length)
            request = (requests.write_zeroes if kind == "z" else requests.discard)([(offset, length)])
        else:
            request = requests.flush() if kind == "f" else requests.get_id()
        if kind in "rwzd":
            model.busy.append((offset, length))
        awaited.append((disk.submit(request, drawn.randrange(4), kick=drawn.random() < 0.7), expected))
    settle()
    assert disk.read(0, SIZE) == model.data
    disk.flush()
    back_end.stop()
    assert back_end.image.read_bytes() == model.data


def test_stopped_and_resumed(disk):
    data = random.Random(3).randbytes(KIB4)
    for turn in range(5):
        disk.write(KIB4 * turn, data, queue=turn % 4)
        bases = disk.machine.stop()
        assert bases == [ring.queue.avail_idx for ring in disk.machine.rings]
        disk.machine.resume()
        assert disk.read(KIB4 * turn, KIB4, queue=turn % 4) == data


LARGE, PLACES = 128 << 10, 256
"""Bytes of a write that takes long enough to be killed in the midst, and how many places of this size there are."""


class Writes:
    """Random writes, and what the disk holds after them."""

    def __init__(self):
        self.model = bytearray(LARGE * PLACES)
        self.drawn = random.Random(11)

    def submit(self, disk, count):
        """Write so many different places, on all queues; return what is pending."""
        pending = []
        for place in self.drawn.sample(range(PLACES), count):
            span = slice(place * LARGE, (place + 1) * LARGE)
            self.model[span] = self.drawn.randbytes(LARGE)
            request = requests.write(span.start, bytes(self.model[span]))
            pending.append(disk.submit(request, place % len(disk.machine.rings), kick=False))
        for queue in range(len(disk.machine.rings)):
            disk.machine.kick(queue)
        return pending


@pytest.mark.parametrize("back_end", ["ours"], indirect=True)
def test_killed_with_requests_in_flight(back_end):
    """The next one finds in the inflight area what the one before had; all is answered once, and nothing is lost."""
    back_end.image.write_bytes(bytes(LARGE * PLACES))
    writes, left, ram = Writes(), [], GuestRam((Span(0, 128 << 20),))
    with attached(back_end.start(queues=4), 4, 64, ram=ram, timeout_s=PATIENCE_S) as disk:
        assert disk.machine.inflight.description.num_queues == 4
        for turn in range(8):
            pending = writes.submit(disk, 200)
            while disk.poll() > 200 - 20 * turn:
                pass
            back_end.stop()
            left.append(disk.poll())
            disk.machine.lose()
            disk.machine.connect(back_end.start(queues=4))
            disk.machine.negotiate()
            disk.machine.recover()
            disk.wait_all()
            assert all(one.answer.ok for one in pending)
            assert disk.read(0, len(writes.model)) == writes.model == back_end.image.read_bytes()
    assert any(left), "at least one was killed with requests in flight"


def test_a_back_end_that_is_gone_is_told(disk, back_end):
    back_end.stop()
    with pytest.raises(ProtocolError, match="a closed connection"):
        disk.read(0, SECTOR)
    assert disk.in_flight == 1, "it is still the device's"


def test_reset_forgets_what_was_in_flight(disk):
    area = disk.machine.inflight
    disk.machine.reset()
    disk.machine.start()
    assert disk.machine.inflight is not area or area is None
    assert Disk(disk.machine).read(0, SECTOR)


@pytest.mark.parametrize("queues", [0, -1])
def test_a_disk_without_a_queue(socket_dir, queues):
    with pytest.raises(LocalError, match=f"1 queue or more, got {queues}"):
        with attached(socket_dir / "nobody.sock", queues):
            pass


def test_more_queues_than_there_are(back_end):
    socket = back_end.start(queues=2)
    with pytest.raises((LocalError, ProtocolError), match="queues"), attached(socket, 9, timeout_s=PATIENCE_S):
        pass


@pytest.mark.parametrize("kind", [Type.IN, Type.OUT])
def test_a_load(back_end, kind):
    """Every place is read or written, in order; the answers are counted, and the ring is whole afterwards."""
    with attached(back_end.start(), queue_size=16, timeout_s=PATIENCE_S) as disk:
        ring, ram = disk.machine.rings[0], disk.machine.ram
        load = Load(ram, ring, kind, KIB4, 8, [8 * at for at in range(SIZE // KIB4)])
        load.data[:] = b"\xa5" * len(load.data)
        requests_done = 0
        while requests_done < SIZE // KIB4:
            done, wall_ns = load.run(20_000_000)
            assert done >= 8 and wall_ns >= 20_000_000 and load.samples == done
            assert load.percentiles(50) <= load.percentiles(99)
            requests_done += done
        if kind == Type.OUT:
            assert disk.read(0, SIZE) == b"\xa5" * SIZE
        else:
            held = {bytes(load.data[at : at + KIB4]) for at in range(0, len(load.data), KIB4)}
            image = back_end.image.read_bytes()
            assert held <= {image[at : at + KIB4] for at in range(0, SIZE, KIB4)}
        assert disk.ask(requests.flush()).ok


@pytest.mark.parametrize("event_idx", [True, False])
def test_bursts(back_end, event_idx):
    """Many requests are shown at once and taken back; one interrupt does where the driver can say so."""
    features = FEATURES if event_idx else FEATURES & ~RingFeature.EVENT_IDX
    with attached(back_end.start(), queue_size=16, timeout_s=PATIENCE_S, features=features) as disk:
        load = Load(disk.machine.ram, disk.machine.rings[0], Type.OUT, KIB4, 8, [8 * at for at in range(SIZE // KIB4)])
        load.data[:] = b"\x5a" * len(load.data)
        for _ in range(SIZE // KIB4 // 8):
            load.fill()
            assert load.in_flight == 8
            load.publish()
            load.finish()
            assert load.in_flight == 0 and load.samples == 8
        # An interrupt that comes when all is back already ends the next sleep, for nothing.
        assert not event_idx or load.sleeps <= 2 * (SIZE // KIB4 // 8)
        assert disk.read(0, SIZE) == b"\x5a" * SIZE


def test_a_load_that_cannot_be(back_end):
    with attached(back_end.start(), queue_size=16, timeout_s=PATIENCE_S) as disk:
        with pytest.raises(LocalError, match="17 requests in flight"):
            Load(disk.machine.ram, disk.machine.rings[0], Type.IN, KIB4, 17, [0])
        load = Load(disk.machine.ram, disk.machine.rings[0], Type.IN, KIB4, 1, [SIZE // SECTOR])
        with pytest.raises(ProtocolError, match="status: expected OK"):
            load.run(1)


def test_an_answer_has_the_device_s_bytes(disk):
    """The disk driver takes neither a request that it did not send, nor data of one that failed."""
    assert disk.ask(requests.read(SIZE, SECTOR)).data == b""
    assert disk.ask(requests.get_id()).used == 21 and disk.ask(requests.flush()) == Answer(Status.OK, b"", 1)
    other = Disk(disk.machine)
    with pytest.raises(LocalError, match="not in flight"):
        other.wait(disk_pending(disk))
    disk.wait_all()


def disk_pending(disk):
    """A request of one driver."""
    return disk.submit(requests.flush())
