"""A disk served in this process, in front of it a driver; images, and graphs that are more than a file."""

import contextlib
import random

import pytest

import outboard.blk
from outboard.aio.iothread import IOThread
from outboard.block import edges
from outboard.block.drivers.memory import Memory
from outboard.block.node import Node
from outboard.machine.disk import attached
from tests.backend.conftest import PATIENCE

SIZE = 1 << 20


@pytest.fixture
def image(folder):
    """An image of random bytes."""
    path = folder / "disk.img"
    path.write_bytes(random.Random(7).randbytes(SIZE))
    return path


@pytest.fixture
def iothread():
    """A thread for the disk."""
    with IOThread("disk") as thread:
        yield thread


@pytest.fixture
def serve(folder, iothread):
    """`serve(image, **options)` serves an image on `service.path` until the test ends; a bug in it fails the test.

    The thread ends after what lives in it.
    """
    with contextlib.ExitStack() as stack:

        def start(image, **options):
            path = folder / f"{random.randrange(1 << 30):x}.sock"
            service = stack.enter_context(outboard.blk.serve(path, image=image, **options))
            service.path = path
            return service

        yield start


@pytest.fixture
def drive():
    """`drive(service, ...)` attaches a driver until the test ends; options as `machine.disk.attached`."""
    with contextlib.ExitStack() as stack:

        def start(service, queues=1, queue_size=64, **options):
            options.setdefault("timeout_s", PATIENCE)
            return stack.enter_context(attached(service.path, queues, queue_size, **options))

        yield start


@pytest.fixture(params=["file", "memory"])
def served(request, serve, image, iothread):
    """A service of an image, whose requests are done on the file itself or by the block graph; and its bytes."""
    data = image.read_bytes()
    if request.param == "file":
        service = serve(image, iothread=iothread, num_queues=4, serial="disk 7")
        assert service.backend.direct is not None
        yield service, data
    else:
        memory = Memory(SIZE)
        memory.data[:] = data
        node = Node("memory", memory, iothread.context)
        service = serve(node, iothread=iothread, num_queues=4, serial="disk 7")
        assert service.backend.direct is None
        yield service, data
        service.close()
        edges.close(node)


def bytes_of(service):
    """Return the whole image as the disk has it now."""
    return service.backend.pread(0, service.backend.length)
