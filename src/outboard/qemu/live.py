"""A real pseries machine whose CPUs do what a host program says: a QEMU that runs the agent.

Documents: qemu(1); LoPAPR, "ibm,client-architecture-support", "RTAS"; QEMU docs/specs/ppc-spapr-xive.

Modelled: `machine.cpu.Machine`, so that guest programs run here as on our own machine; batches of operations on all
CPUs in one order. Not modelled: time; while no operation is there the CPUs look for one, at the cost of a processor.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import outboard.spapr.fdt as fdt
from outboard.errors import LocalError
from outboard.machine.ceding import Ceding
from outboard.qemu.agent import IRQ_BEFORE, SECONDARY, Do, Mailbox, Operation, Result
from outboard.qemu.agent.mailbox import READY, TREE
from outboard.qemu.failure import QemuDied, QemuError
from outboard.qemu.find import QemuBinary, find_qemu
from outboard.qemu.launch import Qemu
from outboard.qemu.live_command import LOG, AgentCommand
from outboard.qemu.live_cpu import CPU_CALLS, LiveCpu, hcall, rtas, rtas_returned, signed
from outboard.qemu.live_memory import (
    CAS_TREE,
    CAS_TREE_SIZE,
    FREE_RAM,
    MEMORY_MIB,
    STOP_CELLS,
    VECTORS,
    LiveMemory,
    cas_area,
)
from outboard.spapr.cas import REAL_ADDRESS
from outboard.spec.client_architecture import CAS_HEADER_SIZE, H_CAS

OLDEST = (7, 2)
GUEST_ERRORS = "guest_errors,unimp"
GRACE_S = 2.0
"""Seconds that a QEMU whose monitor has hung up is given to end."""
__all__ = ["FREE_RAM", "MEMORY_MIB", "OLDEST", "LiveMachine", "LiveMemory", "Start"]

_LINE = re.compile(r"(?:\d+@\d+\.\d+:)?(.*)")
_WHY = re.compile(r"qemu-system-\S+: (?:warning: )?(.*)")


def _last_words(stderr: str) -> str:
    """Return the last line that QEMU itself wrote, without its name."""
    said = [found[1] for line in stderr.splitlines() if (found := _WHY.fullmatch(line))]
    return said[-1] if said else ""


@dataclass(frozen=True)
class Start:
    """A CPU that a guest started: where it would begin, and its R3."""

    index: int
    address: int
    argument: int


class LiveMachine:
    """A running machine, as a context manager.

    binary: a qemu-system-ppc64, None for the newest there is. ic_mode: None for the machine type's. vsmt: distance
    of the CPUs' ids; None for 1, as machine types have it since 4.2. extra: further words of the command line, devices
    for instance. logged: QEMU's log classes; traced: patterns of its trace events; both come out of `log`. timeout:
    seconds without progress after which QEMU hangs. Raises QemuError, one sentence, when it is too old, dies or hangs.
    """

    memory: LiveMemory
    mailbox: Mailbox
    vm: Qemu

    def __init__(
        self,
        binary: QemuBinary | None = None,
        cpus: int = 1,
        ic_mode: str | None = None,
        vsmt: int | None = None,
        extra: Sequence[str] = (),
        *,
        machine: str = "pseries",
        memory_mib: int = MEMORY_MIB,
        logged: str = GUEST_ERRORS,
        traced: Sequence[str] = (),
        timeout: float = 30,
    ) -> None:
        found = find_qemu("ppc64", OLDEST) if binary is None else binary
        if found.target != "ppc64" or found.version < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise QemuError(f"{found} cannot run the agent: it takes a qemu-system-ppc64 of version {wanted} or newer")
        self.binary = found
        self._memory_size = memory_mib << 20
        self._command = AgentCommand(
            found,
            memory_mib=memory_mib,
            smp=cpus,
            extra=tuple(extra),
            machine=machine,
            ic_mode=ic_mode,
            vsmt=vsmt,
            logged=logged,
            traced=tuple(traced),
        )
        self._timeout = timeout
        self._cleanup = ExitStack()
        self.vsmt = vsmt or 1
        self.cpus = [LiveCpu(self, index, index * self.vsmt) for index in range(cpus)]
        self.ceding = Ceding([cpu.vcpu_id for cpu in self.cpus], lambda index: self.cpus[index].irq())
        self._started = {0}
        self._stopped_by_guest: set[int] = set()
        self._starts: list[Start] = []
        self._tree = 0
        self._log_read = 0

    def __enter__(self) -> LiveMachine:
        """Start QEMU, and wait for the agent."""
        with ExitStack() as cleanup:
            fd = os.memfd_create("outboard-ram", os.MFD_CLOEXEC)
            cleanup.callback(os.close, fd)
            os.ftruncate(fd, self._memory_size)
            self.memory = LiveMemory(memoryview(mmap.mmap(fd, self._memory_size)))
            path = Path(f"/proc/{os.getpid()}/fd/{fd}")
            command = replace(self._command, memory_path=path)
            self.vm = self._start(command, cleanup)
            self.mailbox = Mailbox(self.memory.view, self._expect_alive, self._timeout)
            self.mailbox.wait_ready()
            self._tree = self.mailbox.word(TREE)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._cleanup.close()

    def _start(self, command: AgentCommand, cleanup: ExitStack) -> Qemu:
        """Start QEMU. Raises QemuError, with what QEMU said about it."""
        vm = Qemu(command, self._timeout)
        try:
            return cleanup.enter_context(vm)
        except QemuError as error:
            said = _last_words(vm.stderr) if "ended while" in str(error) else ""
            why = f"{self.binary} does not start: {said}" if said else str(error).partition("\n")[0]
            raise QemuError(why) from None

    def _expect_alive(self, grace: float = 0) -> None:
        """Raise QemuDied when QEMU has ended, or does within `grace` seconds."""
        try:
            code = self.vm.wait_exit(grace)
        except QemuError:
            return
        raise QemuDied(code, _last_words(self.vm.stderr))

    def _tell_monitor(self, name: str, **arguments: str) -> Any:
        """Give the monitor a command. Raises QemuDied when it hung up because QEMU ends."""
        try:
            return self.vm.qmp.command(name, **arguments)
        except QemuError:
            self._expect_alive(GRACE_S)
            raise

    # Operations

    def batch(self, operations: Sequence[Operation]) -> list[Result]:
        """Do operations in this order, each on its CPU; their results. CPUs that are not running are started first."""
        self.start({operation.cpu for operation in operations})
        return self.mailbox.run(operations)

    def start(self, cpus: set[int]) -> None:
        """Start CPUs, by their indices, that do not run the agent yet."""
        if missing := cpus - self._started:
            if not missing <= set(range(len(self.cpus))):
                raise LocalError(f"no CPU {max(missing)}; there are 0 to {len(self.cpus) - 1}")
            by = min(self._started)
            calls = [rtas(by, CPU_CALLS["start-cpu"], (self.cpus[cpu].vcpu_id, SECONDARY, cpu), 1) for cpu in missing]
            for cpu, result in zip(missing, self.mailbox.run(calls), strict=True):
                if rtas_returned(result, 1) != (0,):
                    raise QemuError(f"CPU {cpu} cannot be started: RTAS says {rtas_returned(result, 1)[0]}")
            self._started |= missing

    def stop_others(self, index: int) -> None:
        """Stop all CPUs but one, as CAS wants them; they are started again when they are used."""
        self.start({index})
        for cpu in sorted(self._started - {index}):
            self._stop(cpu, index)

    def _stop(self, cpu: int, by: int) -> None:
        self.memory.write(STOP_CELLS, struct.pack(">3I", CPU_CALLS["stop-self"], 0, 0))
        self.mailbox.run([Operation(Do.STOP, cpu, (STOP_CELLS,))])
        asks = rtas(by, CPU_CALLS["query-cpu-stopped-state"], (self.cpus[cpu].vcpu_id,), 2)
        deadline = time.monotonic() + self._timeout
        while rtas_returned(self.mailbox.run([asks])[0], 2) != (0, 0):
            if time.monotonic() > deadline:
                raise QemuError(f"CPU {cpu} does not stop within {self._timeout:g} s")
        self._started.discard(cpu)

    # What guests do with CPUs

    def cpu_call(self, caller: LiveCpu, cells: int) -> int | None:
        """Serve the RTAS calls that start and stop CPUs, made with the cells at an address; None for other calls.

        The real call is made, with the agent as what the CPU begins with; what the guest meant is kept for
        `take_starts`. Return R3.
        """
        cells &= REAL_ADDRESS
        token, nargs, nret, *arguments = struct.unpack(">6I", self._cells(cells))
        if token == CPU_CALLS["stop-self"]:
            if len(self._started) > 1:
                self._stop(caller.index, min(self._started - {caller.index}))
            self._stopped_by_guest.add(caller.index)
            return 0
        if (token, nargs, nret) != (CPU_CALLS["start-cpu"], 3, 1):
            return None
        vcpu_id, address, argument = arguments
        found = next((cpu.index for cpu in self.cpus if cpu.vcpu_id == vcpu_id), None)
        asks = rtas(caller.index, token, (vcpu_id, SECONDARY, 0 if found is None else found), 1)
        status = rtas_returned(self.batch([asks])[0], 1)
        if status == (0,) and found is not None:
            self._started.add(found)
            self._stopped_by_guest.discard(found)
            self._starts.append(Start(found, address, argument))
        self.memory.write(cells + 24, struct.pack(">i", *status))
        return 0

    def _cells(self, at: int) -> bytes:
        """Return six cells; those that RAM does not have are 0, as for RTAS."""
        pieces = (self.memory.read(at + 4 * cell, 4) or bytes(4) for cell in range(6))
        return self.memory.read(at, 24) or b"".join(pieces)

    def take_starts(self) -> list[Start]:
        """Return the CPUs that guests started since the last call."""
        taken, self._starts = self._starts, []
        return taken

    def is_stopped(self, index: int) -> bool:
        """Return whether a guest stopped a CPU, by its index."""
        return index in self._stopped_by_guest

    def is_ceded(self, index: int) -> bool:
        """Return whether a CPU has ceded its processor, and nothing has woken it."""
        return self.ceding.is_ceded(index)

    def resume(self, index: int) -> None:
        """Let a CPU go on that had ceded its processor."""
        self.ceding.wake(index)

    def idle(self, timeout_s: float) -> bool:
        """Let devices work until a CPU's input is raised, for so long at most; whether one is."""
        looks = [Operation(Do.NOTHING, cpu) for cpu in sorted(self._started)]
        deadline = time.monotonic() + timeout_s
        while not any(result.flags & IRQ_BEFORE for result in self.mailbox.run(looks)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    # The machine

    def cas(self, vector_5: bytes | bool = True, *, area: bytes | None = None, size: int = CAS_TREE_SIZE) -> int:
        """Negotiate by H_CAS on CPU 0, all others stopped; R3.

        vector_5: its bytes, or whether XIVE exploitation is wanted beside a radix MMU. area: all that R4 points to
        instead. size: of the buffer for the tree. Raises QemuError when QEMU ends, with its words.
        """
        self.stop_others(0)
        self.memory.write(VECTORS, cas_area(vector_5) if area is None else area)
        status = signed(self.batch([hcall(0, H_CAS, VECTORS, CAS_TREE, size)])[0].registers[0])
        if status == 0:
            self._tree = CAS_TREE + CAS_HEADER_SIZE
        return status

    def device_tree(self) -> fdt.Node:
        """Return the device tree of the last boot or CAS."""
        length = int.from_bytes(self.memory.read(self._tree + 4, 4) or b"", "big")
        return fdt.unpack(self.memory.read(self._tree, length) or b"")

    def monitor(self, line: str) -> str:
        """Return what the human monitor answers."""
        said: str = self._tell_monitor("human-monitor-command", **{"command-line": line})
        return said.replace("\r\n", "\n")

    def pic(self) -> str:
        """Return what `info pic` prints."""
        return self.monitor("info pic")

    def log(self) -> list[str]:
        """Return the lines that QEMU logged since the last call: guest errors and traces, without times."""
        path = self.vm.command.run_dir / LOG
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._log_read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._log_read += len(whole)
        lines = (_LINE.fullmatch(line) for line in whole.decode(errors="replace").splitlines())
        return [found[1] for found in lines if found]

    def reset(self) -> None:
        """Reset the machine; CPU 0 runs the agent again, RAM is kept."""
        self.mailbox.set_word(READY, 0)
        self._tell_monitor("system_reset")
        self.mailbox.wait_ready()
        self._tree = self.mailbox.word(TREE)
        self.ceding.reset()
        self._started = {0}
        self._stopped_by_guest.clear()
        self._starts.clear()
