"""A real QEMU as a front-end's program, for `outboard check frontend`: the process that is started becomes QEMU.

    python -m tests.qemu.frontend_program SOCKET 10|7.2             no guest; a child starts the GPU twice over qtest
    python -m tests.qemu.frontend_program SOCKET 10 KERNEL INITRD   a guest that boots

Monitor and other sockets are in a folder `qemu-…` beside SOCKET.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from outboard.qemu import GpuDevice, QemuCommand, QTest, VirtioPci, find_qemu
from outboard.qemu.launch import halted_rom
from tests.qemu.halted_vm import EDID, VERSION_1, halted

VERSIONS = {"10": ((10,), (9999,), "tcg"), "7.2": ((7, 2), (8,), "kvm")}


def connected(path: Path) -> QTest:
    """The qtest socket, which appears some milliseconds after the start."""
    qemu = os.getppid()
    while True:
        try:
            return QTest(path)
        except OSError:
            if os.getppid() != qemu:
                os._exit(1)
            time.sleep(0.005)


def drive(qtest: QTest) -> None:
    """Start the device twice, as a guest that reboots does."""
    pci = VirtioPci(qtest, slot=2)
    for _ in range(2):
        pci.negotiate(VERSION_1 | EDID)
        pci.config(8, 4)
        pci.set_queue(0)
        pci.set_queue(1, 16)
        pci.driver_ok()


def main(socket: str, version: str, kernel: str = "", initrd: str = "") -> None:
    """Become QEMU."""
    at_least, below, accel = VERSIONS[version]
    binary = find_qemu("x86_64", at_least, below)
    run_dir = Path(tempfile.mkdtemp(prefix="qemu-", dir=Path(socket).parent))
    if kernel:
        gpu = GpuDevice(Path(socket))
        command = QemuCommand(binary, (gpu,), kernel=Path(kernel), initrd=Path(initrd), accel=accel, run_dir=run_dir)
    else:
        (run_dir / "halt.bin").write_bytes(halted_rom())
        command = replace(halted(binary, Path(socket), accel), run_dir=run_dir)
        if os.fork() == 0:
            drive(connected(run_dir / "qt.sock"))
            os._exit(0)
    os.execve(binary.path, command.argv(), binary.env())


if __name__ == "__main__":
    main(*sys.argv[1:])
