"""CPUs that give their processor away: H_CEDE, H_CONFER, H_PROD.

Source: LoPAPR, "H_CEDE", "H_CONFER", "H_PROD"; answers as QEMU 7.2 gives them. A CPU that ceded, or conferred to
itself, does nothing until its external interrupt is raised or another CPU prods it. A prod is kept for the next cede,
also one that has woken its CPU. H_CONFER to all leaves R3 as it is.

Modelled: who waits. Not modelled: H_JOIN, virtual processor areas, so that a confer to another CPU does nothing.
"""

from collections.abc import Callable, Sequence

from outboard.spec.papr import CPU_HCALLS, H

H_CONFER = {row.name: row.opcode for row in CPU_HCALLS}["H_CONFER"]
EVERY_CPU = 0xFFFFFFFF_FFFFFFFF
"""Target of H_CONFER."""
_TARGET = 0xFFFFFFFF
"""The bits of a target that count."""
_SUCCESS, _PARAMETER = (int(H.SUCCESS),), (int(H.PARAMETER),)


class Ceding:
    """Who has ceded and who was prodded, a byte a CPU. vcpu_ids: of all CPUs; is_raised: a CPU's interrupt input."""

    def __init__(self, vcpu_ids: Sequence[int], is_raised: Callable[[int], bool]) -> None:
        self.vcpu_ids = list(vcpu_ids)
        self.is_raised = is_raised
        self.ceded = bytearray(len(self.vcpu_ids))
        self.prodded = bytearray(len(self.vcpu_ids))

    def is_ceded(self, index: int) -> bool:
        """Return whether a CPU waits still."""
        return self.ceded[index] != 0 and not self.is_raised(index)

    def wake(self, index: int) -> None:
        """Let a CPU go on."""
        self.ceded[index] = 0

    def reset(self) -> None:
        """Wake all CPUs, with the machine."""
        self.ceded[:] = self.prodded[:] = bytes(len(self.vcpu_ids))

    def serve(self, index: int, opcode: int, arguments: tuple[int, ...]) -> tuple[int, ...]:
        """Serve one of `CPU_HCALLS` that a CPU makes; return its R3."""
        return CALLS[opcode](self, index, *arguments[:1])

    # Hypercalls

    def h_cede(self, index: int, _: int = 0) -> tuple[int, ...]:
        """H_CEDE."""
        self.ceded[index] = not self.prodded[index]
        self.prodded[index] = 0
        return _SUCCESS

    def h_confer(self, index: int, target: int = 0) -> tuple[int, ...]:
        """H_CONFER: to oneself it is a cede; to others the turn is given away, which a program does by a yield."""
        if target == EVERY_CPU:
            return (H_CONFER,)
        if target & _TARGET not in self.vcpu_ids:
            return _PARAMETER
        return self.h_cede(index) if self.vcpu_ids[index] == target & _TARGET else _SUCCESS

    def h_prod(self, index: int, target: int = 0) -> tuple[int, ...]:
        """H_PROD."""
        if target & _TARGET not in self.vcpu_ids:
            return _PARAMETER
        prodded = self.vcpu_ids.index(target & _TARGET)
        self.prodded[prodded] = 1
        self.ceded[prodded] = 0
        return _SUCCESS


CALLS: dict[int, Callable[..., tuple[int, ...]]] = {row.opcode: getattr(Ceding, row.name.lower()) for row in CPU_HCALLS}
"""What serves each hypercall, by its number."""
