"""What the messages' numbers mean, and which of them are told first.

Source: QEMU docs/interop/vhost-user and docs/interop/vhost-user-gpu. The declarations in `outboard.spec` say where a
number stands; the tables here how it is written (MEANINGS) and what a line about its message says (SAID).
"""

import re
from collections.abc import Callable, Mapping
from enum import IntFlag
from typing import NamedTuple

from outboard.layout import Layout
from outboard.spec import vhost_user, vhost_user_gpu, virtio, virtio_gpu
from outboard.spec.vhost_user import BackendReq, Req


class Meaning(NamedTuple):
    """How a number is written.

    form: "d" decimal, "x" hexadecimal, "i" a signed 32-bit number, "fourcc" four letters. bits: names of its bits.
    parts: it is made of several numbers, name and mask of each.
    """

    form: str = "d"
    bits: Mapping[int, str] | None = None
    parts: tuple[tuple[str, int], ...] = ()

    def text(self, value: int) -> str:
        """Write a number."""
        return names_of(value, self.bits) if self.bits is not None else FORMS[self.form](value)


def _fourcc(value: int) -> str:
    letters = (value & 0xFFFF_FFFF).to_bytes(4, "little")
    return letters.decode("ascii") if letters.isalnum() else f"{value & 0xFFFF_FFFF:#x}"


FORMS: dict[str, Callable[[int], str]] = {
    "d": str,
    "x": hex,
    "i": lambda value: str((value & 0xFFFF_FFFF ^ 1 << 31) - (1 << 31)),
    "fourcc": _fourcc,
}


def names_of(value: int, bits: Mapping[int, str]) -> str:
    """Write a mask as the names of its bits, and what has none as a number."""
    rest = value & ~sum(bits)
    return "|".join([name for mask, name in bits.items() if value & mask] + ([f"{rest:#x}"] if rest else [])) or "none"


def _bits(*flags: type[IntFlag]) -> dict[int, str]:
    return {int(one): str(one.name) for names in flags for one in names}


DECIMAL, HEX, SIGNED = Meaning(), Meaning("x"), Meaning("i")
FEATURES = Meaning(
    "x",
    _bits(virtio_gpu.Feature, virtio.Feature)
    | {1 << 26: "LOG_ALL", vhost_user.F_PROTOCOL_FEATURES: "PROTOCOL_FEATURES"},
)
PROTOCOL_FEATURES = Meaning("x", _bits(vhost_user.ProtocolFeature))
DISPLAY_FEATURES = Meaning("x", _bits(vhost_user_gpu.ProtocolFeature))
STATUS = Meaning(
    "x", {1: "ACKNOWLEDGE", 2: "DRIVER", 4: "DRIVER_OK", 8: "FEATURES_OK", 64: "NEEDS_RESET", 128: "FAILED"}
)
VRING = Meaning("x", parts=(("index", vhost_user.VRING_INDEX_MASK), ("nofd", vhost_user.VRING_NOFD)))

MEANINGS: dict[tuple[type[Layout], str], Meaning] = {
    **{(vhost_user.VringAddr, name): HEX for name in ("flags", "descriptor", "used", "available", "log")},
    **{(vhost_user.MemoryRegion, row.name): HEX for row in vhost_user.MemoryRegion.rows()},
    **{(vhost_user.Iotlb, name): HEX for name in ("iova", "size", "user_addr")},
    **{(vhost_user.Mmap, name): HEX for name in ("fd_offset", "shm_offset", "length", "flags")},
    **{(vhost_user.LogArea, row.name): HEX for row in vhost_user.LogArea.rows()},
    **{(vhost_user.Inflight, name): HEX for name in ("mmap_size", "mmap_offset")},
    **{(vhost_user.VringArea, name): HEX for name in ("size", "offset")},
    (vhost_user.VringArea, "vring"): VRING,
    (vhost_user_gpu.CursorPos, "x"): SIGNED,
    (vhost_user_gpu.CursorPos, "y"): SIGNED,
    (vhost_user_gpu.DmabufScanout, "fd_flags"): HEX,
    (vhost_user_gpu.DmabufScanout, "fd_drm_fourcc"): Meaning("fourcc"),
    (vhost_user_gpu.DmabufScanout2, "modifier"): HEX,
    (virtio_gpu.CtrlHdr, "type"): HEX,
    (virtio_gpu.CtrlHdr, "flags"): HEX,
}
"""Fields that are not plain decimal numbers. U64 has as many meanings as requests: see Said.value."""


Tail = tuple[str, type[Layout] | type[bytes]]
"""Name and kind of what follows a payload."""


class Said(NamedTuple):
    """What is told of a message: templates of names in braces, for the request and for its reply.

    value: what the number of a U64 means, on the way out or back. tail: name and kind of what follows the payload.
    """

    request: str = ""
    reply: str = ""
    value: Meaning = HEX
    tail: Tail = ("data", bytes)


_STATE = Said("index={index} num={num}", "index={index} num={num}")
_VRING_FD = Said("index={value.index}", value=VRING)
_CONFIG = Said("offset={offset} length={length}", "offset={offset} length={length} data={data}")
_OBJECT = Said("{uuid}")
_CURSOR = Said("scanout {scanout_id} at {x},{y}")
_DMABUF = "{fd_drm_fourcc} {fd_width}x{fd_height} stride {fd_stride}"

CONTROL_SAID: dict[int, Said] = {
    Req.GET_FEATURES: Said(reply="{value}", value=FEATURES),
    Req.SET_FEATURES: Said("{value}", value=FEATURES),
    Req.SET_MEM_TABLE: Said("{regions}", tail=("regions", vhost_user.MemoryRegion)),
    Req.SET_LOG_BASE: Said("size={log_size} offset={log_offset}"),
    Req.SET_VRING_NUM: _STATE,
    Req.SET_VRING_ADDR: Said("index={index} descriptor={descriptor} used={used} available={available}"),
    Req.SET_VRING_BASE: _STATE,
    Req.GET_VRING_BASE: Said("index={index}", "index={index} num={num}"),
    Req.SET_VRING_KICK: _VRING_FD,
    Req.SET_VRING_CALL: _VRING_FD,
    Req.SET_VRING_ERR: _VRING_FD,
    Req.GET_PROTOCOL_FEATURES: Said(reply="{value}", value=PROTOCOL_FEATURES),
    Req.SET_PROTOCOL_FEATURES: Said("{value}", value=PROTOCOL_FEATURES),
    Req.GET_QUEUE_NUM: Said(reply="{value}", value=DECIMAL),
    Req.SET_VRING_ENABLE: _STATE,
    Req.SEND_RARP: Said("{value}"),
    Req.NET_SET_MTU: Said("{value}", value=DECIMAL),
    Req.IOTLB_MSG: Said("type={type} iova={iova} size={size}"),
    Req.SET_VRING_ENDIAN: _STATE,
    Req.GET_CONFIG: _CONFIG,
    Req.SET_CONFIG: Said("offset={offset} length={length} data={data}"),
    Req.CLOSE_CRYPTO_SESSION: Said("{value}", value=DECIMAL),
    Req.POSTCOPY_END: Said(reply="{value}"),
    Req.GET_INFLIGHT_FD: Said("queues={num_queues} size={queue_size}", "size={mmap_size} offset={mmap_offset}"),
    Req.SET_INFLIGHT_FD: Said("size={mmap_size} offset={mmap_offset}"),
    Req.VRING_KICK: Said("index={index}"),
    Req.GET_MAX_MEM_SLOTS: Said(reply="{value}", value=DECIMAL),
    Req.ADD_MEM_REG: Said("{region.guest_addr}+{region.memory_size}"),
    Req.REM_MEM_REG: Said("{region.guest_addr}+{region.memory_size}"),
    Req.SET_STATUS: Said("{value}", value=STATUS),
    Req.GET_STATUS: Said(reply="{value}", value=STATUS),
    Req.GET_SHARED_OBJECT: _OBJECT,
    Req.SET_DEVICE_STATE_FD: Said("direction={direction} phase={phase}", "{value}"),
    Req.CHECK_DEVICE_STATE: Said(reply="{value}"),
    Req.GET_SHMEM_CONFIG: Said(reply="{nregions} regions", tail=("sizes", vhost_user.U64)),
}

BACKEND_SAID: dict[int, Said] = {
    BackendReq.IOTLB_MSG: Said("type={type} iova={iova} size={size}"),
    BackendReq.VRING_HOST_NOTIFIER_MSG: Said("index={vring.index} size={size} offset={offset}"),
    BackendReq.VRING_CALL: Said("index={index}"),
    BackendReq.VRING_ERR: Said("index={index}"),
    BackendReq.SHARED_OBJECT_ADD: _OBJECT,
    BackendReq.SHARED_OBJECT_REMOVE: _OBJECT,
    BackendReq.SHARED_OBJECT_LOOKUP: _OBJECT,
    BackendReq.SHMEM_MAP: Said("shmid={shmid} {shm_offset}+{length}"),
    BackendReq.SHMEM_UNMAP: Said("shmid={shmid} {shm_offset}+{length}"),
}

DISPLAY_SAID: dict[int, Said] = {
    vhost_user_gpu.Req.GET_PROTOCOL_FEATURES: Said(reply="{value}", value=DISPLAY_FEATURES),
    vhost_user_gpu.Req.SET_PROTOCOL_FEATURES: Said("{value}", value=DISPLAY_FEATURES),
    vhost_user_gpu.Req.GET_DISPLAY_INFO: Said(reply="{pmodes}"),
    vhost_user_gpu.Req.CURSOR_POS: _CURSOR,
    vhost_user_gpu.Req.CURSOR_POS_HIDE: _CURSOR,
    vhost_user_gpu.Req.CURSOR_UPDATE: Said("scanout {pos.scanout_id} at {pos.x},{pos.y} hot {hot_x},{hot_y}"),
    vhost_user_gpu.Req.SCANOUT: Said("scanout {scanout_id} {width}x{height}"),
    vhost_user_gpu.Req.UPDATE: Said("scanout {scanout_id} {width}x{height} at {x},{y}", tail=("pixels", bytes)),
    vhost_user_gpu.Req.DMABUF_SCANOUT: Said("scanout {scanout_id} {width}x{height}, " + _DMABUF),
    vhost_user_gpu.Req.DMABUF_UPDATE: Said("scanout {scanout_id} {width}x{height} at {x},{y}"),
    vhost_user_gpu.Req.GET_EDID: Said("scanout {scanout_id}", "{size} bytes"),
    vhost_user_gpu.Req.DMABUF_SCANOUT2: Said(
        "scanout {dmabuf_scanout.scanout_id} {dmabuf_scanout.width}x{dmabuf_scanout.height}, "
        + re.sub(r"\{", "{dmabuf_scanout.", _DMABUF)
        + " modifier {modifier}"
    ),
}

ITEMS: dict[type[Layout], str] = {
    vhost_user.MemoryRegion: "{guest_addr}+{memory_size}",
    vhost_user.U64: "{value}",
    virtio_gpu.DisplayOne: "output {at} {r.width}x{r.height}",
}
"""What is told of each item of a list that is not all zero."""
