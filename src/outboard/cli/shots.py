"""Pictures of all outputs, written as PNG files."""

import sys
from pathlib import Path

from outboard.display import Screens
from outboard.errors import LocalError
from outboard.spec.virtio_gpu import MAX_SCANOUTS
from outboard.viewers import png


class Shots:
    """Screens and the files they go to: FILE for output 0, FILE with -N before its suffix for output N."""

    def __init__(self, file: str, outputs: int) -> None:
        """outputs: how many there are, 0 when the front-end says. Raises LocalError when the file cannot be one."""
        self._file = Path(file)
        if not self._file.parent.is_dir():
            raise LocalError(f"--shot {file}: folder {self._file.parent} does not exist")
        if self._file.is_dir():
            raise LocalError(f"--shot {file}: is a folder; name a file")
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
        path = self._file if scanout_id == 0 else self._file.with_stem(f"{self._file.stem}-{scanout_id}")
        picture = self.screens.screens[scanout_id].frame()
        try:
            png.save(path, picture.width, picture.height, picture.pixels)
        except LocalError as error:
            print(f"outboard: {error}", file=sys.stderr, flush=True)
            return False
        print(f"outboard: wrote {path}, {picture.width}x{picture.height}", file=sys.stderr, flush=True)
        return True
