"""Move a back-end between two threads while its guest draws."""

from guest import guest

import outboard
from outboard.aio import IOThread
from outboard.errors import LocalError

one, two, stopped = IOThread("one").start(), IOThread("two").start(), IOThread("stopped").start()
stopped.stop()
with outboard.gpu.serve("gpu.sock", iothread=one) as gpu, guest("gpu.sock", (320, 200)) as fill:
    screen = gpu.screens[0]
    for turn, thread in enumerate([one, two, one]):
        gpu.try_set_aio_context(thread.context)
        before = screen.serial
        fill(turn)
        blue, green, red, _ = screen.wait_for_frame(after=before, timeout=10).pixels[:4]
        print(f"in {gpu.context}: top left pixel is #{red:02x}{green:02x}{blue:02x}")
    try:
        gpu.try_set_aio_context(stopped.context)
    except LocalError as error:
        print(f"refused: {error}")
one.stop()
two.stop()
