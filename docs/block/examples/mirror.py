"""A disk that is written goes to another node, in another thread, and goes on there."""

from outboard.aio import IOThread, main_context
from outboard.aio.wait import wait_while
from outboard.block import BlockBackend, Node
from outboard.block.drivers import Memory
from outboard.block.graph import close
from outboard.block.mirror import WRITE_BLOCKING, Mirror

with IOThread("io0") as io0, IOThread("io1") as io1:
    old, new = Node("old", Memory(1 << 20), io0.context), Node("new", Memory(1 << 20))
    disk = BlockBackend("vda", io0.context)
    disk.insert(old)
    disk.pwrite(0, b"some contents")

    job = Mirror("job0", old, new, copy_mode=WRITE_BLOCKING)
    job.start()
    print("target in", new.ctx.name)
    disk.pwrite(5, b"changed")
    disk.try_set_aio_context(io1.context)
    print("all in", job.ctx.name, new.ctx.name, old.ctx.name)
    wait_while(main_context(), lambda: job.status != "ready")
    job.complete()
    job.wait()
    print(job.status, "on", disk.node.name, disk.pread(0, 13))
    disk.remove()
    close(old)
    close(new)
