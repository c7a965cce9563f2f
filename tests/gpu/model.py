"""A second virtio-gpu, written for the tests alone: slow, plain, one command at a time.

Source: VIRTIO-1.2 5.7.6; QEMU docs/interop/vhost-user-gpu, "UPDATE". A resource is a list of pixels, guest memory is
asked byte range by byte range, and a screen is what a display would show when the queue is dry.
"""

import struct

from tests.gpu.rig import BAD_PARAMETER, BAD_RESOURCE, BAD_SCANOUT, OK, UNSPEC

NAMES = {  # bytes of a pixel in memory, lowest address first
    1: "BGRA",
    2: "BGRX",
    3: "ARGB",
    4: "XRGB",
    67: "RGBA",
    68: "XBGR",
    121: "ABGR",
    134: "RGBX",
}


def shown(fmt, pixel):
    """Return the four bytes B, G, R and the fourth of a pixel of any format."""
    name = NAMES[fmt].replace("A", "X")
    return bytes(pixel[name.index(channel)] for channel in "BGRX")


class Resource:
    def __init__(self, fmt, width, height):
        self.fmt, self.width, self.height = fmt, width, height
        self.pixels = bytearray(4 * width * height)
        self.ranges = None
        self.blob = 0


class Model:
    """memory.read(addr, length) returns guest bytes, or None. `screens[i]` is (width, height, pixels) or None."""

    def __init__(self, memory, scanouts=16):
        self.memory = memory
        self.resources = {}
        self.bound = [None] * scanouts
        self.screens = [None] * scanouts

    def send(self, request):
        """Execute one request of the commands known here; return the response code."""
        (code,) = struct.unpack_from("<I", request)
        return {
            0x101: self.create,
            0x102: self.unref,
            0x103: self.set_scanout,
            0x104: self.flush,
            0x105: self.transfer,
            0x106: self.attach,
            0x107: self.detach,
            0x10C: self.create_blob,
            0x10D: self.set_scanout_blob,
        }[code](request)

    def create(self, request):
        number, fmt, width, height = struct.unpack_from("<IIII", request, 24)
        if number == 0 or number in self.resources:
            return BAD_RESOURCE
        if fmt not in NAMES or not width or not height:
            return BAD_PARAMETER
        self.resources[number] = Resource(fmt, width, height)
        return OK

    def create_blob(self, request):
        number, mem, _, count, _, size = struct.unpack_from("<IIIIQQ", request, 24)
        if number == 0 or number in self.resources:
            return BAD_RESOURCE
        if mem != 1 or not size:
            return BAD_PARAMETER
        resource = Resource(2, 0, 0)
        resource.blob = size
        code = self.take_entries(resource, request, 56, count) if count else OK
        if code == OK:
            self.resources[number] = resource
        return code

    def unref(self, request):
        (number,) = struct.unpack_from("<I", request, 24)
        resource = self.resources.pop(number, None)
        if resource is None:
            return BAD_RESOURCE
        self.blank(resource)
        return OK

    def blank(self, resource):
        for at, bound in enumerate(self.bound):
            if bound and bound[0] is resource:
                self.bound[at] = self.screens[at] = None

    def attach(self, request):
        number, count = struct.unpack_from("<II", request, 24)
        resource = self.resources.get(number)
        if resource is None:
            return BAD_RESOURCE
        if resource.ranges is not None:
            return UNSPEC
        return self.take_entries(resource, request, 32, count) if count else OK

    def take_entries(self, resource, request, start, count):
        if count > 16384 or len(request) < start + 16 * count:
            return UNSPEC
        ranges = [struct.unpack_from("<QI", request, start + 16 * at) for at in range(count)]
        for addr, length in ranges:
            if length == 0 or self.memory.read(addr, length) is None:
                return UNSPEC
        if sum(length for _, length in ranges) < resource.blob:
            return UNSPEC
        resource.ranges = ranges
        return OK

    def detach(self, request):
        (number,) = struct.unpack_from("<I", request, 24)
        resource = self.resources.get(number)
        if resource is None or resource.ranges is None:
            return BAD_RESOURCE
        resource.ranges = None
        if resource.blob:
            self.blank(resource)
        return OK

    def backing(self, resource):
        return b"".join(self.memory.read(addr, length) for addr, length in resource.ranges)

    def transfer(self, request):
        x, y, width, height, offset, number = struct.unpack_from("<IIIIQI", request, 24)
        resource = self.resources.get(number)
        if resource is None or resource.ranges is None:
            return BAD_RESOURCE
        if resource.blob:
            return OK
        if x + width > resource.width or y + height > resource.height:
            return BAD_PARAMETER
        data = self.backing(resource)
        if offset > len(data):
            return BAD_PARAMETER
        pitch = 4 * resource.width
        for row in range(height):
            source = offset + row * pitch
            target = (y + row) * pitch + 4 * x
            piece = data[source : source + 4 * width]
            piece = piece[: len(piece) & ~3]  # pixels of which the backing does not have all bytes stay
            resource.pixels[target : target + len(piece)] = piece
        return OK

    def set_scanout(self, request):
        *rect, output, number = struct.unpack_from("<IIIIII", request, 24)
        return self.bind(output, number, rect, None)

    def set_scanout_blob(self, request):
        *rect, output, number, width, height, fmt, _ = struct.unpack_from("<IIIIIIIIII", request, 24)
        (stride,) = struct.unpack_from("<I", request, 64)
        (offset,) = struct.unpack_from("<I", request, 80)
        return self.bind(output, number, rect, (width, height, fmt, stride, offset))

    def bind(self, output, number, rect, frame):
        if output >= len(self.bound):
            return BAD_SCANOUT
        if number == 0:
            self.bound[output] = self.screens[output] = None
            return OK
        resource = self.resources.get(number)
        if resource is None:
            return BAD_RESOURCE
        if frame is None:
            if resource.blob:
                return BAD_PARAMETER
            frame = (resource.width, resource.height, resource.fmt, 4 * resource.width, 0)
        elif not resource.blob or resource.ranges is None:
            return BAD_PARAMETER
        width, height, fmt, stride, offset = frame
        if fmt not in NAMES or not width or not height or stride < 4 * width:
            return BAD_PARAMETER
        if resource.blob and offset + stride * (height - 1) + 4 * width > resource.blob:
            return BAD_PARAMETER
        x, y, w, h = rect
        if x + w > width or y + h > height:
            return BAD_PARAMETER
        if not w or not h:
            self.bound[output] = self.screens[output] = None
            return OK
        bound = (resource, (x, y, w, h), frame)
        if self.bound[output] != bound:
            self.bound[output] = bound
            self.screens[output] = (w, h, self.crop(bound, x, y, w, h))
        return OK

    def crop(self, bound, x, y, w, h):
        """Return a rectangle of a framebuffer as B, G, R, X."""
        resource, _, (_, _, fmt, stride, offset) = bound
        data = self.backing(resource)[offset:] if resource.blob else resource.pixels
        out = bytearray()
        for row in range(y, y + h):
            line = data[row * stride + 4 * x : row * stride + 4 * (x + w)]
            for at in range(0, 4 * w, 4):
                out += shown(fmt, line[at : at + 4])
        return bytes(out)

    def flush(self, request):
        x, y, width, height, number = struct.unpack_from("<IIIII", request, 24)
        resource = self.resources.get(number)
        if resource is None:
            return BAD_RESOURCE
        if not resource.blob and (x + width > resource.width or y + height > resource.height):
            return BAD_PARAMETER
        for at, bound in enumerate(self.bound):
            if bound and bound[0] is resource:
                self.present(at, bound, x, y, width, height)
        return OK

    def present(self, at, bound, x, y, width, height):
        left, top, w, h = bound[1]
        x0, y0 = max(x, left), max(y, top)
        x1, y1 = min(x + width, left + w), min(y + height, top + h)
        if x0 >= x1 or y0 >= y1:
            return
        pixels = bytearray(self.screens[at][2])
        part = self.crop(bound, x0, y0, x1 - x0, y1 - y0)
        step = 4 * (x1 - x0)
        for row in range(y1 - y0):
            to = 4 * ((y0 - top + row) * w + x0 - left)
            pixels[to : to + step] = part[step * row : step * (row + 1)]
        self.screens[at] = (w, h, bytes(pixels))
