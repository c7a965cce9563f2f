"""What is around the engines of `reference`: the address space, the hypercalls, devices and firmware, as QEMU 7.2 has
them with a little-endian host. Nothing of the package is imported."""

import copy

from tests.spapr.reference import ONES, Engines, fresh_end

ESB, END_ESB, TIMA = 0x6010000000000, 0x6010040000000, 0x6030203180000
REGION_SIZE, TIMA_SIZE, RAM_SIZE = 0x40000000, 0x40000, 0x10000000
LISNS = 0x2000
SIZES = (12, 16, 21, 24)
PARAMETER, FUNCTION, PRIVILEGE, HARDWARE, P2, P3, P4, P5 = -4, -2, -3, -1, -55, -56, -57, -58
REFUSED = "refused"


class Misuse(Exception):
    """No machine can do this; the caller is wrong."""


class Failed(Exception):
    """A hypercall's return code."""


def check(holds, code):
    if not holds:
        raise Failed(code)


class Reference(Engines):
    """A whole machine. Operations are its methods; `do` gives what they answer, or REFUSED."""

    def __init__(self, cpus, max_cpus, vsmt, claims=()):
        super().__init__(max_cpus, vsmt)
        self.negotiated, self.regions, self.fault = True, (True, False), False
        for cpu in range(cpus):
            self.plug(cpu)
        for lisn, is_lsi in claims:
            self.claim(lisn, is_lsi)

    def snapshot(self):
        return copy.deepcopy(vars(self))

    def restore(self, picture):
        vars(self).update(copy.deepcopy(picture))

    def do(self, name, *arguments):
        try:
            return getattr(self, name)(*arguments)
        except Misuse:
            return REFUSED

    # The address space

    def needs(self, cpu):
        if cpu not in self.order:
            raise Misuse

    def load(self, cpu, addr, size):
        self.needs(cpu)
        return self.load_any(cpu, addr, size)

    def load_any(self, cpu, addr, size):
        if addr + size <= RAM_SIZE:
            return int.from_bytes(bytes(self.ram.get(addr + at, 0) for at in range(size)), "big")
        over = addr % size
        if over:
            first, second = addr - over, (addr - over + size) & ONES
            pair = self.load_any(cpu, first, size) << 8 * size | self.load_any(cpu, second, size)
            return pair >> 8 * (size - over) & ((1 << 8 * size) - 1)
        return self.access(cpu, addr, size) & ((1 << 8 * size) - 1)

    def store(self, cpu, addr, size, value):
        self.needs(cpu)
        if addr + size <= RAM_SIZE:
            self.poke(addr, size, value)
        elif addr % size:
            for at, byte in enumerate(value.to_bytes(size, "big")):
                self.store(cpu, (addr + at) & ONES, 1, byte)
        else:
            self.access(cpu, addr, size, value)

    def access(self, cpu, addr, size, value=None):
        """An aligned access to what is not memory; a load has no value."""
        on, end_on = self.regions
        if on and ESB <= addr < ESB + REGION_SIZE and size == 8:
            return self.esb(addr - ESB, value is not None)
        if on and TIMA <= addr < TIMA + TIMA_SIZE:
            return self.tima(cpu, addr - TIMA, size, value)
        if end_on and END_ESB <= addr < END_ESB + REGION_SIZE and size == 8:
            return self.end_esb(addr - END_ESB) if value is None else None
        self.fault = True
        return 0

    def esb(self, at, store):
        lisn, manages, offset = at // 0x20000, at % 0x20000 >= 0x10000, at % 0x1000
        if not manages:
            return self.trigger(lisn) if store else ONES
        if offset < 0x400 or (offset < 0x800 and not store):
            return self.trigger(lisn) if store else self.end_interrupt(lisn)
        old = self.get_pq(lisn)
        if offset >= 0xC00:
            self.pq[lisn] = offset // 0x100 - 0xC
        elif offset >= 0x800 and store:
            self.route(lisn)
        return old

    def end_esb(self, at):
        end, which, offset = self.ends.get(at // 0x20000), "ese" if at & 0x10000 else "esn", at % 0x1000
        if not end or not end["valid"]:
            return ONES
        old = end[which]
        if offset < 0x800:
            end[which] = {0: 0, 1: 1, 2: 0, 3: 2}[old]
            return int(old == 3)
        if offset >= 0xC00:
            end[which] = offset // 0x100 - 0xC
        return old

    # Devices, firmware, the machine

    def irq(self, cpu):
        self.needs(cpu)
        return self.lines[cpu] & 1

    def set_irq(self, lisn, level):
        if not self.eas.get(lisn, {}).get("valid"):
            raise Misuse
        if lisn not in self.lsi:
            if level:
                self.trigger(lisn)
        elif not level:
            self.high.discard(lisn)
        else:
            self.high.add(lisn)
            if self.get_pq(lisn) == 0:
                self.trigger(lisn)

    def pulse(self, lisn):
        self.set_irq(lisn, 1)
        self.set_irq(lisn, 0)

    def claim(self, lisn, is_lsi):
        eas = self.eas.setdefault(lisn, {"valid": 0, "masked": 0, "end": 0, "data": 0})
        if eas["valid"]:
            raise Misuse
        eas["valid"] = eas["masked"] = 1
        if is_lsi:
            self.lsi.add(lisn)

    def free(self, lisn):
        self.eas.get(lisn, {})["valid"] = 0

    def plug(self, cpu):
        if cpu in self.order or not 0 <= cpu < self.max_cpus:
            raise Misuse
        self.order.append(cpu)
        self.reset_context(cpu)

    def unplug(self, cpu):
        if cpu not in self.order or len(self.order) == 1:
            raise Misuse
        self.order.remove(cpu)
        self.reset_context(cpu)

    def negotiate(self, yes):
        self.negotiated = bool(yes)

    def set_regions(self, esb_and_tima, end_esb):
        self.regions = bool(esb_and_tima), bool(end_esb)

    def reset(self):
        self.eas = {lisn: self.initial() for lisn, eas in self.eas.items() if eas["valid"]}
        self.pq, self.ends, self.negotiated = {}, {}, False
        self.high = set()
        for cpu in self.order:
            self.reset_context(cpu)

    @staticmethod
    def initial():
        return {"valid": 1, "masked": 1, "end": 0, "data": 0}

    # Hypercalls

    def user_hcall(self, cpu, opcode, *registers):
        self.needs(cpu)
        return (PRIVILEGE,)

    def hcall(self, cpu, opcode, *registers):
        self.needs(cpu)
        serve = CALLS.get(opcode)
        if serve is None or not self.negotiated:
            return (FUNCTION,)
        try:
            return (0, *serve(self, cpu, *registers[:5], *(0,) * (5 - len(registers))))
        except Failed as failed:
            return failed.args

    def has(self, lisn):
        return bool(self.eas.get(lisn, {}).get("valid"))

    def target(self, number, code):
        check(self.cpu_with(number % (1 << 32)) is not None, code)
        return number % (1 << 32)

    def source_info(self, cpu, flags, lisn, *_):
        check(flags == 0, PARAMETER)
        check(self.has(lisn), P2)
        if lisn in self.lsi:
            return 12, ONES, ONES, 16
        return 0, ESB + lisn * 0x20000 + 0x10000, ESB + lisn * 0x20000, 16

    def set_source(self, cpu, flags, lisn, target, prio, eisn):
        check(flags < 4, PARAMETER)
        check(self.has(lisn), P2)
        eas = self.eas[lisn]
        if prio == 0xFF:
            eas.update(self.initial())
            return ()
        check(prio % 256 < 7, P4)
        eas["end"] = 8 * self.target(target, P3) + prio % 256
        eas["masked"] = flags & 1
        if flags & 2:
            eas["data"] = eisn % (1 << 31)
        return ()

    def get_source(self, cpu, flags, lisn, *_):
        check(flags == 0, PARAMETER)
        check(self.has(lisn), P2)
        eas = self.eas[lisn]
        end = self.ends.get(eas["end"], {"nvt": -0x400, "prio": 0})
        return end["nvt"] % (1 << 32), 0xFF if eas["masked"] else end["prio"], eas["data"]

    def queue(self, flags, allowed, target, prio):
        check(flags <= allowed, PARAMETER)
        check(prio % 256 < 7, P3)
        return 8 * self.target(target, P2) + prio % 256

    def queue_info(self, cpu, flags, target, prio, *_):
        index = self.queue(flags, 0, target, prio)
        return END_ESB + index * 0x20000, self.ends.get(index, {"size": 0})["size"]

    def set_queue(self, cpu, flags, target, prio, addr, size):
        index = self.queue(flags, 1, target, prio)
        if size == 0:
            self.ends.pop(index, None)
            return ()
        check(size in SIZES, P5)
        check(addr % (1 << size) == 0 and addr + (1 << size) <= RAM_SIZE, P4)
        at = {"addr": addr, "size": size, "always": flags, "nvt": index // 8, "prio": index % 8}
        self.ends[index] = fresh_end() | at | {"valid": 1, "gen": 1, "esn": 0, "ese": 0}
        return ()

    def get_queue(self, cpu, flags, target, prio, *_):
        end = self.ends.get(self.queue(flags, 1, target, prio), fresh_end())
        generation, index = (end["gen"] << 62, end["off"]) if flags else (0, 0)
        return end["always"] | generation, end["addr"], end["size"], index

    def no_line(self, cpu, *_):
        raise Failed(FUNCTION)

    def esb_call(self, cpu, flags, lisn, offset, *_):
        check(flags < 2, PARAMETER)
        check(self.has(lisn), P2)
        check(offset <= 0x20000, P3)
        check(offset % 8 == 0, HARDWARE)
        self.fault = False
        value = self.access(cpu, ESB + lisn * 0x20000 + 0x10000 + offset, 8, 0 if flags else None)
        check(not self.fault, HARDWARE)
        return (ONES if flags else int.from_bytes(value.to_bytes(8, "big"), "little"),)

    def sync(self, cpu, flags, lisn, *_):
        check(flags == 0, PARAMETER)
        check(self.has(lisn), P2)
        return ()

    def no_reset(self, cpu, flags, *_):
        check(flags == 0, PARAMETER)
        return ()


CALLS = {
    0x3A8: Reference.source_info,
    0x3AC: Reference.set_source,
    0x3B0: Reference.get_source,
    0x3B4: Reference.queue_info,
    0x3B8: Reference.set_queue,
    0x3BC: Reference.get_queue,
    0x3C0: Reference.no_line,
    0x3C4: Reference.no_line,
    0x3C8: Reference.esb_call,
    0x3CC: Reference.sync,
    0x3D0: Reference.no_reset,
}
