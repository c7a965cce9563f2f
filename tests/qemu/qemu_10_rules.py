"""Where QEMU 10.0's XIVE is another one than QEMU 7.2's, as edits of the model, which is 7.2's: each rule is proven by
a campaign on the real one that finds nothing with all of them, and finds something without it.

python -m tests.qemu.qemu_10_rules [--without RULE] [--cpus N] [--mode MODE] [--seed S] [--n COUNT]
0: no difference; 1: a difference, which is printed

Two more are not in the model's answers and are left out of the comparison: a load or store where nothing is gets a
machine check (7.2: a load is 0), and `info pic` ends with a line a CPU about information that is not available.
"""

import argparse
import sys

from tests.conformance.mutants import Edit, insist

PRESENTER, BUS, TIMA, SPEC = "xive.presenter", "spapr.bus", "xive.tima", "spec.xive"
PIPR = "            self.rings[at + _PIPR] = self._piprs[self.rings[at + _IPB]]\n"
PIECE = "            bits = left | addr | 8\n            piece = bits & -bits\n"

RULES: dict[str, tuple[Edit, ...]] = {
    # PIPR is computed anew when CPPR is set, no longer at an acknowledge; that of PHYS from POOL's IPB, too.
    "pipr_follows_cppr": (
        Edit(
            PRESENTER,
            PIPR + "            self.rings[at + _NSR] = ",
            "            self.rings[at + _NSR] = ",
        ),
        Edit(
            PRESENTER,
            "else cppr\n        self.notify(thread, ring)\n",
            "else cppr\n        best = self._piprs[self.rings[at + _IPB]]\n"
            "        if ring == _PHYS and self.rings[at - 0x10 + _W2] & 0x80:\n"
            "            pool = self._piprs[self.rings[at - 0x10 + _IPB]]\n            if pool < best:\n"
            "                best, ring = pool, int(_POOL)\n        self.rings[at + _PIPR] = best\n"
            "        self.notify(thread, ring)\n",
        ),
    ),
    # A notification sets NSR as a whole, an acknowledge clears it as a whole, whatever bits a guest stored there.
    "nsr_as_a_whole": (
        Edit(PRESENTER, "_NSR] |= _NOTIFIES_OS\n", "_NSR] = _NOTIFIES_OS\n"),
        Edit(PRESENTER, "_NSR] |= _NOTIFIES_PHYS\n", "_NSR] = _NOTIFIES_PHYS\n"),
        Edit(PRESENTER, "self.rings[at + _NSR] = nsr & ~taken\n", "self.rings[at + _NSR] = 0\n"),
    ),
    # An acknowledge takes whatever NSR is not 0; with a group level in it (its low six bits), IPB stays.
    "group_level_in_nsr": (
        Edit(PRESENTER, "        if nsr & taken:\n", "        if nsr:\n"),
        Edit(
            PRESENTER,
            "            self.rings[at + _IPB] &= ~self._bits[cppr]\n",
            "            if not nsr & 0x3F:\n                self.rings[at + _IPB] &= ~self._bits[cppr]\n",
        ),
    ),
    # What is pending in POOL is presented in PHYS: its NSR (0x40), CPPR and PIPR.
    "pool_is_presented": (
        Edit(
            PRESENTER,
            "_IPB] |= bits\n        self.rings[at + _PIPR] = ",
            "_IPB] |= bits\n        self.rings[at + _PIPR + (0x10 if ring == _POOL else 0)] = ",
        ),
        Edit(
            PRESENTER,
            "        if self.rings[at + _PIPR] < self.rings[at + _CPPR] and ring & 0x10:",
            "        at += 0x10 if ring == _POOL else 0\n"
            "        if self.rings[at + _PIPR] < self.rings[at + _CPPR] and ring:",
        ),
        Edit(
            PRESENTER,
            "            if ring == _OS:\n",
            "            if ring == _POOL:\n                self.rings[at + _NSR] = 0x40\n"
            "                self.lines[thread] |= _HYPERVISOR\n            elif ring == _OS:\n",
        ),
        Edit(
            PRESENTER,
            "self.rings[at + _IPB] &= ~self._bits[cppr]\n",
            "self.rings[(at - 0x10 if ring == _PHYS and nsr & 0x40 else at) + _IPB] &= ~self._bits[cppr]\n",
        ),
    ),
    # ESB pages take 1, 2 and 4 bytes too.
    "esb_of_any_size": (
        Edit(
            BUS,
            "            if size != _ESB_ACCESS:\n"
            '                return self._refuse_size("read", addr - _ESB_BASE, size, _ESB_NAME)\n'
            "            value = self.source",
            "            value = self.source",
        ),
        Edit(BUS, "            if size == _ESB_ACCESS:\n", "            if True:\n"),
    ),
    # What a CPU loads or stores unaligned goes in pieces that lie aligned (since 8.1).
    "unaligned_in_pieces": (
        Edit(
            BUS,
            "        bits = 8 * (addr & (size - 1))\n        low = addr & ~(size - 1)\n"
            "        first = self.load(cpu, low, size)\n"
            "        second = self.load(cpu, (low + size) & _ALL_ONES, size)\n"
            "        return (first & (_ALL_ONES >> (64 - 8 * size + bits))) << bits | second >> (8 * size - bits)\n",
            f"        value, left = 0, size\n        while left:\n{PIECE}"
            "            value = value << 8 * piece | self.load(cpu, addr & _ALL_ONES, piece)\n"
            "            addr, left = addr + piece, left - piece\n        return value\n",
        ),
        Edit(
            BUS,
            "        for at in range(size):\n"
            "            self.store(cpu, (addr + at) & _ALL_ONES, 1, value >> 8 * (size - 1 - at) & 0xFF)\n",
            f"        left = size\n        while left:\n{PIECE}            left -= piece\n"
            "            self.store(cpu, addr & _ALL_ONES, piece, value >> 8 * left & ((1 << 8 * piece) - 1))\n"
            "            addr += piece\n",
        ),
    ),
    # The TIMA's special operations are there every 64 bytes.
    "tima_repeats": (Edit(TIMA, "_SPECIAL, _SIZE = TIMA_OFFSET_MASK,", "_SPECIAL, _SIZE = 0xC3F,"),),
    # A load of one byte at 0x838 of the HV page pulls the physical context; its valid bit is clear in the answer.
    "pulls_phys": (
        Edit(
            TIMA,
            "        op = self._loads[(offset >> 16 & 3) << 16 | (offset & _OFFSET_MASK) << 4 | size]\n        if op:",
            "        op = self._loads[(offset >> 16 & 3) << 16 | (offset & _OFFSET_MASK) << 4 | size]\n"
            "        if size == 1 and offset & _OFFSET_MASK == 0x838 and offset & 0x30000 < 0x20000:\n"
            "            at = thread * _SIZE + _PHYS + _W2\n            self.rings[at] &= 0x7F\n"
            "            value = self.rings[at]\n            self.presenter.reindex(thread)\n"
            "            self.presenter.lower(thread, _PHYS)\n        elif op:",
        ),
    ),
    # Bytes 5 and 6 of the POOL ring can be read and written.
    "pool_has_inc_and_age": (
        Edit(SPEC, '"--ww----wwww----"', '"--ww-ww-wwww----"'),
        Edit(SPEC, '"--ww-----www----"', '"--ww-ww--www----"'),
    ),
}


def main() -> int:
    """Run a campaign; return the exit status."""
    parser = argparse.ArgumentParser(prog="qemu_10_rules")
    parser.add_argument("--without", choices=RULES)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--mode", default="xive")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=20_000)
    options = parser.parse_args()
    insist([edit for name, edits in RULES.items() if name != options.without for edit in edits])
    from outboard.qemu.diff import Campaign, Plan
    from outboard.qemu.find import find_qemu

    plan = Plan(options.cpus, options.mode, 1, options.seed, options.n)
    with plan.pair(find_qemu("ppc64", (10,), (10, 1))) as pair:
        done, found, *_ = Campaign(pair, plan).run()
    print(f"{done} steps: {found or 'no difference'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
