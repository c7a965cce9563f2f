"""Real QEMUs boot from our disk: their firmware reads it, a boot sector reads and writes it, no kernel is needed."""

from __future__ import annotations

import contextlib
import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import outboard.blk
from outboard import trace
from outboard.aio.iothread import IOThread
from outboard.qemu.find import QemuBinary
from tests.qemu.conftest import wait_until

SIZE = 1 << 20
FROM, TO, COUNT = 1, 1000, 16
"""Sectors that the boot sector copies."""
ORIGIN = 0x7C00
PORT = 0xE9


def boot_sector() -> bytes:
    """A program: copy COUNT sectors by the firmware's calls (INT 13h, AH 42h and 43h), then say "ok" on the port."""
    code = bytearray(b"\x31\xc0\x8e\xd8")  # xor ax, ax; mov ds, ax
    holes: dict[int, str] = {}
    for call, packet in ((b"\xb4\x42", "read"), (b"\xb8\x00\x43", "write")):
        holes[len(code) + 1] = packet
        code += b"\xbe\0\0" + call + b"\xcd\x13"  # mov si, packet; mov ah, …; int 13h
        code += b"\x73\x05"  # jnc over the next two
        holes[len(code) + 1] = "failed"
        code += b"\xbe\0\0\xeb\xff"  # mov si, failed; jmp print
    jumps = [at for at in range(len(code)) if code[at : at + 2] == b"\xeb\xff"]
    holes[len(code) + 1] = "ok"
    code += b"\xbe\0\0"
    for at in jumps:
        code[at + 1] = len(code) - at - 2
    code += b"\xac\x84\xc0\x74\x04\xe6" + bytes([PORT]) + b"\xeb\xf7"  # lodsb; test al, al; jz; out PORT, al; jmp
    code += b"\xf4\xeb\xfd"  # hlt; jmp
    parts = {
        "read": struct.pack("<BBHHHQ", 16, 0, COUNT, 0x8000, 0, FROM),
        "write": struct.pack("<BBHHHQ", 16, 0, COUNT, 0x8000, 0, TO),
        "failed": b"failed\n\0",
        "ok": b"ok\n\0",
    }
    places = {}
    for name, data in parts.items():
        places[name] = ORIGIN + len(code)
        code += data
    for at, name in holes.items():
        code[at : at + 2] = struct.pack("<H", places[name])
    return bytes(code.ljust(510, b"\0")) + b"\x55\xaa"


@contextlib.contextmanager
def machine(binary: QemuBinary, socket: Path, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A machine of one CPU that boots from the disk; what its program says goes to a file."""
    words = [
        *("-M", "q35,accel=tcg,memory-backend=mem0", "-m", "64M", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-object", "memory-backend-memfd,id=mem0,size=64M,share=on"),
        *("-chardev", f"socket,id=disk,path={socket}"),
        *("-device", "vhost-user-blk-pci,chardev=disk,num-queues=2,bootindex=0"),
        *("-chardev", f"file,id=said,path={said}", "-device", f"isa-debugcon,iobase={PORT:#x},chardev=said"),
    ]
    argv = [str(binary.path), *binary.data_arguments(), *words]
    with subprocess.Popen(argv, env=binary.env(), stderr=subprocess.PIPE) as vm:
        try:
            yield vm
        finally:
            vm.kill()


@pytest.mark.parametrize("name", ["qemu_7_x86", "qemu_10_x86"])
def test_firmware_and_boot_sector_work_on_our_disk(request: pytest.FixtureRequest, socket_dir: Path, name: str) -> None:
    binary = request.getfixturevalue(name)
    image, said = socket_dir / "boot.img", socket_dir / "said"
    heard: list[object] = []
    data = bytearray(boot_sector() + random.Random(1).randbytes(SIZE - 512))
    image.write_bytes(data)
    with (
        IOThread("disk") as thread,
        IOThread("other") as other,
        outboard.blk.serve(socket_dir / "disk.sock", image=image, iothread=thread, num_queues=2) as disk,
        machine(binary, socket_dir / "disk.sock", said) as vm,
    ):

        def spoke() -> bool:
            disk.try_set_aio_context(other.context if disk.context is thread.context else thread.context)
            assert vm.poll() is None, vm.stderr.read() if vm.stderr else ""
            return said.exists() and b"\n" in said.read_bytes()

        wait_until(spoke, "a word of the boot sector", 60)
        assert said.read_bytes() == b"ok\n"
        assert disk.sessions == 1
        trace.listen(hook := lambda event, fields: heard.append((event, fields)))
        disk.resize(2 * SIZE)
        wait_until(lambda: heard, "the new size")
        trace.unlisten(hook)
        assert heard == [("blk.resized", {"capacity": 2 * SIZE // 512, "told": True})]
        assert vm.poll() is None
    data[512 * TO : 512 * (TO + COUNT)] = data[512 * FROM : 512 * (FROM + COUNT)]
    assert image.read_bytes()[:SIZE] == data
