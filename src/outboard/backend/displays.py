"""What the guest is told about its displays: the user's wish, else the front-end's answer, else a fallback."""

from collections.abc import Callable, Sequence

from outboard import trace
from outboard.gpu.edid import edid
from outboard.host.loop import Loop, Timer
from outboard.spec.vhost_user_gpu import ProtocolFeature, Req
from outboard.spec.virtio_gpu import EDID_MAX, MAX_SCANOUTS, CtrlHdr, DisplayOne, Rect, Resp, RespDisplayInfo, RespEdid
from outboard.vhost_user.display_sender import DisplaySender, Reply

FALLBACK_SIZE = (1024, 768)
PATIENCE_S = 3.0
"""Seconds to wait for a front-end's answer; Linux gives its device 5."""

Size = tuple[int, int]


class KnownDisplays:
    """Answers GET_DISPLAY_INFO and GET_EDID.

    sizes: the enabled outputs' sizes by the user's wish; empty: ask the front-end. answer: takes the body of a late
    answer, for the command that waits.
    """

    def __init__(
        self, loop: Loop, sender: DisplaySender, sizes: Sequence[Size], answer: Callable[[bytes], None]
    ) -> None:
        self._loop = loop
        self._sender = sender
        self._wish = list(sizes)
        self._sizes = list(sizes) or [FALLBACK_SIZE]
        self._answer = answer
        self._timer: Timer | None = None
        self._awaited: Req | None = None
        self._fallback = b""
        self._edid_scanout: int | None = None
        self._edid_silent = False

    def display_info(self) -> bytes | None:
        """Return the display info's body, or None while the front-end is asked."""
        if self._wish or not self._sender.connected:
            return self._own_info()
        self._sender.ask(Req.GET_DISPLAY_INFO)
        self._wait(Req.GET_DISPLAY_INFO, self._own_info())
        return None

    def edid(self, scanout_id: int) -> bytes | None:
        """Return one output's EDID body, or None while the front-end is asked."""
        own = self._own_edid(scanout_id)
        sender = self._sender
        if self._wish or not sender.connected or self._edid_silent:
            return own
        if sender.features is not None and not sender.features & ProtocolFeature.EDID:
            return own
        self._edid_scanout = scanout_id
        if sender.features is not None:
            sender.edid(scanout_id)
        self._wait(Req.GET_EDID, own)
        return None

    def _wait(self, awaited: Req, fallback: bytes) -> None:
        self._awaited = awaited
        self._fallback = fallback
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(PATIENCE_S, self._late)

    def replied(self, reply: Reply) -> None:
        """Take a reply that came on the GPU socket.

        One that no command awaits belongs to a command that was given back when the rings stopped.
        """
        if reply.req == Req.GET_PROTOCOL_FEATURES and self._edid_scanout is not None:
            if self._sender.features is not None and self._sender.features & ProtocolFeature.EDID:
                self._sender.edid(self._edid_scanout)
            else:
                self._settle(self._fallback)
        elif reply.req != self._awaited:
            return
        elif reply.req == Req.GET_DISPLAY_INFO:
            self._settle(self._checked_info(reply.payload))
        elif reply.req == Req.GET_EDID:
            good = CtrlHdr.unpack_from(reply.payload).type == Resp.OK_EDID
            self._settle(reply.payload[CtrlHdr.sizeof :] if good else self._fallback)

    def _checked_info(self, payload: bytes) -> bytes:
        info = RespDisplayInfo.unpack(payload)
        if info.hdr.type != Resp.OK_DISPLAY_INFO:
            return self._own_info()
        self._sizes = [(one.r.width, one.r.height) for one in info.pmodes]
        return payload[CtrlHdr.sizeof :]

    def _late(self) -> None:
        """The front-end did not answer in time: go on without it."""
        trace.emit("display.silent", edid=self._edid_scanout is not None, seconds=PATIENCE_S)
        # QEMU never answers GET_EDID for outputs it does not have; answers could not be told apart after that.
        self._edid_silent = self._edid_silent or self._edid_scanout is not None
        self._sender.give_up()
        self._settle(self._fallback)

    def gone(self) -> None:
        """The GPU socket is closed: whoever waits gets the fallback."""
        self._edid_silent = False
        if self._timer is not None:
            self._settle(self._fallback)

    def _settle(self, body: bytes) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._awaited = None
        self._edid_scanout = None
        self._answer(body)

    def _own_info(self) -> bytes:
        sizes = self._wish or [FALLBACK_SIZE]
        shown = [DisplayOne(Rect(0, 0, width, height), 1) for width, height in sizes]
        hidden = [DisplayOne()] * (MAX_SCANOUTS - len(shown))
        return RespDisplayInfo(pmodes=tuple(shown + hidden)).pack()[CtrlHdr.sizeof :]

    def _own_edid(self, scanout_id: int) -> bytes:
        size = self._sizes[scanout_id] if scanout_id < len(self._sizes) else (0, 0)
        blob = edid(*(size if all(size) else FALLBACK_SIZE), serial=scanout_id)
        return RespEdid(size=len(blob), edid=blob.ljust(EDID_MAX, b"\0")).pack()[CtrlHdr.sizeof :]
