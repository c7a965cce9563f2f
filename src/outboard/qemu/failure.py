"""What goes wrong with a QEMU that we run."""

from outboard.errors import OutboardError


class QemuError(OutboardError):
    """QEMU, its monitor or its guest did not do what was asked; the text has QEMU's own words."""
