"""What goes wrong with a QEMU that we run."""

import signal

from outboard.errors import OutboardError

_OTHERS = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}
"""What no program sends itself."""
_TERMINATING = "terminating on signal"


class QemuError(OutboardError):
    """QEMU, its monitor or its guest did not do what was asked; the text has QEMU's own words."""


class QemuDied(QemuError):
    """QEMU ended. code: its exit status, the negative number of a signal; words: the last that it wrote."""

    def __init__(self, code: int, words: str) -> None:
        how = f"with {code}" if code >= 0 else f"by {_name(-code)}"
        super().__init__(f"QEMU ended {how}; its last words: {words or 'none'}")
        self.was_killed = code in _OTHERS or words.startswith(_TERMINATING)
        """Whether somebody ended it, who has nothing to do with what its guest did."""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
