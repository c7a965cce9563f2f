"""The command line of a pseries machine whose CPUs run the agent.

Documents: qemu(1); QEMU docs/specs/ppc-spapr-xive (`ic-mode`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from outboard.qemu.agent import IMAGE
from outboard.qemu.launch import QemuCommand

LOG = "qemu.log"
"""File of the run folder with guest errors and traces."""


@dataclass(frozen=True)
class AgentCommand(QemuCommand):
    """A pseries machine with the agent as its firmware. CPUs take turns on one thread: their order is strict."""

    memory_path: Path = Path("/dev/null")
    """A file of the size of the machine's RAM that the host maps too."""
    machine: str = "pseries"
    ic_mode: str | None = None
    """None: what the machine type has."""
    vsmt: int | None = None
    logged: str = ""
    """QEMU's log classes (`-d`), empty for none."""
    traced: tuple[str, ...] = ()
    """Patterns of trace events."""

    def argv(self) -> list[str]:
        """The command line."""
        size, run_dir = f"{self.memory_mib}M", self.run_dir
        options = {"ic-mode": self.ic_mode, "vsmt": self.vsmt, "memory-backend": "ram"}
        machine = ",".join([self.machine, *(f"{key}={value}" for key, value in options.items() if value is not None)])
        return [
            *(str(self.binary.path), *self.binary.data_arguments()),
            *("-M", machine, "-accel", "tcg,thread=single", "-cpu", self.cpu or "power9", "-smp", str(self.smp)),
            *("-m", size, "-object", f"memory-backend-file,id=ram,mem-path={self.memory_path},size={size},share=on"),
            *("-nodefaults", "-vga", "none", "-display", "none", "-bios", str(IMAGE)),
            *("-serial", f"unix:{run_dir}/ser.sock,server=on,wait=off"),
            *("-qmp", f"unix:{run_dir}/qmp.sock,server=on,wait=off"),
            *self._log_words(),
            *self.extra,
        ]

    def _log_words(self) -> Iterable[str]:
        if self.logged:
            yield from ("-d", self.logged)
        for pattern in self.traced:
            yield from ("-trace", pattern)
        if self.logged or self.traced:
            yield from ("-D", str(self.run_dir / LOG))
