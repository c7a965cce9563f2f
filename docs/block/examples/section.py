"""A drained section: what comes in it waits, and goes on where the disk is then."""

from outboard.aio import IOThread, co_enter
from outboard.aio.wait import kick, wait_while
from outboard.block import BlockBackend, Node
from outboard.block.drivers import Memory
from outboard.block.graph import close, drained

with IOThread("io0") as io0, IOThread("io1") as io1:
    disk, image = BlockBackend("vda", io0.context), Node("image", Memory(4096), io0.context)
    disk.insert(image)
    done = []

    async def write() -> None:
        await disk.pwritev(0, [b"after the section"])
        done.append(disk.ctx.name)
        kick()

    with drained(image):
        co_enter(disk.home, write())
        print("in flight:", image.in_flight, "written:", bytes(image.driver.data[:5]))
        disk.try_set_aio_context(io1.context)
    wait_while(io1.context, lambda: not done)
    print("done in", *done, "written:", bytes(image.driver.data[:5]))
    disk.remove()
    close(image)
