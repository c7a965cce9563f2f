"""What programs of the simulator are made of: disks and devices that check what they are promised, graphs."""

from collections import deque

from outboard.aio import Completion, Home, co_enter, current_context
from outboard.aio.simulator import Simulator
from outboard.block.backend import BlockBackend, DevOps
from outboard.block.driver import Driver
from outboard.block.drivers import Throttle
from outboard.block.graph import FILE, Node, attach_child

LENGTH = 8
"""Bytes of a disk; each request is for one."""


class Disk(Driver):
    """Keeps bytes. A request ends by a bottom half, by a timer, or in another thread, in turn or as `way` says."""

    WAYS = ("half", "timer", "thread")

    def __init__(self, sim: Simulator, way: str | None = None, length: int = LENGTH) -> None:
        self.sim = sim
        self.way = way
        self.blocks = bytearray(length)
        self.served = 0
        self.running = 0
        self.attached = None
        self.first = None

    def length(self):
        return len(self.blocks)

    def attach_aio_context(self, ctx):
        assert self.attached is None, f"attached to {ctx.name} and to {self.attached.name}"
        assert ctx.lock.owner == self.sim.ident(), f"attached with {ctx.name} not acquired"
        self.attached = ctx

    def detach_aio_context(self):
        assert self.attached.lock.owner == self.sim.ident(), f"detached with {self.attached.name} not acquired"
        assert not self.running, f"{self.node.name} was detached with {self.running} requests under way"
        self.attached = None

    async def _serve(self):
        here = current_context()
        assert here is self.attached, f"a request of {self.node.name} in {here.name}; it is attached to {self.attached}"
        self.running += 1
        self.count()
        await self._wait(here, self.way or self.WAYS[self.served % 3])
        assert current_context() is here, f"a request began in {here.name} and ends in {current_context().name}"
        self.running -= 1

    def count(self):
        """Count a request; at the first one, make the call that waits for it."""
        self.served += 1
        first, self.first = self.first, None
        if first:
            first()

    async def _wait(self, ctx, way):
        done = Completion()
        match way:
            case "half":
                ctx.bh_schedule_oneshot(lambda: done.set_result(None))
            case "timer":
                ctx.timer_new(lambda: done.set_result(None)).mod_ns(ctx.now_ns() + 500)
            case "thread":
                self.sim.thread(f"worker {self.served}", lambda: done.set_result(None))
        await done

    async def preadv(self, offset, buffers):
        await self._serve()
        memoryview(buffers[0])[:] = self.blocks[offset : offset + len(buffers[0])]

    async def pwritev(self, offset, buffers):
        await self._serve()
        data = b"".join(buffers)
        self.blocks[offset : offset + len(data)] = data

    async def flush(self):
        await self._serve()


class Backend(BlockBackend):
    """A backend that checks that it leaves no node with requests under way."""

    def parting(self, child):
        assert not self.in_flight and not child.node.in_flight, f"{self} leaves {child.node} with requests under way"
        super().parting(child)


class Device(DevOps):
    """A device with a ring: a kick, an external event, makes it serve what is there, in the context of its backend.

    Each request writes one block, then reads it. in_place: they are done on the disk's bytes, as on `direct`, some at
    once, some by another thread.
    """

    def __init__(self, sim: Simulator, backend: BlockBackend, *, in_place: Disk | None = None) -> None:
        self.sim = sim
        self.backend = backend
        self.in_place = in_place
        self.ring = deque()
        self.done = []
        self.asked = 0
        self.stopped = False
        self.attached = backend.ctx
        self.home = Home(backend.ctx)
        self.kick = sim.notifier()
        self.home.add(self.kick.fd, 1, self.kicked, external=True)
        backend.attach_dev("the device", self)
        backend.add_aio_context_notifier(self._attached, self._detach)

    def submit(self, count: int) -> None:
        """What a guest does, in its own thread: put requests into the ring, kick."""
        for _ in range(count):
            self.ring.append(self.asked)
            self.asked += 1
        self.kick.set()

    def kicked(self):
        self.kick.test_and_clear()
        assert not self.stopped, "an external handler ran in a drained section"
        self.pump()

    def pump(self):
        here = current_context()
        assert here is self.attached, f"the device runs in {here.name} and is attached to {self.attached}"
        while self.ring:
            if self.in_place is None:
                co_enter(self.home, self._serve(self.ring.popleft()))
            elif self.backend.begin_io():
                assert not self.stopped, "begin_io is true in a drained section"
                self._do(self.ring.popleft())
            else:
                return

    def _do(self, number):
        disk = self.in_place
        disk.count()
        disk.running += 1
        disk.blocks[number % LENGTH] = number + 1

        def end():
            assert current_context() is self.attached, "a request ended in another context"
            disk.running -= 1
            self.done.append(number)
            self.backend.end_io()

        if number % 2:
            end()
        else:
            ctx = current_context()
            self.sim.thread("worker", lambda: ctx.bh_schedule_oneshot(end))

    async def _serve(self, number):
        await self.backend.pwritev(number % LENGTH, [bytes([number + 1])])
        got = bytearray(1)
        await self.backend.preadv(number % LENGTH, [got])
        assert got[0] == number + 1, f"request {number} read {got[0]}"
        assert current_context() is self.backend.ctx, "a request ended in a context that its backend has left"
        self.done.append(number)

    def drained_begin(self):
        assert not self.stopped, "drained_begin was told twice"
        self.stopped = True

    def drained_end(self):
        assert self.stopped, "drained_end was told without drained_begin"
        self.stopped = False
        self.home.call_soon(self.pump)

    def _detach(self):
        assert self.attached is not None, "detached twice"
        assert self.attached.lock.owner == self.sim.ident(), "detach was told with the old context not acquired"
        assert self.stopped and not self.backend.in_flight, "detach was told outside of a drained section"
        self.attached = None

    def _attached(self, ctx):
        assert self.attached is None, "attached twice"
        assert ctx.lock.owner == self.sim.ident(), "attached was told with the new context not acquired"
        self.attached = ctx
        self.home.move(ctx)

    def check(self) -> None:
        """All requests were done, once."""
        assert sorted(self.done) == list(range(self.asked)), f"{self.asked} requests, done: {sorted(self.done)}"
        assert not self.backend.in_flight, f"{self.backend.in_flight} requests are counted as under way"
        assert not self.stopped


class CheckedThrottle(Throttle):
    """Its timers must not run where it is not attached."""

    where = None

    def attach_aio_context(self, ctx):
        self.where = ctx
        super().attach_aio_context(ctx)

    def detach_aio_context(self):
        assert not any(self.queues), "detached with requests held back"
        self.where = None
        super().detach_aio_context()

    def due(self, direction):
        assert self.where is not None, "a timer ran after detach"
        assert current_context() is self.where, f"a timer of {self.where.name} ran in {current_context().name}"
        held = self.queues[direction] and self.node.quiesce_counter
        assert not held, "a request was held back in a drained section"
        super().due(direction)


def in_main(body):
    """Make a program of a function that is called in the main context; what it returns is called at the end."""

    def program(sim):
        checks = []
        sim.main = sim.context("main")
        sim.main.bh_schedule_oneshot(lambda: checks.append(body(sim)))
        return lambda: checks[0]()

    return program


class Rig:
    """Contexts main, io0, io1 and a graph: a backend on a filter on a disk."""

    def __init__(
        self, sim: Simulator, *, way: str | None = None, top: Driver | None = None, name: str = "disk0"
    ) -> None:
        self.sim = sim
        self.main = sim.main
        self.io0 = sim.context("io0")
        self.io1 = sim.context("io1")
        self.disk = Disk(sim, way)
        self.bottom = Node("bottom", self.disk, self.io0)
        self.top = Node("top", top or Driver(), self.io0)
        self.nodes = [self.top, self.bottom]
        self.backend = Backend(name, self.io0)
        self.backends = [self.backend]
        attach_child(self.top, self.bottom, FILE)
        self.backend.insert(self.top)

    def later(self, *calls) -> None:
        """Let the main context make calls, a bottom half each: now, or when the disk serves its first request."""

        def one(rest):
            rest[0]()
            if rest[1:]:
                self.main.bh_schedule_oneshot(lambda: one(rest[1:]))

        def begin():
            self.main.bh_schedule_oneshot(lambda: one(calls))

        if self.disk.served or self.sim.schedule.choose(2):
            begin()
        else:
            self.disk.first = begin

    def state(self) -> list:
        """Return all that a refusal must leave as it was."""
        nodes = [
            (
                node.name,
                node.ctx,
                node.quiesce_counter,
                [repr(one) for one in (*node.parents, *node.children)],
                len(node.notifiers),
            )
            for node in self.nodes
        ]
        backends = [(one.name, one.ctx, one.home.context, one.quiesce_counter, repr(one.root)) for one in self.backends]
        contexts = [(ctx.name, ctx.fds.external_disabled) for ctx in (self.main, self.io0, self.io1)]
        return [nodes, backends, contexts]

    def check(self) -> None:
        """Nothing is left over."""
        for node in self.nodes:
            assert not node.in_flight and not node.quiesce_counter and not node.requests, node
            assert all(not child.quiesced for child in node.parents), node.parents
            for child in node.children:
                assert child.node.ctx is node.ctx, f"{node} uses {child.node}"
        for backend in self.backends:
            assert not backend.in_flight and not backend.quiesce_counter, backend
            assert backend.root is None or backend.root.node.ctx is backend.ctx, backend
        for ctx in (self.main, self.io0, self.io1):
            assert not ctx.fds.external_disabled, f"external handlers of {ctx.name} are still disabled"
