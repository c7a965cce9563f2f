"""outboard: virtual hardware outside the hypervisor, in Python."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "blk", "display", "gpu", "spapr"]


def __getattr__(name: str) -> Any:
    if name == "blk":
        import outboard.blk

        return outboard.blk
    if name == "display":
        import outboard.display

        return outboard.display
    if name == "gpu":
        import outboard.gpu

        return outboard.gpu
    if name == "spapr":
        import outboard.spapr

        return outboard.spapr
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def core() -> str:
    """Say which form of the hot modules runs: "compiled" or "plain"."""
    from outboard.virtio import split_queue

    return "plain" if str(split_queue.__file__).endswith(".py") else "compiled"
