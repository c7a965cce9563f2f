"""A picture from a file, as large as the output allows, black around it."""

from pathlib import Path
from typing import Any

from outboard.errors import LocalError
from outboard.machine.card import Card
from outboard.machine.scenes.scene import Head, Scene


class Picture(Scene):
    """A picture file of any kind that Pillow reads; of an animation the first frame."""

    name = "picture"
    summary = "a picture file, scaled to fit"
    takes_file = True

    def __init__(self, file: str = "") -> None:
        super().__init__(file)
        self._image = _open(Path(file))

    def draw(self, head: Head) -> None:
        """See `Scene.draw`."""
        from PIL import Image

        size = head.buffer.width, head.buffer.height
        fitted = self._image.resize(fitting(self._image.size, size), Image.Resampling.LANCZOS)
        whole = Image.new("RGB", size)
        whole.paste(fitted, tuple((room - side) // 2 for room, side in zip(size, fitted.size, strict=True)))
        head.buffer.memory[:] = whole.tobytes("raw", "BGRX")

    def step(self, card: Card) -> bool:
        """See `Scene.step`: there is one picture."""
        return False


def fitting(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of the same shape that fits; at least one pixel."""
    (width, height), (most_wide, most_high) = size, room
    if width * most_high > height * most_wide:
        return most_wide, max(1, height * most_wide // width)
    return max(1, width * most_high // height), most_high


def _open(file: Path) -> Any:
    """Return the picture as RGB, turned as it says it should be. Raises LocalError."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise LocalError("scene picture needs Pillow; pip install 'outboard[display]'") from error
    if not file.is_file():
        raise LocalError(f"--file {file}: no such file")
    try:
        with Image.open(file) as image:
            turned: Any = ImageOps.exif_transpose(image)
            return turned.convert("RGB")
    except Exception as error:  # Pillow's readers raise whatever a broken file makes them stumble over
        raise LocalError(f"--file {file}: no picture that Pillow can read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
