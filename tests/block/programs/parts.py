"""What programs have in common. A program asserts as it goes; what it returns is called at the end."""

from outboard.aio import co_enter
from outboard.block.graph import Node, drained_begin, drained_end
from outboard.errors import LocalError
from tests.block.simulated import Backend, Device, Disk, in_main

PROGRAMS = {}


def program(body):
    """Put a program into the table, by its name."""
    PROGRAMS[body.__name__] = in_main(body)
    return body


def checks(*checked):
    """Return a check of several."""

    def check():
        for one in checked:
            one.check()

    return check


def guest(rig, *devices, count=2):
    """Let a guest use devices."""
    for device in devices:
        rig.sim.thread("guest", lambda device=device: device.submit(count))


def user(rig, backend, call):
    """Let a thread enter a coroutine where a backend is."""

    def script():
        co_enter(backend.home, call())

    rig.sim.thread("user", script)


class Users:
    """Threads that read a block, each in a coroutine. may_fail: the backend may have no node, yet or any more."""

    def __init__(self, rig, backend, *, count=2, may_fail=False):
        self.rig, self.backend, self.count, self.may_fail = rig, backend, count, may_fail
        self.gone = False
        self.ends = []
        for _ in range(count):
            user(rig, backend, self._read)

    async def _read(self):
        try:
            await self.backend.preadv(0, [bytearray(1)])
            assert not self.gone, "a request of a backend that has left its node"
            self.ends.append("read")
        except OSError:
            assert self.may_fail
            self.ends.append("failed")
        assert self.backend.ctx.in_home_thread

    def check(self):
        assert len(self.ends) == self.count, self.ends


def quiet(rig):
    """Return a function that asserts that nothing has gone on since it was made."""
    served = rig.disk.served

    def look():
        assert (rig.disk.running, rig.disk.served) == (0, served), "a request in a drained section"
        assert not rig.bottom.in_flight and not rig.top.in_flight and not rig.backend.in_flight

    return look


def section(rig, *nodes, inside=()):
    """Return calls that open a section of each node, look, make the calls inside, look, and close the sections."""
    looks = []

    def begin():
        for node in nodes:
            drained_begin(node)
        looks.append(quiet(rig))
        looks[0]()

    def end():
        looks[0]()
        for node in nodes:
            drained_end(node)
            if node is not nodes[-1]:
                looks[0]()

    return [begin, lambda: looks[0](), *inside, lambda: looks[0](), end]


def refused(rig, call, *words):
    """Return a call that must be refused with these words, and change nothing."""

    def attempt():
        before, said = rig.state(), ""
        try:
            call()
        except LocalError as refusal:
            said = str(refusal)
        assert said and all(word in said for word in words), f"expected {words}, got {said!r}"
        assert rig.state() == before, "a refusal has changed something"

    return attempt


def neighbour(rig, *, allow):
    """Make a node in io1 that a device uses."""
    node = Node("neighbour", Disk(rig.sim, "thread"), rig.io1)
    backend = Backend("disk1", rig.io1)
    backend.insert(node)
    backend.allow_aio_context_change = allow
    rig.nodes.append(node)
    rig.backends.append(backend)
    return node, Device(rig.sim, backend)
