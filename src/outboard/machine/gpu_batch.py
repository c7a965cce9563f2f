"""Many commands in flight: laid out once, submitted again and again as a busy guest does; for benches and floods."""

from array import array
from collections.abc import Sequence

from outboard.errors import ProtocolError
from outboard.frontend.vmm import Vmm
from outboard.spec.virtio_gpu import CONTROL_QUEUE, CtrlHdr, Resp


class Batch:
    """Prebuilt commands that are submitted together, again and again, and answered OK_NODATA.

    room: bytes of each device-writable part, 0 for none. The commands keep their descriptors for ever.
    """

    def __init__(
        self, vmm: Vmm, requests: Sequence[bytes], *, queue: int = CONTROL_QUEUE, room: int = CtrlHdr.sizeof
    ) -> None:
        self.ring = vmm.rings[queue]
        self.index = queue
        self.left = 0
        self._expected = CtrlHdr(Resp.OK_NODATA).pack().ljust(room, b"\0") * len(requests) if room else b""
        self._blank = bytes(len(self._expected))
        answers = vmm.ram.allocate(len(self._expected) or 1)
        self._answers = vmm.ram.view(answers, len(self._expected))
        self.heads = array("H")
        for at, request in enumerate(requests):
            place = vmm.ram.allocate(len(request))
            vmm.ram.view(place, len(request))[:] = request
            answer = [(answers + room * at, room)] if room else []
            self.heads.append(self.ring.queue.reserve([(place, len(request))], answer))

    def submit(self) -> None:
        """Offer all commands; the ring is still to be kicked."""
        self._answers[:] = self._blank
        self.left = len(self.heads)
        self.ring.queue.offer_all(self.heads)

    def check(self) -> None:
        """Raise ProtocolError when a command was answered otherwise than by OK_NODATA."""
        if bytes(self._answers) != self._expected:
            raise ProtocolError("pipelined command", "OK_NODATA", bytes(self._answers[:64]).hex())


def run_batches(vmm: Vmm, batches: Sequence[Batch], times: int, timeout_s: float = 10.0) -> None:
    """Submit batches of one queue in turn, `times` in all, as many at once as there are, and wait for all.

    Raises WaitTimeout when nothing is used for `timeout_s`, ProtocolError for a response that is not OK_NODATA.
    """
    owner = {head: batch for batch in batches for head in batch.heads}
    ring, index = batches[0].ring, batches[0].index
    waiting = list(batches[:times])
    for batch in waiting:
        batch.submit()
    to_go = times - len(waiting)
    ring.kick()
    while waiting:
        for head, _ in vmm.wait_used(index, timeout_s, waiting[0].left):
            batch = owner[head]
            batch.left -= 1
            if batch.left:
                continue
            batch.check()
            waiting.remove(batch)
            if to_go:
                to_go -= 1
                batch.submit()
                waiting.append(batch)
        ring.kick()
