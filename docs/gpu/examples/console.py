"""Keep a picture of a screen as soon as the guest has stopped drawing on it."""

from guest import guest

import outboard

with outboard.gpu.serve("gpu.sock") as gpu:
    screen = gpu.screens[0]
    with guest("gpu.sock") as fill:  # with a real VM: start QEMU here
        fill(0x336699)
        picture = screen.wait_idle(quiet=0.5, timeout=30)
        screen.save("console.png")
    print(f"{picture.width}x{picture.height}, change {picture.serial}, written to console.png")
