"""Control socket: features and protocol features.

Source: QEMU docs/interop/vhost-user, VHOST_USER_GET_FEATURES, "Protocol features"; VIRTIO-1.2 6.
"""

from outboard.conformance.backend.bench import Bench
from outboard.conformance.check import (
    MUST,
    ROBUSTNESS,
    SHOULD,
    VHOST_USER,
    VHOST_USER_GPU,
    VIRTIO,
    Checks,
    expect,
)
from outboard.spec.vhost_user import (
    F_PROTOCOL_FEATURES,
    U64,
    ProtocolFeature,
    Req,
)
from outboard.spec.virtio import Feature

checks = Checks()
NOBODY = 1 << 61
"""A virtio feature bit that no device has."""
QUEUES = 2


# Features


@checks.check("control.features.protocol", VHOST_USER, "Protocol features", MUST)
def features_protocol(bench: Bench) -> None:
    """GET_FEATURES offers bit 30, without which no protocol feature can be agreed."""
    offered = bench.control().ask(Req.GET_FEATURES).u64
    expect(offered & F_PROTOCOL_FEATURES, "bit 30 (VHOST_USER_F_PROTOCOL_FEATURES)", f"{offered:#x}")


@checks.check("control.features.version_1", VIRTIO, "6", MUST)
def features_version_1(bench: Bench) -> None:
    """GET_FEATURES offers VERSION_1: the GPU device has no legacy interface."""
    offered = bench.control().ask(Req.GET_FEATURES).u64
    expect(offered & Feature.VERSION_1, "bit 32 (VIRTIO_F_VERSION_1)", f"{offered:#x}")


@checks.check("control.features.stable", VHOST_USER, "VHOST_USER_GET_FEATURES", SHOULD)
def features_stable(bench: Bench) -> None:
    """GET_FEATURES says the same however often it is asked."""
    control = bench.control()
    first, second = control.ask(Req.GET_FEATURES).u64, control.ask(Req.GET_FEATURES).u64
    expect(first == second, f"{first:#x} again", f"{second:#x}")


@checks.check("control.features.not_offered", VHOST_USER, "VHOST_USER_SET_FEATURES", ROBUSTNESS)
def features_not_offered(bench: Bench) -> None:
    """SET_FEATURES with a bit that was not offered is tolerated or refused, and the back-end lives on."""
    control = bench.agreed()
    offered = control.ask(Req.GET_FEATURES).u64
    control.acked(Req.SET_FEATURES, U64(offered & (F_PROTOCOL_FEATURES | Feature.VERSION_1) | NOBODY).pack())
    control.alive()


@checks.check("control.features.ring_reset", VHOST_USER, "VHOST_USER_SET_FEATURES", MUST)
def features_ring_reset(bench: Bench) -> None:
    """SET_FEATURES with RING_RESET, which QEMU offers guests by itself, is accepted."""
    control = bench.agreed()
    control.accepted(Req.SET_FEATURES, U64(F_PROTOCOL_FEATURES | Feature.VERSION_1 | Feature.RING_RESET).pack())


@checks.check("control.features.legacy", VIRTIO, "6.1", ROBUSTNESS)
def features_legacy(bench: Bench) -> None:
    """SET_FEATURES without VERSION_1 is tolerated or refused, and the back-end lives on."""
    control = bench.agreed()
    control.acked(Req.SET_FEATURES, U64(F_PROTOCOL_FEATURES).pack())
    control.alive()


# Protocol features


def offered_protocol(bench: Bench) -> int:
    """Return the protocol features that are offered."""
    return bench.control().ask(Req.GET_PROTOCOL_FEATURES).u64


@checks.check("control.protocol_features.config", VHOST_USER_GPU, "Introduction", MUST)
def protocol_config(bench: Bench) -> None:
    """CONFIG is offered, without which QEMU does not create the device."""
    offered = offered_protocol(bench)
    expect(offered & ProtocolFeature.CONFIG, "bit 9 (CONFIG)", f"{offered:#x}")


@checks.check("control.protocol_features.log", VHOST_USER, "Migration", SHOULD)
def protocol_log(bench: Bench) -> None:
    """LOG_SHMFD is not offered: QEMU would migrate the machine, and the pictures would be lost."""
    offered = offered_protocol(bench)
    expect(not offered & ProtocolFeature.LOG_SHMFD, "no bit 1 (LOG_SHMFD)", f"{offered:#x}")


@checks.check("control.protocol_features.status", VHOST_USER, "VHOST_USER_GET_STATUS", MUST)
def protocol_status(bench: Bench) -> None:
    """STATUS is offered only by a back-end that answers GET_STATUS with what SET_STATUS set."""
    control = bench.control()
    if not control.ask(Req.GET_PROTOCOL_FEATURES).u64 & ProtocolFeature.STATUS:
        return
    control.negotiate(0)
    control.message(Req.SET_STATUS, U64(3).pack())
    status = control.ask(Req.GET_STATUS).u64
    expect(status == 3, "status 3, as it was set", status)


@checks.check("control.protocol_features.unknown", VHOST_USER, "VHOST_USER_SET_PROTOCOL_FEATURES", ROBUSTNESS)
def protocol_unknown(bench: Bench) -> None:
    """SET_PROTOCOL_FEATURES with bits that were not offered does not end the back-end."""
    control = bench.control()
    offered = control.ask(Req.GET_PROTOCOL_FEATURES).u64
    control.message(Req.SET_PROTOCOL_FEATURES, U64(offered | 1 << 60).pack())
    control.alive()


@checks.check("control.queue_num", VHOST_USER, "VHOST_USER_GET_QUEUE_NUM", MUST)
def queue_num(bench: Bench) -> None:
    """GET_QUEUE_NUM says 2: the control queue and the cursor queue."""
    control = bench.control()
    control.negotiate(ProtocolFeature.MQ)
    got = control.ask(Req.GET_QUEUE_NUM).u64
    expect(got == QUEUES, "2 queues", got)


@checks.check("control.owner", VHOST_USER, "VHOST_USER_SET_OWNER", MUST)
def owner(bench: Bench) -> None:
    """SET_OWNER is accepted."""
    bench.agreed().accepted(Req.SET_OWNER)
