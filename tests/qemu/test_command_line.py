"""Command lines, typed by hand as they were run, what is found here, and QEMU's life and end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outboard.errors import LocalError
from outboard.qemu import GpuDevice, Qemu, QemuBinary, QemuCommand, QemuError, find_qemu, kvm_problem, peers_dir
from outboard.qemu.launch import halted_rom
from outboard.qemu.qmp import Qmp
from tests.peers import fetch
from tests.qemu.conftest import wait_until

X86_7 = QemuBinary((7, 2, 22), "x86_64", Path("qemu-system-x86_64"))
PPC_10 = QemuBinary((10, 0, 2), "ppc64", Path("root/usr/bin/qemu-system-ppc64"), Path("root"))

X86 = """
qemu-system-x86_64 -M q35,accel=kvm,memory-backend=mem0 -cpu host -smp 1 -m 512M
-object memory-backend-memfd,id=mem0,size=512M,share=on
-nodefaults -vga none
-chardev socket,id=vgpu,path=gpu.sock
-device vhost-user-gpu-pci,id=gpu,chardev=vgpu
-kernel vmlinuz -initrd initrd.gz -append console=ttyS0
-serial unix:./ser.sock,server=on,wait=off -qmp unix:./qmp.sock,server=on,wait=off -display none
"""
PSERIES = """
root/usr/bin/qemu-system-ppc64 -L root/usr/share/qemu -L root/usr/share/seabios
-M pseries,accel=tcg,memory-backend=mem0 -cpu power9 -smp 1 -m 1024M
-object memory-backend-memfd,id=mem0,size=1024M,share=on -nodefaults -vga none
-chardev socket,id=vgpu,path=gpu.sock -device vhost-user-gpu-pci,id=gpu,chardev=vgpu,max_outputs=2
-kernel vmlinux -initrd initrd.gz -append console=hvc0
-serial unix:./ser.sock,server=on,wait=off -qmp unix:./qmp.sock,server=on,wait=off -display none
"""


def with_kernel(binary: QemuBinary, gpu: GpuDevice, kernel: str, append: str, **more: object) -> QemuCommand:
    return QemuCommand(binary, (gpu,), Path(kernel), Path("initrd.gz"), append, **more)  # type: ignore[arg-type]


def test_x86() -> None:
    command = with_kernel(X86_7, GpuDevice(Path("gpu.sock")), "vmlinuz", "console=ttyS0", accel="kvm", cpu="host")
    assert command.argv() == X86.split()


def test_pseries_unpacked() -> None:
    gpu = GpuDevice(Path("gpu.sock"), properties={"max_outputs": 2})
    assert with_kernel(PPC_10, gpu, "vmlinux", "console=hvc0", memory_mib=1024).argv() == PSERIES.split()


def test_halted() -> None:
    words = QemuCommand(X86_7, qtest=True).argv()
    assert words[-4:] == ["-qtest", "unix:./qt.sock,server=on,wait=off", "-qtest-log", "none"]
    assert words[words.index("-bios") + 1] == "./halt.bin"
    rom = halted_rom()
    assert (len(rom), rom[0], rom[0xFFF0:0xFFF4].hex()) == (65536, 0xF4, "faf4ebfd")


def test_unpacked_qemu_has_its_own_modules(tmp_path: Path) -> None:
    modules = tmp_path / "usr/lib/x86_64-linux-gnu/qemu"
    modules.mkdir(parents=True)
    assert QemuBinary((10,), "x86_64", Path("q"), tmp_path).env()["QEMU_MODULE_DIR"] == str(modules)
    assert QemuBinary((10,), "x86_64", Path("q")).env() == dict(os.environ)


def test_versions_are_read_once_asked(tmp_path: Path) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\necho 'QEMU emulator version 9.1.50 (v9.1.0-rc3)'\n")
    program.chmod(0o755)
    assert (read := QemuBinary.read(program)).version == (9, 1, 50) and read.target == "x86_64"
    program.write_text("#!/bin/sh\necho nonsense\n")
    with pytest.raises(QemuError, match=r"expected `QEMU emulator version N.N.N`, got 'nonsense"):
        QemuBinary.read(program)
    with pytest.raises(QemuError, match="No such file"):
        QemuBinary.read(tmp_path / "nothing")


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(QemuError, match=r"no qemu-system-x86_64 of version 99 to below 100; found: "):
        find_qemu("x86_64", (99,), (100,))
    assert kvm_problem(Path("/nonexistent/kvm")) == "/nonexistent/kvm: No such file or directory"
    assert "KVM_CREATE_VM" in str(kvm_problem(Path("/dev/null")))


def test_both_sides_mean_the_same_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("OUTBOARD_PEERS", "~/there"), ("XDG_CACHE_HOME", "/cache"), ("XDG_CACHE_HOME", "")):
        monkeypatch.setenv(name, value)
        assert peers_dir() == fetch.cache_dir()
        monkeypatch.delenv("OUTBOARD_PEERS", raising=False)
    assert peers_dir() == Path.home() / ".cache/outboard/peers"


def test_long_socket_path() -> None:
    command = QemuCommand(X86_7, (GpuDevice(Path("/tmp") / ("x" * 108)),))
    with pytest.raises(LocalError, match="longer than 107 bytes"):
        with Qemu(command):
            pass


def test_not_started() -> None:
    with pytest.raises(LocalError, match="use it in a with block"):
        Qemu(QemuCommand(X86_7)).wait_exit()


SCRIPT = """
import sys, time
from outboard.qemu import Qemu, QemuCommand, find_qemu
with Qemu(QemuCommand(find_qemu("x86_64", (10,)), memory_mib=64)) as vm:
    print(vm.pid, vm.command.run_dir, flush=True)
    time.sleep(60)
"""


def test_qemu_dies_with_a_python_that_is_killed(qemu_10_x86: QemuBinary) -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as python:
        assert python.stdout
        pid, folder = python.stdout.readline().split()
        qemu = int(pid)
        assert alive(qemu) and Path(folder).exists()
        python.send_signal(signal.SIGKILL)
        wait_until(lambda: not alive(qemu) and not Path(folder).exists(), "QEMU's end")


def alive(pid: int) -> bool:
    """False for a process that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_qemu_is_gone_after_an_error(qemu_10_x86: QemuBinary) -> None:
    with pytest.raises(RuntimeError, match="a test's own") as caught:
        with Qemu(QemuCommand(qemu_10_x86, memory_mib=64)) as vm:
            pid, folder = vm.pid, vm.command.run_dir
            raise RuntimeError("a test's own")
    assert "qemu-system-x86_64 10" in caught.value.__notes__[0]
    assert not alive(pid) and not folder.exists()


def test_events(qemu_10_x86: QemuBinary) -> None:
    with Qemu(QemuCommand(qemu_10_x86, memory_mib=64)) as vm:
        vm.qmp.command("stop")
        vm.qmp.command("cont")
        assert vm.qmp.wait_event("RESUME")["event"] == "RESUME"
        assert vm.qmp.wait_event("STOP")["event"] == "STOP", "an event that came before is kept"
        with pytest.raises(QemuError, match=r"QMP nonsense: The command nonsense has not been found"):
            vm.qmp.command("nonsense")
        assert vm.quit() == 0
        with pytest.raises(QemuError, match="QMP query-status: "):
            vm.qmp.command("query-status")
    with pytest.raises(QemuError, match="the connection is closed"):
        vm.qmp.command("query-status")


def test_an_event_before_the_greeting_asks_to_connect_again(tmp_path: Path) -> None:
    """QEMU sends events of its start to who connects before it greets; `Qemu` then tries again."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp.sock"))
        listener.listen(1)
        with ThreadPoolExecutor() as pool:
            client = pool.submit(Qmp, tmp_path / "qmp.sock")
            with listener.accept()[0] as qemu:
                qemu.sendall(b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}\r\n')
                with pytest.raises(ConnectionAbortedError, match="did not greet first"):
                    client.result(30)
