"""The real QEMU: find it, start it, ask it, drive its devices without a guest."""

from outboard.qemu.failure import QemuError
from outboard.qemu.find import QemuBinary, find_c_helper, find_qemu, find_qemus, kvm_problem, peers_dir
from outboard.qemu.launch import GpuDevice, Qemu, QemuCommand
from outboard.qemu.qmp import Qmp
from outboard.qemu.qtest import QTest
from outboard.qemu.serial import Serial
from outboard.qemu.virtio_pci import VirtioPci

__all__ = [
    "GpuDevice",
    "QTest",
    "Qemu",
    "QemuBinary",
    "QemuCommand",
    "QemuError",
    "Qmp",
    "Serial",
    "VirtioPci",
    "find_c_helper",
    "find_qemu",
    "find_qemus",
    "kvm_problem",
    "peers_dir",
]
