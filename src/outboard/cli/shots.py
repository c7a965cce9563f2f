"""Pictures of all outputs, written as PNG files: FILE for output 0, FILE with -N before its suffix for output N."""

import sys
from pathlib import Path

from outboard.cli.files import replaceable
from outboard.display import Screens
from outboard.errors import LocalError
from outboard.spec.virtio_gpu import MAX_SCANOUTS
from outboard.viewers import png


def checked(file: str) -> Path:
    """Return the path that --shot names. Raises LocalError when no picture can be written there."""
    return replaceable("--shot", file)


def path_of(file: Path, scanout_id: int) -> Path:
    """Return the file of one output."""
    return file.with_stem(f"{file.stem}-{scanout_id}") if scanout_id else file


class Shots:
    """Screens and the files they go to."""

    def __init__(self, file: str, outputs: int) -> None:
        """outputs: how many there are, 0 when the front-end says. Raises LocalError when the file cannot be one."""
        self._file = checked(file)
        self.screens = Screens(outputs or MAX_SCANOUTS)

    def save(self) -> bool:
        """Write every output that ever showed something; say what was written. False when nothing could be."""
        good = False
        for screen in self.screens.screens:
            if screen.serial:
                good = self._save(screen.scanout_id) or good
        if not good:
            print(f"outboard: {self._file}: not written, the guest has shown nothing", file=sys.stderr, flush=True)
        return good

    def _save(self, scanout_id: int) -> bool:
        path = path_of(self._file, scanout_id)
        frame = self.screens.screens[scanout_id].frame()
        try:
            png.save_frame(path, frame)
        except LocalError as error:
            print(f"outboard: {error}", file=sys.stderr, flush=True)
            return False
        print(f"outboard: wrote {path}, {frame.width}x{frame.height}", file=sys.stderr, flush=True)
        return True
