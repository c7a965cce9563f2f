"""The agent: a small program that the CPUs of a real pseries machine run in place of firmware.

`agent.S` is its source, `agent.bin` what Debian's powerpc64 binutils make of it. It does what `mailbox.Mailbox` writes
into guest memory: hypercalls, loads and stores on any CPU, in one order for all.
"""

from pathlib import Path

from outboard.qemu.agent.mailbox import IRQ_AFTER, IRQ_BEFORE, MACHINE_CHECK, Do, Mailbox, Operation, Result

IMAGE = Path(__file__).with_name("agent.bin")
"""What `-bios` takes."""
SECONDARY = 0x1000
"""Where further CPUs start, with their index in R3."""

__all__ = ["IMAGE", "IRQ_AFTER", "IRQ_BEFORE", "MACHINE_CHECK", "SECONDARY", "Do", "Mailbox", "Operation", "Result"]
