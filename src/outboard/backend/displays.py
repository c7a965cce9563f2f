"""What the guest is told about its displays: the user's wish, else the front-end's answer, else a fallback."""

from collections.abc import Callable, Sequence

from outboard import trace
from outboard.display.edid import edid
from outboard.host.loop import Cancellable, Handlers
from outboard.spec.vhost_user_gpu import ProtocolFeature, Req
from outboard.spec.virtio_gpu import EDID_MAX, MAX_SCANOUTS, CtrlHdr, DisplayOne, Rect, Resp, RespDisplayInfo, RespEdid
from outboard.vhost_user.display_sender import DisplaySender, Reply

FALLBACK_SIZE = (1024, 768)
PATIENCE_S = 3.0
"""Seconds to wait for a front-end's answer; Linux gives its device 5."""
IMPATIENCE_S = 0.5
"""Seconds to wait while the last question went unanswered."""

Size = tuple[int, int]


class KnownDisplays:
    """Answers GET_DISPLAY_INFO and GET_EDID.

    sizes: the enabled outputs' sizes by the user's wish; empty: ask the front-end. answer: takes the body of a late
    answer, for the command that waits.
    """

    def __init__(
        self, loop: Handlers, sender: DisplaySender, sizes: Sequence[Size], answer: Callable[[bytes], None]
    ) -> None:
        self._loop = loop
        self._sender = sender
        self._wish = list(sizes)
        self._sizes = list(sizes) or [FALLBACK_SIZE]
        self._answer = answer
        self._timer: Cancellable | None = None
        self._awaited: Req | None = None
        self._scanout_id: int | None = None  # whose EDID is wanted, while one is
        self.gone()

    def gone(self) -> None:
        """The GPU socket is closed: whoever waits gets our own answer, and nothing is known of the next one."""
        self._informed = False
        self._edid_silent = False
        self._patience_s = PATIENCE_S
        if self._timer is not None:
            self._settle(self._own())

    def display_info(self) -> bytes | None:
        """Return the display info's body, or None while the front-end is asked."""
        self._scanout_id = None
        if self._wish or not self._sender.connected:
            return self._own()
        self._ask(Req.GET_DISPLAY_INFO)
        return None

    def edid(self, scanout_id: int) -> bytes | None:
        """Return one output's EDID body, or None while the front-end is asked."""
        self._scanout_id = scanout_id
        if self._wish or not self._sender.connected:
            return self._own()
        return self._own() if self._edid_asked() else None

    def _edid_asked(self) -> bool:
        """Ask what is missing for an EDID; true when nothing is: the display has none to give, its sizes are known."""
        sender = self._sender
        assert self._scanout_id is not None
        if sender.features is None:
            self._wait(Req.GET_PROTOCOL_FEATURES)
        elif sender.features & ProtocolFeature.EDID and not self._edid_silent:
            sender.edid(self._scanout_id)
            self._wait(Req.GET_EDID)
        elif not self._informed:
            self._ask(Req.GET_DISPLAY_INFO)
        else:
            return True
        return False

    def _ask(self, req: Req) -> None:
        self._sender.ask(req)
        self._wait(req)

    def _wait(self, req: Req) -> None:
        self._awaited = req
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._patience_s, self._late)

    def replied(self, reply: Reply) -> None:
        """Take a reply that came on the GPU socket; one that nothing awaits is of a command given back meanwhile."""
        self._patience_s = PATIENCE_S
        awaited = reply.req == self._awaited
        if reply.req == Req.GET_DISPLAY_INFO:
            body = self._checked_info(reply.payload)
            if awaited:
                self._settle(body if self._scanout_id is None else self._own())
        elif awaited and reply.req == Req.GET_PROTOCOL_FEATURES:
            if self._edid_asked():
                self._settle(self._own())
        elif awaited and reply.req == Req.GET_EDID:
            good = CtrlHdr.unpack_from(reply.payload).type == Resp.OK_EDID
            self._settle(reply.payload[CtrlHdr.sizeof :] if good else self._own())

    def _checked_info(self, payload: bytes) -> bytes:
        """Return the body of the front-end's display info and remember its sizes; ours when it says it has none."""
        info = RespDisplayInfo.unpack(payload)
        if info.hdr.type != Resp.OK_DISPLAY_INFO:
            return self._own_info()
        self._sizes = [(one.r.width, one.r.height) for one in info.pmodes]
        self._informed = True
        return payload[CtrlHdr.sizeof :]

    def _late(self) -> None:
        """The front-end did not answer in time: go on without it, and wait less long the next time."""
        assert self._awaited is not None
        trace.emit("display.silent", request=self._awaited.name, seconds=self._patience_s)
        # QEMU never answers GET_EDID for outputs it does not have; answers could not be told apart after that.
        self._edid_silent = self._edid_silent or self._awaited == Req.GET_EDID
        self._patience_s = IMPATIENCE_S
        self._sender.give_up()
        self._settle(self._own())

    def _settle(self, body: bytes) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._awaited = None
        self._answer(body)

    def _own(self) -> bytes:
        """Return our own answer to what is wanted."""
        return self._own_info() if self._scanout_id is None else self._own_edid(self._scanout_id)

    def _own_info(self) -> bytes:
        sizes = self._wish or [FALLBACK_SIZE]
        shown = [DisplayOne(Rect(0, 0, width, height), 1) for width, height in sizes]
        hidden = [DisplayOne()] * (MAX_SCANOUTS - len(shown))
        return RespDisplayInfo(pmodes=tuple(shown + hidden)).pack()[CtrlHdr.sizeof :]

    def _own_edid(self, scanout_id: int) -> bytes:
        size = self._sizes[scanout_id] if scanout_id < len(self._sizes) else (0, 0)
        blob = edid(*(size if all(size) else FALLBACK_SIZE), serial=scanout_id)
        return RespEdid(size=len(blob), edid=blob.ljust(EDID_MAX, b"\0")).pack()[CtrlHdr.sizeof :]
