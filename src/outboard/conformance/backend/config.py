"""Control socket: the config space.

Source: QEMU docs/interop/vhost-user, VHOST_USER_GET_CONFIG, VHOST_USER_SET_CONFIG; VIRTIO-1.2 5.7.4.
"""

from outboard.conformance.backend.bare import BareControl
from outboard.conformance.backend.bench import Bench
from outboard.conformance.check import (
    MUST,
    ROBUSTNESS,
    SHOULD,
    VHOST_USER,
    VIRTIO,
    Checks,
    NotApplicable,
    expect,
)
from outboard.spec.vhost_user import (
    ConfigSpace,
    ProtocolFeature,
    Req,
)
from outboard.spec.virtio_gpu import MAX_SCANOUTS, Config

checks = Checks()


def config_request(offset: int, length: int) -> bytes:
    """Return the payload of GET_CONFIG, data bytes included."""
    return ConfigSpace(offset, length, 0).pack() + bytes(length)


def config(control: BareControl, offset: int, length: int) -> bytes:
    """Return bytes of the config space; raises Failed when the reply is not the request with them."""
    answer = control.ask(Req.GET_CONFIG, config_request(offset, length))
    head, data = answer.payload[: ConfigSpace.sizeof], answer.payload[ConfigSpace.sizeof :]
    wanted = f"{ConfigSpace.sizeof + length} bytes, beginning with offset {offset}, size {length}, flags 0"
    got = f"{len(answer.payload)} bytes, {head.hex()}"
    expect(head == ConfigSpace(offset, length, 0).pack() and len(data) == length, wanted, got)
    return data


@checks.check("control.config.size", VHOST_USER, "VHOST_USER_GET_CONFIG", MUST)
def config_size(bench: Bench) -> None:
    """GET_CONFIG of all 16 bytes is answered by 28 bytes: offset, size and flags as asked, then the data."""
    config(bench.agreed(ProtocolFeature.CONFIG), 0, Config.sizeof)


@checks.check("control.config.scanouts", VIRTIO, "5.7.4", SHOULD)
def config_scanouts(bench: Bench) -> None:
    """num_scanouts is 1 to 16, for front-ends that do not overwrite it as QEMU does."""
    got = Config.unpack(config(bench.agreed(ProtocolFeature.CONFIG), 0, Config.sizeof)).num_scanouts
    expect(1 <= got <= MAX_SCANOUTS, "1 to 16", got)


@checks.check("control.config.capsets", VIRTIO, "5.7.4", MUST)
def config_capsets(bench: Bench) -> None:
    """num_capsets is 0 in a device that does not offer VIRGL."""
    control = bench.agreed(ProtocolFeature.CONFIG)
    if control.ask(Req.GET_FEATURES).u64 & 1:
        raise NotApplicable("the back-end offers VIRGL")
    got = Config.unpack(config(control, 0, Config.sizeof)).num_capsets
    expect(got == 0, "0 capsets without VIRGL", got)


@checks.check("control.config.events", VIRTIO, "5.7.4", MUST)
def config_events(bench: Bench) -> None:
    """events_read is 0 while nothing has happened."""
    got = Config.unpack(config(bench.agreed(ProtocolFeature.CONFIG), 0, Config.sizeof)).events_read
    expect(got == 0, "no event", f"{got:#x}")


@checks.check("control.config.offset", VHOST_USER, "VHOST_USER_GET_CONFIG", MUST)
def config_offset(bench: Bench) -> None:
    """GET_CONFIG honours the offset: what lies there, and a failure behind the end."""
    control = bench.agreed(ProtocolFeature.CONFIG)
    whole, part = config(control, 0, Config.sizeof), config(control, 8, 4)
    expect(part == whole[8:12], f"num_scanouts, {whole[8:12].hex()}, at offset 8", part.hex())
    size = len(control.ask(Req.GET_CONFIG, config_request(0x1000, 4)).payload)
    expect(size == 0, "an empty reply at offset 4096", f"{size} bytes")


@checks.check("control.config.beyond", VHOST_USER, "VHOST_USER_GET_CONFIG", MUST)
def config_beyond(bench: Bench) -> None:
    """GET_CONFIG of more than the device has is answered by size 0, which is how a failure is said."""
    control = bench.agreed(ProtocolFeature.CONFIG)
    size = len(control.ask(Req.GET_CONFIG, config_request(0, 200)).payload)
    expect(size == 0, "an empty reply to a request for 200 bytes", f"{size} bytes")


@checks.check("control.config.far", VHOST_USER, "VHOST_USER_GET_CONFIG", ROBUSTNESS)
def config_far(bench: Bench) -> None:
    """GET_CONFIG at an offset near 4 GiB is answered by size 0."""
    control = bench.agreed(ProtocolFeature.CONFIG)
    size = len(control.ask(Req.GET_CONFIG, config_request(0xFFFF_FFF8, 16)).payload)
    expect(size == 0, "an empty reply", f"{size} bytes")


@checks.check("control.config.set", VHOST_USER, "VHOST_USER_SET_CONFIG", MUST)
def config_set(bench: Bench) -> None:
    """SET_CONFIG of events_clear, as a guest's write arrives, is accepted."""
    control = bench.agreed(ProtocolFeature.CONFIG | ProtocolFeature.REPLY_ACK)
    control.accepted(Req.SET_CONFIG, ConfigSpace(0, Config.sizeof, 0).pack() + Config(0, 1, 0, 0).pack())
