"""Stop and resume, reset, and the end of a connection.

Source: QEMU docs/interop/vhost-user, "Starting and stopping rings", VHOST_USER_RESET_DEVICE; VIRTIO-1.2 2.4.
"""

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VHOST_USER, VIRTIO, Checks, NotApplicable, expect
from outboard.spec.vhost_user import ProtocolFeature, Req
from outboard.spec.vhost_user_gpu import Req as GpuReq
from outboard.spec.virtio_gpu import Rect, ResourceUnref, Resp

checks = Checks()
STOPPING = "Starting and stopping rings"
WIDTH, HEIGHT = 64, 48
FEWEST = ProtocolFeature.MQ | ProtocolFeature.REPLY_ACK | ProtocolFeature.CONFIG
FULL = Rect(0, 0, WIDTH, HEIGHT)


def shows(bench: Bench) -> tuple[Machine, bytes]:
    """Return a machine that shows a picture, and the picture."""
    machine = bench.machine()
    pixels = machine.show(WIDTH, HEIGHT)
    machine.settle()
    return machine, pixels


@checks.check("life.stop.silent", VHOST_USER, STOPPING, MUST)
def stop_silent(bench: Bench) -> None:
    """While all rings are stopped nothing is sent on the GPU socket."""
    machine, _ = shows(bench)
    vmm = machine.vmm
    mark = machine.settle()
    for index in (0, 1):
        vmm.tell(vmm.session.set_vring_enable(index, False))
    for index in (0, 1):
        vmm.control.ask(vmm.session.get_vring_base(index), bench.timeout_s)
    machine.watch.step()
    got = [one.name for one in machine.watch.since(mark)]
    expect(not got, "no message", got)


@checks.check("life.resume.commands", VHOST_USER, STOPPING, MUST)
def resume_commands(bench: Bench) -> None:
    """After stop and resume, with a new GPU socket, resources are there still and commands are executed."""
    machine, _ = shows(bench)
    machine.vmm.stop()
    machine.vmm.resume()
    machine.driver.flush(1, FULL)
    machine.driver.unref(1)


@checks.check("life.resume.picture", VHOST_USER, STOPPING, SHOULD)
def resume_picture(bench: Bench) -> None:
    """After stop and resume the new GPU socket is told what is shown, without waiting for the guest to draw."""
    machine, pixels = shows(bench)
    machine.vmm.stop()
    machine.watch.sent.clear()
    machine.vmm.resume()
    machine.sees(WIDTH, HEIGHT, pixels)


@checks.check("life.resume.flush", VHOST_USER, STOPPING, MUST)
def resume_flush(bench: Bench) -> None:
    """After stop and resume a flush by the guest is shown on the new GPU socket, as a whole picture."""
    machine, pixels = shows(bench)
    machine.vmm.stop()
    machine.watch.sent.clear()
    machine.vmm.resume()
    machine.driver.flush(1, FULL)
    machine.sees(WIDTH, HEIGHT, pixels)


@checks.check("life.resume.cursor", VHOST_USER, STOPPING, SHOULD)
def resume_cursor(bench: Bench) -> None:
    """After stop and resume the cursor comes back with its image."""
    machine, _ = shows(bench)
    machine.create(64, 64, resource_id=2)
    machine.driver.update_cursor(0, 2, 5, 6)
    machine.settle()
    machine.vmm.stop()
    machine.watch.sent.clear()
    machine.vmm.resume()
    machine.message(GpuReq.CURSOR_UPDATE)


@checks.check("life.resume.many", VHOST_USER, STOPPING, ROBUSTNESS)
def resume_many(bench: Bench) -> None:
    """Ten times stop and resume, with commands between them, lose none of them."""
    machine, _ = shows(bench)
    for _ in range(10):
        machine.vmm.stop()
        machine.vmm.resume()
        machine.works()


def _gone(machine: Machine) -> None:
    """Raise Failed unless resource 1 is unknown to the device."""
    code = machine.code(ResourceUnref(resource_id=1))
    wanted = Resp.ERR_INVALID_RESOURCE_ID
    expect(code == wanted, f"{wanted.name} for a resource from before the reset", f"{code:#x}")


def _restart(machine: Machine) -> None:
    """Start with empty rings, as a driver does after a reset."""
    machine.watch.sent.clear()
    machine.start()


@checks.check("life.reset.resources", VIRTIO, "2.4", MUST)
def reset_resources(bench: Bench) -> None:
    """A guest that resets the device and starts anew finds no resources of before, RESET_DEVICE or not."""
    machine = bench.machine()
    machine.create(WIDTH, HEIGHT)
    machine.vmm.reset()
    _restart(machine)
    _gone(machine)


@checks.check("life.reset.without_request", VIRTIO, "2.4", MUST)
def reset_without_request(bench: Bench) -> None:
    """A reset that shows only by rings that begin at 0 again, as older QEMUs do it, drops resources as well."""
    machine = bench.machine(protocol_features=FEWEST)
    machine.create(WIDTH, HEIGHT)
    machine.vmm.stop()
    _restart(machine)
    _gone(machine)


@checks.check("life.reset.scanouts", VIRTIO, "2.4", MUST)
def reset_scanouts(bench: Bench) -> None:
    """After a reset no output is enabled: nothing is shown until the guest sets a scanout."""
    machine, _ = shows(bench)
    machine.vmm.reset()
    _restart(machine)
    machine.settle()
    got = [one for one in machine.watch.scanouts() if one.width]
    expect(not got and not machine.watch.since(0, GpuReq.UPDATE), "no SCANOUT and no UPDATE", got)


@checks.check("life.reset.request", VHOST_USER, "VHOST_USER_RESET_DEVICE", MUST)
def reset_request(bench: Bench) -> None:
    """RESET_DEVICE, where it is offered, is accepted before the device was ever started: QEMU sends it at power on."""
    control = bench.agreed(ProtocolFeature.RESET_DEVICE | ProtocolFeature.REPLY_ACK)
    control.accepted(Req.RESET_DEVICE)


@checks.check("life.reset.draws", VIRTIO, "2.4", MUST)
def reset_draws(bench: Bench) -> None:
    """After a reset the guest can draw as at first, with the same resource ids."""
    machine, _ = shows(bench)
    machine.vmm.reset()
    _restart(machine)
    pixels = machine.show(32, 32, seed=5)
    machine.sees(32, 32, pixels)


@checks.check("life.end.control", VHOST_USER, "Communication", ROBUSTNESS)
def end_control(bench: Bench) -> None:
    """When the front-end goes away, the back-end ends or waits for the next one; it does not spin."""
    machine, _ = shows(bench)
    bench.peer.may_end = True
    machine.vmm.control.close()
    machine.watch.detach()
    bench.calm("or has ended, when its front-end has gone")
    bench.crashed_not()


@checks.check("life.end.mid_message", VHOST_USER, "Communication", ROBUSTNESS)
def end_mid_message(bench: Bench) -> None:
    """When the front-end goes away in the middle of a message, the back-end does not crash."""
    control = bench.control()
    control.pieces([b"\x01\x00\x00\x00\x01\x00"])
    bench.peer.may_end = True
    control.close()
    bench.calm("or has ended, when its front-end has gone")
    bench.crashed_not()


@checks.check("life.end.again", VHOST_USER, "Backend program conventions", SHOULD)
def end_again(bench: Bench) -> None:
    """A back-end that goes on when its front-end has gone accepts the next one, with nothing of the old one's left."""
    machine, _ = shows(bench)
    bench.peer.may_end = True
    machine.vmm.control.close()
    machine.watch.detach()
    if bench.peer.inherits or bench.peer.wait_end(0.5):
        raise NotApplicable("the back-end ends with its front-end")
    second = bench.machine()
    _gone(second)
