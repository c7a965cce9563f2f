"""What goes wrong, and what it says."""

from guest import guest

import outboard
from outboard.errors import LocalError, WaitTimeout

try:
    outboard.gpu.serve("/no/such/folder/gpu.sock")
except LocalError as error:
    print("serve:", error)

with outboard.gpu.serve("gpu.sock", once=True) as gpu:
    screen = gpu.screens[0]
    try:
        screen.wait_idle(timeout=0.5)
    except WaitTimeout as error:
        print("wait:", error)
    try:
        screen.save("nothing.png")
    except LocalError as error:
        print("save:", error)
    with guest("gpu.sock") as fill:
        fill(0xFFFFFF)
        serial = screen.wait_for_frame().serial
        try:
            screen.wait_for_frame(after=serial + 1, timeout=0.5)
        except WaitTimeout as error:
            print("wait:", error)
    print("ended by itself:", gpu.wait_ended(5))
    try:
        screen.wait_for_frame(after=serial + 1)
    except LocalError as error:
        print("wait:", error)
    print("the last picture is kept:", screen.frame().width, "pixels wide")
