"""The pseries machine's interrupt controller a second time: small, slow, in dictionaries of numbers. The tests' oracle.

Written from the documents and from what QEMU 7.2 answers; nothing of the package is imported, so that the two have no
mistake in common. Here are the engines; `reference_machine` has what is around them.
"""

ONES = (1 << 64) - 1
OS, POOL, PHYS = 0x10, 0x20, 0x30
NSR, CPPR, IPB, PIPR, W2 = 0, 1, 2, 7, 8

AT_TRIGGER = {0: 2, 2: 3, 3: 3, 1: 1}
AT_EOI = {0: 0, 2: 0, 3: 2, 1: 1}

# (least privileged page, offset, sizes, is a store): name
SPECIAL = {
    (2, 0x011, (1,), True): "cppr_os",
    (1, 0x018, (4,), True): "push",
    (1, 0x031, (1,), True): "cppr_phys",
    (1, 0x038, (1,), True): "vt_push",
    (1, 0x038, (1,), False): "vt_poll",
    (2, 0x810, (2,), False): "accept_os",
    (2, 0x812, (1,), True): "pending",
    (1, 0x818, (4, 8), False): "pull",
    (1, 0x830, (2,), False): "accept_phys",
    (1, 0x828, (4, 8), False): "pull_pool",
}
# Bytes that a raw load sees, and that a raw store changes, by page and ring
READ = {
    (0, OS): "ffffffffffff00ff ffffffff00000000",
    (1, OS): "ffffffffffff00ff ffffffff00000000",
    (2, OS): "ffffffffffff00ff 0000000000000000",
    (0, POOL): "0000ffff00000000 ffffffff00000000",
    (1, POOL): "0000ffff00000000 00ffffff00000000",
    (0, PHYS): "ffffffff00ff00ff ff0000ffffffff00",
    (1, PHYS): "ffffffff00ff00ff ff0000ff00000000",
}
WRITE = {
    (0, OS): "ffffffffffff0000 ffffffff00000000",
    (1, OS): "ffffffffffff0000 ffffffff00000000",
    (2, OS): "00ff000000000000 0000000000000000",
    (0, POOL): "0000ffff00000000 ffffffff00000000",
    (1, POOL): "0000ffff00000000 00ffffff00000000",
    (0, PHYS): "ffffffff00ff0000 ff0000ffffffff00",
    (1, PHYS): "ffffffff00ff0000 ff0000ff00000000",
}


def fresh_end():
    return dict.fromkeys(["valid", "always", "size", "addr", "nvt", "prio", "off", "gen"], 0) | {"esn": 1, "ese": 1}


def most_favoured(ipb):
    return min((prio for prio in range(8) if ipb & 0x80 >> prio), default=0xFF)


class Engines:
    """State of the three engines. What is not in a dictionary is as it was at the start."""

    def __init__(self, max_cpus, vsmt):
        self.max_cpus, self.vsmt, self.servers = max_cpus, vsmt, max_cpus * vsmt
        self.pq, self.high, self.lsi, self.eas, self.ends = {}, set(), set(), {}, {}
        self.regs, self.lines, self.order, self.ram = {}, {}, [], {}
        for cpu in range(max_cpus):
            self.reset_context(cpu)

    # Sources, routing, presentation

    def get_pq(self, lisn):
        return self.pq.get(lisn, 1)

    def trigger(self, lisn):
        old = self.get_pq(lisn)
        self.pq[lisn] = AT_TRIGGER[old]
        if old == 0:
            self.route(lisn)

    def end_interrupt(self, lisn):
        old = self.get_pq(lisn)
        self.pq[lisn] = AT_EOI[old]
        again = old == 3
        if lisn in self.high:
            again = self.pq[lisn] == 0
            self.pq[lisn] = {0: 2}.get(self.pq[lisn], self.pq[lisn])
        if again:
            self.route(lisn)
        return int(again)

    def route(self, lisn):
        eas = self.eas.get(lisn)
        if not eas or not eas["valid"] or eas["masked"]:
            return
        end = self.ends.get(eas["end"])
        if not end or not end["valid"]:
            return
        word = end["gen"] << 31 | eas["data"]
        self.poke(end["addr"] + 4 * end["off"], 4, word)
        end["off"] += 1
        if end["off"] << 2 == 1 << end["size"]:
            end["off"], end["gen"] = 0, 1 - end["gen"]
        notifies = end["always"] or end["esn"] == 0
        if not end["always"]:
            end["esn"] = AT_TRIGGER[end["esn"]]
        if notifies and self.cpu_with(end["nvt"]) is not None:
            self.present(0x400 + end["nvt"], end["prio"])

    def poke(self, addr, size, value):
        for at in range(size):
            self.ram[addr + at] = value >> 8 * (size - 1 - at) & 0xFF

    def cpu_with(self, target):
        return next((cpu for cpu in self.order if cpu * self.vsmt == target), None)

    def present(self, cam, prio):
        """Find the one context with this CAM line; a thread's line of its own never is one, it is below 0x400."""
        found = []
        for cpu in self.order:
            for ring in (POOL, OS):
                word = self.word2(cpu, ring)
                if word >> 31 and word & 0xFFFFFF == cam:
                    found.append((cpu, ring))
                    break
        if len(found) == 1:
            self.add_pending(*found[0], 0x80 >> prio)

    # Registers

    def reg(self, cpu, at):
        return self.regs.get((cpu, at), 0)

    def word2(self, cpu, ring):
        return int.from_bytes(bytes(self.reg(cpu, ring + W2 + at) for at in range(4)), "big")

    def set_word2(self, cpu, ring, word):
        for at in range(4):
            self.regs[cpu, ring + W2 + at] = word >> 8 * (3 - at) & 0xFF

    def reset_context(self, cpu):
        for at in range(64):
            self.regs[cpu, at] = 0xFF if at in (0x13, 0x14, 0x16, 0x17, 0x37) else 0
        self.set_word2(cpu, OS, 0x80000400 + cpu * self.vsmt)
        self.lines[cpu] = 0

    def add_pending(self, cpu, ring, bits):
        self.regs[cpu, ring + IPB] = self.reg(cpu, ring + IPB) | bits
        self.regs[cpu, ring + PIPR] = most_favoured(self.reg(cpu, ring + IPB))
        self.notify(cpu, ring)

    def notify(self, cpu, ring):
        if ring != POOL and self.reg(cpu, ring + PIPR) < self.reg(cpu, ring + CPPR):
            self.regs[cpu, ring + NSR] = self.reg(cpu, ring + NSR) | 0x80
            self.lines[cpu] |= 1 if ring == OS else 2

    def accept(self, cpu, ring):
        self.lines[cpu] &= 2 if ring == OS else 1
        nsr, mask = self.reg(cpu, ring), 0x80 if ring == OS else 0xC0
        if nsr & mask:
            prio = self.reg(cpu, ring + PIPR)
            self.regs[cpu, ring + CPPR] = prio
            if prio < 8:
                self.regs[cpu, ring + IPB] &= ~(0x80 >> prio)
            self.regs[cpu, ring + PIPR] = most_favoured(self.reg(cpu, ring + IPB))
            self.regs[cpu, ring + NSR] = nsr & ~mask
        return nsr << 8 | self.reg(cpu, ring + CPPR)

    def tima(self, cpu, at, size, value=None):
        """An access that is aligned; a load has no value."""
        page, offset = at >> 16 & 3, at & 0xFFF
        for (least, where, sizes, stores), name in SPECIAL.items():
            if page <= least and where == offset and size in sizes and stores == (value is not None):
                return getattr(self, "do_" + name)(cpu, value)
        ring, first = at & 0x30, at & 15
        mask = (READ if value is None else WRITE).get((page, ring), "00" * 16)
        allowed = bytes.fromhex(mask)[first : first + size]
        if offset & 0x800 or size < 4 or not any(allowed):
            return ONES
        if value is None:
            return int.from_bytes(bytes(self.reg(cpu, ring + first + n) & allowed[n] for n in range(size)), "big")
        for n, byte in enumerate(value.to_bytes(size, "big")):
            if allowed[n]:
                self.regs[cpu, ring + first + n] = byte
        return None

    def do_cppr_os(self, cpu, value, ring=OS):
        self.regs[cpu, ring + CPPR] = value if value < 8 else 0xFF
        self.notify(cpu, ring)

    def do_cppr_phys(self, cpu, value):
        self.do_cppr_os(cpu, value, PHYS)

    def do_push(self, cpu, value):
        self.set_word2(cpu, OS, value)
        if value >> 31 and self.cpu_with((value & 0x7FFFF) - 0x400) is not None:
            self.add_pending(cpu, OS, 0)

    def do_vt_push(self, cpu, value):
        self.regs[cpu, PHYS + W2] = value

    def do_vt_poll(self, cpu, _):
        return self.reg(cpu, PHYS + W2)

    def do_accept_os(self, cpu, _):
        return self.accept(cpu, OS)

    def do_accept_phys(self, cpu, _):
        return self.accept(cpu, PHYS)

    def do_pending(self, cpu, value):
        self.add_pending(cpu, OS, 0x80 >> value if value < 8 else 0)

    def do_pull(self, cpu, _):
        word = self.word2(cpu, OS)
        self.set_word2(cpu, OS, word & 0x7FFFFFFF)
        self.lines[cpu] &= 2
        return int.from_bytes(word.to_bytes(4, "big"), "little")

    def do_pull_pool(self, cpu, _):
        word = self.word2(cpu, POOL) & 0x7FFFFFFF
        self.set_word2(cpu, POOL, word)
        return int.from_bytes(word.to_bytes(4, "big"), "little")
