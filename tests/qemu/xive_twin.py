"""One pseries interrupt controller twice, in QEMU and in our model: whatever is done is done to both and compared.

Compared are results, and every line that QEMU logs: the trace events of its XIVE, the accesses to the XIVE's memory
regions, the guest's mistakes; exact text, exact order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from outboard.guest.ram import ram
from outboard.machine import xive_trace
from outboard.qemu import Qemu, QemuBinary, QemuCommand
from outboard.spec.papr import ESB_BASE, TIMA_BASE
from outboard.spec.xive import TIMA_SIZE
from tests.qemu import witnesses

T = TypeVar("T")
Pair = TypeVar("Pair", bound="Twin")
TRACED = ("xive_*", "spapr_xive_*", "spapr_cas_*", "memory_region_ops_*")
RAM_MIB = 256
OTHERS = ("memory_region_ops_", "spapr_cas_")


def monitor(vm: Qemu, line: str) -> str:
    """What the human monitor answers."""
    said: str = vm.qmp.command("human-monitor-command", **{"command-line": line})
    return said.replace("\r\n", "\n")


class Twin:
    """A QEMU with qtest, and a model that starts where it did."""

    def __init__(self, vm: Qemu, log: Path) -> None:
        self.vm = vm
        self.log = log
        self._file = log.open()
        self.done = 0
        start = xive_trace.read(self._file)
        self.claims = [entry.values for entry in start if entry.event == "spapr_xive_claim_irq"]
        self.xive = xive_trace.machine(start, memory=ram(RAM_MIB << 20))
        xive_trace.Replay(self.xive, start).run()
        self._printed: list[str] = []
        self._outside = False
        self.xive.events.listen(self._hear)

    def _hear(self, event: str, values: tuple[Any, ...]) -> None:
        if self._outside and event in (xive_trace.READ, xive_trace.WRITE):
            values = (-1, *values[1:])
        self._printed.append(self.xive.events.line(event, values))

    def logged(self) -> list[str]:
        """The lines that QEMU wrote since the last call, without those of other devices."""
        return [
            entry.text
            for entry in xive_trace.read(self._file)
            if entry.event in xive_trace.SHAPES or not entry.text.startswith(OTHERS)
        ]

    def both(self, what: str, real: Callable[[], T], model: Callable[[], T]) -> T:
        """Do it to both and compare; the result."""
        self._printed.clear()
        theirs = real()
        ours = model()
        assert ours == theirs, f"{what}: the model gives {ours!r}, QEMU {theirs!r}"
        logged = self.logged()
        assert self._printed == logged, _differ(what, self._printed, logged)
        self.done += 1
        return theirs

    # qtest accesses the bus as a device does: what is unaligned goes in aligned pieces, each as it comes

    def load(self, addr: int, size: int) -> int:
        return self.both(
            f"load of {size} at {addr:#x}", lambda: self.vm.qtest.load(addr, size), lambda: self._load(addr, size)
        )

    def store(self, addr: int, size: int, value: int) -> None:
        self.both(
            f"store of {size} at {addr:#x}",
            lambda: self.vm.qtest.store(addr, size, value),
            lambda: self._store(addr, size, value),
        )

    def _pieces(self, addr: int, size: int) -> Iterator[tuple[int, int]]:
        """Where nothing is, QEMU takes four bytes at a time."""
        while size:
            at_most = 8 if self._is_mapped(addr) else 4
            piece = min(addr & -addr, 1 << size.bit_length() - 1, at_most)
            yield addr, piece
            addr, size = addr + piece, size - piece

    def _is_mapped(self, addr: int) -> bool:
        bus = self.xive.bus
        assert not TIMA_BASE <= addr < TIMA_BASE + TIMA_SIZE, "the TIMA is for CPUs"
        return ESB_BASE <= addr < bus.end_base + (bus.ends.size if bus.end_esb_on else 0)

    def _load(self, addr: int, size: int) -> int:
        value, self._outside = 0, True
        for at, piece in self._pieces(addr, size):
            value = value << 8 * piece | self.xive.bus.load(0, at, piece)
        self._outside = False
        return value

    def _store(self, addr: int, size: int, value: int) -> None:
        left, self._outside = 8 * size, True
        for at, piece in self._pieces(addr, size):
            left -= 8 * piece
            self.xive.bus.store(0, at, piece, value >> left & ((1 << 8 * piece) - 1))
        self._outside = False

    def device(self, what: str, real: Callable[[], None], *inputs: tuple[int, int]) -> None:
        """A device does something that sets inputs, (LISN, level) each."""

        def model() -> None:
            for number, level in inputs:
                self.xive.set_irq(number, level)

        self.both(what, real, model)

    def same_pic(self) -> str:
        """`info pic` of both."""
        return self.both("info pic", lambda: monitor(self.vm, "info pic"), self.xive.pic)

    def reset(self) -> None:
        """Reset the machine."""

        def real() -> None:
            self.vm.qmp.command("system_reset")
            self.vm.qmp.wait_event("RESET")

        self.both("reset", real, self.xive.reset)


def _differ(what: str, printed: list[str], logged: list[str]) -> str:
    return "\n  ".join([f"{what}: the model prints", *printed, "and QEMU", *logged])


@contextmanager
def twin(
    binary: QemuBinary, folder: Path, *extra: str, mode: str = "xive", make: type[Pair] = Twin, cpus: int = 2
) -> Iterator[Pair]:
    """A machine and its model. extra: further words; `-S` leaves the machine as it is made."""
    log = folder / "qemu.log"
    traced = [word for event in TRACED for word in ("-trace", event)]
    words = ("-M", f"ic-mode={mode}", "-d", "guest_errors,unimp", "-D", str(log), *traced, *extra)
    with Qemu(QemuCommand(binary, memory_mib=RAM_MIB, smp=cpus, qtest=True, extra=words)) as vm:
        witnesses.hear("QEMU", vm.report)
        pair = make(vm, log)
        yield pair
        assert pair.logged() == []
        assert vm.quit() == 0
