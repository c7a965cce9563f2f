"""Edges that come and go while requests are under way."""

from outboard.block.graph import (
    BACKING,
    FILTERED,
    Node,
    append,
    attach_child,
    close,
    drained_begin,
    drained_end,
    replace_node,
)
from tests.block.programs.parts import Users, checks, guest, neighbour, program, refused
from tests.block.simulated import Backend, CheckedThrottle, Device, Disk, Rig


@program
def a_child_comes(sim):
    """A child of another context moves to its new parent's."""
    rig = Rig(sim)
    node, other = neighbour(rig, allow=True)
    device = Device(sim, rig.backend)
    guest(rig, device, other, count=1)

    def attach():
        attach_child(rig.top, node, BACKING)
        assert node.ctx is rig.top.ctx is rig.io0

    rig.later(attach)
    return checks(rig, device, other)


@program
def a_parent_goes(sim):
    """A child that must stay gets its new parent to come; when neither can, nothing changes."""
    rig = Rig(sim)
    node, other = neighbour(rig, allow=False)
    device = Device(sim, rig.backend)
    guest(rig, device, other, count=1)

    def attach():
        attach_child(rig.top, node, BACKING)
        assert node.ctx is rig.top.ctx is rig.io1

    def allow():
        rig.backend.allow_aio_context_change = True

    rig.later(refused(rig, attach, "'disk1'"), allow, attach)
    return checks(rig, device, other)


@program
def a_filter_comes_and_goes(sim):
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    guest(rig, device)
    node = Node("filter", CheckedThrottle(iops_total=1000), rig.io1)
    rig.nodes.append(node)

    def leave():
        replace_node(node, rig.top)
        close(node)

    rig.later(lambda: append(rig.top, node, FILTERED), leave)
    return checks(rig, device, Users(rig, rig.backend))


@program
def a_node_takes_the_place_of_another(sim):
    """It comes from another context, with its device; those who read go on there."""
    rig = Rig(sim)
    node, other = neighbour(rig, allow=True)
    users = Users(rig, rig.backend)
    guest(rig, other, count=1)

    def replace():
        replace_node(rig.bottom, node)
        assert rig.top.children[0].node is node and node.ctx is rig.top.ctx is rig.io0

    rig.later(replace)
    return checks(rig, users, other)


@program
def a_busy_parent_comes_in_a_section(sim):
    """A node that gets a drained child ends its requests before it has it."""
    rig = Rig(sim)
    node = Node("backing", Disk(sim, "half"), rig.io0)
    rig.nodes.append(node)
    device = Device(sim, rig.backend)
    guest(rig, device)

    def attach():
        attach_child(rig.top, node, BACKING)
        assert not rig.top.in_flight and not rig.backend.in_flight, "a request goes on above a drained node"

    rig.later(lambda: drained_begin(node), attach, lambda: drained_end(node))
    return checks(rig, device)


@program
def a_user_leaves(sim):
    """Requests of a backend that leaves its node are waited for; those after fail. The other user notices nothing."""
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    other = Backend("disk1", rig.io0)
    rig.backends.append(other)
    other.insert(rig.bottom)
    guest(rig, device, count=1)
    users = Users(rig, other, may_fail=True)

    def leave():
        other.remove()
        users.gone = True
        assert not other.in_flight and len(rig.bottom.parents) == 1

    rig.later(leave)
    return checks(rig, device, users)
