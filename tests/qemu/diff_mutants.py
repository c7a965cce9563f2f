"""Models that are wrong on purpose, each by one rule: what `outboard xive diff` is itself checked with.

python -m tests.qemu.diff_mutants NAME [--seed S] [--n COUNT]     0: found, its difference is printed; 1: not found
python -m tests.qemu.diff_mutants all                             all of them, one after the other

A mutant is the model with some text of its sources replaced, in the plain form.
"""

import argparse
import subprocess
import sys
from typing import NamedTuple

from tests.conformance.mutants import Edit, insist

WITHIN = 100_000
"""Steps within which each has to be found."""
CPUS, VSMT = 2, 4


class Mutant(NamedTuple):
    """One wrong rule. mode: the `ic-mode` in which it shows."""

    name: str
    rule: str
    mode: str
    edits: tuple[Edit, ...]


MUTANTS: dict[str, Mutant] = {}
SOURCE, ROUTER, PRESENTER, TIMA = "xive.source", "xive.router", "xive.presenter", "xive.tima"
HCALLS, XIVE, IRQ, RTAS = "spapr.hcalls", "spapr.xive", "spapr.irq", "spapr.rtas"
ICP, ICS = "xics.icp", "xics.ics"
RECOMPUTE = "            self._recompute(thread, ring)\n        else:\n"


def _mutant(mode: str, name: str, rule: str, *edits: tuple[str, str, str]) -> None:
    assert name not in MUTANTS, name
    MUTANTS[name] = Mutant(name, rule, mode, tuple(Edit(*edit) for edit in edits))


# XIVE: sources

_mutant(
    "xive",
    "trigger_turns_on",
    "A trigger turns a source on that is off.",
    (SOURCE, "_TRIGGER = sum(TRIGGER[pq] << 2 * pq for pq in PQ)", "_TRIGGER = 0xF8"),
)
_mutant(
    "xive",
    "eoi_forgets_queued",
    "An EOI does not send what was queued.",
    (SOURCE, "        return old == _QUEUED\n", "        return False\n"),
)
_mutant(
    "xive",
    "eoi_returns_0",
    "An EOI load returns 0.",
    (SOURCE, "                value = 1\n", "                value = 0\n"),
)
_mutant(
    "xive",
    "lsi_eoi_looks_at_no_level",
    "An EOI of an LSI whose input is high sends nothing.",
    (SOURCE, "if self.status[srcno] & _ASSERTED and self.is_lsi(srcno):", "if False:"),
)
_mutant(
    "xive",
    "level_is_queued",
    "An LSI's input that rises while its interrupt is handled sets Q.",
    (SOURCE, "                if self._present_level(srcno):\n", "                if self.trigger(srcno):\n"),
)
_mutant(
    "xive",
    "set_pq_lowers_the_input",
    "Setting PQ forgets that an input is high.",
    (SOURCE, "(old & ~_PQ & 0xFF) | (pq & _PQ)", "pq & _PQ"),
)
_mutant(
    "xive",
    "inject_looks_at_pq",
    "The inject store sends an event only from PQ 00.",
    (
        SOURCE,
        "        elif offset < _STORE_SET:\n            self.forward(srcno)\n",
        "        elif offset < _STORE_SET:\n            if self.trigger(srcno):\n                self.forward(srcno)\n",
    ),
)
_mutant(
    "xive",
    "store_eoi_works",
    "EOI by store works although the sources do not have it.",
    (SOURCE, "if not self.flags & _HAS_STORE_EOI:", "if False:"),
)

# XIVE: routing

_mutant(
    "xive",
    "generation_stays",
    "The generation does not change where a queue wraps.",
    (ROUTER, "                end.w1 ^= _GENERATION\n", "                pass\n"),
)
_mutant(
    "xive",
    "queues_have_one_size",
    "Every queue wraps after 64 KiB.",
    (ROUTER, "(index + 1) & (end.eq_entries() - 1)", "(index + 1) & 0x3FFF"),
)
_mutant("xive", "mask_is_ignored", "A masked source is routed.", (ROUTER, "elif not eas & _EAS_MASKED:", "else:"))
_mutant(
    "xive",
    "esn_is_ignored",
    "An END without unconditional notification notifies every time.",
    (ROUTER, "if not end.w0 & _UCOND and not self._coalesce", "if False and not self._coalesce"),
)

# XIVE: presentation

_mutant(
    "xive",
    "equal_interrupts",
    "A priority as favoured as CPPR interrupts.",
    (
        PRESENTER,
        "self.rings[at + _PIPR] < self.rings[at + _CPPR] and",
        "self.rings[at + _PIPR] <= self.rings[at + _CPPR] and",
    ),
)
_mutant(
    "xive",
    "accept_leaves_the_line",
    "An acknowledge does not lower the input.",
    (PRESENTER, "        self.lower(thread, ring)\n        nsr", "        nsr"),
)
_mutant(
    "xive",
    "accept_leaves_ipb",
    "An acknowledge leaves the priority pending.",
    (PRESENTER, "            else:\n                self.rings[at + _IPB] &= ~self._bits[cppr]\n", ""),
)
_mutant(
    "xive",
    "accept_returns_new_nsr",
    "An acknowledge returns NSR as it is afterwards.",
    (PRESENTER, "return nsr << 8 |", "return self.rings[at + _NSR] << 8 |"),
)
_mutant(
    "xive",
    "cppr_as_it_comes",
    "A CPPR above 7 is stored as it is.",
    (PRESENTER, "0xFF if cppr > _PRIORITY_MAX else cppr", "cppr"),
)
_mutant(
    "xive",
    "cppr_does_not_notify",
    "A less favoured CPPR does not present what is pending.",
    (PRESENTER, RECOMPUTE + "            self.notify(thread, ring)\n", RECOMPUTE + "            pass\n"),
)
_mutant(
    "xive",
    "cppr_withdraws",
    "A more favoured CPPR takes an exception back.",
    (
        PRESENTER,
        RECOMPUTE,
        RECOMPUTE + "            if self.rings[at + _PIPR] >= self.rings[at + _CPPR]:\n"
        "                self.lower(thread, ring)\n",
    ),
)
_mutant(
    "xive",
    "raw_stores_anywhere",
    "A raw store to the TIMA writes what can only be read.",
    (TIMA, 'self._writable = _access_map("w",', 'self._writable = _access_map("rw",'),
)
_mutant(
    "xive",
    "pull_in_guest_order",
    "A pull returns its word in the guest's byte order.",
    (TIMA, "return words.swap(w2, 4) if self.swaps else w2", "return w2"),
)

# XIVE: hypercalls

_mutant(
    "xive",
    "target_before_priority",
    "H_INT_SET_SOURCE_CONFIG looks at the target before the priority.",
    (
        HCALLS,
        "    if (priority := _priority(xive, priority)) < 0:\n        return (H.P4,)\n"
        "    if (target := _target(xive, target)) < 0:\n        return (H.P3,)\n    eas",
        "    if (target := _target(xive, target)) < 0:\n        return (H.P3,)\n"
        "    if (priority := _priority(xive, priority)) < 0:\n        return (H.P4,)\n    eas",
    ),
)
_mutant(
    "xive", "target_of_64_bits", "A target has 64 bits.", (HCALLS, "        target &= 0xFFFFFFFF\n", "        pass\n")
)
_mutant(
    "xive",
    "priority_of_64_bits",
    "A priority has 64 bits.",
    (HCALLS, "priority & 0xFF if xive.flavour.cuts_arguments else priority", "priority"),
)
_mutant(
    "xive",
    "esb_offset_below_the_pages",
    "H_INT_ESB refuses the offset 0x20000.",
    (HCALLS, "offset > 1 << xive.source.shift", "offset >= 1 << xive.source.shift"),
)
_mutant(
    "xive",
    "eisn_always_set",
    "H_INT_SET_SOURCE_CONFIG stores the EISN without its flag.",
    (HCALLS, "    if flags & SetSourceConfig.SET_EISN:\n", "    if True:\n"),
)
_mutant(
    "xive",
    "queue_goes_on",
    "A queue that is configured anew goes on at its index.",
    (HCALLS, "END(kept | w0, w1, w2", "END(kept | w0, w1 | old.words[1] & 0x3FFFFF, w2"),
)
_mutant(
    "xive",
    "config_from_source",
    "H_INT_GET_SOURCE_CONFIG returns what was set, not what the queue says.",
    (HCALLS, "if xive.flavour.config_from_queue:", "if False:"),
)
_mutant(
    "xive",
    "esb_in_guest_order",
    "H_INT_ESB returns its value in the guest's byte order.",
    (HCALLS, "return H.SUCCESS, words.swap(value, 8) if xive.swaps else value", "return H.SUCCESS, value"),
)

# The machine

_mutant(
    "xive",
    "reset_leaves_contexts",
    "A reset leaves the thread contexts.",
    (
        XIVE,
        "        for index in self.order:\n            self._reset_context(index)\n        self.neg",
        "        self.neg",
    ),
)
_mutant(
    "dual",
    "pages_stay",
    "XIVE's pages stay when XICS is chosen.",
    (
        IRQ,
        "set_regions(esb_and_tima=active is IcMode.XIVE, end_esb=False)",
        "set_regions(esb_and_tima=True, end_esb=False)",
    ),
)
_mutant(
    "dual",
    "end_pages_stay",
    "The pages of the ENDs stay when XIVE is chosen.",
    (IRQ, "esb_and_tima=active is IcMode.XIVE, end_esb=False", "esb_and_tima=active is IcMode.XIVE, end_esb=True"),
)
_mutant(
    "dual",
    "both_hear_devices",
    "A device's line reaches both controllers.",
    (
        IRQ,
        "        self._now().set_irq(lisn, level)\n",
        "        for controller in self._controllers():\n            controller.set_irq(lisn, level)\n",
    ),
)
_mutant(
    "xive",
    "free_forgets_the_route",
    "A number that is freed and claimed again has lost its route.",
    (XIVE, "self.router.read_eas(number) & ~EAS.valid.mask", "0"),
)
_mutant(
    "dual",
    "refused_accept_does_nothing",
    "H_XIRR is refused before it has accepted, where XIVE is chosen.",
    ("spapr.xics_hcalls", 'ACCEPTS_FIRST = {"H_XIRR", "H_XIRR_X"}', "ACCEPTS_FIRST: set[str] = set()"),
)

# XICS

_mutant(
    "xics",
    "mfrr_withdraws",
    "A less favoured MFRR takes the IPI back.",
    (
        ICP,
        "            self.check_ipi(cpu)\n\n    # What it is shown",
        "            self.check_ipi(cpu)\n        elif self.xirr[cpu] & _XISR == IPI:\n"
        "            self._withdraw(cpu)\n\n    # What it is shown",
    ),
)
_mutant(
    "xics",
    "accept_keeps_cppr",
    "An accept with nothing presented leaves CPPR.",
    (
        ICP,
        "        self.xirr[cpu] = self.pending[cpu] << _CPPR_SHIFT\n        self.pending",
        "        self.xirr[cpu] = self.pending[cpu] << _CPPR_SHIFT if xirr & _XISR else xirr & _CPPR\n"
        "        self.pending",
    ),
)
_mutant(
    "xics",
    "masked_msi_is_lost",
    "An MSI of a masked source is lost.",
    (ICS, "            self.status[srcno] |= _MASKED_PENDING\n", ""),
)
_mutant(
    "xics",
    "eoi_leaves_sent",
    "An EOI does not let an LSI send again.",
    (ICS, "            self.status[number - self.first] &= ~_SENT\n", "            pass\n"),
)
_mutant(
    "xics",
    "equal_is_presented",
    "A priority as favoured as CPPR is presented.",
    (ICP, "priority < xirr >> _CPPR_SHIFT and", "priority <= xirr >> _CPPR_SHIFT and"),
)
_mutant(
    "xics",
    "cppr_rejects_nothing",
    "A more favoured CPPR leaves what is presented.",
    (ICP, "elif xisr and cppr <= self.pending[cpu]:", "elif False:"),
)
_mutant(
    "xics",
    "int_off_saves_nothing",
    "ibm,int-off does not save the priority.",
    (RTAS, "MASKED, saved=ics.priority[srcno])", "MASKED, saved=ics.saved[srcno])"),
)
_mutant(
    "xics",
    "rejected_waits_for_unmask",
    "An MSI that was rejected and then masked is kept.",
    (
        ICS,
        "            self.status[srcno] &= ~_REJECTED\n            if self.priority[srcno] != MASKED:\n",
        "            if self.priority[srcno] != MASKED:\n                self.status[srcno] &= ~_REJECTED\n",
    ),
)


def hunt(mutant: Mutant, seed: int, count: int) -> int:
    """Run a campaign on a mutant; return the exit status."""
    insist(mutant.edits)
    from outboard.qemu.diff import Campaign, Plan
    from outboard.qemu.find import find_qemu

    plan = Plan(CPUS, mutant.mode, VSMT, seed, count)
    with plan.pair(find_qemu("ppc64", (7, 2), (8,))) as pair:
        done, found, *_ = Campaign(pair, plan).run()
    if found is None:
        print(f"{mutant.name}: not found in {done} steps: {mutant.rule}")
        return 1
    print(f"{mutant.name}: found after {done} steps ({found.about}): {mutant.rule}")
    return 0


def main() -> int:
    """Run one mutant, or all; return the exit status."""
    parser = argparse.ArgumentParser(prog="diff_mutants")
    parser.add_argument("name", choices=["all", *MUTANTS], metavar="NAME")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=WITHIN)
    options = parser.parse_args()
    if options.name != "all":
        return hunt(MUTANTS[options.name], options.seed, options.n)
    words = [sys.executable, "-m", "tests.qemu.diff_mutants"]
    more = ["--seed", str(options.seed), "--n", str(options.n)]
    missed = [name for name in MUTANTS if subprocess.run([*words, name, *more]).returncode]
    print(f"{len(MUTANTS) - len(missed)} of {len(MUTANTS)} found" + (f"; not: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
