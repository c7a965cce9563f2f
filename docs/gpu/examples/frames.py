"""See every change: each wait starts from the serial number of the picture before."""

import threading

from guest import guest

import outboard


def draw() -> None:
    """Show three colours, one after the other."""
    with guest("gpu.sock", (320, 200)) as fill:
        for colour in (0xFF0000, 0x00FF00, 0x0000FF):
            seen.wait()
            seen.clear()
            fill(colour)
        seen.wait()


seen = threading.Event()
with outboard.gpu.serve("gpu.sock") as gpu:
    drawing = threading.Thread(target=draw)
    drawing.start()
    picture = gpu.screens[0].wait_for_frame(timeout=10)  # the new, black framebuffer
    for _ in range(3):
        seen.set()
        picture = gpu.screens[0].wait_for_frame(after=picture.serial, timeout=10)
        blue, green, red, _ = picture.pixels[:4]
        print(f"change {picture.serial}: top left pixel is #{red:02x}{green:02x}{blue:02x}")
    seen.set()
    drawing.join()
