"""Moves while a device, users and other moves go on."""

from outboard.aio import co_enter
from outboard.block import edges
from outboard.block.graph import Role, add_aio_context_notifier, detach_child, try_set_aio_context
from outboard.errors import LocalError
from tests.block.programs.parts import Users, checks, guest, program, refused
from tests.block.simulated import Backend, Device, Rig


@program
def moves(sim):
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    guest(rig, device)
    rig.later(lambda: rig.backend.try_set_aio_context(rig.io1), lambda: rig.backend.try_set_aio_context(rig.main))
    return checks(rig, device)


@program
def moves_in_place(sim):
    """The device does its requests itself, between begin_io and end_io."""
    rig = Rig(sim)
    device = Device(sim, rig.backend, in_place=rig.disk)
    guest(rig, device)
    rig.later(lambda: rig.backend.try_set_aio_context(rig.io1), lambda: rig.backend.try_set_aio_context(rig.io0))
    return checks(rig, device)


@program
def users_that_stay(sim):
    """Requests of coroutines that run in one context, wherever the backend is; they end where that is then."""
    rig = Rig(sim)
    users = Users(rig, rig.backend)
    for ctx in (rig.io0, rig.io1):
        users.count += 1
        sim.thread("user", lambda ctx=ctx: co_enter(ctx, users._read()) and None)
    rig.later(lambda: rig.backend.try_set_aio_context(rig.io1), lambda: rig.backend.try_set_aio_context(rig.io0))
    return checks(rig, users)


@program
def a_move_in_a_move(sim):
    """While a move waits for requests, another one is made."""
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    guest(rig, device)
    moved = []

    def move(ctx):
        rig.backend.try_set_aio_context(ctx)
        assert rig.backend.ctx is ctx, "a move has ended elsewhere"
        moved.append(ctx)

    for ctx in (rig.io1, rig.main, rig.io1):
        rig.main.bh_schedule_oneshot(lambda ctx=ctx: move(ctx))

    def check():
        checks(rig, device)()
        assert len(moved) == 3 and rig.backend.ctx is moved[-1]

    return check


@program
def a_user_comes_while_a_move_waits(sim):
    """A move that waits for requests asks again: by then somebody may use the graph who does not want it."""
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    guest(rig, device, count=1)
    other = Backend("disk1", rig.io0)
    rig.backends.append(other)
    other.attach_dev("ide0")

    def move():
        try:
            rig.backend.try_set_aio_context(rig.io1)
        except LocalError:
            assert other.root is not None
        else:
            assert other.root is None

    def come():
        try:
            other.insert(rig.bottom)
        except LocalError:
            assert rig.backend.ctx is rig.io1

    rig.main.bh_schedule_oneshot(move)
    rig.main.bh_schedule_oneshot(come)
    return checks(rig, device)


@program
def notifiers(sim):
    """Every node is detached before any is attached; each is told once."""
    rig = Rig(sim)
    log = []
    for node in rig.nodes:

        def attached(ctx, node=node):
            assert node.ctx is ctx and all(one.ctx is ctx for one in rig.nodes)
            assert ctx.lock.owner == sim.ident()
            log.append(("attached", node.name, ctx.name))

        def detach(node=node):
            assert node.ctx.lock.owner == sim.ident()
            log.append(("detach", node.name, node.ctx.name))

        add_aio_context_notifier(node, attached, detach)
    device = Device(sim, rig.backend)
    guest(rig, device, count=1)
    rig.later(lambda: try_set_aio_context(rig.bottom, rig.io1, {rig.backend.root}))

    def check():
        checks(rig, device)()
        assert [one[0] for one in log] == ["detach"] * 2 + ["attached"] * 2
        assert {one[1:] for one in log} == {(name, ctx) for name in ("top", "bottom") for ctx in ("io0", "io1")}

    return check


@program
def refusals(sim):
    """A second user of the bottom node does not let it go."""
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    guest(rig, device, count=1)
    other = Backend("disk1", rig.io0)
    other.insert(rig.bottom)
    rig.backends.append(other)
    other.attach_dev("ide0")

    def move():
        rig.backend.try_set_aio_context(rig.io1)

    def allow():
        other.allow_aio_context_change = True

    deaf = Role("deaf", description=lambda child: "somebody who stays")
    edge = []
    rig.later(
        refused(rig, move, "Cannot change iothread of active block backend", "'disk1'", "ide0"),
        allow,
        move,
        lambda: edge.append(edges.attach_root(rig, rig.bottom, deaf, rig.io1)),
        refused(rig, lambda: rig.backend.try_set_aio_context(rig.io0), "not supported by somebody who stays"),
        lambda: detach_child(edge.pop()),
    )
    return checks(rig, device)
