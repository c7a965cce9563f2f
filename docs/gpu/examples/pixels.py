"""Look at a picture with numpy and Pillow: pip install 'outboard[display]'."""

from guest import guest
from PIL import Image

import outboard

with outboard.gpu.serve("gpu.sock", sizes=[(800, 600)]) as gpu, guest("gpu.sock", (800, 600)) as fill:
    fill(0x102030)
    picture = gpu.screens[0].wait_idle(quiet=0.2)
    print("mean colour", picture.rgb.mean(axis=(0, 1)).tolist())
    Image.fromarray(picture.rgb).resize((80, 60)).save("thumbnail.png")
