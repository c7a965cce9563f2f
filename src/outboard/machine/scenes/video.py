"""A video from a file, decoded by the program ffmpeg, frame by frame as fast as the card takes them."""

import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

from outboard.errors import LocalError
from outboard.machine.card import Card
from outboard.machine.scenes.scene import Head, Scene

SILENCE_S = 60.0
"""Seconds without a byte from ffmpeg, after which it is given up."""
LAST_WORDS = 4096
"""Bytes of its complaints that are read at the end."""


class Decoder(NamedTuple):
    """An ffmpeg that writes frames of one size, B, G, R, X bytes, to its standard output."""

    process: "subprocess.Popen[bytes]"
    complaints: IO[bytes]

    def read(self, into: memoryview) -> bool:
        """Fill `into` with the next frame; false when there is none. Half a frame is dropped."""
        assert self.process.stdout
        fd, at = self.process.stdout.fileno(), 0
        while at < len(into):
            if not select.select([fd], [], [], SILENCE_S)[0]:
                raise LocalError(f"ffmpeg has given nothing for {SILENCE_S:.0f} s")
            came = os.readv(fd, [into[at:]])
            if not came:
                return False
            at += came
        return True

    def last_words(self) -> str:
        """Return the last line of its complaints."""
        self.process.wait(10)
        size = self.complaints.seek(0, os.SEEK_END)
        self.complaints.seek(max(0, size - LAST_WORDS))
        lines = self.complaints.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {self.process.returncode}")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.complaints.close()


def decode(file: Path, width: int, height: int) -> Decoder:
    """Start ffmpeg on a file: its first video, scaled to fit, black around it. Raises LocalError when there is none."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise LocalError("scene video needs the program ffmpeg; install it (Debian: apt-get install ffmpeg)")
    fit = f"scale={width}:{height}:force_original_aspect_ratio=decrease:flags=bicubic,format=bgr0"
    pad = f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:black"
    source = ["-protocol_whitelist", "file,pipe", "-i", f"file:{file.absolute()}", "-map", "0:v:0"]
    sink = ["-vf", f"{fit},{pad}", "-pix_fmt", "bgr0", "-f", "rawvideo", "-"]
    complaints = tempfile.TemporaryFile()
    process = subprocess.Popen(
        [program, "-v", "error", "-nostdin", *source, *sink],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
        bufsize=0,
    )
    return Decoder(process, complaints)


class Video(Scene):
    """A video file of any kind that ffmpeg reads; it ends with the file."""

    name = "video"
    summary = "a video file, scaled to fit, by the program ffmpeg"
    takes_file = True

    def __init__(self, file: str = "") -> None:
        super().__init__(file)
        self._path = Path(file)
        self._decoders: dict[int, Decoder] = {}
        if not self._path.is_file():
            raise LocalError(f"--file {file}: no such file")

    def draw(self, head: Head) -> None:
        """See `Scene.draw`."""
        decoder = self._decoders[head.id] = decode(self._path, head.buffer.width, head.buffer.height)
        if not decoder.read(head.buffer.memory):
            raise LocalError(f"--file {self._path}: no video that ffmpeg can read: {decoder.last_words()}")

    def step(self, card: Card) -> bool:
        """See `Scene.step`; what is shown at the end is the last whole frame."""
        frames = [memoryview(bytearray(len(head.buffer.memory))) for head in self.heads]
        if not all(self._decoders[head.id].read(frame) for head, frame in zip(self.heads, frames, strict=True)):
            return False
        self.frames += 1
        for head, frame in zip(self.heads, frames, strict=True):
            head.buffer.memory[:] = frame
            card.damage(head.buffer)
        return True

    def stop(self) -> None:
        """See `Scene.stop`."""
        for decoder in self._decoders.values():
            decoder.close()
        self._decoders = {}
