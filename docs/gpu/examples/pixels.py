"""Look at a picture with numpy and Pillow: pip install 'outboard[display]'."""

import numpy
from guest import guest
from PIL import Image

import outboard

with outboard.gpu.serve("gpu.sock", sizes=[(800, 600)]) as gpu, guest("gpu.sock", (800, 600)) as fill:
    fill(0x102030)
    picture = gpu.screens[0].wait_idle(quiet=0.2)
    bgrx = numpy.frombuffer(picture.pixels, numpy.uint8).reshape(picture.height, picture.width, 4)
    rgb = bgrx[:, :, 2::-1]
    print("mean colour", rgb.mean(axis=(0, 1)).tolist())
    Image.fromarray(rgb).resize((80, 60)).save("thumbnail.png")
