"""virtio-gpu commands: what is answered to what cannot be done.

Source: VIRTIO-1.2 5.7.6.8 (control queue). The document names the codes, not always the case for each: where it leaves
the choice, a code is asked for that Linux and Windows drivers know from QEMU, and its check is no "must".
"""

import struct
from collections.abc import Callable

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine, attach
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VIRTIO, Checks, NotApplicable, Severity, expect
from outboard.layout import Layout
from outboard.spec.vhost_user import Req
from outboard.spec.virtio_gpu import (
    MAX_BACKING_ENTRIES,
    MAX_SCANOUTS,
    Cmd,
    Config,
    CtrlHdr,
    Format,
    GetCapsetInfo,
    GetEdid,
    Rect,
    ResourceAttachBacking,
    ResourceCreate2D,
    ResourceDetachBacking,
    ResourceFlush,
    ResourceUnref,
    Resp,
    SetScanout,
    TransferToHost2D,
)

checks = Checks()
CONTROLQ = "5.7.6.8"
WIDTH, HEIGHT = 32, 16
FULL = Rect(0, 0, WIDTH, HEIGHT)
XRGB = int(Format.B8G8R8X8)
UNKNOWN = 99


def _answered(
    check_id: str,
    wanted: Resp,
    says: str,
    request: Callable[[Machine], tuple[Layout | bytes, bytes]],
    severity: Severity = SHOULD,
) -> None:
    """A check that a request to a machine that shows resource 1 is answered so, and harms nothing."""

    def run(bench: Bench) -> None:
        machine = bench.machine()
        machine.show(WIDTH, HEIGHT)
        data, tail = request(machine)
        machine.answers(wanted, data, tail)
        machine.works()

    checks.add(check_id, VIRTIO, CONTROLQ, severity, f"{says} is answered by {wanted.name}.", run)


def _same(request: Layout | bytes, tail: bytes = b"") -> Callable[[Machine], tuple[Layout | bytes, bytes]]:
    return lambda _: (request, tail)


def _create(
    resource_id: int, fmt: int = XRGB, width: int = 8, height: int = 8
) -> Callable[[Machine], tuple[Layout, bytes]]:
    return lambda _: (ResourceCreate2D(resource_id=resource_id, format=fmt, width=width, height=height), b"")


def _scanout(scanout_id: int, resource_id: int, *rect: int) -> Callable[[Machine], tuple[Layout, bytes]]:
    return lambda _: (SetScanout(r=Rect(*rect), scanout_id=scanout_id, resource_id=resource_id), b"")


BAD_RESOURCE, BAD_PARAMETER = Resp.ERR_INVALID_RESOURCE_ID, Resp.ERR_INVALID_PARAMETER
UNSPEC, OK = Resp.ERR_UNSPEC, Resp.OK_NODATA
WRAP = 0xFFFF_FFF0

_answered("command.create.id_0", BAD_RESOURCE, "Creating resource 0", _create(0))
_answered("command.create.id_taken", BAD_RESOURCE, "Creating a resource whose id is taken", _create(1))
_answered("command.create.format", BAD_PARAMETER, "Creating a resource of an unknown format", _create(2, 5))
_answered("command.create.zero_width", BAD_PARAMETER, "Creating a resource that is 0 wide", _create(2, XRGB, 0, 8))
_answered("command.create.zero_height", BAD_PARAMETER, "Creating a resource that is 0 high", _create(2, XRGB, 8, 0))
_answered("command.create.huge", Resp.ERR_OUT_OF_MEMORY, "Creating a resource of 64 GiB",
          _create(2, XRGB, 1 << 17, 1 << 17))  # fmt: skip
_answered("command.create.overflow", Resp.ERR_OUT_OF_MEMORY, "Creating a resource whose size overflows 64 bits",
          _create(2, XRGB, 0xFFFF_FFFF, 0xFFFF_FFFF))  # fmt: skip
_answered(
    "command.unref.unknown", BAD_RESOURCE, "Destroying an unknown resource", _same(ResourceUnref(resource_id=UNKNOWN))
)
_answered("command.unref.id_0", BAD_RESOURCE, "Destroying resource 0", _same(ResourceUnref()))
_answered("command.flush.unknown", BAD_RESOURCE, "Flushing an unknown resource",
          _same(ResourceFlush(r=FULL, resource_id=UNKNOWN)))  # fmt: skip
_answered("command.flush.outside", BAD_PARAMETER, "Flushing a rectangle outside the resource",
          _same(ResourceFlush(r=Rect(1, 0, WIDTH, HEIGHT), resource_id=1)))  # fmt: skip
_answered("command.flush.wrapping", BAD_PARAMETER, "Flushing a rectangle whose end wraps around 32 bits",
          _same(ResourceFlush(r=Rect(WRAP, 0, 32, 8), resource_id=1)))  # fmt: skip
_answered("command.transfer.unknown", BAD_RESOURCE, "A transfer to an unknown resource",
          _same(TransferToHost2D(r=FULL, resource_id=UNKNOWN)))  # fmt: skip
_answered("command.transfer.outside", BAD_PARAMETER, "A transfer to a rectangle outside the resource",
          _same(TransferToHost2D(r=Rect(0, 1, WIDTH, HEIGHT), resource_id=1)))  # fmt: skip
_answered("command.transfer.wrapping", BAD_PARAMETER, "A transfer to a rectangle whose end wraps around 32 bits",
          _same(TransferToHost2D(r=Rect(0, WRAP, 8, 32), resource_id=1)))  # fmt: skip
_answered("command.transfer.beyond", BAD_PARAMETER, "A transfer from an offset behind the end of the backing",
          _same(TransferToHost2D(r=Rect(0, 0, 8, 8), offset=1 << 20, resource_id=1)))  # fmt: skip
_answered("command.transfer.far", BAD_PARAMETER, "A transfer from an offset near the end of 64 bits",
          _same(TransferToHost2D(r=Rect(0, 0, 8, 8), offset=(1 << 64) - 4, resource_id=1)))  # fmt: skip
_answered("command.transfer.empty", OK, "A transfer of a rectangle without pixels",
          _same(TransferToHost2D(r=Rect(0, 0, 0, 8), resource_id=1)))  # fmt: skip
_answered("command.set_scanout.id", Resp.ERR_INVALID_SCANOUT_ID, "Output 16, where there are 16 at most,",
          _scanout(MAX_SCANOUTS, 1, 0, 0, WIDTH, HEIGHT))  # fmt: skip
_answered("command.set_scanout.far_id", Resp.ERR_INVALID_SCANOUT_ID, "Output 4294967295",
          _scanout(0xFFFF_FFFF, 0, 0, 0, 0, 0))  # fmt: skip
_answered("command.set_scanout.unknown", BAD_RESOURCE, "Showing an unknown resource",
          _scanout(0, UNKNOWN, 0, 0, WIDTH, HEIGHT))  # fmt: skip
_answered("command.set_scanout.outside", BAD_PARAMETER, "Showing a rectangle outside the resource",
          _scanout(0, 1, 1, 0, WIDTH, HEIGHT))  # fmt: skip
_answered("command.set_scanout.wrapping", BAD_PARAMETER, "Showing a rectangle whose end wraps around 32 bits",
          _scanout(0, 1, WRAP, 0, 32, 8))  # fmt: skip
_answered("command.set_scanout.small", OK, "Showing a rectangle of 8x8", _scanout(0, 1, 0, 0, 8, 8), MUST)
_answered("command.set_scanout.zero_rect", OK, "Showing a rectangle of 0x0", _scanout(0, 1, 0, 0, 0, 0))
_answered("command.set_scanout.off_rect", OK, "Disabling an output with a rectangle, as Linux does,",
          _scanout(0, 0, 0, 0, 1280, 800), MUST)  # fmt: skip
_answered("command.detach.unknown", BAD_RESOURCE, "Detaching the backing of an unknown resource",
          _same(ResourceDetachBacking(resource_id=UNKNOWN)))  # fmt: skip
_answered("command.attach.unknown", BAD_RESOURCE, "Attaching a backing to an unknown resource",
          lambda _: attach(UNKNOWN, [(0x1_0000_0000, 4096)]))  # fmt: skip
_answered("command.attach.twice", UNSPEC, "Attaching a second backing", lambda _: attach(1, [(0x1_0000_0000, 4096)]))
_answered("command.unknown", UNSPEC, "Command 0x1200, which is a response's number,", _same(CtrlHdr(0x1200)))
_answered("command.zero", UNSPEC, "Command 0", _same(CtrlHdr(0)))
_answered("command.number_huge", UNSPEC, "Command 0xffffffff", _same(CtrlHdr(0xFFFF_FFFF)))
_answered("command.short.none", BAD_PARAMETER, "A request of 4 bytes", _same(struct.pack("<I", Cmd.GET_DISPLAY_INFO)))
_answered("command.short.header", BAD_PARAMETER, "A request of 23 bytes, one less than its header,",
          _same(CtrlHdr(Cmd.RESOURCE_UNREF).pack()[:23]))  # fmt: skip
_answered("command.short.body", BAD_PARAMETER, "A request whose body is cut short",
          _same(ResourceCreate2D(resource_id=2, format=XRGB, width=8, height=8).pack()[:39]))  # fmt: skip


def _unbacked(check_id: str, request: Layout, says: str) -> None:
    def run(bench: Bench) -> None:
        machine = bench.machine()
        machine.driver.create_2d(1, XRGB, WIDTH, HEIGHT)
        machine.answers(BAD_RESOURCE, request)
        machine.works()

    checks.add(check_id, VIRTIO, CONTROLQ, SHOULD, f"{says} is answered by {BAD_RESOURCE.name}.", run)


_unbacked("command.detach.unbacked", ResourceDetachBacking(resource_id=1), "Detaching from a resource without backing")
_unbacked("command.transfer.unbacked", TransferToHost2D(r=FULL, resource_id=1), "A transfer without backing")


def _attached(check_id: str, wanted: Resp, says: str, request: Callable[[Machine], tuple[Layout, bytes]]) -> None:
    """A check of ATTACH_BACKING on a resource that has none. The pieces' memory is at 0x100000000."""

    def run(bench: Bench) -> None:
        machine = bench.machine()
        machine.driver.create_2d(1, XRGB, WIDTH, HEIGHT)
        machine.answers(wanted, *request(machine))
        machine.works()

    checks.add(check_id, VIRTIO, CONTROLQ, ROBUSTNESS, f"{says} is answered by {wanted.name}.", run)


RAM = 0x1_0000_0000
_attached(
    "command.attach.outside", UNSPEC, "A backing outside the guest's memory", lambda _: attach(1, [(1 << 40, 4096)])
)
_attached("command.attach.over_the_end", UNSPEC, "A backing that reaches over the end of a region",
          lambda _: attach(1, [(RAM + (32 << 20) - 100, 4096)]))  # fmt: skip
_attached("command.attach.wrapping", UNSPEC, "A backing that reaches over the end of 64 bits",
          lambda _: attach(1, [((1 << 64) - 100, 4096)]))  # fmt: skip
_attached("command.attach.second_bad", UNSPEC, "A backing of which one piece lies outside the guest's memory",
          lambda _: attach(1, [(RAM, 4096), (1 << 40, 4096)]))  # fmt: skip
_attached("command.attach.missing", UNSPEC, "A list shorter than it announces", lambda _: attach(1, [(RAM, 4096)], 2))
_attached("command.attach.too_many", UNSPEC, "A list that announces more than 16384 pieces",
          lambda _: attach(1, [(RAM, 4096)], MAX_BACKING_ENTRIES + 1))  # fmt: skip
_attached("command.attach.millions", UNSPEC, "A list that announces 4294967295 pieces",
          lambda _: attach(1, [(RAM, 4096)], 0xFFFF_FFFF))  # fmt: skip
_attached("command.attach.none", OK, "A list of no pieces", lambda _: (ResourceAttachBacking(resource_id=1), b""))


@checks.check("command.set_scanout.beyond_config", VIRTIO, CONTROLQ, SHOULD)
def beyond_config(bench: Bench) -> None:
    """Outputs that the back-end's own num_scanouts does not count are refused; 16 of them fit every front-end."""
    machine = bench.machine()
    answer = bench.over(machine).ask(Req.GET_CONFIG, struct.pack("=III", 0, Config.sizeof, 0) + bytes(Config.sizeof))
    count = Config.unpack_from(answer.payload, 12).num_scanouts
    if not 0 < count < MAX_SCANOUTS:
        raise NotApplicable(f"num_scanouts is {count}")
    machine.create(WIDTH, HEIGHT)
    machine.answers(Resp.ERR_INVALID_SCANOUT_ID, SetScanout(r=FULL, scanout_id=count, resource_id=1))


@checks.check("command.flush.unshown", VIRTIO, CONTROLQ, MUST)
def flush_unshown(bench: Bench) -> None:
    """Flushing a resource that no output shows is answered by OK_NODATA."""
    machine = bench.machine()
    machine.create(WIDTH, HEIGHT)
    machine.answers(OK, ResourceFlush(r=FULL, resource_id=1))


@checks.check("command.capset.index", VIRTIO, CONTROLQ, SHOULD)
def capset_index(bench: Bench) -> None:
    """GET_CAPSET_INFO of a capset that does not exist is answered by an error."""
    machine = bench.machine()
    code = machine.code(GetCapsetInfo(capset_index=UNKNOWN))
    expect(code >= UNSPEC, "an error", f"{code:#x}")


@checks.check("command.edid.output", VIRTIO, CONTROLQ, SHOULD)
def edid_output(bench: Bench) -> None:
    """GET_EDID of output 16 is answered by an error, and not by waiting for a reply that never comes."""
    machine = bench.machine()
    code = machine.code(GetEdid(scanout=MAX_SCANOUTS))
    expect(code >= UNSPEC, "an error", f"{code:#x}")


@checks.check("command.attach.empty_piece", VIRTIO, CONTROLQ, ROBUSTNESS)
def attach_empty_piece(bench: Bench) -> None:
    """A backing with a piece of no bytes is answered by ERR_UNSPEC or taken, and harms nothing."""
    machine = bench.machine()
    machine.driver.create_2d(1, XRGB, WIDTH, HEIGHT)
    code = machine.code(*attach(1, [(RAM, 0), (RAM, 4096)]))
    expect(code in (UNSPEC, OK), "ERR_UNSPEC or OK_NODATA", f"{code:#x}")
    machine.code(TransferToHost2D(r=FULL, resource_id=1))
    machine.works()
