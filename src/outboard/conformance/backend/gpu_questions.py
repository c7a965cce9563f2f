"""GPU socket: what the back-end asks, and replies that come in pieces, late, wrong or never.

Source: QEMU docs/interop/vhost-user-gpu, VHOST_USER_GPU_GET_DISPLAY_INFO, VHOST_USER_GPU_GET_EDID.
"""

import struct
from collections.abc import Sequence

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.gpu_socket import with_edid
from outboard.conformance.backend.watch import edid_of, reply
from outboard.conformance.check import MUST, ROBUSTNESS, VHOST_USER_GPU, VIRTIO, Checks, expect
from outboard.errors import OutboardError
from outboard.spec.vhost_user_gpu import FLAG_REPLY, EdidRequest, Req
from outboard.spec.virtio_gpu import Cmd, CtrlHdr, RespDisplayInfo

checks = Checks()
WIRE = "Wire format"
FULL_SPECTRUM = ((800, 600), (0, 0), (640, 480))
DISPLAY_INFO = CtrlHdr(Cmd.GET_DISPLAY_INFO)


@checks.check("gpu.display_info.forwarded", VHOST_USER_GPU, "VHOST_USER_GPU_GET_DISPLAY_INFO", MUST)
def display_info_forwarded(bench: Bench) -> None:
    """The guest's GET_DISPLAY_INFO is answered by what the display says: sizes, enabled outputs, all 16 of them."""
    machine = bench.machine(modes=FULL_SPECTRUM)
    got = RespDisplayInfo.unpack(machine.driver.get_display_info()).pmodes
    wanted = RespDisplayInfo.unpack(machine.watch.display_info()).pmodes
    for at, (one, other) in enumerate(zip(got, wanted, strict=True)):
        expect(one == other, f"{other} for output {at}", one)


@checks.check("gpu.display_info.anew", VHOST_USER_GPU, "VHOST_USER_GPU_GET_DISPLAY_INFO", MUST)
def display_info_anew(bench: Bench) -> None:
    """A display whose size has changed is asked again when the guest asks again."""
    machine = bench.machine(modes=((800, 600),))
    machine.driver.get_display_info()
    machine.watch.modes = [(1024, 768)]
    got = RespDisplayInfo.unpack(machine.driver.get_display_info()).pmodes[0].r
    expect((got.width, got.height) == (1024, 768), "1024x768", f"{got.width}x{got.height}")


@checks.check("gpu.display_info.fence", VIRTIO, "5.7.6.7", MUST)
def display_info_fence(bench: Bench) -> None:
    """A fenced GET_DISPLAY_INFO is answered with its fence, whatever the display has put into the header."""
    machine = bench.machine()
    data = machine.driver.command(CtrlHdr(Cmd.GET_DISPLAY_INFO, 1, 0x1234_5678_9ABC)).data
    header = CtrlHdr.unpack_from(data)
    expect((header.flags & 1, header.fence_id) == (1, 0x1234_5678_9ABC), "fence 0x123456789abc", header)


@checks.check("gpu.display_info.one_at_a_time", VHOST_USER_GPU, "Communication", MUST)
def one_at_a_time(bench: Bench) -> None:
    """A second question is not sent before the first one is answered: replies carry no number."""
    machine = bench.machine()
    del machine.watch.answers[Req.GET_DISPLAY_INFO]
    for _ in range(3):
        machine.put(DISPLAY_INFO)
    machine.message(Req.GET_DISPLAY_INFO)
    for _ in range(2):
        machine.vmm.read_config()
    machine.watch.step()
    got = len(machine.watch.since(0, Req.GET_DISPLAY_INFO, Req.GET_EDID))
    expect(got == 1, "one question that waits", got)


@checks.check("gpu.edid.output", VHOST_USER_GPU, "VHOST_USER_GPU_GET_EDID", MUST)
def edid_output(bench: Bench) -> None:
    """The guest's GET_EDID asks the display for the same output, and the guest gets that blob."""
    machine = with_edid(bench)
    for scanout_id in (1, 0):
        data = machine.driver.get_edid(scanout_id)
        asked = [EdidRequest.unpack(one.payload).scanout_id for one in machine.watch.since(0, Req.GET_EDID)][-1:]
        expect(asked == [scanout_id], f"GET_EDID of output {scanout_id}", asked or "no GET_EDID")
        expect(data[32:160] == edid_of(scanout_id), f"the blob of output {scanout_id}", data[32:64].hex())


@checks.check("gpu.reply.pieces", VHOST_USER_GPU, WIRE, ROBUSTNESS)
def reply_pieces(bench: Bench) -> None:
    """A reply that arrives in pieces, as a stream socket may deliver it, is put together."""
    machine = bench.machine()
    data = reply(Req.GET_DISPLAY_INFO, machine.watch.display_info())
    machine.watch.answers[Req.GET_DISPLAY_INFO] = lambda _: [data[:5], data[5:12], data[12:100], data[100:]]
    machine.driver.get_display_info()


@checks.check("gpu.reply.none", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def reply_none(bench: Bench) -> None:
    """A display that never answers GET_DISPLAY_INFO does not hang the guest: it is answered by something in time."""
    machine = bench.machine()
    del machine.watch.answers[Req.GET_DISPLAY_INFO]
    machine.driver.command(DISPLAY_INFO)


@checks.check("gpu.reply.late", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def reply_late(bench: Bench) -> None:
    """A reply that comes after a while is taken, and the commands behind it are executed in order."""
    machine = bench.machine()
    del machine.watch.answers[Req.GET_DISPLAY_INFO]
    machine.put(DISPLAY_INFO)
    machine.message(Req.GET_DISPLAY_INFO)
    machine.put(CtrlHdr(0))
    machine.vmm.read_config()
    machine.watch.say([reply(Req.GET_DISPLAY_INFO, machine.watch.display_info())])
    machine.until(lambda: machine.vmm.rings[0].queue.used_idx == 2, "both commands")


def _wrong(check_id: str, says: str, wrong: Sequence[bytes]) -> None:
    """A check that a reply which is none is not given to the guest. wrong: what is sent before the right one."""

    def run(bench: Bench) -> None:
        machine = bench.machine(modes=((640, 400),))
        right = reply(Req.GET_DISPLAY_INFO, machine.watch.display_info())
        machine.watch.answers[Req.GET_DISPLAY_INFO] = lambda _: [b"".join([*wrong, right])]
        try:
            data = machine.driver.command(DISPLAY_INFO).data
        except OutboardError:
            if machine.watch.eof:
                data = b""
            else:
                raise
        shown = RespDisplayInfo.unpack(data).pmodes if len(data) == RespDisplayInfo.sizeof else ()
        rogue = [one for one in shown if one.r.width == ROGUE]
        expect(not rogue, "a right reply, or the end of that GPU socket", "what the wrong reply said, at the guest")
        machine.works()

    checks.add(check_id, VHOST_USER_GPU, WIRE, ROBUSTNESS, says, run)


ROGUE = 0x5A5A
_ROGUE_INFO = RespDisplayInfo().pack()[:24] + struct.pack("<6I", 0, 0, ROGUE, ROGUE, 1, 0) * 16
_wrong("gpu.reply.short", "A reply of the wrong size is not given to the guest.",
       [reply(Req.GET_DISPLAY_INFO, _ROGUE_INFO[:200])])  # fmt: skip
_wrong("gpu.reply.flag", "A message without the reply flag is not taken for a reply.",
       [reply(Req.GET_DISPLAY_INFO, _ROGUE_INFO, 0)])  # fmt: skip
_wrong("gpu.reply.other", "A reply to something that was not asked is not taken for the one that was.",
       [reply(Req.GET_EDID, _ROGUE_INFO)])  # fmt: skip


@checks.check("gpu.reply.unasked", VHOST_USER_GPU, WIRE, ROBUSTNESS)
def reply_unasked(bench: Bench) -> None:
    """A reply that nobody asked for does not crash the back-end, and the guest's commands go on."""
    machine = bench.machine()
    machine.show()
    machine.watch.say([reply(Req.GET_DISPLAY_INFO, machine.watch.display_info(), FLAG_REPLY)])
    machine.vmm.read_config()
    machine.works()
