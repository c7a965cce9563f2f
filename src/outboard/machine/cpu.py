"""What a guest written in Python sees: its CPU, and the machine around it.

A guest program is a generator function `program(cpu)`: it makes loads, stores and hypercalls on `cpu`, and yields where
a real CPU would wait; `scheduler` runs such programs. Two machines have such CPUs: ours (`machine.pseries`) and a real
QEMU (`qemu.live`), so that the same program runs on both.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from outboard.spapr.fdt import Node


class _Wait:
    """The only value of its kind."""

    def __repr__(self) -> str:
        return "WAIT"


WAIT = _Wait()
"""Yielded by a program that goes on when its CPU's interrupt input is raised; None gives the turn away only."""
Steps = Generator[_Wait | None, None, object]
"""A program that runs."""


class Memory(Protocol):
    """The guest's RAM."""

    def read(self, addr: int, length: int, /) -> bytes | None:
        """Return a copy of a range, or None when a part of it is not RAM."""

    def write(self, addr: int, data: bytes, /) -> object:
        """Copy bytes to a range. Nothing is copied when a part of it is not RAM."""


class Cpu(Protocol):
    """One CPU. index counts CPUs; vcpu_id is its number in hypercalls and in the device tree."""

    @property
    def index(self) -> int: ...
    @property
    def vcpu_id(self) -> int: ...
    @property
    def memory(self) -> Memory: ...

    def hcall(self, call: int | str, /, *arguments: int) -> tuple[int, ...]:
        """Make a hypercall, by number or by name; arguments are R4 and up. Return R3, signed, then R4 and up."""

    def load(self, addr: int, size: int, /) -> int:
        """Load 1, 2, 4 or 8 bytes at a guest-physical address, big-endian."""

    def store(self, addr: int, size: int, value: int, /) -> None:
        """Store 1, 2, 4 or 8 bytes at a guest-physical address, big-endian."""

    def irq(self) -> bool:
        """Return whether the external interrupt input is raised."""


class Machine(Protocol):
    """A machine whose CPUs are driven by programs."""

    @property
    def cpus(self) -> Sequence[Cpu]: ...
    @property
    def memory(self) -> Memory: ...

    def device_tree(self) -> Node:
        """Return the device tree of the last boot or CAS."""

    def idle(self, timeout_s: float) -> bool:
        """Let devices work while all CPUs wait, for so long at most.

        Return whether an interrupt may have come, or may still come; false when only a CPU could bring one about.
        """


class Start(Protocol):
    """A CPU that another one started: where it begins, and its R3."""

    @property
    def index(self) -> int: ...
    @property
    def address(self) -> int: ...
    @property
    def argument(self) -> int: ...


class StartsCpus(Protocol):
    """A machine whose CPUs start and stop each other by RTAS."""

    def take_starts(self) -> Sequence[Start]:
        """Return the CPUs that were started since the last call."""

    def is_stopped(self, index: int) -> bool:
        """Return whether a CPU is stopped: it runs nothing until another starts it."""


class CedesCpus(Protocol):
    """A machine whose CPUs give their processor away by H_CEDE: their programs wait until they are woken."""

    def is_ceded(self, index: int) -> bool:
        """Return whether a CPU has ceded, and neither an interrupt nor another CPU has woken it."""

    def resume(self, index: int) -> None:
        """Let a CPU go on."""


Program = Callable[[Cpu], Steps]
