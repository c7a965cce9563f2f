"""Random requests of a disk's driver, right and wrong, against a model in bytes: every status, every byte."""

import struct
import tempfile
from pathlib import Path

import outboard.blk
from outboard.aio.iothread import IOThread
from outboard.block import edges
from outboard.block.drivers.memory import Memory
from outboard.block.node import Node
from outboard.machine.disk import Request, attached

SIZE = 256 << 10
SECTORS = SIZE // 512
PATIENCE = 20.0
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
WILD = [SECTORS, SECTORS + 1, (1 << 32) - 1, 1 << 55, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


class Model:
    """The disk in bytes. `unsure`: sectors that were discarded, of which nothing is known."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.unsure = set()

    def fits(self, sector, length, block):
        sectors = length // 512
        return not length % 512 and not (sector | sectors) % (block // 512) and sector + sectors <= SECTORS

    def ranges(self, kind, out, block):
        """Return the ranges of a request, or the status that refuses it."""
        if len(out) % 16 or not 1 <= len(out) // 16 <= 32:
            return IOERR
        found = []
        for sector, count, flags in struct.iter_unpack("<QII", out):
            if flags & ~(kind == WRITE_ZEROES):
                return UNSUPP
            if count > 1 << 22 or not self.fits(sector, 512 * count, block):
                return IOERR
            found.append((sector, count))
        return found

    def expect(self, request, block):
        """Apply a request; return its status, and what it reads or None."""
        if request.type == IN:
            if not self.fits(request.sector, request.room, block):
                return IOERR, None
            start = 512 * request.sector
            known = not self.unsure & set(range(request.sector, request.sector + request.room // 512))
            return OK, bytes(self.data[start : start + request.room]) if known else None
        if request.type == OUT:
            if not self.fits(request.sector, len(request.out), block):
                return IOERR, None
            self.put(request.sector, request.out)
            return OK, b""
        if request.type in (DISCARD, WRITE_ZEROES):
            found = self.ranges(request.type, request.out, block)
            if isinstance(found, int):
                return found, None
            for sector, count in found:
                if request.type == DISCARD:
                    self.unsure |= set(range(sector, sector + count))
                else:
                    self.put(sector, bytes(512 * count))
            return OK, b""
        return (OK if request.type in (FLUSH, GET_ID) else UNSUPP), None

    def put(self, sector, data):
        self.data[512 * sector : 512 * sector + len(data)] = data
        self.unsure -= set(range(sector, sector + len(data) // 512))


def any_request(rng, first, last):
    """Return a request that stays between two sectors when it is right."""
    kind = rng.choice(
        [IN, IN, IN, OUT, OUT, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES, WRITE_ZEROES, rng.getrandbits(32)]
    )
    sector = rng.randrange(first, last)
    length = 512 * rng.randint(0, min(40, last - sector))
    if rng.random() < 0.1:
        sector, length = rng.choice(WILD), rng.choice([0, 1, 511, 512, 513, 4096])
    if kind == IN:
        return Request(kind, sector, room=length)
    if kind == OUT:
        return Request(kind, sector, rng.randbytes(length))
    if kind in (DISCARD, WRITE_ZEROES):
        flags = rng.choice([0, 0, 0, kind == WRITE_ZEROES, 1, 2, rng.getrandbits(32)])
        out = struct.pack("<QII", sector, length // 512 if rng.random() < 0.95 else rng.getrandbits(32), flags)
        return Request(kind, out=out * rng.choice([1, 1, 1, 2, 32, 33]) + bytes(rng.choice([0, 0, 0, 0, 1, 15])))
    return Request(kind, sector, room=rng.choice([0, 20, 512]), out=rng.randbytes(rng.choice([0, 0, 16])))


def play(rng, disk, block, data):
    """Send requests, many at once where they are apart from each other; return the model."""
    model = Model(data)
    queues = len(disk.machine.rings)
    for _ in range(6):
        lanes = rng.randint(1, 8)
        width = SECTORS // lanes
        sent = []
        for lane in range(lanes):
            request = any_request(rng, lane * width, (lane + 1) * width)
            sent.append(
                (disk.submit(request, rng.randrange(queues), kick=rng.random() < 0.7), model.expect(request, block))
            )
        disk.wait_all()
        for pending, (status, read) in sent:
            answer = pending.answer
            assert answer.status == status, pending.request
            if pending.request.type == IN and read is not None:
                assert answer.data == read, pending.request
    return model


def test_random_requests_against_a_model_in_bytes(campaign):
    with IOThread("fuzz") as thread, tempfile.TemporaryDirectory(prefix="outboard-") as folder:
        image, path = Path(folder) / "disk.img", Path(folder) / "disk.sock"

        def case(rng):
            data = rng.randbytes(SIZE)
            block = rng.choice([512, 512, 4096])
            image.write_bytes(data)
            node = None
            if rng.random() < 0.3:
                memory = Memory(SIZE)
                memory.data[:] = data
                node = Node("memory", memory, thread.context)
            queues, piece, indirect = rng.choice([1, 1, 3]), rng.choice([0, 0, 512, 1000]), rng.random() < 0.7
            options = {"num_queues": 3, "logical_block_size": block, "writeback": rng.random() < 0.8}
            with outboard.blk.serve(path, image=node or image, iothread=thread, **options) as service:
                with attached(path, queues, 64, indirect=indirect, piece=piece, timeout_s=PATIENCE) as disk:
                    model = play(rng, disk, block, data)
                after = service.backend.pread(0, SIZE)
            if node is not None:
                edges.close(node)
            for sector in set(range(SECTORS)) - model.unsure:
                assert after[512 * sector : 512 * sector + 512] == model.data[512 * sector : 512 * sector + 512]

        campaign.run("disks", case)
