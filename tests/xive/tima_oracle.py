"""A second reading of the TIMA: one thread's context, byte by byte, from the hand-typed tables.

Sources: QEMU docs/specs/ppc-xive, "XIVE thread interrupt context", and what QEMU 7.2 and 10.0 answer.
"""

from tests.vectors.xive_layouts import TIMA_LOAD_MASKS, TIMA_OP_OF_10, TIMA_OPS, TIMA_STORE_MASKS

ALL_ONES = 0xFFFFFFFFFFFFFFFF
LOADABLE = {view: bytes.fromhex(masks) for view, masks in TIMA_LOAD_MASKS.items()}
STORABLE = {view: bytes.fromhex(masks) for view, masks in TIMA_STORE_MASKS.items()}


def bit(priority):
    return 1 << 7 - priority if priority < 8 else 0


class Oracle:
    """One thread. nvts: word 4 by (block, index); told: the lines that it tells."""

    ops, decoded = TIMA_OPS, 0xFFF
    loadable, storable = LOADABLE, STORABLE

    def __init__(self, number, swaps=False, pull_clears_first=True):
        self.number, self.swaps, self.pull_clears = number, swaps, pull_clears_first
        self.regs = bytearray(64)
        self.outputs = 0
        self.nvts = {}
        self.told = []

    def find(self, offset, size, direction):
        for name, view, at, sizes, of in self.ops:
            if of == direction and at == offset & self.decoded and size in sizes and view >= offset >> 16:
                return name
        return None

    def allowed(self, maps, offset, size):
        """Return the mask of each byte of a raw access; nothing when it is refused."""
        at = offset & 0x3F
        masks = maps[offset >> 16][at : at + size]
        return masks if size >= 4 and at >= 0x10 and any(masks) else None

    def load(self, offset, size):
        if op := self.find(offset, size, "load"):
            value = getattr(self, op.lower())()
        elif offset & 0x800:
            self.told.append(f"XIVE: invalid read access to TIMA@{offset:x}")
            return ALL_ONES
        elif (masks := self.allowed(self.loadable, offset, size)) is None:
            self.told.append(f"XIVE: invalid read access at TIMA @{offset:x}")
            value = ALL_ONES
        else:
            at = offset & 0x3F
            value = int.from_bytes(bytes(a & b for a, b in zip(self.regs[at : at + size], masks, strict=True)), "big")
        self.told.append(f"xive_tctx_tm_read @{offset:#x} sz={size} val={value:#x}")
        return value

    def store(self, offset, size, value):
        self.told.append(f"xive_tctx_tm_write @{offset:#x} sz={size} val={value:#x}")
        if op := self.find(offset, size, "store"):
            getattr(self, op.lower())(value)
        elif offset & 0x800 or (masks := self.allowed(self.storable, offset, size)) is None:
            self.told.append(f"XIVE: invalid write access at TIMA @{offset:x}")
        else:
            for at, (byte, mask) in enumerate(zip(value.to_bytes(size, "big"), masks, strict=True), offset & 0x3F):
                self.regs[at] = self.regs[at] & ~mask | byte & mask

    # Registers of a ring: 0 NSR, 1 CPPR, 2 IPB, 7 PIPR.

    def tell(self, event, ring, cppr_name, cppr, tail):
        nsr, ipb, pipr = self.regs[ring], self.regs[ring + 2], self.regs[ring + 7]
        self.told.append(
            f"{event} target={self.number} ring={ring:#x} IBP={ipb:#04x} PIPR={pipr:#04x} {cppr_name}={cppr:#04x} "
            f"NSR={nsr:#04x}{tail}"
        )

    def most_favoured(self, ring):
        ipb = self.regs[ring + 2]
        self.regs[ring + 7] = next((priority for priority in range(8) if ipb & bit(priority)), 0xFF)

    def notify(self, ring):
        if self.regs[ring + 7] < self.regs[ring + 1]:
            self.regs[ring] |= 0x80
            self.outputs |= 1 if ring == 0x10 else 2
            self.tell("xive_tctx_notify", ring, "CPPR", self.regs[ring + 1], " raise !")

    def pend(self, ring, bits):
        self.regs[ring + 2] |= bits
        self.most_favoured(ring)
        self.notify(ring)

    def set_cppr(self, ring, value):
        self.tell("xive_tctx_set_cppr", ring, "new CPPR", value, "")
        self.regs[ring + 1] = value if value < 8 else 0xFF
        self.notify(ring)

    def accept(self, ring, mask, output):
        self.outputs &= ~output
        nsr = self.regs[ring]
        if nsr & mask:
            cppr = self.regs[ring + 7]
            self.regs[ring + 1] = cppr
            self.regs[ring + 2] &= ~bit(cppr)
            self.most_favoured(ring)
            self.regs[ring] &= ~mask
            self.tell("xive_tctx_accept", ring, "CPPR", cppr, " ACK")
        return nsr * 256 + self.regs[ring + 1]

    def pulled(self, octets):
        return int.from_bytes(octets, "little" if self.swaps else "big")

    # The special operations, by name.

    def set_os_cppr(self, value):
        self.set_cppr(0x10, value)

    def set_hv_cppr(self, value):
        self.set_cppr(0x30, value)

    def set_os_pending(self, value):
        self.pend(0x10, bit(value))

    def accept_os(self):
        return self.accept(0x10, 0x80, 1)

    def accept_hv(self):
        return self.accept(0x30, 0xC0, 2)

    def vt_push(self, value):
        self.regs[0x38] = value

    def vt_poll(self):
        return self.regs[0x38]

    def pull_pool_ctx(self):
        old = bytes(self.regs[0x28:0x2C])
        self.regs[0x28] &= 0x7F
        return self.pulled(self.regs[0x28:0x2C] if self.pull_clears else old)

    def pull_os_ctx(self):
        old = bytes(self.regs[0x18:0x1C])
        if not old[0] & 0x80:
            self.told.append("XIVE: pulling invalid NVT {:x}/{:x} !?".format(*self.nvt(old)))
        self.regs[0x18] &= 0x7F
        self.outputs &= ~1
        return self.pulled(old)

    def nvt(self, w2):
        cam = int.from_bytes(w2[1:4], "big")
        return cam >> 19 & 0xF, cam & 0x7FFFF

    def push_os_ctx(self, value):
        w2 = value.to_bytes(4, "big")
        self.regs[0x18:0x1C] = w2
        if w2[0] & 0x80:
            found = self.nvt(w2)
            if found not in self.nvts:
                self.told.append("XIVE: invalid NVT {:x}/{:x}".format(*found))
            else:
                waiting = self.nvts[found] >> 8 & 0xFF
                self.nvts[found] &= 0xFFFF00FF
                self.pend(0x10, waiting)


def with_more_of_pool(maps):
    """Return the masks with bytes 5 and 6 of the POOL ring in the views of hypervisors."""
    return {
        view: masks[:0x25] + (b"\xff\xff" if view < 2 else masks[0x25:0x27]) + masks[0x27:]
        for view, masks in maps.items()
    }


class Oracle10(Oracle):
    """The same of QEMU 10.0."""

    ops, decoded = [*TIMA_OPS, TIMA_OP_OF_10], 0xC3F
    loadable, storable = with_more_of_pool(LOADABLE), with_more_of_pool(STORABLE)

    def tell_pool(self, event, tail):
        nsr, cppr, ipb, pipr = (f"{self.regs[at]:#04x}" for at in (0x30, 0x31, 0x22, 0x37))
        self.told.append(f"{event} target={self.number} ring=0x20 IBP={ipb} PIPR={pipr} CPPR={cppr} NSR={nsr}{tail}")

    def notify(self, ring):
        if self.regs[ring + 7] < self.regs[ring + 1]:
            self.regs[ring] = 0x80
            self.outputs |= 1 if ring == 0x10 else 2
            self.tell("xive_tctx_notify", ring, "CPPR", self.regs[ring + 1], " raise !")

    def set_cppr(self, ring, value):
        self.tell("xive_tctx_set_cppr", ring, "new CPPR", value, "")
        self.regs[ring + 1] = value if value < 8 else 0xFF
        self.most_favoured(ring)
        pool = next((priority for priority in range(8) if self.regs[0x22] & bit(priority)), 0xFF)
        if ring == 0x10 or self.regs[0x28] < 0x80 or pool >= self.regs[0x37]:
            self.notify(ring)
            return
        self.regs[0x37] = pool
        if pool < self.regs[0x31]:
            self.regs[0x30] = 0x40
            self.outputs |= 2
            self.tell_pool("xive_tctx_notify", " raise !")

    def accept(self, ring, mask, output):
        self.outputs &= ~output
        nsr, cppr = self.regs[ring], self.regs[ring + 7]
        if nsr:
            pool = ring == 0x30 and nsr & 0x40
            self.regs[ring + 1] = cppr
            if nsr % 64 == 0:
                self.regs[0x22 if pool else ring + 2] &= ~bit(cppr)
            self.regs[ring] = 0
            if pool:
                self.tell_pool("xive_tctx_accept", " ACK")
            else:
                self.tell("xive_tctx_accept", ring, "CPPR", cppr, " ACK")
        return nsr * 256 + self.regs[ring + 1]

    def pull_phys_ctx(self):
        self.regs[0x38] &= 0x7F
        self.outputs &= ~2
        return self.regs[0x38]
