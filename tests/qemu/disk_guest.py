"""A Debian guest whose disk is outside: what it is booted with, and its checker of the disk."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from outboard.qemu import Qemu, QemuCommand, find_qemu
from tests.peers import initramfs
from tests.peers.debian import PeerError
from tests.qemu import witnesses
from tests.qemu.conftest import BOOT_TIMEOUT, READY

MODULES = ("virtio_pci", "virtio_blk")
MEMORY_MIB = 256
BLOCK = 4096
DEPTH = 16
WORRIES = r"(?i)error|warn|bug:|hung|blocked for|timed? ?out|reset|call trace|fail|corrupt"
"""What the kernel's log must not have once the disk is there."""
SUMMARY = re.compile(r"diskcheck: (\d+) reads, (\d+) writes, (\d+) flushes, (\d+) zeroed, (\d+) given up, all right\n")


def diskcheck(folder: Path) -> bytes:
    """The guest program diskcheck for amd64, linked statically. Raises PeerError when it cannot be made."""
    source, program = initramfs.GUEST / "diskcheck.c", folder / "diskcheck"
    command = ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise PeerError("gcc; apt-get install gcc libc6-dev linux-libc-dev") from None
    except subprocess.CalledProcessError as error:
        why = f"diskcheck.c does not compile; apt-get install libc6-dev linux-libc-dev\n{error.stderr}"
        raise PeerError(why) from None
    return program.read_bytes()


def disk_initrd(folder: Path) -> Path:
    """An initramfs with the driver of a virtio disk, and diskcheck. Raises PeerError when a part is missing."""
    return initramfs.build("amd64", folder / "disk.gz", MODULES, {"bin/diskcheck": diskcheck(folder)})


def disk_words(socket: Path, name: str, queues: int) -> list[str]:
    """Command line words for a disk; QEMU connects again when its back-end goes."""
    return [
        *("-chardev", f"socket,id=c{name},path={socket},reconnect-ms=100"),
        *("-device", f"vhost-user-blk-pci,id={name},chardev=c{name},num-queues={queues}"),
    ]


class Guest:
    """A guest at work on its disks: a checker each, in the background."""

    def __init__(self, vm: Qemu) -> None:
        self.vm = vm
        self._checkers: list[str] = []

    def check(self, device: str, blocks: int, first: int = 0, depth: int = DEPTH) -> None:
        """Start to work on some blocks of a device that hold zeros."""
        name = f"/progress{len(self._checkers)}"
        self._checkers.append(name)
        self.vm.serial.run(
            f"echo 0 >{name}; diskcheck {device} {first} {blocks} {depth} {len(self._checkers)} {name} &"
        )

    def done(self) -> int:
        """How many requests the checkers have had answered, about. Fails when one of them has found a fault."""
        assert "diskcheck: WRONG" not in self.vm.serial.text, self.vm.serial.tail()
        return sum(int(self.vm.serial.run(f"cat {name}")) for name in self._checkers)

    def finish(self, timeout: float = 60) -> list[tuple[int, ...]]:
        """Have the checkers verify everything; the numbers of each: reads, writes, flushes, zeroed, given up."""
        begin = len(self.vm.serial.text)
        self.vm.serial.run("killall -TERM diskcheck; wait", timeout=timeout)
        said = self.vm.serial.text[begin:]
        found = [tuple(map(int, one.groups())) for one in SUMMARY.finditer(said)]
        assert len(found) == len(self._checkers) and "WRONG" not in self.vm.serial.text, self.vm.serial.tail()
        self._checkers.clear()
        return found

    def log_is_clean(self) -> None:
        """Fail unless the kernel said nothing that worries since the disk's driver came."""
        log = self.vm.serial.run("dmesg")
        since = log[log.index("virtio_blk") :]
        assert not (found := [line for line in since.splitlines() if re.search(WORRIES, line)]), found


@contextmanager
def disk_guest(initrd: Path, words: Sequence[str], smp: int = 1) -> Iterator[Guest]:
    """Boot a guest with these words on QEMU 10, with TCG. Raises QemuError without one, or when it does not run."""
    command = QemuCommand(
        find_qemu("x86_64", (10,)),
        initrd=initrd,
        kernel=initramfs.kernel("amd64").image,
        append="console=ttyS0",
        memory_mib=MEMORY_MIB,
        smp=smp,
        extra=tuple(words),
    )
    with Qemu(command) as vm:
        witnesses.hear("QEMU", vm.report)
        witnesses.hear("the guest's console", lambda: vm.serial.tail(40))
        vm.serial.wait_for(READY, BOOT_TIMEOUT)
        yield Guest(vm)
