"""Commands that ask about the displays. The answers come from whoever knows: the front-end, or the user's wish.

Source: VIRTIO-1.2 5.7.6.8, GET_DISPLAY_INFO and GET_EDID.
"""

from outboard.gpu.command import WAIT, Command
from outboard.gpu.state import Gpu
from outboard.spec.virtio_gpu import GetEdid, Resp


def get_display_info(gpu: Gpu, command: Command) -> int:
    """GET_DISPLAY_INFO: the size and state of every output."""
    return answered(command, Resp.OK_DISPLAY_INFO, gpu.displays.display_info())


def get_edid(gpu: Gpu, command: Command) -> int:
    """GET_EDID: the EDID of one output, enabled or not."""
    scanout_id = command.unpack(GetEdid).scanout
    if scanout_id >= gpu.num_scanouts:
        return int(Resp.ERR_INVALID_SCANOUT_ID)
    return answered(command, Resp.OK_EDID, gpu.displays.edid(scanout_id))


def answered(command: Command, code: Resp, body: bytes | None) -> int:
    """Return `code` with `body` as the command's reply, or WAIT while there is none."""
    if body is None:
        return WAIT
    command.reply = body
    return int(code)
