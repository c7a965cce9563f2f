"""Drained sections: what they wait for, what they keep out, what goes on after."""

from outboard.block import requests
from outboard.block.graph import Node, drained, drained_begin, drained_end
from tests.block.programs.parts import Users, checks, guest, program, quiet, section, user
from tests.block.simulated import Backend, Device, Disk, Rig


@program
def nested_sections(sim):
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    guest(rig, device, count=1)
    rig.later(*section(rig, rig.bottom, rig.top, rig.bottom))
    return checks(rig, device, Users(rig, rig.backend))


@program
def sections_with_a_device_that_does_it_itself(sim):
    rig = Rig(sim)
    device = Device(sim, rig.backend, in_place=rig.disk)
    guest(rig, device)
    rig.later(*section(rig, rig.bottom, rig.top))
    return checks(rig, device)


@program
def sections_with_requests_from_nobody(sim):
    """Requests that no backend has made are waited for as well."""
    rig = Rig(sim)
    ends = []

    async def write():
        await requests.pwritev(rig.bottom, 0, [b"X"])
        ends.append("written")

    user(rig, rig.backend, write)

    def begin():
        drained_begin(rig.bottom)
        assert not rig.disk.running, "a request goes on in a drained section"

    rig.later(begin, lambda: drained_end(rig.bottom))

    def check():
        rig.check()
        assert ends == ["written"]

    return check


@program
def a_move_in_a_section(sim):
    """What waits in the backend goes on where that is then."""
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    guest(rig, device, count=1)
    rig.later(*section(rig, rig.bottom, inside=[lambda: rig.backend.try_set_aio_context(rig.io1)]))
    return checks(rig, device, Users(rig, rig.backend))


@program
def a_user_comes_in_a_section(sim):
    """A backend that is inserted into a drained node begins nothing."""
    rig = Rig(sim)
    other = Backend("disk1", rig.io0)
    rig.backends.append(other)
    rig.later(*section(rig, rig.bottom, inside=[lambda: other.insert(rig.bottom)]))
    return checks(rig, Users(rig, rig.backend), Users(rig, other, may_fail=True))


@program
def sections_of_two_contexts(sim):
    rig = Rig(sim)
    other = Disk(sim, "thread")
    node = Node("other", other, rig.io1)
    backend = Backend("disk1", rig.io1)
    backend.insert(node)
    rig.nodes.append(node)
    rig.backends.append(backend)
    devices = Device(sim, rig.backend), Device(sim, backend)
    guest(rig, *devices, count=1)

    def begin():
        drained_begin(rig.bottom, node)
        assert not rig.disk.running and not other.running

    def end():
        assert not rig.disk.running and not other.running
        drained_end(rig.bottom, node)

    rig.later(begin, end)
    return checks(rig, *devices)


@program
def a_section_in_the_home_thread(sim):
    rig = Rig(sim)
    device = Device(sim, rig.backend)
    guest(rig, device)

    def call():
        with drained(rig.bottom):
            quiet(rig)()

    rig.io0.bh_schedule_oneshot(call)
    rig.later(lambda: rig.backend.in_flight)
    return checks(rig, device)


@program
def neighbours(sim):
    """Two devices of one context: a drained section of one loses no kick of the other."""
    rig = Rig(sim)
    node = Node("other", Disk(sim, "half"), rig.io0)
    backend = Backend("disk1", rig.io0)
    backend.insert(node)
    rig.nodes.append(node)
    rig.backends.append(backend)
    devices = Device(sim, rig.backend), Device(sim, backend)
    guest(rig, *devices, count=1)
    rig.later(lambda: drained_begin(rig.bottom), lambda: drained_end(rig.bottom))
    return checks(rig, *devices)
