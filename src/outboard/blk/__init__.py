"""virtio-blk: what a disk is to its driver, and what each request asks for. `serve` runs the whole back-end."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outboard.backend.disk.service import serve as serve

__all__ = ["serve"]


def __getattr__(name: str) -> Any:
    if name == "serve":
        # The public face of the composed back-end, which imports this room: loaded when asked for.
        from outboard.backend.disk.service import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
